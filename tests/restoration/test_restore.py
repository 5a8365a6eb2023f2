"""Restorers: the result does not depend on how the clip is cut."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from asled_cli.errors import MemoryLimitError
from asled_cli.guide import Guide
from asled_cli.nets.asled.config import AsledConfig, SearchConfig
from asled_cli.nets.asled.network import AsledNet
from asled_cli.nets.asled_fast.network import AsledFast, AsledFastConfig
from asled_cli.nets.interface import ChunkInputs, NetworkInfo
from asled_cli.registration.rendering.aligned_frame import AlignedFrame
from asled_cli.restoration.base import FULL_SCALE, RestoredFrame, restore
from asled_cli.restoration.network import NetworkRestorer, NetworkSetting
from asled_cli.restoration.oom_fallback import recut_states, smaller_pieces
from asled_cli.restoration.pictures.changes import OPENCV_CHANGES, swap_change
from asled_cli.restoration.sharp_regions import keep_sharp_regions
from asled_cli.restoration.swap import SwapRestorer
from asled_cli.restoration.tiles import cut_tiles
from asled_cli.runtime.device import torch_threads
from asled_cli.video.frames import Frame, FramePair

HEIGHT, WIDTH = 36, 50
GRID = (9, 13)
SETTING = NetworkSetting(
    device=torch.device("cpu"), dtype=torch.float32, chunk=4, overlap=2, tile=0, halo_px=0, strength=1.0
)


def aligned_frames(
    count: int, *, seed: int = 0, without: Sequence[int] = (), cuts: Sequence[int] = ()
) -> list[AlignedFrame]:
    """Frames of noise with plausible guides; `without`: no reference; `cuts`: a scene begins."""
    random = np.random.default_rng(seed)
    frames = []
    for index in range(count):
        picture = random.integers(0, 65536, (HEIGHT, WIDTH, 3), dtype=np.uint16)
        target = Frame(index, index * 20, Fraction(index, 30), picture, None)
        has = index not in without
        guide = random.uniform(-0.1, 0.1, (*GRID, 6)).astype(np.float16)
        guide[..., Guide.BLUR] = 0.1  # blurred, so that colours may move
        guide[..., 4:] = (random.uniform(0, 1, (*GRID, 2)) * has).astype(np.float16)
        frames.append(
            AlignedFrame(
                pair=FramePair(target, target if has else None),
                reference=random.integers(0, 65536, picture.shape, dtype=np.uint16) if has else None,
                guide=guide,
                flow_previous=random.normal(0, 1, (*GRID, 2)).astype(np.float16),
                flow_next=random.normal(0, 1, (*GRID, 2)).astype(np.float16),
                travel=np.zeros((*GRID, 2), np.float16),
                is_cut=index in cuts,
                blur_around=None if has else np.full(GRID, 0.1, np.float16),
            )
        )
    return frames


class RunningMean:
    """A stand-in network whose result depends on every earlier frame: exact for any chunk length."""

    info = NetworkInfo(overlap=0, halo_px=0, bytes_per_pixel=1)

    def __call__(self, inputs: ChunkInputs, state: Any = None, keep: int | None = None) -> tuple[Tensor, Any]:
        restored = []
        for t in range(inputs.frames if keep is None else keep):
            state = inputs.target[:, t] if state is None else 0.5 * (state + inputs.target[:, t])
            restored.append(state)
        return torch.stack(restored, 1), state


class WithoutReference(RunningMean):
    """The same, declared as a network of one clip alone."""

    info = replace(RunningMean.info, needs_reference=False)


def test_a_network_of_one_clip_alone_never_sees_the_reference() -> None:
    frames = aligned_frames(5)
    bare = [replace(frame, reference=None, blur_around=None) for frame in frames]
    seen, alone = (changes_of(clip, WithoutReference(), SETTING) for clip in (frames, bare))
    assert difference(seen, alone) == 0 and float(np.abs(alone[3].change).max()) > 0  # type: ignore[arg-type]
    assert all(frame.has_reference for frame in alone)  # none is missing


@pytest.fixture(scope="module")
def network() -> AsledFast:
    """A small network with weights that are not zero anywhere."""
    torch.manual_seed(1)
    made = AsledFast(
        AsledFastConfig(
            fine_channels=8, coarse_channels=8, decoder_blocks=1, forward_blocks=1, fusion_radius=0
        )
    ).eval()
    for weight in made.parameters():
        weight.data.normal_(0, 0.08)
    return made


def changes_of(frames: list[AlignedFrame], network: Any, setting: NetworkSetting) -> list[RestoredFrame]:
    done = list(restore(frames, NetworkRestorer(network, setting)))
    assert [one.target.index for one in done] == [frame.pair.target.index for frame in frames]
    return done


def difference(one: list[RestoredFrame], other: list[RestoredFrame]) -> float:
    return max(float(np.abs(a.change - b.change).max()) for a, b in zip(one, other, strict=True))  # type: ignore[operator]


@pytest.mark.parametrize("chunk", [1, 3, 4, 7, 11])
@pytest.mark.parametrize("overlap", [0, 2])
def test_state_is_carried_from_chunk_to_chunk(chunk: int, overlap: int) -> None:
    frames = aligned_frames(11)
    whole = changes_of(frames, RunningMean(), replace(SETTING, chunk=11, overlap=0))
    cut = changes_of(frames, RunningMean(), replace(SETTING, chunk=chunk, overlap=overlap))
    assert difference(whole, cut) < 1e-6


def test_a_longer_look_ahead_comes_closer_to_the_whole_clip(network: AsledFast) -> None:
    frames = aligned_frames(10, without=[3], cuts=[6])
    whole = changes_of(frames, network, replace(SETTING, chunk=10, overlap=0))
    errors = [
        difference(whole, changes_of(frames, network, replace(SETTING, chunk=3, overlap=n)))
        for n in (0, 2, 7)
    ]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-5


@pytest.mark.parametrize(
    ("blur", "network", "swap"), [(0.0, 0.0, 0.0), (2 / 255, 0.5, 0.25), (0.1, 1.0, 0.0)]
)
def test_from_blurred_to_sharp_the_network_gives_way(blur: float, network: float, swap: float) -> None:
    """First to the plain swap, then to nothing at all."""
    (frame,) = aligned_frames(1)
    frame.guide[..., Guide.BLUR] = blur
    change = np.random.default_rng(1).normal(0, 0.1, (HEIGHT, WIDTH, 3)).astype(np.float32)
    wanted = network * change + swap * swap_change(frame, 0.8)
    np.testing.assert_allclose(keep_sharp_regions(frame, change, 0.8), wanted, atol=1e-3 * abs(change).max())


class Drift(torch.nn.Module):
    """One flow for everything: SPyNet would take nine tenths of the time of a tiny network."""

    def forward(self, first: Tensor, _: Tensor) -> Tensor:
        return torch.tensor([1.0, -0.5]).view(1, 2, 1, 1).expand(len(first), 2, *first.shape[-2:])


@pytest.fixture(scope="module")
def paper() -> AsledNet:
    """The paper's network, small, with a decoder that changes a lot."""
    torch.manual_seed(2)
    made = AsledNet(AsledConfig(channels=8, trunk_blocks=1, decoder_blocks=1, search=SearchConfig(radius=2)))
    made.decoder[-1].weight.data.mul_(10)  # type: ignore[operator]
    made.flow = Drift()  # type: ignore[assignment]
    return made.eval()


