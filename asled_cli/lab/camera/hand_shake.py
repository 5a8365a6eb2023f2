"""Hand motion of a phone: a smooth path of shift, roll and sideways travel."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Shake:
    """Hand motion during a clip.

    blur_px: path of the image within the wide exposure, in wide pixels, averaged over the half of the frames
    with most blur. roll_share: roll about the lens axis, as motion at the frame's corner relative to that of
    the shift.
    travel_px: sideways motion of the phone, as peak shift of the nearest layer against the far one. drift_px:
    steady pan (x, y) per frame in addition. bound_px: limit of the shift from its middle (x, y). Where the
    shift would exceed it, the hand moves quicker and finally less.
    """

    blur_px: float = 15.0
    roll_share: float = 0.15
    travel_px: float = 0.0
    drift_px: tuple[float, float] = (0.0, 0.0)
    bound_px: tuple[float, float] = (100.0, 100.0)


USUAL_SHAKE = Shake()


@dataclass(frozen=True)
class Trajectory:
    """Sum of sines per channel plus a steady pan; channels are shift x, shift y, roll, travel x, travel y.

    amplitude, frequency, phase: (K, 5), frequency in cycles per frame. drift: (5,) per frame.
    """

    amplitude: NDArray[np.float64]
    frequency: NDArray[np.float64]
    phase: NDArray[np.float64]
    drift: NDArray[np.float64]

    def at(self, time: float) -> NDArray[np.float64]:
        """Return the pose (5,) at `time` in frame intervals: pixels, pixels, radians, pixels, pixels."""
        return np.asarray(self.waves_at(time) + self.drift * time)

    def waves_at(self, time: float) -> NDArray[np.float64]:
        """Return the shake (5,) of the pose at `time`, without the steady pan."""
        waves = self.amplitude * np.sin(2.0 * np.pi * self.frequency * time + self.phase)
        return np.asarray(waves.sum(0))

    def smoothed_away(self, time: float, sigma: float) -> NDArray[np.float64]:
        """Return (2,): the shift at `time` minus its Gaussian mean over `sigma` frames, pixels."""
        lost = 1.0 - np.exp(-((2.0 * np.pi * self.frequency * sigma) ** 2) / 2.0)
        waves = self.amplitude * lost * np.sin(2.0 * np.pi * self.frequency * time + self.phase)
        return np.asarray(waves.sum(0)[:2])

    def path_px(self, start: float, end: float) -> float:
        """Return the length in pixels of the shift's path from time `start` to `end`."""
        poses = np.stack([self.at(t) for t in np.linspace(start, end, 9)])
        return float(np.hypot(*np.diff(poses[:, :2], axis=0).T).sum())


def draw_trajectory(
    shake: Shake, frames: int, exposure: float, corner_px: float, generator: np.random.Generator
) -> Trajectory:
    """Draw a hand path over `frames` frames that blurs by shake.blur_px within `exposure` frame intervals.

    Involuntary motion of the hand has 1 to 12 Hz, that is 0.03 to 0.4 cycles per frame at 30 fps, with larger
    amplitudes at lower frequencies. corner_px: distance of the frame's corner from its centre, for the roll.
    Higher frequencies are drawn where low ones would exceed shake.bound_px.
    """
    waves = 5
    frequency = np.exp(generator.uniform(np.log(0.03), np.log(0.25), (waves, 5)))
    strength = generator.uniform(0.3, 1.0, (waves, 5)) * generator.uniform(0.4, 1.0, 5)
    phase = generator.uniform(0.0, 2.0 * np.pi, (waves, 5))
    drift = np.array([*shake.drift_px, 0.0, 0.0, 0.0])
    bound, times = np.array(shake.bound_px), np.linspace(-1.0, frames, 4 * frames)
    for hurry in (1.0, 1.3, 1.7):
        path = Trajectory(strength / frequency, frequency * hurry, phase, 0.0 * drift)
        path = _with_speed(path, shake, frames, exposure, corner_px)
        path = Trajectory(path.amplitude, path.frequency, phase, drift)
        reach = np.ptp(np.stack([path.at(t) for t in times])[:, :2], axis=0) / 2.0
        if (reach <= bound).all():
            return path
    fit = np.ones(5)
    fit[:2] = np.minimum(bound / np.maximum(reach, 1e-9), 1.0)
    return Trajectory(path.amplitude * fit, path.frequency, phase, drift * fit)


def _with_speed(path: Trajectory, shake: Shake, frames: int, exposure: float, corner_px: float) -> Trajectory:
    """Scale shift, roll and travel to the values of `shake`."""
    span = max(exposure, 0.25) / 2.0
    lengths = sorted(path.path_px(t - span, t + span) for t in range(frames))
    usual = float(np.mean(lengths[len(lengths) // 2 :])) * (exposure / (2.0 * span) if exposure else 1.0)
    poses = np.stack([path.at(t) for t in np.linspace(0, frames - 1, 4 * frames)])
    peaks = np.maximum(np.abs(poses).max(0), 1e-9)
    shift = shake.blur_px / max(usual, 1e-9)
    factors = np.array(
        [
            shift,
            shift,
            shake.roll_share * shift * peaks[:2].mean() / peaks[2] / corner_px,
            shake.travel_px / peaks[3],
            shake.travel_px / peaks[4],
        ]
    )
    return Trajectory(path.amplitude * factors, path.frequency, path.phase, path.drift)
