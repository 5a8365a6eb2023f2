"""Reduced target frames with the reference run that explains them: the data of the analysis."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image, Matrix, apply, pixel_grid, reducing
from asled_cli.imaging.light import by_table, luma, shrink
from asled_cli.registration.blur.intra_frame_shake import fit_intra_frame_shake
from asled_cli.registration.blur.reblur import Reblur
from asled_cli.registration.blur.reference_motion import TrackedFrame, at_half_size, in_luma, track_frames
from asled_cli.registration.geometry.canvas import Canvas
from asled_cli.registration.geometry.solver import LumaPair
from asled_cli.registration.model.exposure import NO_SHAKE, Exposure, IntraFrameShake
from asled_cli.registration.model.ois_path import OisPath
from asled_cli.registration.model.tone_curve import Tone
from asled_cli.runtime.stages import map_in_threads
from asled_cli.video.frames import FramePair

FULL_SCALE = 65535  # of 16-bit codes
# Frames left out at each end of a run, where a long exposure reaches frames not read.
_END_FRAMES = 3


@dataclass(frozen=True)
class RunReference:
    """The reference of a run on its canvas.

    colour: its frames. fine: in luma. small: in colour at half size. half: in luma at half size.
    """

    colour: list[TrackedFrame]
    fine: Reblur
    small: Reblur
    half: Reblur

    @classmethod
    def tracked(cls, times: Sequence[float], images: Sequence[Image], height: int) -> "RunReference":
        """Return the reference with its motion.

        times: of its frames, intervals. images: (h', w', 3) float32 0..1. height: rows of the reduced target.
        """
        frames = track_frames(times, images, map_in_threads)
        return cls.of(frames, map_in_threads(at_half_size, frames), height)

    @classmethod
    def of(cls, frames: list[TrackedFrame], small: list[TrackedFrame], height: int) -> "RunReference":
        """Return the reference of frames in colour, given at full and at half size."""
        fine, half = map_in_threads(in_luma, frames), map_in_threads(in_luma, small)
        return cls(frames, Reblur(fine, height), Reblur(small, height // 2), Reblur(half, height // 2))

    def recoloured(self, tone: Tone) -> "RunReference":
        """Return the reference with its colours changed by `tone`."""
        table = tone.table()

        def changed(frame: TrackedFrame) -> TrackedFrame:
            codes = (frame.image * np.float32(FULL_SCALE) + np.float32(0.5)).astype(np.uint16)
            picture = by_table(codes, table).astype(np.float32) * np.float32(1 / FULL_SCALE)
            return replace(frame, image=picture)

        frames = map_in_threads(changed, self.colour)
        shrunk = map_in_threads(lambda frame: shrink(frame.image, 2), frames)
        small = [replace(old, image=new) for old, new in zip(self.small.frames, shrunk, strict=True)]
        assert self.fine.height is not None
        return self.of(frames, small, self.fine.height)


@dataclass(frozen=True)
class FrameObservation:
    """A target frame with the reference run that explains it.

    picture: (h, w, 3) float32 0..1, reduced. grey: its luma. half_grey: the luma at half size.
    time: in target frame intervals from the run's start.
    reference: what the run knows of the reference.
    shake: intra-frame shake, pixels of the full reduced size. run: number of the run.
    """

    picture: Image
    grey: Image
    half_grey: Image
    time: float
    reference: RunReference
    shake: IntraFrameShake = NO_SHAKE
    run: int = 0

    @property
    def fine(self) -> Reblur:
        """Return the reference on its canvas, in luma."""
        return self.reference.fine

    @property
    def half(self) -> Reblur:
        """Return the reference on its canvas, in luma at half size."""
        return self.reference.half

    def observe(self, exposure: Exposure) -> LumaPair:
        """Return the frame and the reblurred reference in luma, at the full reduced size."""
        return LumaPair(self.grey, self.fine.exposed(self.time, exposure, self.shake))

    def exposed_small(self, exposure: Exposure) -> Image:
        """Return the reference (h', w', 3) at half size, blurred by `exposure`."""
        return self.reference.small.exposed(self.time, exposure, self.shake.scaled(0.5))

    def observe_half(self, exposure: Exposure) -> LumaPair:
        """Return the frame and the reblurred reference in luma, at half size."""
        return LumaPair(self.half_grey, self.half.exposed(self.time, exposure, self.shake.scaled(0.5)))

    def travel(self, exposure: Exposure) -> float:
        """Return the typical motion within an exposure, pixels of the full reduced size."""
        return 2 * self.half.travel(self.time + exposure.shift, exposure)

    def with_intra_frame_shake(self, exposure: Exposure, work_map: Matrix) -> "FrameObservation":
        """Return the observation with the intra-frame shake that explains its blur best under a map."""
        x, y = pixel_grid((self.half_grey.shape[1], self.half_grey.shape[0]))
        u, v = apply(halved_map(work_map, self), x, y)
        shake = fit_intra_frame_shake(
            self.half, self.half_grey, u, v, self.time + exposure.shift, exposure, self.shake.scaled(0.5)
        )
        return replace(self, shake=shake.scaled(2))


def measure_run(
    run: Sequence[FramePair],
    canvas: Canvas,
    interval_s: float,
    ois_path: OisPath | None = None,
    number: int = 0,
) -> list[FrameObservation]:
    """Return the observations of a run's target frames, which share the motion of its reference frames.

    canvas: on which the reference is placed. interval_s: frame interval of the target.
    ois_path: moves the canvas with the target's view; None without OIS. number: of the run.
    """
    start = run[0].target.time
    times: list[float] = []
    placing: list[tuple[Canvas, NDArray[np.uint16]]] = []
    stamps = []
    for pair in run:
        assert pair.reference is not None
        time = (float(pair.target.time - start) + pair.lag_s) / interval_s
        stamps.append(float(pair.target.time - start) / interval_s)
        if not times or time > times[-1] + 1e-3:
            times.append(time)
            placed = (
                canvas
                if ois_path is None
                else canvas.moved(ois_path.at(float(pair.target.time) + pair.lag_s))
            )
            placing.append((placed, pair.reference.rgb))
    images = map_in_threads(lambda item: item[0].place_reference(item[1]), placing)
    reference = RunReference.tracked(times, images, canvas.work_size[1])
    pictures = map_in_threads(lambda pair: canvas.soften(canvas.reduce_target(pair.target.rgb)), run)
    greys = [luma(picture) for picture in pictures]
    return [
        FrameObservation(picture, grey, shrink(grey, 2), stamp, reference, run=number)
        for picture, grey, stamp in zip(pictures, greys, stamps, strict=True)
    ]


def inner(measured: list[FrameObservation]) -> list[FrameObservation]:
    """Return a run's frames without the first and last, where a long exposure reaches frames not read."""
    return measured[_END_FRAMES:-_END_FRAMES] if len(measured) > 3 * _END_FRAMES else measured


