"""The offset between two recordings of one moment, found by their sound."""

from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

from asled_cli.video.frames import Clip
from asled_cli.video.probe import open_clip

RATE = 16_000  # samples per second; a step of 1/16 ms is far below a frame interval
LONGEST_S = 60  # of sound compared; more tells no more
SHORTEST_S = Fraction(1, 2)
# Peak over median of the correlation: two sound tracks of one moment reach 100, unrelated ones stay below 10.
LEAST_PEAK = 20.0
SILENCE = 1e-3  # lags at which next to nothing meets are left out


@dataclass(frozen=True, slots=True)
class _Sound:
    """Mono samples, the first at `start_s` on the clip's own clock."""

    samples: NDArray[np.float32]
    start_s: Fraction


def find_offset(target: Clip, reference: Clip) -> Fraction | None:
    """Seconds that the reference clip started after the target clip: reference time = target time - offset.

    None if one of them has no sound that can be decoded, or if the two do not match. Memory: LONGEST_S of
    sound; time: well under a second.
    """
    one, other = _read_sound(target), _read_sound(reference)
    if one is None or other is None:
        return None
    # Differences of neighbouring samples: hum and rumble, which agree at every lag, hardly count.
    lag = _best_lag(np.diff(one.samples), np.diff(other.samples))
    if lag is None:
        return None
    return Fraction(lag / RATE).limit_denominator(10**6) + one.start_s - other.start_s


def _read_sound(clip: Clip) -> _Sound | None:
    parts: list[NDArray[np.float32]] = []
    start: Fraction | None = None
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
    try:
        with open_clip(clip.path) as container:
            stream = next((s for s in container.streams.audio if s.codec_context is not None), None)
            if stream is None:
                return None
            for frame in container.decode(stream):
                if start is None:
                    start = Fraction(frame.pts or 0) * (frame.time_base or Fraction(1, RATE))
                parts += [part.to_ndarray()[0] for part in resampler.resample(frame)]
                if sum(map(len, parts)) >= LONGEST_S * RATE:
                    break
    except av.FFmpegError:
        pass  # damaged sound: what came before the damage may do
    samples = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    return _Sound(samples, start) if start is not None and len(samples) >= SHORTEST_S * RATE else None


def _best_lag(one: NDArray[np.float32], other: NDArray[np.float32]) -> float | None:
    """Samples by which what `other` holds comes later in `one`; None if no lag stands out.

    The correlation at each lag is divided by its spread for unrelated sound, the root of the correlation of
    the squares, so that loud passages do not count twice.
    """
    size = 1 << (len(one) + len(other) - 1).bit_length()
    match = _correlate(one - one.mean(), other - other.mean(), size)
    spread = np.sqrt(np.maximum(_correlate(one**2, other**2, size), 0))
    lags = np.arange(size)
    lags[lags >= len(one)] -= size
    shared = np.minimum(len(one) - lags, len(other)) - np.maximum(0, -lags)
    usable = (shared >= SHORTEST_S * RATE) & (spread > SILENCE * spread.max())
    if not usable.any():
        return None
    score = np.where(usable, match / np.maximum(spread, 1e-12), 0)
    peak = int(np.argmax(score))
    if score[peak] <= LEAST_PEAK * np.median(np.abs(score[usable])):
        return None
    before, at, after = match[peak - 1], match[peak], match[(peak + 1) % size]
    bend = before - 2 * at + after
    fine = 0.5 * (before - after) / bend if bend < 0 else 0.0  # top of the parabola
    return float(lags[peak] + fine)


def _correlate(one: NDArray[np.float32], other: NDArray[np.float32], size: int) -> NDArray[np.float64]:
    """sum over i of one[i + lag] * other[i] for each lag; negative lags at the end."""
    return np.fft.irfft(np.fft.rfft(one, size) * np.conj(np.fft.rfft(other, size)), size)
