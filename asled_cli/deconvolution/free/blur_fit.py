"""The blur of each frame from the frames alone, where the camera's path does not tell it.

Electronic stabilisation moves the pictures after they were exposed: their positions no longer say how they
are blurred. All frames show one scene, so their spectra differ by their blurs alone. The frames' power gives
each a straight blur to start from; then motion is found by Gauss-Newton: first each frame's own, then one
smooth motion through all of them, which decides between forth and back and tells how each blur is bent. The
unknown scene is eliminated at every step (variable projection: L. Kaufman, "A variable projection method for
solving separable nonlinear least squares problems", 1975).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from asled_cli.deconvolution.free.detail_tiles import Band
from asled_cli.deconvolution.free.motion_model import (
    INSTANTS,
    PARTS,
    MotionModel,
    Shifts,
    basis,
    own_motion,
    smooth_motion,
    smoothed,
)
from asled_cli.imaging.spectra import power_of, waves
from asled_cli.runtime.stages import map_in_threads

Complex = NDArray[np.complex64]

_LOW, _HIGH = 0.06, 0.16  # highest frequencies in cycles per pixel
_OWN_STEPS, _LOW_STEPS, _HIGH_STEPS = 5, 6, 8  # of each frame's own motion, and of smooth ones
_TRIED, _KEPT = 16, 4  # smooth motions that are fitted at low frequencies, and of those at high ones
_APART_PX = 0.3  # between two that are kept
_DAMPING, _CLOSE_PX = 1e-3, 0.02
_START_HIGHEST, _START_ROUNDS = 0.2, 4
_LENGTHS = np.geomspace(1.5, 45.0, 24)
_DIRECTIONS = 24
_FLOOR = 0.01  # of a blur's power: what noise and a curved motion leave at its zeros


def find_blurs(band: Band, path: NDArray[np.float64], exposure: float) -> Shifts:
    """Return (K, 3, 2): mean, speed and acceleration of each frame over its exposure, pixels.

    path: (K, N, U, 2), pixels by which a known motion, a turn for example, moves each tile in addition.
    exposure: frame intervals; the frames follow each other.
    """
    frames = len(band.values)
    smooth = smooth_motion(frames, exposure)
    low, high = (Fit(band.below(highest), path) for highest in (_LOW, _HIGH))
    starts = sorted(_smooth_starts(low, smooth, straight_blurs(band)), key=lambda start: start[0])
    tried = [start for _, start in starts[:_TRIED]]
    found = map_in_threads(lambda start: low.minimum(smooth, start, _LOW_STEPS), tried)
    kept: list[NDArray[np.float64]] = []
    for _, parameters in sorted(found, key=lambda one: one[0]):
        if len(kept) < _KEPT and all(_apart(smooth, parameters, other) > _APART_PX for other in kept):
            kept.append(parameters)
    ends = map_in_threads(lambda start: high.minimum(smooth, start, _HIGH_STEPS), kept)
    return smooth.shifts(min(ends, key=lambda one: one[0])[1])


def find_rest(band: Band, path: NDArray[np.float64], model: MotionModel) -> Shifts:
    """Return (K, 3, 2), as `find_blurs`: by what the frames moved more than a known path.

    path: (K, N, U, 2), pixels by which it moves each tile. model: what is usual of the rest.
    """
    start = np.zeros(model.to_shifts.shape[1])
    return model.shifts(Fit(band.below(_HIGH), path).minimum(model, start, _HIGH_STEPS)[1])


def _smooth_starts(
    low: "Fit", smooth: MotionModel, guesses: list[NDArray[np.float64]]
) -> Iterator[tuple[float, NDArray[np.float64]]]:
    """Yield how unlikely smooth motions are that begin from guesses (K, 2) of straight blurs, and these."""
    own = own_motion(len(guesses[0]))
    for straight in guesses:
        shifts = np.zeros((len(straight), PARTS, 2))
        shifts[:, 1] = straight
        cost, found = low.minimum(own, shifts.ravel(), _OWN_STEPS)
        for far, parameters in smoothed(smooth, own.shifts(found)):
            yield cost + far, parameters


def _apart(model: MotionModel, one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return by how much two motions differ, pixels; time may run backward in one of them."""
    a, b = model.shifts(one), model.shifts(other)
    speeds = np.abs(np.abs(a[:, 1]) - np.abs(b[:, 1])).max()
    return float(speeds + np.abs(a[:, 2] - b[:, 2]).max())


