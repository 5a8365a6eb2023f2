"""DAVANet and DeblurNet: parameter counts, sizes, symmetry of the views, gate, warps, single frames."""

from dataclasses import replace

import pytest
import torch
from factories.networks import random_inputs
from torch import Tensor, nn

from asled_cli.nets.blend import swap
from asled_cli.nets.davanet.deblurnet import DeblurNet, DeblurNetConfig
from asled_cli.nets.davanet.dispbinet import Disparities
from asled_cli.nets.davanet.network import PUBLISHED, DavaNet, DavaNetConfig, disparity_loss, warp_zero
from asled_cli.nets.interface import run_chunks

TINY = DavaNetConfig(channels=4, disparity_channels=(4, 4, 6, 8), disparity_features=4, unit_px=4.0)
SMALL = DavaNetConfig(channels=16, disparity_channels=(24, 24, 48, 64), axes="x")


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def tiny(**changes: object) -> DavaNet:
    torch.manual_seed(0)
    return DavaNet(replace(TINY, **changes)).eval()  # type: ignore[arg-type]


def test_parameters_of_deblurnet() -> None:
    with torch.device("meta"):
        network = DeblurNet()
        small = DeblurNet(DeblurNetConfig(channels=16))
    parts = network.encoder, network.bridge, network.decoder
    assert [count(part) for part in parts] == [3_026_432, 147_584, 1_419_619]
    assert count(network) == 4_593_635 and count(small) == 1_149_939


def test_parameters_of_davanet() -> None:
    with torch.device("meta"):
        network, signed, small = DavaNet(PUBLISHED), DavaNet(), DavaNet(SMALL)
    disparity = network.disparity
    encoder = disparity.entry, disparity.down, disparity.middle[:4]
    assert sum(map(count, encoder)) == 2_492_912
    assert count(disparity) - sum(map(count, encoder)) == 1_355_418
    assert count(disparity) == 3_848_330
    assert [count(part) for part in (network.gate, *network.depth)] == [721, 28_032, 28_032]
    assert count(network.bridge) == 331_904
    assert count(network) == 8_683_070
    assert count(signed.disparity) == 3_862_164
    assert count(small) == 2_249_566 and count(small.disparity) == 987_546


@pytest.mark.parametrize("height", [4, 7, 8, 9, 23, 40])
@torch.inference_mode()
def test_all_sizes(height: int) -> None:
    networks = DeblurNet(DeblurNetConfig(channels=2)).eval(), tiny()
    for width in (5, 8, 12, 30, 40):
        inputs = random_inputs(1, height, width)
        for network in networks:
            restored, _ = network(inputs)
            assert restored.shape == inputs.target.shape and bool(restored.isfinite().all())


@pytest.mark.parametrize("axes", ["x", "xy"])
@torch.inference_mode()
def test_swapped_views_swap_what_is_fused(axes: str) -> None:
    network = tiny(axes=axes)
    network.depth[1].load_state_dict(network.depth[0].state_dict())
    for part in network.depth:
        part.entry[0].weight[:, -network.signs :] = 0  # depth without the disparity, whose sign turns
    torch.manual_seed(1)
    left, right, features = torch.rand(1, 3, 16, 24), torch.rand(1, 3, 16, 24), torch.rand(1, 4, 16, 24)
    deep = [torch.rand(1, 16, 4, 6) for _ in range(2)]
    one, other = torch.randn(1, network.signs, 16, 24), torch.randn(1, network.signs, 16, 24)
    found = Disparities([torch.cat((one, other), dim=1)], features)
    turned = Disparities([torch.cat((-other, -one), dim=1)], features)
    for side in (0, 1):
        straight = network.fuse((left, right), deep, found, side)
        swapped = network.fuse((right, left), deep[::-1], turned, 1 - side)
        assert torch.equal(straight, swapped)


@torch.inference_mode()
def test_gate_and_equal_views() -> None:
    network = tiny()
    view, features = torch.rand(1, 3, 16, 16), torch.rand(1, 4, 16, 16)
    deep = [torch.rand(1, 16, 4, 4) for _ in range(2)]
    found = Disparities([torch.randn(1, 4, 16, 16)], features)
    closed = network.fuse((view, view.flip(3)), deep, found, 0, gate=torch.zeros_like)
    assert torch.equal(closed[:, 16:32], deep[0])
    still = Disparities([torch.zeros(1, 4, 16, 16)], features)
    same = network.fuse((view, view), [deep[0], deep[0]], still, 0)
    torch.testing.assert_close(same[:, 16:32], deep[0])


