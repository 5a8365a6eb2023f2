"""End-point error of SPyNet on held-out synthetic pairs beside OpenCV's DIS flow, as JSON.

    python benchmarks/flow_error.py PHOTOS --out benchmarks/results/flow_error.json

The pairs have the distribution of the training pairs, with held-out photos and other draws. DIS gets 8-bit
luma at its medium and its fastest preset; "still" is zero flow. The errors are means in pixels over all
pixels, occluded ones included. They are also split by the length of the true flow.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from report import write_report
from safetensors.torch import load_file

from asled_cli.imaging.flow import DenseFlow
from asled_cli.imaging.light import to_grey
from asled_cli.lab.bench.run import machine
from asled_cli.lab.synthesis.flow_pairs import FlowPair
from asled_cli.lab.training.flow_pretraining import FlowTrainConfig, SyntheticPairs, dis_flow
from asled_cli.nets.spynet import SpyNet
from asled_cli.zoo import checkpoint as weights
from asled_cli.zoo import registry as zoo

SEED = 2_000_003  # not that of the scores during training
BANDS = ((0, 2), (2, 8), (8, 1000))  # pixels of motion

Finder = Callable[[FlowPair], NDArray[np.float32]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the pairs, estimate their flows, write the errors."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("--weights", type=Path, help="a file of SPyNet, instead of the published one")
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--size", type=int, default=192, help="side of the frames in pixels")
    parser.add_argument("--motion", type=float, default=24.0, help="largest shift drawn, pixels")
    parser.add_argument("--out", type=Path, help="where to write the JSON")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    config = FlowTrainConfig(size_px=options.size, motion_px=options.motion)
    made = SyntheticPairs(options.photos, "held-out", config, SEED)
    pairs = [made.pair(number) for number in range(options.pairs)]
    finders: dict[str, Finder] = {
        "spynet": spynet(options.weights or weights.find_file(zoo.PARTS["spynet"])),
        "dis medium": dis_flow,
        "dis ultrafast": dis_ultrafast,
        "still": lambda pair: np.zeros_like(pair.flow),
    }
    found = {
        "machine": machine(),
        "pairs": {"count": options.pairs, "size_px": options.size, "motion_px": options.motion, "seed": SEED},
        "end_point_error_px": {name: errors(find, pairs) for name, find in finders.items()},
    }
    sys.stdout.write(write_report(found, options.out))


def spynet(path: Path) -> Finder:
    """Return the network with the weights in `path`, in float32."""
    network = SpyNet().eval()
    network.load_state_dict(load_file(path))

    @torch.inference_mode()
    def find(pair: FlowPair) -> NDArray[np.float32]:
        first, second = (torch.from_numpy(frame).permute(2, 0, 1).unsqueeze(0) for frame in pair[:2])
        flow: NDArray[np.float32] = network(first, second)[0].permute(1, 2, 0).numpy()
        return flow

    return find


def dis_ultrafast(pair: FlowPair) -> NDArray[np.float32]:
    """Return the flow of OpenCV's dense inverse search (DIS) at its fastest preset."""
    first, second = (to_grey(np.rint(frame * 255).astype(np.uint8)) for frame in pair[:2])
    return DenseFlow("ultrafast").between(first, second)


def errors(find: Finder, pairs: Sequence[FlowPair]) -> dict[str, float]:
    """Return mean errors over all pixels and over each band, and the median of the pairs."""
    distances = np.stack([np.linalg.norm(find(pair) - pair.flow, axis=-1) for pair in pairs])
    lengths = np.stack([np.linalg.norm(pair.flow, axis=-1) for pair in pairs])
    bands = {
        f"moving {low} to {high} px" if high < BANDS[-1][1] else f"moving {low} px or more": float(
            distances[(lengths >= low) & (lengths < high)].mean()
        )
        for low, high in BANDS
    }
    median = float(np.median(distances.mean(axis=(1, 2))))
    found = {"mean": float(distances.mean()), "median of pairs": median, **bands}
    return {name: round(value, 3) for name, value in found.items()}


if __name__ == "__main__":
    main()
