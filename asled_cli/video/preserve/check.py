"""One property of a copy compared with its source."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One property compared. expected, found: in words; same: whether the copy is faithful in it.

    vital: a difference means that the copy was written wrongly, not that it was asked for or cannot be kept.
    label: it says something about the clip (title, language, flag); nothing seen or heard depends on it.
    """

    name: str
    expected: str
    found: str
    same: bool
    vital: bool = False
    label: bool = False


def compare(name: str, expected: object, found: object, *, label: bool = False) -> Check:
    """Return the check that `found` equals `expected`."""
    return Check(name, str(expected), str(found), expected == found, label=label)
