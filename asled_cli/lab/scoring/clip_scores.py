"""Scoring of one clip by all models, frame by frame, with a cache of finished scores."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import asled_cli
from asled_cli.job.blur.plan import BlurPlan
from asled_cli.lab.scoring.alignment import AlignedClip, align_clip
from asled_cli.lab.scoring.clips import ScoreClip
from asled_cli.lab.scoring.config import EvalConfig
from asled_cli.lab.scoring.frame_scores import (
    FrameScorer,
    Row,
    TruthWindow,
    load_extras,
    semi_reference,
    to_shown,
    to_unit,
)
from asled_cli.lab.scoring.methods import Model, load_restorer
from asled_cli.metrics.protocols import PROTOCOLS
from asled_cli.metrics.sharpness import sharpness
from asled_cli.registration.rendering.aligned_frame import AlignedFrame
from asled_cli.restoration.base import RestoredFrame
from asled_cli.runtime.atomic_file import explain_full_disk, replace_file

# Parts of the program that scores depend on. A change in any of them invalidates cached scores.
_JUDGED_BY = (
    "imaging",
    "deconvolution",
    "video",
    "registration",
    "nets",
    "sync",
    "restoration",
    "job",
    "metrics",
    "lab/scoring",
)
_MADE_BY = ("lab/camera", "lab/synthesis", "lab/eval_sets", "lab/datasets")


@dataclass(frozen=True)
class ClipScores:
    """Scores of one clip by one model. rows: metric -> value per frame. metadata: clip, registration."""

    clip: str
    group: str
    special: bool
    model: str
    rows: list[Row]
    metadata: dict[str, Any] = field(default_factory=dict)


def code_fingerprint(parts: Iterable[str] = _JUDGED_BY + _MADE_BY) -> str:
    """Return a hash of the source files below `parts` of the package."""
    package = Path(asled_cli.__file__).parent
    digest = hashlib.sha256()
    for part in parts:
        place = package / part
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(path.read_bytes())
    return digest.hexdigest()


def score_key(clip: ScoreClip, model: Model, config: EvalConfig, code: str) -> str:
    """Return a hash of everything that the scores of `clip` by `model` depend on."""
    parts = [
        code, clip.identity, clip.name, model.name, model.kind, model.identity, config.protocol,
        sorted(config.metrics), config.alignment, config.fov_ratio, config.max_frames, config.device,
        config.precision,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class ScoreCache:
    """Finished scores in a folder, one JSON file per clip and model, each complete or absent."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        if folder is not None:
            with explain_full_disk(folder):
                folder.mkdir(parents=True, exist_ok=True)

    def find(self, clip: str, model: str, key: str) -> ClipScores | None:
        """Return the scores cached under `key`, if any."""
        path = self.path(clip, model, key, ".json")
        if path is None or not path.is_file():
            return None
        return ClipScores(**json.loads(path.read_text()))

    def keep(self, scores: ClipScores, key: str, pictures: Mapping[str, NDArray[np.uint8] | None]) -> None:
        """Write scores and the images that plots need; the scores last, as a mark of completeness."""
        for name, picture in pictures.items():
            path = self.path(scores.clip, scores.model, key, f".{name}.png")
            if path is not None and picture is not None:
                self._write(path, cv2.imencode(".png", picture[..., ::-1])[1].tobytes())
        path = self.path(scores.clip, scores.model, key, ".json")
        if path is not None:
            self._write(path, json.dumps(asdict(scores)).encode())

    def _write(self, path: Path, data: bytes) -> None:
        with explain_full_disk(path, "Run the same again to continue; finished clips are kept."):
            replace_file(path, lambda part: part.write_bytes(data))

    def path(self, clip: str, model: str, key: str, suffix: str) -> Path | None:
        """Return the path of a cache file; None without a cache folder."""
        safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in f"{clip}.{model}")
        return None if self.folder is None else self.folder / f"{safe}.{key[:16]}{suffix}"


