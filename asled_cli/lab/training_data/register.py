"""Registration of synthetic clips as in a deblurring run, stored as training samples.

So a network trains on references with the errors of the real registration.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asled_cli.deconvolution.clip_file import sampled_exposure
from asled_cli.deconvolution.exposure import ExposureFit
from asled_cli.guide import GUIDE_STRIDE
from asled_cli.imaging.light import to_grey
from asled_cli.lab.synthesis.synthetic_pair import SyntheticPair
from asled_cli.registration.analyse import register_clip
from asled_cli.registration.geometry.lenses import LensPrior
from asled_cli.registration.model.registration import Registration
from asled_cli.registration.render import render_references
from asled_cli.registration.rendering.aligned_frame import AlignedFrame, without_reference
from asled_cli.registration.rendering.centre_crop import crop_reference
from asled_cli.registration.rendering.temporal_fusion import fuse_references
from asled_cli.restoration.one_clip import inverted_frames
from asled_cli.restoration.one_clip_frames import with_motion
from asled_cli.runtime.atomic_file import explain_full_disk, replace_file
from asled_cli.video.decode.pixel_format import to_8_bit, to_16_bit
from asled_cli.video.frames import Frame, FramePair

log = logging.getLogger(__name__)

_EXPOSURE_ERROR = 0.05  # spread of the logarithm of a measured exposure


@dataclass(frozen=True)
class ClipViews:
    """Views of a clip for training: (T, H, W, 3) uint8 target and truth, and the ultra view of any size.

    there: (T,) bool, whether the ultra frame exists. metadata: stored with the clip.
    """

    target: NDArray[np.uint8]
    ultra: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    there: NDArray[np.bool_]
    fps: float
    metadata: Mapping[str, Any]


def synthetic_views(pair: SyntheticPair) -> ClipViews:
    """Return the views of a synthetic clip."""
    metadata = {**pair.parameters, "kind": pair.kind}
    return ClipViews(pair.wide, pair.ultra, pair.truth, pair.reference_valid, pair.fps, metadata)


def frame_pairs(clip: SyntheticPair | ClipViews) -> list[FramePair]:
    """Return the clip as decoder and pairing would deliver it."""
    views = synthetic_views(clip) if isinstance(clip, SyntheticPair) else clip
    pairs = []
    for i, (wide, ultra, there) in enumerate(zip(views.target, views.ultra, views.there, strict=True)):
        time = Fraction(i, round(views.fps))
        target = Frame(i, i, time, to_16_bit(wide), None)
        pairs.append(FramePair(target, Frame(i, i, time, to_16_bit(ultra), None) if there else None))
    return pairs


def register(pairs: Sequence[FramePair], prior: LensPrior) -> tuple[Registration, list[AlignedFrame]]:
    """Return the registration of a short clip, held in memory whole, and its aligned frames."""
    registration = register_clip([pairs], lambda: nullcontext(pairs), prior)
    return registration, list(render_references(pairs, registration))


def make_sample(
    clip: SyntheticPair | ClipViews, ratio: float | None = None, reach: int = 0
) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of one cached clip (see `cached_clip`), registered or with the centre of the ultra.

    ratio: field of view of the ultra over the wide one's. With it the reference is the enlarged centre of the
    ultra view (AsLeD paper, 3.1) and all flows are zero (`centred`). None registers. reach: frames on either
    side over which a registered reference is averaged. Raises InputError if registration fails.
    """
    views = synthetic_views(clip) if isinstance(clip, SyntheticPair) else clip
    return _registered(views, reach) if ratio is None else _centred(views, ratio)


