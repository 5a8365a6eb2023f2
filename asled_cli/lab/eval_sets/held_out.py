"""Test clips: the held-out sources of `validation` in other intervals, crops and settings.

No choice is based on them: neither checkpoints nor settings of the registration. Ten averages of real video
and ten hand shakes with two depth layers are in the main means. The others test cases that must not fail:
sharp input, and a reference that is missing, covered, late, or of another scene.
"""

from typing import Any

from asled_cli.lab.camera.dual_lens import LensRig
from asled_cli.lab.camera.hand_shake import Shake
from asled_cli.lab.eval_sets.builders import (
    LANDSCAPE,
    PORTRAIT,
    SQUARE,
    WIDER,
    OtherScene,
    SetClip,
    photo_clip,
    ultra_sensor,
    video_clip,
    wide_sensor,
)
from asled_cli.lab.synthesis.synthetic_pair import Faults

# Bumped when the clips change, so that scores of different sets are never compared.
# 2: H.264 without macroblock tree.
# 3: decoded with rounding and smooth chroma, like files; before, coded clips were 1 level too dark.
TEST_VERSION = 3
# Groups that the main means cover.
MAIN_GROUPS = ("average", "shake")


def _with_view_of(one: SetClip, other: SetClip) -> SetClip:
    """Return the first clip with the ultra view of the second: a reference of another scene."""
    return SetClip(one.group, OtherScene(one.build, other.build))


_AVERAGES: dict[str, SetClip] = {
    "juggle_left_pan": video_clip(
        "average", "sam2_football_juggle", 60, size=LANDSCAPE, scale=0.75, pan_px=(-5.0, 0.5),
        rig=LensRig(1.9, -0.2, (-4.0, 3.0)), wide_sensor=wide_sensor("hevc", 24),
        ultra_sensor=ultra_sensor((1.04, 1.0, 0.97), 1.03, "hevc"),
    ),
    "juggle_still": video_clip(
        "average", "sam2_football_juggle", 95, size=PORTRAIT, scale=0.8, rig=LensRig(1.7, 0.1, (2.0, 5.0)),
        wide_sensor=wide_sensor("h264", 21), ultra_sensor=ultra_sensor((0.97, 1.0, 1.02), 0.98, "h264"),
    ),
    "juggle_light": video_clip(
        "average", "sam2_football_juggle", 190, size=WIDER, scale=0.8, pan_px=(2.5, 1.5), linear=True,
        rig=LensRig(2.0, 0.25, (5.0, -1.0)), wide_sensor=wide_sensor("hevc", 22),
        ultra_sensor=ultra_sensor((1.07, 1.0, 0.92), 1.06, "hevc", 25),
    ),
    "juggle_long": video_clip(
        "average", "sam2_football_juggle", 215, size=SQUARE, scale=0.75, pan_px=(3.0, -2.0), count=11,
        rig=LensRig(1.95, 0.0, (-2.0, -6.0)), wide_sensor=wide_sensor("hevc", 24),
        ultra_sensor=ultra_sensor((1.0, 1.0, 1.0), 1.0, "hevc"),
    ),
    "bridge_early": video_clip(
        "average", "carnd_highway_bridge", 2, size=LANDSCAPE, rig=LensRig(1.95, 0.15, (6.0, 2.0)),
        wide_sensor=wide_sensor("h264", 22), ultra_sensor=ultra_sensor((1.05, 1.0, 0.96), 1.02, "h264"),
    ),
    "bridge_pan": video_clip(
        "average", "carnd_highway_bridge", 62, size=WIDER, pan_px=(6.0, 0.0), ultra_count=3,
        rig=LensRig(1.85, 0.0, (0.0, -5.0), (0.0, 0.002)), wide_sensor=wide_sensor("hevc", 23),
        ultra_sensor=ultra_sensor((0.94, 1.0, 1.05), 0.96, "hevc"),
    ),
    "trees_slow": video_clip(
        "average", "carnd_highway_trees_shade", 4, size=LANDSCAPE, pan_px=(1.0, 0.5), scale=0.8,
        rig=LensRig(2.0, -0.1, (3.0, 3.0)), wide_sensor=wide_sensor("hevc", 24),
        ultra_sensor=ultra_sensor((1.02, 1.0, 0.99), 1.0, "hevc"),
    ),
    "trees_pan": video_clip(
        "average", "carnd_highway_trees_shade", 74, size=SQUARE, pan_px=(-7.0, 1.0), scale=1.0,
        rig=LensRig(1.8, 0.2, (-6.0, 0.0)), wide_sensor=wide_sensor("h264", 23),
        ultra_sensor=ultra_sensor((1.1, 1.0, 0.9), 1.08, "h264"),
    ),
    "open_still": video_clip(
        "average", "carnd_highway_open", 50, size=WIDER, scale=1.0, count=9,
        rig=LensRig(1.95, 0.1, (0.0, 4.0)), wide_sensor=wide_sensor("hevc", 22),
        ultra_sensor=ultra_sensor((1.0, 1.0, 1.03), 0.97, "hevc"),
    ),
    "open_mild": video_clip(
        "average", "carnd_highway_open", 2, size=LANDSCAPE, scale=1.0, pan_px=(3.5, 1.0), count=5,
        rig=LensRig(2.1, -0.25, (-3.0, 2.0)), wide_sensor=wide_sensor("h264", 22, (0.006, 0.015)),
        ultra_sensor=ultra_sensor((0.96, 1.0, 1.02), 1.03, "h264"),
    ),
}  # fmt: skip

