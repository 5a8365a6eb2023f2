"""One clip of `asled synth-blur`: from sharp source and config to blurred clip, ground truth and reference.

Equal configs and sources give equal bytes: all random draws depend only on the seed and the clip's name.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from asled_cli.errors import InputError, UsageError
from asled_cli.lab.camera.aperture import Aperture
from asled_cli.lab.camera.degradation import IDEAL_SENSOR
from asled_cli.lab.camera.dual_lens import LensRig
from asled_cli.lab.datasets.image_sequence import EightBit, MeanPictures, PictureArray, Pictures, Stretch
from asled_cli.lab.datasets.layouts import open_pictures
from asled_cli.lab.datasets.sources import PHOTO_SUFFIXES, VIDEO_SUFFIXES, SharpSource, Sources
from asled_cli.lab.synthesis.average_blur import AverageConfig, average_pair, frames_needed
from asled_cli.lab.synthesis.frame_interpolation import InterpolatedPictures
from asled_cli.lab.synthesis.random_clip import (
    USUAL_ODDS,
    draw_shake,
    fit_size,
    photo_extent,
    random_rig,
    random_ultra_sensor,
    random_wide_sensor,
)
from asled_cli.lab.synthesis.random_focus import draw_focus, hold_still
from asled_cli.lab.synthesis.shake_blur import Depth, ShakeConfig, shake_pair
from asled_cli.lab.synthesis.synthetic_pair import NO_FAULTS, SyntheticPair
from asled_cli.runtime import option_limits as limits
from asled_cli.video.decode.probe import probe_clip

Mode = Literal["average", "shake", "defocus"]
Degradation = Literal["none", "phone"]
Clip8 = NDArray[np.uint8]

MAX_CLIP = 60  # frames of views cut from one picture, which are held in memory
SHAKE_LENGTH, SHAKE_WIDTH, SHAKE_HEIGHT = 13, 448, 256  # of a clip under shake, where nothing is said


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthConfig:
    """Settings of the blur. None: drawn for each clip, or the size or length of the source."""

    mode: Mode = "average"
    """average: means of neighbouring frames. shake: a photo, or one frame, filmed by a shaking hand.
    defocus: the same without motion blur, but out of focus."""
    seed: int = 0
    """Seed of all random draws."""
    frames: int | None = None
    """Frames of a clip; longer sources give more. None: 60 to average, all of a real pair, 13 for shake."""
    size: tuple[int, int] | None = None
    """(width, height) of both views in pixels; None: one source pixel per wide pixel."""
    degrade: Degradation | None = None
    """none: no degradation. phone: noise, colour, sharpening and codec of two phone lenses, drawn."""
    ratio: float | None = None
    """Field of view of the ultra lens over the wide one's; None: 2, or drawn for phone."""
    window: int = 7
    """average: frames of a mean, odd; the centre one is the truth."""
    ultra_window: int = 1
    """average: the same for the ultra view; 1 leaves it sharp."""
    stride: int = 1
    """average: source frames from one frame of the clip to the next."""
    linear: bool = False
    """average: mean of linear light instead of coded values."""
    upsample_fps: int = 1
    """average: factor by which the source's frame rate is first raised, by optical flow."""
    exposure: float | None = None
    """shake: exposure of the wide lens, in frame intervals."""
    ultra_exposure: float | None = None
    """shake: exposure of the ultra lens, in frame intervals."""
    blur_px: float | None = None
    """shake: path of the image in one exposure of the wide lens, in pixels."""
    layers: int | None = None
    """shake, defocus: nearer layers that move before the photo, 0 to 4."""
    readout: float | None = None
    """shake: rolling shutter from first to last row, in frame intervals."""
    ois: float | None = None
    """shake: share of the shake that OIS of the wide lens compensates, 0 to 1."""
    eis_window: float | None = None
    """shake: frames (sigma) over which EIS smooths the camera path; blur is kept."""
    baseline_px: float | None = None
    """shake, defocus: shift between the lenses of the nearest layer, in wide pixels."""
    circle_px: float | None = None
    """defocus: diameter of the circle of confusion of the far layer with the focus on the nearest one, wide
    pixels."""
    focus: float | None = None
    """defocus: nearness of the plane in focus, 0 for the photo, 1 for the nearest layer."""
    aperture: Aperture | None = None
    """defocus: point spread of the lenses."""
    ultra_defocus: float | None = None
    """defocus: circle of confusion of the ultra lens over that of the wide one."""

    def __post_init__(self) -> None:
        for flag, value in (("window", self.window), ("ultra-window", self.ultra_window)):
            if value % 2 == 0:
                raise UsageError(f"--{flag} is {value}, expected an odd number: the centre one is the truth.")
        for flag, number, low, high in (
            ("seed", self.seed, 0, limits.MAX_SEED),
            ("window", self.window, 1, 1001),
            ("ultra-window", self.ultra_window, 1, 1001),
            ("stride", self.stride, 1, 100),
            ("upsample-fps", self.upsample_fps, 1, 64),
            ("frames", self.frames, 1, 10_000),
            ("layers", self.layers, 0, 4),
            ("ratio", self.ratio, 1.0, 4.0),
            ("exposure", self.exposure, 0.0, 1.0),
            ("ultra-exposure", self.ultra_exposure, 0.0, 1.0),
            ("blur-px", self.blur_px, 0.0, 200.0),
            ("rolling-shutter", self.readout, 0.0, 1.0),
            ("ois", self.ois, 0.0, 1.0),
            ("eis-window", self.eis_window, 0.0, 100.0),
            ("baseline-px", self.baseline_px, 0.0, 200.0),
            ("circle-px", self.circle_px, 0.0, 100.0),
            ("focus", self.focus, 0.0, 2.0),
            ("ultra-defocus", self.ultra_defocus, 0.0, 1.0),
        ):
            limits.check_number(f"--{flag}", number, low, high)
        if self.size is not None and (min(self.size) < 32 or self.size[0] % 2 or self.size[1] % 2):
            raise UsageError(f"--size is {self.size[0]}x{self.size[1]}, expected even numbers of 32 or more.")
        self._check_mode()

    def _check_mode(self) -> None:
        for entry in fields(self):
            if self.mode in _OWN_MODES.get(entry.name, (self.mode,)):
                continue
            if getattr(self, entry.name) != entry.default:
                flag = "rolling-shutter" if entry.name == "readout" else entry.name.replace("_", "-")
                raise UsageError(f"--{flag} means nothing with --mode {self.mode}.")


