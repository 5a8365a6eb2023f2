"""Numbers that a user may give, each with its limits, checked before any work. Standard library only."""

from asled_cli.errors import UsageError

# Field of view of the ultra clip over that of the wide clip; 1: two views of one scale (stereo cameras).
FOV_RATIO_LIMITS = (0.5, 4.0)
FOV_RATIO_HINT = "Most phones have 1.85 to 2."
EXPOSURE_LIMITS = (1e-5, 10.0)  # seconds: far beyond what a phone has, either way
MAX_TIME_S = 1_000_000.0  # 11 days: no clip is longer, and no two clips of one moment are further apart
MAX_FRAMES = 100_000  # held in memory at once
MAX_SIDE = 16_384  # pixels
MAX_CRF = 63  # of AV1, the longest scale
MAX_SEED = 2**63 - 1  # of torch and numpy generators, a signed 64-bit number
MAX_EPOCHS = 1000
MAX_JOBS = 1024  # far above the cores of any machine
MAX_SHARDS = 100_000  # as many as a manifest may have lines


def check_number(name: str, value: float | None, low: float, high: float, hint: str = "") -> None:
    """Raise UsageError unless low <= value <= high, which no "nan" is; None passes.

    name: as the user wrote it, such as "--start". hint: a value that works.
    """
    if value is not None and not low <= value <= high:
        raise UsageError(f"{name} is {value:g}, expected {low:g} to {high:g}.", hint)


def check_time(name: str, value: float | None, low: float = -MAX_TIME_S) -> None:
    """Raise UsageError unless `value` is a time in seconds, or None."""
    if value is not None and not low <= value <= MAX_TIME_S:
        least = "0" if low == 0 else f"-{MAX_TIME_S:,.0f}"
        raise UsageError(f"{name} is {value:g}, expected seconds, from {least} to {MAX_TIME_S:,.0f}.")


def check_range(start_s: float | None, end_s: float | None) -> None:
    """Raise UsageError unless --start and --end are times, in order."""
    check_time("--start", start_s)
    check_time("--end", end_s)
    if start_s is not None and end_s is not None and end_s <= start_s:
        raise UsageError(f"--end is {end_s:g} s, expected more than --start ({start_s:g} s).")


def read_size(name: str, text: str, least: int) -> tuple[int, int]:
    """Return (width, height) of WIDTHxHEIGHT. Raises UsageError for anything else, or sides beyond limits."""
    width, _, height = text.partition("x")
    sides = [int(part) if part.isdecimal() and len(part) < 9 else 0 for part in (width, height)]
    if not all(least <= side <= MAX_SIDE for side in sides):
        raise UsageError(
            f"{name} is {text!r}, expected WIDTHxHEIGHT such as 1920x1080, each {least} to {MAX_SIDE}."
        )
    return sides[0], sides[1]


def tile_text(tile: int) -> str:
    """Return a tile size in pixels, as the user reads it; 0: whole frames."""
    return f"tiles of {tile} px" if tile else "whole frames"
