"""Options that may be followed by a file name or stand alone: `--compare [FILE]`, `--report [FILE.html]`."""

import os
from collections.abc import Iterator, Sequence

AUTO = "auto"
_WITH_VALUE = {"deblur": ("--compare", "--report"), "probe": ("--report",), "eval": ("--report",)}


def fill_optional_values(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with `auto` behind each such option that stands alone.

    The next word is the value of --report if it ends like a page, and of --compare unless it is a file that
    exists: that is an input. An existing compare clip is recognised by _compare in its name. `--compare=FILE`
    takes any name.
    """
    options = _WITH_VALUE.get(arguments[0], ()) if arguments else ()
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return [*_filled(arguments[:end], options), *arguments[end:]]


def _filled(arguments: Sequence[str], options: Sequence[str]) -> Iterator[str]:
    for place, word in enumerate(arguments):
        yield word
        following = arguments[place + 1] if place + 1 < len(arguments) else ""
        if word in options and not _is_value(word, following):
            yield AUTO


def _is_value(option: str, word: str) -> bool:
    if not word or word.startswith("-"):
        return False
    if option == "--report":
        return word == AUTO or word.lower().endswith((".html", ".htm"))
    is_compare = os.path.splitext(word)[0].endswith("_compare")  # noqa: PTH122 (any text)
    return is_compare or not os.path.lexists(word)
