"""The compare clip: source and result in one picture, with a zoomed crop of the most changed region."""

import json
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asled_cli.errors import UsageError
from asled_cli.job.records import DeblurPlan
from asled_cli.job.show.layout import Layout
from asled_cli.runtime.atomic_file import replace_file
from asled_cli.video.encode.encoder import EncodeConfig
from asled_cli.video.encode.segments import Segment, is_intact
from asled_cli.video.encode.writer import ClipWriter
from asled_cli.video.frames import Clip, Frame

PREFIX = "compare-"  # of the file names in the work folder


class CompareClip(ClipWriter):
    """Writer of the compare clip, with the times and the sound of the wide clip.

    folder: the work folder of the job. done: the finished segments of the result; the compare clip has one
    for each. segment: frames per segment.
    Raises UsageError if the file cannot be written, or an interrupted job had no compare clip.
    """

    def __init__(self, plan: DeblurPlan, folder: Path, done: list[Segment], segment: int) -> None:
        assert plan.compare is not None
        self._layout = Layout(plan.wide, split=plan.config.compare_layout == "line")
        self._marker = folder / f"{PREFIX}published"
        overwrite = plan.config.encode is not None and plan.config.encode.overwrite
        super().__init__(
            _clip_of(plan.wide, self._layout.size),
            plan.compare,
            _encoding(plan.wide),
            start_s=plan.wide_range[0],
            end_s=plan.end_s,
            folder=folder,
            done=[_read(plan, folder, one) for one in done],
            segment=segment,
            approve=lambda finished: overwrite or self._marker.is_file(),
            name=PREFIX,
        )

    def see(self, frame: Frame, change: NDArray[np.float32] | None) -> None:
        """Write one frame with what is added to it; keep the segment that ended before it, if any."""
        picture = self._layout.draw(frame.rgb, change, float(frame.time))
        self._keep(self.write(replace(frame, rgb=picture, source=None), None))

    def flush(self) -> Segment | None:
        """End the last segment and keep it. Return it, None without one."""
        segment = super().flush()
        self._keep(segment)
        return segment

    def _keep(self, segment: Segment | None) -> None:
        if segment is not None:
            record = json.dumps(asdict(segment)).encode()
            replace_file(_record(self._folder, segment.file), lambda part: part.write_bytes(record))

    def _complete(self, joined: Path) -> None:
        """Leave the movie as it is: it is no copy of the source that could be checked against it."""
        self._marker.touch(mode=0o600)  # whatever has the name of the compare clip from now on is ours


def _encoding(clip: Clip) -> EncodeConfig:
    pix_fmt = "yuv420p10le" if clip.bit_depth > 8 else "yuv420p"
    return EncodeConfig(crf=20, preset="veryfast", pix_fmt=pix_fmt)


def _clip_of(wide: Clip, size: tuple[int, int]) -> Clip:
    """Return the wide clip as the source of upright pictures of `size`, with no other track than sound."""
    tracks = (replace(t, external=t.external or t.kind != "audio") for t in wide.other_tracks)
    return replace(
        wide,
        width=size[0],
        height=size[1],
        rotation=0,
        display_matrix=None,
        sample_aspect_ratio=Fraction(1),
        crop=None,
        box=None,
        interlaced=False,
        alpha=False,
        other_tracks=tuple(tracks),
    )


def _record(folder: Path, file: str) -> Path:
    return folder / f"{file.removesuffix('.packets')}.json"


def _read(plan: DeblurPlan, folder: Path, of: Segment) -> Segment:
    """Return the compare clip's segment beside a finished one of the result."""
    try:
        values = json.loads(_record(folder, f"{PREFIX}{of.file}").read_text("utf-8"))
        segment = Segment(**{**values, "ticks": tuple(values["ticks"]), "file": f"{PREFIX}{of.file}"})
        if segment.ticks == of.ticks and is_intact(folder, segment):
            return segment
    except (OSError, ValueError, TypeError, KeyError):
        pass
    raise UsageError(
        f"The unfinished work on {plan.out} has no compare clip of its finished frames.",
        "Resume without --compare, or start over with --overwrite.",
    )
