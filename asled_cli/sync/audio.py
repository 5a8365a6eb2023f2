"""Clock of two recordings of one event, from the cross-correlation of their sound.

The first minute gives the offset.
Short windows spread over the clips then refine it and measure clock drift.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.parabola import parabola_peak
from asled_cli.video.clock import Clock
from asled_cli.video.decode.open_clip import open_clip
from asled_cli.video.frames import Clip

RATE = 16_000  # samples per second; one sample is 1/16 ms, far below a frame interval
MAX_S = 60  # seconds of sound compared for the first match
MIN_S = Fraction(1, 2)  # seconds of sound that must overlap; chosen
# Peak over median of the correlation: two sound tracks of one moment reach 100, unrelated ones stay below 10.
MIN_PEAK = 20.0
SILENCE = 1e-3  # share of the largest energy; lags with less energy are skipped
WINDOW_S = 3  # seconds; a drift of 100 ppm moves the sound by 0.3 ms within one window
WINDOWS = 7  # spread evenly over the common time
REACH_S = 0.05  # seconds around the first offset in which a window is searched
PIECE_S = 2  # seconds of the short pieces that are tried where the whole minute does not match
MIN_DRIFT_S = 1e-3  # seconds over the clip; less is measurement noise
MAX_DRIFT = 1e-3  # seconds per second; crystal clocks stay below a tenth of it
MAX_LINE_ERROR_S = 2e-3  # median distance of the windows from the line through them, seconds


@dataclass(frozen=True, slots=True)
class SoundMatch:
    """A match of two sound tracks. peak: correlation over its median, accepted above MIN_PEAK."""

    clock: Clock
    peak: float

    @property
    def confidence(self) -> float:
        """Confidence 0..1; 0.5 at MIN_PEAK."""
        return min(1.0, self.peak / (2 * MIN_PEAK))


@dataclass(frozen=True, slots=True)
class _Sound:
    """Mono samples (N,) at RATE. start_s: time of the first one on the clip's clock, seconds."""

    samples: NDArray[np.float32]
    start_s: Fraction


def match_sound(target: Clip, reference: Clip) -> SoundMatch | None:
    """Return the clock between two clips from their sound.

    None if one clip has no sound that can be decoded, or if the sounds do not match.
    Memory: MAX_S of sound. Time: about one second, independent of the length of the clips.
    """
    one, other = _read_sound(target, None, MAX_S), _read_sound(reference, None, MAX_S)
    if one is None or other is None:
        return None
    # Drifting clocks smear the peak of a long match. Then a short piece is matched.
    tries = (_match(one, piece) for piece in (other, *_pieces(other)))
    found = next((match for match in tries if match is not None), None)
    if found is None:
        return None
    lag, peak = found
    return SoundMatch(_follow(target, reference, lag, one, other), peak)


def _pieces(sound: _Sound) -> list[_Sound]:
    """Return three pieces of PIECE_S from a long sound, none from a short one."""
    length = PIECE_S * RATE
    if len(sound.samples) < 3 * length:
        return []
    starts = (int(share * (len(sound.samples) - length)) for share in (0.5, 0.25, 0.75))
    return [_Sound(sound.samples[i : i + length], sound.start_s + Fraction(i, RATE)) for i in starts]


def _match(one: _Sound, other: _Sound, near: float | None = None) -> tuple[float, float] | None:
    """Return (offset in seconds, peak) of two pieces, None if they do not match.

    near: an offset in seconds; only offsets within REACH_S of it are searched.
    """
    shift = float(one.start_s - other.start_s)
    middle = None if near is None else (near - shift) * RATE
    # First the differences of neighbouring samples: they suppress hum, which correlates at every lag.
    # Then the samples themselves: differences amplify hiss, which hides low sounds.
    found = _best_lag(np.diff(one.samples), np.diff(other.samples), middle) or _best_lag(
        one.samples, other.samples, middle
    )
    return None if found is None else (found[0] / RATE + shift, found[1])


def _follow(target: Clip, reference: Clip, offset: float, one: _Sound, other: _Sound) -> Clock:
    """Return the clock from windows over the common time. offset: first guess, seconds."""
    first = max(float(one.start_s), float(other.start_s) + offset)
    ends = [_end(clip, sound) for clip, sound in ((target, one), (reference, other))]
    last = min(ends[0], ends[1] + offset) - WINDOW_S
    plain = Clock(Fraction(offset).limit_denominator(10**6))
    if last - first < WINDOW_S:
        return plain
    times, offsets = [], []
    for start in np.linspace(first, last, WINDOWS):
        here = _read_sound(target, Fraction(start - REACH_S), WINDOW_S + 4 * REACH_S)
        there = _read_sound(reference, Fraction(start - offset), WINDOW_S)
        found = None if here is None or there is None else _match(here, there, near=offset)
        if found is not None:
            offset = found[0]
            times.append(float(start) + WINDOW_S / 2 - offset)
            offsets.append(offset)
    return _line(times, offsets) or plain


