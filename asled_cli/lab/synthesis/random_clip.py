"""Random synthetic training clips: averaged video, and photos under hand shake."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.errors import InputError
from asled_cli.imaging import picture_file
from asled_cli.lab.camera.degradation import Codec, SensorModel, ToneCurve
from asled_cli.lab.camera.dual_lens import LensRig
from asled_cli.lab.camera.hand_shake import Shake
from asled_cli.lab.datasets.sources import Sources
from asled_cli.lab.synthesis.average_blur import AverageConfig, average_pair
from asled_cli.lab.synthesis.shake_blur import Depth, Picture, ShakeConfig, shake_pair
from asled_cli.lab.synthesis.synthetic_pair import Faults, SyntheticPair
from asled_cli.video.decode.open_clip import open_clip
from asled_cli.video.decode.video_tracks import select_stream

# Width and height of a training clip: 0.1 to 0.15 megapixels, landscape, square and portrait.
SIZES = ((448, 256), (384, 288), (320, 416), (352, 352), (416, 272), (256, 416), (480, 320))


@dataclass(frozen=True, slots=True)
class Odds:
    """Probability of each kind of clip, 0..1, by the name of the field.

    averaged: of a mean of 3, 5, 7 and 9 frames. shaken: of a blur of 2 to 8, 8 to 25 and 25 to 40 px.
    crf: no probability, but the lowest and highest crf of the encoder; up to 2 more for the ultra view.
    """

    average: float = 0.5
    sharp_wide: float = 0.06
    equally_blurred_ultra: float = 0.05
    missing_frames: float = 0.08
    lag: float = 0.05
    finger: float = 0.04
    big_color_difference: float = 0.25
    no_codec: float = 0.08
    good_light: float = 0.3
    one_plane: float = 0.4
    three_layers: float = 0.15
    rolling_shutter: float = 0.2
    ois: float = 0.15
    eis_window: float = 0.15
    averaged: tuple[float, float, float, float] = (0.2, 0.22, 0.4, 0.18)
    shaken: tuple[float, float, float] = (0.25, 0.5, 0.25)
    crf: tuple[int, int] = (18, 28)


USUAL_ODDS = Odds()
# Every frame is blurred: shaken photos by 8 to 40 px, averaged video over 5 frames or more.
STRONG_ODDS = Odds(sharp_wide=0.0, averaged=(0.0, 0.1, 0.6, 0.3), shaken=(0.0, 0.7, 0.3))
_PHONE_CRF = (23, 31)  # 0.1 to 0.2 bit per pixel
# Clips in good light: factor of the noise, reduction of the crf, and share of clips without compression.
_NOISE_FACTOR = 0.25
_CRF_REDUCTION = 6
_UNCOMPRESSED_SHARE = 0.5


def at_phone_bit_rates(odds: Odds) -> Odds:
    """Return the odds with every clip compressed to 0.1 to 0.2 bit per pixel, as phones record."""
    return replace(odds, no_codec=0.0, good_light=0.0, crf=_PHONE_CRF)


def random_pair(
    sources: Sources,
    seed: int,
    *,
    frames: int | None = None,
    size: tuple[int, int] | None = None,
    odds: Odds = USUAL_ODDS,
) -> SyntheticPair:
    """Draw one clip of the training distribution; equal arguments give equal bytes.

    frames: None draws 13..18. size: (width, height), None draws one of SIZES; smaller where the source is
    small.
    Raises InputError if there is no source of a kind that `odds` ask for.
    """
    draw = np.random.default_rng((seed, 0))
    frames = frames or int(draw.integers(13, 19))
    size = size or SIZES[int(draw.integers(len(SIZES)))]
    if draw.random() < odds.average:
        return _random_average(sources, seed, size, frames, odds, draw)
    return _random_shake(sources, seed, size, frames, odds, draw)


def _random_average(
    sources: Sources, seed: int, size: tuple[int, int], frames: int, odds: Odds, draw: np.random.Generator
) -> SyntheticPair:
    video = _pick(sources.videos.values(), "video", draw)
    rig = random_rig(draw)
    extent = video_extent(video)
    size = fit_size(size, extent, min(rig.ratio, 1.75))
    smallest = max(size[0] * rig.ratio * 1.04 / extent[0], size[1] * rig.ratio * 1.04 / extent[1])
    sharp, equal = draw.random() < odds.sharp_wide, draw.random() < odds.equally_blurred_ultra
    count = 1 if sharp else int(draw.choice([3, 5, 7, 9], p=odds.averaged))
    ultra_count = count if equal else int(draw.choice([1, 3], p=[0.88, 0.12]))
    speed = 0.0 if draw.random() < 0.25 else 10.0 * draw.random() ** 1.4
    direction = draw.uniform(0.0, 2.0 * np.pi)
    return average_pair(
        video,
        AverageConfig(
            seed=seed,
            size=size,
            frames=frames,
            count=count,
            ultra_count=min(ultra_count, max(count, 1)),
            linear=bool(draw.random() < 0.35),
            scale=float(draw.uniform(min(max(smallest, 0.5), 1.0), 1.0)),
            pan_px=(float(speed * np.cos(direction)), float(speed * np.sin(direction))),
            wobble=float(draw.uniform(0.0, 0.8)),
            rig=rig,
            softness=float(draw.uniform(0.29, 0.42)),
            wide_sensor=in_good_light(random_wide_sensor(draw, odds), seed, odds),
            ultra_sensor=in_good_light(random_ultra_sensor(draw, odds), seed, odds),
            faults=random_faults(frames, draw, odds),
        ),
    )


def _random_shake(
    sources: Sources, seed: int, size: tuple[int, int], frames: int, odds: Odds, draw: np.random.Generator
) -> SyntheticPair:
    photo = _pick(sources.photos.values(), "photo", draw)
    settings = draw_shake(photo, sources, size, frames, odds, draw)
    sensors = {name: in_good_light(settings[name], seed, odds) for name in ("wide_sensor", "ultra_sensor")}
    return shake_pair(photo, ShakeConfig(seed=seed, **settings | sensors))


def draw_shake(
    photo: Picture,
    sources: Sources,
    size: tuple[int, int],
    frames: int,
    odds: Odds,
    draw: np.random.Generator,
) -> dict[str, Any]:
    """Draw settings of `shake_pair` for `photo`, except the seed; nearer layers are cut from other photos."""
    sharp, equal = draw.random() < odds.sharp_wide, draw.random() < odds.equally_blurred_ultra
    exposure = float(draw.uniform(0.3, 1.0))
    low, high = [(2.0, 8.0), (8.0, 25.0), (25.0, 40.0)][int(draw.choice(3, p=odds.shaken))]
    drift = draw.normal(0.0, 3.0, 2) if draw.random() < 0.3 else np.zeros(2)
    layers = draw.random()
    count = 0 if layers < odds.one_plane else 2 if layers > 1.0 - odds.three_layers else 1
    baseline = 0.5 + 13.5 * draw.random() ** 2  # 22 mm between the lenses: 4 px at 1 m for 256 rows
    direction = draw.uniform(0.0, 2.0 * np.pi)
    readout = float(draw.uniform(0.1, 0.5)) if draw.random() < odds.rolling_shutter else 0.0
    ultra_exposure = exposure if equal else exposure * draw.uniform(0.0, 0.35)
    return dict(
        size=fit_size(size, photo_extent(photo), 1.35),
        frames=frames,
        exposure=0.0 if sharp else exposure,
        ultra_exposure=float(ultra_exposure),
        shake=Shake(
            blur_px=float(draw.uniform(low, high)),
            roll_share=float(draw.uniform(0.0, 0.3)),
            travel_px=float(draw.uniform(0.0, 7.0)),
            drift_px=(float(drift[0]), float(drift[1])),
        ),
        depths=tuple(_random_depth(sources, draw) for _ in range(count)),
        baseline_px=(float(baseline * np.cos(direction)), float(baseline * np.sin(direction))),
        readout=readout,
        rig=random_rig(draw),
        softness=float(draw.uniform(0.29, 0.42)),
        lens_blur=float(draw.uniform(0.3, 0.8)) if draw.random() < 0.6 else 0.0,
        wide_sensor=random_wide_sensor(draw, odds),
        ultra_sensor=random_ultra_sensor(draw, odds),
        faults=random_faults(frames, draw, odds),
        ois=float(draw.uniform(0.3, 0.8)) if draw.random() < odds.ois else 0.0,
        eis_window=float(draw.uniform(3.0, 15.0)) if draw.random() < odds.eis_window else 0.0,
    )


def _random_depth(sources: Sources, draw: np.random.Generator) -> Depth:
    velocity = draw.normal(0.0, 3.0, 2) if draw.random() < 0.25 else np.zeros(2)
    return Depth(
        picture=_pick(sources.photos.values(), "photo", draw) if sources.photos else None,
        extent=float(draw.uniform(0.35, 0.9)),
        nearness=float(draw.uniform(0.2, 1.0)),
        velocity=(float(velocity[0]), float(velocity[1])),
    )


def random_rig(draw: np.random.Generator) -> LensRig:
    """Draw two lenses of a phone: ratio 1.5..2.2, half of the draws near 1.95; up to 12 px shift."""
    usual = draw.random() < 0.5
    ratio = float(np.clip(draw.normal(1.94, 0.07), 1.5, 2.2) if usual else draw.uniform(1.5, 2.2))
    away, direction = draw.uniform(0.0, 12.0), draw.uniform(0.0, 2.0 * np.pi)
    tilt = draw.uniform(-0.004, 0.004, 2) if draw.random() < 0.4 else np.zeros(2)
    return LensRig(
        ratio=ratio,
        rotation_deg=float(draw.uniform(-0.4, 0.4)),
        shift_px=(float(away * np.cos(direction)), float(away * np.sin(direction))),
        perspective=(float(tilt[0]), float(tilt[1])),
    )


def in_good_light(sensor: SensorModel, seed: int, odds: Odds = USUAL_ODDS) -> SensorModel:
    """Return the sensor, or by the odds one in bright light at a high bit rate; equal for one seed."""
    draw = np.random.default_rng((seed, 9))
    if draw.random() >= odds.good_light:
        return sensor
    read, shot = sensor.noise
    codec = None if draw.random() < _UNCOMPRESSED_SHARE else sensor.codec
    crf = sensor.crf - _CRF_REDUCTION
    return replace(sensor, noise=(read * _NOISE_FACTOR, shot * _NOISE_FACTOR), codec=codec, crf=crf)


def random_wide_sensor(draw: np.random.Generator, odds: Odds = USUAL_ODDS) -> SensorModel:
    """Draw sensor and encoder of the wide lens; its colours are those of the truth."""
    return SensorModel(
        noise=(float(draw.uniform(0.0, 0.012)), float(draw.uniform(0.0, 0.025))),
        noise_blur=float(draw.choice([0.0, 0.6, 0.9])),
        sharpen=float(draw.uniform(0.1, 0.5)) if draw.random() < 0.2 else 0.0,
        codec=_random_codec(draw, odds),
        crf=int(draw.integers(odds.crf[0], odds.crf[1] + 1)),
    )


def random_ultra_sensor(draw: np.random.Generator, odds: Odds = USUAL_ODDS) -> SensorModel:
    """Draw colour, sensor and encoder of the ultra lens: smaller pixels, more noise, often sharpened."""
    return SensorModel(
        tone=random_tone(draw, odds.big_color_difference),
        noise=(float(draw.uniform(0.0, 0.02)), float(draw.uniform(0.0, 0.04))),
        noise_blur=float(draw.choice([0.0, 0.6, 0.9])),
        sharpen=float(draw.uniform(0.1, 1.0)) if draw.random() < 0.5 else 0.0,
        codec=_random_codec(draw, odds),
        crf=int(draw.integers(odds.crf[0], odds.crf[1] + 3)),
    )


def random_tone(draw: np.random.Generator, big: float = 0.25) -> ToneCurve:
    """Draw the ultra's colour against the wide's: small differences, or large ones with odds `big`."""
    spread = 3.0 if draw.random() < big else 1.0
    gain = np.exp(draw.normal(0.0, 0.06 * spread) + draw.normal(0.0, 0.03 * spread, 3))
    gamma = np.exp(draw.normal(0.0, 0.05 * spread) + draw.normal(0.0, 0.02 * spread, 3))
    bias = draw.normal(0.0, 0.006 * spread, 3)
    return ToneCurve(
        gain=_triple(gain),
        gamma=_triple(gamma),
        bias=_triple(bias),
        saturation=float(np.exp(draw.normal(0.0, 0.05 * spread))),
    )


def random_faults(frames: int, draw: np.random.Generator, odds: Odds = USUAL_ODDS) -> Faults:
    """Draw missing ultra frames (a run, or single ones), a lag of one frame, or a finger before the lens."""
    missing: tuple[int, ...] = ()
    if draw.random() < odds.missing_frames:
        length = int(draw.integers(1, max(frames // 2, 2)))
        first = int(draw.integers(0, frames - length + 1))
        run = range(first, first + length)
        scattered = sorted(draw.choice(frames, length, replace=False).tolist())
        missing = tuple(run if draw.random() < 0.6 else scattered)
    lag = int(draw.choice([-1, 1])) if draw.random() < odds.lag else 0
    finger = float(draw.uniform(0.15, 0.75)) if draw.random() < odds.finger else 0.0
    return Faults(lag, missing, finger)


def fit_size(size: tuple[int, int], extent: tuple[int, int], ratio: float) -> tuple[int, int]:
    """Shrink `size` in proportion, to multiples of 16, so that `ratio` times it fits into `extent`."""
    factor = min(1.0, extent[0] / (ratio * size[0]), extent[1] / (ratio * size[1]))
    return int(size[0] * factor) // 16 * 16, int(size[1] * factor) // 16 * 16


def video_extent(video: Path) -> tuple[int, int]:
    """Return (width, height) of a video's first stream."""
    with open_clip(video) as container:
        stream = select_stream(container, video, 0)
        return stream.width, stream.height


def photo_extent(photo: Picture) -> tuple[int, int]:
    """Return (width, height) of an image. Raises InputError if it cannot be read."""
    if not isinstance(photo, Path):
        return photo.shape[1], photo.shape[0]
    image = picture_file.read_picture(photo, cv2.IMREAD_REDUCED_GRAYSCALE_8)
    return image.shape[1] * 8, image.shape[0] * 8


def _random_codec(draw: np.random.Generator, odds: Odds) -> Codec | None:
    if draw.random() < odds.no_codec:
        return None
    return "hevc" if draw.random() < 0.5 else "h264"


def _pick(paths: Iterable[Path], kind: str, draw: np.random.Generator) -> Path:
    choices = list(paths)
    if not choices:
        raise InputError(f"No {kind} to draw from.", f"Add a {kind}, or set the odds so that none is needed.")
    return choices[int(draw.integers(len(choices)))]


def _triple(values: NDArray[np.float64]) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])