def recolour(measured: Sequence[FrameObservation], tone: Tone) -> list[FrameObservation]:
    """Return the frames of one run with the reference's colours changed by `tone`.

    Colours are changed before reblurring: the mean of curved values is not the curve of their mean.
    """
    reference = measured[0].reference.recoloured(tone)
    return [replace(m, reference=reference) for m in measured]


def observe_all(measured: Sequence[FrameObservation], exposure: Exposure) -> list[LumaPair]:
    """Return every frame and the reblurred reference, see `FrameObservation.observe`."""
    return map_in_threads(lambda m: m.observe(exposure), measured)


def observe_halves(measured: Sequence[FrameObservation], exposure: Exposure) -> list[LumaPair]:
    """Return every frame and the reblurred reference at half size."""
    return map_in_threads(lambda m: m.observe_half(exposure), measured)


def with_shakes(
    measured: Sequence[FrameObservation], exposure: Exposure, work_map: Matrix
) -> list[FrameObservation]:
    """Return every frame with its own intra-frame shake."""
    return map_in_threads(lambda m: m.with_intra_frame_shake(exposure, work_map), measured)


def halved_map(work_map: Matrix, measured: FrameObservation) -> Matrix:
    """Return `work_map` (reduced target -> canvas) for both pictures at half size."""
    halve, canvas_halve = _halving(measured)
    return np.asarray(canvas_halve @ work_map @ np.linalg.inv(halve))


def doubled_map(half_map: Matrix, measured: FrameObservation) -> Matrix:
    """Return a map (reduced target -> canvas) at full reduced size from one at half size."""
    halve, canvas_halve = _halving(measured)
    return np.asarray(np.linalg.inv(canvas_halve) @ half_map @ halve)


def _halving(measured: FrameObservation) -> tuple[Matrix, Matrix]:
    target, canvas = (
        reducing((image.shape[1], image.shape[0]), 2)
        for image in (measured.grey, measured.fine.frames[0].image)
    )
    return target, canvas


def evenly_spaced(measured: list[FrameObservation], count: int) -> list[FrameObservation]:
    """Return at most `count` of the frames, evenly spaced."""
    if len(measured) <= count:
        return measured
    chosen = np.linspace(0, len(measured) - 1, count).round().astype(int)
    return [measured[i] for i in chosen]


def with_times(
    runs: Sequence[Sequence[FramePair]],
    whole: Sequence[Sequence[FrameObservation]],
    exposure: Exposure,
    interval_s: float,
) -> list[tuple[float, FrameObservation]]:
    """Return all frames with the time of the middle of their exposure, in seconds on the target's clock."""
    starts = [float(run[0].target.time) for run in runs]
    return [
        (start + (m.time + exposure.shift) * interval_s, m)
        for start, run in zip(starts, whole, strict=True)
        for m in run
    ]


def frame_interval(runs: Sequence[Sequence[FramePair]]) -> float:
    """Return the median frame interval of the target, seconds."""
    steps = [float(b.target.time - a.target.time) for run in runs for a, b in pairwise(run)]
    return max(float(np.median(steps)), 1e-4)
