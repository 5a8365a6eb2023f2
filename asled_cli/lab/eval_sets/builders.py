"""What fixed sets of synthetic clips are put together from: sizes, lenses, averaged video, shaken photos."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asled_cli.errors import InputError
from asled_cli.lab.camera.degradation import Codec, SensorModel, ToneCurve
from asled_cli.lab.datasets.sources import Sources
from asled_cli.lab.synthesis.average_blur import average_pair
from asled_cli.lab.synthesis.shake_blur import Depth, shake_pair
from asled_cli.lab.synthesis.synthetic_pair import SyntheticPair

FRAMES = 14
LANDSCAPE, WIDER, PORTRAIT, SQUARE = (448, 256), (512, 288), (288, 416), (352, 352)  # width, height


@dataclass(frozen=True, slots=True)
class SetClip:
    """One clip: its group, and how it is made from sources and a seed."""

    group: str
    build: Callable[[Sources, int], SyntheticPair]


def wide_sensor(codec: Codec, crf: int, noise: tuple[float, float] = (0.004, 0.010)) -> SensorModel:
    """Sensor and encoder of the wide lens; noise as in `SensorModel`."""
    return SensorModel(noise=noise, noise_blur=0.6, codec=codec, crf=crf)


def ultra_sensor(gain: tuple[float, float, float], gamma: float, codec: Codec, crf: int = 23) -> SensorModel:
    """The ultra lens: colours of its own, more noise, sharpened. gain: of R, G, B."""
    tone = ToneCurve(gain=gain, gamma=(gamma, gamma, gamma), saturation=0.96)
    return SensorModel(tone=tone, noise=(0.007, 0.018), noise_blur=0.6, sharpen=0.3, codec=codec, crf=crf)


def video_clip(group: str, name: str, start: int, **settings: Any) -> SetClip:
    """Real video, averaged over 7 frames unless said otherwise; `settings` as `average_pair` takes them."""

    def build(sources: Sources, seed: int) -> SyntheticPair:
        usual = {"frames": FRAMES, "count": 7, "wobble": 0.5, "scale": 0.9}
        return average_pair(
            find_source(sources.videos, name), seed=seed, start=start, **{**usual, **settings}
        )

    return SetClip(group, build)


def photo_clip(
    group: str, name: str, near: str | None = None, *, extent: float = 0.55, exposure: float = 0.8,
    ultra_share: float = 0.15, **settings: Any,
) -> SetClip:  # fmt: skip
    """A photo under hand shake, a cut-out of another one (`near`) before it; `settings` as in `shake_pair`.

    extent: of the cut-out, a share of the picture. exposure: in frame intervals; ultra_share: of it.
    """

    def build(sources: Sources, seed: int) -> SyntheticPair:
        depths = () if near is None else (Depth(find_source(sources.photos, near), extent=extent),)
        usual = {"frames": FRAMES, "scale": 0.6, "lens_blur": 0.4}
        return shake_pair(
            find_source(sources.photos, name), seed=seed, exposure=exposure, depths=depths,
            ultra_exposure=ultra_share * exposure, **{**usual, **settings},
        )  # fmt: skip

    return SetClip(group, build)


def find_source(files: Mapping[str, Path], name: str, asking: str = "The clips of this set") -> Path:
    """The source called `name`. Raises InputError, with who is `asking` for it, where it is not there."""
    if name not in files:
        raise InputError(f"{asking} need {name}, which is not among the {len(files)} files found.")
    return files[name]
