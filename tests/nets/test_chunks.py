"""Chunked output equals whole-clip output, exactly where the overlap reaches the end, else to a bound."""

import itertools

import pytest
import torch
from factories.networks import random_inputs, random_network

from asled_cli.nets.asled_fast.network import AsledFastConfig
from asled_cli.nets.blend import swap
from asled_cli.nets.interface import plan_chunks, run_chunks


@pytest.mark.parametrize("frames", [0, 1, 5, 12])
@pytest.mark.parametrize("chunk", [1, 3, 5, 20])
@pytest.mark.parametrize("overlap", [0, 2, 20])
def test_plan_covers_every_frame_once(frames: int, chunk: int, overlap: int) -> None:
    plan = list(plan_chunks(frames, chunk, overlap))
    assert list(itertools.chain(*(range(p.start, p.start + p.keep) for p in plan))) == list(range(frames))
    for step in plan:
        assert 1 <= step.keep <= chunk and step.keep <= step.frames <= chunk + overlap
        assert step.start + step.frames <= frames
        assert step.frames == min(chunk + overlap, frames - step.start)


def test_plan_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="chunk is 0"):
        list(plan_chunks(3, 0, 1))


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 9])
@torch.inference_mode()
def test_exact_with_full_look_ahead(chunk: int) -> None:
    inputs, network = random_inputs(9), random_network()
    whole, _ = network(inputs)
    torch.testing.assert_close(run_chunks(network, inputs, chunk, overlap=9), whole, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("chunk", [2, 4, 7])
@torch.inference_mode()
def test_default_overlap_is_within_the_bound(chunk: int) -> None:
    """Better than 50 dB, what `NetworkInfo.overlap` promises; and the error falls with the overlap.

    The random network changes the swap by 6 % of full scale, which is more than a trained one does.
    """
    inputs, network = random_inputs(10), random_network(AsledFastConfig(fusion_radius=0), head=0.01)
    whole, _ = network(inputs)
    assert 0.03 < (whole - swap(inputs)).square().mean().sqrt() < 0.1

    def error_db(overlap: int) -> float:
        return float(10 * torch.log10((run_chunks(network, inputs, chunk, overlap) - whole).square().mean()))

    assert error_db(network.info.overlap) < -50
    assert error_db(5) < error_db(1) < error_db(0)
