"""Checks of every written picture against the source's picture of that time and its neighbours.

What deblurring, noise, compression and rounding change passes; a picture that is another one, out of order,
repeated, mirrored, moved, recoloured or blurred does not. Memory: a few signatures of either clip.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

from asled_cli.video.decode.reader import read_pictures
from asled_cli.video.decode.track_decoder import ReadProblems
from asled_cli.video.frames import Clip
from asled_cli.video.preserve.check import Check
from asled_cli.video.preserve.frame_signature import Cells, Signature, Signer
from asled_cli.video.preserve.signature_match import (
    ALIGNED_PLACE,
    ALIGNED_TIME,
    Fit,
    best_match,
    difference,
    measure_fit,
    misfit,
    moved,
    same_change,
    turned,
)

REACH = 2  # frames before and after that a frame is compared with

# Limits, each between what deblurred, noisy, dark and compressed clips show and what the fault shows; the
# table is in docs/robustness.md.
MIN_CORRELATION = 0.65
MIN_SPREAD = 3.0  # levels: a flatter picture has no correlation to speak of
MAX_RMS = 40.0  # levels, whatever the correlation
FLAT_RMS = 12.0  # levels, where source or copy is flat
MAX_BRIGHTNESS = 12.0  # levels: blur averages light, so that truth is up to 8 levels darker
CONTRAST = (0.75, 1.35)
MAX_CAST = 5.0  # levels
MAX_CHROMA, CHROMA_SHARE = 8.0, 0.7  # levels RMS; of the source's own, which blur and coding take part of
MIN_SHARPNESS = 0.45  # of the source's, at any level and in either direction
# Below so many bits per pixel the encoder blurs by itself: crf 44 and 51 of x264 leave 0.29 to 0.6.
FEW_BITS, MIN_SHARPNESS_OF_FEW = 0.05, 0.2
FROZEN = 0.15  # of the source's own change since the frame before, from MOVING levels on
MOVING = 2.0
GROWN = 0.3  # of the squares of that change must be missed more than one frame before
MOSTLY = 0.5  # of the moving frames: so many faults need no comparison with the others
BACKWARDS = -0.15  # correlation of the change between two frames in the copy with that in the source
# Of a whole clip: squares left towards a neighbour's frames, against those left towards its own.
LATE, FEWEST_TO_BE_LATE = 0.97, 8
BEYOND = 2.0  # a change counts where it is so much larger than what is left between frames that fit

Timed = tuple[Fraction, Signature]


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """A frame of the source with its neighbours, by their distance in frames."""

    time: Fraction
    signature: Signature
    around: dict[int, Signature]


@dataclass(slots=True)
class Findings:
    """Frames at fault, per kind of check: number of the frame and what was seen."""

    compared: int = 0
    faults: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    out_of_order: list[tuple[int, str, float]] = field(default_factory=list)  # with the change, levels
    least_sharpness: float = MIN_SHARPNESS
    moving: int = 0
    left: list[float] = field(default_factory=list)  # of each frame towards the best of its neighbourhood
    # By distance: frames that move, squares left towards that neighbour and their own, change in levels.
    misfits: dict[int, tuple[int, float, float, float]] = field(default_factory=dict)

    def add(self, check: str, frame: int, seen: str) -> None:
        self.faults.setdefault(check, []).append((frame, seen))


# Check, and what is expected of every frame.
EXPECTED = {
    "pictures": "the source's, at any sharpness",
    "picture order": "each frame at its time",
    "picture orientation": "as in the source",
    "picture colours": "as in the source",
    "picture sharpness": f"at least {MIN_SHARPNESS:g} of the source's",
}


def compare_frames(
    source: Clip,
    out: Clip,
    *,
    shift: Fraction = Fraction(0),
    start_s: Fraction | None = None,
    end_s: Fraction | None = None,
    expected: int,
    bits_per_pixel: float,
) -> list[Check]:
    """Decode both clips and compare every picture.

    shift: time of the source that `out` shows at its time 0, seconds; start_s, end_s: range of the source.
    expected: frames that `out` should hold; bits_per_pixel: of its video. Raises InputError where a clip
    cannot be decoded.
    """
    problems, findings = ReadProblems(), Findings()
    if bits_per_pixel < FEW_BITS:
        findings.least_sharpness = MIN_SHARPNESS_OF_FEW
    written = _signed(out, problems)
    moments = around(_signed(source, ReadProblems(), start_s=start_s, end_s=end_s))
    count = 0
    before: tuple[SourceFrame, Signature] | None = None
    for index, moment, signature in pair_by_time(moments, written, shift):
        count = index + 1
        if moment is not None:
            _judge(index, moment, signature, before, findings)
            before = moment, signature
    sentences = problems.sentences("the copy")
    found = f"{count} frames" + (f", {' '.join(sentences)}" if sentences else "")
    decoded = Check("decoded", f"{expected} frames", found, count == expected and not sentences)
    return [decoded, *checks_of(findings)]


def _signed(
    clip: Clip, problems: ReadProblems, *, start_s: Fraction | None = None, end_s: Fraction | None = None
) -> Iterator[Timed]:
    signer = Signer(clip)
    for time, picture in read_pictures(clip, problems, start_s=start_s, end_s=end_s):
        yield time, signer.sign(picture)


def around(frames: Iterable[Timed], reach: int = REACH) -> Iterator[SourceFrame]:
    """Yield each frame with up to `reach` neighbours on either side."""
    window: deque[Timed] = deque(maxlen=2 * reach + 1)
    for item in frames:
        window.append(item)
        if len(window) > reach:
            place = len(window) - 1 - reach
            yield _moment(window, place)
    for place in range(max(0, len(window) - reach), len(window)):
        yield _moment(window, place)


def _moment(window: "deque[Timed]", place: int) -> SourceFrame:
    time, signature = window[place]
    around = {n - place: other for n, (_, other) in enumerate(window) if n != place}
    return SourceFrame(time, signature, {k: v for k, v in around.items() if abs(k) <= REACH})


def pair_by_time(
    moments: Iterable[SourceFrame], written: Iterable[Timed], shift: Fraction
) -> Iterator[tuple[int, SourceFrame | None, Signature]]:
    """Yield the number of each written frame, the source's moment nearest in time, and its signature.

    None where none is nearer than the one before: the source has fewer frames.
    """
    waiting = iter(moments)
    this, following = next(waiting, None), next(waiting, None)
    for index, (time, signature) in enumerate(written):
        time += shift
        while this is not None and following is not None:
            if abs(following.time - time) > abs(this.time - time):
                break
            this, following = following, next(waiting, None)
        yield index, this, signature


def _judge(
    index: int,
    moment: SourceFrame,
    out: Signature,
    before: tuple[SourceFrame, Signature] | None,
    findings: Findings,
) -> None:
    """Add what is wrong with one frame; of a picture that is another one only that."""
    findings.compared += 1
    source, fit = moment.signature, measure_fit(moment.signature, out)
    neighbours = {f"{k:+d}": other.luma for k, other in moment.around.items()}
    if (match := best_match(source, out, neighbours, ALIGNED_TIME)) is not None:
        shows = f"shows the source's frame {match.name} from there"
        findings.out_of_order.append((index, shows, match.change))
    elif before is not None and (change := wrong_change(before, (moment, out))) is not None:
        findings.out_of_order.append((index, *change))
    _add_misfits(moment, out, findings)
    near = [other.luma for k, other in moment.around.items() if abs(k) == 1]
    views = turned(source.luma) | moved(source.luma, near)
    if (match := best_match(source, out, views, ALIGNED_PLACE)) is not None:
        findings.add("picture orientation", index, match.name)
    if (words := other_picture(fit, out.luma)) is not None:
        findings.add("pictures", index, words)
        return
    if (words := other_colours(fit)) is not None:
        findings.add("picture colours", index, words)
    least = min((value for value in fit.sharpness if not math.isnan(value)), default=1.0)
    if least < findings.least_sharpness:
        findings.add("picture sharpness", index, f"{least:.2f} of the source's")


def wrong_change(
    before: tuple[SourceFrame, Signature], now: tuple[SourceFrame, Signature]
) -> tuple[str, float] | None:
    """Return in words how the copy changes between two frames as the moving source does not, or None.

    The number is the source's change, levels.
    """
    source = before[0].signature.luma, now[0].signature.luma
    copy = before[1].luma, now[1].luma
    motion = difference(*source)
    if motion < MOVING:
        return None
    if difference(*copy) < FROZEN * motion:
        # Where the source only changes by noise, a copy without it stands still and fits as well as before.
        grown = misfit(source[1], copy[1]) - misfit(source[0], copy[0])
        return ("repeats the frame before", motion) if grown > GROWN * motion**2 * copy[1].size else None
    return ("moves backwards", motion) if same_change(source, copy) < BACKWARDS else None


def _add_misfits(moment: SourceFrame, out: Signature, findings: Findings) -> None:
    """Count how well the frame fits its own source frame and each neighbour."""
    own = misfit(moment.signature.luma, out.luma)
    theirs = {distance: misfit(other.luma, out.luma) for distance, other in moment.around.items()}
    if float(moment.signature.luma.std()) > MIN_SPREAD:
        findings.left.append(math.sqrt(min([own, *theirs.values()]) / out.luma.size))
    for distance, other in moment.around.items():
        motion = difference(other.luma, moment.signature.luma)
        findings.moving += distance == -1 and motion >= MOVING
        if motion >= MOVING:
            count, there, here, moved_by = findings.misfits.get(distance, (0, 0.0, 0.0, 0.0))
            findings.misfits[distance] = count + 1, there + theirs[distance], here + own, moved_by + motion


def out_of_order(findings: Findings) -> Iterator[tuple[int, str]]:
    """Yield number and fault of the frames that are out of order beyond what compression can explain.

    An encoder that saves bits repeats blocks of the frame before, too; then it misses other frames as well.
    """
    most = len(findings.out_of_order) >= MOSTLY * max(1, findings.moving)
    for frame, words, change in findings.out_of_order:
        if change > BEYOND * _usual(findings) or most:
            yield frame, words


def late_by(findings: Findings) -> int:
    """Return by how many frames all pictures are early (positive) or late (negative), 0 if they are not."""
    known = {
        distance: theirs / own
        for distance, (count, theirs, own, change) in findings.misfits.items()
        if count >= FEWEST_TO_BE_LATE and own and change / count > BEYOND * _usual(findings)
    }
    best = min(known, key=lambda distance: known[distance], default=0)
    return best if best and known[best] < LATE else 0


def _usual(findings: Findings) -> float:
    """Return what is left between a frame and the best of its neighbourhood, levels; of a good frame."""
    ordered = sorted(findings.left)
    return ordered[len(ordered) // 10] if ordered else 0.0


def other_picture(fit: Fit, luma: Cells) -> str | None:
    """Return in words why a frame cannot be the source's, None if it can."""
    spread = min(fit.spread, float(luma.std()))
    unlike = spread > MIN_SPREAD and fit.correlation < MIN_CORRELATION
    if unlike or fit.rms > (MAX_RMS if spread > MIN_SPREAD else FLAT_RMS):
        return f"another picture, correlation {fit.correlation:.2f}, {fit.rms:.0f} levels off"
    return None


