"""What is solved for when blurs are found: each frame's own motion, one smooth motion, or a camera's path.

The shifts of K frames, (K, 3, 2), are each frame's mean, speed and acceleration over its exposure, pixels
(see `blur_fit`). They are a linear function of the parameters of a model, and each model says what is usual.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from asled_cli.deconvolution.camera_path import CameraPath, exposure_instants, spline_weights

Shifts = NDArray[np.float64]

PARTS = 3  # mean, speed, acceleration
INSTANTS = 9
_PRIOR_PX = (1.0, 40.0, 2.0)  # usual size of the parts
_BEND_PX = 40.0  # usual third difference of a camera's path from frame to frame
_ERROR_PX = (0.3, 0.7, 4.0)  # of the parts of a frame's own motion, as found at low frequencies
_LARGEST_OWN_PX, _LARGEST_SMOOTH_PX = 3.0, 6.0
_MARGIN = 3  # knots before the first frame, and behind the last one


@dataclass(frozen=True)
class MotionModel:
    """Parameters (P,) whose shifts are `to_shifts` times them.

    to_shifts: (6 K, P). precision: (P, P), inverse of the usual parameters' covariance, pixels. largest_px:
    by which a parameter may change in a step.
    """

    to_shifts: NDArray[np.float64]
    precision: NDArray[np.float64]
    largest_px: float

    def shifts(self, parameters: NDArray[np.float64]) -> Shifts:
        """Return the shifts (K, 3, 2) of parameters (P,)."""
        return (self.to_shifts @ parameters).reshape(-1, PARTS, 2)


def basis(count: int) -> NDArray[np.float64]:
    """Return (count, 3): mean, speed and acceleration at the instants; the latter two of mean 0."""
    u = exposure_instants(1.0, count)
    return np.stack([np.ones(count), u, u * u - (u * u).mean()], 1)


def own_motion(frames: int) -> MotionModel:
    """Return the model in which nothing connects the motion of one frame with that of the next."""
    precision = np.diag(np.tile(np.repeat(1 / np.square(_PRIOR_PX), 2), frames))
    return MotionModel(np.eye(2 * PARTS * frames), precision, _LARGEST_OWN_PX)


def smooth_motion(frames: int, exposure: float) -> MotionModel:
    """Return the model of one smooth motion, of which each frame saw its exposure, moved afterwards.

    exposure: frame intervals. Parameters: the knots of a spline, x and y, one per frame interval, and by how
    much each frame was moved.
    """
    count = frames + 2 * _MARGIN
    parts = _parts_of_knots(np.arange(frames) + _MARGIN, exposure, count)
    parts[:, 0] = 0  # where a frame lies is not known any more
    moved = np.zeros((frames, PARTS, frames))
    moved[np.arange(frames), 0, np.arange(frames)] = 1
    one_axis = np.concatenate([parts, moved], 2).reshape(frames * PARTS, -1)
    third = np.diff(np.eye(count), 3, axis=0) / _BEND_PX
    precision = np.zeros((count + frames, count + frames))
    precision[:count, :count] = third.T @ third + 1e-6 * np.eye(count)
    precision[count:, count:] = np.eye(frames) / _PRIOR_PX[0] ** 2
    return _in_both_axes(one_axis, precision, _LARGEST_SMOOTH_PX)


def motion_near(path: CameraPath, times: Sequence[int], exposure: float) -> MotionModel:
    """Return the model of what a path leaves of the motion of the frames at `times`.

    Parameters: by how much each of the path's knots is moved, x and y. They are as uncertain as the poses
    that the path was fitted to leave them.
    """
    parts = _parts_of_knots(np.array(times) - path.first, exposure, len(path.knots))
    one_axis = parts.reshape(len(times) * PARTS, -1)
    return _in_both_axes(one_axis, path.knot_precision(exposure), _LARGEST_OWN_PX)


def _parts_of_knots(times: NDArray[np.integer], exposure: float, count: int) -> NDArray[np.float64]:
    """Return (K, 3, count): the weight of each knot, at times 0, 1, ..., in the parts of frames' motion."""
    at = times[:, None] + exposure_instants(exposure, INSTANTS)
    weights = spline_weights(at.ravel(), count).reshape(len(times), INSTANTS, count)
    return np.asarray(np.einsum("pi,kim->kpm", np.linalg.pinv(basis(INSTANTS)), weights))


def _in_both_axes(
    to_shifts: NDArray[np.float64], precision: NDArray[np.float64], largest_px: float
) -> MotionModel:
    """Return the model of x and y from that of one of them."""
    both = np.eye(2)
    return MotionModel(np.asarray(np.kron(to_shifts, both)), np.asarray(np.kron(precision, both)), largest_px)


def smoothed(model: MotionModel, shifts: Shifts) -> Iterator[tuple[float, NDArray[np.float64]]]:
    """Yield the parameters of smooth motions near each frame's own (K, 3, 2), and how far they are from it.

    A blur does not tell forth from back: one smooth motion for each choice of the speeds' signs.
    """
    frames = len(shifts)
    signs = np.array(list(product((1.0, -1.0), repeat=frames)))
    choices = np.repeat(shifts[None], len(signs), axis=0)
    choices[:, :, 1] *= signs[:, :, None]
    found = choices.reshape(len(signs), -1)
    weights = np.tile(np.repeat(1 / np.square(_ERROR_PX), 2), frames)
    right = model.to_shifts.T * weights
    parameters = np.linalg.solve(right @ model.to_shifts + model.precision, right @ found.T).T
    left = found - parameters @ model.to_shifts.T
    far = (weights * np.square(left)).sum(1) + ((parameters @ model.precision) * parameters).sum(1)
    yield from zip(far.tolist(), parameters, strict=True)
