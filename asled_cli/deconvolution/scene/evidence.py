"""The exposure of a clip whose parts move unlike each other: the one that makes its frames most likely.

Frames Y_k = H_k X + noise of one sharp frame X, whose power falls with the frequency as in `wiener`, have the
likelihood (its logarithm times -2, the common scale of signal and noise at its best, n values)
n log(sum_k |Y_k - H_k X|^2 + N |X|^2) + sum_f log(1 + sum_k |H_k|^2 / N)
with X at its best for each exposure. It holds for frames that share light too: no frame is left out.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from asled_cli.deconvolution.exposure import LONGEST, ExposureFit
from asled_cli.deconvolution.light import as_coded, reduce_luma
from asled_cli.deconvolution.scene.scene_motion import find_motion
from asled_cli.deconvolution.scene.scene_views import scene_views
from asled_cli.deconvolution.scene.soft_flow import REDUCTION, alike, soft_flows, soft_picture
from asled_cli.deconvolution.tiles import TileGrid, transfer
from asled_cli.deconvolution.views import Planes
from asled_cli.deconvolution.wiener import View, prior
from asled_cli.imaging.homography import Image
from asled_cli.imaging.light import luma
from asled_cli.imaging.spectra import Spectra
from asled_cli.runtime.stages import map_in_threads

TRIALS = (0.0, 0.25, 0.5, 0.75, 1.0, 2.0)  # frame intervals; longer ones see `blended.blend_count`
_AROUND = 1  # frames on either side that are compared with a target
_TARGETS = 2  # of each run, from its middle outwards
_SHORTEST = 5  # frames
_SIDE, _TILES = 128, 8  # of a target: tiles with most detail
_LOWEST, _HIGHEST = 0.005, 0.3  # cycles per pixel
# What an exposure must have to count: by how much it is likelier than none (logarithm per value, times -2),
# and the mean trust in the motion. Averaged video whose exposure is found has 0.5 to 1.5. Where flows are
# wrong, frames out of step look like frames blurred for less than an interval: sharp video by up to 0.18,
# trusted by less than 0.4.
_BLENDED, _EXPOSED = (0.5, 0.2), (0.3, 0.5)


def scene_exposure(runs: Sequence[Sequence[Image]]) -> ExposureFit:
    """Return the exposure in frame intervals, and the share of the picture whose motion is known.

    runs: by `split_scenes`. 0.0: the frames are likeliest without blur, or do not tell.
    """
    targets = [
        (run, t)
        for run in runs
        for t in range(len(run) // 2 - _TARGETS // 2, len(run) // 2 + (_TARGETS + 1) // 2)
    ]
    if not targets:
        return ExposureFit(0.0, 0.0, "scene")
    found = np.array(map_in_threads(_trials, targets)).mean(0)  # (trials, 2)
    best = int(np.argmin(found[:, 0]))
    trust = float(found[best, 1])
    likelier, trusted = _EXPOSED if TRIALS[best] <= LONGEST else _BLENDED
    clear = found[0, 0] - found[best, 0] >= likelier and trust >= trusted
    return ExposureFit(TRIALS[best] if clear else 0.0, trust, "scene")


def coded_luma(rgb: NDArray[np.uint16]) -> Image:
    """Return coded luma (h, w) of a frame (H, W, 3), 0..1, at the size at which motion is measured."""
    return reduce_luma(luma(as_coded(rgb)))


def split_scenes(stretches: Iterable[Sequence[Image]]) -> list[Sequence[Image]]:
    """Return runs of consecutive frames of one scene each, long enough to tell.

    stretches: consecutive frames, (H, W) float32 coded luma at working size.
    """
    return [run for frames in stretches for run in _split_at_cuts(frames)]


def _split_at_cuts(frames: Sequence[Image]) -> Iterator[Sequence[Image]]:
    """Yield the scenes among consecutive frames that are long enough to tell."""
    soft, first = map_in_threads(soft_picture, frames), 0
    same = map_in_threads(lambda pair: alike(*pair), list(pairwise(soft)))
    for k in range(1, len(frames) + 1):
        if k == len(frames) or not same[k - 1]:
            if k - first >= _SHORTEST:
                yield frames[first:k]
            first = k


def _trials(target: tuple[Sequence[Image], int]) -> list[tuple[float, float]]:
    """Return for each trial how unlikely the frames around a target are, and the trust in their motion."""
    run, t = target
    flows = soft_flows([soft_picture(luma) for luma in run], t)
    near = {k - t: Planes(run[k]) for k in range(max(0, t - _AROUND), min(len(run), t + _AROUND + 1))}
    grid = TileGrid(_SIDE, _SIDE * 3 // 4, (run[t].shape[1], run[t].shape[0]))
    judged = partial(_judged, near, grid, _most_detail(grid, run[t]))
    return [judged(flows, t, exposure) for exposure in TRIALS]


def _judged(
    near: dict[int, Planes],
    grid: TileGrid,
    places: list[tuple[int, int]],
    flows: Sequence[Image],
    t: int,
    exposure: float,
) -> tuple[float, float]:
    motion = find_motion(flows, t, exposure)
    return _unlikeliness(scene_views(near, motion), grid, places), float(motion.trust(REDUCTION).mean())


def _unlikeliness(views: Sequence[View], grid: TileGrid, places: list[tuple[int, int]]) -> float:
    """Return -2 log likelihood per value of the views in tiles, up to a constant."""
    band = _band(grid)
    noise = prior(*grid.frequencies)[band]
    padded = [grid.padded(view.luma) for view in views]
    found = []
    for row in sorted({row for row, _ in places}):
        columns = [column for r, column in places if r == row]
        points = grid.centres(row)[columns]
        moves = [view.blur.moves(points, grid.side) for view in views]
        responses = np.stack([transfer(m, *grid.frequencies)[:, band] for m in moves])
        spectra = np.stack([_spectra(grid, plane, row, columns)[:, band] for plane in padded])
        power = np.square(np.abs(responses)).sum(0)
        sharp = (np.conj(responses) * spectra).sum(0) / (power + noise)
        left = np.square(np.abs(spectra - responses * sharp)).sum((0, 2)) + (
            noise * np.square(np.abs(sharp))
        ).sum(1)
        values = spectra.shape[0] * spectra.shape[2]
        found.append(np.log(left + 1e-12) + np.log1p(power / noise).sum(1) / values)
    return float(np.concatenate(found).mean())


def _most_detail(grid: TileGrid, luma: Image) -> list[tuple[int, int]]:
    """Return (row, column) of the tiles with most detail."""
    padded = grid.padded(luma)
    rows, columns = grid.counts
    everywhere = list(range(columns))
    detail = np.stack(
        [
            np.square(np.abs(_spectra(grid, padded, row, everywhere)[:, _band(grid)])).sum(1)
            for row in range(rows)
        ]
    )
    order = np.argsort(-detail, axis=None, kind="stable")[:_TILES]
    return [(int(i) // columns, int(i) % columns) for i in order]


def _spectra(grid: TileGrid, padded: Image, row: int, columns: list[int]) -> Spectra:
    tiles = grid.cut(padded, row)[columns, 0]
    return grid.spectra(tiles - tiles.mean(axis=(1, 2), keepdims=True))


def _band(grid: TileGrid) -> NDArray[np.bool_]:
    down, across = grid.frequencies
    radius = np.hypot(down[:, None], across)
    return np.asarray((radius >= _LOWEST) & (radius <= _HIGHEST))
