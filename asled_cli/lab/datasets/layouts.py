"""Folder layouts of public data sets and readers of their clips, for training and evaluation.

Layouts: realmcvsr (three synchronous lenses, sharp; blur is made by averaging), generic, hsd (PECA), and the
single-lens sets gopro, dvd and bsd. A clip is a folder of images or a video file.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from asled_cli.errors import InputError
from asled_cli.lab.datasets.image_sequence import MeanPictures, PictureFiles, Pictures, Stretch, VideoPictures
from asled_cli.lab.datasets.sources import PHOTO_SUFFIXES, VIDEO_SUFFIXES

Layout = Literal["realmcvsr", "generic", "hsd", "gopro", "dvd", "bsd"]

SHOWN = 6  # entries of a folder that an error message lists
CLIP = "{clip}"  # placeholder of the clip's name in a `Form`


@dataclass(frozen=True, slots=True)
class Form:
    """Places of the views of a clip below the root; {split} and {clip} stand for names, * for any folder."""

    target: str
    truth: str
    reference: str | None = None


# Folders of the views in most layouts.
_BLUR = f"blur/{CLIP}"
_GT = f"gt/{CLIP}"
_REF = f"ref/{CLIP}"
FORMS: dict[Layout, tuple[Form, ...]] = {
    # W and UW are sharp and of one moment; the blurred target is made from W (asled paper, section 4.1),
    # unless it is beside them, as `asled synth-blur` writes it.
    "realmcvsr": (
        Form(f"{{split}}/HR/W_blur/{CLIP}", f"{{split}}/HR/W/{CLIP}", f"{{split}}/HR/UW/{CLIP}"),
        Form(f"{{split}}/HR/W/{CLIP}", f"{{split}}/HR/W/{CLIP}", f"{{split}}/HR/UW/{CLIP}"),
    ),
    "generic": (
        Form(f"{{split}}/{_BLUR}", f"{{split}}/{_GT}", f"{{split}}/{_REF}"),
        Form(_BLUR, _GT, _REF),
    ),
    "hsd": (Form(f"{{split}}/input/{CLIP}", f"{{split}}/target/{CLIP}", f"{{split}}/guide/{CLIP}"),),
    "gopro": (
        Form(f"{{split}}/{_BLUR}", f"{{split}}/{_GT}"),
        Form(f"{{split}}/{_BLUR}", f"{{split}}/GT/{CLIP}"),
        Form(f"{{split}}/{_BLUR}", f"{{split}}/sharp/{CLIP}"),
        Form(f"{{split}}/{CLIP}/blur", f"{{split}}/{CLIP}/sharp"),  # as published
    ),
    "dvd": (
        Form(f"{{split}}/{_BLUR}", f"{{split}}/{_GT}"),
        Form(f"{{split}}/{_BLUR}", f"{{split}}/GT/{CLIP}"),
        Form(f"{{split}}_GT_blurred/{CLIP}", f"{{split}}_GT/{CLIP}"),
        Form(f"{{split}}/{CLIP}/input", f"{{split}}/{CLIP}/GT"),
        Form(f"{CLIP}/input", f"{CLIP}/GT"),  # quantitative_datasets, as published
    ),
    "bsd": (Form(f"{{split}}/{CLIP}/Blur/RGB", f"{{split}}/{CLIP}/Sharp/RGB"),),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Averaging:
    """Averaging blur of sharp sets (realmcvsr). Points that the paper leaves open are options."""

    count: int = 7
    """Consecutive frames of W in one blurred frame, odd; the centre one is the truth."""
    reference: bool = False
    """Whether the frames of UW are averaged too ("captured by different lenses" leaves it open)."""
    linear: bool = False
    """Average linear light instead of coded values."""


@dataclass(frozen=True)
class DatasetClip:
    """One clip of a data set; its images are read on demand.

    target: blurred. reference: the other lens, None for single-lens sets. truth: sharp; where has_truth is
    False (only with need_truth=False), the target again. All have the same number of images, at least one.
    Target and truth have one size.
    """

    name: str
    target: Pictures
    truth: Pictures
    reference: Pictures | None
    has_truth: bool = True

    @property
    def frames(self) -> int:
        """Return the number of frames."""
        return len(self.target)


def read_layout(
    layout: Layout,
    root: Path,
    split: str = "test",
    averaging: Averaging | None = None,
    *,
    need_truth: bool = True,
) -> list[DatasetClip]:
    """Return the clips of `split` (train, valid or test) below `root`, sorted by name.

    Only file names are read. need_truth: False accepts a tree without ground truth, such as a user's own
    clips.
    Raises InputError if the tree does not match the layout, or views of a clip do not belong together.
    """
    if not root.is_dir():
        raise InputError(f"{root} is no folder.", f"Pass the top folder of the {layout} data set.")
    for form in FORMS[layout]:
        found = dict(_find_clips(root, form.target.replace("{split}", split)))
        has_truth = _has_truth(root, form, split, found)
        if found and (has_truth or not need_truth):
            clips = [_read_clip(root, form, split, name, place, has_truth) for name, place in found.items()]
            sharp = form.target == form.truth
            return [_blurred(clip, averaging or Averaging()) if sharp else clip for clip in clips]
    expected = " or ".join(
        f"{form.target} with {form.truth}".replace("{split}", split) for form in FORMS[layout]
    )
    raise InputError(
        f"{root} holds {_entries(root)}, expected the {layout} layout: {expected} "
        f"({CLIP}: a folder of pictures or a video).",
        f"Is {root} the top folder, and is there a split {split!r}?",
    )


def open_pictures(place: Path) -> Pictures:
    """Open the images of a folder (sorted by name), a single image file, or a video file."""
    if place.is_dir():
        files = tuple(_picture_files(place))
        if not files:
            raise InputError(f"{place} holds {_entries(place)}, expected pictures.")
        return PictureFiles(files)
    return VideoPictures(place) if place.suffix.lower() in VIDEO_SUFFIXES else PictureFiles((place,))


def check_together(name: str, views: dict[str, Pictures]) -> None:
    """Raise InputError unless all views of clip `name` have the same number of pictures, and at least one."""
    counts = {view: len(pictures) for view, pictures in views.items()}
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{count} in {view}" for view, count in counts.items())
        raise InputError(f"Clip {name} has unequal numbers of frames: {found}.", "Is the copy complete?")
    if not all(counts.values()):
        raise InputError(f"Clip {name} has no frame.")


def check_same_size(name: str, one: tuple[str, Pictures], other: tuple[str, Pictures]) -> None:
    """Raise InputError unless both named views have one picture size; opens a picture of each."""
    (first, a), (second, b) = one, other
    if a.size != b.size:
        raise InputError(
            f"Clip {name} has {a.size[0]}x{a.size[1]} pixels in {first} and {b.size[0]}x{b.size[1]} in "
            f"{second}, expected the same."
        )


def _read_clip(
    root: Path, form: Form, split: str, name: str, place: Path, has_truth: bool = True
) -> DatasetClip:
    target = open_pictures(place)
    truth = open_pictures(_place(root, form.truth, split, name)) if has_truth else target
    views = {"target": target, "truth": truth}
    reference = None
    if form.reference is not None and (root / _top(form.reference, split)).is_dir():
        reference = open_pictures(_place(root, form.reference, split, name))
        views["reference"] = reference
    check_together(name, views)
    _check_names(name, views)
    return DatasetClip(name, target, truth, reference, has_truth)


def _blurred(clip: DatasetClip, averaging: Averaging) -> DatasetClip:
    """Return a sharp two-lens clip with blur; count // 2 frames at either end have no full window.

    These frames are left out.
    """
    if clip.reference is None:
        raise InputError(f"Clip {clip.name} has no UW view, expected one beside W.")
    if clip.frames < averaging.count:
        raise InputError(f"Clip {clip.name} has {clip.frames} frames, need {averaging.count} for one mean.")
    target = MeanPictures(clip.target, averaging.count, linear=averaging.linear)
    centre = averaging.count // 2
    reference: Pictures = Stretch(clip.reference, centre, len(target))
    if averaging.reference:
        reference = MeanPictures(clip.reference, averaging.count, linear=averaging.linear)
    return DatasetClip(clip.name, target, Stretch(clip.truth, centre, len(target)), reference)


def _find_clips(root: Path, pattern: str) -> Iterator[tuple[str, Path]]:
    """Return (name, place) of every clip that `pattern` matches, sorted by name."""
    before, _, after = pattern.partition(CLIP)
    folder = root / before
    if not folder.is_dir():
        return
    for entry in sorted(folder.iterdir()):
        place = entry / after.strip("/") if after else entry
        if entry.name.startswith(".") or not place.exists():
            continue
        if place.is_dir():
            if _picture_files(place):
                yield entry.name, place
        elif not after and entry.suffix.lower() in VIDEO_SUFFIXES | PHOTO_SUFFIXES:
            yield entry.stem, entry


def _has_truth(root: Path, form: Form, split: str, found: dict[str, Path]) -> bool:
    return (root / _top(form.truth, split)).is_dir() or any(
        (root / form.truth.replace("{split}", split).replace(CLIP, name)).is_dir() for name in found
    )


def _place(root: Path, pattern: str, split: str, name: str) -> Path:
    """Return the path of a view of clip `name`. Raises InputError, which lists the folder, if missing."""
    place = root / pattern.replace("{split}", split).replace(CLIP, name)
    if place.is_dir():
        return place
    beside = place.parent
    if beside.is_dir():
        for entry in sorted(beside.iterdir()):
            if entry.stem == name and entry.suffix.lower() in VIDEO_SUFFIXES | PHOTO_SUFFIXES:
                return entry
    raise InputError(
        f"Clip {name} lacks {place.relative_to(root)}: {beside} holds {_entries(beside)}.",
        "Every view must have the same clips.",
    )


def _check_names(name: str, views: dict[str, Pictures]) -> None:
    """Raise InputError if images of a clip have other names in another view, because names pair them."""
    names = {view: [p.stem for p in v.paths] for view, v in views.items() if isinstance(v, PictureFiles)}
    lists = list(names.items())
    for view, found in lists[1:]:
        if len(found) > 1 and found != lists[0][1]:
            a, b = next((a, b) for a, b in zip(lists[0][1], found, strict=True) if a != b)
            raise InputError(
                f"Clip {name} has {a} in {lists[0][0]} where {view} has {b}, expected equal names."
            )


def _picture_files(folder: Path) -> Sequence[Path]:
    files = (p for p in folder.iterdir() if p.suffix.lower() in PHOTO_SUFFIXES and not p.name.startswith("."))
    return sorted(files, key=_natural)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Return a sort key by which frame 9 comes before frame 10, with or without zero padding."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.stem)]


def _top(pattern: str, split: str) -> str:
    return pattern.replace("{split}", split).partition(CLIP)[0]


def _entries(folder: Path) -> str:
    """Describe the content of a folder."""
    if not folder.is_dir():
        return "nothing (there is no such folder)"
    names = sorted(entry.name + "/" * entry.is_dir() for entry in folder.iterdir() if entry.name[0] != ".")
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (", ".join(names[:SHOWN]) + more) or "nothing"
