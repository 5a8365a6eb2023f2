"""The relation between the clocks of two clips: a start offset, and a rate if the clocks drift."""

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Clock:
    """A linear clock: reference time r corresponds to target time offset_s + rate * r.

    offset_s: target time at reference time 0, seconds.
    rate: target seconds per reference second; 1 unless two devices recorded.
    """

    offset_s: Fraction = Fraction(0)
    rate: Fraction = Fraction(1)

    def to_target(self, time: Fraction) -> Fraction:
        """Return the target time of a reference time, seconds."""
        return self.offset_s + self.rate * time

    def to_reference(self, time: Fraction) -> Fraction:
        """Return the reference time of a target time, seconds."""
        return (time - self.offset_s) / self.rate

    def inverse(self) -> "Clock":
        """Return the clock with target and reference exchanged."""
        return Clock(-self.offset_s / self.rate, 1 / self.rate)

    @property
    def drift_ppm(self) -> float:
        """Drift of the reference's clock in parts per million; positive if it runs slow."""
        return (float(self.rate) - 1) * 1e6


def as_clock(offset: "Clock | float | Fraction") -> Clock:
    """Return a clock with this offset in seconds; a clock is returned unchanged."""
    return offset if isinstance(offset, Clock) else Clock(Fraction(offset))


def exact_seconds(seconds: float | Fraction) -> Fraction:
    """Return the decimal number that a float was written as: 0.1 becomes 1/10."""
    return Fraction(repr(seconds)) if isinstance(seconds, float) else Fraction(seconds)
