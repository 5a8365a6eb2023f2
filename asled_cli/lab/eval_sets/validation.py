"""Ten fixed synthetic clips from held-out sources: five averaged videos, five photos under hand shake."""

from collections.abc import Iterator

from asled_cli.lab.camera.degradation import Codec, SensorModel, ToneCurve
from asled_cli.lab.camera.dual_lens import LensRig
from asled_cli.lab.camera.hand_shake import Shake
from asled_cli.lab.datasets.sources import Sources
from asled_cli.lab.eval_sets.builders import FRAMES, PhotoClip, VideoClip
from asled_cli.lab.synthesis.synthetic_pair import SyntheticPair

# Bumped when the clips change, so that scores of different sets are never compared.
# 2: H.264 without macroblock tree, which changed the four clips that it codes.
# 3: decoded with rounding and smooth chroma, like files; before, coded clips were 1 level too dark.
VALIDATION_VERSION = 3
_ASKING = "The validation clips"  # named in the error about a missing source
_WIDE = SensorModel(noise=(0.004, 0.010), noise_blur=0.6, codec="hevc", crf=22)
_WIDE_H264 = SensorModel(noise=(0.004, 0.010), noise_blur=0.6, codec="h264", crf=21)


def _ultra(gain: tuple[float, float, float], gamma: float, codec: Codec = "hevc") -> SensorModel:
    return SensorModel(
        tone=ToneCurve(gain=gain, gamma=(gamma, gamma, gamma), saturation=0.95),
        noise=(0.007, 0.018),
        noise_blur=0.6,
        sharpen=0.3,
        codec=codec,
        crf=23,
    )


def _video(
    name: str, start: int, *, size: tuple[int, int], scale: float, pan: tuple[float, float], rig: LensRig,
    ultra: SensorModel, wide: SensorModel = _WIDE, linear: bool = False,
) -> VideoClip:  # fmt: skip
    settings = {
        "size": size, "frames": FRAMES, "count": 7, "scale": scale, "pan_px": pan, "wobble": 0.4, "rig": rig,
        "linear": linear, "wide_sensor": wide, "ultra_sensor": ultra,
    }  # fmt: skip
    return VideoClip(name, start, settings, _ASKING)


def _photo(
    name: str, *, size: tuple[int, int], scale: float, exposure: float, shake: Shake, rig: LensRig,
    ultra: SensorModel, wide: SensorModel = _WIDE, near: str | None = None,
    baseline: tuple[float, float] = (0.0, 0.0),
) -> PhotoClip:  # fmt: skip
    settings = {
        "size": size, "frames": FRAMES, "exposure": exposure, "ultra_exposure": 0.15 * exposure,
        "scale": scale, "shake": shake, "baseline_px": baseline, "rig": rig, "lens_blur": 0.4,
        "wide_sensor": wide, "ultra_sensor": ultra,
    }  # fmt: skip
    return PhotoClip(name, near, 0.6, settings, _ASKING)


VALIDATION_CLIPS: dict[str, VideoClip | PhotoClip] = {
    "juggle_pan": _video(
        "sam2_football_juggle", 20, size=(448, 256), scale=0.75, pan=(4.0, 1.0),
        rig=LensRig(1.95, 0.2, (3.0, -2.0)), ultra=_ultra((1.06, 1.0, 0.95), 1.04),
    ),
    "juggle_slow": _video(
        "sam2_football_juggle", 150, size=(320, 416), scale=1.0, pan=(0.6, -0.8), wide=_WIDE_H264,
        rig=LensRig(1.6, -0.1, (-5.0, 4.0)), ultra=_ultra((0.95, 1.0, 1.04), 0.97, "h264"),
    ),
    "highway_bridge": _video(
        "carnd_highway_bridge", 30, size=(448, 256), scale=0.8, pan=(0.0, 0.0),
        rig=LensRig(1.88, 0.0, (0.0, 6.0), (0.002, 0.0)), ultra=_ultra((1.0, 1.0, 1.0), 1.0),
    ),
    "highway_trees_fast_pan": _video(
        "carnd_highway_trees_shade", 40, size=(384, 288), scale=1.0, pan=(9.0, 2.0), linear=True,
        rig=LensRig(2.0, 0.3, (-4.0, 1.0)), ultra=_ultra((1.12, 1.0, 0.88), 1.1),
    ),
    "highway_open_pan": _video(
        "carnd_highway_open", 20, size=(448, 256), scale=1.0, pan=(-2.5, 1.0), wide=_WIDE_H264,
        rig=LensRig(2.0, -0.3, (8.0, -3.0)), ultra=_ultra((0.97, 1.0, 1.05), 0.95, "h264"),
    ),
    "pickup_shake": _photo(
        "white_pickup_red_wall", size=(448, 256), scale=0.65, exposure=0.8, shake=Shake(14.0),
        rig=LensRig(1.95, 0.2, (4.0, 2.0)), ultra=_ultra((1.05, 1.0, 0.93), 1.05),
    ),
    "sign_strong_shake": _photo(
        "park_information_board", size=(448, 256), scale=0.6, exposure=0.9, shake=Shake(32.0),
        rig=LensRig(2.0, -0.2, (-6.0, 5.0)), ultra=_ultra((0.92, 1.0, 1.06), 0.94, "h264"), wide=_WIDE_H264,
    ),
    "windmill_mild_shake": _photo(
        "windmill_netherlands", size=(384, 288), scale=0.6, exposure=0.5,
        shake=Shake(5.0, drift_px=(1.0, 0.4)), rig=LensRig(1.85, 0.1, (2.0, 8.0)),
        ultra=_ultra((1.03, 1.0, 1.0), 1.0),
    ),
    "shell_two_layers": _photo(
        "shell_centre_building_sign", size=(320, 416), scale=0.65, exposure=0.8,
        shake=Shake(16.0, travel_px=4.0), near="flower_bed_tulips", baseline=(4.0, 1.0),
        rig=LensRig(1.88, 0.2, (-3.0, -4.0)), ultra=_ultra((1.08, 1.0, 0.94), 1.03),
    ),
    "cars_two_layers": _photo(
        "cuban_classic_cars", size=(448, 256), scale=0.7, exposure=0.7, shake=Shake(22.0, travel_px=6.0),
        near="squirrel_with_nut", baseline=(6.0, -1.0), wide=_WIDE_H264,
        rig=LensRig(1.95, -0.15, (5.0, 0.0)), ultra=_ultra((0.96, 1.0, 1.03), 0.96, "h264"),
    ),
}  # fmt: skip


def validation_pairs(sources: Sources) -> Iterator[tuple[str, SyntheticPair]]:
    """Yield (name, clip) of the ten clips, always the same; `sources` are the held-out ones.

    Raises InputError if a source is missing.
    """
    for seed, (name, make) in enumerate(VALIDATION_CLIPS.items(), start=1000):
        yield name, make(sources, seed)
