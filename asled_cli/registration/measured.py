"""Reduced target frames together with the reference run that explains them: what the analysis compares."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from asled_cli.registration.canvas import Canvas
from asled_cli.registration.homography import Image, Observation
from asled_cli.registration.reblur import Exposure, Moment, MotionMeter, Reblur, luma, moments
from asled_cli.registration.tone import Tone
from asled_cli.video.frames import FramePair

_END_FRAMES = 3


@dataclass(frozen=True)
class Measured:
    """One target frame with the run that explains it.

    picture: (h, w, 3) float32 0..1, reduced; grey: its luma; half_grey: that at half size. time: in target
    frame intervals from the run's start. fine, half: the reference on its canvas, in colour and in luma at
    half size.
    """

    picture: Image
    grey: Image
    half_grey: Image
    time: float
    fine: Reblur
    half: Reblur

    def observe(self, exposure: Exposure) -> Observation:
        """Return the frame and the reference blurred by `exposure`, at full reduced size."""
        return Observation(self.grey, luma(self.fine.exposed(self.time, exposure)))

    def observe_half(self, exposure: Exposure) -> Observation:
        """Return the same at half size."""
        return Observation(self.half_grey, self.half.exposed(self.time, exposure))


def measure_run(run: Sequence[FramePair], canvas: Canvas, interval_s: float) -> list[Measured]:
    """Return the run's target frames, sharing the motion of its reference frames."""
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
            images.append(canvas.place_reference(pair.reference.rgb))
    fine = Reblur(moments(times, images, MotionMeter()))
    half = Reblur([_half(m) for m in fine.frames])
    pictures = [canvas.soften(canvas.reduce_target(pair.target.rgb)) for pair in run]
    greys = [luma(picture) for picture in pictures]
    measured = [
        Measured(picture, grey, shrink(grey, 2), stamp, fine, half)
        for picture, grey, stamp in zip(pictures, greys, stamps, strict=True)
    ]
    # Near a run's ends a long exposure reaches frames that were not read.
    return measured[_END_FRAMES:-_END_FRAMES] if len(measured) > 3 * _END_FRAMES else measured


def recolour(measured: Sequence[Measured], tone: Tone) -> list[Measured]:
    """Return the same frames with the reference in the colours that `tone` gives it.

    Colours come before blurring: the mean of curved values is not the curve of their mean.
    """
    runs = {id(m.fine): m.fine for m in measured}
    toned = {
        key: Reblur([replace(frame, image=tone(frame.image)) for frame in run.frames])
        for key, run in runs.items()
    }
    return [replace(m, fine=toned[id(m.fine)]) for m in measured]


def _half(moment: Moment) -> Moment:
    """Return the luma of a moment at half its size."""
    paths = tuple((dt, shrink(flow, 2) / np.float32(2)) for dt, flow in moment.paths)
    return Moment(moment.time, shrink(luma(moment.image), 2), paths)


def spread(measured: list[Measured], count: int) -> list[Measured]:
    """Return at most `count` of the frames, evenly spread."""
    if len(measured) <= count:
        return measured
    chosen = np.linspace(0, len(measured) - 1, count).round().astype(int)
    return [measured[i] for i in chosen]


def shrink(image: Image, factor: int) -> Image:
    """Return `image` reduced by a whole `factor`, each pixel the mean of its square."""
    size = (image.shape[1] // factor, image.shape[0] // factor)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
