"""Checks of spatial video: both views at every time, their eyes, and what the boxes say about the lenses."""

from collections.abc import Iterator

from asled_cli.video.frames import StereoInfo
from asled_cli.video.preserve.checks.check import Check, compare
from asled_cli.video.preserve.inventory import Inventory


def compare_views(before: Inventory, after: Inventory) -> Iterator[Check]:
    """Yield the checks of the views; none if the source has a single one."""
    ours, theirs = before.clip, after.clip
    if ours.stereo is None or ours.views < 2:
        return
    yield compare("views", ours.views, theirs.views)
    if theirs.stereo is None or theirs.views < 2:
        return
    expected = before.second_views + len(after.ticks) - len(before.ticks)  # of a range: as many as frames
    yield Check(
        "second views", str(expected), str(after.second_views), expected == after.second_views, vital=True
    )
    for name, one, two in zip(("eyes", "lenses"), _texts(ours.stereo), _texts(theirs.stereo), strict=True):
        if one:
            yield compare(name, one, two)


def _texts(stereo: StereoInfo) -> tuple[str, str]:
    """Return the eyes of the views, and the numbers about their lenses, as text; "" for none."""
    numbers = {
        "baseline": stereo.baseline_mm and f"{stereo.baseline_mm:g} mm",
        "field of view": stereo.fov_deg and f"{stereo.fov_deg:g} degrees",
        "disparity shift": stereo.disparity_shift and f"{stereo.disparity_shift:g}",
    }
    return ", ".join(stereo.eyes), ", ".join(f"{name} {text}" for name, text in numbers.items() if text)
