"""How a clip is cut into spans of segments, each rendered by one worker, and the files that workers leave.

Segments are those of one process. At the start of a span a network's memory of the frames before is rebuilt.
The spans depend on the clip alone, so the file is the same with any number of workers, and whoever is killed.
"""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from asled_cli.job.blur.plan import BlurPlan
from asled_cli.job.records import DeblurPlan
from asled_cli.job.resume.entries import Entry, entry_of
from asled_cli.runtime.atomic_file import write_file
from asled_cli.video.decode.reader import frame_times
from asled_cli.video.encode.segments import is_intact

MAX_SPAN = 4  # segments; each span reads some frames before it again
MIN_SPANS = 8  # of a long clip, so that workers have about equal work
# Frames a network sees again: 67 dB to one process, 2 of 255, on the worst clip (benchmarks/seam_error.py).
WARM_UP = 12


@dataclass(frozen=True, slots=True)
class Span:
    """Segments first..last-1 of a clip."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class SpanTask:
    """All that a worker must know to render a span. It reads the registration from `folder`.

    begin: first segment that the job itself does not have yet. ticks: of all frames of the job. end: of the
    last one. length: frames of a segment. headers: of the movie. versions: of the driver's programs and
    weights.
    """

    span: Span
    begin: int
    plan: DeblurPlan
    blur_plan: BlurPlan
    folder: Path
    ticks: tuple[int, ...]
    end: int
    length: int
    headers: bytes
    versions: dict[str, str]

    def frames_of(self, number: int) -> tuple[int, ...]:
        """Return the times of the frames of a segment."""
        return self.ticks[number * self.length : (number + 1) * self.length]


def cut_spans(frames: int, length: int) -> list[Span]:
    """Return the spans of a clip with so many frames, in segments of `length`."""
    segments = -(-frames // length)
    count = max(min(MIN_SPANS, segments), -(-segments // MAX_SPAN))
    return [Span(place * segments // count, (place + 1) * segments // count) for place in range(count)]


def warm_up_frames(length: int, chunk: int) -> int:
    """Return how many frames before a span a network sees again, at least WARM_UP.

    They are whole chunks of the segment of `length` frames before it, as one process cuts it: with other
    chunks its memory would differ more (77 dB instead of 90).
    """
    rest = length % chunk
    return rest + -(-(WARM_UP - rest) // chunk) * chunk


def job_ticks(plan: DeblurPlan) -> tuple[int, ...]:
    """Return the times of the frames of a job, from the packets of the clip without decoding."""
    start, end = plan.wide_range
    base = plan.wide.time_base
    times = [t for t in frame_times(plan.wide) if (start is None or t >= start) and (end is None or t < end)]
    return tuple(round(time / base) for time in times)


def packets_file(number: int) -> str:
    """Return the name of a segment's file."""
    return f"{number:06d}.packets"


def state_file(number: int) -> str:
    """Return the name of the file with a network's memory after a segment."""
    return f"state-{number:06d}.safetensors"


def note_file(number: int) -> str:
    """Return the name of the file that says that a segment is finished."""
    return f"segment-{number:06d}.json"


def write_note(folder: Path, number: int, entry: Entry) -> None:
    """Say that a segment is finished. entry: with the counts of this segment alone."""
    text = json.dumps(asdict(entry)).encode()
    write_file(folder / note_file(number), lambda part: _write(part, text), overwrite=True, private=True)


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def read_note(folder: Path, number: int) -> Entry | None:
    """Return what a worker said of a segment; None where it has not, or the text is damaged."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        entry = entry_of(json.loads((folder / note_file(number)).read_text(encoding="utf-8")))
        return entry if entry.segment.file == packets_file(number) else None
    return None


def drop_unusable_notes(task: SpanTask) -> None:
    """Remove the notes of segments that are damaged or of other frames, as an earlier run may leave them."""
    for number in range(task.span.first, task.span.last):
        entry = read_note(task.folder, number)
        if (
            entry is None
            or entry.damaged
            or entry.segment.ticks != task.frames_of(number)
            or not is_intact(task.folder, entry.segment)
            or not (entry.state is None or (task.folder / entry.state).is_file())
        ):
            (task.folder / note_file(number)).unlink(missing_ok=True)


def first_missing(task: SpanTask) -> int:
    """Return the first segment of a span that is not finished; `span.last` if all are."""
    number = begin = max(task.span.first, task.begin)
    while number < task.span.last and read_note(task.folder, number) is not None:
        number += 1
    remembers = not task.plan.choice.has_network or (task.folder / state_file(number - 1)).is_file()
    return number if remembers or number == task.span.last else begin


def added(entry: Entry, before: Sequence[Entry]) -> Entry:
    """Return a worker's entry with the counts of the whole job up to it."""
    if not before:
        return entry
    last = before[-1]
    return replace(
        entry,
        frames=last.frames + entry.frames,
        changed=last.changed + entry.changed,
        without_reference=last.without_reference + entry.without_reference,
        passed=last.passed + entry.passed,
    )
