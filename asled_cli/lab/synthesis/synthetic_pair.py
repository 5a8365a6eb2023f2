"""Synthetic dual-lens clips with ground truth: the record, and the steps from scene frames to both views.

`average_pair` (averaged frames of real video) and `shake_pair` (a photo under hand shake) both end here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Matrix
from asled_cli.imaging.light import to_bytes
from asled_cli.imaging.warp import warp_homography
from asled_cli.lab.camera.degradation import SensorModel, ToneCurve
from asled_cli.lab.camera.rolling_shutter import frame_to_scene, to_frame

Clip8 = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Faults:
    """Faults of the ultra-wide clip; none by default.

    lag_frames: the ultra frame delivered for t shows the scene of t + lag. missing: indices of absent frames
    (delivered black, `reference_valid` False). finger: share of the frame, 0..1, that something before the
    ultra lens covers.
    """

    lag_frames: int = 0
    missing: tuple[int, ...] = ()
    finger: float = 0.0


NO_FAULTS = Faults()


@dataclass(frozen=True)
class SyntheticPair:
    """One synthetic dual-lens clip; (T, H, W, 3) uint8 RGB coded as sRGB, unless noted otherwise.

    wide: blurred target with noise and codec. ultra: the ultra view, same pixel count, after its own
    degradations.
    truth: sharp wide. ultra_clean: ultra before colour, noise, codec and faults. true_reference: ultra_clean
    sampled along the true geometry: the result of a perfect swap.
    homography: (3, 3) wide pixel to ultra pixel of the far (or only) layer, without OIS shift.
    layer_homographies: (L, 3, 3), far layer first. layer_masks: (L - 1, T, H, W) uint8, cover of each nearer
    layer in `truth` (255 = all).
    motion: (L, T, 2, 3, 3) wide pixel of frame t to a point fixed on the layer, at the times of the first and
    of the last row (equal without rolling shutter; see `ground_truth_flow` for use). ultra_motion: the same
    from ultra pixels. Both are None for real video, whose scene motion is unknown.
    reference_valid: (T,) bool, False where the ultra frame is missing. exposure, ultra_exposure: in frame
    intervals. tone: colour of the ultra against the wide. parameters: everything drawn, fit for JSON.
    defocus: (T, H, W) of a clip out of focus, see `defocus_map`; None for others.
    """

    wide: Clip8
    ultra: Clip8
    truth: Clip8
    ultra_clean: Clip8
    true_reference: Clip8
    homography: Matrix
    layer_homographies: Matrix
    layer_masks: Clip8
    motion: Matrix | None
    ultra_motion: Matrix | None
    reference_valid: NDArray[np.bool_]
    exposure: float
    ultra_exposure: float
    tone: ToneCurve
    fps: float
    seed: int
    kind: str
    parameters: dict[str, Any] = field(default_factory=dict)
    defocus: Clip8 | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Return (width, height) in pixels."""
        return self.wide.shape[2], self.wide.shape[1]


@dataclass(frozen=True)
class SceneClip:
    """Views of the two lenses before their degradations; coded 0..1 float32, (T, H, W, 3).

    ultra has T + |lag| frames: one for each of t + lag and of t. Other fields as in `SyntheticPair`.
    """

    wide: NDArray[np.float32]
    truth: NDArray[np.float32]
    ultra: NDArray[np.float32]
    layer_homographies: Matrix
    layer_masks: Clip8
    motion: Matrix | None
    ultra_motion: Matrix | None


