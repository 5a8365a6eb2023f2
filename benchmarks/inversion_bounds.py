"""Bounds of the inversion of one clip alone: with its true motion, and without compression, as JSON.

    python benchmarks/inversion_bounds.py SOURCES --sets single --out benchmarks/results/inversion_bounds.json

SOURCES: the folder of sharp photos and videos of `asled eval --dataset synthetic`. Each clip is inverted
alone and merged by the network for one lens, compressed and not, with the motion that the program finds
and with the true one. True motion of a shaken photo: its exposure, and the camera's path over the far
layer at every instant. Of averaged video: the number of instants, and the optical flow between them.
Gains are in dB of PSNR over the clip's own input, the mean over its frames. Clips of `equal`, `stereo`
and `phone` are taken alone too.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from report import write_report

from asled_cli.deconvolution import single_lens
from asled_cli.deconvolution.blended import blended_lens, unblend
from asled_cli.deconvolution.camera_path import CameraPath, apply_to_points, exposure_instants
from asled_cli.deconvolution.clip_file import sampled_exposure
from asled_cli.deconvolution.exposure import ExposureFit
from asled_cli.deconvolution.free.free_views import FreeViews
from asled_cli.deconvolution.single_lens import SingleLensRestorer
from asled_cli.deconvolution.views import Planes, blur_length, views
from asled_cli.imaging.homography import Image, Matrix
from asled_cli.job.method import network_restorer
from asled_cli.lab.camera.layered_scene import Scene
from asled_cli.lab.datasets.sources import find_sources
from asled_cli.lab.eval_sets.catalogue import EVAL_SETS
from asled_cli.lab.synthesis import average_blur, shake_blur
from asled_cli.lab.synthesis.synthetic_pair import SyntheticPair
from asled_cli.lab.training_data.register import frame_pairs
from asled_cli.registration.rendering.aligned_frame import without_reference
from asled_cli.restoration.base import FULL_SCALE, restore
from asled_cli.restoration.one_clip import OneClipRestorer
from asled_cli.zoo import checkpoint as weights
from asled_cli.zoo import registry as zoo


@dataclass
class Truth:
    """What moved in a synthetic clip: a scene before a camera, or the sharp instants of averaged video."""

    scene: Scene | None = None
    instants: NDArray[np.uint8] | None = None
    first: int = 0
    """Place of the first frame's first instant among the instants."""


@dataclass(frozen=True)
class TruePath(CameraPath):
    """The camera's true path over the far layer, as the inversion asks for it; times count from `zero`."""

    scene: Scene
    zero: int

    def pose(self, time: float) -> Matrix:
        """Return the map from pixels of the frame at `time` to pixels of the target frame."""
        return self.instants(time, 0.0, 1)[0]

    def instants(self, time: float, exposure: float, count: int) -> list[Matrix]:
        """Return the poses at `count` instants of the exposure of the frame at `time`."""
        home = np.linalg.inv(self._seen(self.target, 0.0))
        return [home @ self._seen(time, u) for u in exposure_instants(exposure, count)]

    def _seen(self, time: float, instant: float) -> Matrix:
        """Return the map from pixels of a frame to the far layer at an instant of its exposure.

        With a rolling shutter, the homography that takes the corners to where their rows see them.
        """
        frame, layer = self.zero + time, self.scene.layers[0]
        first, last = self.scene.ends(layer, frame + instant, ultra=False, frame=frame)
        right, bottom = self.size[0] - 1.0, self.size[1] - 1.0
        corners = np.array([[0, 0], [right, 0], [0, bottom], [right, bottom]])
        seen = np.concatenate([apply_to_points(first, corners[:2]), apply_to_points(last, corners[2:])])
        found = cv2.getPerspectiveTransform(corners.astype(np.float32), seen.astype(np.float32))
        return np.asarray(found, np.float64)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the clips of each set, invert them four ways, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("sources", type=Path)
    parser.add_argument("--sets", nargs="+", default=["single"], choices=sorted(EVAL_SETS))
    parser.add_argument("--clips", nargs="*", help="only these clips")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for split in options.sets:
        for name in EVAL_SETS[split].clips:
            if not options.clips or name in options.clips:
                row = found.setdefault(split, {})[name] = measure(options.sources, split, name)
                print(split, name, row, file=sys.stderr, flush=True)  # noqa: T201
    means = {split: mean_of(list(rows.values())) for split, rows in found.items()}
    print(write_report({"means": means, "clips": found}, options.out), end="")  # noqa: T201