_OWN_MODES: dict[str, tuple[Mode, ...]] = {
    **dict.fromkeys(("window", "ultra_window", "stride", "linear", "upsample_fps"), ("average",)),
    **dict.fromkeys(("exposure", "ultra_exposure", "blur_px", "readout", "ois", "eis_window"), ("shake",)),
    **dict.fromkeys(("layers", "baseline_px"), ("shake", "defocus")),
    **dict.fromkeys(("circle_px", "focus", "aperture", "ultra_defocus"), ("defocus",)),
}


@dataclass(frozen=True, slots=True)
class SynthTask:
    """One clip to make: from frame `start` of a source (average), or take `start` of a photo."""

    name: str
    source: SharpSource
    start: int
    length: int


@dataclass(frozen=True)
class SynthClip:
    """Views made from one source: T images each, and the synthetic scene where its geometry is known.

    The ultra view of a real second lens may have another size. parameters: all that was drawn, fit for JSON.
    """

    blur: Pictures
    truth: Pictures
    ultra: Pictures
    fps: float
    parameters: Mapping[str, Any]
    scene: SyntheticPair | None = None


def plan_clips(source: SharpSource, config: SynthConfig, clips: int | None = None) -> list[SynthTask]:
    """Return the clips of one source, at most `clips`: consecutive ones of a video, or takes of a photo.

    Raises InputError if the source has too few frames for a clip of one frame.
    """
    if config.mode != "average":
        count, length = clips or 1, config.frames or SHAKE_LENGTH
        starts = list(range(count))
    else:
        views = [source.wide] + ([] if source.ultra is None else [source.ultra])
        total = (min(len(open_pictures(view)) for view in views) - 1) * config.upsample_fps + 1
        count, step, reach = _window(config)
        there = (total - 2 * reach - 1) // step + 1 if total > 2 * reach else 0
        if there < 1:
            raise InputError(
                f"{source.wide} has {(total - 1) // config.upsample_fps + 1} frames, need at least "
                f"{2 * reach // config.upsample_fps + 1} to average {config.window}."
            )
        length = min(config.frames or (there if source.ultra else MAX_CLIP), there)
        starts = [first * step for first in range(0, there - length + 1, length)][:clips]
    names = [source.name] if len(starts) == 1 else [f"{source.name}_{i:03d}" for i in range(len(starts))]
    return [SynthTask(name, source, start, length) for name, start in zip(names, starts, strict=True)]


