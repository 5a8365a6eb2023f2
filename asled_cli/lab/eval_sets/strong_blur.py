"""Ten test clips with strong blur: held-out sources as in `held_out`, in other intervals, pairs and crops.

The strength was set by the half-resolution oracle (`oracle-half` of `asled eval`), which needs no method: it
gains 10.5 dB over the input on average, and 8.4 dB on the test set. Settings were fixed before any method was
run on the clips.
"""

from asled_cli.lab.camera.dual_lens import LensRig
from asled_cli.lab.camera.hand_shake import Shake
from asled_cli.lab.eval_sets.builders import (
    LANDSCAPE,
    PORTRAIT,
    SQUARE,
    WIDER,
    SetClip,
    photo_clip,
    ultra_sensor,
    video_clip,
    wide_sensor,
)

# Bumped when the clips change, so that scores of different sets are never compared.
STRONG_VERSION = 1

STRONG_CLIPS: dict[str, SetClip] = {
    "juggle_fast_pan": video_clip(
        "average", "sam2_football_juggle", 40, size=LANDSCAPE, scale=0.75, pan_px=(6.0, 1.0),
        rig=LensRig(1.95, 0.1, (2.0, 4.0)), wide_sensor=wide_sensor("hevc", 22),
        ultra_sensor=ultra_sensor((1.03, 1.0, 0.97), 1.03, "hevc"),
    ),
    "juggle_rise": video_clip(
        "average", "sam2_football_juggle", 120, size=PORTRAIT, scale=0.8, pan_px=(0.5, -2.0),
        rig=LensRig(1.88, -0.2, (-3.0, 2.0)), wide_sensor=wide_sensor("h264", 22),
        ultra_sensor=ultra_sensor((0.97, 1.0, 1.03), 0.97, "h264"),
    ),
    "bridge_fast_pan": video_clip(
        "average", "carnd_highway_bridge", 20, size=LANDSCAPE, pan_px=(5.0, 0.5),
        rig=LensRig(2.0, 0.2, (4.0, -3.0)), wide_sensor=wide_sensor("hevc", 23),
        ultra_sensor=ultra_sensor((1.05, 1.0, 0.95), 1.02, "hevc"),
    ),
    "trees_turn": video_clip(
        "average", "carnd_highway_trees_shade", 36, size=SQUARE, pan_px=(2.0, 1.0),
        rig=LensRig(1.9, 0.0, (-5.0, 1.0)), wide_sensor=wide_sensor("h264", 22),
        ultra_sensor=ultra_sensor((1.0, 1.0, 1.0), 1.0, "h264"),
    ),
    "open_turn": video_clip(
        "average", "carnd_highway_open", 28, size=WIDER, scale=1.0, pan_px=(-3.0, 1.0),
        rig=LensRig(1.95, 0.3, (0.0, 5.0)), wide_sensor=wide_sensor("hevc", 22),
        ultra_sensor=ultra_sensor((0.95, 1.0, 1.04), 0.98, "hevc"),
    ),
    "cathedral_board": photo_clip(
        "shake", "berlin_cathedral_portal_a", "park_information_board", size=PORTRAIT, extent=0.45,
        shake=Shake(17.0, travel_px=4.0), baseline_px=(5.0, 1.0), rig=LensRig(1.95, -0.1, (3.0, 3.0)),
        wide_sensor=wide_sensor("hevc", 22), ultra_sensor=ultra_sensor((1.04, 1.0, 0.96), 1.03, "hevc"),
    ),
    "toys_tulips": photo_clip(
        "shake", "museum_toy_display", "flower_bed_tulips", size=SQUARE, extent=0.5,
        shake=Shake(22.0, travel_px=3.0), baseline_px=(4.0, -1.0), rig=LensRig(1.88, 0.2, (-4.0, 2.0)),
        wide_sensor=wide_sensor("h264", 22), ultra_sensor=ultra_sensor((0.98, 1.0, 1.02), 0.98, "h264"),
    ),
    "roof_squirrel": photo_clip(
        "shake", "british_museum_glass_roof", "squirrel_with_nut", size=LANDSCAPE, extent=0.45,
        shake=Shake(27.0, travel_px=5.0), baseline_px=(6.0, 0.0), rig=LensRig(2.0, 0.0, (2.0, -5.0)),
        wide_sensor=wide_sensor("hevc", 23), ultra_sensor=ultra_sensor((1.06, 1.0, 0.94), 1.04, "hevc"),
    ),
    "pickup_shell": photo_clip(
        "shake", "white_pickup_red_wall", "shell_centre_building_sign", size=WIDER, extent=0.45,
        shake=Shake(14.0, travel_px=4.0), baseline_px=(4.0, 2.0), rig=LensRig(1.9, -0.2, (-2.0, -4.0)),
        wide_sensor=wide_sensor("h264", 21), ultra_sensor=ultra_sensor((0.96, 1.0, 1.03), 0.97, "h264"),
    ),
    "tower_stones": photo_clip(
        "shake", "office_tower_windows", "stacked_stones_lake", size=WIDER, extent=0.5,
        shake=Shake(20.0, travel_px=4.0), baseline_px=(5.0, 1.0), rig=LensRig(1.95, 0.15, (5.0, 0.0)),
        wide_sensor=wide_sensor("hevc", 22), ultra_sensor=ultra_sensor((1.02, 1.0, 0.98), 1.02, "hevc"),
    ),
}  # fmt: skip
