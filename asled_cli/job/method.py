"""Choose how a clip is restored: method, network, device and piece sizes."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

import torch

from asled_cli.errors import MemoryLimitError, MissingWeightsError, UsageError, WeightsError
from asled_cli.job.config import DeblurConfig
from asled_cli.job.records import DeblurPlan, MethodChoice
from asled_cli.nets.interface import NetworkInfo
from asled_cli.restoration.adaptation import adapt_to_clip
from asled_cli.restoration.base import FusingRestorer, Restorer
from asled_cli.restoration.network import NetworkRestorer, NetworkSetting
from asled_cli.restoration.oom_fallback import MIN_CHUNK
from asled_cli.restoration.pictures.changes import OPENCV_CHANGES
from asled_cli.restoration.pictures.device_changes import DeviceChanges
from asled_cli.restoration.swap import SwapRestorer
from asled_cli.restoration.tiles import Tile, cut_tiles
from asled_cli.runtime.device import DTYPES, free_memory, resolve_device, resolve_precision
from asled_cli.video.frames import Clip
from asled_cli.zoo import checkpoint as weights
from asled_cli.zoo import registry as zoo

MAX_CHUNK = 12  # frames; the look-ahead is computed again with every chunk
CPU_BYTES = 2000 * 2**20  # at 1080p, so that the whole job stays at 3 GB; larger frames get more
CPU_PIXELS = 1920 * 1080  # the frame size for which CPU_BYTES is meant
CPU_SHARE = 0.6  # of the free memory of a machine, for networks that need more; the rest is for file caches
QUEUED_BYTES = 15 + 20  # per pixel of a frame that waits before (15) or after (20) the network
WAITING_BYTES = 15  # per pixel of a frame in the chunk, as recorded
STACKED_BYTES = 24  # per pixel of a tile of such a frame, in 32 bit
TILES_AT_ONCE = 2  # on a CPU: one operation over all cores waits at its end for a core that another stage has
AVERAGED_BYTES = 15  # of a frame whose reference waits to be averaged with those around it
GPU_SHARE = 0.6  # of the free memory of a GPU
TILES = (0, 1088, 544, 256)  # pixels; 1088 cuts a 1080p frame into two halves
LARGE_TILES = TILES[:3]  # whose context is a small part of them


class Pieces(NamedTuple):
    """What a network computes at a time: `NetworkSetting` explains it. bytes: what that takes at most."""

    chunk: int
    overlap: int
    tile: int
    bytes: int
    tiles_at_once: int = 1


class FrameSize(NamedTuple):
    """Pixels of a frame, where there is no clip to ask."""

    width: int
    height: int


def choose_method(config: DeblurConfig, wide: Clip | FrameSize) -> MethodChoice:
    """Resolve method, network, device, precision and piece sizes; verify the weights.

    Raises UsageError for an unknown network or device, WeightsError if the weights asked for are not usable.
    """
    device = resolve_device(config.device)
    precision = resolve_precision(config.precision, device)
    if config.method == "swap":
        return _on_device(MethodChoice(method="swap", reason="as asked"), device)
    if config.fast:
        return _on_device(MethodChoice(method="swap", reason="--fast: no network"), device)
    model = config.model or zoo.DEFAULT
    try:
        path = weights.find(model, config.weights)
    except MissingWeightsError as error:  # damaged weights are an error, never skipped
        if config.method == "network" or config.weights is not None or config.model is not None:
            raise
        reason = f"no weights found: {error.message}"
        return _on_device(MethodChoice(method="swap", reason=reason), device)
    if config.weights is not None:
        model = _model_of(path, config.model)
    if model in zoo.ESTIMATORS:
        raise UsageError(
            f"{path} holds weights of {model}, which measures blur and restores nothing.",
            "Pass them to asled probe --defocus-weights.",
        )
    if config.adapt:
        _check_adapts(config, model, path)
    reason = "as asked" if config.method == "network" else "weights found"
    return _with_network(
        MethodChoice(method="network", reason=reason, model=model), path, config, wide, device, precision
    )


def _check_adapts(config: DeblurConfig, model: str, path: Path) -> None:
    """Raise UsageError for a network without a codebook, or without reference frames to tune it to."""
    info = weights.read_info(path)
    if not (info.adapts and info.needs_reference):
        raise UsageError(
            f"--adapt is {config.adapt}, but {model} has no codebook that could be adapted.",
            "Leave --adapt away, or train a network that has one: options.memory = true in a recipe.",
        )


def _with_network(
    choice: MethodChoice,
    path: Path,
    config: DeblurConfig,
    wide: Clip | FrameSize,
    device: torch.device,
    precision: str,
) -> MethodChoice:
    """Return the choice with the network in `path`, and its pieces."""
    info = weights.read_info(path)
    pieces = choose_pieces(config, info, wide, device, precision)
    return replace(
        _on_device(choice, device),
        weights=path,
        precision=precision,
        chunk=pieces.chunk,
        overlap=pieces.overlap,
        tile=pieces.tile,
        tiles_at_once=pieces.tiles_at_once,
        reference_radius=info.reference_radius,
        removes=info.removes,
        memory_bytes=pieces.bytes,
    )


def _on_device(choice: MethodChoice, device: torch.device) -> MethodChoice:
    """Return the choice for a device; full pictures stay on it where it is a GPU."""
    return replace(choice, device=str(device), pictures="opencv" if device.type == "cpu" else "torch")


def restores_alone(config: DeblurConfig) -> bool:
    """Return whether the network that is named needs no reference. False where none is named, or found.

    Raises WeightsError if its weights are damaged or cannot be found.
    """
    if config.method not in ("auto", "network") or not config.asks_for_network:
        return False
    return not weights.read_info(weights.find(config.model or zoo.DEFAULT, config.weights)).needs_reference


def choose_alone(config: DeblurConfig, wide: Clip | FrameSize, reason: str) -> MethodChoice:
    """Resolve how one clip is deblurred alone: by inversion, and a network if its weights are found.

    Raises UsageError for an unknown device, WeightsError for damaged weights.
    """
    device = resolve_device(config.device)
    precision = resolve_precision(config.precision, device)
    if config.fast:
        return MethodChoice(method="single", reason=f"{reason}; --fast: no network")
    try:
        path = weights.find(zoo.ALONE)
    except MissingWeightsError:
        return MethodChoice(method="single", reason=reason)
    return _with_network(
        MethodChoice(method="single", reason=reason, model=zoo.ALONE), path, config, wide, device, precision
    )


def _model_of(path: Path, asked: str | None) -> str:
    """Return the network whose weights `path` holds. Raises WeightsError if another was asked for."""
    held = weights.architecture(path)
    known = zoo.PUBLISHED.get(asked or held)
    if asked is not None and held != (known.architecture if known else asked):
        raise WeightsError(f"{path} holds weights of {held}, --model is {asked}.", "Drop one of the two.")
    return asked or held


def load_restorer(
    plan: DeblurPlan, segment: int = 0, read: Callable[[Any], Any] | None = None, *, first: int = 0
) -> Restorer:
    """Build what the plan says: weights loaded, tuned to the clip where the plan asks for it, on the device.

    segment: frames after which work must be able to continue. first: frames before the first segment. read:
    gives the memory of an earlier run, a dictionary from tiles to states of the network, when asked for that
    type; or None.
    """
    choice, strength = plan.choice, plan.config.strength
    device, on_device = torch.device(choice.device), choice.pictures == "torch"
    if choice.weights is None:
        return SwapRestorer(strength, DeviceChanges(device) if on_device else OPENCV_CHANGES)
    pieces = Pieces(choice.chunk, choice.overlap, choice.tile, choice.memory_bytes, choice.tiles_at_once)
    loaded = weights.load(choice.weights)
    if plan.config.adapt:
        adapt_to_clip(loaded.memory, plan.pair.ultra, plan.ultra_range, plan.config.adapt)
    network, setting = _place(loaded, device, choice.precision, pieces, strength, on_device)
    state_type = _state_type(network)
    found = (read(dict[Tile, state_type]) if read is not None else None) or {}  # type: ignore[valid-type]
    states = {tile: type(state)(*(part.to(device) for part in state)) for tile, state in found.items()}
    return NetworkRestorer(network, setting, segment, states, first)


def network_restorer(
    path: Path,
    device: torch.device,
    precision: str,
    size: tuple[int, int],
    inside: Callable[[Restorer], Restorer] = lambda network: network,
) -> Restorer:
    """Build a restorer of the network in `path` for frames of `size` (width, height), in pieces as a job.

    It takes frames with the reference as the registration left it, and averages that where the network asks.
    inside: wraps what takes the averaged references.
    """
    frame, info = FrameSize(*size), weights.read_info(path)
    no_wish = DeblurConfig(Path(), Path())
    pieces = choose_pieces(no_wish, info, frame, device, precision)
    on_device = device.type != "cpu"
    restorer = inside(NetworkRestorer(*_place(weights.load(path), device, precision, pieces, 1.0, on_device)))
    return FusingRestorer(restorer, info.reference_radius) if info.reference_radius else restorer


def _place(
    loaded: Any, device: torch.device, precision: str, pieces: Pieces, strength: float, on_device: bool
) -> tuple[Any, NetworkSetting]:
    """Return a loaded network on its device in its precision, and how it is run.

    on_device: limit its changes there too.
    """
    dtype = DTYPES[precision]
    network = loaded.to(device=device, dtype=dtype, memory_format=torch.channels_last)
    setting = NetworkSetting(
        device=device,
        dtype=dtype,
        chunk=pieces.chunk,
        overlap=pieces.overlap,
        tile=pieces.tile,
        halo_px=network.info.halo_px,
        strength=strength,
        tiles_at_once=pieces.tiles_at_once,
        limits_on_device=on_device,
    )
    return network, setting


def _state_type(network: object) -> Any:
    """Return the type of a network's state, as its call declares it."""
    hint = get_type_hints(type(network).forward)["state"]  # type: ignore[attr-defined]
    return get_args(hint)[0]


