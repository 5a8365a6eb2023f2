"""A flat world of picture layers at several depths, rendered through two moving lenses in linear light."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.lab.rig import Matrix, pull, rotation_about, soften_for_ultra, translation
from asled_cli.lab.trajectory import Trajectory

Light = NDArray[np.float32]


@dataclass(frozen=True)
class Layer:
    """A picture at one depth; linear light, float32.

    sharp: (h, w, 3), or (h, w, 4) premultiplied by its soft-edged cover in the last channel. soft: the same,
    low-passed for the ultra lens. place: where the layer's corner lies in the far layer's pixels, x then y.
    nearness: 0 far away, 1 as near as the lens baseline and the phone's travel are given for. velocity: its
    own motion in pixels per frame.
    """

    sharp: Light
    soft: Light
    place: tuple[float, float] = (0.0, 0.0)
    nearness: float = 0.0
    velocity: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Scene:
    """Layers (far first) before a phone whose wide frame's centre looks at `center` of the far layer at rest.

    rig: (3, 3) wide pixel to ultra pixel for the far layer. baseline: shift between the lenses of a layer of
    nearness 1, in wide pixels. readout: rolling shutter, first row to last, in frame intervals.
    """

    layers: tuple[Layer, ...]
    trajectory: Trajectory
    size: tuple[int, int]
    center: tuple[float, float]
    rig: Matrix
    baseline: tuple[float, float] = (0.0, 0.0)
    readout: float = 0.0

    def motion(self, layer: Layer, time: float) -> Matrix:
        """(3, 3): wide pixel at `time` (in frame intervals) to pixel of `layer`."""
        x, y, roll, travel_x, travel_y = self.trajectory.at(time)
        middle = (self.size[0] - 1) / 2.0, (self.size[1] - 1) / 2.0
        look = translation(self.center[0] - middle[0] + x, self.center[1] - middle[1] + y)
        aside = translation(
            layer.nearness * travel_x - layer.velocity[0] * time - layer.place[0],
            layer.nearness * travel_y - layer.velocity[1] * time - layer.place[1],
        )
        return np.asarray(aside @ look @ rotation_about(middle, roll))

    def homography(self, layer: Layer) -> Matrix:
        """(3, 3): wide pixel to ultra pixel for points of `layer` at one instant."""
        near = translation(self.baseline[0] * layer.nearness, self.baseline[1] * layer.nearness)
        return np.asarray(self.rig @ near)

    def expose(self, time: float, exposure: float, instants: int, *, ultra: bool) -> Light:
        """(H, W, 3) linear light that one lens gathers in `instants` steps of `exposure` around `time`."""
        total = np.zeros((self.size[1], self.size[0], 3), np.float32)
        for step in range(instants):
            total += self._instant(time + exposure * ((step + 0.5) / instants - 0.5), ultra=ultra)
        return np.asarray(np.clip(total / np.float32(instants), 0.0, 1.0), np.float32)

    def cover(self, layer: Layer, time: float) -> NDArray[np.uint8]:
        """(H, W) how much of each wide pixel `layer` covers at `time`, 255 = all."""
        alpha = self._sample(layer, layer.sharp[..., 3].copy(), time, ultra=False)
        return np.asarray(np.clip(np.rint(alpha * 255.0), 0, 255), np.uint8)

    def _instant(self, time: float, *, ultra: bool) -> Light:
        far, *nearer = self.layers
        picture = self._sample(far, far.soft if ultra else far.sharp, time, ultra=ultra)
        for layer in nearer:
            cutout = self._sample(layer, layer.soft if ultra else layer.sharp, time, ultra=ultra)
            picture = picture * (1.0 - np.clip(cutout[..., 3:], 0.0, 1.0)) + cutout[..., :3]
        return picture

    def _sample(self, layer: Layer, pixels: Light, time: float, *, ultra: bool) -> Light:
        border = cv2.BORDER_REFLECT_101 if layer is self.layers[0] else cv2.BORDER_CONSTANT
        if not self.readout:
            return pull(pixels, self._view(layer, time, ultra=ultra), self.size, border=border)
        maps = self._rolling_map(layer, time, ultra=ultra)
        return np.asarray(cv2.remap(pixels, *maps, cv2.INTER_CUBIC, borderMode=border), np.float32)

    def _view(self, layer: Layer, time: float, *, ultra: bool) -> Matrix:
        matrix = self.motion(layer, time)
        return matrix @ np.linalg.inv(self.homography(layer)) if ultra else matrix

    def _rolling_map(self, layer: Layer, time: float, *, ultra: bool) -> tuple[Light, Light]:
        """Sampling maps whose rows pass from the pose at the first row's time to that at the last row's."""
        width, height = self.size
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        late = y / max(height - 1, 1)
        ends = []
        for side in (-0.5, 0.5):
            matrix = self._view(layer, time + side * self.readout, ultra=ultra)
            ends.append(project(matrix, x, y))
        (x0, y0), (x1, y1) = ends
        return x0 + late * (x1 - x0), y0 + late * (y1 - y0)


def project(matrix: Matrix, x: Light, y: Light) -> tuple[Light, Light]:
    """Apply a (3, 3) homography to coordinate arrays of any one shape."""
    m = matrix.astype(np.float32)
    depth = m[2, 0] * x + m[2, 1] * y + m[2, 2]
    return (m[0, 0] * x + m[0, 1] * y + m[0, 2]) / depth, (m[1, 0] * x + m[1, 1] * y + m[1, 2]) / depth


def make_layer(
    light: Light, ratio: float, softness: float, *, place: tuple[float, float] = (0.0, 0.0),
    nearness: float = 0.0, velocity: tuple[float, float] = (0.0, 0.0),
) -> Layer:  # fmt: skip
    """A layer from linear light (h, w, 3 or 4 premultiplied), with its copy for an ultra lens of `ratio`."""
    return Layer(light, soften_for_ultra(light, ratio, softness), place, nearness, velocity)


def ragged_mask(size: tuple[int, int], generator: np.random.Generator) -> Light:
    """(height, width) cover 0..1 of an irregular blob in `size` = (width, height), its edge 1-2 px soft."""
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
