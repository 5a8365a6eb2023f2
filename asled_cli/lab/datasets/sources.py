"""Sharp photos and videos in a folder, split into those that train and those that only judge."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from asled_cli.errors import InputError

Split = Literal["train", "held-out", "all"]
PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"})
VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi"})

# Names (without suffix) of the files that no network ever trains on. Files that show one place lie on one
# side: the two views of the cathedral and the three drives on one highway here, the two walks along one
# garden path and the Lund street in training.
HELD_OUT_PHOTOS = frozenset(
    {
        "berlin_cathedral_portal_a", "berlin_cathedral_portal_b", "british_museum_glass_roof",
        "cuban_classic_cars", "flower_bed_tulips", "half_dome_snow", "museum_toy_display",
        "office_tower_windows", "park_information_board", "river_pier_restaurant",
        "shell_centre_building_sign", "squirrel_with_nut", "stacked_stones_lake", "white_pickup_red_wall",
        "windmill_netherlands",
    }
)  # fmt: skip
HELD_OUT_VIDEOS = frozenset(
    {"carnd_highway_bridge", "carnd_highway_open", "carnd_highway_trees_shade", "sam2_football_juggle"}
)


@dataclass(frozen=True, slots=True)
class Sources:
    """Sharp material by name (file name without suffix), sorted, so that draws do not depend on the disk."""

    photos: Mapping[str, Path]
    videos: Mapping[str, Path]


def find_sources(folder: Path, split: Split) -> Sources:
    """The photos and videos in `folder` and below that belong to `split`.

    A file is held out if its name is in the lists above or in a text file `held_out.txt` at the top of the
    folder (one name without suffix per line). Raises InputError if nothing is left.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder.", "Pass the folder that holds sharp photos and videos.")
    listed = folder / "held_out.txt"
    held_out = HELD_OUT_PHOTOS | HELD_OUT_VIDEOS
    if listed.is_file():
        held_out |= {line.strip() for line in listed.read_text().splitlines()}
    photos: dict[str, Path] = {}
    videos: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if split != "all" and (path.stem in held_out) != (split == "held-out"):
            continue
        if path.suffix.lower() in PHOTO_SUFFIXES:
            photos[path.stem] = path
        elif path.suffix.lower() in VIDEO_SUFFIXES:
            videos[path.stem] = path
    if not photos and not videos:
        raise InputError(f"{folder} holds no photo and no video of the {split} split.")
    return Sources(photos, videos)
