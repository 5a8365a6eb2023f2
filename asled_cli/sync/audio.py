"""How the clocks of two recordings of one moment belong together, found by their sound.

A first match over the first minute gives the offset; short windows spread over the whole clips then refine
it and tell whether the clocks drift apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

from asled_cli.video.clock import Clock
from asled_cli.video.decode.open_clip import open_clip
from asled_cli.video.frames import Clip

RATE = 16_000  # samples per second; a step of 1/16 ms is far below a frame interval
MAX_S = 60  # of sound compared for the first match
MIN_S = Fraction(1, 2)
# Peak over median of the correlation: two sound tracks of one moment reach 100, unrelated ones stay below 10.
MIN_PEAK = 20.0
SILENCE = 1e-3  # lags at which next to nothing meets are left out
# Windows along the clips: so short that a drift of 100 ppm does not smear them, found again within REACH_S.
WINDOW_S, WINDOWS, REACH_S = 3, 7, 0.05
PIECE_S = 2
MIN_DRIFT_S = 1e-3  # over the clip; less is the noise of the measurement
MAX_DRIFT = 1e-3  # no clock is this bad: windows that say so have found something else
STEADY_S = 2e-3  # windows agree with the line through them this well, or tell nothing


@dataclass(frozen=True, slots=True)
class SoundMatch:
    """What two sound tracks tell. peak: of the correlation over its median; believed above MIN_PEAK."""

    clock: Clock
    peak: float

    @property
    def confidence(self) -> float:
        """0..1; one half at the least peak that is believed."""
        return min(1.0, self.peak / (2 * MIN_PEAK))


@dataclass(frozen=True, slots=True)
class _Sound:
    """Mono samples, the first at `start_s` on the clip's own clock."""

    samples: NDArray[np.float32]
    start_s: Fraction


def match_sound(target: Clip, reference: Clip) -> SoundMatch | None:
    """How the clocks of two clips belong together by their sound.

    None if one of them has no sound that can be decoded, or if the two do not match. Memory: MAX_S of
    sound; time: about a second, however long the clips are.
    """
    one, other = _read_sound(target, None, MAX_S), _read_sound(reference, None, MAX_S)
    if one is None or other is None:
        return None
    # Clocks that drift apart smear a long match: then one of a few short pieces must do.
    tries = (_match(one, piece) for piece in (other, *_pieces(other)))
    found = next((match for match in tries if match is not None), None)
    if found is None:
        return None
    lag, peak = found
    return SoundMatch(_follow(target, reference, lag, one, other), peak)


def _pieces(sound: _Sound) -> list[_Sound]:
    """Three short pieces of a long sound; none of a short one."""
    length = PIECE_S * RATE
    if len(sound.samples) < 3 * length:
        return []
    starts = (int(share * (len(sound.samples) - length)) for share in (0.5, 0.25, 0.75))
    return [_Sound(sound.samples[i : i + length], sound.start_s + Fraction(i, RATE)) for i in starts]


def _match(one: _Sound, other: _Sound, near: float | None = None) -> tuple[float, float] | None:
    """(offset in seconds, peak) of two pieces; near: only offsets within REACH_S of it. None: no match."""
    shift = float(one.start_s - other.start_s)
    middle = None if near is None else (near - shift) * RATE
    # Differences of neighbouring samples first: hum and rumble, which agree at every lag, hardly count then.
    # Low sounds under hiss stand out only without: differences make the most of the hiss.
    found = _best_lag(np.diff(one.samples), np.diff(other.samples), middle) or _best_lag(
        one.samples, other.samples, middle
    )
    return None if found is None else (found[0] / RATE + shift, found[1])


def _follow(target: Clip, reference: Clip, offset: float, one: _Sound, other: _Sound) -> Clock:
    """The clock of which `offset` is a first guess, from windows along the time that both clips cover."""
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
    """The clock through offsets found at times on the reference's clock; rate 1 unless it clearly drifts."""
    if len(times) < 3:
        return None
    x, y = np.asarray(times), np.asarray(offsets)
    i, j = np.triu_indices(len(x), 1)
    slope = float(np.median((y[j] - y[i]) / (x[j] - x[i])))  # Theil-Sen: one false window does no harm
    at_zero = float(np.median(y - slope * x))
    if abs(slope) > MAX_DRIFT or np.median(np.abs(y - slope * x - at_zero)) > STEADY_S:
        return None
    if abs(slope) * float(np.ptp(x)) < MIN_DRIFT_S:
        return Clock(Fraction(float(np.median(y))).limit_denominator(10**6))
    return Clock(Fraction(at_zero).limit_denominator(10**6), 1 + Fraction(slope).limit_denominator(10**9))


def _end(clip: Clip, sound: _Sound) -> float:
    heard = float(sound.start_s) + len(sound.samples) / RATE
    declared = None if clip.duration_s is None else float(clip.start_s + clip.duration_s)
    return heard if declared is None or heard < MAX_S - 1 else declared


def _read_sound(clip: Clip, start_s: Fraction | None, length_s: float) -> _Sound | None:
    """`length_s` seconds of sound from `start_s` (None: the beginning) on; None if there is too little."""
    parts: list[NDArray[np.float32]] = []
    first: Fraction | None = None
    wanted = int(length_s * RATE)
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
                parts += [part.to_ndarray()[0] for part in resampler.resample(frame)]
                if sum(map(len, parts)) >= wanted:
                    break
    except av.FFmpegError:
        pass  # damaged sound: what came before the damage may do
    samples = np.concatenate(parts)[:wanted] if parts else np.zeros(0, np.float32)
    if first is None:
        return None
    skipped = 0 if start_s is None else max(0, int((start_s - first) * RATE))
    samples = samples[skipped:]
    return _Sound(samples, first + Fraction(skipped, RATE)) if len(samples) >= MIN_S * RATE else None


def _best_lag(
    one: NDArray[np.float32], other: NDArray[np.float32], near: float | None = None
) -> tuple[float, float] | None:
    """(samples by which what `other` holds comes later in `one`, peak over median); None if none stands out.

    near: only lags within REACH_S of this one. The correlation at each lag is divided by its spread for
    unrelated sound, the root of the correlation of the squares, so that loud passages do not count twice.
    """
    size = 1 << (len(one) + len(other) - 1).bit_length()
    match = _correlate(one - one.mean(), other - other.mean(), size)
    spread = np.sqrt(np.maximum(_correlate(one**2, other**2, size), 0))
    lags = np.arange(size)
    lags[lags >= len(one)] -= size
    shared = np.minimum(len(one) - lags, len(other)) - np.maximum(0, -lags)
    usable = (shared >= MIN_S * RATE) & (spread > SILENCE * spread.max())
    if not usable.any():
        return None
    score = np.where(usable, match / np.maximum(spread, 1e-12), 0)
    usual = float(np.median(np.abs(score[usable])))
    peak = int(np.argmax(score if near is None else np.where(abs(lags - near) <= REACH_S * RATE, score, 0)))
    height = float(score[peak]) / max(usual, 1e-12)
    if height <= MIN_PEAK:
        return None
    before, at, after = match[peak - 1], match[peak], match[(peak + 1) % size]
    bend = before - 2 * at + after
    fine = 0.5 * (before - after) / bend if bend < 0 else 0.0  # top of the parabola
    return float(lags[peak] + fine), height


def _correlate(one: NDArray[np.float32], other: NDArray[np.float32], size: int) -> NDArray[np.float64]:
    """sum over i of one[i + lag] * other[i] for each lag; negative lags at the end."""
    return np.fft.irfft(np.fft.rfft(one, size) * np.conj(np.fft.rfft(other, size)), size)