@pytest.mark.parametrize("chunk", [1, 3, 4])
def test_the_paper_s_network_in_chunks_equals_the_whole_clip(paper: AsledNet, chunk: int) -> None:
    """Exactly, where the look-ahead reaches the end; a missing reference and a cut change nothing in that."""
    frames = aligned_frames(6, without=[2], cuts=[4])
    whole = changes_of(frames, paper, replace(SETTING, chunk=6, overlap=0))
    assert max(float(np.abs(one.change).max()) for one in whole if one.change is not None) > 0.05
    parts = changes_of(frames, paper, replace(SETTING, chunk=chunk, overlap=6))
    assert difference(whole, parts) < 1e-5


def test_tiles_equal_the_whole_frame(network: AsledFast) -> None:
    frames = aligned_frames(3)
    whole = changes_of(frames, network, SETTING)
    tiled = changes_of(frames, network, replace(SETTING, tile=32, halo_px=64))
    assert difference(whole, tiled) < 1e-5


def test_a_change_is_the_restored_picture_minus_the_target() -> None:
    first, second = aligned_frames(2)
    done = changes_of([first, second], RunningMean(), SETTING)
    expected = 0.5 * (first.pair.target.rgb.astype(np.float32) - second.pair.target.rgb) / FULL_SCALE
    assert done[1].change is not None and done[1].change.dtype == np.float32
    assert done[0].change is not None
    np.testing.assert_allclose(done[0].change, 0, atol=1e-6)
    np.testing.assert_allclose(done[1].change, expected, atol=1e-6)


def test_strength_scales_the_change_and_zero_means_none() -> None:
    frames = aligned_frames(4)
    full = changes_of(frames, RunningMean(), SETTING)
    half = changes_of(frames, RunningMean(), replace(SETTING, strength=0.5))
    for one, other in zip(full, half, strict=True):
        assert one.change is not None and other.change is not None
        np.testing.assert_allclose(one.change * 0.5, other.change, atol=1e-6)
    none = changes_of(frames, RunningMean(), replace(SETTING, strength=0.0))
    assert all(one.change is None for one in none)


