"""Lens order of two clips: which one is the wide clip, and whether both show the same scene."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import log
from typing import Literal, TypeVar

from asled_cli.registration.estimate.template_match import MatchCandidate, locate
from asled_cli.registration.geometry.canvas import reduced_sizes
from asled_cli.registration.geometry.lenses import COMMON_FOV_RATIO, LensPrior
from asled_cli.runtime.stages import Stage, map_in_threads
from asled_cli.video.clock import Clock
from asled_cli.video.decode.pairing import pair_pictures
from asled_cli.video.decode.reader import read_picture_runs
from asled_cli.video.frames import Clip, FramePair

# Correlation of the located pictures: 24 synthetic pairs of one scene reached 0.75 or more; pairs of two
# scenes, or in the wrong order, stayed below 0.4.
MIN_VIEW_CORRELATION = 0.55
_SURE_CORRELATION = 0.75  # from which no other field-of-view ratio is tried: what pairs of one scene reach
# Ratios at which the views are searched, either being the wide one: 1.4 to 2.8 first, as phones have them,
# then 0.97 to 1.45 (two views of one scale) and 2.8 to 4.
COMMON_RATIOS = (LensPrior(tolerance=0.35),)
OTHER_RATIOS = (LensPrior(1.19, tolerance=0.2), LensPrior(3.35, tolerance=0.18))
_FAR_FROM_COMMON = 0.25  # log of the ratio over the common one, from which the located ratio is the prior
_MIN_GAIN = 0.15  # of correlation, by which one order must fit better than the other
_MOMENTS = 4  # times in the clip that are compared
_FRAMES_PER_MOMENT = 3  # frames of the ultra clip, of which the nearest in time is taken


@dataclass(frozen=True)
class Order:
    """Lens order of two clips. swapped: the first one is the ultra-wide. description: reason, for people.

    fov_ratio: of the two views as located in the pictures; None: as expected, or not located.
    """

    swapped: bool
    found_by: Literal["pictures", "lens data", "order of the arguments"]
    description: str
    fov_ratio: float | None = None


Found = TypeVar("Found")
NAMED = Order(False, "order of the arguments", "as named")


Places = tuple[MatchCandidate, MatchCandidate] | tuple[None, None]


def locate_both(wide: Clip, ultra: Clip, clock: Clock) -> Places:
    """Return the place of `wide` in the view of `ultra`, and the reverse; None if no time is common."""
    pairs = [pair for pair in sample_pairs(wide, ultra, clock, _MOMENTS) if pair.reference is not None]
    if not pairs:
        return None, None
    reverse = [FramePair(p.reference, p.target, -p.lag_s) for p in pairs if p.reference is not None]

    return best_places(lambda prior: locate([pairs], prior), lambda prior: locate([reverse], prior))


def best_places(
    forward: Callable[[LensPrior], MatchCandidate], backward: Callable[[LensPrior], MatchCandidate]
) -> tuple[MatchCandidate, MatchCandidate]:
    """Return the place of the first view in the second and the reverse. forward, backward: the searches."""

    def both_ways(prior: LensPrior) -> tuple[MatchCandidate, MatchCandidate]:
        one, other = map_in_threads(lambda search: search(prior), [forward, backward])
        return one, other

    return _best(both_ways, lambda both: max(place.score for place in both))


def find_ratio(pairs: Sequence[FramePair]) -> float | None:
    """Return the ratio at which targets are located in their references; None: as phones have it, or none.

    pairs: reduced frames, each with its reference.
    """
    return _uncommon_ratio(_best(lambda prior: locate([pairs], prior), lambda place: place.score))


def _best(search: Callable[[LensPrior], Found], score: Callable[[Found], float]) -> Found:
    """Return the best of what is found at common ratios, and at others unless that is sure."""
    found = [search(prior) for prior in COMMON_RATIOS]
    if max(map(score, found)) < _SURE_CORRELATION:
        found += [search(prior) for prior in OTHER_RATIOS]
    return max(found, key=score)


def sample_pairs(wide: Clip, ultra: Clip, clock: Clock, count: int) -> Iterator[FramePair]:
    """Yield `count` pairs of reduced frames, evenly spaced in the common time; references may be missing."""
    starts = moment_times(wide, ultra, clock, count)
    if not starts:
        return
    back = 1 / ultra.average_rate
    other_starts = [max(ultra.start_s, clock.to_reference(start) - back) for start in starts]
    sizes = reduced_sizes(wide.seen_size, ultra.seen_size)
    others = read_picture_runs(ultra, other_starts, _FRAMES_PER_MOMENT)
    with Stage(others, 1, "decode ultra") as decoded:  # both clips at once
        for own, other in zip(read_picture_runs(wide, starts, 1), decoded, strict=True):
            yield from pair_pictures(own, other, clock, sizes)


def moment_times(wide: Clip, ultra: Clip, clock: Clock, count: int) -> list[Fraction]:
    """Return `count` times evenly spaced in the common time, seconds on the first clip's clock; or none."""
    first = max(wide.start_s, clock.to_target(ultra.start_s))
    last = min(wide.end_s, clock.to_target(ultra.end_s))
    if last <= first:
        return []
    return [first + (last - first) * Fraction(2 * i + 1, 2 * count) for i in range(count)]


def find_order(wide: Clip, ultra: Clip, clock: Clock, places: Places | None = None) -> Order:
    """Return the lens order: from the pictures, else from the lens data, else as the clips were named.

    places: of `locate_both` under this clock, if they are known.
    """
    forward, backward = places or locate_both(wide, ultra, clock)
    ratio = None
    if forward is not None and backward is not None:
        better = backward.score - forward.score
        ratio = _uncommon_ratio(backward if better > 0 else forward)
        if max(forward.score, backward.score) >= MIN_VIEW_CORRELATION and abs(better) > _MIN_GAIN:
            inner, outer = (ultra, wide) if better > 0 else (wide, ultra)
            description = f"the view of {inner.path.name} is inside that of {outer.path.name}"
            return Order(better > 0, "pictures", description, ratio)
    if wide.focal_35mm and ultra.focal_35mm and wide.focal_35mm != ultra.focal_35mm:
        description = f"focal lengths of {wide.focal_35mm:g} and {ultra.focal_35mm:g} mm"
        return Order(wide.focal_35mm < ultra.focal_35mm, "lens data", description, ratio)
    return replace(NAMED, fov_ratio=ratio)


def _uncommon_ratio(place: MatchCandidate) -> float | None:
    """Return the ratio at which a view was located, if it is another than phones have."""
    known = place.score >= MIN_VIEW_CORRELATION
    far = abs(log(place.fov_ratio / COMMON_FOV_RATIO)) > _FAR_FROM_COMMON
    return place.fov_ratio if known and far else None
