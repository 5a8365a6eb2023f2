"""Changes limited by torch on torch's CPU device, against OpenCV: by blur, by tiles, by chunks."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from factories.networks import random_weights
from numpy.typing import NDArray

from asled_cli.guide import Guide
from asled_cli.imaging.on_device.codes import upload
from asled_cli.registration.rendering.aligned_frame import AlignedFrame
from asled_cli.restoration.base import restore
from asled_cli.restoration.network import NetworkRestorer, NetworkSetting
from asled_cli.restoration.pictures.changes import OPENCV_CHANGES, ChangePictures
from asled_cli.restoration.pictures.device_changes import DeviceChanges
from asled_cli.restoration.sharp_regions import BLOCK, keep_sharp_regions, keep_unmoved, limit_colour
from asled_cli.video.frames import Frame, FramePair
from asled_cli.zoo import checkpoint as weights

CPU = torch.device("cpu")
HEIGHT, WIDTH = 2 * BLOCK + 10, 3 * BLOCK
GRID = (-(-HEIGHT // 4), WIDTH // 4)
SETTING = NetworkSetting(CPU, torch.float32, chunk=2, overlap=6, tile=0, halo_px=32, strength=0.8)


def aligned(index: int = 0, blur: float = 4 / 255) -> AlignedFrame:
    """A frame of noise, sharp on its left and blurred on its right by up to `blur`, with a warm reference."""
    random = np.random.default_rng(index)
    picture = random.integers(9000, 50000, (HEIGHT, WIDTH, 3)).astype(np.uint16)
    target = Frame(index, index, Fraction(index, 30), picture, None)
    guide = random.uniform(-0.1, 0.1, (*GRID, 6)).astype(np.float16)
    guide[..., Guide.BLUR] = np.linspace(0, blur, GRID[1])
    guide[..., Guide.CONFIDENCE] = random.uniform(0, 1, GRID)
    guide[..., Guide.VALID] = 1
    still = np.zeros((*GRID, 2), np.float16)
    warm = np.asarray(picture + np.array([6000, 2000, 0]), np.uint16)
    return AlignedFrame(FramePair(target, None), warm, guide, still, still, still, False)


def on_device(frame: AlignedFrame) -> AlignedFrame[Any]:
    return replace(frame, reference=None if frame.reference is None else upload(frame.reference, CPU))


@pytest.mark.parametrize("kind", ["network", "no reference", "swap", "one clip alone"])
def test_changes_are_limited_as_by_opencv(kind: str) -> None:
    frame = aligned()
    blur = frame.guide[..., Guide.BLUR]
    change = np.random.default_rng(5).normal(0.02, 0.05, (HEIGHT, WIDTH, 3)).astype(np.float32)
    if kind == "no reference":
        frame = replace(frame, reference=None, blur_around=blur)

    def limited(frame: AlignedFrame[Any], change: Any, pictures: ChangePictures[Any]) -> NDArray[np.float32]:
        if kind == "one clip alone":
            return pictures.array(keep_unmoved(blur, change, pictures))
        if kind == "swap":
            change = pictures.swap(frame, 0.8)
        else:
            change = keep_sharp_regions(frame, change, 0.8, pictures)
        return pictures.array(limit_colour(frame, change, pictures))

    wanted = limited(frame, change, OPENCV_CHANGES)
    found = limited(on_device(frame), torch.from_numpy(change), DeviceChanges(CPU))
    np.testing.assert_allclose(found, wanted, atol=2e-6)
    assert np.abs(wanted - change)[:, :BLOCK].mean() > 0.01  # limited where sharp
    assert np.abs(wanted)[:, -BLOCK:].mean() > 0.01  # not where blurred


@pytest.mark.parametrize("changes", [{}, {"chunk": 5, "overlap": 0}, {"tile": 96}])
def test_a_network_gives_the_same_in_any_chunks_and_in_tiles_of_the_device(
    changes: dict[str, int], tmp_path: Any
) -> None:
    network = weights.load(random_weights(tmp_path))
    frames = [aligned(i, blur=0.1) for i in range(5)]
    whole = replace(SETTING, chunk=5, overlap=0, tile=changes.get("tile", 0))
    wanted = list(restore(frames, NetworkRestorer(network, whole)))
    setting = replace(SETTING, limits_on_device=True, **changes)  # type: ignore[arg-type]
    found = list(restore(map(on_device, frames), NetworkRestorer(network, setting)))
    for one, other in zip(wanted, found, strict=True):
        assert one.change is not None and other.change is not None
        assert float(np.abs(one.change).mean()) > 1e-3
        np.testing.assert_allclose(other.change, one.change, atol=1e-5)
