"""Pictures of an evaluation: every clip side by side, x-t profiles (AsLeD paper, figure 8), and two plots.

The plots are drawn by matplotlib, an optional extra: axes and labels are not what this program exists for.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.lab.evaluation.run import Evaluation
from asled_cli.lab.evaluation.scoring import Kept
from asled_cli.lab.evaluation.summary import clip_mean
from asled_cli.lab.pictures import read_picture_file

log = logging.getLogger(__name__)

Image = NDArray[np.uint8]
LABEL_PX = 16  # height of the line above a picture
PROFILE_ROW_PX = 6  # height of one frame in an x-t profile
GAP_PX = 4


def write_pictures(evaluation: Evaluation, out: Path) -> list[Path]:
    """Write pictures/CLIP.jpg, profiles/CLIP.png and, with matplotlib, plots/*.png below `out`."""
    written: list[Path] = []
    clips = dict.fromkeys(one.clip for one in evaluation.scores)
    for folder, suffix, compose in (("pictures", ".jpg", _side_by_side), ("profiles", ".png", _profiles)):
        (out / folder).mkdir(parents=True, exist_ok=True)
        for clip in clips:
            views = compose(evaluation, clip)
            if views:
                path = out / folder / f"{Path(clip).stem}{suffix}"
                cv2.imwrite(str(path), _stack(views)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
                written.append(path)
    return written + _plots(evaluation, out)


def _side_by_side(evaluation: Evaluation, clip: str) -> list[tuple[str, Image]]:
    """The middle frame: registered reference, every model, truth."""
    first, last = evaluation.models[0].name, evaluation.models[-1].name
    row = any(model.kind == "reference" for model in evaluation.models)
    views = [] if row else [("registered reference", _kept(evaluation, clip, first, "reference"))]
    views += [(model.name, _kept(evaluation, clip, model.name, "middle")) for model in evaluation.models]
    views += [("truth", _kept(evaluation, clip, last, "truth"))]
    return [(name, view) for name, view in views if view is not None]


def _profiles(evaluation: Evaluation, clip: str) -> list[tuple[str, Image]]:
    """The middle row of every frame, one below the other: flicker shows as streaks."""
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
    folder = Kept(evaluation.config.work_folder)
    path = folder.path(clip, model, evaluation.keys[clip, model], f".{what}.png")
    return read_picture_file(path) if path is not None and path.is_file() else None


def _stack(views: Sequence[tuple[str, Image]]) -> Image:
    """Labelled pictures of one size: wide ones below each other, others in a grid of up to three columns."""
    height, width = views[0][1].shape[:2]
    columns = 1 if width > 3 * height else min(3, len(views))
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


def _plots(evaluation: Evaluation, out: Path) -> list[Path]:
    """Gain against the input's sharpness, and bars per clip; nothing but a sentence without matplotlib."""
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
    sharp = {s.clip: float(s.facts.get("input_sharpness", 0.0)) for s in evaluation.scores}
    gains = {m: [psnr[clip, m] - psnr[clip, "input"] for clip in clips] for m in models}
    (out / "plots").mkdir(parents=True, exist_ok=True)
    scatter, bars = Figure(figsize=(6, 4), layout="tight"), Figure(figsize=(10, 4), layout="tight")
    axes, bar_axes = scatter.subplots(), bars.subplots()
    width, places = 0.8 / len(models), np.arange(len(clips))
    for index, (model, values) in enumerate(gains.items()):
        axes.plot([sharp[clip] for clip in clips], values, "o", label=model)
        bar_axes.bar(places + width * index, values, width, label=model)
    axes.set(xlabel="sharpness of the input over that of the truth", ylabel="PSNR gain, dB")
    bar_axes.set(ylabel="PSNR gain, dB")
    bar_axes.set_xticks(np.arange(len(clips)) + 0.4, clips, rotation=60, ha="right", fontsize=7)
    paths = [out / "plots" / "gain_against_sharpness.png", out / "plots" / "gain_per_clip.png"]
    for figure, own, path in zip((scatter, bars), (axes, bar_axes), paths, strict=True):
        own.axhline(0, color="grey", linewidth=0.8)
        own.legend(fontsize=7)
        figure.savefig(path, dpi=110)
    return paths