def test_swap_puts_the_reference_where_it_is_trusted() -> None:
    frames = aligned_frames(3, without=[1])
    frames = [
        replace(frame, guide=np.full_like(frame.guide, frame.reference is not None)) for frame in frames
    ]
    done = list(restore(frames, SwapRestorer(strength=1.0)))
    assert done[1].change is None
    for one, reference in ((done[0], frames[0].reference), (done[2], frames[2].reference)):
        target = one.target.rgb
        assert reference is not None and one.change is not None
        np.testing.assert_allclose(target / FULL_SCALE + one.change, reference / FULL_SCALE, atol=1e-5)


def test_swap_of_strength_zero_changes_nothing() -> None:
    assert all(one.change is None for one in restore(aligned_frames(3), SwapRestorer(strength=0.0)))


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_where_nothing_is_blurred_a_network_changes_nothing(strength: float) -> None:
    frames = aligned_frames(6, without=[4])
    for frame in frames:
        frame.guide[..., Guide.BLUR] = 0
    done = changes_of(frames, RunningMean(), replace(SETTING, strength=strength))
    for index in (0, 1, 2, 3, 5):
        change = done[index].change
        assert change is not None and not change.any()
    beside_blur = done[4].change
    assert beside_blur is not None and np.abs(beside_blur).max() > 0.1 * strength


