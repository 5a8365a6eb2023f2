"""Exposure time of the reference, from pairs of frames that moved differently.

Two frames of one scene, aligned, differ by their blur. If each is blurred once more by the other's kernel,
they become equal: H_b Y_a = H_a Y_b, whatever the scene shows. The exposure under which they are most nearly
equal is that of the reference. If all frames move equally, or the blur does not follow the motion between
frames (EIS), no exposure brings them closer and the result is 0.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image, pixel_grid
from asled_cli.imaging.light import luma
from asled_cli.imaging.parabola import parabola_minimum
from asled_cli.imaging.warp import sample, warp, within
from asled_cli.registration.blur.reference_motion import TrackedFrame, displacement
from asled_cli.registration.blur.tile_spectra import Tiles, blur_response, cycles_along
from asled_cli.runtime.stages import map_in_threads

# A frame and its displacement within an interval, see `travel`.
_Moving = tuple[TrackedFrame, Image]

# Exposures tried, in target frame intervals. An exposure of a video frame is one interval at most.
_TRIALS = (0.0, 0.06, 0.12, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0)
# An exposure is accepted if it lowers the residual by this share. On 28 clips with sharp references none
# gained more than 0.02; on synthetic shakes exposures of 0.3 and more gained 0.1 to 0.6.
_MIN_GAIN = 0.05
# Curved blur trajectories, errors of flow and tiles with two motions favour short exposures: on synthetic
# clips, exposures of 0.12 to 0.5 intervals were found 0.7 to 0.95 times as long as they were.
_BIAS_CORRECTION = 1.15
# Pairs of frames compared, those whose motion differs most.
_PAIRS = 8
# Least difference in motion of a pair, canvas pixels per interval.
_MIN_DIFFERENCE_PX = 1.0
# Sides of tiles; the largest that fits twice into the picture is used.
_SIDES = (128, 64, 32)
# Frequencies compared, cycles per canvas pixel: shades below are no evidence, above is mostly noise.
_MIN_FREQUENCY = 0.02
_MAX_FREQUENCY = 0.22
# Keeps the comparison regular where both frames have lost a frequency.
_REGULARISATION = 0.02
# Tiles count fully up to this many times the mean difference.
_MAX_WEIGHT_FACTOR = 4.0


def find_reference_exposure(runs: Sequence[Sequence[TrackedFrame]]) -> float:
    """Return the exposure of the reference in the unit of the frames' times; 0 if there is no evidence.

    runs: consecutive reference frames on the canvas.
    """
    moving = [map_in_threads(lambda frame: (frame, travel(frame, 1.0)), run) for run in runs]
    neighbours = [pair for run in moving for pair in pairwise(run)]
    found = map_in_threads(lambda pair: _motion_difference(*pair), neighbours)
    difference = sorted(zip(found, neighbours, strict=True), key=lambda item: -item[0])[:_PAIRS]
    pairs = [pair for difference, pair in difference if difference >= _MIN_DIFFERENCE_PX]
    side = next((side for side in _SIDES if runs and 2 * side <= min(runs[0][0].image.shape[:2])), None)
    if not pairs or side is None:
        return 0.0
    scores = np.mean(map_in_threads(lambda pair: _trial_residuals(*pair, side), pairs), axis=0)
    i = int(np.argmin(scores))
    if i == 0 or scores[i] > scores[0] * (1 - _MIN_GAIN):
        return 0.0
    return min(_BIAS_CORRECTION * parabola_minimum(_TRIALS, scores.tolist()), _TRIALS[-1])


def travel(frame: TrackedFrame, exposure: float) -> Image:
    """Return (H, W, 2): displacement of the content at each pixel within an exposure, pixels.

    exposure: in frame intervals, centred on the frame.
    """
    moved = displacement(frame, exposure / 2, since=-exposure / 2)
    return np.zeros((*frame.image.shape[:2], 2), np.float32) if moved is None else moved


def _motion_difference(first: _Moving, second: _Moving) -> float:
    """Return the median difference of the motion of two frames, pixels per interval; 0 across a cut."""
    flow = _flow(first[0], second[0])
    if flow is None:
        return 0.0
    x, y = pixel_grid((flow.shape[1], flow.shape[0]))
    some = np.s_[::8, ::8]
    difference = first[1][some] - sample(
        second[1], x[some] + flow[some][..., 0], y[some] + flow[some][..., 1]
    )
    return float(np.median(np.hypot(difference[..., 0], difference[..., 1])))


def _flow(first: TrackedFrame, second: TrackedFrame) -> Image | None:
    """Return the flow (H, W, 2) from a frame to the next one, None across a cut."""
    dt = second.time - first.time
    return next((flow for at, flow in first.paths if abs(at - dt) < 1e-6), None)


def _trial_residuals(one: _Moving, other: _Moving, side: int) -> NDArray[np.float64]:
    """Return (trials,): the residual of two frames under each trial exposure, over all tiles."""
    (first, own), (second, others) = one, other
    flow = _flow(first, second)
    assert flow is not None, "pairs are chosen by their motion"
    height, width = first.image.shape[:2]
    x, y = pixel_grid((width, height))
    u, v = x + flow[..., 0], y + flow[..., 1]
    tiles = Tiles(side, (width, height))
    pictures = [tiles.padded(grey) for grey in (_grey(first.image), sample(_grey(second.image), u, v))]
    vectors = [tiles.averaged(vector) for vector in (own, warp(others, flow))]
    seen = within(first.image, u, v).astype(np.float32)[..., None]
    residuals = []
    for row in range(1, tiles.counts[0] - 1, 2):
        spectra = [tiles.spectra(_zero_mean(tiles.cut(picture, row))) for picture in pictures]
        each = _differences(tiles, spectra, [tiles.at_centres(vector, row) for vector in vectors])
        residuals.append(each[:, tiles.at_centres(seen, row)[:, 0] > 0])
    each = np.concatenate(residuals, axis=1)
    return _robust_mean(each) if each.size else np.ones(len(_TRIALS))


def _differences(
    tiles: Tiles, spectra: Sequence[NDArray[np.complex64]], vectors: Sequence[Image]
) -> NDArray[np.float64]:
    """Return (trials, N): the mean square difference of N pairs of tiles, blurred equally, under each trial.

    vectors: (N, 2) of both frames, pixels per interval.
    """
    down, across = tiles.frequencies
    radius = np.hypot(down, across)
    band = (radius > _MIN_FREQUENCY) & (radius < _MAX_FREQUENCY)
    down, across = np.broadcast_to(down, band.shape)[band], np.broadcast_to(across, band.shape)[band]
    a, b = (spectrum[:, band] for spectrum in spectra)
    per_trial = []
    for trial in _TRIALS:
        h_a, h_b = (
            blur_response(cycles_along(vector * np.float32(trial), down, across)) for vector in vectors
        )
        per_trial.append((np.abs(h_b * a - h_a * b) ** 2 / (h_a**2 + h_b**2 + _REGULARISATION)).mean(axis=1))
    return np.asarray(per_trial, np.float64)


def _robust_mean(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean (trials,) over tiles (trials, N) with the weight of extreme tiles limited.

    Tiles that moved differently from the flow differ most and are no evidence.
    """
    first_trial = differences[0]
    weight = 1 / (first_trial + _MAX_WEIGHT_FACTOR * first_trial.mean() + 1e-12)
    return np.asarray((differences * weight).sum(axis=1) / weight.sum())


def _grey(image: Image) -> Image:
    return luma(image) if image.ndim == 3 else image


def _zero_mean(tiles: Image) -> Image:
    """Return tiles without their means, which would leak into all frequencies through the window."""
    return np.asarray(tiles - tiles.mean(axis=(1, 2), keepdims=True), np.float32)
