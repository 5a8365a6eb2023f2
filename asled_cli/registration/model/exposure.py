"""Records of the target's exposure: how it blurs the reference, an instant within it, intra-frame shake.

There are two kinds of exposure with one interface, `Exposure`. `MotionBlur` follows the motion between
frames. `KernelBlur` is for EIS clips, whose motion between frames does not show the blur.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np


@dataclass(frozen=True)
class ExposureInstant:
    """An instant within an exposure.

    since: target frame intervals after the exposure's middle.
    phase: reference frames after the one nearest to that middle. For EIS clips it equals `since`.
    """

    since: float
    phase: float

    @property
    def odd(self) -> float:
        """Return the odd wave at the instant: it vanishes at the frames and changes sign there."""
        return math.sin(math.pi * self.phase)

    @property
    def even(self) -> float:
        """Return the even wave at the instant: it vanishes at the frames and keeps its sign."""
        return self.odd**2


@dataclass(frozen=True)
class IntraFrameShake:
    """Camera motion within an exposure that the frames do not show, the same for the whole picture.

    odd, even: (x, y) canvas pixels, amplitudes of the waves of `ExposureInstant`.
    linear: (x, y) canvas pixels per interval, velocity of a motion that is zero at the exposure's middle.
    """

    odd: tuple[float, float] = (0.0, 0.0)
    even: tuple[float, float] = (0.0, 0.0)
    linear: tuple[float, float] = (0.0, 0.0)

    def at(self, instant: ExposureInstant) -> tuple[float, float]:
        """Return (x, y), the displacement of the picture in canvas pixels."""
        x, y = (
            instant.odd * a + instant.even * b + instant.since * c
            for a, b, c in zip(self.odd, self.even, self.linear, strict=True)
        )
        return x, y

    def scaled(self, factor: float) -> "IntraFrameShake":
        """Return the shake on a canvas `factor` times as large."""
        odd, even, linear = ((x * factor, y * factor) for x, y in (self.odd, self.even, self.linear))
        return IntraFrameShake(odd, even, linear)


NO_SHAKE = IntraFrameShake()


@dataclass(frozen=True)
class MotionBlur:
    """An exposure that blurs along the motion between the reference's frames.

    length: exposure time in target frame intervals (a mean of N frames: N).
    shift: by how many intervals its middle is after the target's timestamp.
    discrete_frames: a mean of whole frames rather than of continuous motion.
    linear: averaged in linear light rather than in coded values.
    rolling_shutter: delay of the target's last row against its first, intervals, relative to the reference's
    rows that show the same.
    """

    length: float
    shift: float = 0.0
    discrete_frames: bool = False
    linear: bool = False
    rolling_shutter: float = 0.0

    @property
    def has_free_length(self) -> bool:
        """Return whether the length can be measured as any number."""
        return not self.discrete_frames

    def instant(self, since: float, phase: float) -> ExposureInstant:
        """Return the instant `since` intervals after the middle, `phase` frames after the nearest frame."""
        return ExposureInstant(since, phase)

    def first_wave(self, instant: ExposureInstant) -> float:
        """Return the wave of the first two shake coefficients at an instant."""
        return instant.odd

    def shake(self, coefficients: Sequence[float]) -> IntraFrameShake:
        """Return the shake of four coefficients: x, y of the odd wave, then of the even one."""
        a, b, c, d = coefficients
        return IntraFrameShake(odd=(a, b), even=(c, d))

    def coefficients(self, shake: IntraFrameShake) -> tuple[float, float, float, float]:
        """Return the four coefficients of a shake."""
        return *shake.odd, *shake.even

    def total_length(self, reference_exposure: float) -> float | None:
        """Return the target's own exposure time, intervals; the reference has part of its blur already.

        Blurs along one direction add by variance, which is length squared over 12 for each.
        """
        return float(np.hypot(self.length, reference_exposure))


@dataclass(frozen=True)
class KernelBlur:
    """An exposure of an EIS clip: each frame has a linear motion blur kernel of its own.

    length, shift, linear, rolling_shutter: as in `MotionBlur`. The length is assumed, not measured.
    relative_softness: how much softer the target is at half the reduced size than the reference, as a factor
    of its Laplacian; negative: sharper.
    """

    discrete_frames: ClassVar[bool] = False
    has_free_length: ClassVar[bool] = False

    length: float
    shift: float = 0.0
    linear: bool = False
    rolling_shutter: float = 0.0
    relative_softness: float = 0.0

    def instant(self, since: float, phase: float) -> ExposureInstant:
        """Return the instant `since` intervals after the middle. Its waves vanish at the middle."""
        return ExposureInstant(since, since)

    def first_wave(self, instant: ExposureInstant) -> float:
        """Return the linear motion at an instant, the wave of the first two shake coefficients."""
        return instant.since

    def shake(self, coefficients: Sequence[float]) -> IntraFrameShake:
        """Return the shake of four coefficients: x, y of the linear motion, then of the even wave."""
        a, b, c, d = coefficients
        return IntraFrameShake(linear=(a, b), even=(c, d))

    def coefficients(self, shake: IntraFrameShake) -> tuple[float, float, float, float]:
        """Return the four coefficients of a shake."""
        return *shake.linear, *shake.even

    def total_length(self, reference_exposure: float) -> float | None:
        """Return None: motion between frames and blur say nothing about each other."""
        return None


Exposure = MotionBlur | KernelBlur
