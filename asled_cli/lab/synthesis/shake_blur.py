"""Blur by hand shake: a sharp photo (and cut-outs before it) filmed by two lenses at once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.errors import InputError
from asled_cli.imaging import picture_file
from asled_cli.imaging.homography import pixel_grid
from asled_cli.imaging.light import bytes_to_linear, linear_to_srgb
from asled_cli.lab.camera.degradation import IDEAL_SENSOR, SensorModel
from asled_cli.lab.camera.dual_lens import PLAIN_RIG, LensRig, frame_center
from asled_cli.lab.camera.focus import (
    Focus,
    boost_highlights,
    defocus_map,
    far_out_of_focus,
    margin_px,
    near_out_of_focus,
)
from asled_cli.lab.camera.hand_shake import USUAL_SHAKE, Shake, Trajectory, draw_trajectory
from asled_cli.lab.camera.layered_scene import Layer, Light, Scene, make_layer, ragged_mask
from asled_cli.lab.camera.rolling_shutter import to_scene
from asled_cli.lab.synthesis.synthetic_pair import (
    NO_FAULTS,
    Faults,
    SceneClip,
    SyntheticPair,
    describe,
    finish_pair,
)

Picture = Path | NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Depth:
    """One nearer layer: a cut-out of an image with a ragged edge.

    picture: source of the cut-out; None takes another part of the photo. extent: its size relative to the
    wide frame, each way. nearness: 0..1 of the baseline and of the hand's travel. velocity: own, px/frame.
    """

    picture: Picture | None = None
    extent: float = 0.5
    nearness: float = 1.0
    velocity: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class ShakeConfig:
    """Settings of `shake_pair`.

    size: (width, height) of both clips. exposure, ultra_exposure: frame intervals, 0 gives the truth.
    scale: the photo is first reduced by this factor (photos are soft at full size), drawn from 0.5..1 when
    None, smaller where the ultra view needs it. baseline_px: shift between the lenses of a layer of nearness
    1, in wide pixels. readout: rolling shutter in frame intervals. ois: share of the shake (whose blur is
    given without it) that OIS of the wide lens compensates, 0..1. eis_window: frames (sigma) over which EIS
    smooths the path of both clips' frames, not their blur. lens_blur: sigma in wide pixels of the softness of
    the truth. focus: of both lenses; None: all is in focus.
    """

    seed: int
    size: tuple[int, int] = (448, 256)
    frames: int = 13
    exposure: float = 0.8
    ultra_exposure: float = 0.15
    scale: float | None = None
    shake: Shake = USUAL_SHAKE
    depths: tuple[Depth, ...] = ()
    baseline_px: tuple[float, float] = (0.0, 0.0)
    readout: float = 0.0
    ois: float = 0.0
    eis_window: float = 0.0
    rig: LensRig = PLAIN_RIG
    softness: float = 0.33
    lens_blur: float = 0.0
    fps: float = 30.0
    wide_sensor: SensorModel = IDEAL_SENSOR
    ultra_sensor: SensorModel = IDEAL_SENSOR
    faults: Faults = NO_FAULTS
    focus: Focus | None = None


def shake_pair(photo: Picture, config: ShakeConfig) -> SyntheticPair:
    """Film `photo` with a shaking phone, in linear light at 15 or more instants per frame.

    photo: a file or (h, w, 3) uint8 RGB. Raises InputError if the photo cannot be read or is too small.
    """
    scale = config.scale
    drawn = describe({"photo": photo} | {f.name: getattr(config, f.name) for f in fields(config)})
    generator = np.random.default_rng((config.seed, 1))
    picture, scale = scaled_photo(read_picture(photo), config.size, config.rig.ratio, scale, generator)
    path = draw_trajectory(
        _bounded(config.shake, picture, config.size, config.rig.ratio),
        config.frames,
        config.exposure,
        math.hypot(*frame_center(config.size)),
        generator,
    )
    picture, center = _view_at_detail(picture, config.size, config.rig.ratio, path, config.frames, generator)
    sheets = [_Sheet(bytes_to_linear(picture), (0.0, 0.0), Depth(nearness=0.0))]
    for depth in sorted(config.depths, key=lambda depth: depth.nearness):
        sheets.append(_Sheet(*cut_out(picture, depth, config.size, center, generator), depth))
    if config.focus is not None:
        sheets[0] = replace(sheets[0], light=boost_highlights(sheets[0].light, config.focus.highlights))
    scene = Scene(
        tuple(_layer(sheet, config, None) for sheet in sheets),
        path,
        config.size,
        center,
        config.rig.homography(config.size),
        config.baseline_px,
        config.readout,
        config.ois,
        config.eis_window,
    )
    seen = scene
    if config.focus is not None:
        seen = replace(scene, layers=tuple(_layer(sheet, config, config.focus) for sheet in sheets))
    pair = finish_pair(
        film(scene, seen, config.frames, (config.exposure, config.ultra_exposure), config.faults.lag_frames),
        wide_sensor=config.wide_sensor,
        ultra_sensor=config.ultra_sensor,
        faults=config.faults,
        seed=config.seed,
        fps=config.fps,
        kind="shake" if config.focus is None else "defocus",
        exposures=(config.exposure, config.ultra_exposure),
        parameters={**drawn, "source": drawn["photo"], "scale": scale},
    )
    if config.focus is None:
        return pair
    return replace(pair, defocus=_defocus_maps(pair, config.focus, sheets))


def _defocus_maps(pair: SyntheticPair, focus: Focus, sheets: Sequence["_Sheet"]) -> NDArray[np.uint8]:
    """Return (T, H, W), the defocus of every frame of the wide clip."""
    assert pair.motion is not None
    height = sheets[0].light.shape[0]
    maps = []
    for t in range(len(pair.truth)):
        rows = to_scene(pair.motion[0, t], pixel_grid(pair.size), pair.size[1])[1] / (height - 1)
        covers = [
            (sheet.depth.nearness, mask[t]) for sheet, mask in zip(sheets[1:], pair.layer_masks, strict=True)
        ]
        maps.append(defocus_map(focus, np.asarray(rows, np.float32), covers))
    return np.stack(maps)


@dataclass(frozen=True)
class _Sheet:
    """What a layer of the scene is made from: linear light, and where and how near it is."""

    light: Light
    place: tuple[float, float]
    depth: Depth


def _layer(sheet: _Sheet, config: ShakeConfig, focus: Focus | None) -> Layer:
    """Return the layer as both lenses see it through `focus`; None: sharp."""
    depth, place, margin = sheet.depth, sheet.place, 0
    views = [sheet.light, sheet.light]
    if focus is not None:
        shares = (1.0, focus.ultra_share)
        if sheet.light.shape[2] == 3:
            views = [far_out_of_focus(sheet.light, focus, share) for share in shares]
        else:
            margin = margin_px(depth.nearness, focus)
            views = [near_out_of_focus(sheet.light, depth.nearness, focus, share, margin) for share in shares]
    layer = make_layer(
        views[0], config.rig.ratio, config.softness, lens_blur=config.lens_blur, ultra=views[1]
    )
    corner = place[0] - margin, place[1] - margin
    return replace(layer, place=corner, nearness=depth.nearness, velocity=depth.velocity)


def film(scene: Scene, seen: Scene, frames: int, exposures: tuple[float, float], lag: int = 0) -> SceneClip:
    """Render wide, truth and ultra of `frames` frames; the ultra also at the frames of a lag.

    scene: sharp, for the truth. seen: the same through the focus of the lenses. exposures: wide, ultra.
    """
    exposure, ultra_exposure = exposures

    def shoot(scene: Scene, times: range, open_for: float, *, ultra: bool) -> NDArray[np.float32]:
        return np.stack(
            [
                linear_to_srgb(
                    scene.expose(t, open_for, _instants(scene, t, open_for, ultra=ultra), ultra=ultra)
                )
                for t in times
            ]
        )

    now = range(frames)
    truth = shoot(scene, now, 0.0, ultra=False)
    masks = [[scene.cover(layer, t) for t in now] for layer in scene.layers[1:]]
    return SceneClip(
        wide=truth if seen is scene and not exposure else shoot(seen, now, exposure, ultra=False),
        truth=truth,
        ultra=shoot(seen, range(min(lag, 0), frames + max(lag, 0)), ultra_exposure, ultra=True),
        layer_homographies=np.stack([scene.homography(layer) for layer in scene.layers]),
        layer_masks=np.array(masks, np.uint8).reshape(len(masks), frames, scene.size[1], scene.size[0]),
        motion=np.stack([[scene.ends(layer, t, ultra=False) for t in now] for layer in scene.layers]),
        ultra_motion=np.stack([[scene.ends(layer, t, ultra=True) for t in now] for layer in scene.layers]),
    )


def read_picture(photo: Picture) -> NDArray[np.uint8]:
    """Return (h, w, 3) uint8 RGB of an image file, or the array itself. Raises InputError if unreadable."""
    if not isinstance(photo, Path):
        return photo
    image = picture_file.read_picture(photo, cv2.IMREAD_COLOR)
    return np.ascontiguousarray(image[..., ::-1]).astype(np.uint8)


def scaled_photo(
    picture: NDArray[np.uint8], size: tuple[int, int], ratio: float, scale: float | None,
    generator: np.random.Generator,
) -> tuple[NDArray[np.uint8], float]:  # fmt: skip
    """Return the reduced photo, with room for the ultra view (or at least the wide one), and its scale."""
    height, width = picture.shape[:2]
    roomy = max(size[0] * ratio * 1.1 / width, size[1] * ratio * 1.1 / height)
    if max(size[0] / width, size[1] / height) > 0.9:
        raise InputError(f"The photo is {width}x{height} pixels, too small for a {size[0]}x{size[1]} clip.",
                         "Use a larger photo or a smaller clip.")  # fmt: skip
    if scale is None:
        scale = float(generator.uniform(min(max(0.5, roomy), 1.0), 1.0))
    if scale < 1.0:
        new = round(width * scale), round(height * scale)
        picture = cv2.resize(picture, new, interpolation=cv2.INTER_AREA).astype(np.uint8)
    return picture, scale


def cut_out(
    picture: NDArray[np.uint8], depth: Depth, size: tuple[int, int], center: tuple[float, float],
    generator: np.random.Generator,
) -> tuple[Light, tuple[float, float]]:  # fmt: skip
    """Return a ragged cut-out, (h, w, 4) premultiplied linear light, and its corner in far-layer pixels."""
    wanted = round(size[0] * depth.extent), round(size[1] * depth.extent)
    source = picture if depth.picture is None else read_picture(depth.picture)
    enlarge = max(wanted[0] / source.shape[1], wanted[1] / source.shape[0])
    shrink = float(np.clip(generator.uniform(0.5, 0.9), min(enlarge * 1.01, 1.0), None))
    if (depth.picture is not None and shrink < 1.0) or enlarge > 1.0:
        factor = max(shrink, enlarge * 1.01)
        new = math.ceil(source.shape[1] * factor), math.ceil(source.shape[0] * factor)
        if new[0] * new[1] > picture_file.MAX_PIXELS:  # a photo that is a line: it would take all memory
            raise InputError(
                f"A photo of {source.shape[1]}x{source.shape[0]} pixels is too narrow to cut from."
            )
        source = cv2.resize(source, new, interpolation=cv2.INTER_AREA).astype(np.uint8)
    x = int(generator.integers(0, source.shape[1] - wanted[0] + 1))
    y = int(generator.integers(0, source.shape[0] - wanted[1] + 1))
    light = bytes_to_linear(source[y : y + wanted[1], x : x + wanted[0]])
    cover = ragged_mask(wanted, generator)[..., None]
    off = generator.uniform(-0.35, 0.35, 2)
    place = (center[0] - wanted[0] / 2 + off[0] * size[0], center[1] - wanted[1] / 2 + off[1] * size[1])
    return np.concatenate([light * cover, cover], axis=2), place


def _bounded(shake: Shake, picture: NDArray[np.uint8], size: tuple[int, int], ratio: float) -> Shake:
    """Return the shake, bounded so that the wide view stays in the photo, and the ultra where possible."""
    bounds = []
    for extent, window, asked in zip(picture.shape[1::-1], size, shake.bound_px, strict=True):
        roomy, tight = (extent - ratio * window) / 2.0, (extent - window) / 2.0 - 0.05 * window
        bounds.append(min(asked, max(roomy, 0.6 * tight, 1.0)))
    return replace(shake, bound_px=(bounds[0], bounds[1]))


def _view_at_detail(
    picture: NDArray[np.uint8], size: tuple[int, int], ratio: float, path: Trajectory, frames: int,
    generator: np.random.Generator,
) -> tuple[NDArray[np.uint8], tuple[float, float]]:  # fmt: skip
    """Choose the best textured of a few places and crop away what no lens sees.

    Returns the cropped image and its point at the centre of the wide frame at pose zero.
    """
    poses = np.stack([path.at(t) for t in np.linspace(-1.5, frames + 0.5, 4 * frames)])[:, :2]
    low, high = poses.min(0), poses.max(0)
    extent, window = np.array(picture.shape[1::-1]), np.array(size)
    detail = np.abs(cv2.Laplacian(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.CV_32F))
    best, best_center = -1.0, (extent - 1) / 2.0
    for _ in range(4):
        reach = window * (ratio / 2.0)
        first, last = reach - low, extent - 1 - reach - high
        middle = (extent - 1) / 2.0 - (low + high) / 2.0
        center = np.where(
            last > first, generator.uniform(np.minimum(first, last), np.maximum(first, last)), middle
        )
        x, y = np.clip(np.rint(center - window / 2 + (low + high) / 2), 0, extent - window).astype(int)
        score = float(np.sqrt(detail[y : y + size[1], x : x + size[0]].mean()))
        if score > best:
            best, best_center = score, center
    reach = window * (ratio / 2.0) + 24
    corner = np.clip(np.floor(best_center + low - reach), 0, extent).astype(int)
    end = np.clip(np.ceil(best_center + high + reach), 0, extent).astype(int)
    center = best_center - corner
    return picture[corner[1] : end[1], corner[0] : end[0]], (float(center[0]), float(center[1]))


def _instants(scene: Scene, time: float, exposure: float, *, ultra: bool) -> int:
    """Return how many instants of the exposure to render: steps of at most a pixel avoid visible combs."""
    if not exposure:
        return 1
    path = scene.trajectory.path_px(time - exposure / 2, time + exposure / 2)
    path += exposure * max(math.hypot(*layer.velocity) for layer in scene.layers)
    if ultra:
        return max(5, math.ceil(path * abs(float(scene.rig[0, 0]))))
    return max(15, math.ceil(path))
