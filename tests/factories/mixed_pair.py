"""Two clips of one moment that differ in more than their lens: dynamic range, rate, size, orientation."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from factories.shaken_clip import make_scene

Light = NDArray[np.float32]

SIZE, RATIO, LENGTH_S = (160, 120), 2.0, 0.5  # of the wide view, in pixels of a clip of scale 1
EXPOSURE_S = 1 / 32
_TICKS = 600
_TRANSFER = {"sdr": (1, 1, 1), "hlg": (9, 9, 18), "pq": (9, 9, 16)}  # matrix, primaries, transfer of H.273
_TO_BT2020 = np.array(
    [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]], np.float32
)


@dataclass(frozen=True)
class Form:
    """How a clip is recorded.

    transfer: sdr, hlg or pq. rate: frames per second. scale: pixels per pixel of SIZE. upright: higher than
    wide. rotation: degrees counter-clockwise that a player turns the stored picture.
    """

    transfer: str = "sdr"
    rate: int = 30
    scale: float = 1.0
    upright: bool = False
    rotation: int = 0


@dataclass(frozen=True)
class MixedPair:
    """Two files, and what the wide lens would have recorded without blur: (T, H, W, 3) uint16, as stored."""

    wide: Path
    ultra: Path
    truth: NDArray[np.uint16]


def make_mixed_pair(folder: Path, wide: Form, ultra: Form) -> MixedPair:
    """Write a blurred wide and a sharp ultra-wide clip of one hand-held moment.

    The hand shakes as much within a frame of the wide clip at any rate.
    """
    shake = wide.rate / 30
    scene = make_scene((720, 640), seed=2)
    pair = MixedPair(folder / "wide.mov", folder / "ultra.mov", _record(scene, wide, 1.0, 0.0, shake))
    _write(pair.wide, _record(scene, wide, 1.0, EXPOSURE_S / shake, shake), wide)
    _write(pair.ultra, _record(scene, ultra, RATIO, 0.002, shake), ultra)
    return pair


def _record(scene: Light, form: Form, ratio: float, exposure_s: float, shake: float) -> NDArray[np.uint16]:
    """Return the stored pictures of a clip."""
    spread = ((np.arange(13) + 0.5) / 13 - 0.5) * exposure_s if exposure_s else np.zeros(1)
    pictures = []
    for number in range(round(LENGTH_S * form.rate)):
        times = number / form.rate + spread
        light = np.mean([_view(scene, float(time), form, ratio, shake) for time in times], axis=0)
        coded = np.rint(_coded(light, form.transfer) * 65535).astype(np.uint16)
        pictures.append(np.rot90(coded, -form.rotation // 90))
    return np.ascontiguousarray(np.stack(pictures))


def _view(scene: Light, time_s: float, form: Form, ratio: float, shake: float) -> Light:
    """Return what a lens sees at a time, linear light, as it is shown."""
    shown = SIZE[::-1] if form.upright else SIZE
    width, height = (round(side * form.scale) for side in shown)
    frames = 30 * time_s
    x = scene.shape[1] / 2 + shake * (24 * np.sin(0.35 * frames) + 8 * np.sin(0.8 * frames + 1))
    y = scene.shape[0] / 2 + shake * (20 * np.sin(0.29 * frames + 2) + 6 * np.sin(0.9 * frames))
    step = ratio / form.scale
    matrix = np.array([[step, 0, x - step * (width - 1) / 2], [0, step, y - step * (height - 1) / 2]])
    soft = scene if step <= 1 else cv2.GaussianBlur(scene, (0, 0), 0.33 * float(np.sqrt(step**2 - 1)))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(soft, matrix, (width, height), flags=flags), np.float32)


def _coded(light: Light, transfer: str) -> Light:
    """Return coded values 0..1 of linear light, of which 1 is the white of paper."""
    light = np.clip(light, 0, 1)
    if transfer == "sdr":
        return np.asarray(np.where(light < 0.018, 4.5 * light, 1.099 * light**0.45 - 0.099), np.float32)
    light = np.clip(light @ _TO_BT2020.T, 0, 1)
    if transfer == "hlg":  # BT.2408: white at 75 %
        scene = light * 0.265
        high = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-6)) + 0.55991073
        return np.asarray(np.where(scene <= 1 / 12, np.sqrt(3 * scene), high), np.float32)
    powered = (light * 203 / 10000) ** 0.1593017578125
    return np.asarray(((0.8359375 + 18.8515625 * powered) / (1 + 18.6875 * powered)) ** 78.84375, np.float32)


def _write(path: Path, pictures: Sequence[NDArray[np.uint16]], form: Form) -> None:
    deep = form.transfer != "sdr"
    matrix, primaries, transfer = _TRANSFER[form.transfer]
    with av.open(str(path), "w", options={"video_track_timescale": str(_TICKS)}) as out:
        options = {"crf": "10", "preset": "ultrafast"} | (
            {"x265-params": "log-level=none:pools=1:frame-threads=1"} if deep else {}
        )
        stream = out.add_stream("libx265" if deep else "libx264", rate=form.rate, options=options)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p10le" if deep else "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, _TICKS)
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc = matrix, primaries, transfer
        context.color_range = 1
        if form.rotation:
            stream.set_display_rotation(form.rotation)
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb48le").reformat(
                format=stream.pix_fmt, dst_colorspace=matrix, dst_color_range=1, src_color_range=2
            )
            frame.pts, frame.time_base = number * _TICKS // form.rate, Fraction(1, _TICKS)
            frame.pict_type = 0
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
