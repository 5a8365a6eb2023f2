"""The exposure of a clip from its own frames: neighbours that moved unlike each other are blurred unlike.

Each of two frames, blurred as the other one was, shows the same. The trial exposure under which that is
truest is the right one; at 0 both stay as they are. Under a steady motion all frames are blurred alike, every
trial fits, and the exposure is unknown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.deconvolution.camera_path import CameraPath, apply_to_points, chain, fit_path
from asled_cli.deconvolution.tiles import TileGrid, transfer
from asled_cli.imaging.homography import Image, Matrix
from asled_cli.imaging.parabola import parabola_minimum
from asled_cli.runtime.stages import map_in_threads

_TRIALS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 7.0, 9.0)
_SIDE = 64
_INSTANTS = 15
_LOWEST, _HIGHEST = 0.02, 0.3  # cycles per pixel: shades below, coding noise above
_LOST = 1e-3  # power of the two responses below which a frequency says nothing
_PAIRS = 8
_UNLIKE_PX = 1.0  # a pair says something if its two blurs at a full exposure differ by this
_TELLING = 0.06  # the least share by which the best trial must lower what is left of the difference


# Frame intervals. Frames that are exposed longer share most of their light: they are means of video frames.
LONGEST = 1.2
Motion = Literal["camera", "scene"]


@dataclass(frozen=True)
class ExposureFit:
    """An exposure in frame intervals, and what it explains.

    explained: 0..1, by the camera's motion the share of the frames' differences; by the scene's the share of
    the picture whose motion is known. motion: how the blur moves, as one plane or from place to place.
    along_path: whether a camera's path through the frames' positions tells the blur, as without electronic
    stabilisation.
    """

    exposure: float
    explained: float
    motion: Motion = "camera"
    along_path: bool = True

    @property
    def blended(self) -> int:
        """Of how many video frames each frame is the mean, an odd number; 0 where frames are no means."""
        count = round(self.exposure)
        return count if self.exposure > LONGEST and self.motion == "scene" and count % 2 else 0


NOT_BLURRED = ExposureFit(0.0, 0.0)


def kept_fit(kept: Mapping[str, Any]) -> ExposureFit:
    """Return the exposure among values that were kept with `asdict`; what was not known then is as usual."""
    names = (field.name for field in fields(ExposureFit))
    return ExposureFit(**{name: kept[name] for name in names if name in kept})


def find_exposure(runs: Sequence[tuple[Sequence[Image], Sequence[Matrix]]]) -> ExposureFit:
    """Return the exposure that explains how neighbouring frames differ; 0.0 if it is unknown.

    runs: stretches of consecutive frames, (H, W) float32 linear luma, and the maps from each to the next.
    """
    pairs = [
        (_unlikeness(frames, maps, k), frames, maps, k) for frames, maps in runs for k in range(len(maps))
    ]
    telling = sorted((p for p in pairs if p[0] >= _UNLIKE_PX), key=lambda pair: -pair[0])[:_PAIRS]
    if not telling:
        return ExposureFit(0.0, 0.0)
    scores = np.mean(map_in_threads(lambda pair: _scores(*pair[1:]), telling), axis=0)
    best = int(np.argmin(scores))
    explained = 1 - float(scores[best] / scores[0])
    if best == 0 or explained < _TELLING:
        return ExposureFit(0.0, max(explained, 0.0))
    return ExposureFit(parabola_minimum(_TRIALS, scores.tolist()), explained)


def _path(maps: Sequence[Matrix], k: int, exposure: float, size: tuple[int, int]) -> CameraPath:
    return fit_path(chain(maps, k), 0, k, exposure, size)


def _unlikeness(frames: Sequence[Image], maps: Sequence[Matrix], k: int) -> float:
    """Return by how much the motion over a frame interval differs between frames k and k + 1, pixels."""
    size = frames[0].shape[1], frames[0].shape[0]
    path = _path(maps, k, 0.0, size)
    middle = np.array([[size[0] / 2, size[1] / 2]])
    ends = [apply_to_points(path.pose(k + u), middle) for u in (-0.5, 0.5, 1.5)]
    return float(np.hypot(*(ends[2] - 2 * ends[1] + ends[0])[0]))


def _scores(frames: Sequence[Image], maps: Sequence[Matrix], k: int) -> NDArray[np.float64]:
    """Return what each trial leaves of the difference of frames k and k + 1, relative to none."""
    size = frames[0].shape[1], frames[0].shape[0]
    grid = TileGrid(_SIDE, _SIDE // 2, size)
    there = maps[k]
    second = cv2.warpPerspective(
        frames[k + 1],
        there,
        size,
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT,
    )
    padded = [grid.padded(frames[k]), grid.padded(np.asarray(second, np.float32))]
    inner = range(1, grid.counts[0] - 1)
    spectra = [np.concatenate([_spectra(grid, p, row) for row in inner]) for p in padded]
    centres = np.concatenate([grid.centres(row) for row in inner])
    away = apply_to_points(there, centres)
    seen = ((away > 0) & (away < np.array(size))).all(1) & ((centres > 0) & (centres < np.array(size))).all(1)
    if not seen.any():
        return np.ones(len(_TRIALS))
    down, across = grid.frequencies
    radius = np.hypot(down[:, None], across)
    band = (radius > _LOWEST) & (radius < _HIGHEST)
    first, other = (s[seen][:, band] for s in spectra)
    left = []
    for trial in _TRIALS:
        path = _path(maps, k, trial, size)
        here, next_ = path.blur(k, trial, _INSTANTS), path.blur(k + 1, trial, _INSTANTS)
        h = [
            _moves(maps_, centres[seen], down, across)[:, band]
            for maps_ in (here, [np.linalg.inv(there) @ m @ there for m in next_])
        ]
        power = np.abs(h[0]) ** 2 + np.abs(h[1]) ** 2 + _LOST
        left.append((np.abs(h[1] * first - h[0] * other) ** 2 / power).mean(1))
    each = np.asarray(left, np.float64)  # (trials, tiles)
    weight = 1 / (each[0] + 0.3 * each[0].mean() + 1e-12)  # what moved by itself differs most
    return np.asarray((each * weight).sum(1) / (each[0] * weight).sum())


def _spectra(grid: TileGrid, padded: Image, row: int) -> NDArray[np.complex64]:
    tiles = grid.cut(padded, row)
    return grid.spectra(tiles - tiles.mean(axis=(2, 3), keepdims=True))[:, 0]


def _moves(
    maps: Sequence[Matrix],
    centres: NDArray[np.float64],
    down: NDArray[np.float32],
    across: NDArray[np.float32],
) -> NDArray[np.complex64]:
    return transfer(np.stack([apply_to_points(m, centres) - centres for m in maps], 1), down, across)
