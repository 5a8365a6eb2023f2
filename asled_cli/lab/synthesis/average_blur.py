"""Blur by averaging consecutive frames of real video, seen through two lenses (as in the AsLeD paper)."""

from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.errors import InputError
from asled_cli.imaging.homography import translation
from asled_cli.imaging.light import bytes_to_linear, linear_to_srgb
from asled_cli.imaging.warp import warp_homography
from asled_cli.lab.camera.degradation import IDEAL_SENSOR, SensorModel
from asled_cli.lab.camera.dual_lens import PLAIN_RIG, LensRig, soften_for_ultra
from asled_cli.lab.synthesis.synthetic_pair import (
    NO_FAULTS,
    Faults,
    SceneClip,
    SyntheticPair,
    describe,
    finish_pair,
)
from asled_cli.video.decode.open_clip import open_clip
from asled_cli.video.decode.pixel_format import Converter, to_8_bit
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.decode.video_tracks import select_stream
from asled_cli.video.frames import Clip


@dataclass(frozen=True, kw_only=True)
class AverageConfig:
    """Settings of `average_pair`.

    size: (width, height) of both clips. step: video frames from one frame of the clip to the next.
    linear: average linear light instead of coded values. start: first video frame, drawn from the seed if
    None.
    scale: the video is first reduced by this factor, 0..1. pan_px: extra motion of both lenses per frame;
    where the video has no room for it, the pan swings to and fro with the same top speed. wobble: 0..1,
    unevenness of the pan. softness: see `soften_for_ultra`.
    """

    seed: int
    size: tuple[int, int] = (448, 256)
    frames: int = 13
    count: int = 7
    ultra_count: int = 1
    step: int = 1
    linear: bool = False
    start: int | None = None
    scale: float = 1.0
    pan_px: tuple[float, float] = (0.0, 0.0)
    wobble: float = 0.0
    rig: LensRig = PLAIN_RIG
    softness: float = 0.33
    wide_sensor: SensorModel = IDEAL_SENSOR
    ultra_sensor: SensorModel = IDEAL_SENSOR
    faults: Faults = NO_FAULTS


def average_pair(video: Path | NDArray[np.uint8], config: AverageConfig) -> SyntheticPair:
    """Return a clip whose wide frames are means of `count` consecutive sharp ones, the middle one its truth.

    video: a file, or decoded frames (N, h, w, 3) uint8 RGB. Raises InputError if the video is too short or
    too small.
    """
    drawn = describe({"video": video} | {f.name: getattr(config, f.name) for f in fields(config)})
    if config.count % 2 == 0 or config.ultra_count % 2 == 0 or min(config.count, config.ultra_count) < 1:
        raise InputError(
            f"Averaging {config.count} wide and {config.ultra_count} ultra frames leaves no centre frame.",
            "Use odd counts.",
        )
    generator = np.random.default_rng((config.seed, 1))
    reach = max(config.count, config.ultra_count) // 2 + abs(config.faults.lag_frames) * config.step
    footage, fps, start = _footage(
        video, frames_needed(config.frames, config.step, reach), config.start, config.seed
    )
    footage = _scaled(footage, config.scale)
    offsets = _window_path(footage, config.size, config.rig.ratio, (config.pan_px, config.wobble), generator)
    scene = _averaged(footage, offsets, reach, config)
    return finish_pair(
        scene,
        wide_sensor=config.wide_sensor,
        ultra_sensor=config.ultra_sensor,
        faults=config.faults,
        seed=config.seed,
        fps=fps,
        kind="average",
        exposures=(config.count / config.step, config.ultra_count / config.step)
        if config.count > 1
        else (0.0, 0.0),
        parameters={**drawn, "source": drawn["video"], "start": start, "corner": [*map(float, offsets[0])]},
    )


def _averaged(
    footage: NDArray[np.uint8], offsets: NDArray[np.float64], reach: int, config: AverageConfig
) -> SceneClip:
    """Return both views of the moving window, averaged. reach: frames before the first centre."""
    homography = config.rig.homography(config.size)
    sharp = np.stack(
        [warp_homography(f, translation(*o), config.size) for f, o in zip(footage, offsets, strict=True)]
    )
    to_source = np.linalg.inv(homography)
    ultra = np.stack(
        [
            warp_homography(
                soften_for_ultra(f, config.rig.ratio, config.softness),
                translation(*o) @ to_source,
                config.size,
            )
            for f, o in zip(footage, offsets, strict=True)
        ]
    )
    wide_at = range(reach, reach + config.frames * config.step, config.step)
    lag = config.faults.lag_frames
    ultra_at = range(
        reach + min(lag, 0) * config.step, reach + (config.frames + max(lag, 0)) * config.step, config.step
    )
    return SceneClip(
        wide=mean_of_neighbours(sharp, wide_at, config.count, linear=config.linear),
        truth=sharp[wide_at].astype(np.float32) / 255.0,
        ultra=mean_of_neighbours(ultra, ultra_at, config.ultra_count, linear=config.linear),
        layer_homographies=homography[None],
        layer_masks=np.zeros((0, config.frames, config.size[1], config.size[0]), np.uint8),
        motion=None,
        ultra_motion=None,
    )


