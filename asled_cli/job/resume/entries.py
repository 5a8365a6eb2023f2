"""The lines of a journal: one JSON object each; of a file that may be torn or made by somebody else."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asled_cli.video.encode.segments import Segment

SEGMENT_NAME = re.compile(r"\d{6}\.packets")
STATE_NAME = re.compile(r"state-\d{6}\.safetensors")


@dataclass(frozen=True, slots=True)
class Entry:
    """A finished segment and the job as it was at its end."""

    segment: Segment
    frames: int  # written up to here, as all counts
    changed: int
    without_reference: int
    passed: int
    damaged: bool  # whether the reader had to repair anything
    chunk: int  # pieces in force
    tile: int
    state: str | None  # file with the network's memory


def entry_of(event: dict[str, Any]) -> Entry:
    """Return an entry of the journal; its names are checked, so that no path leads out of the folder."""
    fields = {name: value for name, value in event.items() if name != "event"}
    segment = Segment(**{**fields.pop("segment"), "ticks": tuple(map(int, event["segment"]["ticks"]))})
    entry = Entry(segment=segment, **fields)
    if not SEGMENT_NAME.fullmatch(segment.file) or not segment.ticks:
        raise ValueError(f"a segment called {segment.file!r}")
    if entry.state is not None and not STATE_NAME.fullmatch(entry.state):
        raise ValueError(f"a state called {entry.state!r}")
    return entry


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """Read the lines of the journal, up to a torn one."""
    with path.open("rb") as file:
        for line in file:
            try:
                event = json.loads(line) if line.endswith(b"\n") else None
            except ValueError:
                return
            if not isinstance(event, dict):
                return
            yield event


def has_begun(path: Path) -> bool:
    """Return whether a journal has a whole line; a run killed in the first one has done nothing."""
    with path.open("rb") as file:
        return file.readline().endswith(b"\n")


def cut_torn_line(path: Path) -> None:
    """Take away what a broken-off write left after the last whole line."""
    if path.is_file():
        data = path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            os.truncate(path, whole)
