"""OIS path: how the target's view shifts against the reference's if one lens is stabilised optically."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from asled_cli.registration.model.exposure import Exposure

# A gap this many times longer than the median interval is interpolated linearly.
_GAP = 3.0


@dataclass(frozen=True)
class OisPath:
    """Shifts of the target's view over time.

    times_s: (N,) float64 seconds on the target's clock, rising.
    shifts: (N, 2) float64 full target pixels, added to a target pixel before the clip's map.
    exposure: with which they were found.
    """

    times_s: NDArray[np.float64]
    shifts: NDArray[np.float64]
    exposure: Exposure

    @cached_property
    def _gap_s(self) -> float:
        return _GAP * float(np.median(np.diff(self.times_s)))

    def scaled(self, matrix: NDArray[np.float64]) -> "OisPath":
        """Return the path with every shift multiplied by `matrix` (2, 2)."""
        return replace(self, shifts=self.shifts @ matrix.T)

    def at(self, time_s: float) -> tuple[float, float]:
        """Return the shift (x, y) at a time, full target pixels.

        Cubic Hermite between frames, linear over gaps, constant past the ends.
        """
        times, shifts = self.times_s, self.shifts
        after = int(np.searchsorted(times, time_s))
        if after == 0 or after == len(times):
            x, y = shifts[min(after, len(times) - 1)]
            return float(x), float(y)
        a, b = times[after - 1], times[after]
        span = b - a
        f = (time_s - a) / span
        p, q = shifts[after - 1], shifts[after]
        if span > self._gap_s:
            x, y = p + f * (q - p)
            return float(x), float(y)
        first, last = max(after - 2, 0), min(after + 1, len(times) - 1)
        before = (q - shifts[first]) / (b - times[first]) * span
        behind = (shifts[last] - p) / (times[last] - a) * span
        f2, f3 = f * f, f * f * f
        x, y = (
            (2 * f3 - 3 * f2 + 1) * p
            + (f3 - 2 * f2 + f) * before
            + (3 * f2 - 2 * f3) * q
            + (f3 - f2) * behind
        )
        return float(x), float(y)
