"""Records of exposure: duration, an instant within it, and intra-frame camera shake."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Exposure:
    """How the target's shutter relates to the reference's frames.

    length: open time in target frame intervals (a mean of N frames: N). shift: by how many intervals its
    middle is after the target's timestamp. discrete_frames: a mean of whole frames rather than of
    continuous motion. linear: averaged in linear light rather than in coded values. rolling_shutter: by how
    many intervals later the target's last row is exposed than its first, compared with the reference's rows
    that show the same. steadied: EIS has moved the frames, so that motion between them does not show how
    they are blurred. relative_softness: then, how much softer the target's details are at half the reduced
    size than the reference's, as a factor of their Laplacian; negative: sharper.
    """

    length: float
    shift: float = 0.0
    discrete_frames: bool = False
    linear: bool = False
    rolling_shutter: float = 0.0
    steadied: bool = False
    relative_softness: float = 0.0


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
