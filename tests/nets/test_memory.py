"""The codebook: lookup by loops, no change before training, and tuning of keys and basis only."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from factories.networks import TINY, random_inputs, random_network
from factories.textures import texture

from asled_cli.nets.asled_fast.network import AsledFast
from asled_cli.nets.memory import MemoryConfig, ReferenceMemory
from asled_cli.restoration import adaptation
from asled_cli.restoration.adaptation import adapt
from asled_cli.video.decode.pixel_format import to_16_bit

SMALL = MemoryConfig(keys=6, basis=8, slots=5)


def memory(seed: int = 0) -> ReferenceMemory:
    torch.manual_seed(seed)
    return ReferenceMemory(SMALL, 4)


def frames(seed: int, count: int = 3) -> list[np.ndarray]:
    return [to_16_bit(texture(72, 64, seed=seed, finest=1.5 + t)) for t in range(count)]


def test_lookup_is_softmax_of_the_products_by_loops() -> None:
    made, queries = memory().requires_grad_(False), torch.randn(2, 6, 3, 4)
    found = made.lookup(queries)
    for n in range(2):
        for y in range(3):
            for x in range(4):
                scores = torch.tensor([float(queries[n, :, y, x] @ made.keys[:, m]) for m in range(5)])
                shares = torch.exp(scores) / torch.exp(scores).sum()
                expected = sum(shares[m] * made.basis[m] for m in range(5))
                torch.testing.assert_close(found[n, :, y, x], expected, atol=1e-5, rtol=1e-5)


def test_the_order_of_the_slots_means_nothing() -> None:
    made, queries = memory(), torch.randn(1, 6, 4, 4)
    before, order = made.lookup(queries), torch.tensor([3, 0, 4, 1, 2])
    made.keys.data, made.basis.data = made.keys.data[:, order], made.basis.data[order]
    torch.testing.assert_close(made.lookup(queries), before, atol=1e-6, rtol=1e-5)
    made.basis.data = torch.ones_like(made.basis)
    torch.testing.assert_close(made.lookup(queries), torch.ones(1, 8, 4, 4))  # the shares sum to 1


def test_untrained_it_changes_no_bit() -> None:
    plain = random_network()
    with_memory = AsledFast(replace(TINY, memory=True)).eval()
    missing = with_memory.load_state_dict(plain.state_dict(), strict=False)
    assert all(name.startswith("memory.") for name in missing.missing_keys) and not missing.unexpected_keys
    inputs = random_inputs(3, 27, 30)
    with torch.inference_mode():
        assert torch.equal(with_memory(inputs)[0], plain(inputs)[0])
        torch.nn.init.normal_(with_memory.memory.out.weight, std=0.1)
        assert not torch.equal(with_memory(inputs)[0], plain(inputs)[0])


def test_its_loss_trains_what_rebuilds_sharp_frames() -> None:
    network = AsledFast(replace(TINY, memory=True))
    assert (AsledFast(TINY).EXTRA_LOSSES, network.EXTRA_LOSSES) == ((), ("memory",))
    truth = torch.rand(2, 3, 3, 20, 18)
    loss = network.extra_losses(truth)["memory"]
    rebuilt = network.memory.reconstruct(truth[:, 1, :, :16, :16])
    torch.testing.assert_close(loss, (rebuilt - truth[:, 1, :, :16, :16]).abs().mean())
    loss.backward()
    learns = {name.split(".")[1] for name, value in network.named_parameters() if value.grad is not None}
    assert learns == {"keys", "basis", "query_reference", "rebuild"}


def test_only_keys_and_basis_are_tuned_and_the_error_falls() -> None:
    made = memory()
    torch.nn.init.normal_(made.rebuild.weight, std=0.1)
    before = {name: value.clone() for name, value in made.state_dict().items()}
    errors = adapt(made, frames(1), 30)
    assert len(errors) == 30 and np.mean(errors[-5:]) < np.mean(errors[:5])
    changed = {name for name, value in made.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"keys", "basis"}
    assert all(p.requires_grad and p.grad is None for p in made.parameters())


def test_a_clips_own_codebook_rebuilds_it_better_than_a_strange_clips(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(adaptation, "RATE", 0.03)
    start = memory()
    torch.nn.init.normal_(start.rebuild.weight, std=0.1)
    clips, banks = [[stripes(axis)] * 3 for axis in (0, 1)], [copy.deepcopy(start) for _ in range(2)]
    for made, clip in zip(banks, clips, strict=True):
        adapt(made, clip, 20)
    for own, strange, clip in ((0, 1, clips[0]), (1, 0, clips[1])):
        assert error_of(banks[own], clip) < error_of(banks[strange], clip)


def stripes(axis: int) -> np.ndarray:
    """Return a frame (64, 64, 3) uint16 with stripes of 6 px along rows or columns."""
    waves = 0.5 + 0.4 * np.sin(2 * np.pi * np.indices((64, 64))[axis] / 6)
    return np.repeat(waves[..., None] * 65535, 3, axis=-1).astype(np.uint16)


def error_of(made: ReferenceMemory, clip: list[np.ndarray]) -> float:
    """Mean absolute error of the rebuilt frames, 0..1."""
    views = [torch.from_numpy(frame.astype(np.float32) / 65535).permute(2, 0, 1)[None] for frame in clip]
    with torch.inference_mode():
        return float(np.mean([float((made.reconstruct(view) - view).abs().mean()) for view in views]))


def test_no_epoch_changes_nothing_and_equal_seeds_give_equal_weights() -> None:
    made = memory()
    before = {name: value.clone() for name, value in made.state_dict().items()}
    assert adapt(made, frames(1), 0) == [] == adapt(made, [], 5)
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())
    one, same, other = memory(), memory(), memory()
    for made, seed in ((one, 4), (same, 4), (other, 5)):
        adapt(made, frames(1), 2, seed=seed)
    assert torch.equal(one.keys, same.keys) and torch.equal(one.basis, same.basis)
    assert not torch.equal(one.keys, other.keys)


def test_a_tuning_that_helps_nothing_is_taken_back() -> None:
    """The residual of the rebuilt frames is off, so no codebook changes them."""
    made = memory()
    torch.nn.init.zeros_(made.rebuild.weight)
    before = [value.clone() for value in made.codebook()]
    adapt(made, frames(1), 2)
    assert all(torch.equal(value, old) for value, old in zip(made.codebook(), before, strict=True))


@pytest.mark.parametrize(("name", "value"), [("keys", 0), ("basis", 6), ("slots", 0)])
def test_sizes_that_mean_nothing_are_refused(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{name} is {value}"):
        replace(SMALL, **{name: value})
