"""Two lenses of one phone: the map from wide to ultra-wide pixels, and sampling along it.

Every matrix here is a homography that maps (x, y, 1) of one view to another, x right, y down, with pixel
centres at integers.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Matrix, translation
from asled_cli.imaging.warp import Pixel


@dataclass(frozen=True, slots=True)
class LensRig:
    """Geometry of the ultra-wide lens relative to the wide one; both frames have the same pixel count.

    ratio: field of view of the ultra over the wide's (tangents), so the ultra has 1 / ratio of the detail.
    rotation_deg: roll of the ultra against the wide. shift_px: misregistration in wide pixels, x then y.
    perspective: change of scale over the frame's half width and half height (0.01 is 1 %).
    """

    ratio: float = 2.0
    rotation_deg: float = 0.0
    shift_px: tuple[float, float] = (0.0, 0.0)
    perspective: tuple[float, float] = (0.0, 0.0)

    def homography(self, size: tuple[int, int]) -> Matrix:
        """Return (3, 3): wide pixel to ultra pixel of the far layer. size: (width, height) of a frame."""
        center = frame_center(size)
        angle = np.deg2rad(self.rotation_deg)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / self.ratio
        tilt = np.eye(3)
        tilt[2, :2] = np.asarray(self.perspective) / np.asarray(size) * 2.0
        matrix = np.eye(3)
        matrix[:2, :2] = turn
        home = translation(*center)
        whole = home @ matrix @ tilt @ translation(*self.shift_px) @ np.linalg.inv(home)
        return np.asarray(whole / whole[2, 2])


PLAIN_RIG = LensRig()


def frame_center(size: tuple[int, int]) -> tuple[float, float]:
    """Return (x, y) of the middle of a frame of `size` = (width, height), pixel centres at integers."""
    return (size[0] - 1) / 2.0, (size[1] - 1) / 2.0


def rotation_about(center: tuple[float, float], angle_rad: float) -> Matrix:
    """Return the (3, 3) rotation by `angle_rad` about `center`."""
    cosine, sine = np.cos(angle_rad), np.sin(angle_rad)
    turn = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    return np.asarray(translation(*center) @ turn @ translation(-center[0], -center[1]))


def soften_for_ultra(image: NDArray[Pixel], ratio: float, softness: float = 0.33) -> NDArray[Pixel]:
    """Low-pass `image` so that it can be sampled every `ratio` pixels without aliasing.

    The sigma of the Gaussian is `softness` * sqrt(ratio^2 - 1), which is zero at ratio 1. 0.29 is the spread
    of the box of area averaging, 0.4 is a soft small lens.
    """
    sigma = softness * np.sqrt(max(ratio**2 - 1.0, 0.0))
    if sigma < 0.1:
        return image
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101), image.dtype)