def mean_of(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each column."""
    return {key: round(float(np.mean([row[key] for row in rows])), 2) for key in rows[0]}


def measure(sources: Path, split: str, name: str) -> dict[str, float]:
    """Return the gains of a clip in dB, compressed and not, with motion as found and with the true one."""
    row = {}
    for coding, chosen in (("compressed", split), ("uncompressed", f"{split}-uncompressed")):
        with recorded() as truth:
            pair = EVAL_SETS[chosen].make(find_sources(sources, "held-out"), name)
        row[f"{coding}_input_db"] = round(mean_psnr(pair, list(pair.wide)), 2)
        for motion in ("found", "true"):
            row[f"{coding}_{motion}_motion_gain_db"] = round(
                gain(pair, truth if motion == "true" else None), 2
            )
    return row


@contextmanager
def recorded() -> Iterator[Truth]:
    """Keep what moved in the clip that is made within."""
    truth = Truth()
    film, mean = shake_blur.film, average_blur.mean_of_neighbours

    def keep_scene(scene: Scene, *rest: Any) -> Any:
        truth.scene = scene
        return film(scene, *rest)

    def keep_instants(sharp: NDArray[np.uint8], at: range, count: int, **rest: Any) -> Any:
        if truth.instants is None:  # the wide view comes first
            truth.instants, truth.first = sharp, at[0] - count // 2
        return mean(sharp, at, count, **rest)

    with (
        patch.object(shake_blur, "film", keep_scene),
        patch.object(average_blur, "mean_of_neighbours", keep_instants),
    ):
        yield truth


def gain(pair: SyntheticPair, truth: Truth | None) -> float:
    """Return the gain in dB of a clip alone, with its true motion if `truth` is given."""
    frames = [frame.target for frame in frame_pairs(pair)]
    device = torch.device("cpu")
    network = network_restorer(weights.find(zoo.ALONE), device, "fp32", pair.size)
    with ExitStack() as stack:
        if truth is None:
            blur = one_clip_blur(pair)
        else:
            blur = ExposureFit(pair.exposure, 1.0, "camera" if truth.scene is not None else "scene")
            for change in knowing(truth):
                stack.enter_context(change)
        aligned = [without_reference(frame_pair) for frame_pair in frame_pairs(pair)]
        done = list(restore(aligned, OneClipRestorer(blur, network)))
    assert len(done) == len(frames)
    restored = [
        wide
        if one.change is None
        else np.clip(np.rint((one.target.rgb / FULL_SCALE + one.change) * 255), 0, 255).astype(np.uint8)
        for wide, one in zip(pair.wide, done, strict=True)
    ]
    return mean_psnr(pair, restored) - mean_psnr(pair, list(pair.wide))


def one_clip_blur(pair: SyntheticPair) -> ExposureFit:
    """Return the blur that the program finds in a clip."""
    targets = [frame.target for frame in frame_pairs(pair)]
    return sampled_exposure(len(targets), lambda index: targets[index].rgb)


def knowing(truth: Truth) -> list[Any]:
    """Return the patches under which the inversion uses the true motion."""
    if truth.scene is not None:
        return [
            patch.object(SingleLensRestorer, "_path", along(truth.scene)),
            patch.object(single_lens, "views_near_path", views_as_they_are),
        ]
    assert truth.instants is not None
    block, window = blended_lens.BlendedLensRestorer._block, [0]
    flows = flows_between(truth.instants[truth.first :])

    def from_block(restorer: Any, seen: Sequence[Any], numbers: Sequence[int]) -> Any:
        window[0] = seen[0].number
        return block(restorer, seen, numbers)

    def first_flows(soft: Sequence[Image], count: int) -> list[Image]:
        return flows[window[0] : window[0] + len(soft) + count - 2]

    return [
        patch.object(blended_lens.BlendedLensRestorer, "_block", from_block),
        patch.object(unblend, "first_flows", first_flows),
        patch.object(unblend, "next_flows", lambda instants, flows: flows),
    ]


def views_as_they_are(
    frames: dict[int, Planes], target: int, path: CameraPath, exposure: float, **_: Any
) -> FreeViews:
    """Return the views along a path that needs no correction."""
    lengths = [blur_length(path, time, exposure) for time in frames]
    return FreeViews(views(frames, target, path, exposure), lengths, 0.0)


def along(scene: Scene) -> Callable[[SingleLensRestorer, int, range], CameraPath]:
    """Return what gives the true path of a scene in place of the path that the program finds."""

    def path(restorer: SingleLensRestorer, t: int, near: range) -> CameraPath:
        return TruePath(np.zeros((0, 4, 2)), 0, scene.size, 0, scene, t)

    return path


def flows_between(instants: NDArray[np.uint8]) -> list[Image]:
    """Return the optical flow from each sharp instant to the next, (H, W, 2) pixels."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in instants]
    return [
        np.asarray(search.calc(a, b, np.zeros((*a.shape, 2), np.float32)), np.float32)
        for a, b in pairwise(grey)
    ]


def mean_psnr(pair: SyntheticPair, frames: Sequence[NDArray[np.uint8]]) -> float:
    """Return the mean PSNR in dB of 8-bit frames against the truth."""
    errors = [
        np.square(one.astype(np.float64) - true).mean() for one, true in zip(frames, pair.truth, strict=True)
    ]
    return float(np.mean([10 * np.log10(255**2 / max(error, 1e-9)) for error in errors]))


if __name__ == "__main__":
    main()
