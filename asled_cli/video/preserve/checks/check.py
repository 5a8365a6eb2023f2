"""One property of a copy compared with its source."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """Result of one comparison. expected, found: text for people. same: whether they agree.

    vital: a difference means that the copy was written wrongly.
    label: describes the clip (title, language, flag); picture and sound do not depend on it.
    """

    name: str
    expected: str
    found: str
    same: bool
    vital: bool = False
    label: bool = False


def compare(name: str, expected: object, found: object, *, label: bool = False) -> Check:
    """Return the check that `found` equals `expected`. label: see `Check`."""
    return Check(name, str(expected), str(found), expected == found, label=label)
