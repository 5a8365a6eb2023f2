"""Means over frames and clips, gains over the input, and bootstrap confidence intervals."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asled_cli.lab.scoring.clip_scores import ClipScores
from asled_cli.lab.scoring.frame_scores import Row
from asled_cli.metrics.protocols import Protocol

RESAMPLES = 2000  # of the bootstrap; 1000 or more are usual for percentile intervals
CONFIDENCE = 0.95  # of the bootstrap interval, the usual level
GAINED = ("psnr", "ssim")  # metrics whose gain over the input is shown
NOT_A_SCORE = ("frame",)  # columns that are not metrics


@dataclass(frozen=True, slots=True)
class Mean:
    """Mean of one metric by one model. low, high: bootstrap interval. clips, frames: both averages."""

    value: float
    low: float
    high: float
    clips: float
    frames: float


@dataclass(frozen=True)
class Summary:
    """Means of the models over one group of clips: group -> model -> metric -> mean."""

    groups: dict[str, dict[str, dict[str, Mean]]]
    sizes: dict[str, int]


def clip_mean(rows: Iterable[Row], metric: str) -> float | None:
    """Return the mean of one metric over the frames that have it; None if none has."""
    values = [row[metric] for row in rows if metric in row and math.isfinite(row[metric])]
    return sum(values) / len(values) if values else None


def metrics_of(scores: Sequence[ClipScores]) -> list[str]:
    """Return all metrics in the order of their first occurrence."""
    names: dict[str, None] = {}
    for one in scores:
        for row in one.rows:
            names.update(dict.fromkeys(name for name in row if name not in NOT_A_SCORE))
    return list(names)


def summarise(scores: Sequence[ClipScores], protocol: Protocol, seed: int) -> Summary:
    """Return the means of every group; "all" has the clips that are not special, each group its own."""
    groups: dict[str, list[ClipScores]] = {"all": [one for one in scores if not one.special]}
    for one in scores:
        if one.group:
            groups.setdefault(one.group, []).append(one)
    found = {name: group for name, group in groups.items() if group}
    sizes = {name: len({one.clip for one in group}) for name, group in found.items()}
    return Summary({name: _by_model(group, protocol, seed) for name, group in found.items()}, sizes)


def _by_model(group: list[ClipScores], protocol: Protocol, seed: int) -> dict[str, dict[str, Mean]]:
    inputs = {one.clip: one for one in group if one.model == "input"}
    means: dict[str, dict[str, Mean]] = {}
    for model in dict.fromkeys(one.model for one in group):
        own = [one for one in group if one.model == model]
        found = {metric: mean_over(own, metric, protocol, seed) for metric in metrics_of(own)}
        for metric in GAINED if inputs else ():
            found[f"{metric}_gain"] = _mean_gain(own, inputs, metric, protocol, seed)
        means[model] = {metric: mean for metric, mean in found.items() if mean is not None}
    return means


def mean_over(scores: Sequence[ClipScores], metric: str, protocol: Protocol, seed: int) -> Mean | None:
    """Return the mean of a metric over clips by one model; None where no clip has it."""
    found = [
        (mean, sum(metric in row for row in one.rows))
        for one in scores
        if (mean := clip_mean(one.rows, metric)) is not None
    ]
    return _mean(found, protocol, seed)


def _mean_gain(
    scores: Sequence[ClipScores], inputs: dict[str, ClipScores], metric: str, protocol: Protocol, seed: int
) -> Mean | None:
    found = []
    for one in scores:
        after, before = clip_mean(one.rows, metric), clip_mean(inputs[one.clip].rows, metric)
        if after is not None and before is not None:
            found.append((after - before, len(one.rows)))
    return _mean(found, protocol, seed)


def _mean(found: Sequence[tuple[float, int]], protocol: Protocol, seed: int) -> Mean | None:
    """Return both averages of (clip mean, frames), and the interval of the one that the protocol prints."""
    if not found:
        return None
    values, counts = np.array(found, np.float64).T
    weights = np.ones_like(counts) if protocol.average == "clips" else counts
    low, high = bootstrap(values, weights, seed)
    clips, frames = float(values.mean()), float(np.average(values, weights=counts))
    return Mean(clips if protocol.average == "clips" else frames, low, high, clips, frames)


def bootstrap(values: NDArray[np.float64], weights: NDArray[np.float64], seed: int) -> tuple[float, float]:
    """Return the percentile interval (CONFIDENCE) of the weighted mean by bootstrap over clips."""
    draws = np.random.default_rng(seed).integers(0, len(values), (RESAMPLES, len(values)))
    means = (values[draws] * weights[draws]).sum(1) / weights[draws].sum(1)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
