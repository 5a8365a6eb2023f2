"""Records of exposure: the shutter, an instant within it, and shake that the frames do not show."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Exposure:
    """How the target's shutter relates to the reference's frames.

    length: open time in target frame intervals (a mean of N frames: N). shift: by how many intervals its
    middle lies after the target's timestamp. comb: a mean of whole frames rather than of continuous motion.
    linear: averaged in linear light rather than in coded values. rolling: by how many intervals later the
    target's last row is exposed than its first, compared with the reference's rows that show the same.
    steadied: software has moved the frames, so that motion between them does not tell how they are blurred.
    softness: then, how much softer the target's details are at half the reduced size than the reference's,
    as a factor of their Laplacian; negative: sharper.
    """

    length: float
    shift: float = 0.0
    comb: bool = False
    linear: bool = False
    rolling: float = 0.0
    steadied: bool = False
    softness: float = 0.0


@dataclass(frozen=True)
class Tick:
    """A moment within an exposure.

    since: target frame intervals after the exposure's middle. phase: reference frames after the one nearest
    to that middle, or, where frames tell nothing about the motion between them, `since`.
    """

    since: float
    phase: float

    @property
    def sine(self) -> float:
        """A wave that vanishes at the frames, other ways on both sides of them."""
        return math.sin(math.pi * self.phase)

    @property
    def bump(self) -> float:
        """A wave that vanishes at the frames, one way on both sides of them."""
        return self.sine**2


@dataclass(frozen=True)
class Tremor:
    """Motion within an exposure that frames do not show, the same for the whole picture.

    sine, bump: (x, y) canvas pixels of the waves of that name (`Tick`). way: of a straight motion that is
    nowhere at the exposure's middle, canvas pixels per interval.
    """

    sine: tuple[float, float] = (0.0, 0.0)
    bump: tuple[float, float] = (0.0, 0.0)
    way: tuple[float, float] = (0.0, 0.0)

    def at(self, tick: Tick) -> tuple[float, float]:
        """Return (x, y): by how much the picture is displaced, in canvas pixels."""
        x, y = (
            tick.sine * a + tick.bump * b + tick.since * c
            for a, b, c in zip(self.sine, self.bump, self.way, strict=True)
        )
        return x, y

    def scaled(self, factor: float) -> "Tremor":
        """Return the same on a canvas `factor` times as large."""
        sine, bump, way = ((x * factor, y * factor) for x, y in (self.sine, self.bump, self.way))
        return Tremor(sine, bump, way)


STEADY = Tremor()
