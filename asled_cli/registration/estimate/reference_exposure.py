"""How long the reference's own shutter is open, read from frames that moved unlike each other.

Two frames of one scene, laid onto each other, differ by how each was blurred. Blurred once more, each as the
other was, they become alike: H_b Y_a = H_a Y_b, whatever the scene shows. The exposure under which that is
most nearly so is the shutter's. Where all frames move alike, or blur has nothing to do with the motion
between frames (a stabilised clip), no exposure brings them closer and none is found.
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
from asled_cli.registration.blur.tile_spectra import Tiles, response, turns

# Exposures tried, in target frame intervals; a shutter is open for one interval at most.
_TRIALS = (0.0, 0.06, 0.12, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0)
# An exposure is believed when it takes this share off what none at all leaves of the difference. On 28 clips
# with sharp references none took more than 0.02, on synthetic shakes 0.3 and more intervals took 0.1 to 0.6.
_GAIN = 0.05
# What is not quite so (ways that bend, errors of flow, tiles with two motions) speaks against long exposures:
# on synthetic clips, 0.12 to 0.5 intervals were found 0.7 to 0.95 times as long as they were.
_FULL = 1.15
# Pairs looked at, those of the most unlike motion; below this difference (canvas pixels) nothing can show.
_PAIRS, _UNLIKE_PX = 8, 1.0
# Sides of tiles, the largest that goes twice into the picture; smaller pictures tell nothing.
_SIDES = (128, 64, 32)
# Frequencies compared, cycles per canvas pixel: shades say nothing, above is no detail but noise.
_LOWEST, _HIGHEST = 0.02, 0.22
# Holds the comparison where both frames have lost a frequency.
_LOST = 0.02
# Tiles that differ by less than this many times the mean count by their difference, others level off.
_USUAL = 4.0


def find_reference_exposure(runs: Sequence[Sequence[TrackedFrame]]) -> float:
    """Return the exposure of the reference in the unit of the moments' times, 0 where none shows.

    runs: stretches of consecutive reference frames on the canvas.
    """
    unlike = [(_unlikeness(*pair), pair) for run in runs for pair in pairwise(run)]
    unlike = sorted(unlike, key=lambda item: -item[0])[:_PAIRS]
    pairs = [pair for difference, pair in unlike if difference >= _UNLIKE_PX]
    side = next((side for side in _SIDES if runs and 2 * side <= min(runs[0][0].image.shape[:2])), None)
    if not pairs or side is None:
        return 0.0
    scores = np.mean([_scores(*pair, side) for pair in pairs], axis=0)
    i = int(np.argmin(scores))
    if i == 0 or scores[i] > scores[0] * (1 - _GAIN):
        return 0.0
    return min(_FULL * parabola_minimum(_TRIALS, scores.tolist()), _TRIALS[-1])


def travel(moment: TrackedFrame, exposure: float) -> Image:
    """Return (H, W, 2): how far what is at each pixel moves while the shutter is open, pixels."""
    after, before = displacement(moment, exposure / 2), displacement(moment, -exposure / 2)
    if after is None or before is None:
        return np.zeros((*moment.image.shape[:2], 2), np.float32)
    return np.asarray(after - before, np.float32)


def _unlikeness(first: TrackedFrame, second: TrackedFrame) -> float:
    """Return how differently two frames move, pixels per interval; 0 across a cut."""
    flow = _flow(first, second)
    if flow is None:
        return 0.0
    unlike = travel(first, 1.0) - warp(travel(second, 1.0), flow)
    return float(np.median(np.hypot(unlike[::8, ::8, 0], unlike[::8, ::8, 1])))


def _flow(first: TrackedFrame, second: TrackedFrame) -> Image | None:
    """Return the flow (H, W, 2) from a frame to the next one, None across a cut."""
    dt = second.time - first.time
    return next((flow for at, flow in first.paths if abs(at - dt) < 1e-6), None)


def _scores(first: TrackedFrame, second: TrackedFrame, side: int) -> NDArray[np.float64]:
    """Return what each trial exposure leaves of the difference of two frames, over all tiles."""
    flow = _flow(first, second)
    assert flow is not None, "pairs are chosen by their motion"
    height, width = first.image.shape[:2]
    x, y = pixel_grid((width, height))
    u, v = x + flow[..., 0], y + flow[..., 1]
    tiles = Tiles(side, (width, height))
    pictures = [tiles.padded(grey) for grey in (_grey(first.image), sample(_grey(second.image), u, v))]
    ways = [tiles.averaged(way) for way in (travel(first, 1.0), warp(travel(second, 1.0), flow))]
    seen = within(first.image, u, v).astype(np.float32)[..., None]
    left = []
    for row in range(1, tiles.counts[0] - 1, 2):
        spectra = [tiles.spectra(_level(tiles.cut(picture, row))) for picture in pictures]
        each = _differences(tiles, spectra, [tiles.at_centres(way, row) for way in ways])
        left.append(each[:, tiles.at_centres(seen, row)[:, 0] > 0])
    each = np.concatenate(left, axis=1)
    return _fair_mean(each) if each.size else np.ones(len(_TRIALS))


def _differences(
    tiles: Tiles, spectra: Sequence[NDArray[np.complex64]], ways: Sequence[Image]
) -> NDArray[np.float64]:
    """Return (trials, N): the mean square difference of N pairs of tiles blurred alike under each trial.

    ways: (N, 2) of both frames, pixels per interval.
    """
    down, across = tiles.frequencies
    radius = np.hypot(down, across)
    band = (radius > _LOWEST) & (radius < _HIGHEST)
    down, across = np.broadcast_to(down, band.shape)[band], np.broadcast_to(across, band.shape)[band]
    a, b = (spectrum[:, band] for spectrum in spectra)
    tried = []
    for trial in _TRIALS:
        h_a, h_b = (response(turns(way * np.float32(trial), down, across)) for way in ways)
        tried.append((np.abs(h_b * a - h_a * b) ** 2 / (h_a**2 + h_b**2 + _LOST)).mean(axis=1))
    return np.asarray(tried, np.float64)


def _fair_mean(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean (trials,) over tiles (trials, N), in which none counts for much more than is usual.

    What moved otherwise than the flow says differs most, and says nothing.
    """
    unblurred = differences[0]
    weight = 1 / (unblurred + _USUAL * unblurred.mean() + 1e-12)
    return np.asarray((differences * weight).sum(axis=1) / weight.sum())


def _grey(image: Image) -> Image:
    return luma(image) if image.ndim == 3 else image


def _level(tiles: Image) -> Image:
    """Return tiles less their means, which would leak into all frequencies through the window."""
    return np.asarray(tiles - tiles.mean(axis=(1, 2), keepdims=True), np.float32)
