"""Choose the frames of the analysis: a few short runs of pairs, spread over the clip."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from math import ceil

from asled_cli.registration.geometry.canvas import reduce_for_analysis, reduced_sizes
from asled_cli.runtime.stages import Stage, map_in_threads
from asled_cli.video.clock import Clock
from asled_cli.video.decode.pairing import match_pictures, pair_frames
from asled_cli.video.decode.reader import ClipReader, read_picture_runs
from asled_cli.video.frames import Clip, FramePair

Range = tuple[Fraction | None, Fraction | None]
ALL: Range = (None, None)
RUNS = 4  # of the analysis, spread over the clip
RUN_LENGTH = 11  # frames of a run: exposures up to 9 frame intervals are searched
SHARPNESS_EVERY_S = Fraction(1, 2)  # seconds between two measurements of sharpness
MIN_SHARPNESS_TIMES = 6  # measurements of sharpness in a short clip
MAX_SHARPNESS_TIMES = 60  # in a long one, so that the analysis does not grow with the clip
SHORT_CLIP = 60  # frames; a clip up to here is analysed from end to end
SAMPLE_BYTES = 900 * 2**20  # of full pictures held at once: shorter runs where frames are large


@contextmanager
def reading_pairs(
    wide: Clip, ultra: Clip, clock: Clock, wide_range: Range = ALL, ultra_range: Range = ALL
) -> Iterator[Iterator[FramePair]]:
    """Give all pairs in order of time, as small as the analysis needs them, decoded in threads.

    wide_range, ultra_range: start and end on each clip's own clock; None: no limit.
    """
    with (
        ClipReader(wide, start_s=wide_range[0], end_s=wide_range[1]) as wide_frames,
        ClipReader(ultra, start_s=ultra_range[0], end_s=ultra_range[1]) as ultra_frames,
    ):
        targets, references = Stage(wide_frames, 2, "decode wide"), Stage(ultra_frames, 2, "decode ultra")
        pairs = pair_frames(targets, references, clock)
        with Stage(map(reduce_for_analysis, pairs), 2, "reduce") as reduced:
            yield reduced


def read_sampled_runs(
    wide: Clip, ultra: Clip, clock: Clock, start_s: Fraction, end_s: Fraction | None
) -> Iterator[tuple[int, int, list[FramePair]]]:
    """Yield (runs read so far, runs in all, pairs of one run), in order of time, no frame twice.

    A run that reaches into the next one, as where the frame rate is not what the file says, leaves it less
    frames or none. The pictures come as small as the analysis needs them. Memory: the full pictures of one
    run.
    """
    first = max(start_s, clock.to_target(ultra.start_s))
    last = min(end_s or wide.end_s, wide.end_s, clock.to_target(ultra.end_s))
    starts, length = run_starts(first, last, 1 / wide.average_rate, _pair_bytes(wide, ultra))
    lead = 1 / ultra.average_rate  # one frame early, so that the first pair finds its nearest
    ultra_starts = [max(ultra.start_s, clock.to_reference(start) - lead) for start in starts]
    ultra_length = ceil(length * ultra.average_rate / wide.average_rate) + 3
    sizes = reduced_sizes(wide.seen_size, ultra.seen_size)
    targets = read_picture_runs(wide, starts, length)
    references = read_picture_runs(ultra, ultra_starts, ultra_length)
    seen: Fraction | None = None  # time of the last frame so far
    with Stage(references, 1, "decode ultra") as decoded:  # both clips at once
        for done, (run, others) in enumerate(zip(targets, decoded, strict=True), start=1):
            inside = [picture for picture in run if end_s is None or picture.time < end_s]
            inside = [picture for picture in inside if seen is None or picture.time > seen]
            if not inside:
                continue
            seen = inside[-1].time
            pairs = match_pictures(inside, others, clock)
            yield done, len(starts), map_in_threads(lambda pair: pair.frames(sizes), pairs)


def pairs_at(times: Sequence[Fraction], runs: Sequence[Sequence[FramePair]]) -> list[FramePair] | None:
    """Return for each time the first pair from it on, None unless one of the runs holds them all.

    times: seconds, rising. runs: consecutive pairs each.
    """
    for run in runs:
        stamps = [pair.target.time for pair in run]
        if times and stamps and stamps[0] <= times[0] and stamps[-1] >= times[-1]:
            return [run[bisect_left(stamps, time)] for time in times]
    return None


def count_frames(wide: Clip, start: Fraction, end: Fraction | None) -> int:
    """Return the number of frames in [start, end); an estimate where they do not come at an even rate."""
    whole = wide.end_s
    length = whole - wide.start_s
    if length <= 0 or (start <= wide.start_s and (end is None or end >= whole)):
        return max(1, wide.frame_estimate)
    step = 1 / wide.average_rate
    if abs(length / step - wide.frame_estimate) > 1:
        step = length / max(1, wide.frame_estimate)
    before, until = (ceil((time - wide.start_s) / step) for time in (start, min(end or whole, whole)))
    return max(1, until - max(0, before))


def count_sharpness_times(wide: Clip, ultra: Clip, clock: Clock) -> int:
    """Return the number of times at which sharpness is measured."""
    first = max(wide.start_s, clock.to_target(ultra.start_s))
    last = min(wide.end_s, clock.to_target(ultra.end_s))
    return sharpness_count(float(last - first))


def sharpness_count(duration_s: float) -> int:
    """Return the number of times for a duration: one every SHARPNESS_EVERY_S, within limits."""
    return min(max(int(duration_s / SHARPNESS_EVERY_S), MIN_SHARPNESS_TIMES), MAX_SHARPNESS_TIMES)


def run_starts(
    first: Fraction, last: Fraction, frame_s: Fraction, pair_bytes: int
) -> tuple[list[Fraction], int]:
    """Return the times at which the runs start, and the frames of each.

    first, last: the time to choose from, seconds. frame_s: from frame to frame. pair_bytes: of two pictures.
    """
    frames = max(1, ceil((last - first) / frame_s))
    if frames <= max(RUN_LENGTH, min(SHORT_CLIP, SAMPLE_BYTES // pair_bytes)):
        return [first], frames + 1
    count = max(1, min(RUNS, frames // RUN_LENGTH))
    spare = (last - first) - RUN_LENGTH * frame_s
    shares = [Fraction(1, 2)] if count == 1 else [Fraction(i, count - 1) for i in range(count)]
    return [first + max(Fraction(0), spare) * share for share in shares], RUN_LENGTH


def _pair_bytes(wide: Clip, ultra: Clip) -> int:
    return (wide.width * wide.height + ultra.width * ultra.height) * 3 * 2
