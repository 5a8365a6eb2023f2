"""Flat scene of image layers at several depths, rendered through two moving lenses in linear light."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Matrix, translation
from asled_cli.imaging.warp import warp_homography
from asled_cli.lab.camera.dual_lens import rotation_about, soften_for_ultra
from asled_cli.lab.camera.hand_shake import Trajectory
from asled_cli.lab.camera.rolling_shutter import frame_to_scene

Light = NDArray[np.float32]


# Sharp layers are kept this much finer than the wide lens samples them: linear interpolation from there is
# closer to the ideal than cubic from the picture itself, and ten times as fast on four channels.
FINENESS = 2
# How far OIS shifts the view either way, as a share of its width: 1 to 1.5 degrees in a main camera.
OIS_REACH = 0.02
_TO_FINE = np.array([[FINENESS, 0, (FINENESS - 1) / 2], [0, FINENESS, (FINENESS - 1) / 2], [0, 0, 1.0]])


@dataclass(frozen=True)
class Layer:
    """Image at one depth; linear light, float32, four channels: RGB times cover, and the cover.

    fine: (h * FINENESS, w * FINENESS, 4) for the wide lens. soft: (h, w, 4), low-passed for the ultra lens.
    place: position of the layer's corner in the far layer's pixels, x then y. nearness: 0 far away, 1 at the
    depth for which the lens baseline and the phone's travel are given. velocity: its own motion in pixels per
    frame.
    """

    fine: Light
    soft: Light
    place: tuple[float, float] = (0.0, 0.0)
    nearness: float = 0.0
    velocity: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Scene:
    """Layers (far first) before a phone; the wide frame's centre is `center` of the far layer at rest.

    rig: (3, 3) wide pixel to ultra pixel for the far layer. baseline: shift between the lenses of a layer of
    nearness 1, in wide pixels. readout: rolling shutter, first row to last, in frame intervals. ois: share of
    the shake (not of the pan) that optical stabilisation of the wide lens compensates, within its range.
    eis_window: frames (sigma) over which electronic stabilisation smooths the path of both clips' frames;
    each frame moves as a whole and keeps its blur.
    """

    layers: tuple[Layer, ...]
    trajectory: Trajectory
    size: tuple[int, int]
    center: tuple[float, float]
    rig: Matrix
    baseline: tuple[float, float] = (0.0, 0.0)
    readout: float = 0.0
    ois: float = 0.0
    eis_window: float = 0.0

    def ois_shift(self, time: float) -> NDArray[np.float64]:
        """Return (2,): the OIS shift of the wide view at `time`, in pixels."""
        reach = OIS_REACH * self.size[0]
        return np.asarray(-reach * np.tanh(self.ois * self.trajectory.waves_at(time)[:2] / reach))

    def motion(self, layer: Layer, time: float) -> Matrix:
        """Return (3, 3): wide pixel at `time` (in frame intervals), its lens at rest, to pixel of `layer`."""
        x, y, roll, travel_x, travel_y = self.trajectory.at(time)
        middle = (self.size[0] - 1) / 2.0, (self.size[1] - 1) / 2.0
        view = translation(self.center[0] - middle[0] + x, self.center[1] - middle[1] + y)
        aside = translation(
            layer.nearness * travel_x - layer.velocity[0] * time - layer.place[0],
            layer.nearness * travel_y - layer.velocity[1] * time - layer.place[1],
        )
        return np.asarray(aside @ view @ rotation_about(middle, roll))

    def homography(self, layer: Layer) -> Matrix:
        """Return (3, 3): wide pixel, its lens at rest, to ultra pixel of `layer` at one instant."""
        near = translation(self.baseline[0] * layer.nearness, self.baseline[1] * layer.nearness)
        return np.asarray(self.rig @ near)

    def expose(self, time: float, exposure: float, instants: int, *, ultra: bool) -> Light:
        """Return the linear light (H, W, 3) of one lens over `instants` steps of `exposure` around `time`."""
        total = np.zeros((self.size[1], self.size[0], 4), np.float32)
        for step in range(instants):
            instant = time + exposure * ((step + 0.5) / instants - 0.5)
            total += self._instant(instant, frame=time, ultra=ultra)
        return np.asarray(np.clip(total[..., :3] / np.float32(instants), 0.0, 1.0), np.float32)

    def cover(self, layer: Layer, time: float) -> NDArray[np.uint8]:
        """Return (H, W): how much of each wide pixel `layer` covers at `time`, 255 = all."""
        return np.asarray(
            np.rint(self._sample(layer, time, frame=time, ultra=False)[..., 3] * 255.0), np.uint8
        )

    def _instant(self, time: float, *, frame: float, ultra: bool) -> Light:
        far, *nearer = self.layers
        picture = self._sample(far, time, frame=frame, ultra=ultra)
        for layer in nearer:
            cutout = self._sample(layer, time, frame=frame, ultra=ultra)
            picture *= 1.0 - cutout[..., 3:]
            picture += cutout
        return picture

    def _sample(self, layer: Layer, time: float, *, frame: float, ultra: bool) -> Light:
        border = cv2.BORDER_REFLECT_101 if layer is self.layers[0] else cv2.BORDER_CONSTANT
        pixels = layer.soft if ultra else layer.fine
        ends = self.ends(layer, time, frame=frame, ultra=ultra)
        if not ultra:
            ends = _TO_FINE @ ends
        if not self.readout:
            return warp_homography(pixels, ends[0], self.size, border=border, interpolation=cv2.INTER_LINEAR)
        maps = frame_to_scene(ends, self.size)
        return np.asarray(cv2.remap(pixels, *maps, cv2.INTER_LINEAR, borderMode=border), np.float32)

    def ends(self, layer: Layer, time: float, *, ultra: bool, frame: float | None = None) -> Matrix:
        """Return (2, 3, 3): pixel of one lens's frame to pixel of `layer` at the first and the last row.

        frame: time of the frame that shows it, which EIS uses to place it; None: `time` itself.
        """
        steady = translation(
            *-self.trajectory.smoothed_away(time if frame is None else frame, self.eis_window)
        )
        both = []
        for side in (-0.5, 0.5):
            row = time + side * self.readout
            matrix = self.motion(layer, row) @ steady
            if ultra:
                matrix = matrix @ np.linalg.inv(self.homography(layer))
            elif self.ois:
                matrix = matrix @ translation(*self.ois_shift(row))
            both.append(matrix)
        return np.stack(both)


def make_layer(
    light: Light, ratio: float, softness: float, lens_blur: float = 0.0, *, ultra: Light | None = None
) -> Layer:
    """Return a far layer from linear light for an ultra lens of `ratio`.

    light: (h, w, 3), or (h, w, 4) premultiplied. ultra: the same as the ultra lens sees it; None: as `light`.

    softness: see `soften_for_ultra`. lens_blur: sigma in wide pixels of the softness of both lenses.
    """
    light = _with_cover(light, lens_blur)
    soft = light if ultra is None else _with_cover(ultra, lens_blur)
    size = light.shape[1] * FINENESS, light.shape[0] * FINENESS
    fine = np.clip(cv2.resize(light, size, interpolation=cv2.INTER_LANCZOS4), 0.0, 1.0).astype(np.float32)
    return Layer(fine, soften_for_ultra(soft, ratio, softness))


def _with_cover(light: Light, lens_blur: float) -> Light:
    """Return (h, w, 4) premultiplied light, softened by `lens_blur`."""
    if light.shape[2] == 3:
        light = np.concatenate([light, np.ones_like(light[..., :1])], axis=2)
    return np.asarray(cv2.GaussianBlur(light, (0, 0), lens_blur), np.float32) if lens_blur else light


def ragged_mask(size: tuple[int, int], generator: np.random.Generator) -> Light:
    """Return the cover (height, width), 0..1, of an irregular blob in `size`, with a 1-2 px soft edge."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    away = ((x / (width - 1) * 2 - 1) ** 2 + (y / (height - 1) * 2 - 1) ** 2) ** 0.5
    noise = np.zeros((height, width), np.float32)
    for cell, weight in ((0.5, 0.5), (0.2, 0.3), (0.06, 0.12)):
        coarse = max(round(width * cell), 4), max(round(height * cell), 4)
        grid = generator.standard_normal((max(height // coarse[1], 2) + 2, max(width // coarse[0], 2) + 2))
        noise += weight * cv2.resize(grid.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    inside = (0.72 + 0.3 * noise - away > 0.0) & (away < 0.97)
    edge = float(generator.uniform(0.6, 1.2))
    return np.asarray(cv2.GaussianBlur(inside.astype(np.float32), (0, 0), edge), np.float32)
