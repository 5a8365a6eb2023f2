"""Extrema between samples, from the parabola through the best sample and its two neighbours."""

from collections.abc import Callable, Sequence

import numpy as np


def parabola_peak(before: float, at: float, after: float) -> float:
    """Return the position of the maximum relative to the middle value, -0.5..0.5 steps.

    0 if the three equally spaced values have no maximum.
    """
    bend = before - 2 * at + after
    if bend >= 0:
        return 0.0
    return min(max(0.5 * (before - after) / bend, -0.5), 0.5)


def parabola_minimum(positions: Sequence[float], scores: Sequence[float]) -> float:
    """Return the position of the lowest score, refined between its neighbours.

    positions, scores: (N,), positions increasing. At either end the position itself is returned.
    """
    i = int(np.argmin(scores))
    if i in (0, len(scores) - 1):
        return float(positions[i])
    a, b, _ = np.polyfit(positions[i - 1 : i + 2], scores[i - 1 : i + 2], 2)
    low, high = positions[i - 1], positions[i + 1]
    return float(np.clip(-b / (2 * a), low, high)) if a > 0 else float(positions[i])


def descend(
    positions: Sequence[float], score: Callable[[float], float], *first: int
) -> tuple[list[float], list[float]]:
    """Return the positions tried on the way down to the nearest minimum, rising, and their scores.

    positions: (N,) increasing. first: indices of the first ones tried. The neighbours of the lowest follow,
    and so on until it has one on either side or is at an end.
    """
    scores = {i: score(positions[i]) for i in first}
    while True:
        best = min(scores, key=lambda i: scores[i])
        missing = [i for i in (best - 1, best + 1) if 0 <= i < len(positions) and i not in scores]
        if not missing:
            tried = sorted(scores)
            return [positions[i] for i in tried], [scores[i] for i in tried]
        scores |= {i: score(positions[i]) for i in missing}
