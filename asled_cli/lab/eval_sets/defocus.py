"""Ten clips out of focus: held-out photos in other crops, filmed without motion blur by a hand that moves.

In six the photo is out of focus behind a near object in focus, in three the near object is, in one all is
behind the focus. Discs and Gaussians, walls and slopes; in two, clipped highlights shine brighter than the
photo shows them. The ultra lens has a quarter or less of the wide lens's circle of confusion. Settings were
fixed before any method had seen the clips.
"""

from typing import Any

from asled_cli.lab.camera.dual_lens import LensRig
from asled_cli.lab.camera.focus import Focus
from asled_cli.lab.camera.hand_shake import Shake
from asled_cli.lab.eval_sets.builders import (
    LANDSCAPE,
    PORTRAIT,
    SQUARE,
    WIDER,
    SetClip,
    photo_clip,
    ultra_sensor,
    wide_sensor,
)

# Bumped when the clips change, so that scores of different sets are never compared.
DEFOCUS_VERSION = 1
GROUP = "defocus"


def _clip(name: str, near: str | None, focus: Focus, crf: int = 20, **settings: Any) -> SetClip:
    """Return a photo behind a cut-out of `near`, both through `focus`; HEVC of that crf."""
    usual = {
        "exposure": 0.0, "ultra_share": 0.0, "shake": Shake(2.0, travel_px=3.0), "baseline_px": (5.0, 1.0),
        "rig": LensRig(1.95, 0.1, (3.0, -2.0)), "wide_sensor": wide_sensor("hevc", crf),
        "ultra_sensor": ultra_sensor((1.03, 1.0, 0.97), 1.02, "hevc"),
    }  # fmt: skip
    return photo_clip(GROUP, name, near, focus=focus, **{**usual, **settings})


DEFOCUS_CLIPS: dict[str, SetClip] = {
    "cathedral_behind": _clip(
        "berlin_cathedral_portal_a", "flower_bed_tulips", Focus(circle_px=7.0, slope=0.5), size=PORTRAIT
    ),
    "roof_behind": _clip(
        "british_museum_glass_roof", "squirrel_with_nut", Focus(circle_px=5.0, highlights=4.0), size=LANDSCAPE
    ),
    "toys_behind": _clip(
        "museum_toy_display", "park_information_board", Focus(circle_px=9.0), crf=18, size=SQUARE
    ),
    "tower_behind": _clip(
        "office_tower_windows", None, Focus(circle_px=6.0, slope=0.7, highlights=6.0), size=WIDER
    ),
    "river_behind": _clip(
        "river_pier_restaurant", "flower_bed_tulips", Focus(circle_px=8.0, aperture="gaussian"), size=WIDER
    ),
    "stones_behind": _clip(
        "stacked_stones_lake", None, Focus(circle_px=11.0, slope=0.8), crf=18, size=LANDSCAPE
    ),
    "pickup_in_focus": _clip(
        "white_pickup_red_wall", "squirrel_with_nut", Focus(circle_px=12.0, nearness=0.0), size=SQUARE,
        extent=0.7,
    ),
    "cars_in_focus": _clip(
        "cuban_classic_cars", "windmill_netherlands", Focus(circle_px=9.0, nearness=0.1), size=WIDER,
        extent=0.75,
    ),
    "board_in_focus": _clip(
        "park_information_board", "museum_toy_display", Focus(circle_px=8.0, nearness=0.2, ultra_share=0.15),
        size=PORTRAIT, extent=0.7,
    ),
    "dome_all_behind": _clip(
        "half_dome_snow", "shell_centre_building_sign",
        Focus(circle_px=6.0, nearness=1.4, aperture="gaussian"), crf=18, size=LANDSCAPE,
    ),
}  # fmt: skip
