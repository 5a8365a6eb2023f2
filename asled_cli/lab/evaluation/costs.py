"""Cost of networks on this machine: parameters, floating-point operations, time and memory per frame."""

import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from asled_cli.guide import GUIDE_STRIDE
from asled_cli.lab.scoring.config import EvalConfig
from asled_cli.lab.scoring.methods import Model, load_network
from asled_cli.nets.interface import ChunkInputs
from asled_cli.runtime.device import resolve_device, resolve_precision

CHUNK = 4  # frames per timed call, plus the network's look-ahead
REPEATS = 3  # timed calls after the first one, which warms up
MAX_S = 120.0  # larger sizes are skipped when the size before predicts a longer time


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of one model at one frame size. flops: per frame, 2 per multiply-add; None if unknown."""

    model: str
    width: int
    height: int
    parameters: int
    flops: float | None
    ms: float | None
    """Median of REPEATS calls per kept frame, with look-ahead; None if it would take too long here."""
    peak_mib: float | None
    """GPU: peak of the allocator. CPU: peak of the whole process so far."""


def measure_costs(config: EvalConfig, models: list[Model]) -> list[Cost]:
    """Return the cost of every network among `models` at every size to profile, smallest first."""
    device = resolve_device(config.device)
    precision = resolve_precision(config.precision, device)
    found: list[Cost] = []
    for model in models:
        network = load_network(model, device, precision)
        if network is None:
            continue
        network = network if model.kind == "network" else network.model
        seconds_per_pixel = 0.0
        for width, height in sorted(config.profile_sizes, key=lambda size: size[0] * size[1]):
            too_long = seconds_per_pixel * width * height * (REPEATS + 1) > MAX_S
            cost = _measure(model, network, (width, height), device, too_long=too_long)
            if cost.ms is not None:
                seconds_per_pixel = cost.ms / 1000 * CHUNK / (width * height)
            found.append(cost)
    return found


def _measure(
    model: Model, network: Any, size: tuple[int, int], device: torch.device, *, too_long: bool
) -> Cost:
    parameters = sum(p.numel() for p in network.parameters())
    width, height = size
    if too_long:
        return Cost(model.name, width, height, parameters, None, None, None)
    call, frames = _call(model, network, size, device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with torch.inference_mode():
        with FlopCounterMode(display=False) as counter:
            call()  # warms up too
        times = []
        for _ in range(REPEATS):
            wait_for(device)
            began = time.perf_counter()
            call()
            wait_for(device)
            times.append(time.perf_counter() - began)
    flops = counter.get_total_flops() / frames
    ms = 1000 * statistics.median(times) / frames
    return Cost(model.name, width, height, parameters, flops, ms, _peak_mib(device))


def _call(
    model: Model, network: Any, size: tuple[int, int], device: torch.device
) -> tuple[Callable[[], object], int]:
    """Return a function that restores random frames once, and how many frames it returns."""
    width, height = size
    random = torch.Generator().manual_seed(0)
    if model.kind == "single-image":
        picture = torch.rand(1, 3, height, width, generator=random).to(device)
        return (lambda: network(picture)), 1

    inputs = random_inputs(size, CHUNK + network.info.overlap, device)
    return (lambda: network(inputs, None, CHUNK)), CHUNK


def random_inputs(size: tuple[int, int], frames: int, device: torch.device) -> ChunkInputs:
    """Return random frames of `size` (width, height) that stand still."""
    (width, height), random = size, torch.Generator().manual_seed(0)
    grid = -(-height // GUIDE_STRIDE), -(-width // GUIDE_STRIDE)
    return ChunkInputs(
        target=torch.rand(1, frames, 3, height, width, generator=random).to(device),
        reference=torch.rand(1, frames, 3, height, width, generator=random).to(device),
        guide=torch.rand(1, frames, 6, *grid, generator=random).to(device),
        flow_previous=torch.zeros(1, frames, 2, *grid, device=device),
        flow_next=torch.zeros(1, frames, 2, *grid, device=device),
        reset=torch.zeros(1, frames, dtype=torch.bool, device=device),
    )


def wait_for(device: torch.device) -> None:
    """Wait until a device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _peak_mib(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