def one_lens_sample(views: ClipViews) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of a cached clip for networks of one lens, which no reference distracts.

    Its flows are those between the sharp frames, in grid pixels; the guide is zero.
    """
    alone = ClipViews(
        views.target, views.ultra, views.truth, np.zeros(len(views.target), np.bool_), views.fps, {}
    )
    bare = map(without_reference, frame_pairs(alone))
    aligned = list(with_motion(zip(bare, map(to_grey, views.truth), strict=True)))
    return _arrays(views, aligned, {"reference": "none"})


def _registered(views: ClipViews, reach: int) -> dict[str, NDArray[np.generic]]:
    registration, aligned = register(frame_pairs(views), LensPrior())
    metadata = {
        "reference_radius": reach,
        "exposure_found": registration.exposure.length,
        "fov_ratio_found": registration.fov_ratio,
        "correlation": registration.correlation,
    }
    return _arrays(views, list(fuse_references(aligned, reach)), metadata)


def inverted_sample(views: ClipViews, reach: int = 0) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of one cached clip with the target's own inversion as its reference.

    Hand shake is inverted with its exposure off by a few percent, as a measured one is; other clips are
    measured. reach: as in `make_sample`.
    """
    targets = [pair.target for pair in frame_pairs(views)]
    blur = _blur(views, targets)
    aligned = inverted_frames(targets, blur, Fraction(1, round(views.fps)), motion=True)
    metadata = {"reference_radius": reach, "exposure_used": blur.exposure}
    return _arrays(views, list(fuse_references(aligned, reach)), metadata)


def _blur(views: ClipViews, targets: Sequence[Frame]) -> ExposureFit:
    kind, true = views.metadata.get("kind"), views.metadata.get("exposure")
    if kind == "shake" and isinstance(true, float):
        draw = np.random.default_rng((int(views.metadata.get("seed", 0)), 21))
        return ExposureFit(true * float(np.exp(draw.normal(0.0, _EXPOSURE_ERROR))), 1.0)
    return sampled_exposure(len(targets), lambda index: targets[index].rgb)


def _centred(views: ClipViews, ratio: float) -> dict[str, NDArray[np.generic]]:
    return _arrays(views, [crop_reference(pair, ratio) for pair in frame_pairs(views)], {})


def _arrays(
    views: ClipViews, aligned: Sequence[AlignedFrame], found: Mapping[str, Any]
) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of one cached clip. found: metadata in addition to that of the views."""
    references = [
        w if a.reference is None else to_8_bit(a.reference)
        for a, w in zip(aligned, views.target, strict=True)
    ]
    return {
        "target": views.target,
        "reference": np.stack(references),
        "truth": views.truth,
        "guide": np.stack([a.guide for a in aligned]),
        "flow_previous": np.stack([a.flow_previous for a in aligned]),
        "flow_next": np.stack([a.flow_next for a in aligned]),
        "valid": np.array([a.reference is not None for a in aligned]),
        "reset": np.array([a.is_cut for a in aligned]),
        "meta": np.array(json.dumps({**views.metadata, **found}, sort_keys=True, default=str)),
    }


def crop_sample(
    sample: Mapping[str, NDArray[np.generic]], top: int, left: int, height: int, width: int
) -> dict[str, NDArray[np.generic]]:
    """Return a window of a cached clip; top and left are multiples of 4."""
    full = np.s_[:, top : top + height, left : left + width]
    y, x = top // GUIDE_STRIDE, left // GUIDE_STRIDE
    coarse = np.s_[:, y : y - (-height // GUIDE_STRIDE), x : x - (-width // GUIDE_STRIDE)]
    views, maps = ("target", "reference", "truth"), ("guide", "flow_previous", "flow_next")
    return {
        name: array[full] if name in views else array[coarse] if name in maps else array
        for name, array in sample.items()
    }


def write_sample(path: Path, sample: Mapping[str, NDArray[np.generic]]) -> None:
    """Write a cached clip to `path`, atomically. Raises AsledError if the disk is full."""
    hint = "Run the same again once there is room; clips that are complete stay."
    with explain_full_disk(path, hint):
        replace_file(path, lambda part: _save_arrays(part, sample))


def _save_arrays(path: Path, sample: Mapping[str, NDArray[np.generic]]) -> None:
    with path.open("wb") as file:  # given a name, NumPy would add a suffix to it
        np.savez(file, **sample)  # type: ignore[arg-type]
