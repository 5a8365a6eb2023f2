"""DMENet: parameter counts of all parts, sizes, range, folded norms, learning; D and S."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from asled_cli.nets.dmenet import (
    Calibration,
    Discriminator,
    Dmenet,
    DmenetConfig,
    MirroredConv,
    fold_norms,
    map_loss,
)

TINY = DmenetConfig(channels=2, auxiliary=True)


def weights(module: nn.Module) -> int:
    """Parameters without the offsets of norms."""
    return sum(p.numel() for name, p in module.named_parameters() if not name.endswith("offset"))


def offsets(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters()) - weights(module)


def test_parameters_of_the_estimator() -> None:
    with torch.device("meta"):
        bare, full = Dmenet(), Dmenet(DmenetConfig(auxiliary=True))
    assert [weights(p) for p in (bare.encoder, bare.ups, bare.refine, bare.tail)] == [
        20_024_384,
        4_720_000,
        546_112,
        55_681,
    ]
    assert (offsets(bare), weights(bare) + offsets(bare)) == (2_848, 25_349_025)
    assert (weights(full.heads), offsets(full.heads)) == (1_590_277, 517)
    assert weights(full) + offsets(full) == 26_939_819


def test_parameters_of_the_parts_for_training() -> None:
    with torch.device("meta"):
        judge, calibration = Discriminator(), Calibration()
    assert (weights(judge), offsets(judge)) == (2_826_240, 960)
    assert (weights(calibration), offsets(calibration)) == (13_729, 336)


@pytest.mark.parametrize("height", [4, 16, 21, 40, 64])
@torch.inference_mode()
def test_maps_of_all_sizes(height: int) -> None:
    torch.manual_seed(0)
    network = Dmenet(TINY).eval()
    for width in (4, 16, 33, 64):
        found = network(torch.rand(1, 3, height, width))
        assert found.shape == (1, 1, height, width)
        assert 0 <= float(found.min()) <= float(found.max()) <= 1


@torch.inference_mode()
def test_the_border_is_mirrored_with_its_edge() -> None:
    torch.manual_seed(0)
    layer, x = MirroredConv(1, 1), torch.randn(1, 1, 4, 5)
    wide = torch.cat((x[..., :1], x, x[..., -1:]), dim=3)
    wide = torch.cat((wide[..., :1, :], wide, wide[..., -1:, :]), dim=2)
    torch.testing.assert_close(layer(x), F.conv2d(wide, layer.conv.weight, layer.conv.bias))


def test_folded_norms_give_the_same_map() -> None:
    torch.manual_seed(0)
    network = Dmenet(TINY)
    for _ in range(3):
        network(torch.rand(2, 3, 32, 32))  # moving statistics
    for name, value in network.named_parameters():
        if name.endswith("offset"):
            nn.init.normal_(value)
    picture = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        expected = network.eval()(picture)
        found = fold_norms(network)(picture)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    assert offsets(network) < offsets(Dmenet(TINY))


def test_every_part_learns() -> None:
    torch.manual_seed(0)
    network, picture = Dmenet(TINY), torch.rand(2, 3, 32, 32)
    true = torch.zeros(2, 1, 32, 32)
    true[..., 16:] = 0.8
    optimizer, values = torch.optim.Adam(network.parameters(), 3e-3), []
    for _ in range(5):
        found, maps, _ = network.estimate(picture)
        assert len(maps) == 5 and [one.shape[-1] for one in maps] == [2, 4, 8, 16, 32]
        loss = map_loss(found, maps, true)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        values.append(float(loss.detach()))
    assert values[-1] < values[0] and all(p.grad is not None for p in network.parameters())


@torch.inference_mode()
def test_judges_give_logits() -> None:
    features = Dmenet(TINY).eval().estimate(torch.rand(1, 3, 64, 64))[2]
    assert Discriminator(2).eval()(features).shape == (1, 1, 2, 2)
    assert Calibration().eval()(torch.rand(1, 1, 8, 9)).shape == (1, 1, 8, 9)
