"""Clips of one evaluation: from data sets on disk, plain files, or synthetic sets."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asled_cli.errors import InputError, UsageError
from asled_cli.lab.datasets.image_sequence import (
    EightBit,
    MeanPictures,
    PictureArray,
    PictureFiles,
    Pictures,
    Stretch,
    VideoPictures,
)
from asled_cli.lab.datasets.layouts import (
    Averaging,
    DatasetClip,
    check_same_size,
    check_together,
    open_pictures,
    read_layout,
)
from asled_cli.lab.datasets.sources import find_sources
from asled_cli.lab.eval_sets.catalogue import EVAL_SETS
from asled_cli.lab.scoring.config import EvalConfig
from asled_cli.lab.synthesis.synthetic_pair import SyntheticPair
from asled_cli.video.decode.pixel_format import to_16_bit
from asled_cli.video.frames import Frame, FramePair

NOMINAL_FPS = 30  # of folders of pictures, which have no times


@dataclass(frozen=True)
class ScoreClip:
    """One clip to restore and to score.

    group: kind of clip, "" where the set has none. special: whether the clip tests something other than
    deblurring and is not in the main means. reference_there: (T,) bool, or None for everywhere. truth: None
    if unknown.
    identity: a hash of everything that the images depend on. whole: of a clip whose first frames alone are
    scored, all frames of the target, which tell its exposure.
    """

    name: str
    target: Pictures
    reference: Pictures | None
    truth: Pictures | None
    identity: str
    group: str = ""
    special: bool = False
    fps: float = NOMINAL_FPS
    reference_there: NDArray[np.bool_] | None = None
    whole: Pictures | None = None

    @property
    def frames(self) -> int:
        """Return the number of frames."""
        return len(self.target)

    def has_reference(self, index: int) -> bool:
        """Return whether the other lens delivered frame `index`."""
        there = self.reference_there
        return self.reference is not None and (there is None or bool(there[index]))

    def pairs(self, indices: Iterable[int]) -> Iterator[FramePair]:
        """Yield the frames as decoder and pairing would deliver them."""
        for i in indices:
            time = Fraction(i) / Fraction(self.fps).limit_denominator(1001)
            other = None
            if self.reference is not None and self.has_reference(i):
                other = Frame(i, i, time, to_16_bit(self.reference[i]), None)
            yield FramePair(Frame(i, i, time, to_16_bit(self.target[i]), None), other)


def clip_names(config: EvalConfig) -> list[str]:
    """Return the names of the clips that `config` selects. Raises InputError or UsageError for none."""
    if config.pairs:
        names = [_pair_name(pair) for pair in config.pairs]
    elif config.dataset == "synthetic":
        names = list(EVAL_SETS[config.resolved_split].clips)
    else:
        names = [clip.name for clip in _layout_clips(config)]
    unknown = sorted(set(config.clips) - set(names))
    if unknown:
        raise UsageError(f"There is no clip {', '.join(unknown)}; known: {', '.join(names[:20])}.")
    return [name for name in names if not config.clips or name in config.clips]


def identify(config: EvalConfig, name: str) -> ScoreClip:
    """Return the identity of the clip called `name`; synthetic clips are not rendered for it."""
    return (
        synthetic_clip(config, name, make=False) if config.dataset == "synthetic" else open_clip(config, name)
    )


def open_clip(config: EvalConfig, name: str) -> ScoreClip:
    """Return the clip called `name`. Raises InputError if its images do not belong together."""
    if config.pairs:
        clip = _plain_pair(next(pair for pair in config.pairs if _pair_name(pair) == name))
    elif config.dataset == "synthetic":
        clip = synthetic_clip(config, name, make=True)
    else:
        clip = _from_layout(next(clip for clip in _layout_clips(config) if clip.name == name), config)
    return first_frames(clip, config.max_frames)


def synthetic_clip(config: EvalConfig, name: str, *, make: bool) -> ScoreClip:
    """Return a synthetic clip. make False: an empty clip with the right identity, for cached scores."""
    assert config.root is not None
    eval_set = EVAL_SETS[config.resolved_split]
    entry = eval_set.clips[name]
    sources = find_sources(config.root, "held-out")
    held_out = [_stamp(path) for path in (*sources.photos.values(), *sources.videos.values())]
    identity = _hash([eval_set.name, eval_set.version, name, entry.seed, held_out])
    empty = PictureArray(np.zeros((0, 1, 1, 3), np.uint8))
    clip = ScoreClip(name, empty, empty, empty, identity, entry.group, entry.special)
    return with_pictures(clip, eval_set.make(sources, name)) if make else clip


def with_pictures(clip: ScoreClip, pair: SyntheticPair) -> ScoreClip:
    """Return the same clip with the images of `pair`."""
    return replace(
        clip,
        target=PictureArray(pair.wide),
        reference=PictureArray(pair.ultra),
        truth=PictureArray(pair.truth),
        fps=pair.fps,
        reference_there=pair.reference_valid,
    )


def first_frames(clip: ScoreClip, frames: int | None) -> ScoreClip:
    """Return the first `frames` frames of a clip; all if None."""
    if frames is None or frames >= clip.frames:
        return clip
    there = None if clip.reference_there is None else clip.reference_there[:frames]
    target, reference, truth = (
        None if view is None else Stretch(view, 0, frames)
        for view in (clip.target, clip.reference, clip.truth)
    )
    assert target is not None
    return replace(
        clip, target=target, reference=reference, truth=truth, reference_there=there, whole=clip.target
    )


def _layout_clips(config: EvalConfig) -> list[DatasetClip]:
    assert config.dataset is not None and config.dataset != "synthetic" and config.root is not None
    averaging = Averaging(count=config.average, reference=config.average_reference, linear=config.linear)
    return read_layout(
        config.dataset, config.root, config.resolved_split, averaging, need_truth=config.dataset != "generic"
    )


def _from_layout(clip: DatasetClip, config: EvalConfig) -> ScoreClip:
    truth = clip.truth if clip.has_truth else None
    if truth is not None:
        check_same_size(clip.name, ("blurred", clip.target), ("truth", truth))
    views = [clip.target, clip.reference, truth]
    blur = [config.average, config.average_reference, config.linear] if config.dataset == "realmcvsr" else []
    identity = _hash([clip.name, blur, [_files_of(view) for view in views]])
    fps = clip.target.clip.average_rate if isinstance(clip.target, VideoPictures) else NOMINAL_FPS
    return ScoreClip(clip.name, clip.target, clip.reference, truth, identity, fps=float(fps))


def _pair_name(text: str) -> str:
    return Path(split_pair(text)[0]).name


def split_pair(text: str) -> tuple[str, str | None]:
    """Split RESULT:TRUTH; the name of an existing file is a result without truth."""
    if Path(text).exists():
        return text, None
    result, colon, truth = text.rpartition(":")
    if not colon or not result or not truth:
        raise UsageError(f"--pairs has {text!r}, expected RESULT:TRUTH, two files or folders.")
    return result, truth


def _plain_pair(text: str) -> ScoreClip:
    names = split_pair(text)
    opened: list[Pictures | None] = []
    for name in names:
        if name is not None and not Path(name).exists():
            raise InputError(f"{name} does not exist.", "Is the name in --pairs spelled right?")
        opened.append(None if name is None else open_pictures(Path(name)))
    result, truth = opened
    assert result is not None
    name = _pair_name(text)
    if truth is not None:
        check_together(name, {"the result": result, "the truth": truth})
        check_same_size(name, ("the result", result), ("the truth", truth))
    identity = _hash([name, [_files_of(view) for view in opened]])
    return ScoreClip(name, result, None, truth, identity)


def _files_of(view: Pictures | None) -> Any:
    """Return name, size and modification time of every file of a view."""
    match view:
        case PictureFiles():
            return [_stamp(path) for path in view.paths]
        case VideoPictures():
            return [_stamp(view.path)]
        case MeanPictures() | Stretch() | EightBit():
            return _files_of(view.source)
    return []


def _stamp(path: Path) -> list[object]:
    status = path.stat()
    return [path.name, status.st_size, status.st_mtime_ns]


def _hash(parts: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