def choose_pieces(
    config: DeblurConfig, info: NetworkInfo, wide: Clip | FrameSize, device: torch.device, precision: str
) -> Pieces:
    """Return the pieces for this device and its free memory.

    On a CPU, several tiles at once within the modest budget of CPU_BYTES if it allows large pieces, else one
    at a time with as much as may be taken. Raises MemoryLimitError if even small tiles do not fit.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return fit_pieces(config, info, wide, int(free * GPU_SHARE), precision)
    modest = CPU_BYTES * max(CPU_PIXELS, wide.width * wide.height) // CPU_PIXELS
    free_here = free_memory()
    most = modest if free_here is None else int(free_here * CPU_SHARE)
    for at_once in (TILES_AT_ONCE, 1) if most >= modest else ():
        with suppress(MemoryLimitError):
            tiles = _worthwhile(LARGE_TILES, info)
            pieces = fit_pieces(config, info, wide, modest, precision, tiles, at_once)
            if pieces.bytes <= modest:
                return pieces
    return fit_pieces(config, info, wide, most, precision, _worthwhile(TILES, info))


def _worthwhile(tiles: Sequence[int], info: NetworkInfo) -> Sequence[int]:
    """Return the sizes of tiles that a network uses on a CPU, of those in general."""
    largest = info.largest_tile_px
    return (largest, *(tile for tile in tiles if 0 < tile < largest)) if largest else tiles


def fit_pieces(
    config: DeblurConfig,
    info: NetworkInfo,
    wide: Clip | FrameSize,
    budget: int,
    precision: str,
    tiles: Sequence[int] = TILES,
    at_once: int = 1,
) -> Pieces:
    """Return pieces within `budget` bytes: first a shorter chunk, then tiles.

    tiles: the sizes to choose from. at_once: of them computed side by side. What the user asked for is left
    alone. Raises MemoryLimitError if even the smallest tiles do not fit.
    """
    overlap = info.overlap if config.overlap is None else config.overlap
    wider = 2 if precision == "fp32" else 1

    def pieces(chunk: int, tile: int) -> Pieces:
        parts = cut_tiles(wide.height, wide.width, tile, info.halo_px)
        beside = min(at_once, len(parts))
        frames = QUEUED_BYTES * chunk + WAITING_BYTES * (chunk + overlap)
        frames += AVERAGED_BYTES * 2 * info.reference_radius
        inside = info.bytes_per_pixel * (chunk + overlap) + info.working_bytes_per_pixel
        inside = wider * inside + STACKED_BYTES * (chunk + overlap)
        largest = max(part.pixels for part in parts)
        used = wide.width * wide.height * frames + inside * largest * beside
        return Pieces(chunk, overlap, tile, used, beside)

    chunks = [config.chunk] if config.chunk is not None else range(MAX_CHUNK, MIN_CHUNK - 1, -1)
    tiles = tiles if config.tile is None else [config.tile]
    for tile in tiles:
        for chunk in chunks:
            found = pieces(chunk, tile)
            if found.bytes <= budget or (config.chunk is not None and config.tile is not None):
                return found
    smallest = pieces(chunks[-1], tiles[-1]).bytes
    raise MemoryLimitError(
        f"The network needs about {smallest / 2**30:.1f} GiB even in its smallest pieces, "
        f"{budget / 2**30:.1f} GiB are free for it.",
        "Try a smaller --chunk or --tile, or --method swap.",
    )
