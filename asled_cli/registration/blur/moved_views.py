"""Weighted sums of one frame's views at many instants, each warped along the frame's motion.

An exposure averages a dozen views, and the analysis tries hundreds of exposures. The positions that all views
of some rows come from are one product of matrices, and the views of these rows are added up while they are in
the processor's cache.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image
from asled_cli.registration.blur.reference_motion import TrackedFrame, path_weights

# Pixels and views at a time: their positions and flow stay in a processor's cache.
_PIXELS = 24_000
_VIEWS = 8
_MANY_VIEWS = 8  # from which on a fourth channel of zeros pays


@dataclass(frozen=True)
class Instants:
    """Instants at which a frame is seen.

    dt: (n,) after the frame, intervals.
    offsets: (n, 2) pixels (x, y) by which each view is displaced besides.
    row_times: (H,) how much later each row is seen, intervals; None: all at once.
    """

    dt: NDArray[np.float64]
    offsets: NDArray[np.float64]
    row_times: Image | None = None

    def part(self, chosen: slice) -> "Instants":
        """Return some of the instants."""
        return Instants(self.dt[chosen], self.offsets[chosen], self.row_times)


def add_views(
    totals: Image, frame: TrackedFrame, image: Image, instants: Instants, weights: NDArray[np.float32]
) -> None:
    """Add weighted views of `image` to sums of views, in place.

    totals: (sums, H, W[, C]) float32. frame: gives the motion. image: (H, W[, C]) float32, its picture.
    weights: (sums, n), of each view in each sum.
    """
    # OpenCV samples four channels faster than three.
    if image.ndim == 3 and image.shape[2] == 3 and len(instants.dt) >= _MANY_VIEWS:
        wide = cv2.merge([*cv2.split(image), np.zeros(image.shape[:2], np.float32)])
        sums = np.zeros((len(totals), *image.shape[:2], 4), np.float32)
        add_views(sums, frame, np.asarray(wide, np.float32), instants, weights)
        totals += sums[..., :3]
        return
    for start in range(0, len(instants.dt), _VIEWS):
        part = slice(start, start + _VIEWS)
        _add_some(totals, frame, image, instants.part(part), np.ascontiguousarray(weights[:, part]))


def _add_some(
    totals: Image, frame: TrackedFrame, image: Image, instants: Instants, weights: NDArray[np.float32]
) -> None:
    """Add a few views, block by block of rows."""
    height, width = image.shape[:2]
    count, block = len(instants.dt), max(1, _PIXELS // width)
    flows = [flow for at, flow in frame.paths if abs(at) > 1e-6]
    shares = _shares(frame, instants)
    offsets = np.tile(instants.offsets.astype(np.float32), width) if instants.offsets.any() else None
    views = np.empty((count, block, *image.shape[1:]), np.float32)
    moved = np.empty((block, count, 2 * width), np.float32)
    known = np.empty((block, 1 + len(flows), width, 2), np.float32)  # the grid of pixels, and the flows
    known[:, 0, :, 0] = np.arange(width, dtype=np.float32)
    for top in range(0, height, block):
        rows = slice(top, min(top + block, height))
        own = shares if len(shares) == 1 else shares[rows]
        for i, flow in enumerate(flows, start=1):
            known[: rows.stop - top, i] = flow[rows]
        known[: rows.stop - top, 0, :, 1] = np.arange(top, rows.stop, dtype=np.float32)[:, None]
        stacked = known[: rows.stop - top].reshape(rows.stop - top, 1 + len(flows), -1)
        places = np.matmul(own, stacked, out=moved[: rows.stop - top])  # (rows, n, 2 W)
        if offsets is not None:
            places -= offsets
        seen = views[:, : rows.stop - top]
        for j in range(count):
            at = places[:, j].reshape(-1, width, 2)
            # Stubs lack the form with one map of two channels.
            cv2.remap(image, at, None, cv2.INTER_LINEAR, dst=seen[j], borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
        sums = weights @ seen.reshape(count, -1)
        totals[:, rows] += sums.reshape(len(totals), *seen.shape[1:])


def _shares(frame: TrackedFrame, instants: Instants) -> NDArray[np.float32]:
    """Return (rows or 1, n, 1 + flows): the weights of grid and flows in the positions of each view."""
    known = [at for at, _ in frame.paths if abs(at) > 1e-6]
    times = instants.dt[None]  # (rows or 1, n)
    if instants.row_times is not None:
        times = times + instants.row_times.astype(np.float64)[:, None]
    shares = np.ones((*times.shape, 1 + len(known)), np.float32)
    if known:
        weights = path_weights(known, times.ravel()).reshape(len(known), *times.shape)
        shares[..., 1:] = -np.moveaxis(weights, 0, 2)
    return shares
