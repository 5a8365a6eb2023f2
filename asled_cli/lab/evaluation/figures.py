"""Figures of an evaluation: side-by-side images, crops, x-t profiles (AsLeD paper, figure 8), two plots.

The plots need matplotlib, an optional extra.
"""

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.lab.datasets.image_sequence import read_picture_file
from asled_cli.lab.evaluation.statistics import clip_mean
from asled_cli.lab.scoring.clip_scores import ScoreCache
from asled_cli.lab.scoring.score_all import Evaluation
from asled_cli.runtime.own_files import OwnFiles

log = logging.getLogger(__name__)

Image = NDArray[np.uint8]
LABEL_PX = 16  # height of the line above a picture
PROFILE_ROW_PX = 6  # height of one frame in an x-t profile
GAP_PX = 4  # between the images of a grid
CROP_PX = 160  # side of a crop: five in a row fit a page, and one file stays below 100 kB
SETTINGS = {".jpg": [cv2.IMWRITE_JPEG_QUALITY, 92], ".png": []}


def write_pictures(evaluation: Evaluation, files: OwnFiles) -> list[Path]:
    """Write pictures/, crops/ and profiles/, one file per clip, and, with matplotlib, plots/.

    Raises UsageError where a file of another program would be replaced, OSError if the disk is full.
    """
    written: list[Path] = []
    clips = dict.fromkeys(one.clip for one in evaluation.scores)
    kinds = (("pictures", ".jpg", _side_by_side), ("crops", ".jpg", _crops), ("profiles", ".png", _profiles))
    for folder, suffix, compose in kinds:
        for clip in clips:
            views = compose(evaluation, clip)
            if views:
                columns = len(views) if folder == "crops" else None
                picture = _stack(views, columns)[..., ::-1]
                data = cv2.imencode(suffix, picture, SETTINGS[suffix])[1].tobytes()
                name = f"{folder}/{Path(clip).stem}{suffix}"
                written.append(files.write(name, partial(Path.write_bytes, data=data)))
    return written + _plots(evaluation, files)


def _side_by_side(evaluation: Evaluation, clip: str) -> list[tuple[str, Image]]:
    """Return the middle frame: registered reference, every model, truth."""
    first, last = evaluation.models[0].name, evaluation.models[-1].name
    row = any(model.kind == "reference" for model in evaluation.models)
    views = [] if row else [("registered reference", _kept(evaluation, clip, first, "reference"))]
    views += [(model.name, _kept(evaluation, clip, model.name, "middle")) for model in evaluation.models]
    views += [("truth", _kept(evaluation, clip, last, "truth"))]
    return [(name, view) for name, view in views if view is not None]


def _crops(evaluation: Evaluation, clip: str) -> list[tuple[str, Image]]:
    """Return crops of the middle frame where the input has its largest error."""
    views = dict(_side_by_side(evaluation, clip))
    if not {"input", "truth"} <= set(views):
        return []
    error = np.square(views["input"].astype(np.float32) - views["truth"]).mean(axis=2)
    side = min(CROP_PX, *error.shape)
    mean = cv2.boxFilter(error, -1, (side, side), anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)
    inside = mean[: error.shape[0] - side + 1, : error.shape[1] - side + 1]
    y, x = np.unravel_index(np.argmax(inside), inside.shape)
    return [(name, view[y : y + side, x : x + side]) for name, view in views.items()]


def _profiles(evaluation: Evaluation, clip: str) -> list[tuple[str, Image]]:
    """Return the middle row of every frame, one below the other: flicker shows as streaks."""
    views = []
    for model in evaluation.models:
        strip = _kept(evaluation, clip, model.name, "profile")
        if strip is not None:
            frames = len(next(s for s in evaluation.scores if (s.clip, s.model) == (clip, model.name)).rows)
            views.append((model.name, np.repeat(strip[:frames], PROFILE_ROW_PX, axis=0)))
            if model is evaluation.models[-1] and len(strip) > frames:
                views.append(("truth", np.repeat(strip[frames:], PROFILE_ROW_PX, axis=0)))
    return views


def _kept(evaluation: Evaluation, clip: str, model: str, what: str) -> Image | None:
    folder = ScoreCache(evaluation.config.cache_folder)
    path = folder.path(clip, model, evaluation.keys[clip, model], f".{what}.png")
    return read_picture_file(path) if path is not None and path.is_file() else None


def _stack(views: Sequence[tuple[str, Image]], columns: int | None = None) -> Image:
    """Arrange labelled images of one size in a grid.

    columns: None arranges wide images below each other, and others up to three in a row.
    """
    height, width = views[0][1].shape[:2]
    columns = columns or (1 if width > 3 * height else min(3, len(views)))
    rows = -(-len(views) // columns)
    cell = height + LABEL_PX + GAP_PX, width + GAP_PX
    canvas = np.full((rows * cell[0], columns * cell[1], 3), 255, np.uint8)
    for index, (name, view) in enumerate(views):
        y, x = (index // columns) * cell[0], (index % columns) * cell[1]
        place = canvas[y : y + cell[0], x : x + cell[1]].copy()
        cv2.putText(place, name, (2, LABEL_PX - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
        place[LABEL_PX : LABEL_PX + height, :width] = view
        canvas[y : y + cell[0], x : x + cell[1]] = place
    return canvas


def _plots(evaluation: Evaluation, files: OwnFiles) -> list[Path]:
    """Write the gain over the input's sharpness, and bars per clip; only warn without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        log.warning("No plots: they need matplotlib (pip install 'asled[plots]').")
        return []
    psnr = {
        (s.clip, s.model): mean for s in evaluation.scores if (mean := clip_mean(s.rows, "psnr")) is not None
    }
    models = [m.name for m in evaluation.models if m.name != "input"]
    clips = [clip for clip in dict.fromkeys(s.clip for s in evaluation.scores) if (clip, "input") in psnr]
    if not clips or not models:
        return []
    sharp = {s.clip: float(s.metadata.get("input_sharpness", 0.0)) for s in evaluation.scores}
    gains = {m: [psnr[clip, m] - psnr[clip, "input"] for clip in clips] for m in models}
    scatter, bars = Figure(figsize=(6, 4), layout="tight"), Figure(figsize=(10, 4), layout="tight")
    axes, bar_axes = scatter.subplots(), bars.subplots()
    width, places = 0.8 / len(models), np.arange(len(clips))
    for index, (model, values) in enumerate(gains.items()):
        axes.plot([sharp[clip] for clip in clips], values, "o", label=model)
        bar_axes.bar(places + width * index, values, width, label=model)
    axes.set(xlabel="sharpness of the input over that of the truth", ylabel="PSNR gain, dB")
    bar_axes.set(ylabel="PSNR gain, dB")
    bar_axes.set_xticks(np.arange(len(clips)) + 0.4, clips, rotation=60, ha="right", fontsize=7)
    paths = []
    names = ("plots/gain_against_sharpness.png", "plots/gain_per_clip.png")
    for figure, own, name in zip((scatter, bars), (axes, bar_axes), names, strict=True):
        own.axhline(0, color="grey", linewidth=0.8)
        own.legend(fontsize=7)
        paths.append(files.write(name, partial(figure.savefig, dpi=110, format="png")))
    return paths
