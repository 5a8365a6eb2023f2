"""Costs of AsLeD-Net: parameters of each part, floating-point operations and memory per frame."""

import torch
from torch import nn

from asled_cli.nets.asled.config import AsledConfig
from asled_cli.nets.asled.network import AsledNet
from asled_cli.nets.spynet import LEVELS, SIZE_MULTIPLE

# Feature maps alive at once at the peak, inside the merge: of the features' own type, and float32 ones of the
# matching. Fitted to the resident memory of runs at 512x512 (C = 32 and 64, both precisions); at 768x1024 the
# estimate is a third above the measurement.
WORKING_MAPS = 12
SEARCH_MAPS = 7

PARTS: dict[str, tuple[str, ...]] = {
    "flow": ("flow", "motion_flow"),
    "trunks": ("backward_trunk", "forward_trunk"),
    "fusion": ("fusion",),
    "encoders": ("target_encoder", "reference_encoder"),
    "alm": ("alm",),
    "dc": ("dc",),
    "rmc": ("rmc",),
    "merge": ("merge", "attention"),
    "decoder": ("decoder",),
}


def parameter_table(network: AsledNet) -> dict[str, int]:
    """Return the number of learnable parameters of each part and of all ("total")."""
    table = {part: sum(_parameters(network, name) for name in names) for part, names in PARTS.items()}
    return table | {"total": sum(table.values())}


def count_flops(config: AsledConfig, height: int, width: int) -> dict[str, int]:
    """Return the floating-point operations for one frame of a long clip, by part and in total.

    Counts multiplications and additions (2 per product) of the convolutions and of the matching's
    similarities. The rest is about one percent. A chunk of T frames of which `keep` are kept runs the
    backward part of "trunks" (one half) and of "flow" (one of its runs) T / keep times.
    """
    with torch.device("meta"):
        network = AsledNet(config)
    merges = 2 if config.fusion == "inside" else 1  # directions in which the components run
    pixels = height * width
    flops = {
        part: sum(2 * pixels * _weights(getattr(network, name)) for name in names if name != "attention")
        for part, names in PARTS.items()
        if part != "flow"
    }
    sides = 2 if config.sides == "both" else 1
    flops["rmc"] *= sides
    for part in ("encoders", "alm", "dc", "rmc", "merge"):
        flops[part] *= merges
    if config.motion == "concat" or (config.motion != "blocks" and config.warped == "reference"):
        encodes = 2 * pixels * merges * sides * _weights(network.reference_encoder)
        flops["encoders"] += encodes  # of the neighbours
    if config.matching == "alm":
        flops["alm"] += merges * _search_flops(config, height, width)
    moves = config.motion in ("rmc", "unrefined")
    flops["flow"] = (2 + merges * sides * moves) * _flow_flops(network, height, width)
    return flops | {"total": sum(flops.values())}


def estimate_memory(
    config: AsledConfig, height: int, width: int, *, frames: int, keep: int, bytes_per_value: int = 2
) -> int:
    """Return the peak bytes of inference on a chunk of `frames` frames with `keep` kept, weights included.

    bytes_per_value: of weights and features, 2 for half precision, 4 for float32.
    The figures are measured on CPUs. Convolutions on some GPUs need an extra workspace.
    """
    with torch.device("meta"):
        weights = sum(p.numel() for p in AsledNet(config).parameters()) * bytes_per_value
    pixels = height * width
    views = 2 * 3 * 4  # target and reference, float32
    chunk = frames * views + keep * (3 * 4 + config.channels * bytes_per_value)  # results, backward features
    working = config.channels * (WORKING_MAPS * bytes_per_value + SEARCH_MAPS * 4)
    return weights + pixels * (chunk + working)


def _parameters(network: AsledNet, name: str) -> int:
    module: nn.Module | None = getattr(network, name)
    return 0 if module is None else sum(p.numel() for p in module.parameters())


def _weights(module: nn.Module) -> int:
    """Return the number of weights of all convolutions, which is the products per output pixel."""
    return sum(int(m.weight.numel()) for m in module.modules() if isinstance(m, nn.Conv2d))


def _search_flops(config: AsledConfig, height: int, width: int) -> int:
    """Return the operations of the similarities: 2 C for each compared pair."""
    search, pixels = config.search, height * width
    if search.strategy == "global":
        pairs = pixels * pixels
    else:
        cells = -(-height // search.tile) * -(-width // search.tile)
        pairs = cells * search.tile**2 * (search.tile + 2 * search.radius) ** 2
        if search.strategy == "coarse":
            pairs += cells * cells
    return 2 * config.channels * pairs


def _flow_flops(network: AsledNet, height: int, width: int) -> int:
    """Return the operations of one flow between two frames, over all sizes of the pyramid."""
    rows, columns = -(-height // SIZE_MULTIPLE), -(-width // SIZE_MULTIPLE)
    pixels = sum(rows * columns * (1 << 2 * level) for level in range(LEVELS))
    return 2 * pixels * (_weights(network.flow) // LEVELS)
