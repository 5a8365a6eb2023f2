"""Comparison of every picture of a copy with the source's picture at that time and its neighbours.

Deblurring, noise, compression and rounding pass. Pictures that are replaced, out of order, repeated,
mirrored, shifted, recoloured or blurred fail. Memory: a few signatures of each clip.
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
    mirrored_and_rotated,
    misfit,
    same_change,
    shifted_and_zoomed,
)

REACH = 2  # frames before and after that a frame is compared with

# Limits. Each is between the values of good copies and of faults; docs/robustness.md has the measurements.
MIN_CORRELATION = 0.65  # of luma cells
MIN_SPREAD = 3.0  # levels; the correlation of a flatter picture is meaningless
MAX_RMS = 40.0  # levels, whatever the correlation
FLAT_RMS = 12.0  # levels, where source or copy is flat
MAX_BRIGHTNESS = 12.0  # levels of mean difference; sharp pictures are up to 8 levels darker than blurred ones
CONTRAST = (0.75, 1.35)  # smallest and largest ratio to the source
MAX_CAST = 5.0  # levels of mean chroma difference
MAX_CHROMA = 8.0  # levels RMS of chroma difference
CHROMA_SHARE = 0.7  # of the source's chroma; blur and compression remove a part of it
MIN_SHARPNESS = 0.45  # ratio of detail to the source, at each level and in each direction
FEW_BITS = 0.05  # bits per pixel below which the encoder itself blurs
MIN_SHARPNESS_OF_FEW = 0.2  # the same ratio there; x264 at crf 44 and 51 leaves 0.29 to 0.6
FROZEN = 0.15  # share of the source's change below which a frame repeats the one before
MOVING = 2.0  # levels RMS of change from which the source moves
GROWN = 0.3  # share of the squared change by which the misfit of a repeated frame grows
MOSTLY = 0.5  # share of the moving frames; so many faults cannot be chance
BACKWARDS = -0.15  # correlation of the change between two frames with that in the source
MAX_MISFIT_RATIO = 0.97  # squares towards a neighbour over squares towards the own frame, for a late clip
MIN_MOVING_FRAMES = 8  # for the same
MIN_CHANGE_RATIO = 2.0  # change over the usual residual, for a fault of order

Timed = tuple[Fraction, Signature]


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """A frame of the source. time: seconds. around: neighbours by their distance in frames."""

    time: Fraction
    signature: Signature
    around: dict[int, Signature]


@dataclass(slots=True)
class Findings:
    """Faults per check: frame number and description."""

    compared: int = 0
    faults: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    out_of_order: list[tuple[int, str, float]] = field(default_factory=list)  # with the change, levels
    min_sharpness: float = MIN_SHARPNESS
    moving: int = 0  # frames
    residuals: list[float] = field(default_factory=list)  # of each frame to the best source frame, levels RMS
    # By distance: moving frames, squares towards that neighbour and towards the own frame, change in levels.
    misfits: dict[int, tuple[int, float, float, float]] = field(default_factory=dict)

    def add(self, check: str, frame: int, seen: str) -> None:
        """Add a fault of one frame. seen: description."""
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
    """Return the checks of every picture of `out`. Both clips are decoded.

    shift: source time at time 0 of `out`, seconds. start_s, end_s: range of the source, seconds.
    expected: number of frames of `out`. bits_per_pixel: of its video.
    Raises InputError if a clip cannot be decoded.
    """
    problems, findings = ReadProblems(), Findings()
    if bits_per_pixel < FEW_BITS:
        findings.min_sharpness = MIN_SHARPNESS_OF_FEW
    written = _signed(out, problems)
    sources = around(_signed(source, ReadProblems(), start_s=start_s, end_s=end_s))
    count = 0
    before: tuple[SourceFrame, Signature] | None = None
    for index, source_frame, signature in pair_by_time(sources, written, shift):
        count = index + 1
        if source_frame is not None:
            _check_frame(index, source_frame, signature, before, findings)
            before = source_frame, signature
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
            yield _source_frame(window, place)
    for place in range(max(0, len(window) - reach), len(window)):
        yield _source_frame(window, place)


def _source_frame(window: "deque[Timed]", place: int) -> SourceFrame:
    time, signature = window[place]
    around = {n - place: other for n, (_, other) in enumerate(window) if n != place}
    return SourceFrame(time, signature, {k: v for k, v in around.items() if abs(k) <= REACH})


def pair_by_time(
    sources: Iterable[SourceFrame], written: Iterable[Timed], shift: Fraction
) -> Iterator[tuple[int, SourceFrame | None, Signature]]:
    """Yield number, nearest source frame (None without one) and signature of each written frame.

    shift: seconds added to the time of a written frame.
    """
    waiting = iter(sources)
    this, following = next(waiting, None), next(waiting, None)
    for index, (time, signature) in enumerate(written):
        time += shift
        while this is not None and following is not None:
            if abs(following.time - time) > abs(this.time - time):
                break
            this, following = following, next(waiting, None)
        yield index, this, signature


def _check_frame(
    index: int,
    source_frame: SourceFrame,
    out: Signature,
    before: tuple[SourceFrame, Signature] | None,
    findings: Findings,
) -> None:
    """Add the faults of one frame. If it shows another picture, no further faults are added."""
    findings.compared += 1
    source, fit = source_frame.signature, measure_fit(source_frame.signature, out)
    neighbours = {f"{k:+d}": other.luma for k, other in source_frame.around.items()}
    if (match := best_match(source, out, neighbours, ALIGNED_TIME)) is not None:
        shows = f"shows the source's frame {match.name} from there"
        findings.out_of_order.append((index, shows, match.change))
    elif before is not None and (change := wrong_change(before, (source_frame, out))) is not None:
        findings.out_of_order.append((index, *change))
    _add_misfits(source_frame, out, findings)
    near = [other.luma for k, other in source_frame.around.items() if abs(k) == 1]
    views = mirrored_and_rotated(source.luma) | shifted_and_zoomed(source.luma, near)
    if (match := best_match(source, out, views, ALIGNED_PLACE)) is not None:
        findings.add("picture orientation", index, match.name)
    if (fault := other_picture(fit, out.luma)) is not None:
        findings.add("pictures", index, fault)
        return
    if (fault := other_colours(fit)) is not None:
        findings.add("picture colours", index, fault)
    sharpness = min((value for value in fit.sharpness if not math.isnan(value)), default=1.0)
    if sharpness < findings.min_sharpness:
        findings.add("picture sharpness", index, f"{sharpness:.2f} of the source's")


def wrong_change(
    before: tuple[SourceFrame, Signature], now: tuple[SourceFrame, Signature]
) -> tuple[str, float] | None:
    """Return a description of a wrong change between two frames, and the source's change in levels, or None.

    before, now: source frame and signature of the copy.
    """
    source = before[0].signature.luma, now[0].signature.luma
    copy = before[1].luma, now[1].luma
    motion = difference(*source)
    if motion < MOVING:
        return None
    if difference(*copy) < FROZEN * motion:
        # If the source changes only by noise, a denoised copy is still and fits as well as before.
        grown = misfit(source[1], copy[1]) - misfit(source[0], copy[0])
        return ("repeats the frame before", motion) if grown > GROWN * motion**2 * copy[1].size else None
    return ("moves backwards", motion) if same_change(source, copy) < BACKWARDS else None


def _add_misfits(source_frame: SourceFrame, out: Signature, findings: Findings) -> None:
    """Add the misfit of the frame to its own source frame and to each neighbour."""
    own = misfit(source_frame.signature.luma, out.luma)
    theirs = {distance: misfit(other.luma, out.luma) for distance, other in source_frame.around.items()}
    if float(source_frame.signature.luma.std()) > MIN_SPREAD:
        findings.residuals.append(math.sqrt(min([own, *theirs.values()]) / out.luma.size))
    for distance, other in source_frame.around.items():
        motion = difference(other.luma, source_frame.signature.luma)
        findings.moving += distance == -1 and motion >= MOVING
        if motion >= MOVING:
            count, there, here, moved_by = findings.misfits.get(distance, (0, 0.0, 0.0, 0.0))
            findings.misfits[distance] = count + 1, there + theirs[distance], here + own, moved_by + motion


def out_of_order(findings: Findings) -> Iterator[tuple[int, str]]:
    """Yield number and fault of the frames whose order compression cannot explain.

    Strong compression also repeats blocks of the frame before, but then all frames have a large misfit.
    """
    most = len(findings.out_of_order) >= MOSTLY * max(1, findings.moving)
    for frame, fault, change in findings.out_of_order:
        if change > MIN_CHANGE_RATIO * _usual_misfit(findings) or most:
            yield frame, fault


def late_by(findings: Findings) -> int:
    """Return by how many frames all pictures are early (positive) or late (negative), 0 if in time."""
    known = {
        distance: theirs / own
        for distance, (count, theirs, own, change) in findings.misfits.items()
        if count >= MIN_MOVING_FRAMES and own and change / count > MIN_CHANGE_RATIO * _usual_misfit(findings)
    }
    best = min(known, key=lambda distance: known[distance], default=0)
    return best if best and known[best] < MAX_MISFIT_RATIO else 0


def _usual_misfit(findings: Findings) -> float:
    """Return the 10th percentile of the residual of frames to the best source frame, levels RMS."""
    ordered = sorted(findings.residuals)
    return ordered[len(ordered) // 10] if ordered else 0.0


def other_picture(fit: Fit, luma: Cells) -> str | None:
    """Return why a frame cannot be the source's, None if it can. luma: cells of the frame."""
    spread = min(fit.spread, float(luma.std()))
    unlike = spread > MIN_SPREAD and fit.correlation < MIN_CORRELATION
    if unlike or fit.rms > (MAX_RMS if spread > MIN_SPREAD else FLAT_RMS):
        return f"another picture, correlation {fit.correlation:.2f}, {fit.rms:.0f} levels off"
    return None


def other_colours(fit: Fit) -> str | None:
    """Return how brightness, contrast or chroma differ, None if they agree."""
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
    """Yield one check per kind. A fault names the first frames, consecutive ones as a range."""
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
    """Return numbers as text such as "3, 7 to 9", three parts at most."""
    all_numbers = list(numbers)
    breaks = [n for n, (one, two) in enumerate(pairwise(all_numbers), start=1) if two != one + 1]
    parts = [all_numbers[a:b] for a, b in pairwise([0, *breaks, len(all_numbers)])]
    ranges = [f"{p[0]} to {p[-1]}" if len(p) > 1 else f"{p[0]}" for p in parts[:3]]
    return ", ".join(ranges) + (", ..." if len(parts) > 3 else "")
