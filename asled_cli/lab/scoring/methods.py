"""Methods of an evaluation (the rows of a report), and how each restores a clip.

input, reference, swap, oracle-half and inversion need no weights. inversion uses the target's own frames
alone; single merges them by a network, as `asled deblur` does with one clip. auto is what `asled deblur` does
without options. Networks of the zoo run as in
`asled deblur --method network`.
Other files are single-image networks that spandrel (an optional extra) recognises.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from asled_cli.deconvolution.clip_file import sampled_exposure
from asled_cli.deconvolution.exposure import NOT_BLURRED, ExposureFit
from asled_cli.errors import UsageError, WeightsError
from asled_cli.job.blur.plan import DEBLUR_ALL, BlurPlan
from asled_cli.job.method import network_restorer
from asled_cli.lab.datasets.image_sequence import Pictures
from asled_cli.lab.scoring.config import EvalConfig
from asled_cli.lab.scoring.frame_scores import TruthWindow
from asled_cli.registration.rendering.aligned_frame import AlignedFrame
from asled_cli.restoration.base import FULL_SCALE, FrameByFrame, FusingRestorer, Restorer
from asled_cli.restoration.one_clip import FUSED, OneClipRestorer
from asled_cli.restoration.own_frames import OwnFramesRestorer
from asled_cli.restoration.swap import SwapRestorer
from asled_cli.runtime.device import DTYPES, resolve_device, resolve_precision
from asled_cli.video.decode.pixel_format import to_16_bit
from asled_cli.zoo import checkpoint as weights
from asled_cli.zoo import registry as zoo
from asled_cli.zoo.weight_file import read_header

WithoutWeights = Literal["input", "reference", "swap", "oracle-half", "inversion"]
Kind = WithoutWeights | Literal["network", "single", "auto", "single-image"]


ALL = "all"
"""Word for every method of ROWS_OF_ALL and every network with weights."""
ROWS_OF_ALL = ("input", "swap", "inversion", "single", "auto")


@dataclass(frozen=True, slots=True)
class Model:
    """One method. path and sha256: of the weights, None for methods without a network."""

    name: str
    kind: Kind
    path: Path | None = None
    sha256: str | None = None

    @property
    def identity(self) -> str:
        """Return what its results depend on besides the clip."""
        return self.sha256 or self.kind


def find_models(config: EvalConfig) -> list[Model]:
    """Return the methods that `config` names, with their weight files found and hashed.

    Raises UsageError for an unknown name, WeightsError if weights are missing.
    """
    if config.pairs:
        return [Model("result", "input")]
    models = [_find(word) for word in _expanded(config.methods)]
    if config.weights is None:
        return models
    networks = [model for model in models if model.kind == "network" and "=" not in model.name]
    if len(networks) != 1:
        raise UsageError(
            f"--weights goes with one network, but --methods has {len(networks)}.",
            "Name others as NAME=FILE in --methods.",
        )
    given = weights.find(networks[0].name, config.weights)
    swapped = replace(networks[0], path=given, sha256=weights.hash_file(given))
    return [swapped if model is networks[0] else model for model in models]


def _expanded(words: Sequence[str]) -> list[str]:
    """Return the words with ALL replaced by what it stands for, each once."""
    every = [*ROWS_OF_ALL, *(name for name in zoo.PUBLISHED if name != zoo.ALONE)]
    return list(dict.fromkeys(name for word in words for name in (every if word == ALL else [word])))


def untrained(scored: Iterable[str] = ()) -> list[str]:
    """Return the networks that have no weights, sorted. scored: rows whose weights were given as a file."""
    return sorted(set(zoo.BUILDERS) - set(zoo.PUBLISHED) - set(scored))


def load_restorer(
    model: Model,
    config: EvalConfig,
    size: tuple[int, int],
    truth: TruthWindow | None = None,
    target: Pictures | None = None,
    *,
    fps: float = 30.0,
    blur_plan: BlurPlan = DEBLUR_ALL,
) -> Restorer:
    """Return the restorer of `model` for clips of `size` (width, height).

    truth: for oracle-half. target: the blurred frames, whose exposure `single` and `auto` measure. fps and
    blur_plan: for `auto`, the frame rate and where the reference helps.
    """
    if model.kind == "input":
        return FrameByFrame(_nothing)
    if model.kind == "reference":
        return FrameByFrame(_to_reference)
    if model.kind == "swap":
        return SwapRestorer(1.0)
    if model.kind == "oracle-half":
        assert truth is not None
        return FrameByFrame(partial(_to_half_detail, truth))
    if model.kind in ("single", "inversion"):
        assert target is not None
        blur = _blur(target)
        return OneClipRestorer(blur, _alone(model, config, size))
    assert model.path is not None
    device = resolve_device(config.device)
    precision = resolve_precision(config.precision, device)
    if model.kind == "network":
        return network_restorer(model.path, device, precision, size)
    if model.kind == "auto":
        assert target is not None
        needed = blur_plan.needs_own_frames or not blur_plan.segments
        blur = _blur(target) if needed else NOT_BLURRED
        if blur.exposure > 0 and (not blur_plan.segments or blur_plan.own_frames_alone):
            return OneClipRestorer(blur, _alone(model, config, size))
        own_frames = partial(
            OwnFramesRestorer,
            blur=blur,
            frame_s=1 / Fraction(fps).limit_denominator(1001),
            limit=blur_plan.limit,
            share=blur_plan.own_share,
            lends=blur_plan.filled_by(blur).lends_own,
        )
        return network_restorer(model.path, device, precision, size, inside=own_frames)
    return FrameByFrame(partial(_by_single_image, load_single_image(model.path, device), device))


def _alone(model: Model, config: EvalConfig, size: tuple[int, int]) -> Restorer:
    """Return what merges frames with their inversions: a network, or for `inversion` their confidence."""
    if model.kind == "inversion":
        return FusingRestorer(SwapRestorer(1.0), FUSED)
    device = resolve_device(config.device)
    path = model.path if model.kind == "single" and model.path else weights.find(zoo.ALONE)
    return network_restorer(path, device, resolve_precision(config.precision, device), size)


def load_network(model: Model, device: torch.device, precision: str) -> Any:
    """Return the network of a method as a module on `device`; None for other methods."""
    if model.path is None or model.kind in ("single", "auto"):
        return None
    if model.kind == "network":
        network = weights.load(model.path)
        return network.to(device=device, dtype=DTYPES[precision], memory_format=torch.channels_last)
    return load_single_image(model.path, device)


def _blur(target: Pictures) -> ExposureFit:
    """Return the exposure of a clip from runs of frames as `asled deblur` takes them."""
    return sampled_exposure(len(target), lambda index: to_16_bit(target[index]))


def _nothing(aligned: AlignedFrame) -> None:
    """Return the blurred input unchanged."""


def _to_reference(aligned: AlignedFrame) -> NDArray[np.float32] | None:
    """Return the registered reference everywhere, at any confidence; the input where there is none."""
    if aligned.reference is None:
        return None
    return (aligned.reference.astype(np.float32) - aligned.pair.target.rgb) / np.float32(FULL_SCALE)


def _to_half_detail(truth: TruthWindow, aligned: AlignedFrame) -> NDArray[np.float32]:
    """Return the half-resolution oracle: the truth reduced by two and enlarged again.

    It shows how far the swap of a reference at half resolution would get with perfect registration, exposure
    and camera. It is not an upper bound: where the blurred view has more detail, a result can exceed it.
    """
    target = aligned.pair.target
    true = (truth.picture(target.index) * FULL_SCALE).astype(np.float32)
    height, width = true.shape[:2]
    reduced = cv2.resize(true, (-(-width // 2), -(-height // 2)), interpolation=cv2.INTER_AREA)
    half = cv2.resize(reduced, (width, height), interpolation=cv2.INTER_CUBIC)
    return (half - target.rgb) / np.float32(FULL_SCALE)


def _by_single_image(network: Any, device: torch.device, aligned: AlignedFrame) -> NDArray[np.float32]:
    """Return the change by a network that sees single blurred frames only."""
    before = torch.from_numpy(aligned.pair.target.rgb.astype(np.float32) / np.float32(FULL_SCALE))
    with torch.inference_mode():
        after = network(before.permute(2, 0, 1)[None].to(device))
    change: NDArray[np.float32] = (after[0].float().cpu().permute(1, 2, 0) - before).numpy()
    return change


def load_single_image(path: Path, device: torch.device) -> Any:
    """Load a restoration network of 3 channels, same size in and out, through spandrel.

    Raises UsageError if spandrel is not installed, WeightsError if it does not recognise the file.
    """
    try:
        from spandrel import ImageModelDescriptor, ModelLoader, UnsupportedModelError
    except ImportError as error:
        raise UsageError(
            f"{path.name} needs the package spandrel to run ({error}).",
            "Install it: pip install 'asled[baselines]'.",
        ) from error
    try:
        model = ModelLoader(device=device).load_from_file(path)
    except UnsupportedModelError as error:
        raise WeightsError(f"{path} is of no network that spandrel knows: {error}.") from error
    except Exception as error:  # of many kinds where a file is damaged
        raise WeightsError(f"{path} cannot be read as weights: {error}.") from error
    if not isinstance(model, ImageModelDescriptor) or model.scale != 1 or model.input_channels != 3:
        raise WeightsError(f"{path} is no network that restores RGB pictures of one size.")
    return model.eval()


def _find(word: str) -> Model:
    name, equals, file = word.partition("=")
    if equals:
        path = Path(file)
        if not path.is_file():
            raise WeightsError(f"The weights {path} do not exist.", f"Is the file in --methods {word} right?")
        kind: Kind = "single" if name == "single" else "network" if _is_ours(path) else "single-image"
        return Model(name, kind, path, weights.hash_file(path))
    if name in get_args(WithoutWeights):
        return Model(name, name)  # type: ignore[arg-type]  # the name is the kind
    if name == "single":
        path = weights.find(zoo.ALONE)
        return Model(name, "single", path, weights.hash_file(path))
    if name == "auto":
        path, alone = weights.find(zoo.DEFAULT), weights.find(zoo.ALONE)
        return Model(name, "auto", path, f"{weights.hash_file(path)} {weights.hash_file(alone)}")
    if name not in zoo.PUBLISHED and name not in zoo.BUILDERS:
        known = [*get_args(WithoutWeights), "single", "auto", ALL, *zoo.PUBLISHED]
        raise UsageError(f"--methods has {name!r}, known: {', '.join(known)}, or NAME=FILE.")
    if name not in zoo.PUBLISHED:
        return Model(name, "network")
    path = weights.find(name)
    return Model(name, "network", path, weights.hash_file(path))


def check_loadable(models: Sequence[Model]) -> None:
    """Raise WeightsError for a network without weights."""
    for model in models:
        if model.kind == "network" and model.path is None:
            weights.find(model.name)


def _is_ours(path: Path) -> bool:
    """Return whether a file names one of our networks. Raises WeightsError if the header is damaged."""
    try:
        ours = "network" in read_header(path)
    except WeightsError:
        if path.suffix == ".safetensors":
            raise
        return False
    if ours:
        weights.read_info(path)
    return ours