def length(shifts: Shifts) -> float:
    """Return how far a frame (3, 2) moves over its exposure, pixels."""
    return length_of(basis(INSTANTS) @ shifts)


def length_of(at: NDArray[np.float64]) -> float:
    """Return the length of a motion from its places (U, 2) in the middles of equal parts of an exposure."""
    return sum(float(np.hypot(*(b - a))) for a, b in pairwise(at)) * len(at) / (len(at) - 1)


def straight_blurs(band: Band) -> list[NDArray[np.float64]]:
    """Return (K, 2) straight blurs of the frames, pixels, of unknown sign, from their power: a few guesses.

    log |Y_k|^2 = log |X|^2 + log |H_k|^2 with one X. It starts as a power of the frequency, after D. J. Field
    (1987), or as the most that any frame shows, and is then the mean of what the blurs leave of the frames.
    """
    b = band.below(_START_HIGHEST)
    radius = np.hypot(b.across, b.down)
    power = np.square(np.abs(b.values))
    logs = np.log((power / (power.mean((0, 2), keepdims=True) + 1e-12)).mean(1) + 1e-9)
    blurs = _trial_blurs()
    models = np.log(np.square(np.sinc(blurs @ np.stack([b.across, b.down]))) + _FLOOR)
    weight = (1 / radius) / (1 / radius).sum()
    centred = models - (models @ weight)[:, None]
    strength = np.square(centred) @ weight
    design = np.stack([np.ones_like(radius), np.log(radius)], 1)
    rooted = design * np.sqrt(weight)[:, None]
    guesses = []
    for most in (False, True):
        scene = logs.max(0) if most else logs.mean(0)
        for number in range(_START_ROUNDS):
            smooth = design @ np.linalg.lstsq(rooted, scene * np.sqrt(weight), rcond=None)[0]
            flat = 1.0 if number == 0 and not most else 0.3
            scene = (1 - flat) * scene + flat * smooth
            picked = np.argmin(strength - 2 * ((logs - scene) * weight) @ centred.T, axis=1)
            scene = (logs - models[picked]).mean(0)
        guesses.append(np.asarray(blurs[picked], np.float64))
    return guesses


def _trial_blurs() -> NDArray[np.float64]:
    angles = np.arange(_DIRECTIONS) * np.pi / _DIRECTIONS
    around = np.stack([np.cos(angles), np.sin(angles)], 1)
    return np.concatenate([np.zeros((1, 2)), (_LENGTHS[:, None, None] * around).reshape(-1, 2)])


@dataclass(frozen=True)
class State:
    """Where the fit is: its cost, and Gauss-Newton's matrix and right side there."""

    cost: float
    normal: NDArray[np.float64]
    slope: NDArray[np.float64]