def make_clip(task: SynthTask, config: SynthConfig, photos: tuple[Path, ...] = ()) -> SynthClip:
    """Blur one source. photos: material of nearer layers besides the source itself.

    Raises InputError if the source is too small or cannot be read.
    """
    seed = clip_seed(config.seed, task.name)
    if config.mode == "average" and task.source.ultra is not None:
        return _average_both(task, task.source.ultra, config)
    pair = _average(task, config, seed) if config.mode == "average" else _shake(task, config, seed, photos)
    blur, truth, ultra = (PictureArray(view) for view in (pair.wide, pair.truth, pair.ultra))
    return SynthClip(blur, truth, ultra, pair.fps, pair.parameters, pair)


def clip_seed(seed: int, name: str) -> int:
    """Return the seed of the clip `name`, 48 bits, which depends on no other clip."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:6], "big")


def _window(config: SynthConfig) -> tuple[int, int, int]:
    """Return (frames of a mean, from one to the next, before the first centre), all after interpolation."""
    factor = config.upsample_fps
    widest = max(config.window, config.ultra_window)
    return (config.window - 1) * factor + 1, config.stride * factor, (widest - 1) * factor // 2


def _series(place: Path, config: SynthConfig) -> Pictures:
    pictures: Pictures = EightBit(open_pictures(place))
    return InterpolatedPictures(pictures, config.upsample_fps) if config.upsample_fps > 1 else pictures


def _average_both(task: SynthTask, ultra: Path, config: SynthConfig) -> SynthClip:
    """Blur both lenses of a real pair, of any length; memory is one window of frames."""
    if config.degrade == "phone" or config.size or config.ratio:
        raise UsageError("--degrade phone, --size and --ratio are for views cut from one lens's picture, "
                         f"{task.source.name} has two lenses of its own.")  # fmt: skip
    count, step, reach = _window(config)
    ultra_count = (config.ultra_window - 1) * config.upsample_fps + 1
    wide = _series(task.source.wide, config)

    def centred(pictures: Pictures, frames: int) -> Pictures:
        first = task.start + reach - frames // 2
        return Stretch(MeanPictures(pictures, frames, linear=config.linear), first, task.length, step)

    parameters = {
        "count": count, "step": step, "start": task.start, "linear": config.linear,
        "ultra_count": ultra_count, "interpolate": config.upsample_fps,
    }  # fmt: skip
    return SynthClip(
        blur=centred(wide, count),
        truth=Stretch(wide, task.start + reach, task.length, step),
        ultra=centred(_series(ultra, config), ultra_count),
        fps=_rate(task.source.wide) / config.stride,
        parameters=parameters,
    )


def _average(task: SynthTask, config: SynthConfig, seed: int) -> SyntheticPair:
    draw = np.random.default_rng((seed, 0))
    phone = config.degrade == "phone"
    rig = random_rig(draw) if phone else LensRig()
    rig = replace(rig, ratio=config.ratio or rig.ratio)
    sensors = (random_wide_sensor(draw), random_ultra_sensor(draw)) if phone else (IDEAL_SENSOR, IDEAL_SENSOR)
    series = _series(task.source.wide, config)
    count, step, reach = _window(config)
    needed = frames_needed(task.length, step, reach)
    footage = np.stack([series[i] for i in range(task.start, task.start + needed)])
    size = config.size or _even(series.size, rig.ratio)
    pair = average_pair(
        footage,
        AverageConfig(
            seed=seed,
            size=size,
            frames=task.length,
            count=count,
            ultra_count=(config.ultra_window - 1) * config.upsample_fps + 1,
            step=step,
            linear=config.linear,
            start=0,
            rig=rig,
            wide_sensor=sensors[0],
            ultra_sensor=sensors[1],
        ),
    )
    own = {"start": task.start, "interpolate": config.upsample_fps, "source": task.source.wide.name}
    known = {name: value for name, value in pair.parameters.items() if name != "video"} | own
    return replace(pair, fps=_rate(task.source.wide) / config.stride, parameters=known)


def _shake(task: SynthTask, config: SynthConfig, seed: int, photos: tuple[Path, ...]) -> SyntheticPair:
    """Film a photo, or a frame of a clip, by a drawn hand motion; settings of the config are not drawn."""
    draw = np.random.default_rng((seed, 0))
    photo = _photo(task.source.wide, draw)
    extent = photo_extent(photo)
    others = Sources({str(path): path for path in photos}, {})
    drawn = draw_shake(photo, others, (SHAKE_WIDTH, SHAKE_HEIGHT), task.length, USUAL_ODDS, draw)
    drawn["size"] = config.size or fit_size((SHAKE_WIDTH, SHAKE_HEIGHT), extent, drawn["rig"].ratio)
    drawn["faults"] = NO_FAULTS
    if config.degrade == "none":
        drawn |= {"wide_sensor": IDEAL_SENSOR, "ultra_sensor": IDEAL_SENSOR, "lens_blur": 0.0}
        drawn["rig"] = LensRig()
    for name in ("exposure", "ultra_exposure", "readout", "ois", "eis_window"):
        if (asked := getattr(config, name)) is not None:
            drawn[name] = asked
    if config.ratio is not None:
        drawn["rig"] = replace(drawn["rig"], ratio=config.ratio)
    if config.blur_px is not None:
        drawn["shake"] = replace(drawn["shake"], blur_px=config.blur_px)
    if config.layers is not None:
        drawn["depths"] = tuple(_depth(draw, photos) for _ in range(config.layers))
    if config.baseline_px is not None:
        drawn["baseline_px"] = (config.baseline_px, 0.0)
    if config.mode == "defocus":
        drawn = _out_of_focus(drawn, config, draw)
    pair = shake_pair(photo, ShakeConfig(seed=seed, **drawn))
    return replace(pair, parameters={**pair.parameters, "source": task.source.wide.name})


def _out_of_focus(drawn: Mapping[str, Any], config: SynthConfig, draw: np.random.Generator) -> dict[str, Any]:
    """Return settings of `shake_pair` out of focus instead of blurred by motion."""
    near = max((depth.nearness for depth in drawn["depths"]), default=None)
    asked: dict[str, Any] = {
        "circle_px": config.circle_px,
        "nearness": config.focus,
        "aperture": config.aperture,
        "ultra_share": config.ultra_defocus,
    }
    known = {name: value for name, value in asked.items() if value is not None}
    focus = replace(draw_focus(draw, near), **known)
    return hold_still(drawn, draw) | {"focus": focus}


def _depth(draw: np.random.Generator, photos: tuple[Path, ...]) -> Depth:
    picture = photos[int(draw.integers(len(photos)))] if photos else None
    return Depth(picture, float(draw.uniform(0.35, 0.7)), float(draw.uniform(0.3, 1.0)))


def _photo(place: Path, draw: np.random.Generator) -> Path | Clip8:
    """Return the photo itself, or one frame of a video or a folder of frames."""
    if place.suffix.lower() in PHOTO_SUFFIXES and not place.is_dir():
        return place
    pictures = EightBit(open_pictures(place))
    frame: Clip8 = pictures[int(draw.integers(len(pictures)))]
    return frame


def _even(size: tuple[int, int], ratio: float) -> tuple[int, int]:
    """Return the size of the wide window for which the ultra view is the whole image."""
    return int(size[0] / ratio) // 2 * 2, int(size[1] / ratio) // 2 * 2


def _rate(place: Path) -> float:
    """Return the frames per second of a video, and 30 for a folder of frames."""
    if place.suffix.lower() in VIDEO_SUFFIXES:
        return float(probe_clip(place).average_rate)
    return 30.0
