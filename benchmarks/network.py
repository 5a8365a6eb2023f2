"""Efficiency of a network on this machine relative to a plain convolution: time, memory and parts as JSON.

    python benchmarks/network.py --network asled --size 256x256 --out benchmarks/results/asled_256_cpu.json
    python benchmarks/network.py --network asled --size 1920x1080 --device cuda --frames 10

The network has random weights and gets one clip of noise without chunks, because neither changes time or
memory. The rate is that of a 3x3 convolution of 64 channels at the frame's size, in the same precision and
memory format, measured directly before. The operations of the network divided by this rate are the minimum
time of direct convolution. On a CPU with other load, CPU seconds (of all threads) are more reliable than wall
time.
"""

import argparse
import json
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from report import write_report
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from asled_cli.guide import GUIDE_STRIDE
from asled_cli.lab.bench.run import machine, spread
from asled_cli.nets.interface import ChunkInputs
from asled_cli.runtime.device import DTYPES, resolve_device, resolve_precision
from asled_cli.zoo import registry as zoo

RATE_CHANNELS = 64  # width of the published networks


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure rate, network and parts, in this order; write the JSON."""
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    device = resolve_device(options.device)
    precision = resolve_precision(options.precision, device)
    width, height = map(int, options.size.split("x"))
    torch.manual_seed(0)
    network = zoo.build(options.network, json.loads(options.config)).eval()
    network = network.to(device=device, dtype=DTYPES[precision], memory_format=torch.channels_last)
    inputs = noise(options.frames, height, width, device)
    with torch.inference_mode():
        rate = measure_rate(height, width, device, DTYPES[precision], options.repeats)
        with FlopCounterMode(display=False) as counter:
            network(inputs.slice(0, 1))
        flops = counter.get_total_flops()
        runs = [timed(lambda: network(inputs), device) for _ in range(options.repeats)]
        peak = peak_mib(device)
        parts = time_parts(network, inputs, device)
    wall, busy = ([run[kind] / options.frames for run in runs] for kind in (0, 1))
    found = {
        "machine": machine() | device_name(device),
        "job": {name: getattr(options, name) for name in ("network", "config", "size", "frames", "threads")}
        | {"device": str(device), "precision": precision},
        "gflop_per_frame": round(flops / 1e9, 1),
        "convolution": {"gflop_per_s": round(rate[0] / 1e9, 1), "gflop_per_cpu_s": round(rate[1] / 1e9, 1)},
        "s_per_frame": spread(wall) | {"by_convolution_rate": round(flops / rate[0], 3)},
        "cpu_s_per_frame": spread(busy) | {"by_convolution_rate": round(flops / rate[1], 3)},
        "share_of_convolution_rate": {
            "by_clock": round(flops / rate[0] / min(wall), 3),
            "by_cpu_seconds": round(flops / rate[1] / min(busy), 3),
        },
        "share_of_time": parts,
        "peak_mib": round(peak),
    }
    sys.stdout.write(write_report(found, options.out))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of this script."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", default="asled")
    parser.add_argument("--config", default="{}", metavar="JSON", help="what differs from its defaults")
    parser.add_argument("--size", default="256x256", metavar="WxH")
    parser.add_argument("--frames", type=int, default=3, help="of the clip")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16", "fp16"])
    parser.add_argument("--out", type=Path, help="where to write the JSON")
    return parser.parse_args(arguments)


def noise(frames: int, height: int, width: int, device: torch.device) -> ChunkInputs:
    """Return a clip of random images without motion, cut or guide."""
    grid = -(-height // GUIDE_STRIDE), -(-width // GUIDE_STRIDE)
    pictures = torch.rand(2, 1, frames, height, width, 3, device=device).movedim(-1, -3)
    return ChunkInputs(
        target=pictures[0],
        reference=pictures[1],
        guide=torch.zeros(1, frames, 6, *grid, device=device),
        flow_previous=torch.zeros(1, frames, 2, *grid, device=device),
        flow_next=torch.zeros(1, frames, 2, *grid, device=device),
        reset=torch.zeros(1, frames, dtype=torch.bool, device=device),
    )


def measure_rate(
    height: int, width: int, device: torch.device, dtype: torch.dtype, repeats: int
) -> tuple[float, float]:
    """Return operations of a 3x3 convolution per second and per CPU second, each the best of runs of ten."""
    layer: Any = nn.Conv2d(RATE_CHANNELS, RATE_CHANNELS, 3, padding=1)
    layer = layer.to(device=device, dtype=dtype, memory_format=torch.channels_last)
    features = torch.rand(1, RATE_CHANNELS, height, width, device=device).to(
        dtype, memory_format=torch.channels_last
    )
    layer(features)
    runs = [timed(lambda: [layer(features) for _ in range(10)], device) for _ in range(repeats + 2)]
    operations = 2.0 * layer.weight.numel() * height * width * 10
    return operations / min(run[0] for run in runs), operations / min(run[1] for run in runs)


def timed(work: Callable[[], object], device: torch.device) -> tuple[float, float]:
    """Return wall and CPU seconds of a call, with the device synchronised."""
    wait(device)
    began = time.perf_counter(), time.process_time()
    work()
    wait(device)
    return time.perf_counter() - began[0], time.process_time() - began[1]


def time_parts(network: nn.Module, inputs: ChunkInputs, device: torch.device) -> dict[str, float]:
    """Return the share of each part in the time of a run, with the device synchronised after every part.

    Parts called by other parts (the flow network by the motion compensation) count for their callers too.
    """
    spent: dict[str, float] = defaultdict(float)

    def watched(name: str, forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def run(*given: Any) -> Tensor:
            wait(device)
            began = time.perf_counter()
            result = forward(*given)
            wait(device)
            spent[name] += time.perf_counter() - began
            return result

        return run

    for name, part in network.named_children():
        part.forward = watched(name, part.forward)
    whole, _ = timed(lambda: network(inputs), device)
    return {name: round(seconds / whole, 4) for name, seconds in spent.items()}


def device_name(device: torch.device) -> dict[str, str]:
    """Return the name of the GPU, if there is one."""
    return {"gpu": torch.cuda.get_device_name(device)} if device.type == "cuda" else {}


def wait(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_mib(device: torch.device) -> float:
    """Return the peak memory of the allocator on a GPU, of the whole process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    main()
