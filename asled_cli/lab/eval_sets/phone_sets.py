"""Four sets of what phones record: equal exposures, one lens alone, stereo pairs of one scale, low bit rates.

Held-out sources as in `held_out`, in other stretches, pairs and crops; ten clips each, five of averaged video
and five of photos under hand shake with near objects, rolling shutter, OIS or EIS. Settings were fixed before
any method had seen the clips.
"""

from typing import Any

from asled_cli.lab.camera.degradation import Codec
from asled_cli.lab.camera.dual_lens import LensRig
from asled_cli.lab.camera.hand_shake import Shake
from asled_cli.lab.eval_sets.builders import (
    FRAMES,
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
from asled_cli.lab.synthesis.synthetic_pair import Faults

# Bumped when the clips change, so that scores of different sets are never compared.
PHONE_SETS_VERSION = 1
STEREO_GROUPS = ("stereo, sharp ultra", "stereo, equal ultra")
NO_REFERENCE = Faults(missing=tuple(range(FRAMES)))


def _sensors(codec: Codec, crf: int, ultra_crf: int | None = None) -> dict[str, Any]:
    """Return both sensors: one codec, usual noise, the ultra view a little warmer."""
    return {
        "wide_sensor": wide_sensor(codec, crf),
        "ultra_sensor": ultra_sensor(
            (1.03, 1.0, 0.97), 1.02, codec, crf + 1 if ultra_crf is None else ultra_crf
        ),
    }


# Both lenses exposed equally long: hand shake and motion blur both views alike.
EQUAL_CLIPS: dict[str, SetClip] = {
    "juggle_equal": video_clip(
        "average", "sam2_football_juggle", 30, size=LANDSCAPE, scale=0.75, pan_px=(4.0, 1.0), wobble=0.9,
        ultra_count=7, rig=LensRig(1.95, 0.1, (2.0, 4.0)), **_sensors("hevc", 23),
    ),
    "juggle_equal_rise": video_clip(
        "average", "sam2_football_juggle", 140, size=PORTRAIT, scale=0.8, pan_px=(1.0, -3.0), wobble=0.9,
        count=5, ultra_count=5, rig=LensRig(1.88, -0.2, (-3.0, 2.0)), **_sensors("h264", 23),
    ),
    "bridge_equal": video_clip(
        "average", "carnd_highway_bridge", 34, size=WIDER, pan_px=(3.0, 1.0), wobble=0.9, ultra_count=7,
        rig=LensRig(2.0, 0.2, (4.0, -3.0)), **_sensors("hevc", 24),
    ),
    "trees_equal": video_clip(
        "average", "carnd_highway_trees_shade", 50, size=SQUARE, pan_px=(-3.0, 2.0), wobble=0.9, count=5,
        ultra_count=5, rig=LensRig(1.9, 0.0, (-5.0, 1.0)), **_sensors("h264", 23),
    ),
    "open_equal": video_clip(
        "average", "carnd_highway_open", 12, size=LANDSCAPE, scale=1.0, pan_px=(2.0, -2.0), wobble=0.9,
        ultra_count=7, rig=LensRig(1.95, 0.3, (0.0, 5.0)), **_sensors("hevc", 23),
    ),
    "cathedral_equal": photo_clip(
        "shake", "berlin_cathedral_portal_b", size=LANDSCAPE, ultra_share=1.0,
        shake=Shake(14.0, travel_px=3.0), rig=LensRig(1.95, -0.1, (3.0, 3.0)), **_sensors("hevc", 23),
    ),
    "roof_equal": photo_clip(
        "shake", "british_museum_glass_roof", "park_information_board", size=WIDER, extent=0.4,
        ultra_share=1.0, shake=Shake(12.0, travel_px=4.0), baseline_px=(5.0, 0.0),
        rig=LensRig(2.0, 0.1, (4.0, 4.0)), **_sensors("hevc", 23),
    ),
    "pier_equal_rolling": photo_clip(
        "shake", "river_pier_restaurant", size=LANDSCAPE, ultra_share=1.0, readout=0.3,
        shake=Shake(16.0, travel_px=3.0), rig=LensRig(2.1, 0.2, (2.0, 6.0)), **_sensors("h264", 23),
    ),
    "office_equal_ois": photo_clip(
        "shake", "office_tower_windows", size=WIDER, ultra_share=1.0, ois=0.4,
        shake=Shake(20.0, travel_px=3.0), rig=LensRig(1.95, -0.15, (-4.0, 5.0)), **_sensors("hevc", 23),
    ),
    "pickup_equal": photo_clip(
        "shake", "white_pickup_red_wall", "squirrel_with_nut", size=SQUARE, extent=0.45, exposure=0.6,
        ultra_share=1.0, shake=Shake(10.0, travel_px=4.0), baseline_px=(4.0, 1.0),
        rig=LensRig(1.9, 0.0, (-6.0, -1.0)), **_sensors("h264", 22),
    ),
}  # fmt: skip

# One lens alone: no frame has a reference.
SINGLE_CLIPS: dict[str, SetClip] = {
    "juggle_alone": video_clip(
        "average", "sam2_football_juggle", 75, size=LANDSCAPE, scale=0.75, pan_px=(-4.0, 1.0), wobble=0.9,
        faults=NO_REFERENCE, **_sensors("hevc", 23),
    ),
    "juggle_alone_still": video_clip(
        "average", "sam2_football_juggle", 170, size=SQUARE, scale=0.8, count=5, faults=NO_REFERENCE,
        **_sensors("h264", 22),
    ),
    "bridge_alone": video_clip(
        "average", "carnd_highway_bridge", 48, size=WIDER, pan_px=(3.0, -1.0), wobble=0.9, count=5,
        faults=NO_REFERENCE, **_sensors("hevc", 23),
    ),
    "trees_alone": video_clip(
        "average", "carnd_highway_trees_shade", 16, size=LANDSCAPE, pan_px=(2.0, 2.0), wobble=0.9, count=5,
        faults=NO_REFERENCE, **_sensors("h264", 23),
    ),
    "open_alone": video_clip(
        "average", "carnd_highway_open", 40, size=WIDER, scale=1.0, pan_px=(3.0, 1.0), wobble=0.9,
        faults=NO_REFERENCE, **_sensors("hevc", 23),
    ),
    "cathedral_alone": photo_clip(
        "shake", "berlin_cathedral_portal_a", size=LANDSCAPE, shake=Shake(14.0, travel_px=3.0),
        faults=NO_REFERENCE, **_sensors("hevc", 23),
    ),
    "roof_alone": photo_clip(
        "shake", "british_museum_glass_roof", "squirrel_with_nut", size=WIDER, extent=0.4,
        shake=Shake(16.0, travel_px=4.0), faults=NO_REFERENCE, **_sensors("hevc", 23),
    ),
    "stones_alone_rolling": photo_clip(
        "shake", "stacked_stones_lake", size=PORTRAIT, exposure=0.6, readout=0.3,
        shake=Shake(10.0, travel_px=3.0), faults=NO_REFERENCE, **_sensors("h264", 22),
    ),
    "cars_alone_eis": photo_clip(
        "shake", "cuban_classic_cars", size=LANDSCAPE, eis_window=6.0, shake=Shake(14.0, travel_px=3.0),
        faults=NO_REFERENCE, **_sensors("hevc", 23),
    ),
    "board_alone": photo_clip(
        "shake", "park_information_board", "flower_bed_tulips", size=SQUARE, extent=0.4,
        shake=Shake(12.0, travel_px=3.0), faults=NO_REFERENCE, **_sensors("h264", 23),
    ),
}  # fmt: skip

# Two views of one scale, as from spatial video: a constant shift and parallax along the baseline.
_STEREO_RIG = LensRig(1.0, 0.05, (8.0, 0.5))
STEREO_CLIPS: dict[str, SetClip] = {
    "juggle_stereo": video_clip(
        "stereo, sharp ultra", "sam2_football_juggle", 52, size=LANDSCAPE, scale=0.75, pan_px=(4.0, 1.0),
        wobble=0.9, rig=_STEREO_RIG, **_sensors("hevc", 23),
    ),
    "bridge_stereo": video_clip(
        "stereo, sharp ultra", "carnd_highway_bridge", 12, size=WIDER, pan_px=(3.0, 0.5), wobble=0.9,
        rig=_STEREO_RIG, **_sensors("hevc", 23),
    ),
    "cathedral_stereo": photo_clip(
        "stereo, sharp ultra", "berlin_cathedral_portal_b", "flower_bed_tulips", size=LANDSCAPE, extent=0.45,
        shake=Shake(14.0, travel_px=4.0), baseline_px=(18.0, 0.0), rig=_STEREO_RIG, **_sensors("hevc", 23),
    ),
    "office_stereo": photo_clip(
        "stereo, sharp ultra", "office_tower_windows", "squirrel_with_nut", size=WIDER, extent=0.4,
        shake=Shake(16.0, travel_px=4.0), baseline_px=(22.0, 0.0), rig=_STEREO_RIG, **_sensors("h264", 23),
    ),
    "pickup_stereo": photo_clip(
        "stereo, sharp ultra", "white_pickup_red_wall", "park_information_board", size=LANDSCAPE, extent=0.4,
        shake=Shake(12.0, travel_px=4.0), baseline_px=(16.0, 0.0), rig=_STEREO_RIG, **_sensors("hevc", 23),
    ),
    "trees_stereo_equal": video_clip(
        "stereo, equal ultra", "carnd_highway_trees_shade", 60, size=LANDSCAPE, pan_px=(3.0, 1.0),
        wobble=0.9, count=5, ultra_count=5, rig=_STEREO_RIG, **_sensors("hevc", 23),
    ),
    "open_stereo_equal": video_clip(
        "stereo, equal ultra", "carnd_highway_open", 22, size=WIDER, scale=1.0, pan_px=(-2.0, 2.0),
        wobble=0.9, ultra_count=7, rig=_STEREO_RIG, **_sensors("h264", 23),
    ),
    "pier_stereo_equal": photo_clip(
        "stereo, equal ultra", "river_pier_restaurant", "flower_bed_tulips", size=LANDSCAPE, extent=0.45,
        ultra_share=1.0, shake=Shake(14.0, travel_px=4.0), baseline_px=(18.0, 0.0), rig=_STEREO_RIG,
        **_sensors("hevc", 23),
    ),
    "cars_stereo_equal": photo_clip(
        "stereo, equal ultra", "cuban_classic_cars", "squirrel_with_nut", size=WIDER, extent=0.4,
        ultra_share=1.0, shake=Shake(12.0, travel_px=4.0), baseline_px=(22.0, 0.0), rig=_STEREO_RIG,
        **_sensors("h264", 23),
    ),
    "toys_stereo_equal": photo_clip(
        "stereo, equal ultra", "museum_toy_display", "stacked_stones_lake", size=SQUARE, extent=0.4,
        ultra_share=1.0, shake=Shake(16.0, travel_px=4.0), baseline_px=(16.0, 0.0), rig=_STEREO_RIG,
        **_sensors("hevc", 23),
    ),
}  # fmt: skip

# Bit rates of phones: 0.1 to 0.2 bit per pixel in both clips, the ultra view sharp.
PHONE_CLIPS: dict[str, SetClip] = {
    "juggle_phone": video_clip(
        "average", "sam2_football_juggle", 105, size=LANDSCAPE, scale=0.75, pan_px=(4.0, -1.0), wobble=0.7,
        rig=LensRig(1.95, 0.1, (2.0, 4.0)), **_sensors("hevc", 25),
    ),
    "juggle_phone_still": video_clip(
        "average", "sam2_football_juggle", 200, size=PORTRAIT, scale=0.8,
        rig=LensRig(1.88, -0.2, (-3.0, 2.0)), **_sensors("h264", 27),
    ),
    "bridge_phone": video_clip(
        "average", "carnd_highway_bridge", 66, size=WIDER, pan_px=(4.0, 0.5),
        rig=LensRig(2.0, 0.2, (4.0, -3.0)), **_sensors("hevc", 23),
    ),
    "trees_phone": video_clip(
        "average", "carnd_highway_trees_shade", 26, size=SQUARE, pan_px=(3.0, 1.0),
        rig=LensRig(1.9, 0.0, (-5.0, 1.0)), **_sensors("h264", 25),
    ),
    "open_phone": video_clip(
        "average", "carnd_highway_open", 54, size=LANDSCAPE, scale=1.0, pan_px=(-3.0, 1.0),
        rig=LensRig(1.95, 0.3, (0.0, 5.0)), **_sensors("hevc", 23),
    ),
    "cathedral_phone": photo_clip(
        "shake", "berlin_cathedral_portal_a", "squirrel_with_nut", size=WIDER, extent=0.45,
        shake=Shake(16.0, travel_px=4.0), baseline_px=(5.0, 1.0), rig=LensRig(1.95, -0.1, (3.0, 3.0)),
        **_sensors("hevc", 26),
    ),
    "roof_phone": photo_clip(
        "shake", "british_museum_glass_roof", "flower_bed_tulips", size=LANDSCAPE, extent=0.4,
        shake=Shake(14.0, travel_px=4.0), baseline_px=(5.0, 0.0), rig=LensRig(2.0, 0.1, (4.0, 4.0)),
        **_sensors("hevc", 30),
    ),
    "half_dome_phone": photo_clip(
        "shake", "half_dome_snow", "stacked_stones_lake", size=SQUARE, extent=0.5,
        shake=Shake(12.0, travel_px=3.0), baseline_px=(6.0, 1.0), rig=LensRig(1.9, 0.3, (-2.0, -4.0)),
        **_sensors("h264", 29),
    ),
    "toys_phone": photo_clip(
        "shake", "museum_toy_display", "park_information_board", size=PORTRAIT, extent=0.45,
        shake=Shake(18.0, travel_px=4.0), baseline_px=(5.0, -1.0), rig=LensRig(1.85, 0.0, (6.0, 0.0)),
        **_sensors("hevc", 25),
    ),
    "pier_phone": photo_clip(
        "shake", "river_pier_restaurant", "windmill_netherlands", size=WIDER, extent=0.45,
        shake=Shake(16.0, travel_px=5.0), baseline_px=(6.0, 0.0), rig=LensRig(2.1, 0.2, (2.0, 6.0)),
        **_sensors("h264", 30),
    ),
}  # fmt: skip