def _line(times: Sequence[float], offsets: Sequence[float]) -> Clock | None:
    """Return the clock through offsets (N,) seconds at reference times (N,) seconds.

    The rate is 1 unless the drift over the clip reaches MIN_DRIFT_S. None if the offsets do not fit a line.
    """
    if len(times) < 3:
        return None
    x, y = np.asarray(times), np.asarray(offsets)
    i, j = np.triu_indices(len(x), 1)
    slope = float(np.median((y[j] - y[i]) / (x[j] - x[i])))  # Theil-Sen estimator: robust to a false window
    at_zero = float(np.median(y - slope * x))
    if abs(slope) > MAX_DRIFT or np.median(np.abs(y - slope * x - at_zero)) > MAX_LINE_ERROR_S:
        return None
    if abs(slope) * float(np.ptp(x)) < MIN_DRIFT_S:
        return Clock(Fraction(float(np.median(y))).limit_denominator(10**6))
    return Clock(Fraction(at_zero).limit_denominator(10**6), 1 + Fraction(slope).limit_denominator(10**9))


def _end(clip: Clip, sound: _Sound) -> float:
    heard = float(sound.start_s) + len(sound.samples) / RATE
    declared = None if clip.duration_s is None else float(clip.start_s + clip.duration_s)
    return heard if declared is None or heard < MAX_S - 1 else declared


def _read_sound(clip: Clip, start_s: Fraction | None, length_s: float) -> _Sound | None:
    """Return `length_s` seconds of sound from `start_s` (None: the start), None if shorter than MIN_S."""
    parts: list[NDArray[np.float32]] = []
    first: Fraction | None = None
    wanted, read = int(length_s * RATE), 0
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
    try:
        with open_clip(clip.path) as container:
            stream = next((s for s in container.streams.audio if s.codec_context is not None), None)
            if stream is None:
                return None
            if start_s is not None and stream.time_base is not None:
                container.seek(int(max(start_s, Fraction(0)) / stream.time_base), stream=stream)
            for frame in container.decode(stream):
                if first is None:
                    first = Fraction(frame.pts or 0) * (frame.time_base or Fraction(1, RATE))
                    wanted += 0 if start_s is None else max(0, int((start_s - first) * RATE))
                new = [part.to_ndarray()[0] for part in resampler.resample(frame)]
                parts += new
                read += sum(map(len, new))
                if read >= wanted:
                    break
    except av.FFmpegError:
        pass  # damaged sound: the part before the damage may be enough
    samples = np.concatenate(parts)[:wanted] if parts else np.zeros(0, np.float32)
    if first is None:
        return None
    skipped = 0 if start_s is None else max(0, int((start_s - first) * RATE))
    samples = samples[skipped:]
    return _Sound(samples, first + Fraction(skipped, RATE)) if len(samples) >= MIN_S * RATE else None


def _best_lag(
    one: NDArray[np.float32], other: NDArray[np.float32], near: float | None = None
) -> tuple[float, float] | None:
    """Return (lag in samples of `other` behind `one`, peak over median), None below MIN_PEAK.

    near: a lag; only lags within REACH_S of it are searched. The correlation at each lag is divided by its
    standard deviation for unrelated sound, so that loud passages do not dominate.
    """
    size = 1 << (len(one) + len(other) - 1).bit_length()
    match = _correlate(one - one.mean(), other - other.mean(), size)
    spread = np.sqrt(np.maximum(_correlate(one**2, other**2, size), 0))
    lags = np.arange(size)
    lags[lags >= len(one)] -= size
    shared = np.minimum(len(one) - lags, len(other)) - np.maximum(0, -lags)
    usable = (shared >= int(MIN_S * RATE)) & (spread > SILENCE * spread.max())
    if not usable.any():
        return None
    score = np.where(usable, match / np.maximum(spread, 1e-12), 0)
    usual = float(np.median(np.abs(score[usable])))
    peak = int(np.argmax(score if near is None else np.where(abs(lags - near) <= REACH_S * RATE, score, 0)))
    height = float(score[peak]) / max(usual, 1e-12)
    if height <= MIN_PEAK:
        return None
    fine = parabola_peak(*(float(match[(peak + step) % size]) for step in (-1, 0, 1)))
    return float(lags[peak] + fine), height


def _correlate(one: NDArray[np.float32], other: NDArray[np.float32], size: int) -> NDArray[np.float64]:
    """Return the sum over i of one[i + lag] * other[i] for each lag, (size,); negative lags come last."""
    return np.fft.irfft(np.fft.rfft(one, size) * np.conj(np.fft.rfft(other, size)), size)
