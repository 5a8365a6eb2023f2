"""Scores of the frames of one restored clip in order, and metrics that need weights."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.errors import AsledError
from asled_cli.imaging.light import LUMA_BT601
from asled_cli.lab.datasets.image_sequence import Pictures
from asled_cli.lab.scoring.config import Metric
from asled_cli.metrics import temporal
from asled_cli.metrics.cvvdp import Clip8, ClipScore, load_cvvdp
from asled_cli.metrics.flip import load_flip
from asled_cli.metrics.lpips import load_lpips
from asled_cli.metrics.niqe_brisque import load_natural
from asled_cli.metrics.protocols import Protocol
from asled_cli.metrics.psnr_ssim import Picture, psnr, psnr_of_error, ssim, ssim_map
from asled_cli.metrics.sharpness import sharpness
from asled_cli.metrics.shift_alignment import shifted_onto
from asled_cli.registration.rendering.aligned_frame import AlignedFrame, swap_weight
from asled_cli.restoration.base import FULL_SCALE, RestoredFrame

Row = dict[str, float]
PairScore = Callable[[Picture, Picture], float]
"""A score of a result beside its truth."""
SoloScore = Callable[[Picture], float]
"""A score of a result alone."""


@dataclass(frozen=True)
class Extras:
    """Metrics that need loaded weights or a further package, by name. whole: of a clip, not of a frame."""

    paired: dict[str, PairScore] = field(default_factory=dict)
    alone: dict[str, SoloScore] = field(default_factory=dict)
    whole: dict[str, ClipScore] = field(default_factory=dict)


class TruthWindow:
    """True frames around the frame being scored, with their motion.

    Frames are decoded and measured once, for any number of results.
    """

    def __init__(self, truth: Pictures) -> None:
        self._truth = truth
        self._pictures: dict[int, Picture] = {}
        self._steps: dict[int, temporal.TruthStep] = {}

    def picture(self, index: int) -> Picture:
        """Return the true frame, float64, 0..1."""
        if index not in self._pictures:
            self._pictures[index] = to_unit(self._truth[index])
        return self._pictures[index]

    def step(self, index: int) -> temporal.TruthStep:
        """Return the true motion from frame index - 1 to frame index."""
        if index not in self._steps:
            self._steps[index] = temporal.measure_step(self.picture(index - 1), self.picture(index))
        return self._steps[index]

    def forget(self, before: int) -> None:
        """Drop the frames that are no longer needed: those before `before` - 1."""
        for kept in (self._pictures, self._steps):
            for index in [i for i in kept if i < before - 1]:
                del kept[index]


class FrameScorer:
    """Scorer of the restored frames of one clip by one model, in order."""

    def __init__(
        self,
        name: str,
        truth: TruthWindow | None,
        protocol: Protocol,
        metrics: Sequence[Metric],
        extras: Extras | None = None,
    ) -> None:
        self.name, self.truth, self.protocol, self.metrics = name, truth, protocol, metrics
        self.extras = extras or Extras()
        self.rows: list[Row] = []
        self.lines: list[NDArray[np.uint8]] = []  # the middle row of each frame, for x-t profiles
        self.middle: NDArray[np.uint8] | None = None  # the picture of frame `show`
        self.show = -1
        self.last: Picture | None = None
        self.kept: list[NDArray[np.uint8]] = []  # all frames, where a metric wants the whole clip

    def take(self, frame: RestoredFrame) -> None:
        """Score the next frame. Raises AsledError if it has values that are not finite."""
        index = len(self.rows)
        target = frame.target.rgb / FULL_SCALE
        result = target if frame.change is None else target + frame.change
        if not np.isfinite(result).all():
            raise AsledError(
                f"{self.name} gave values that are no numbers in frame {index}, expected 0 to 1.",
                "Try --precision fp32; if that does not help, the weights are damaged.",
            )
        result = self._rounded(np.clip(result, 0.0, 1.0))
        row: Row = {"frame": index, "psnr_to_input": psnr(result, self._rounded(target))}
        row.update(self._alone(result))
        if self.truth is not None:
            row.update(self._beside(result, index, self.truth))
        self.rows.append(row)
        shown = to_shown(result)
        self.lines.append(shown[len(shown) // 2])
        if self.extras.whole and self.truth is not None:
            self.kept.append(shown)
        if index == self.show:
            self.middle = shown
        self.last = result

    def finish(self, truth: Pictures | None, fps: float) -> None:
        """Score the whole clip; its value is in the row of every frame."""
        if not self.kept or truth is None:
            return
        result = np.stack(self.kept)
        true: Clip8 = np.stack([to_shown(to_unit(truth[index])) for index in range(len(result))])
        for name, score in self.extras.whole.items():
            value = score(result, true, fps)
            for row in self.rows:
                row[name] = value

    def _rounded(self, picture: Picture) -> Picture:
        return np.rint(picture * 255.0) / 255.0 if self.protocol.rounded else picture

    def _alone(self, result: Picture) -> Iterator[tuple[str, float]]:
        if "sharpness" in self.metrics:
            yield "sharpness", sharpness(result)
        for name, score in self.extras.alone.items():
            yield name, score(result)

    def _beside(self, result: Picture, index: int, window: TruthWindow) -> Iterator[tuple[str, float]]:
        truth = window.picture(index)
        if self.protocol.shift_aligned:
            result = self._rounded(shifted_onto(result, truth))
        if "psnr" in self.metrics:
            yield "psnr", psnr(result, truth)
        if "ssim" in self.metrics:
            yield "ssim", ssim(result, truth, self.protocol.ssim)
        for name, score in self.extras.paired.items():
            yield name, score(result, truth)
        if self.last is not None:
            yield from self._since(self.last, result, index, window)

    def _since(
        self, last: Picture, result: Picture, index: int, window: TruthWindow
    ) -> Iterator[tuple[str, float]]:
        scores = {
            "tgrad": temporal.temporal_gradient_error,
            "warp": temporal.warping_error,
            "tof": temporal.flow_difference,
        }
        for name, score in scores.items():
            if name in self.metrics:
                yield name, score(last, result, window.step(index))


def to_unit(picture: NDArray[np.uint8] | NDArray[np.uint16]) -> Picture:
    """Return an 8- or 16-bit image as float64, 0..1."""
    return np.asarray(picture / float(np.iinfo(picture.dtype).max), np.float64)


def to_shown(picture: Picture) -> NDArray[np.uint8]:
    """Return an image 0..1 as 8-bit values."""
    return np.asarray(cv2.convertScaleAbs(picture, alpha=255.0), np.uint8)


log = logging.getLogger(__name__)
Score = TypeVar("Score", PairScore, SoloScore, ClipScore)

# Rings of the frame as RefVSR reports them: share of width and height, from the centre outwards.
RING_EDGES = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_SEEN: set[str] = set()  # metrics already reported as missing; once per process is enough


def load_extras(metrics: Sequence[Metric], folder: Path | None) -> Extras:
    """Load what `metrics` need. A metric that cannot be loaded is left out with one warning."""
    paired: dict[str, PairScore] = {}
    alone: dict[str, SoloScore] = {}
    whole: dict[str, ClipScore] = {}
    for metric in metrics:
        if metric == "lpips-alex":
            _try(metric, partial(load_lpips, "alex", folder), paired)
        elif metric == "lpips-vgg":
            _try(metric, partial(load_lpips, "vgg", folder), paired)
        elif metric == "flip":
            _try(metric, load_flip, paired)
        elif metric == "cvvdp":
            _try(metric, load_cvvdp, whole)
        elif metric in ("niqe", "brisque"):
            _try(metric, partial(load_natural, metric), alone)
        elif metric == "rings":
            for inner, outer in pairwise(RING_EDGES):
                paired[f"psnr_ring_{inner:.0%}-{outer:.0%}"] = partial(_ring_psnr, inner=inner, outer=outer)
    return Extras(paired, alone, whole)


def _try(metric: str, load: Callable[[], Score], scores: dict[str, Score]) -> None:
    try:
        scores[metric] = load()
    except AsledError as error:
        if metric not in _SEEN:
            _SEEN.add(metric)
            log.warning("%s is left out: %s", metric, error)


def semi_reference(result: Picture, aligned: AlignedFrame) -> float:
    """Return the similarity of a result to the registered other view, -1..1.

    It is the SSIM of the lumas (11x11 Gaussian), weighted by the confidence of the registration. It needs no
    ground truth. A result that copies the other view scores high by construction, so do not compare `swap` by
    it.
    """
    assert aligned.reference is not None
    own, other = ((view @ LUMA_BT601)[..., None] for view in (result, aligned.reference / FULL_SCALE))
    similarity = ssim_map(np.repeat(own, 3, axis=2), np.repeat(other, 3, axis=2)).mean(axis=2)
    weight = cv2.GaussianBlur(swap_weight(aligned), (0, 0), 1.5)[5:-5, 5:-5]
    total = float(weight.sum())
    return float((similarity * weight).sum() / total) if total > 0 else 0.0


def _ring_psnr(result: Picture, truth: Picture, *, inner: float, outer: float) -> float:
    """Return the PSNR between two concentric rectangles, given as shares of the frame's width and height."""
    height, width = truth.shape[:2]
    y = np.abs(np.arange(height) + 0.5 - height / 2)[:, None] / (height / 2)
    x = np.abs(np.arange(width) + 0.5 - width / 2) / (width / 2)
    distance = np.maximum(x, y)
    ring = (distance > inner) & (distance <= outer) if inner else distance <= outer
    return psnr_of_error(float(np.mean(np.square(result - truth)[ring]))) if ring.any() else float("nan")