_SHAKES: dict[str, SetClip] = {
    "cathedral_tulips": photo_clip(
        "shake", "berlin_cathedral_portal_a", "flower_bed_tulips", size=PORTRAIT,
        shake=Shake(14.0, travel_px=4.0), baseline_px=(4.0, 1.0), rig=LensRig(1.95, 0.2, (3.0, -3.0)),
        wide_sensor=wide_sensor("hevc", 22), ultra_sensor=ultra_sensor((1.05, 1.0, 0.95), 1.04, "hevc"),
    ),
    "cathedral_toys": photo_clip(
        "shake", "berlin_cathedral_portal_b", "museum_toy_display", size=PORTRAIT, extent=0.5,
        shake=Shake(24.0, travel_px=3.0), baseline_px=(3.0, -2.0), rig=LensRig(1.88, -0.2, (-5.0, 2.0)),
        wide_sensor=wide_sensor("h264", 22), ultra_sensor=ultra_sensor((0.95, 1.0, 1.04), 0.96, "h264"),
    ),
    "glass_roof": photo_clip(
        "shake", "british_museum_glass_roof", "park_information_board", size=LANDSCAPE, extent=0.4,
        shake=Shake(18.0, travel_px=5.0), baseline_px=(5.0, 0.0), rig=LensRig(2.0, 0.1, (4.0, 4.0)),
        wide_sensor=wide_sensor("hevc", 23), ultra_sensor=ultra_sensor((1.03, 1.0, 1.0), 1.02, "hevc"),
    ),
    "half_dome": photo_clip(
        "shake", "half_dome_snow", "stacked_stones_lake", size=WIDER, extent=0.5,
        shake=Shake(8.0, travel_px=2.0, drift_px=(1.5, 0.2)), baseline_px=(7.0, 1.0),
        rig=LensRig(1.9, 0.3, (-2.0, -4.0)), wide_sensor=wide_sensor("hevc", 22),
        ultra_sensor=ultra_sensor((1.08, 1.0, 0.93), 1.05, "hevc"),
    ),
    "toys_squirrel": photo_clip(
        "shake", "museum_toy_display", "squirrel_with_nut", size=SQUARE, shake=Shake(12.0, travel_px=6.0),
        baseline_px=(8.0, -1.0), rig=LensRig(1.85, 0.0, (6.0, 0.0)), wide_sensor=wide_sensor("h264", 21),
        ultra_sensor=ultra_sensor((0.98, 1.0, 1.02), 0.98, "h264"),
    ),
    "office_tower": photo_clip(
        "shake", "office_tower_windows", "white_pickup_red_wall", size=WIDER, extent=0.45,
        shake=Shake(28.0, roll_share=0.3, travel_px=4.0), baseline_px=(4.0, 2.0), readout=0.3,
        rig=LensRig(1.95, -0.15, (-4.0, 5.0)), wide_sensor=wide_sensor("hevc", 23),
        ultra_sensor=ultra_sensor((1.0, 1.0, 1.0), 1.0, "hevc"),
    ),
    "pier_restaurant": photo_clip(
        "shake", "river_pier_restaurant", "flower_bed_tulips", size=LANDSCAPE,
        shake=Shake(20.0, travel_px=5.0), baseline_px=(6.0, 0.0), rig=LensRig(2.1, 0.2, (2.0, 6.0)),
        wide_sensor=wide_sensor("hevc", 24, (0.008, 0.02)),
        ultra_sensor=ultra_sensor((1.06, 1.0, 0.94), 1.05, "hevc", 26),
    ),
    "stones": photo_clip(
        "shake", "stacked_stones_lake", "windmill_netherlands", size=PORTRAIT, extent=0.4, exposure=0.5,
        shake=Shake(6.0, travel_px=3.0), baseline_px=(5.0, 1.0), rig=LensRig(1.75, -0.1, (-3.0, -2.0)),
        wide_sensor=wide_sensor("h264", 22), ultra_sensor=ultra_sensor((0.96, 1.0, 1.03), 0.97, "h264"),
    ),
    "cars_moving": photo_clip(
        "shake", "cuban_classic_cars", "shell_centre_building_sign", size=WIDER, extent=0.45, exposure=0.9,
        shake=Shake(16.0, travel_px=8.0), baseline_px=(10.0, -2.0), rig=LensRig(1.95, 0.1, (5.0, -5.0)),
        wide_sensor=wide_sensor("hevc", 22), ultra_sensor=ultra_sensor((1.04, 1.0, 0.97), 1.02, "hevc"),
    ),
    "board_equal_exposure": photo_clip(
        "shake", "park_information_board", "squirrel_with_nut", size=LANDSCAPE, extent=0.5, ultra_share=0.5,
        shake=Shake(22.0, travel_px=3.0), baseline_px=(4.0, 1.0), rig=LensRig(1.9, 0.0, (-6.0, -1.0)),
        wide_sensor=wide_sensor("h264", 23), ultra_sensor=ultra_sensor((0.93, 1.0, 1.06), 0.95, "h264"),
    ),
}  # fmt: skip

