"""How the clocks of two clips belong together: a start offset, and a rate where the clocks drift apart."""

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Clock:
    """What a reference clip shows at time r on its own clock, the target shows at offset_s + rate * r.

    offset_s: seconds that the reference started after the target, if both clocks run alike. rate: seconds of
    the target's clock per second of the reference's; 1 unless two devices recorded.
    """

    offset_s: Fraction = Fraction(0)
    rate: Fraction = Fraction(1)

    def to_target(self, time: Fraction) -> Fraction:
        """The time on the target's clock of a time on the reference's."""
        return self.offset_s + self.rate * time

    def to_reference(self, time: Fraction) -> Fraction:
        """The time on the reference's clock of a time on the target's."""
        return (time - self.offset_s) / self.rate

    def inverse(self) -> "Clock":
        """The same with target and reference in each other's place."""
        return Clock(-self.offset_s / self.rate, 1 / self.rate)

    @property
    def drift_ppm(self) -> float:
        """By how many millionths the reference's clock runs slow against the target's."""
        return (float(self.rate) - 1) * 1e6


def as_clock(offset: "Clock | float | Fraction") -> Clock:
    """A clock of that offset, which may be a clock already."""
    return offset if isinstance(offset, Clock) else Clock(Fraction(offset))


def exact_seconds(seconds: float | Fraction) -> Fraction:
    """The seconds that a number was written as: 0.1 is a tenth, which no float is."""
    return Fraction(repr(seconds)) if isinstance(seconds, float) else Fraction(seconds)
