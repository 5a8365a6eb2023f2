"""What the report shows of the frames: numbers over time, the most telling pictures, and x-t profiles.

Collected while the frames are written. Bounded: a picture for each part of the clip, and at most twice
MAX_SAMPLES numbers and rows, whatever the clip's length.
"""

import base64
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.job.records import DeblurPlan
from asled_cli.job.show.picture import Picture, fitted, resized, shown_size, to_screen, upright
from asled_cli.job.show.region import Region, strength_map
from asled_cli.restoration.base import FULL_SCALE
from asled_cli.runtime.atomic_file import replace_file
from asled_cli.video.encode.segments import Segment
from asled_cli.video.frames import Clip, Frame

FILE = "report.json"  # in the work folder
PICTURES = 5  # one for each part of the clip, the frame of which changes most
MAX_SAMPLES = 300  # sampled frames; at twice as many, every second one is dropped
MAX_SIDE = (1280, 960)  # pixels of a picture on the page
DETAIL = (480, 320)  # pixels of the most changed region at most; of small frames a third
ROW = 640  # pixels of a row of the x-t profile
MAP = (320, 320)
FULL_CHANGE = 0.1  # of full scale: the brightest colour of the map of changes
_BETTER = 1.15  # times the change of the best frame so far that another must have to replace it


@dataclass(slots=True)
class Sample:
    """Numbers of one frame. change: mean, share of full scale. detail_db: gradient energy gained."""

    time_s: float
    change: float
    detail_db: float


@dataclass(slots=True)
class Shot:
    """One frame as pictures, JPEG: whole and in detail, before and after; maps of change and confidence."""

    time_s: float
    change: float
    pictures: dict[str, bytes]
    detail_at: tuple[int, int] = (0, 0)  # left, top of the detail, pixels