_PLAIN_RIG = LensRig(1.95, 0.1, (3.0, -2.0))
_PLAIN: dict[str, Any] = {
    "size": LANDSCAPE, "rig": _PLAIN_RIG, "wide_sensor": wide_sensor("hevc", 22),
    "ultra_sensor": ultra_sensor((1.04, 1.0, 0.96), 1.03, "hevc"),
}  # fmt: skip
_SPECIALS: dict[str, SetClip] = {
    "sharp_juggle": video_clip(
        "sharp", "sam2_football_juggle", 130, scale=0.75, count=1, pan_px=(2.0, 0.5), **_PLAIN
    ),
    "sharp_bridge": video_clip("sharp", "carnd_highway_bridge", 20, count=1, **_PLAIN),
    "sharp_tower": photo_clip("sharp", "office_tower_windows", exposure=0.0, shake=Shake(10.0), **_PLAIN),
    "sharp_pier": photo_clip(
        "sharp", "river_pier_restaurant", "squirrel_with_nut", exposure=0.0, shake=Shake(6.0, travel_px=3.0),
        baseline_px=(5.0, 0.0), **_PLAIN,
    ),
    "missing_end": photo_clip(
        "bad reference", "white_pickup_red_wall", shake=Shake(16.0),
        faults=Faults(missing=tuple(range(6, 14))), **_PLAIN,
    ),
    "missing_every_other": video_clip(
        "bad reference", "carnd_highway_trees_shade", 30, pan_px=(3.0, 0.0),
        faults=Faults(missing=tuple(range(1, 14, 2))), **_PLAIN,
    ),
    "covered_lens": photo_clip(
        "bad reference", "windmill_netherlands", shake=Shake(12.0), faults=Faults(finger=0.6), **_PLAIN
    ),
    "late_by_a_frame": video_clip(
        "bad reference", "sam2_football_juggle", 160, scale=0.75, pan_px=(4.0, 1.0),
        faults=Faults(lag_frames=1), **_PLAIN,
    ),
    "another_scene": _with_view_of(
        photo_clip("bad reference", "half_dome_snow", shake=Shake(14.0), **_PLAIN),
        photo_clip("bad reference", "cuban_classic_cars", shake=Shake(14.0), **_PLAIN),
    ),
    "another_video": _with_view_of(
        video_clip("bad reference", "carnd_highway_open", 20, scale=1.0, pan_px=(2.0, 0.0), **_PLAIN),
        video_clip("bad reference", "sam2_football_juggle", 20, scale=0.75, **_PLAIN),
    ),
}  # fmt: skip

TEST_CLIPS: dict[str, SetClip] = {**_AVERAGES, **_SHAKES, **_SPECIALS}
