"""Metrics that need weights or another package: left out with a sentence where they are missing."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from asled_cli.errors import AsledError
from asled_cli.lab.scoring.config import Metric
from asled_cli.lab.scoring.frame_scores import Extras, PairScore, SoloScore
from asled_cli.metrics.lpips import load_lpips
from asled_cli.metrics.niqe_brisque import load_natural
from asled_cli.metrics.psnr_ssim import Picture, psnr_of_error, ssim_map
from asled_cli.registration.rendering.aligned_frame import AlignedFrame, swap_weight
from asled_cli.restoration.network import FULL_SCALE

log = logging.getLogger(__name__)
Score = TypeVar("Score", PairScore, SoloScore)

# Rings of the frame as RefVSR reports them: share of width and height, from the centre outwards.
RING_EDGES = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_SEEN: set[str] = set()  # what has been told to be missing; once per process is enough


def load_extras(metrics: Sequence[Metric], folder: Path | None) -> Extras:
    """What `metrics` need beyond arithmetic. What cannot be loaded is left out, with one warning."""
    paired: dict[str, PairScore] = {}
    alone: dict[str, SoloScore] = {}
    for metric in metrics:
        if metric == "lpips-alex":
            _try(metric, partial(load_lpips, "alex", folder), paired)
        elif metric == "lpips-vgg":
            _try(metric, partial(load_lpips, "vgg", folder), paired)
        elif metric in ("niqe", "brisque"):
            _try(metric, partial(load_natural, metric), alone)
        elif metric == "rings":
            for inner, outer in pairwise(RING_EDGES):
                paired[f"psnr_ring_{inner:.0%}-{outer:.0%}"] = partial(_ring_psnr, inner=inner, outer=outer)
    return Extras(paired, alone)


def _try(metric: str, load: Callable[[], Score], scores: dict[str, Score]) -> None:
    try:
        scores[metric] = load()
    except AsledError as error:
        if metric not in _SEEN:
            _SEEN.add(metric)
            log.warning("%s is left out: %s", metric, error)


def semi_reference(result: Picture, aligned: AlignedFrame) -> float:
    """Likeness of a result to the registered other view where that can be trusted, -1..1.

    SSIM of the lumas (11x11 Gaussian), weighted by the confidence of the registration. Needs no truth. A
    result that copies the other view scores high by construction, so never compare `swap` with it.
    """
    assert aligned.reference is not None
    luma = np.array([0.299, 0.587, 0.114])
    own, other = ((view @ luma)[..., None] for view in (result, aligned.reference / FULL_SCALE))
    likeness = ssim_map(np.repeat(own, 3, axis=2), np.repeat(other, 3, axis=2)).mean(axis=2)
    weight = cv2.GaussianBlur(swap_weight(aligned), (0, 0), 1.5)[5:-5, 5:-5]
    total = float(weight.sum())
    return float((likeness * weight).sum() / total) if total > 0 else 0.0


def _ring_psnr(result: Picture, truth: Picture, *, inner: float, outer: float) -> float:
    """PSNR of the pixels between two concentric rectangles, shares of the frame's width and height."""
    height, width = truth.shape[:2]
    y = np.abs(np.arange(height) + 0.5 - height / 2)[:, None] / (height / 2)
    x = np.abs(np.arange(width) + 0.5 - width / 2) / (width / 2)
    distance = np.maximum(x, y)
    ring = (distance > inner) & (distance <= outer) if inner else distance <= outer
    return psnr_of_error(float(np.mean(np.square(result - truth)[ring]))) if ring.any() else float("nan")
