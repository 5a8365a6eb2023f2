"""Training recipe: a TOML file that maps one to one to TrainConfig."""

import dataclasses
import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, get_type_hints

from asled_cli.errors import UsageError
from asled_cli.lab.training_data.crops import SampleConfig
from asled_cli.lab.training_data.prepare import DataConfig
from asled_cli.nets.limits import expected_kind, shorten

Config = TypeVar("Config")
_FILES = ("init", "init_flow", "teacher")  # fields of TrainConfig that are paths


@dataclass(frozen=True, slots=True, kw_only=True)
class LossConfig:
    """Weights of the training losses; zero leaves one out."""

    charbonnier: float = 1.0
    """Weight of the Charbonnier loss between restored frames and truth."""
    epsilon: float = 1e-3
    """Epsilon of the Charbonnier loss: where it changes from square to absolute."""
    psnr: float = 0.0
    """Weight of the negative PSNR in dB; 0.01 is about as strong as the Charbonnier loss."""
    gradient: float = 0.0
    """Weight of the difference of gradients in x and y."""
    fft: float = 0.0
    """Weight of the difference of the 2-D spectra."""
    ssim: float = 0.0
    """Weight of 1 - SSIM."""
    temporal: float = 0.0
    """Weight of the difference of frame-to-frame changes."""
    perceptual: float = 0.0
    """Weight of the LPIPS distance; its backbone is found or downloaded as in `asled eval`."""
    perceptual_backbone: Literal["alex", "vgg"] = "vgg"
    """Backbone of LPIPS."""
    matching: float = 0.0
    """Weight of the matching error on known correspondences, for networks with a matching only."""
    distillation: float = 0.0
    """Weight of the Charbonnier distance to the teacher's output."""
    extra: Mapping[str, float] = field(default_factory=dict)
    """Weights of losses of the network's own, by name, such as intermediate and motion of `mtu`."""

    def __post_init__(self) -> None:
        for name, weight in self.extra.items():
            if expected := expected_kind(weight, float):
                raise UsageError(f"losses.extra.{name} is {shorten(weight)}, expected {expected}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Settings that determine the result of a training run, apart from the clips."""

    network: str
    """Name of the architecture, as in the table of networks."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Config of the network, as in its dataclass."""
    data: DataConfig = field(default_factory=DataConfig)
    """How clips on disk become samples."""
    samples: SampleConfig = field(default_factory=SampleConfig)
    """How samples are cut from the clips."""
    losses: LossConfig = field(default_factory=LossConfig)
    """Weights of the losses."""
    init: Path | None = None
    """Weights to start from, a file or the name of a published network: of the same network or one with fewer
    residual blocks or without a mixture of results; None starts afresh."""
    train_only: str = ""
    """The only part of the network that is trained, such as "fusion" of asled-fast; empty: all."""
    steps: int = 20_000
    """Number of updates."""
    max_minutes: float = 0.0
    """For a limited time on a machine: the rate falls with the time since the first step, validations
    included, and the run ends after it, or after `steps`. A resumed run has what is left. 0: by steps."""
    learning_rate: float = 4e-4
    """Peak of the learning rate."""
    final_learning_rate: float = 1e-6
    """Learning rate at the end of the cosine."""
    warmup_steps: int = 300
    """Steps of the linear warm-up from zero."""
    init_flow: Path | None = None
    """Weights of the flow network alone: a file (spynet.safetensors of a flow recipe), or the name of a part
    that comes with the program, "spynet". None: as in `init`."""
    flow_frozen_steps: int = 0
    """Updates before the flow network is trained too; equal to `steps`, it stays frozen and costs less."""
    flow_rate_factor: float = 1.0
    """Learning rate of the flow network over that of the rest."""
    teacher: Path | None = None
    """Weights of a better network, the teacher of `losses.distillation`; file or name as for `init`."""
    weight_decay: float = 1e-4
    """Betas of AdamW."""
    betas: tuple[float, float] = (0.9, 0.99)
    """Weight decay of AdamW."""
    clip_norm: float = 1.0
    """Maximum norm of the gradient; larger ones are clipped."""
    ema_decay: float = 0.999
    """Decay of the moving average of the weights, which is validated and published."""
    precision: Literal["fp32", "bf16"] = "bf16"
    """Precision of the convolutions (autocast); weights and losses stay fp32."""
    compile: bool = False
    """Whether to use torch.compile: minutes at the start, faster in long runs on GPUs."""
    threads: int = 0
    """CPU threads; 0 leaves PyTorch's choice."""
    workers: int = 1
    """Processes that register clips beforehand, then read and cut samples; 0, and for samples of resident
    clips, none: it is done between the steps."""
    log_every: int = 50
    """Steps between two lines of the loss log."""
    checkpoint_every: int = 500
    """Steps between two checkpoints."""
    validate_every: int = 1000
    """Steps between two validations."""
    validation_frames: int = 12
    """Frames of each validation clip that are scored, from its start."""

    def __post_init__(self) -> None:
        if not 0 <= self.warmup_steps < self.steps:
            raise UsageError(f"warmup_steps is {self.warmup_steps}, expected less than steps = {self.steps}.")
        if not 0 <= self.max_minutes < math.inf:
            raise UsageError(f"max_minutes is {self.max_minutes}, expected a number of 0 or more.")
        if (self.teacher is None) != (self.losses.distillation == 0.0):
            raise UsageError(
                f"teacher is {self.teacher} and losses.distillation {self.losses.distillation}, expected "
                "both or neither."
            )
        backbone, side = self.losses.perceptual_backbone, self.samples.crop_px
        if backbone not in ("alex", "vgg"):
            raise UsageError(f"losses.perceptual_backbone is {backbone!r}, expected 'alex' or 'vgg'.")
        for name, least in (("perceptual", 32), ("ssim", 12)):
            if getattr(self.losses, name) and side < least:
                raise UsageError(f"samples.crop_px is {side}, expected {least} or more for losses.{name}.")
        if self.precision not in ("fp32", "bf16"):
            raise UsageError(f"precision is {self.precision!r}, expected 'fp32' or 'bf16'.")
        for name in ("log_every", "checkpoint_every", "validate_every", "validation_frames"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}, expected at least 1.")


def read_recipe(path: Path, changes: Sequence[str] = ()) -> TrainConfig:
    """Return the recipe in the TOML file `path`. Raises UsageError for an unknown key or a bad value.

    changes: settings that override the file's, as in `read_table`.
    """
    return parse(path, config_from_table, changes)


def parse(path: Path, build: Callable[[Mapping[str, Any]], Config], changes: Sequence[str] = ()) -> Config:
    """Return what `build` makes of the TOML file `path`; its errors name the file."""
    table = read_table(path, changes)
    try:
        return build(table)
    except UsageError as error:
        raise UsageError(f"{path}: {error.message}", error.hint) from error


def read_table(path: Path, changes: Sequence[str] = ()) -> dict[str, Any]:
    """Return the TOML file `path` as nested dictionaries, after `changes` such as "samples.batch=8".

    Raises UsageError if the file or a change is not TOML.
    """
    try:
        with path.open("rb") as file:
            table = tomllib.load(file)
    except (OSError, ValueError, RecursionError) as error:  # not TOML, not UTF-8, nested too deeply
        raise UsageError(f"{path} cannot be read as a recipe: {error}.") from error
    for change in changes:
        _merge(table, _read_change(change))
    return table


def _read_change(change: str) -> dict[str, Any]:
    name, equals, value = change.partition("=")
    if equals:
        for text in (value, f'"{value}"'):  # text needs no quotes on a command line
            try:
                return tomllib.loads(f"{name} = {text}")
            except (ValueError, RecursionError):
                continue
    raise UsageError(f"--set is {change!r}, expected NAME=VALUE such as samples.batch=8.")


def _merge(table: dict[str, Any], change: Mapping[str, Any]) -> None:
    for name, value in change.items():
        inner = table.get(name)
        if isinstance(inner, dict) and isinstance(value, dict):
            _merge(inner, value)
        else:
            table[name] = value


def config_from_table(table: Mapping[str, Any]) -> TrainConfig:
    """Return a TrainConfig from nested dictionaries as TOML gives them."""
    values = dict(table)
    values["data"] = build_config(DataConfig, values.get("data", {}), "data.")
    values["samples"] = build_config(SampleConfig, values.get("samples", {}), "samples.")
    values["losses"] = build_config(LossConfig, values.get("losses", {}), "losses.")
    for name in _FILES:
        if isinstance(values.get(name), str):
            values[name] = Path(values[name])
    return build_config(TrainConfig, values)


def config_to_table(config: TrainConfig) -> dict[str, Any]:
    """Return nested dictionaries of strings, numbers and lists: the inverse of `config_from_table`."""
    table = dataclasses.asdict(config)
    return table | {name: str(table[name]) if table[name] else None for name in _FILES}


def build_config(kind: type[Config], values: Mapping[str, Any], prefix: str = "") -> Config:
    """Build a dataclass from a table. Raises UsageError for a name that is not one of its fields.

    prefix: name of the table in errors.
    """
    known = {f.name for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if not isinstance(values, Mapping):
        raise UsageError(f"{prefix.rstrip('.')} is {shorten(values)}, expected a table of settings.")
    kinds = get_type_hints(kind)
    for name, value in values.items():
        if name not in known:
            raise UsageError(f"{prefix}{name} is no setting.", f"Known: {', '.join(sorted(known))}.")
        if expected := expected_kind(value, kinds[name]):
            raise UsageError(f"{prefix}{name} is {shorten(value)}, expected {expected}.")
    try:
        return kind(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})
    except TypeError as error:
        raise UsageError(f"A setting is missing or has the wrong type: {error}.") from error