def finish_pair(
    scene: SceneClip,
    *,
    wide_sensor: SensorModel,
    ultra_sensor: SensorModel,
    faults: Faults,
    exposures: tuple[float, float],
    fps: float,
    seed: int,
    kind: str,
    parameters: dict[str, Any],
) -> SyntheticPair:
    """Apply degradations and faults of both lenses to the scene's frames, and add the true reference."""
    frames = len(scene.truth)
    lag = faults.lag_frames
    now, seen = max(-lag, 0), max(lag, 0)
    clean = to_bytes(scene.ultra[now : now + frames])
    shown = scene.ultra[seen : seen + frames]
    generator = np.random.default_rng((seed, 2))
    if faults.finger:
        shown = hold_finger(shown, faults.finger, generator)
    ultra = ultra_sensor.apply(shown, generator)
    valid = np.ones(frames, np.bool_)
    for index in faults.missing:
        valid[index] = False
        ultra[index] = 0
    return SyntheticPair(
        wide=wide_sensor.apply(scene.wide, generator),
        ultra=ultra,
        truth=to_bytes(scene.truth),
        ultra_clean=clean,
        true_reference=swap_truly(clean, scene),
        homography=scene.layer_homographies[0],
        layer_homographies=scene.layer_homographies,
        layer_masks=scene.layer_masks,
        motion=scene.motion,
        ultra_motion=scene.ultra_motion,
        reference_valid=valid,
        exposure=exposures[0],
        ultra_exposure=exposures[1],
        tone=ultra_sensor.tone,
        fps=fps,
        seed=seed,
        kind=kind,
        parameters=parameters,
    )


def describe(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as numbers, names and lists for JSON; a file becomes its name, an array its shape."""
    return {name: _plain(value) for name, value in settings.items()}


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {entry.name: _plain(getattr(value, entry.name)) for entry in fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return value.name
    return list(value.shape) if isinstance(value, np.ndarray) else value


def swap_truly(ultra: Clip8, scene: SceneClip) -> Clip8:
    """Sample (T, H, W, 3) `ultra` at the wide pixels, each layer along its own true geometry."""
    out = np.empty_like(ultra)
    for t, view in enumerate(ultra):
        picture, *nearer = (
            _seen_from_wide(view, scene, layer, t) for layer in range(len(scene.layer_masks) + 1)
        )
        for near, masks in zip(nearer, scene.layer_masks, strict=True):
            cover = masks[t][..., None].astype(np.float32) / 255.0
            picture = np.rint(picture + cover * (near.astype(np.float32) - picture)).astype(np.uint8)
        out[t] = picture
    return out


def _seen_from_wide(view: NDArray[np.uint8], scene: SceneClip, layer: int, t: int) -> NDArray[np.uint8]:
    height, width = view.shape[:2]
    motion, ultra_motion = scene.motion, scene.ultra_motion
    at_rest = scene.layer_homographies[layer]
    if motion is None or ultra_motion is None:
        return warp_homography(view, at_rest, (width, height))
    if np.ptp(motion[layer, t], axis=0).max() == 0:
        ois_shift = np.linalg.inv(ultra_motion[layer, t, 0]) @ motion[layer, t, 0]
        return warp_homography(
            view, at_rest if np.allclose(ois_shift, at_rest, atol=1e-9) else ois_shift, (width, height)
        )
    points = frame_to_scene(motion[layer, t], (width, height))
    maps = to_frame(ultra_motion[layer, t], points, height)
    return np.asarray(cv2.remap(view, *maps, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101), np.uint8)


def hold_finger(
    frames: NDArray[np.float32], share: float, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Cover about `share` of each frame by a dark, warm, defocused object from one side."""
    height, width = frames.shape[1:3]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    angle = generator.uniform(0.0, 2.0 * np.pi)
    along = (x / width - 0.5) * np.cos(angle) + (y / height - 0.5) * np.sin(angle)
    wave = 0.04 * np.sin(12.0 * (y / height * np.cos(angle) - x / width * np.sin(angle)))
    level = float(np.quantile(along, share))
    skin = np.array([0.28, 0.13, 0.10], np.float32) * np.float32(generator.uniform(0.3, 1.6))
    drift = generator.uniform(-0.004, 0.004)
    out = np.empty_like(frames)
    for t, frame in enumerate(frames):
        cover = 1.0 / (1.0 + np.exp((along + wave - level - drift * t) / 0.02))
        cover = cv2.GaussianBlur(cover.astype(np.float32), (0, 0), 3.0)[..., None]
        out[t] = frame + cover * (skin - frame)
    return out
