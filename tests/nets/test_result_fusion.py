"""Result fusion: exact alignment, no fusion across a cut, values between those of the inputs."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from factories.networks import MIXING, TINY, random_inputs, random_network
from safetensors.torch import save_file
from torch import Tensor, nn

from asled_cli.errors import UsageError
from asled_cli.lab.training.loop import update
from asled_cli.lab.training.recipe import TrainConfig
from asled_cli.lab.training.state import start_run
from asled_cli.nets.asled_fast.network import AsledFast
from asled_cli.nets.asled_fast.result_fusion import Neighbour, ResultFusion, ResultWindow
from asled_cli.nets.blend import swap
from asled_cli.nets.interface import ChunkInputs, run_chunks
from asled_cli.zoo import checkpoint as weights

REACH = MIXING.fusion_radius


def mixing_network() -> AsledFast:
    """A network with random weights in every layer."""
    return random_network(MIXING, head=0.1)


def moving_inputs(frames: int, step: int, seed: int = 0) -> tuple[ChunkInputs, list[Tensor]]:
    """A picture that moves to the right by `step` guide pixels per frame, and its views without any error."""
    draw = torch.Generator().manual_seed(seed)
    shift, (height, width) = 4 * step, (24, 48)
    scene = torch.rand(1, 3, height, width + shift * frames, generator=draw)
    views = [scene[..., shift * (frames - 1 - t) :][..., :width] for t in range(frames)]
    inputs = random_inputs(frames, height, width)
    flow = torch.zeros_like(inputs.flow_next)
    flow[:, :, 0] = step
    return dataclasses.replace(inputs, flow_next=flow, flow_previous=-flow), views


def differences(window: ResultWindow, t: int) -> list[Tensor]:
    return [neighbour.difference for neighbour in window.neighbours(t)]


def mix(fusion: ResultFusion, own: Tensor, others: list[Tensor]) -> Tensor:
    """Fused without guide, with both views equal to the result."""
    guide = torch.zeros(len(own), 2, own.shape[-2] // 4, own.shape[-1] // 4)
    mixed: Tensor = fusion(own, own, own, guide, [Neighbour(other - own, guide) for other in others])
    return mixed


def window_of(inputs: ChunkInputs, results: list[Tensor]) -> ResultWindow:
    window = ResultWindow(REACH, inputs, None)
    window.results += results
    return window


@pytest.mark.parametrize("step", [1, -2])
def test_neighbours_are_laid_onto_the_frame(step: int) -> None:
    """Of a picture that moves by whole pixels nothing is left, but what has come in at the border."""
    inputs, views = moving_inputs(6, abs(step))
    if step < 0:
        views = views[::-1]
        inputs = dataclasses.replace(inputs, flow_next=inputs.flow_previous, flow_previous=inputs.flow_next)
    window, border = window_of(inputs, views), 4 * abs(step) * REACH
    inside = np.s_[..., border + 2 : -border - 2]
    for t in range(REACH, 6 - REACH):
        found = differences(window, t)
        assert len(found) == 2 * REACH
        for difference in found:
            assert difference[inside].abs().max() < 1e-5
    still = differences(window_of(dataclasses.replace(inputs, flow_next=0 * inputs.flow_next), views), 2)
    assert still[1][inside].abs().mean() > 0.1  # the flow matters: without it the next frame differs


def test_order_of_the_neighbours() -> None:
    inputs = random_inputs(5)
    inputs.flow_next.zero_(), inputs.flow_previous.zero_()
    results = [torch.full((1, 3, 24, 32), float(10**t)) for t in range(5)]
    found = [round(float(d.mean())) for d in differences(window_of(inputs, results), 2)]
    assert found == [10 - 100, 1000 - 100, 1 - 100, 10_000 - 100]


def test_nothing_is_laid_over_a_cut_or_past_a_frame_without_reference() -> None:
    inputs, results = random_inputs(6), list(torch.rand(6, 1, 3, 24, 32))
    whole = window_of(inputs, results)
    assert all(bool(d.any()) for d in differences(whole, 2))
    inputs.reset[:, 3] = True
    cut = window_of(inputs, results)
    assert [bool(d.any()) for d in differences(cut, 2)] == [True, False, True, False]
    assert [bool(d.any()) for d in differences(cut, 3)] == [False, True, False, True]
    inputs.reset[:, 3] = False
    inputs.guide[:, 1, 5] = 0
    assert [bool(d.any()) for d in differences(window_of(inputs, results), 2)] == [False, True, False, True]
    assert not any(bool(d.any()) for d in differences(window_of(inputs, results), 1))
    start = differences(window_of(inputs, results), 0)
    assert not start[0].any() and not start[2].any()  # there is nothing before the first frame


def test_only_that_clip_of_a_batch_is_cut() -> None:
    one, other = random_inputs(3, seed=1), random_inputs(3, seed=2)
    both = ChunkInputs(*(torch.cat(pair) for pair in zip(vars_of(one), vars_of(other), strict=True)))
    both.reset[1, 1] = True
    first, second = differences(window_of(both, list(torch.rand(3, 2, 3, 24, 32))), 1)[0]
    assert first.any() and not second.any()


def vars_of(inputs: ChunkInputs) -> list[Tensor]:
    return [getattr(inputs, field.name) for field in dataclasses.fields(inputs)]


def test_the_guide_comes_along() -> None:
    """Blur and confidence of a neighbour, moved as its picture is; of one that is cut off, the frame's."""
    inputs, views = moving_inputs(6, 1)
    blur = views[0].mean(1, keepdim=True)[..., ::4, ::4]
    inputs.guide[0, :, 3] = torch.stack([blur[0, 0].roll(t, dims=-1) for t in range(6)])
    inputs.reset[:, 4] = True
    window = window_of(inputs, views)
    own, around = window.guide(3), window.neighbours(3)
    torch.testing.assert_close(own, inputs.guide[:, 3, 3:5])
    inside = np.s_[:, 0, :, REACH:-REACH]
    torch.testing.assert_close(around[0].guide[inside], own[inside], atol=1e-6, rtol=0)
    torch.testing.assert_close(around[1].guide, own)
    assert not torch.equal(around[0].guide[:, 1], own[:, 1])  # confidence is drawn for every frame


