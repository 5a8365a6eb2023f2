"""Comparison of every picture of a copy with the source's picture at that time and its neighbours.

Deblurring, noise, compression and rounding pass. Pictures that are replaced, out of order, repeated,
mirrored, shifted, recoloured or blurred fail. Memory: a few signatures of each clip.
"""

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import pairwise

from asled_cli.video.decode.reader import read_pictures
from asled_cli.video.decode.track_decoder import ReadProblems
from asled_cli.video.frames import Clip
from asled_cli.video.preserve.checks.check import Check
from asled_cli.video.preserve.checks.frame_order import (
    MIN_SPREAD,
    Findings,
    add_misfits,
    late_by,
    out_of_order,
    wrong_change,
)
from asled_cli.video.preserve.checks.frame_pairs import SourceFrame, Timed, around, pair_by_time
from asled_cli.video.preserve.checks.frame_signature import Cells, Signature, Signer
from asled_cli.video.preserve.checks.signature_match import (
    ALIGNED_PLACE,
    ALIGNED_TIME,
    Fit,
    best_match,
    measure_fit,
    mirrored_and_rotated,
    shifted_and_zoomed,
)

# Limits. Each is between the values of good copies and of faults; docs/robustness.md has the measurements.
MIN_CORRELATION = 0.65  # of luma cells
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
    problems = ReadProblems()
    findings = Findings(min_sharpness=MIN_SHARPNESS_OF_FEW if bits_per_pixel < FEW_BITS else MIN_SHARPNESS)
    size = source.width, source.height
    written = _signed(out, size, problems)
    sources = around(_signed(source, size, ReadProblems(), start_s=start_s, end_s=end_s))
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
    clip: Clip,
    size: tuple[int, int],
    problems: ReadProblems,
    *,
    start_s: Fraction | None = None,
    end_s: Fraction | None = None,
) -> Iterator[Timed]:
    signer = Signer(clip, size)
    for time, picture in read_pictures(clip, problems, start_s=start_s, end_s=end_s):
        yield time, signer.sign(picture)


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
    add_misfits(source_frame, out, findings)
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
