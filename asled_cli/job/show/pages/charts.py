"""Line charts for pages: points in a field of 1000 x 100, drawn by the template as SVG."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 1000.0, 100.0


@dataclass(frozen=True, slots=True)
class Line:
    """One curve. points: as SVG wants them, "x,y x,y"."""

    name: str
    points: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Curves over time. low, high: labels of the vertical axis; start, end: of the horizontal one."""

    title: str
    summary: str  # what it shows, in a sentence, for those who cannot see it
    lines: tuple[Line, ...]
    low: str
    high: str
    start: str
    end: str
    bands: tuple[tuple[float, float, str], ...] = ()  # left, width, kind


def make_chart(
    title: str,
    unit: str,
    times: Sequence[float],
    curves: Mapping[str, Sequence[float]],
    bands: Sequence[tuple[float, float, str]] = (),
) -> Chart | None:
    """Return a chart of curves at the same times, seconds; None for fewer than two points.

    bands: start and end in seconds, kind: stretches drawn behind the curves.
    """
    if len(times) < 2 or not curves:
        return None
    values = [value for curve in curves.values() for value in curve]
    low, high = min(0.0, *values), max(0.0, *values)
    span, length = (high - low) or 1.0, (times[-1] - times[0]) or 1.0

    def x(time: float) -> float:
        return min(1.0, max(0.0, (time - times[0]) / length)) * WIDTH

    lines = tuple(
        Line(name, " ".join(
            f"{x(t):.1f},{HEIGHT * (high - v) / span:.1f}" for t, v in zip(times, curve, strict=True)
        ))
        for name, curve in curves.items()
    )  # fmt: skip
    said = "; ".join(
        f"{name}: {_number(min(c))} to {_number(max(c))} {unit}, mean {_number(sum(c) / len(c))}"
        for name, c in curves.items()
    )
    fields = tuple((x(a), x(b) - x(a), kind) for a, b, kind in bands if x(b) > x(a))
    return Chart(
        title, f"{title}. {said}.", lines, f"{_number(low)} {unit}", f"{_number(high)} {unit}",
        f"{times[0]:.2f} s", f"{times[-1]:.2f} s", fields,
    )  # fmt: skip


def _number(value: float) -> str:
    return f"{value:.2g}" if abs(value) < 10 else f"{value:.0f}"
