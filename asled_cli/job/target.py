"""The clip of a pair to deblur: the wide one, or the middle of the ultra-wide one with the wide one's help.

The ultra view is deblurred only where the wide lens sees too. That part is treated as the target
frame. Its change is added to the whole frame; the rest of the frame is unchanged.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import cv2
import numpy as np

from asled_cli.errors import InputError
from asled_cli.imaging.homography import resize_matrix
from asled_cli.job.records import MatchedClips
from asled_cli.registration.estimate.template_match import MatchCandidate
from asled_cli.registration.geometry.canvas import reduced_sizes
from asled_cli.sync.lens_order import MIN_VIEW_CORRELATION, locate_both
from asled_cli.sync.orientation import turned_to
from asled_cli.video.frames import Box, Clip, Frame

# Share of the common view left out at each edge: rotation, drift and hand motion during an exposure.
_INSET = 0.03
_SOFTNESS = 0.33  # of a lens that samples every n-th pixel, in units of sqrt(n^2 - 1): as `lab.rig` has it


def retarget_to_ultra(found: MatchedClips) -> MatchedClips:
    """Make the part of the ultra clip that both lenses see the target, and the wide clip its reference.

    Raises InputError if the wide view cannot be located in the ultra view.
    """
    ultra, wide = turned_to(found.ultra, found.wide)
    found = replace(found, wide=wide, ultra=ultra)
    place, box = common_part(found)
    ratio = found.ultra.width / place.fov_ratio / box[2]
    return replace(
        found,
        wide=replace(found.ultra, box=box),
        ultra=found.wide,
        timing=replace(found.timing, clock=found.timing.clock.inverse()),
        fov_ratio=max(1.0, ratio),
        fov_source="of the common part",
        exposures_s=found.exposures_s and found.exposures_s[::-1],
    )


def common_part(found: MatchedClips) -> tuple[MatchCandidate, Box]:
    """Return the place of the wide view, and the box of ultra pixels it surely covers (even numbers)."""
    wide, ultra = found.wide, found.ultra
    place, _ = locate_both(wide, ultra, found.timing.clock)
    if place is None or place.score < MIN_VIEW_CORRELATION:
        raise InputError(
            f"{wide.path.name} could not be located in the view of {ultra.path.name}.",
            "Drop --target ultra, or pass --offset if both are from one recording.",
        )
    sizes = reduced_sizes(wide.seen_size, (ultra.width, ultra.height))
    full = resize_matrix(sizes[1], (ultra.width, ultra.height)) @ place.matrix
    corners = full @ np.array([[0, sizes[0][0] - 1], [0, sizes[0][1] - 1], [1, 1]], np.float64)
    low = np.maximum(corners[:2, 0], 0)
    high = np.minimum(corners[:2, 1], (ultra.width - 1, ultra.height - 1))
    inset = _INSET * (high - low)
    x, y = (int(v) // 2 * 2 for v in np.ceil(low + inset))
    right, bottom = np.floor(high - inset)
    return place, (x, y, int(right - x + 1) // 2 * 2, int(bottom - y + 1) // 2 * 2)


def softened(frames: Iterable[Frame], target: Clip, reference: Clip, fov_ratio: float) -> Iterator[Frame]:
    """Yield reference frames as soft as the target's pixels; unchanged if they have no more detail.

    fov_ratio: view of the reference over that of the target's part.
    """
    density = reference.seen_size[0] / target.seen_size[0] / fov_ratio
    sigma = _SOFTNESS * float(np.sqrt(max(density**2 - 1, 0)))
    for frame in frames:
        if sigma < 0.3:
            yield frame
        else:
            yield replace(frame, rgb=np.asarray(cv2.GaussianBlur(frame.rgb, (0, 0), sigma), np.uint16))