class Fit:
    """Most likely shifts of the frames in one band of frequencies."""

    def __init__(self, band: Band, path: NDArray[np.float64]) -> None:
        self._band, self._phi = band, basis(path.shape[2])
        self._frequency = np.stack([band.across, band.down])
        self._path = _wave(path, self._frequency)  # (K, N, U, F)

    def minimum(
        self, model: MotionModel, parameters: NDArray[np.float64], steps: int
    ) -> tuple[float, NDArray[np.float64]]:
        """Return the cost and the parameters after some steps of Levenberg and Marquardt's method."""
        damping, state = _DAMPING, self._state(model, parameters)
        for _ in range(steps):
            scale = np.diag(state.normal) + 1e-9 * np.trace(state.normal)
            step = np.linalg.solve(state.normal + np.diag(damping * scale), state.slope)
            trial = parameters + np.clip(step, -model.largest_px, model.largest_px)
            new = self._state(model, trial)
            if new.cost >= state.cost:
                damping *= 8
                continue
            close = np.abs(model.shifts(trial - parameters)).max() < _CLOSE_PX
            state, parameters, damping = new, trial, max(damping / 5, 1e-5)
            if close:
                break
        return state.cost, parameters

    def _state(self, model: MotionModel, parameters: NDArray[np.float64]) -> State:
        """Linearise about parameters, with what is usual."""
        at, usual = self.state(model.shifts(parameters)), model.precision @ parameters
        return State(
            at.cost + float(parameters @ usual),
            model.to_shifts.T @ at.normal @ model.to_shifts + model.precision,
            model.to_shifts.T @ at.slope - usual,
        )

    def state(self, shifts: Shifts) -> State:
        """Linearise about `shifts`; the tiles' variances and the scene are the best for them."""
        band, frames = self._band, len(shifts)
        moments = self._moments(shifts)
        h, y, w = moments[:, 0], band.values, band.seen[..., None]
        power = (w * power_of(h)).sum(0) + band.noise
        scene = (w * h.conj() * y).sum(0) / power
        error = y - h * scene
        count = np.maximum(h.shape[2] * band.seen.sum(0), 1)
        rest = (w * power_of(error)).sum((0, 2)) + (band.noise * power_of(scene)).sum(1)
        variance = rest / count + 1e-12
        use = (band.seen.sum(0) >= 3).astype(np.float32)
        cost = use * (count * np.log(variance) + np.log(power / band.noise).sum(1))
        scale = np.sqrt(use / variance)[:, None].astype(np.float32)
        change = self._change(moments)
        normal = self._normal(change * (w * (scene * scale))[:, None], h / np.sqrt(power))
        toward = error * (w * (scale * scale) * scene.conj()) - h * (w * (use[:, None] / power))
        slope = np.stack(
            [
                (c.conj() @ v).real
                for c, v in zip(change.reshape(frames, 6, -1), toward.reshape(frames, -1), strict=True)
            ]
        )
        return State(float(cost.sum()), normal, slope.ravel())

    def _moments(self, shifts: Shifts) -> Complex:
        """Return (K, 3, N, F): means over the exposure of the wave times each part of the basis."""
        own = _wave(self._phi @ shifts, self._frequency)  # (K, U, F)
        weights = (self._phi.T / len(self._phi)).astype(np.float32)
        return np.stack(
            [np.stack([weights @ tile for tile in p * o], 1) for p, o in zip(self._path, own, strict=True)]
        )

    def _change(self, moments: Complex) -> Complex:
        """Return (K, 6, N, F): derivatives of the transfer functions by the shifts of their frame."""
        frames, _, tiles, freqs = moments.shape
        along = (np.complex64(2j * np.pi) * self._frequency)[:, None]  # (2, 1, F)
        return np.asarray(
            (moments[:, :, None] * along).reshape(frames, 2 * PARTS, tiles, freqs), np.complex64
        )

    @staticmethod
    def _normal(change: Complex, response: Complex) -> NDArray[np.float64]:
        """Return Gauss-Newton's matrix of the weighted changes, less what the scene takes up."""
        frames, parts = change.shape[:2]
        taken = (change * response.conj()[:, None]).reshape(frames * parts, -1)
        normal = -(taken @ taken.conj().T).real.astype(np.float64)
        for k, own in enumerate(change.reshape(frames, parts, -1)):
            at = slice(k * parts, (k + 1) * parts)
            normal[at, at] += (own @ own.conj().T).real
        return normal


def _wave(moves: NDArray[np.float64], frequency: NDArray[np.float32]) -> Complex:
    """Return exp(2 pi i f.move) (..., F) of moves (..., 2)."""
    return waves(moves.astype(np.float32) @ frequency)