@pytest.mark.parametrize("height", [4, 32, 75])
def test_a_change_fades_through_swap_row_by_row_as_in_one_piece(height: int) -> None:
    draw = np.random.default_rng(height)
    target, reference = (draw.integers(0, 65536, (height, 44, 3)).astype(np.uint16) for _ in range(2))
    change = draw.normal(0, 0.1, target.shape).astype(np.float32)
    confidence, sharp = np.float16(0.75), np.full((1, 1), 0.25, np.float32)
    frame = aligned_frames(1)[0]
    pair = replace(frame.pair, target=replace(frame.pair.target, rgb=target))
    guide = np.full((-(-height // 4), 11, len(Guide)), confidence, np.float16)
    frame = replace(frame, pair=pair, reference=reference, guide=guide)
    swapped = 0.8 * 0.75 * (reference.astype(np.float64) - target) / FULL_SCALE
    found = OPENCV_CHANGES.through_swap(change, sharp, frame, 0.8)
    np.testing.assert_allclose(OPENCV_CHANGES.swap(frame, 0.8), swapped, atol=1e-6)
    np.testing.assert_allclose(found, 0.75 * change + 0.25 * 0.75 * swapped, atol=1e-6)
    np.testing.assert_allclose(OPENCV_CHANGES.faded(change, sharp), 0.75 * change, atol=1e-6)


def test_without_a_reference_a_frame_is_deblurred_as_far_as_its_neighbours_saw_blur() -> None:
    blurs = (0.1, 2 / 255, 0.0)  # the guard is off, half on, and on
    largest = []
    for blur in blurs:
        frames = aligned_frames(3, without=[1])
        frames[1] = replace(frames[1], blur_around=np.full(GRID, blur, np.float16))
        change = changes_of(frames, RunningMean(), SETTING)[1].change
        assert change is not None
        largest.append(float(np.abs(change).max()))
    np.testing.assert_allclose(largest, [largest[0], largest[0] / 2, 0], rtol=2e-3)
    frames[1] = replace(frames[1], blur_around=None)
    assert changes_of(frames, RunningMean(), SETTING)[1].change is None


class Hungry:
    """A network that finds no memory for more than `limit` pixels times frames, as a GPU would."""

    def __init__(self, network: Any, limit: int) -> None:
        self.network, self.limit, self.failed = network, limit, 0
        self.info = network.info

    def __call__(self, inputs: ChunkInputs, state: Any = None, keep: int | None = None) -> Any:
        if inputs.target[0, :, 0].numel() > self.limit:
            self.failed += 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.network(inputs, state, keep)


WHOLE = HEIGHT * WIDTH


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_tiles_side_by_side_change_no_bit(network: AsledFast, threads: int) -> None:
    frames = aligned_frames(9)
    setting = replace(SETTING, tile=28, halo_px=16)
    expected = changes_of(frames, network, setting)
    with torch_threads(threads):
        found = changes_of(frames, network, replace(setting, tiles_at_once=2))
    assert difference(found, expected) == 0.0


def test_out_of_memory_halves_the_chunk_and_changes_nothing_else(network: AsledFast) -> None:
    frames = aligned_frames(19)
    setting = replace(SETTING, chunk=16, overlap=2)
    hungry = Hungry(network, 6 * WHOLE)
    found = changes_of(frames, hungry, setting)
    assert hungry.failed == 2  # 16 + 2 frames, 8 + 2 frames, then 4 + 2
    assert difference(found, changes_of(frames, network, replace(setting, chunk=4))) == 0.0


def test_out_of_memory_in_mid_run_continues_with_tiles(network: AsledFast) -> None:
    """The memory of whole frames is cut for the tiles: the result stays near that of whole frames."""
    frames = aligned_frames(12)
    setting = replace(SETTING, halo_px=16)
    hungry = Hungry(network, 10**9)
    restorer = NetworkRestorer(hungry, setting)
    found: list[RestoredFrame] = []
    for number, frame in enumerate(frames):
        if number == 7:
            hungry.limit = 6 * WHOLE - 1
        found += restorer.push(frame)
    found += restorer.flush()
    assert len(found) == len(frames)
    assert restorer.setting.chunk < 4 or restorer.setting.tile
    assert difference(found, changes_of(frames, network, setting)) < 0.05


def test_what_is_mixed_in_continues_with_tiles() -> None:
    """Results before and ahead of the frame, and the links between them, are cut as the states are."""
    torch.manual_seed(3)
    config = AsledFastConfig(
        fine_channels=8, coarse_channels=8, decoder_blocks=1, forward_blocks=1, fusion_radius=2
    )
    network = AsledFast(config).eval()
    for head in (network.decoder.head, network.fusion.head):
        torch.nn.init.normal_(head.weight, std=0.1)
    frames = aligned_frames(7, without=[1], cuts=[5])
    setting = replace(SETTING, chunk=2, overlap=7)
    whole = NetworkRestorer(network, setting)
    expected = [one for frame in frames for one in whole.push(frame)] + whole.flush()
    first = NetworkRestorer(network, replace(setting, overlap=5))
    begun = [one for frame in frames for one in first.push(frame)]
    assert len(begun) == 2
    tiles = cut_tiles(HEIGHT, WIDTH, 28, 64)
    states = recut_states(first.states, tiles, (HEIGHT, WIDTH))
    rest = NetworkRestorer(network, replace(setting, tile=28, halo_px=64), states=states)
    found = [one for frame in frames[2:] for one in rest.push(frame)] + rest.flush()
    assert difference(found, expected[2:]) < 1e-4


def test_the_paper_s_network_continues_with_tiles(paper: AsledNet) -> None:
    """Its memory is as large as the picture, 50 pixels wide: no multiple of the guide's grid."""
    frames = aligned_frames(6)
    whole = NetworkRestorer(paper, replace(SETTING, chunk=2, overlap=4))
    expected = [one for frame in frames for one in whole.push(frame)][:2] + whole.flush()
    tiles = cut_tiles(HEIGHT, WIDTH, 28, 64)
    first = NetworkRestorer(paper, replace(SETTING, chunk=2, overlap=4))
    for frame in frames:
        first.push(frame)
    states = recut_states(first.states, tiles, (HEIGHT, WIDTH))
    assert len(states) == 4
    assert all(part.shape[-2:] == (HEIGHT, WIDTH) for state in states.values() for part in state)
    rest = NetworkRestorer(paper, replace(SETTING, tile=28, halo_px=64), states=states)
    found = [one for frame in frames[2:] for one in rest.push(frame)] + rest.flush()
    assert difference(found, expected[2:]) < 1e-5


@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (35, 49)])
def test_memory_of_whole_frames_is_recut_exactly(size: tuple[int, int]) -> None:
    """At 1/4 and 1/2 size, which cover the padded picture; and at full size, which ends where it does."""
    for tile in (0, 20, 28):
        for wanted in (0, 16, 24):
            tiles = cut_tiles(*size, tile, 8)
            state = (torch.rand(1, 1, 9, 13), torch.rand(1, 2, 18, 26), torch.rand(1, 3, *size))
            one = cut_tiles(*size, 0, 8)[0]
            cut = recut_states({one: state}, tiles, size)
            for part, parts in cut.items():
                rows, columns = part.rows, part.columns
                assert parts[2].shape[-2:] == (rows.stop - rows.start, columns.stop - columns.start)
            again = recut_states(cut, cut_tiles(*size, wanted, 8), size)
            back = recut_states(again, [one], size)[one]
            assert all(map(torch.equal, back, state))


def test_when_even_the_smallest_pieces_do_not_fit_it_is_refused(network: AsledFast) -> None:
    with pytest.raises(MemoryLimitError, match="not enough memory"):
        changes_of(aligned_frames(5), Hungry(network, 0), SETTING)


def test_pieces_get_smaller_until_there_are_none() -> None:
    pieces, seen = (12, 0), []
    while (smaller := smaller_pieces(*pieces, (1080, 1920))) is not None:
        pieces = smaller
        seen.append(pieces)
    assert seen == [(6, 0), (3, 0), (3, 960), (3, 480), (3, 240), (1, 240)]