@torch.inference_mode()
def test_a_mixture_lies_between_what_is_mixed() -> None:
    torch.manual_seed(3)
    fusion = ResultFusion(4, 8, 1)
    nn.init.normal_(fusion.head.weight, std=3.0)  # far from even weights
    own, *others = torch.rand(5, 2, 3, 16, 20)
    mixed = mix(fusion, own, others)
    stack = torch.stack([own, *others])
    assert (mixed <= stack.amax(0) + 1e-5).all() and (mixed >= stack.amin(0) - 1e-5).all()
    assert (mixed - own).abs().mean() > 0.05
    torch.testing.assert_close(mix(fusion, own, [own] * 4), own)


@torch.inference_mode()
def test_an_untrained_mixture_takes_noise_from_a_still_picture() -> None:
    torch.manual_seed(4)
    picture, noise = torch.rand(1, 3, 32, 32), 0.05 * torch.randn(5, 1, 3, 32, 32)
    own, *others = picture + noise
    mixed = mix(ResultFusion(4, 8, 1), own, others)
    assert (mixed - picture).square().mean() < 0.5 * (own - picture).square().mean()


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 9])
@torch.inference_mode()
def test_chunks_equal_the_whole_clip_with_full_look_ahead(chunk: int) -> None:
    """Past results, those computed ahead and the links between them go from chunk to chunk."""
    inputs, network = random_inputs(9, 22, 31), mixing_network()
    inputs.reset[:, 6] = True
    inputs.guide[:, 2, 5] = 0
    whole, _ = network(inputs)
    cut = run_chunks(network, inputs, chunk, overlap=9)
    torch.testing.assert_close(cut, whole, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("overlap", [0, 1, 3])
@torch.inference_mode()
def test_a_short_look_ahead_still_finishes_every_frame(overlap: int) -> None:
    inputs, network = random_inputs(7), mixing_network()
    cut = run_chunks(network, inputs, 2, overlap)
    assert cut.shape == inputs.target.shape and bool(cut.isfinite().all())


def test_the_look_ahead_covers_what_is_mixed_in() -> None:
    plain, mixing = AsledFast(TINY).info, mixing_network().info
    assert mixing.overlap == plain.overlap + REACH


@pytest.mark.parametrize("chunk", [2, 4, 7])
@torch.inference_mode()
def test_default_overlap_is_within_the_bound(chunk: int) -> None:
    """Better than 50 dB, on frames that have nothing in common, so that mixing changes them much."""
    inputs, network = random_inputs(12), AsledFast().eval()
    nn.init.normal_(network.decoder.head.weight, std=0.01)
    whole, _ = network(inputs)
    assert (whole - swap(inputs)).square().mean().sqrt() > 0.05
    cut = run_chunks(network, inputs, chunk, network.info.overlap)
    assert 10 * torch.log10((cut - whole).square().mean()) < -50


@torch.inference_mode()
def test_frames_within_reach_matter_and_no_others_do_by_mixing() -> None:
    inputs, network = random_inputs(9), mixing_network()
    results = [inputs.target[:, t] for t in range(9)]

    def mixed(pictures: list[Tensor]) -> Tensor:
        return network._mix(inputs, 4, window_of(inputs, pictures))

    before = mixed(results)
    for t in range(9):
        changed = [picture + 0.2 * (i == t) for i, picture in enumerate(results)]
        assert bool((mixed(changed) - before).abs().max() > 1e-5) == (abs(t - 4) <= REACH), t


def recipe(tmp_path: Path, only: str) -> TrainConfig:
    """Train a mixing network from weights that mix nothing."""
    file = tmp_path / "plain.safetensors"
    torch.manual_seed(5)
    weights.save(file, "asled-fast", AsledFast(TINY), dtype=torch.float32)
    options = dataclasses.asdict(MIXING)
    return TrainConfig(network="asled-fast", options=options, init=file, train_only=only, precision="fp32")


def test_one_part_may_learn_alone(tmp_path: Path) -> None:
    progress = start_run(recipe(tmp_path, "fusion"), tmp_path / "run", "cpu")
    plain = weights.load(tmp_path / "plain.safetensors").state_dict()
    before = {name: value.clone() for name, value in progress.network.state_dict().items()}
    assert all(torch.equal(before[name], value) for name, value in plain.items())
    inputs = random_inputs(4)
    views = {name: (getattr(inputs, name) * 255).byte() for name in ("target", "reference")}
    rest = {name: getattr(inputs, name) for name in ("guide", "flow_previous", "flow_next", "reset")}
    update(progress, {**views, **rest, "truth": views["target"]})
    after = progress.network.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved and all(name.startswith("fusion.") for name in moved)


def test_files_from_before_mixing_are_read_as_they_were(tmp_path: Path) -> None:
    file = tmp_path / "old.safetensors"
    network = AsledFast(TINY)
    old = {k: v for k, v in dataclasses.asdict(TINY).items() if k != "fusion_radius" and "fusion" not in k}
    header = {"network": "asled-fast", "config": json.dumps(old)}
    save_file(network.state_dict(), file, metadata=header)
    assert weights.load(file).config.fusion_radius == 0
    assert weights.read_info(file).overlap == network.info.overlap


def test_a_part_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"train_only is 'trunk', but the parts .* fusion"):
        start_run(recipe(tmp_path, "trunk"), tmp_path / "run", "cpu")