def test_warp_against_a_loop_and_a_known_shift() -> None:
    torch.manual_seed(0)
    picture, shift = torch.rand(1, 1, 6, 7), 3 * torch.randn(1, 2, 6, 7)
    expected = torch.zeros(6, 7)
    for y in range(6):
        for x in range(7):
            px, py = x + float(shift[0, 0, y, x]), y + float(shift[0, 1, y, x])
            left, top = int(px // 1), int(py // 1)
            for yy, wy in ((top, 1 - (py - top)), (top + 1, py - top)):
                for xx, wx in ((left, 1 - (px - left)), (left + 1, px - left)):
                    if 0 <= yy < 6 and 0 <= xx < 7:
                        expected[y, x] += wy * wx * picture[0, 0, yy, xx]
    torch.testing.assert_close(warp_zero(picture, shift)[0, 0], expected, atol=1e-5, rtol=1e-4)
    wide = torch.rand(1, 3, 8, 20)
    moved = torch.zeros(1, 2, 8, 16)
    moved[:, 0] = 3
    assert torch.equal(warp_zero(wide[..., :16], moved)[..., :13], wide[..., 3:16])


@pytest.mark.parametrize(("feature_shift", "moved"), [(None, 2), (1.0, 1)])
@torch.inference_mode()
def test_features_move_by_a_quarter_of_the_pixels(feature_shift: float | None, moved: int) -> None:
    network = tiny(axes="x", unit_px=8.0, feature_shift=feature_shift)
    deep = [torch.zeros(1, 16, 4, 8), torch.zeros(1, 16, 4, 8)]
    deep[1][..., 2, 2] = 1
    found = Disparities([torch.ones(1, 2, 16, 32)], torch.zeros(1, 4, 16, 32))
    view = torch.rand(1, 3, 16, 32)
    fused = network.fuse((view, view), deep, found, 0, gate=torch.ones_like)[:, 16:32]
    assert fused[0, 0].nonzero().tolist() == [[2, 2 + moved]]  # left(x) is right(x - d)


@torch.inference_mode()
def test_the_deblurring_part_is_deblurnet_up_to_the_bridge() -> None:
    network, alone, frame = tiny(), DeblurNet(DeblurNetConfig(channels=4)), torch.rand(1, 3, 16, 16)
    alone.encoder.load_state_dict(network.encoder.state_dict())
    for one, other in zip(network.encoder(frame), alone.encoder(frame), strict=True):
        assert torch.equal(one, other)
    pyramid = alone.encoder(frame)
    alone.decoder.load_state_dict(network.decoder.state_dict())
    fused = torch.rand(1, 16, 4, 4)
    assert torch.equal(network.decoder(fused, pyramid, frame), alone.decoder(fused, pyramid, frame))


@pytest.mark.parametrize("chunk", [1, 2])
@torch.inference_mode()
def test_frames_are_independent(chunk: int) -> None:
    inputs = random_inputs(3, 16, 16)
    for network in (tiny(), DeblurNet(DeblurNetConfig(channels=2)).eval()):
        assert torch.equal(run_chunks(network, inputs, chunk, 0), network(inputs)[0])


@torch.inference_mode()
def test_both_views_and_one() -> None:
    network, left, right = tiny(), torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16)
    both = network.restore_both(left, right)
    assert all(torch.equal(both[side], network.restore_view(left, right, side)) for side in (0, 1))


@torch.inference_mode()
def test_blending_starts_at_the_swap() -> None:
    network, inputs = tiny(skip="blend"), random_inputs(2, 13, 16)
    torch.testing.assert_close(network(inputs)[0], swap(inputs))
    with pytest.raises(ValueError, match="two views"):
        network.restore_both(inputs.target[:, 0], inputs.reference[:, 0])


def test_disparity_loss_is_zero_for_the_truth_and_ignores_the_unknown() -> None:
    true, mask = torch.full((1, 2, 16, 16), 0.5), torch.ones(1, 1, 16, 16)
    true[..., 8:], mask[..., 8:] = 99, 0
    scales = [torch.full((1, 2, 16 // s, 16 // s), 0.5) for s in (1, 2, 4, 8, 8)]
    assert float(disparity_loss(Disparities(scales, true), true, mask)) == 0
    off = [scale + 1 for scale in scales]
    assert float(disparity_loss(Disparities(off, true), true, mask)) == pytest.approx(1)


@pytest.mark.parametrize("name", ["davanet", "blending", "deblurnet"])
def test_every_part_learns(name: str) -> None:
    skip = "blend" if name == "blending" else "target"
    network: nn.Module = DeblurNet(DeblurNetConfig(channels=4)) if name == "deblurnet" else tiny(skip=skip)
    inputs = random_inputs(1, 16, 16)
    truth: Tensor = inputs.target * 0.8
    optimizer, values = torch.optim.Adam(network.parameters(), 2e-3), []
    for _ in range(4):
        loss = (network(inputs)[0] - truth).abs().mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        values.append(float(loss.detach()))
    assert values[-1] < values[0]
    unused = {k for k, p in network.named_parameters() if p.grad is None}
    assert all(k.startswith("depth.1") for k in unused)  # of the view that is not returned
