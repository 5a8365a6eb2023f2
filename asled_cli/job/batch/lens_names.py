"""Which lens the name of a clip says it is from, and what is left of the name without it."""

import re
from typing import Literal

Lens = Literal["wide", "ultra", ""]

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")  # backUltraWide: three words
_HALF = re.compile(
    r"(?<![\d.,])0?[.,]5 ?x(?![a-z0-9])", re.IGNORECASE
)  # 0.5x, 0,5x, .5x: the ultra-wide lens
_BETWEEN = re.compile(r"[-_.\s]+")
# Focal lengths are equivalents for 35 mm film: up to 18 mm is ultra-wide, 19 to 35 mm the main lens.
_ULTRA = re.compile(r"\b(?:ultra ?wide ?angle|ultra ?wide|ultra|uw|1[0-8] ?mm)\b")
_WIDE = re.compile(r"\b(?:wide ?angle|wide|main|w|1x|(?:19|2\d|3[0-5]) ?mm)\b")


def is_hidden(name: str) -> bool:
    """Return whether a file's name begins with a dot that is not that of a lens: .5x.mov is a clip."""
    return name.startswith(".") and _HALF.match(name) is None


def split_lens(stem: str) -> tuple[str, Lens]:
    """Return the rest of a file's name, as it compares, and the lens that the name says.

    stem: name without suffix. Words may be joined by spaces, dots, dashes, underscores or capitals.
    """
    text = _HALF.sub(" ultra ", _CAMEL.sub(" ", stem))
    text = " ".join(_BETWEEN.sub(" ", text).casefold().split())
    for lens, pattern in (("ultra", _ULTRA), ("wide", _WIDE)):
        if pattern.search(text):
            rest = " ".join(pattern.sub(" ", text, count=1).split())
            return rest, "ultra" if lens == "ultra" else "wide"
    return text, ""
