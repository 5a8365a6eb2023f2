"""Building blocks of the fixed synthetic sets: sizes, lenses, averaged video, shaken photos."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from asled_cli.errors import InputError
from asled_cli.lab.camera.degradation import Codec, SensorModel, ToneCurve
from asled_cli.lab.datasets.sources import Sources
from asled_cli.lab.synthesis.average_blur import AverageConfig, average_pair
from asled_cli.lab.synthesis.shake_blur import Depth, ShakeConfig, shake_pair
from asled_cli.lab.synthesis.synthetic_pair import SyntheticPair

FRAMES = 14  # of each clip: about half a second
# (width, height) in pixels: small enough for a CPU, in the shapes that phones record.
LANDSCAPE = (448, 256)
WIDER = (512, 288)
PORTRAIT = (288, 416)
SQUARE = (352, 352)


class ClipMaker(Protocol):
    """Maker of one clip of a set; equal arguments give equal clips."""

    def __call__(self, sources: Sources, seed: int, *, compressed: bool = True) -> SyntheticPair:
        """Return the clip. compressed: False leaves out the encoders that the sensors name."""
        ...


@dataclass(frozen=True)
class VideoClip:
    """Averaged real video; `settings` as `AverageConfig` takes them."""

    name: str
    start: int
    settings: Mapping[str, Any]
    asking: str = "The clips of this set"

    def __call__(self, sources: Sources, seed: int, *, compressed: bool = True) -> SyntheticPair:
        """Return the clip. Raises InputError if its source is missing."""
        video = find_source(sources.videos, self.name, self.asking)
        return average_pair(
            video, AverageConfig(seed=seed, start=self.start, **_seen(self.settings, compressed))
        )


@dataclass(frozen=True)
class PhotoClip:
    """Photo under hand shake with a cut-out of another one (`near`) before it; `settings` of `ShakeConfig`.

    extent: of the cut-out, as a share of the image.
    """

    name: str
    near: str | None
    extent: float
    settings: Mapping[str, Any]
    asking: str = "The clips of this set"

    def __call__(self, sources: Sources, seed: int, *, compressed: bool = True) -> SyntheticPair:
        """Return the clip. Raises InputError if a source is missing."""
        depths: tuple[Depth, ...] = ()
        if self.near is not None:
            depths = (Depth(find_source(sources.photos, self.near, self.asking), extent=self.extent),)
        photo = find_source(sources.photos, self.name, self.asking)
        return shake_pair(photo, ShakeConfig(seed=seed, depths=depths, **_seen(self.settings, compressed)))


@dataclass(frozen=True)
class OtherScene:
    """First clip with the ultra view of the second: a reference of another scene."""

    clip: ClipMaker
    other: ClipMaker

    def __call__(self, sources: Sources, seed: int, *, compressed: bool = True) -> SyntheticPair:
        """Return the clip. Raises InputError if a source is missing."""
        pair = self.clip(sources, seed, compressed=compressed)
        return replace(pair, ultra=self.other(sources, seed + 500, compressed=compressed).ultra)


@dataclass(frozen=True, slots=True)
class SetClip:
    """One clip of a set: its group, and its maker."""

    group: str
    build: ClipMaker


def wide_sensor(codec: Codec, crf: int, noise: tuple[float, float] = (0.004, 0.010)) -> SensorModel:
    """Return sensor and encoder of the wide lens; noise as in `SensorModel`."""
    return SensorModel(noise=noise, noise_blur=0.6, codec=codec, crf=crf)


def ultra_sensor(gain: tuple[float, float, float], gamma: float, codec: Codec, crf: int = 23) -> SensorModel:
    """Return sensor and encoder of the ultra lens: own colours, more noise, sharpened. gain: of R, G, B."""
    tone = ToneCurve(gain=gain, gamma=(gamma, gamma, gamma), saturation=0.96)
    return SensorModel(tone=tone, noise=(0.007, 0.018), noise_blur=0.6, sharpen=0.3, codec=codec, crf=crf)


def video_clip(group: str, name: str, start: int, **settings: Any) -> SetClip:
    """Return real video, averaged over 7 frames unless `settings` of `AverageConfig` say otherwise."""
    usual = {"frames": FRAMES, "count": 7, "wobble": 0.5, "scale": 0.9}
    return SetClip(group, VideoClip(name, start, {**usual, **settings}))


def photo_clip(
    group: str, name: str, near: str | None = None, *, extent: float = 0.55, exposure: float = 0.8,
    ultra_share: float = 0.15, **settings: Any,
) -> SetClip:  # fmt: skip
    """Return a photo under hand shake; see `PhotoClip`. exposure: frame intervals; ultra_share: of it."""
    usual = {"frames": FRAMES, "scale": 0.6, "lens_blur": 0.4}
    exposures = {"exposure": exposure, "ultra_exposure": ultra_share * exposure}
    return SetClip(group, PhotoClip(name, near, extent, {**exposures, **usual, **settings}))


def _seen(settings: Mapping[str, Any], compressed: bool) -> dict[str, Any]:
    """Return the settings, without encoders where the clip must not be compressed."""
    return {
        key: replace(value, codec=None) if isinstance(value, SensorModel) and not compressed else value
        for key, value in settings.items()
    }


def find_source(files: Mapping[str, Path], name: str, asking: str = "The clips of this set") -> Path:
    """Return the source called `name`. Raises InputError, which names who is `asking`, if it is missing."""
    if name not in files:
        raise InputError(f"{asking} need {name}, which is not among the {len(files)} files found.")
    return files[name]
