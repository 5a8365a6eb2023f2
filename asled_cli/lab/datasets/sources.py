"""Sharp photos and videos: split into training and held-out material, and sources of `asled synth-blur`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from asled_cli.errors import InputError, UsageError

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
    """Return the photos and videos in `folder` and below that belong to `split`.

    A file is held out if its name is in the lists above or in a text file `held_out.txt` at the top of the
    folder (one name without suffix per line). Raises InputError if no file is left.
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


_LENSES = "HR/W", "HR/UW"  # folders of the wide and the ultra-wide lens in RealMCVSR


@dataclass(frozen=True, slots=True)
class SharpSource:
    """One clip or photo to blur.

    name: of the result. wide: a video, a folder of frames, or a photo. ultra: the simultaneous clip of the
    other lens; None where both views are cut from `wide`.
    """

    name: str
    wide: Path
    ultra: Path | None = None


def find_clips(places: Sequence[Path], ultras: Sequence[Path] = ()) -> list[SharpSource]:
    """Return every clip in `places`, sorted by name.

    Clips are videos, folders of frames, folders of these, and RealMCVSR trees.

    ultras: the other lens's clip for each of `places`, or none. Raises InputError where there is no clip,
    UsageError where the two lists do not match.
    """
    if ultras:
        if len(ultras) != len(places):
            raise UsageError(
                f"--ultra is given {len(ultras)} times for {len(places)} sources, expected one for each.",
                "Give them in the order of the sources.",
            )
        pairs = zip(places, ultras, strict=True)
        return _named([SharpSource(wide.stem, wide, _existing(ultra)) for wide, ultra in pairs])
    return _named([source for place in places for source in _clips_in(_existing(place))])


def find_photos(places: Sequence[Path]) -> list[SharpSource]:
    """Return every photo and clip in `places`, sorted by name; one frame of each clip will be used.

    Raises InputError where there is neither.
    """
    found = []
    for place in places:
        if not _existing(place).is_dir():
            found.append(SharpSource(place.stem, place))
            continue
        files = sorted(p for p in place.rglob("*") if p.suffix.lower() in PHOTO_SUFFIXES | VIDEO_SUFFIXES)
        found += [SharpSource(p.stem, p) for p in files if not p.name.startswith(".")]
        if not files:
            raise InputError(f"{place} holds no photo and no video.")
    return _named(found)


def _clips_in(place: Path) -> list[SharpSource]:
    if not place.is_dir():
        if place.suffix.lower() not in VIDEO_SUFFIXES:
            raise InputError(
                f"{place} is neither a video nor a folder of frames.",
                "A photo can only be shaken: --mode shake.",
            )
        return [SharpSource(place.stem, place)]
    if trees := [tree for tree in (place, *_folders(place)) if (tree / _LENSES[0]).is_dir()]:
        return [source for tree in trees for source in _lens_pairs(tree)]
    if any(p.suffix.lower() in PHOTO_SUFFIXES for p in place.iterdir()):
        return [SharpSource(place.name, place)]
    clips = [source for folder in _folders(place) for source in _clips_in(folder)]
    clips += [SharpSource(p.stem, p) for p in place.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES]
    if not clips:
        raise InputError(f"{place} holds no video and no folder of frames.")
    return clips


def _lens_pairs(tree: Path) -> list[SharpSource]:
    """Return the clips of one split of RealMCVSR, both lenses."""
    wide, ultra = (tree / lens for lens in _LENSES)
    if not ultra.is_dir():
        raise InputError(f"{tree} has {_LENSES[0]} but no {_LENSES[1]}, expected both lenses.")
    sources = []
    for folder in _folders(wide):
        other = ultra / folder.name
        if not other.is_dir():
            raise InputError(f"{folder} has no counterpart {other}, expected both lenses.")
        _check_names(folder, other)
        sources.append(SharpSource(folder.name, folder, other))
    return sources


def _check_names(one: Path, other: Path) -> None:
    names = [
        {p.stem for p in place.iterdir() if p.suffix.lower() in PHOTO_SUFFIXES} for place in (one, other)
    ]
    if odd := sorted(names[0] ^ names[1]):
        raise InputError(f"Frame {odd[0]} is in only one of {one} and {other}, expected equal names.")


def _folders(place: Path) -> list[Path]:
    return sorted(p for p in place.iterdir() if p.is_dir() and not p.name.startswith("."))


def _existing(place: Path) -> Path:
    if not place.exists():
        raise InputError(f"{place} does not exist.")
    return place


def _named(sources: Iterable[SharpSource]) -> list[SharpSource]:
    """Sort the sources by name and prefix the folder's name where two have the same name."""
    found = list(sources)
    names = [source.name for source in found]
    listed = [
        SharpSource(f"{s.wide.parent.name}_{s.name}", s.wide, s.ultra) if names.count(s.name) > 1 else s
        for s in found
    ]
    again = [source.name for source in listed]
    for name in again:
        if again.count(name) > 1:
            raise UsageError(
                f"Two sources are called {name}.", "Rename one, or run them one after the other."
            )
    return sorted(listed, key=lambda source: source.name)