def score_clip(
    clip: ScoreClip,
    models: list[Model],
    config: EvalConfig,
    *,
    aligned: AlignedClip | None = None,
    check: Callable[[], None] = lambda: None,
) -> dict[str, tuple[ClipScores, dict[str, NDArray[np.uint8] | None]]]:
    """Return scores and images of `clip` by each of `models`, in one pass over its aligned frames.

    aligned: the clip with its aligned reference, if it exists already. check: called once per frame, may
    raise. Sharp intervals stay unchanged by `swap` and networks, as in `asled deblur`. Memory: a chunk of
    frames per model and the truth around them, for any length of the clip; all frames in 8 bit for cvvdp.
    """
    protocol = PROTOCOLS[config.protocol]
    window = None if clip.truth is None else TruthWindow(clip.truth)
    extras = load_extras(config.metrics, config.metric_weights)
    scorers = {m.name: FrameScorer(m.name, window, protocol, config.metrics, extras) for m in models}
    middle = clip.frames // 2
    for scorer in scorers.values():
        scorer.show = middle
    aligned = aligned or align_clip(clip, config.alignment, config.fov_ratio)
    load = partial(load_restorer, fps=clip.fps, blur_plan=aligned.blur_plan)
    whole = clip.target if clip.whole is None else clip.whole
    restorers = {m.name: load(m, config, clip.target.size, window, whole) for m in models}
    plans = {m.name: aligned.blur_plan if m.kind in ("swap", "network") else None for m in models}
    shown: dict[str, NDArray[np.uint8] | None] = {"reference": None}
    references: dict[int, AlignedFrame] = {}
    for index, frame in enumerate(aligned.frames):
        check()
        if index == middle and frame.reference is not None:
            shown["reference"] = to_shown(to_unit(frame.reference))
        if "semi" in config.metrics:
            references[index] = frame
        for name, restorer in restorers.items():
            _take(scorers[name], restorer.push(frame), plans[name], references)
        done = min(len(scorer.rows) for scorer in scorers.values())
        for old in [i for i in references if i < done]:
            del references[old]
        if window is not None:
            window.forget(done)
    for name, restorer in restorers.items():
        _take(scorers[name], restorer.flush(), plans[name], references)
    metadata = {**aligned.metadata, "input_sharpness": _mean_sharpness(clip)}
    return {name: _finish(clip, scorer, metadata, shown) for name, scorer in scorers.items()}


def _take(
    scorer: FrameScorer,
    frames: list[RestoredFrame],
    blur_plan: BlurPlan | None,
    references: Mapping[int, AlignedFrame],
) -> None:
    for frame in frames:
        allowed = (
            frame.change if blur_plan is None else blur_plan.limit(float(frame.target.time), frame.change)
        )
        scorer.take(replace(frame, change=allowed))
        index = len(scorer.rows) - 1
        known = references.get(index)
        if known is not None and known.reference is not None and scorer.last is not None:
            scorer.rows[-1]["semi"] = semi_reference(scorer.last, known)


def _finish(
    clip: ScoreClip,
    scorer: FrameScorer,
    metadata: dict[str, Any],
    shown: Mapping[str, NDArray[np.uint8] | None],
) -> tuple[ClipScores, dict[str, NDArray[np.uint8] | None]]:
    scorer.finish(clip.truth, clip.fps)
    strips = [np.stack(scorer.lines)]
    truth = None
    if clip.truth is not None:
        row = clip.truth.size[1] // 2
        strips.append(np.stack([to_shown(to_unit(clip.truth[i]))[row] for i in range(clip.frames)]))
        truth = to_shown(to_unit(clip.truth[clip.frames // 2]))
    pictures = {
        "profile": np.concatenate(strips), "middle": scorer.middle, "truth": truth,
        "reference": shown["reference"],
    }  # fmt: skip
    scores = ClipScores(
        clip.name, clip.group, clip.special, scorer.name, scorer.rows, json.loads(json.dumps(metadata))
    )
    return scores, pictures


def _mean_sharpness(clip: ScoreClip) -> float:
    """Return the sharpness of the input over that of the truth, middle frame; input alone without a truth."""
    middle = clip.frames // 2
    own = sharpness(to_unit(clip.target[middle]))
    return own if clip.truth is None else own / max(sharpness(to_unit(clip.truth[middle])), 1e-9)