def other_colours(fit: Fit) -> str | None:
    """Return in words how brightness, contrast or chroma differ, None if they do not."""
    if abs(fit.brightness) > MAX_BRIGHTNESS:
        return f"brightness {fit.brightness:+.0f} levels"
    if fit.spread > MIN_SPREAD and not CONTRAST[0] <= fit.contrast <= CONTRAST[1]:
        return f"contrast {fit.contrast:.2f} of the source's"
    if fit.cast > MAX_CAST:
        return f"a colour cast of {fit.cast:.0f} levels"
    if fit.chroma > max(MAX_CHROMA, CHROMA_SHARE * fit.colourful):
        return f"chroma {fit.chroma:.0f} levels off"
    return None


def checks_of(findings: Findings) -> Iterator[Check]:
    """Yield one check per kind; a fault names the first frames, those in a row as a range."""
    for name, expected in EXPECTED.items():
        faults = [*out_of_order(findings)] if name == "picture order" else findings.faults.get(name, [])
        found = f"{findings.compared} frames compared"
        if name == "picture order" and not faults and (late := late_by(findings)):
            yield Check(
                name, expected, f"all pictures {abs(late)} frames {'early' if late > 0 else 'late'}", False
            )
            continue
        if faults:
            first, seen = faults[0]
            found = f"{len(faults)} of {findings.compared} frames differ: {_ranges(n for n, _ in faults)}; "
            found += f"frame {first}: {seen}"
        yield Check(name, expected, found, not faults)


def _ranges(numbers: Iterable[int]) -> str:
    """Return numbers in words, such as "3, 7 to 9", no more than three parts."""
    all_numbers = list(numbers)
    breaks = [n for n, (one, two) in enumerate(pairwise(all_numbers), start=1) if two != one + 1]
    parts = [all_numbers[a:b] for a, b in pairwise([0, *breaks, len(all_numbers)])]
    words = [f"{p[0]} to {p[-1]}" if len(p) > 1 else f"{p[0]}" for p in parts[:3]]
    return ", ".join(words) + (", ..." if len(parts) > 3 else "")
