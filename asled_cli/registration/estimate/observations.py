"""Reduced target frames with the reference run that explains them: the data of the analysis."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from asled_cli.imaging.flow import MotionMeter
from asled_cli.imaging.homography import Image, Matrix, apply, pixel_grid, reducing
from asled_cli.imaging.light import luma, shrink
from asled_cli.registration.blur.intra_frame_shake import fit_intra_frame_shake
from asled_cli.registration.blur.reblur import Reblur
from asled_cli.registration.blur.reference_motion import halved, track_frames
from asled_cli.registration.geometry.canvas import Canvas
from asled_cli.registration.geometry.solver import LumaPair
from asled_cli.registration.model.exposure import NO_SHAKE, Exposure, IntraFrameShake
from asled_cli.registration.model.ois_path import OisPath
from asled_cli.registration.model.tone_curve import Tone
from asled_cli.video.frames import FramePair

# Frames left out at each end of a run, where a long exposure reaches frames not read.
_END_FRAMES = 3


@dataclass(frozen=True)
class FrameObservation:
    """A target frame with the reference run that explains it.

    picture: (h, w, 3) float32 0..1, reduced. grey: its luma. half_grey: the luma at half size.
    time: in target frame intervals from the run's start.
    fine, half: the reference on its canvas, in colour, and in luma at half size.
    shake: intra-frame shake, pixels of the full reduced size. run: number of the run.
    """

    picture: Image
    grey: Image
    half_grey: Image
    time: float
    fine: Reblur
    half: Reblur
    shake: IntraFrameShake = NO_SHAKE
    run: int = 0

    def observe(self, exposure: Exposure) -> LumaPair:
        """Return the frame and the reblurred reference in luma, at the full reduced size."""
        return LumaPair(self.grey, luma(self.exposed(exposure)))

    def exposed(self, exposure: Exposure) -> Image:
        """Return the reference (h', w', 3) blurred by `exposure`."""
        return self.fine.exposed(self.time, exposure, self.shake)

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
    images: list[Image] = []
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
            images.append(placed.place_reference(pair.reference.rgb))
    height = canvas.work_size[1]
    fine = Reblur(track_frames(times, images, MotionMeter()), height)
    half = Reblur([halved(m) for m in fine.frames], height // 2)
    pictures = [canvas.soften(canvas.reduce_target(pair.target.rgb)) for pair in run]
    greys = [luma(picture) for picture in pictures]
    return [
        FrameObservation(picture, grey, shrink(grey, 2), stamp, fine, half, run=number)
        for picture, grey, stamp in zip(pictures, greys, stamps, strict=True)
    ]


def inner(measured: list[FrameObservation]) -> list[FrameObservation]:
    """Return a run's frames without the first and last, where a long exposure reaches frames not read."""
    return measured[_END_FRAMES:-_END_FRAMES] if len(measured) > 3 * _END_FRAMES else measured


def recolour(measured: Sequence[FrameObservation], tone: Tone) -> list[FrameObservation]:
    """Return the frames of one run with the reference's colours changed by `tone`.

    Colours are changed before reblurring: the mean of curved values is not the curve of their mean.
    """
    fine, half = measured[0].fine, measured[0].half
    frames = [replace(frame, image=tone(frame.image)) for frame in fine.frames]
    lumas = [shrink(luma(frame.image), 2) for frame in frames]
    halves = [replace(frame, image=grey) for frame, grey in zip(half.frames, lumas, strict=True)]
    toned, toned_half = Reblur(frames, fine.height), Reblur(halves, half.height)
    return [replace(m, fine=toned, half=toned_half) for m in measured]


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
