"""The test clips: held-out sources as in `validation_clips`, but other stretches, crops and settings.

Nothing is chosen by them: neither checkpoints nor settings of the registration. Ten averages of real video
and ten hand shakes with two depth layers make up the main means; the others ask what must never go wrong:
sharp input, a reference that is missing, covered, late, or of another scene.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from asled_cli.errors import InputError
from asled_cli.lab.average import average_pair
from asled_cli.lab.degrade import Codec, LensLook, ToneCurve
from asled_cli.lab.made_pair import Faults, MadePair
from asled_cli.lab.rig import LensRig
from asled_cli.lab.shake import Depth, shake_pair
from asled_cli.lab.sources import Sources
from asled_cli.lab.trajectory import Shake

# Bumped when the clips change, so that scores of different sets are never compared.
# 2: H.264 without macroblock tree.
# 3: decoded with rounding and smooth chroma, like files; before, coded clips were 1 level too dark.
TEST_VERSION = 3
MAIN_GROUPS = ("average", "shake")
_FRAMES = 14
_LANDSCAPE, _WIDER, _PORTRAIT, _SQUARE = (448, 256), (512, 288), (288, 416), (352, 352)


@dataclass(frozen=True, slots=True)
class TestClip:
    """One clip: its group, and how it is made from sources and a seed."""

    __test__ = False  # no test case, whatever pytest thinks of the name
    group: str
    build: Callable[[Sources, int], MadePair]


def _wide(codec: Codec, crf: int, noise: tuple[float, float] = (0.004, 0.010)) -> LensLook:
    return LensLook(noise=noise, noise_blur=0.6, codec=codec, crf=crf)


def _ultra(gain: tuple[float, float, float], gamma: float, codec: Codec, crf: int = 23) -> LensLook:
    tone = ToneCurve(gain=gain, gamma=(gamma, gamma, gamma), saturation=0.96)
    return LensLook(tone=tone, noise=(0.007, 0.018), noise_blur=0.6, sharpen=0.3, codec=codec, crf=crf)


def _video(group: str, name: str, start: int, **settings: Any) -> TestClip:
    """Real video, averaged over 7 frames unless said otherwise."""

    def build(sources: Sources, seed: int) -> MadePair:
        usual = {"frames": _FRAMES, "count": 7, "wobble": 0.5, "scale": 0.9}
        return average_pair(_find(sources.videos, name), seed=seed, start=start, **{**usual, **settings})

    return TestClip(group, build)


def _photo(
    group: str, name: str, near: str | None = None, *, extent: float = 0.55, exposure: float = 0.8,
    ultra_share: float = 0.15, **settings: Any,
) -> TestClip:  # fmt: skip
    """A photo under hand shake, a cut-out of another one (`near`) before it."""

    def build(sources: Sources, seed: int) -> MadePair:
        depths = () if near is None else (Depth(_find(sources.photos, near), extent=extent),)
        usual = {"frames": _FRAMES, "scale": 0.6, "lens_blur": 0.4}
        return shake_pair(
            _find(sources.photos, name), seed=seed, exposure=exposure, depths=depths,
            ultra_exposure=ultra_share * exposure, **{**usual, **settings},
        )  # fmt: skip

    return TestClip(group, build)


def _with_view_of(one: TestClip, other: TestClip) -> TestClip:
    """The first clip, with the ultra view of the second: a reference of another scene."""

    def build(sources: Sources, seed: int) -> MadePair:
        pair = one.build(sources, seed)
        return replace(pair, ultra=other.build(sources, seed + 500).ultra)

    return TestClip(one.group, build)


_AVERAGES: dict[str, TestClip] = {
    "juggle_left_pan": _video(
        "average", "sam2_football_juggle", 60, size=_LANDSCAPE, scale=0.75, pan_px=(-5.0, 0.5),
        rig=LensRig(1.9, -0.2, (-4.0, 3.0)), wide_look=_wide("hevc", 24),
        ultra_look=_ultra((1.04, 1.0, 0.97), 1.03, "hevc"),
    ),
    "juggle_still": _video(
        "average", "sam2_football_juggle", 95, size=_PORTRAIT, scale=0.8, rig=LensRig(1.7, 0.1, (2.0, 5.0)),
        wide_look=_wide("h264", 21), ultra_look=_ultra((0.97, 1.0, 1.02), 0.98, "h264"),
    ),
    "juggle_light": _video(
        "average", "sam2_football_juggle", 190, size=_WIDER, scale=0.8, pan_px=(2.5, 1.5), linear=True,
        rig=LensRig(2.0, 0.25, (5.0, -1.0)), wide_look=_wide("hevc", 22),
        ultra_look=_ultra((1.07, 1.0, 0.92), 1.06, "hevc", 25),
    ),
    "juggle_long": _video(
        "average", "sam2_football_juggle", 215, size=_SQUARE, scale=0.75, pan_px=(3.0, -2.0), count=11,
        rig=LensRig(1.95, 0.0, (-2.0, -6.0)), wide_look=_wide("hevc", 24),
        ultra_look=_ultra((1.0, 1.0, 1.0), 1.0, "hevc"),
    ),
    "bridge_early": _video(
        "average", "carnd_highway_bridge", 2, size=_LANDSCAPE, rig=LensRig(1.95, 0.15, (6.0, 2.0)),
        wide_look=_wide("h264", 22), ultra_look=_ultra((1.05, 1.0, 0.96), 1.02, "h264"),
    ),
    "bridge_pan": _video(
        "average", "carnd_highway_bridge", 62, size=_WIDER, pan_px=(6.0, 0.0), ultra_count=3,
        rig=LensRig(1.85, 0.0, (0.0, -5.0), (0.0, 0.002)), wide_look=_wide("hevc", 23),
        ultra_look=_ultra((0.94, 1.0, 1.05), 0.96, "hevc"),
    ),
    "trees_slow": _video(
        "average", "carnd_highway_trees_shade", 4, size=_LANDSCAPE, pan_px=(1.0, 0.5), scale=0.8,
        rig=LensRig(2.0, -0.1, (3.0, 3.0)), wide_look=_wide("hevc", 24),
        ultra_look=_ultra((1.02, 1.0, 0.99), 1.0, "hevc"),
    ),
    "trees_pan": _video(
        "average", "carnd_highway_trees_shade", 74, size=_SQUARE, pan_px=(-7.0, 1.0), scale=1.0,
        rig=LensRig(1.8, 0.2, (-6.0, 0.0)), wide_look=_wide("h264", 23),
        ultra_look=_ultra((1.1, 1.0, 0.9), 1.08, "h264"),
    ),
    "open_still": _video(
        "average", "carnd_highway_open", 50, size=_WIDER, scale=1.0, count=9,
        rig=LensRig(1.95, 0.1, (0.0, 4.0)), wide_look=_wide("hevc", 22),
        ultra_look=_ultra((1.0, 1.0, 1.03), 0.97, "hevc"),
    ),
    "open_mild": _video(
        "average", "carnd_highway_open", 2, size=_LANDSCAPE, scale=1.0, pan_px=(3.5, 1.0), count=5,
        rig=LensRig(2.1, -0.25, (-3.0, 2.0)), wide_look=_wide("h264", 22, (0.006, 0.015)),
        ultra_look=_ultra((0.96, 1.0, 1.02), 1.03, "h264"),
    ),
}  # fmt: skip

_SHAKES: dict[str, TestClip] = {
    "cathedral_tulips": _photo(
        "shake", "berlin_cathedral_portal_a", "flower_bed_tulips", size=_PORTRAIT,
        shake=Shake(14.0, travel_px=4.0), baseline_px=(4.0, 1.0), rig=LensRig(1.95, 0.2, (3.0, -3.0)),
        wide_look=_wide("hevc", 22), ultra_look=_ultra((1.05, 1.0, 0.95), 1.04, "hevc"),
    ),
    "cathedral_toys": _photo(
        "shake", "berlin_cathedral_portal_b", "museum_toy_display", size=_PORTRAIT, extent=0.5,
        shake=Shake(24.0, travel_px=3.0), baseline_px=(3.0, -2.0), rig=LensRig(1.88, -0.2, (-5.0, 2.0)),
        wide_look=_wide("h264", 22), ultra_look=_ultra((0.95, 1.0, 1.04), 0.96, "h264"),
    ),
    "glass_roof": _photo(
        "shake", "british_museum_glass_roof", "park_information_board", size=_LANDSCAPE, extent=0.4,
        shake=Shake(18.0, travel_px=5.0), baseline_px=(5.0, 0.0), rig=LensRig(2.0, 0.1, (4.0, 4.0)),
        wide_look=_wide("hevc", 23), ultra_look=_ultra((1.03, 1.0, 1.0), 1.02, "hevc"),
    ),
    "half_dome": _photo(
        "shake", "half_dome_snow", "stacked_stones_lake", size=_WIDER, extent=0.5,
        shake=Shake(8.0, travel_px=2.0, drift_px=(1.5, 0.2)), baseline_px=(7.0, 1.0),
        rig=LensRig(1.9, 0.3, (-2.0, -4.0)), wide_look=_wide("hevc", 22),
        ultra_look=_ultra((1.08, 1.0, 0.93), 1.05, "hevc"),
    ),
    "toys_squirrel": _photo(
        "shake", "museum_toy_display", "squirrel_with_nut", size=_SQUARE, shake=Shake(12.0, travel_px=6.0),
        baseline_px=(8.0, -1.0), rig=LensRig(1.85, 0.0, (6.0, 0.0)), wide_look=_wide("h264", 21),
        ultra_look=_ultra((0.98, 1.0, 1.02), 0.98, "h264"),
    ),
    "office_tower": _photo(
        "shake", "office_tower_windows", "white_pickup_red_wall", size=_WIDER, extent=0.45,
        shake=Shake(28.0, roll_share=0.3, travel_px=4.0), baseline_px=(4.0, 2.0), readout=0.3,
        rig=LensRig(1.95, -0.15, (-4.0, 5.0)), wide_look=_wide("hevc", 23),
        ultra_look=_ultra((1.0, 1.0, 1.0), 1.0, "hevc"),
    ),
    "pier_restaurant": _photo(
        "shake", "river_pier_restaurant", "flower_bed_tulips", size=_LANDSCAPE,
        shake=Shake(20.0, travel_px=5.0), baseline_px=(6.0, 0.0), rig=LensRig(2.1, 0.2, (2.0, 6.0)),
        wide_look=_wide("hevc", 24, (0.008, 0.02)), ultra_look=_ultra((1.06, 1.0, 0.94), 1.05, "hevc", 26),
    ),
    "stones": _photo(
        "shake", "stacked_stones_lake", "windmill_netherlands", size=_PORTRAIT, extent=0.4, exposure=0.5,
        shake=Shake(6.0, travel_px=3.0), baseline_px=(5.0, 1.0), rig=LensRig(1.75, -0.1, (-3.0, -2.0)),
        wide_look=_wide("h264", 22), ultra_look=_ultra((0.96, 1.0, 1.03), 0.97, "h264"),
    ),
    "cars_moving": _photo(
        "shake", "cuban_classic_cars", "shell_centre_building_sign", size=_WIDER, extent=0.45, exposure=0.9,
        shake=Shake(16.0, travel_px=8.0), baseline_px=(10.0, -2.0), rig=LensRig(1.95, 0.1, (5.0, -5.0)),
        wide_look=_wide("hevc", 22), ultra_look=_ultra((1.04, 1.0, 0.97), 1.02, "hevc"),
    ),
    "board_equal_exposure": _photo(
        "shake", "park_information_board", "squirrel_with_nut", size=_LANDSCAPE, extent=0.5, ultra_share=0.5,
        shake=Shake(22.0, travel_px=3.0), baseline_px=(4.0, 1.0), rig=LensRig(1.9, 0.0, (-6.0, -1.0)),
        wide_look=_wide("h264", 23), ultra_look=_ultra((0.93, 1.0, 1.06), 0.95, "h264"),
    ),
}  # fmt: skip

_PLAIN_RIG = LensRig(1.95, 0.1, (3.0, -2.0))
_PLAIN: dict[str, Any] = {
    "size": _LANDSCAPE, "rig": _PLAIN_RIG, "wide_look": _wide("hevc", 22),
    "ultra_look": _ultra((1.04, 1.0, 0.96), 1.03, "hevc"),
}  # fmt: skip
_SPECIALS: dict[str, TestClip] = {
    "sharp_juggle": _video(
        "sharp", "sam2_football_juggle", 130, scale=0.75, count=1, pan_px=(2.0, 0.5), **_PLAIN
    ),
    "sharp_bridge": _video("sharp", "carnd_highway_bridge", 20, count=1, **_PLAIN),
    "sharp_tower": _photo("sharp", "office_tower_windows", exposure=0.0, shake=Shake(10.0), **_PLAIN),
    "sharp_pier": _photo(
        "sharp", "river_pier_restaurant", "squirrel_with_nut", exposure=0.0, shake=Shake(6.0, travel_px=3.0),
        baseline_px=(5.0, 0.0), **_PLAIN,
    ),
    "missing_end": _photo(
        "bad reference", "white_pickup_red_wall", shake=Shake(16.0),
        faults=Faults(missing=tuple(range(6, 14))), **_PLAIN,
    ),
    "missing_every_other": _video(
        "bad reference", "carnd_highway_trees_shade", 30, pan_px=(3.0, 0.0),
        faults=Faults(missing=tuple(range(1, 14, 2))), **_PLAIN,
    ),
    "covered_lens": _photo(
        "bad reference", "windmill_netherlands", shake=Shake(12.0), faults=Faults(finger=0.6), **_PLAIN
    ),
    "late_by_a_frame": _video(
        "bad reference", "sam2_football_juggle", 160, scale=0.75, pan_px=(4.0, 1.0),
        faults=Faults(lag_frames=1), **_PLAIN,
    ),
    "another_scene": _with_view_of(
        _photo("bad reference", "half_dome_snow", shake=Shake(14.0), **_PLAIN),
        _photo("bad reference", "cuban_classic_cars", shake=Shake(14.0), **_PLAIN),
    ),
    "another_video": _with_view_of(
        _video("bad reference", "carnd_highway_open", 20, scale=1.0, pan_px=(2.0, 0.0), **_PLAIN),
        _video("bad reference", "sam2_football_juggle", 20, scale=0.75, **_PLAIN),
    ),
}  # fmt: skip

TEST_CLIPS: dict[str, TestClip] = {**_AVERAGES, **_SHAKES, **_SPECIALS}


def _find(files: Mapping[str, Path], name: str) -> Path:
    if name not in files:
        raise InputError(f"The test clips need {name}, which is not among the {len(files)} files found.")
    return files[name]