@dataclass
class Collector:
    """Collects what a report shows; `Collector.open` continues with what an earlier run kept."""

    clip: Clip
    frames: int  # expected
    folder: Path
    samples: list[Sample] = field(default_factory=list)
    shots: dict[int, Shot] = field(default_factory=dict)  # by part of the clip
    rows: list[tuple[Picture, Picture]] = field(default_factory=list)  # one for each sample, (1, W, 3)
    row: int | None = None  # which row of the upright picture
    seen: int = 0
    step: int = 1  # every step-th frame is sampled
    missing: int = 0  # frames of an earlier run of which nothing is known

    @classmethod
    def open(cls, plan: DeblurPlan, folder: Path, done: list[Segment]) -> Self:
        """Begin, or continue after the finished segments of an earlier run."""
        found = cls(plan.wide, plan.frames, folder)
        frames = sum(len(segment.ticks) for segment in done)
        if frames:
            found._take(float(done[-1].end * plan.wide.time_base))
            found.missing = max(0, frames - found.seen)
            found.seen = frames
        return found

    def see(
        self, frame: Frame, change: NDArray[np.float32] | None, confidence: NDArray[np.float16] | None
    ) -> None:
        """Look at one frame. change: what is added to it, full scale 1; None: nothing."""
        index, self.seen = self.seen, self.seen + 1
        strength = None if change is None else strength_map(change)
        mean = 0.0 if strength is None else float(strength.mean())
        part = min(PICTURES - 1, index * PICTURES // max(1, self.frames))
        best = self.shots.get(part)
        wanted = best is None or mean > _BETTER * best.change
        sampled = index % self.step == 0
        if not wanted and not sampled:
            return
        before = upright(frame.rgb, self.clip)
        shown = None if change is None else upright(change, self.clip)
        time_s = float(frame.time)
        if sampled:
            self._sample(time_s, mean, before, shown)
        if wanted:
            self.shots[part] = self._shot(time_s, mean, before, shown, confidence)

    def _sample(
        self, time_s: float, mean: float, before: NDArray[np.uint16], change: NDArray[np.float32] | None
    ) -> None:
        """Take the numbers and the row of a frame; of each frame, so nothing is computed for all pixels."""
        gain = 0.0 if change is None else detail_gain_db(before, change)
        self.samples.append(Sample(time_s, mean, gain))
        if self.row is None:
            self.row = before.shape[0] // 2
        row = np.s_[self.row : self.row + 1]
        after = _added(before[row], None if change is None else change[row])
        self.rows.append((self._line(before[row]), self._line(after)))
        if len(self.samples) >= 2 * MAX_SAMPLES:
            self.samples, self.rows, self.step = self.samples[::2], self.rows[::2], 2 * self.step

    def _line(self, row: NDArray[np.uint16]) -> Picture:
        line = to_screen(np.ascontiguousarray(row), self.clip)
        return np.asarray(resized(line, (min(ROW, line.shape[1]), 1)), np.uint8)

    def _shot(
        self, time_s: float, mean: float, before: NDArray[np.uint16], change: NDArray[np.float32] | None,
        confidence: NDArray[np.float16] | None,
    ) -> Shot:  # fmt: skip
        after = _added(before, change)
        size = fitted(shown_size(self.clip), MAX_SIDE)
        found: dict[str, bytes] = {}
        left, top = 0, 0
        height, width = before.shape[:2]
        part_size = min(DETAIL[0], -(-width // 3)), min(DETAIL[1], -(-height // 3))
        if change is not None:
            left, top = Region(part_size).follow(strength_map(change))
            found["change"] = jpeg(colour_map(np.abs(change[::2, ::2]).mean(-1) / FULL_CHANGE))
        if confidence is not None:
            found["confidence"] = jpeg(colour_map(upright(confidence, self.clip).astype(np.float32)))
        for name, view in (("before", before), ("after", after)):
            found[name] = jpeg(to_screen(resized(view, size), self.clip))
            part = view[top : top + part_size[1], left : left + part_size[0]]
            found[f"{name}_detail"] = jpeg(to_screen(np.ascontiguousarray(part), self.clip), 92)
        return Shot(time_s, mean, found, (left, top))

    def profile(self) -> tuple[bytes, bytes]:
        """Return the x-t profiles before and after, JPEG: one row of pixels per sample, time downwards."""
        before, after = (np.concatenate([pair[which] for pair in self.rows]) for which in (0, 1))
        return jpeg(before, 90), jpeg(after, 90)

    def keep(self) -> None:
        """Write all to the work folder."""
        state = {
            "samples": [asdict(sample) for sample in self.samples],
            "shots": {
                part: {**asdict(shot), "pictures": {k: _text(v) for k, v in shot.pictures.items()}}
                for part, shot in self.shots.items()
            },
            "rows": [[_text(line.tobytes()) for line in pair] for pair in self.rows],
            **{name: getattr(self, name) for name in ("row", "seen", "step")},
        }
        data = json.dumps(state).encode()
        replace_file(self.folder / FILE, lambda path: path.write_bytes(data))

    def _take(self, end_s: float) -> None:
        """Read what an earlier run kept of the frames before `end_s`; nothing where it is not there."""
        try:
            state = json.loads((self.folder / FILE).read_text("utf-8"))
            self._restore(state, end_s)
        except (OSError, ValueError, KeyError, TypeError):
            self.samples, self.shots, self.rows, self.seen, self.step = [], {}, [], 0, 1

    def _restore(self, state: dict[str, Any], end_s: float) -> None:
        samples = [Sample(**values) for values in state["samples"]]
        rows = [
            tuple(np.frombuffer(_bytes(line), np.uint8).reshape(1, -1, 3) for line in pair)
            for pair in state["rows"]
        ]
        known = [place for place, sample in enumerate(samples) if sample.time_s < end_s]
        self.samples, self.rows = [samples[at] for at in known], [(rows[at][0], rows[at][1]) for at in known]
        for part, values in state["shots"].items():
            pictures = {name: _bytes(text) for name, text in values["pictures"].items()}
            shot = Shot(**{**values, "pictures": pictures, "detail_at": tuple(values["detail_at"])})
            if shot.time_s < end_s:
                self.shots[int(part)] = shot
        self.row, self.seen, self.step = state["row"], int(state["seen"]), int(state["step"])


def detail_gain_db(before: NDArray[np.uint16], change: NDArray[np.float32]) -> float:
    """Return the gradient energy of the green channel after a change over before.

    change: what is added, full scale 1. Every 8th row and column is looked at.
    """
    energy = np.zeros(2)
    for lines, axis in ((np.s_[::8, :, 1], 1), (np.s_[:, ::8, 1], 0)):
        own, added = before[lines].astype(np.float32), change[lines] * np.float32(FULL_SCALE)
        for place, view in enumerate((own, np.clip(own + added, 0, FULL_SCALE))):
            energy[place] += np.square(np.diff(view, axis=axis)).mean(dtype=np.float64)
    return float(10 * np.log10((energy[1] + 1) / (energy[0] + 1)))


def colour_map(values: NDArray[np.float32]) -> Picture:
    """Return (H, W, 3) uint8 colours (viridis) of values 0..1, reduced to MAP."""
    small = resized(np.ascontiguousarray(values), fitted((values.shape[1], values.shape[0]), MAP))
    codes = np.clip(small * 255 + 0.5, 0, 255).astype(np.uint8)
    return np.asarray(cv2.applyColorMap(codes, cv2.COLORMAP_VIRIDIS)[..., ::-1], np.uint8)


def jpeg(picture: Picture, quality: int = 85) -> bytes:
    """Return (H, W, 3) uint8 RGB as JPEG."""
    done, data = cv2.imencode(
        ".jpg", np.ascontiguousarray(picture[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    assert done
    return data.tobytes()


def _added(picture: NDArray[np.uint16], change: NDArray[np.float32] | None) -> NDArray[np.uint16]:
    if change is None:
        return picture
    return np.clip(picture + change * np.float32(FULL_SCALE), 0, FULL_SCALE).astype(np.uint16)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
