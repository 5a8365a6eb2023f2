"""Checks of a network's config before it is built, because configs may come from files of others."""

import math
from collections.abc import Mapping
from dataclasses import fields
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

CHANNELS = (1, 512)
"""Minimum and maximum of channels of any layer; the largest published network has 64."""
BLOCKS = (0, 128)
"""Minimum and maximum of residual blocks of one part; the largest published network has 30."""
_WORDS: dict[Any, str] = {bool: "true or false", str: "a text"}
SHOWN_CHARS = 60  # of a value in a message: files may hold long ones


def check_config(config: Any, limits: Mapping[str, tuple[int, int]]) -> None:
    """Raise ValueError unless every field has its declared type and is within its limits.

    config: a dataclass of whole numbers, numbers, flags, Literals and other dataclasses, which check
    themselves. limits: (minimum, maximum) by name of a field; all numbers must be finite.
    """
    kinds = get_type_hints(type(config))
    for name in (field.name for field in fields(config)):
        value = getattr(config, name)
        expected = expected_kind(value, kinds[name], limits.get(name))
        if expected:
            raise ValueError(f"{name} is {shorten(value)}, expected {expected}.")


def shorten(value: object) -> str:
    """Return a value as Python writes it, cut to a length that fits into a sentence."""
    text = repr(value)
    return text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "..."


def expected_kind(value: Any, kind: Any, limit: tuple[int, int] | None = None) -> str:
    """Return what a field of type `kind` should hold instead of `value`, or nothing if it is right.

    limit: minimum and maximum of a whole number. Numbers must be finite, and a boolean is not a number.
    """
    if kind is int:
        least, most = limit or (-math.inf, math.inf)
        right = type(value) is int and least <= value <= most
        return "" if right else "a whole number" + (f" from {least} to {most}" if limit else "")
    if kind is float:
        return "" if type(value) in (int, float) and math.isfinite(value) else "a number"
    if get_origin(kind) is Literal:
        known = get_args(kind)
        return "" if type(value) is str and value in known else "one of " + ", ".join(known)
    if get_origin(kind) is tuple:
        parts = get_args(kind)
        right = isinstance(value, tuple | list) and len(value) == len(parts)
        right = right and not any(map(expected_kind, value, parts))
        return "" if right else f"a list of {len(parts)} numbers"
    if isinstance(kind, UnionType):  # such as Path | None
        return "" if any(not expected_kind(value, part) for part in get_args(kind)) else "a name of a file"
    plain = get_origin(kind) or kind
    return "" if isinstance(value, plain) else _WORDS.get(plain, "a table of settings")