def frames_needed(frames: int, step: int, reach: int) -> int:
    """Return the number of video frames for a clip of `frames`, `step` apart, plus `reach` at either end."""
    return (frames - 1) * step + 1 + 2 * reach


def mean_of_neighbours(
    frames: NDArray[np.uint8], centers: range, count: int, *, linear: bool = False
) -> NDArray[np.float32]:
    """Return (len(centers), H, W, 3) coded 0..1: the mean of `count` (odd) frames around each centre."""
    half = count // 2
    if linear and count > 1:
        light = bytes_to_linear(frames)
        return np.stack([linear_to_srgb(light[c - half : c + half + 1].mean(0)) for c in centers])
    return np.stack([frames[c - half : c + half + 1].mean(0, dtype=np.float32) / 255.0 for c in centers])


def read_frames(path: Path, start: int, count: int) -> NDArray[np.uint8]:
    """Decode `count` frames from frame `start` on: (count, H, W, 3) uint8 RGB.

    It seeks by time to the key frame before `start`, for material with a constant frame rate. Raises
    InputError if the file ends before.
    """
    return _decode(probe_clip(path), start, count)


def _decode(clip: Clip, start: int, count: int) -> NDArray[np.uint8]:
    path, converter = clip.path, Converter(clip.resolved_color)
    with open_clip(path) as container:
        stream = select_stream(container, path, 0)
        rate, base = stream.average_rate, stream.time_base
        if rate is None or base is None:
            raise InputError(f"{path} states no frame rate.")
        first = (stream.start_time or 0) + round(start / rate / base)
        container.seek(max(first - 1, 0), stream=stream)
        frames: list[NDArray[np.uint8]] = []
        for frame in container.decode(stream):
            if frame.pts is not None and frame.pts >= first - 0.5 / rate / base:
                frames.append(to_8_bit(converter.to_rgb(frame)))
            if len(frames) == count:
                return np.stack(frames)
    raise InputError(f"{path} has {len(frames)} frames after frame {start}, need {count}.")


def _footage(
    video: Path | NDArray[np.uint8], needed: int, start: int | None, seed: int
) -> tuple[NDArray[np.uint8], float, int]:
    """Return (frames, frames per second, first frame) of the `needed` frames, from a file or from memory."""
    if isinstance(video, Path):
        clip = probe_clip(video)
        start = _start(clip.frame_estimate, needed, start, seed)
        return _decode(clip, start, needed), float(clip.average_rate or 30), start
    start = _start(len(video), needed, start, seed)
    return video[start : start + needed], 30.0, start


def _start(total: int, needed: int, start: int | None, seed: int) -> int:
    """Return the first of `needed` frames out of `total`, drawn if none is given."""
    if total < needed:
        raise InputError(f"The video has {total} frames, need {needed} for this clip.")
    return int(np.random.default_rng((seed, 3)).integers(0, total - needed + 1)) if start is None else start


def _scaled(footage: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    if scale == 1.0:
        return footage
    size = round(footage.shape[2] * scale), round(footage.shape[1] * scale)
    return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in footage])


def _window_path(
    footage: NDArray[np.uint8],
    size: tuple[int, int],
    ratio: float,
    pan: tuple[tuple[float, float], float],
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """Return (N, 2): the corner of the wide window in each video frame, x then y.

    Both windows stay inside the image where it is large enough. Otherwise the ultra window gets mirrored
    borders.
    """
    frames, height, width = footage.shape[:3]
    if width < size[0] + 2 or height < size[1] + 2:
        raise InputError(f"The video is {width}x{height} pixels, need more than {size[0]}x{size[1]}.")
    (pan_px, wobble), path = pan, np.empty((frames, 2))
    steps = np.arange(frames) - (frames - 1) / 2.0
    for axis, (extent, window) in enumerate(zip((width, height), size, strict=True)):
        margin = (ratio - 1.0) * window / 2.0  # of the ultra window around the wide one
        low, high = margin, extent - window - margin
        if high < low + min(abs(pan_px[axis]) * frames, 0.15 * window):
            slack = (extent - window) * 0.08
            low, high = slack, extent - window - slack
        moved = _swing(steps, pan_px[axis], (high - low) / 2.0, wobble, generator)
        first, last = low - moved.min(), high - moved.max()
        place = generator.uniform(first, last) if last > first else (first + last) / 2.0
        path[:, axis] = moved + (np.rint(place) if pan_px[axis] == 0.0 else place)
    return path


def _swing(
    steps: NDArray[np.float64], speed: float, room: float, wobble: float, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Return a pan at `speed` per step that swings like a pendulum where it would leave +-room."""
    phase = generator.uniform(0.0, 2.0 * np.pi)
    if speed == 0.0:
        return np.zeros_like(steps)
    if abs(speed) * len(steps) / 2.0 > room:
        return np.asarray(room * np.sin(speed * steps / max(room, 1e-6)))
    period = 11.0
    uneven = wobble * speed * period / (2.0 * np.pi) * np.sin(2.0 * np.pi * steps / period + phase)
    moved = speed * steps + uneven
    return np.asarray(moved * min(1.0, room / max(float(np.abs(moved).max()), 1e-6)))
