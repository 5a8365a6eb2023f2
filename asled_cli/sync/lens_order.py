"""Which of two clips has the wider view, and whether their pictures show the same scene at all."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from asled_cli.registration.estimate.template_match import Place, locate
from asled_cli.registration.geometry.canvas import reduce_for_analysis
from asled_cli.registration.geometry.lenses import LensPrior
from asled_cli.video.clock import Clock
from asled_cli.video.decode.pairing import pair_lists
from asled_cli.video.decode.reader import read_runs
from asled_cli.video.frames import Clip, FramePair

# Correlation of the located pictures: 24 synthetic pairs of one scene reached 0.75 or more; pairs of two
# scenes, or in the wrong order, stayed below 0.4.
MIN_VIEW_CORRELATION = 0.55
_CLEARLY = 0.15  # how much better the other way round must fit
_LOOKS = 4  # moments of the clip
_FRAMES_PER_LOOK = 3  # of the wider-spaced clip's frames, to find the nearest in time


@dataclass(frozen=True)
class Order:
    """Which clip sees less. swapped: the first one is the ultra-wide. words: why, for people."""

    swapped: bool
    found_by: Literal["pictures", "lens data", "order of the arguments"]
    words: str


NAMED = Order(False, "order of the arguments", "as named")


def both_ways(wide: Clip, ultra: Clip, clock: Clock) -> tuple[Place, Place] | tuple[None, None]:
    """Where `wide` lies in the view of `ultra`, and the reverse; None if no moment is shared."""
    pairs = [pair for pair in sample_moments(wide, ultra, clock, _LOOKS) if pair.reference is not None]
    if not pairs:
        return None, None
    turned = [FramePair(p.reference, p.target, -p.lag_s) for p in pairs if p.reference is not None]
    prior = LensPrior(tolerance=0.35)
    return locate([pairs], prior), locate([turned], prior)


def sample_moments(wide: Clip, ultra: Clip, clock: Clock, count: int) -> Iterator[FramePair]:
    """`count` reduced pairs spread over the time that both clips cover; the reference may be missing."""
    first = max(wide.start_s, clock.to_target(ultra.start_s))
    last = min(end_of(wide), clock.to_target(end_of(ultra)))
    if last <= first:
        return
    starts = [first + (last - first) * Fraction(2 * i + 1, 2 * count) for i in range(count)]
    back = 1 / ultra.average_rate
    others = read_runs(
        ultra, [max(ultra.start_s, clock.to_reference(start) - back) for start in starts], _FRAMES_PER_LOOK
    )
    for own, other in zip(read_runs(wide, starts, 1), others, strict=True):
        yield from map(reduce_for_analysis, pair_lists(own, other, clock))


def find_order(wide: Clip, ultra: Clip, clock: Clock) -> Order:
    """Which of the clips is the wide one: by their pictures, else by their lens data, else as named."""
    forward, backward = both_ways(wide, ultra, clock)
    if forward is not None and backward is not None:
        better = backward.score - forward.score
        if max(forward.score, backward.score) >= MIN_VIEW_CORRELATION and abs(better) > _CLEARLY:
            inner, outer = (ultra, wide) if better > 0 else (wide, ultra)
            words = f"the view of {inner.path.name} lies inside that of {outer.path.name}"
            return Order(better > 0, "pictures", words)
    if wide.focal_35mm and ultra.focal_35mm and wide.focal_35mm != ultra.focal_35mm:
        words = f"focal lengths of {wide.focal_35mm:g} and {ultra.focal_35mm:g} mm"
        return Order(wide.focal_35mm < ultra.focal_35mm, "lens data", words)
    return NAMED


def end_of(clip: Clip) -> Fraction:
    """The clip's end on its own clock, by its declared length."""
    return clip.start_s + (clip.duration_s or clip.frame_estimate / clip.average_rate)
