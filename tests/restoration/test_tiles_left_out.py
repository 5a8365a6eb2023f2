"""Tiles that stay sharp are not computed, and nobody sees a difference."""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from asled_cli.guide import GUIDE_STRIDE, Guide
from asled_cli.nets.interface import ChunkInputs, NetworkInfo
from asled_cli.registration.rendering.aligned_frame import AlignedFrame
from asled_cli.restoration.base import RestoredFrame, restore
from asled_cli.restoration.network import NetworkRestorer, NetworkSetting
from asled_cli.restoration.oom_fallback import recut_states
from asled_cli.restoration.tiles import cut_tiles
from asled_cli.video.frames import Frame, FramePair

HEIGHT, WIDTH, TILE, HALO = 256, 384, 128, 16
GRID = HEIGHT // GUIDE_STRIDE, WIDTH // GUIDE_STRIDE
SETTING = NetworkSetting(
    device=torch.device("cpu"),
    dtype=torch.float32,
    chunk=3,
    overlap=2,
    tile=TILE,
    halo_px=HALO,
    strength=1.0,
)


class MeanOfThree:
    """A stand-in network: the mean of a frame and the two before it. It counts the frames of its calls."""

    info = NetworkInfo(overlap=2, halo_px=HALO, bytes_per_pixel=1)

    def __init__(self, *, needs_reference: bool = True) -> None:
        self.info = replace(MeanOfThree.info, needs_reference=needs_reference)
        self.computed = 0

    def __call__(self, inputs: ChunkInputs, state: Any = None, keep: int | None = None) -> tuple[Tensor, Any]:
        keep = inputs.frames if keep is None else keep
        self.computed += keep
        seen = deque(state or [inputs.target[:, 0]] * 2, maxlen=3)
        restored = []
        for t in range(keep):
            seen.append(inputs.target[:, t])
            restored.append(sum(seen) / len(seen))
        return torch.stack(restored, 1), tuple(seen)[-2:]


def clip(blurs: Sequence[NDArray[np.float16]], *, lone: bool = False) -> list[AlignedFrame]:
    """Return frames of noise with these blurs (h, w); lone: without references, the blur from motion."""
    random = np.random.default_rng(7)
    frames = []
    for index, blur in enumerate(blurs):
        picture, other = (random.integers(0, 65536, (HEIGHT, WIDTH, 3), dtype=np.uint16) for _ in range(2))
        target = Frame(index, index * 20, Fraction(index, 30), picture, None)
        guide = random.uniform(0, 1, (*GRID, len(Guide))).astype(np.float16)
        guide[..., Guide.BLUR] = blur
        still = np.zeros((*GRID, 2), np.float16)
        frames.append(
            AlignedFrame(
                pair=FramePair(target, None if lone else target),
                reference=None if lone else other,
                guide=guide,
                flow_previous=still,
                flow_next=still,
                travel=still,
                is_cut=False,
                blur_around=blur if lone else None,
            )
        )
    return frames


def blur(share: float) -> NDArray[np.float16]:
    """Return the blur of a frame whose right `share` is blurred."""
    found = np.zeros(GRID, np.float16)
    found[:, GRID[1] - round(share * GRID[1]) :] = 0.1
    return found


def restored(
    frames: list[AlignedFrame], setting: NetworkSetting, **options: Any
) -> tuple[list[RestoredFrame], int]:
    """Return the frames and for how many frames of tiles the network was called."""
    network = MeanOfThree(**options)
    done = list(restore(frames, NetworkRestorer(network, setting)))
    return done, network.computed


def changes(frames: list[RestoredFrame]) -> NDArray[np.float32]:
    """Return all changes; none counts as zero."""
    nothing = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    return np.stack([nothing if frame.change is None else frame.change for frame in frames])


@pytest.mark.parametrize("lone", [False, True])
def test_a_part_that_stays_sharp_is_left_out(lone: bool) -> None:
    """As when the whole frame is one tile, which is computed for the blurred third.

    With one clip alone, limits of colour shifts see the sharp parts' changes before they are removed.
    """
    frames = clip([blur(1 / 3)] * 7, lone=lone)
    whole, _ = restored(frames, replace(SETTING, tile=0), needs_reference=not lone)
    tiles, computed = restored(frames, SETTING, needs_reference=not lone)
    assert computed == 7 * 4  # the left two of six tiles are too far from the blur
    np.testing.assert_allclose(changes(tiles), changes(whole), atol=1e-4 if lone else 1e-6)
    assert np.abs(changes(tiles)[:, :, -TILE:]).max() > 0.1
    assert not changes(tiles)[:, :, :TILE].any()


@pytest.mark.parametrize("tile", [0, TILE])
@pytest.mark.parametrize("first", range(4, 10))
def test_a_sharp_stretch_is_left_out(first: int, tile: int) -> None:
    """With a network that remembers no longer than it looks ahead, the result is that of the whole clip."""
    frames = clip([blur(0)] * first + [blur(1)] * 4 + [blur(0)] * 6)
    setting = replace(SETTING, tile=tile)
    whole, all_of_it = restored(frames, replace(setting, chunk=len(frames)))
    chunks, computed = restored(frames, setting)
    assert np.array_equal(changes(chunks), changes(whole))
    assert 4 * all_of_it // len(frames) <= computed < all_of_it
    assert changes(chunks)[first : first + 4].any(axis=(1, 2, 3)).all()


def test_a_sharp_clip_needs_no_network() -> None:
    found, computed = restored(clip([blur(0)] * 5), SETTING)
    assert computed == 0
    assert not changes(found).any()


def test_without_a_reference_and_any_knowledge_of_blur() -> None:
    """A network of one clip computes everything then; one of two clips leaves such frames as they are."""
    frames = [replace(frame, blur_around=None) for frame in clip([blur(1)] * 5, lone=True)]
    alone, computed = restored(frames, SETTING, needs_reference=False)
    assert computed == 5 * 6
    assert changes(alone).any(axis=(1, 2, 3)).all()
    pair, computed = restored(frames, SETTING)
    assert computed == 0
    assert not changes(pair).any()


@pytest.mark.parametrize("end", [3, 6, 9])
def test_work_goes_on_after_a_segment_that_was_partly_left_out(end: int) -> None:
    """The states of a segment's end hold no tile that was left out, and are enough to continue."""
    blurs = [blur(0)] * 4 + [blur(1 / 3)] * 4 + [blur(0)] * 5 + [blur(1)] * 2
    frames = clip(blurs)
    expected, _ = restored(frames, SETTING)
    first = NetworkRestorer(MeanOfThree(), SETTING, segment=3)
    begun = list(restore(frames, first))
    memory = begun[end - 1].memory
    assert memory is not None and len(memory.states) < 6
    rest = list(restore(frames[end:], NetworkRestorer(MeanOfThree(), SETTING, 3, dict(memory.states))))
    assert np.array_equal(changes(rest), changes(expected)[end:])


def test_a_tile_that_lacks_a_part_of_its_state_gets_none() -> None:
    size = HEIGHT, WIDTH
    tiles = cut_tiles(*size, TILE, HALO)
    states = {
        tile: (torch.rand(1, 3, *(part.stop - part.start for part in tile.full)),) for tile in tiles[1:]
    }
    smaller = cut_tiles(*size, TILE // 2, HALO)
    found = recut_states(states, smaller, size)
    rows, columns = tiles[0].inner
    for tile in smaller:
        touches = tile.full[0].start < rows.stop and tile.full[1].start < columns.stop
        assert (tile in found) is not touches
