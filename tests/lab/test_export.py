"""`asled export`: the exported step gives what PyTorch gives, for any frame size, over a whole clip."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from asled_cli.cli.app import main
from asled_cli.errors import AsledError, UsageError
from asled_cli.lab.export import write
from asled_cli.lab.export.step import INPUTS, FrameStep, run_steps
from asled_cli.lab.export.write import TOLERANCE, compare, export_network
from asled_cli.nets.asled_fast.network import AsledFast, AsledFastConfig
from asled_cli.nets.interface import ChunkInputs, run_chunks
from asled_cli.nets.warp import portable_sampling
from asled_cli.zoo import registry as zoo

TINY = AsledFastConfig(
    fine_channels=4, coarse_channels=4, encoder_blocks=0, backward_blocks=0, forward_blocks=0,
    decoder_blocks=0, fusion_radius=1, fusion_channels=4, fusion_blocks=0,
)  # fmt: skip


def lively(network: nn.Module) -> nn.Module:
    """Give the layers that start as zero something to do."""
    torch.manual_seed(1)
    for weight in network.parameters():
        if not weight.detach().any():
            nn.init.normal_(weight, std=0.05)
    return network.eval()


OTHERS: dict[str, dict[str, Any]] = {
    "deblurnet": {"channels": 4},
    "davanet": {"channels": 4, "disparity_channels": (4, 4, 4, 4), "disparity_features": 4, "unit_px": 40.0},
    "mtu": {"channels": 8, "blocks": 1},
}


# Times the weights that a network starts with: shifts and results differ, and stay of the size of pictures.
LARGER = {"deblurnet": 1.2, "davanet": 1.2, "mtu": 2.0}


def other_network(name: str) -> Any:
    """Return a small network with larger weights than it starts with, so that shifts and results differ."""
    torch.manual_seed(3)
    network = zoo.build(name, OTHERS[name])
    for weight in network.parameters():
        weight.data *= LARGER[name]
    return network.eval()


def clip(step: FrameStep, frames: int) -> ChunkInputs:
    windows = [step.example(6, 8) for _ in range(-(-frames // step.frames))]
    parts = [torch.cat([getattr(w, name) for w in windows], dim=1)[:, :frames] for name in INPUTS]
    parts[0] = torch.rand(parts[0].shape, generator=torch.Generator().manual_seed(2))
    parts[-1][:, 4] = True  # a scene cut
    return ChunkInputs(*parts)


@pytest.mark.parametrize("radius", [0, 1, 3])
def test_single_steps_agree_with_the_network_on_a_clip(radius: int) -> None:
    network = lively(AsledFast(replace(TINY, fusion_radius=radius)))
    step = FrameStep(network)
    frames = clip(step, 9)
    with torch.no_grad(), portable_sampling():
        expected = run_chunks(network, frames, 1, network.info.overlap)
        error = float((run_steps(step, step, frames) - expected).square().mean())
    assert error < (1e-12 if radius == 0 else 1e-5)  # with fusion, the first frames see less look-ahead


@pytest.mark.slow
def test_the_exported_program_gives_what_pytorch_gives(tmp_path: Path) -> None:
    network = lively(AsledFast(replace(TINY, fusion_radius=0)))
    assert export_network(network, "tiny", tmp_path / "net.pt2") <= TOLERANCE
    for weight in network.parameters():
        weight.data += 0.02
    with torch.no_grad(), portable_sampling():
        assert compare(FrameStep(network), tmp_path / "net.pt2") > TOLERANCE  # other weights are noticed


@pytest.mark.parametrize("name", sorted(OTHERS))
def test_single_steps_of_other_networks_agree_with_them(name: str) -> None:
    step = FrameStep(other_network(name))
    frames = clip(step, 6)
    with torch.no_grad(), portable_sampling():
        expected = run_chunks(step.network, frames, 1, step.network.info.overlap)
        assert float((run_steps(step, step, frames) - expected).abs().max()) < 1e-6
    expected = run_chunks(step.network, frames, 1, step.network.info.overlap)  # as in a job
    assert float((run_steps(step, step, frames) - expected).detach().abs().max()) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(OTHERS))
def test_other_networks_are_exported_for_any_size(name: str, tmp_path: Path) -> None:
    assert export_network(other_network(name), name, tmp_path / "net.onnx") <= TOLERANCE


@pytest.mark.slow
def test_the_onnx_file_gives_what_pytorch_gives(tmp_path: Path) -> None:
    assert export_network(lively(AsledFast(TINY)), "tiny", tmp_path / "net.onnx") <= TOLERANCE


def test_a_network_that_cannot_be_exported_says_so(tmp_path: Path) -> None:
    class ByContent(AsledFast):
        def forward(self, inputs: ChunkInputs, state: Any = None, keep: int | None = None) -> Any:
            return super().forward(inputs, state, 1 if inputs.reset.any() else keep)

    with pytest.raises(AsledError, match="other cannot be exported: it uses operations"):
        export_network(ByContent(replace(TINY, fusion_radius=0)), "other", tmp_path / "net.pt2")


def test_names_and_packages_are_checked_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = tmp_path / "net.pt2"
    taken.write_bytes(b"mine")
    assert main(["export", "-o", str(tmp_path / "net.pth")]) == 2
    assert main(["export", "-o", str(taken)]) == 2
    assert main(["export", "-o", str(tmp_path / "no" / "net.pt2")]) == 2
    assert taken.read_bytes() == b"mine"
    monkeypatch.setattr(write, "_is_there", lambda name: name != "onnxruntime")
    with pytest.raises(UsageError, match=r"further packages: onnxruntime"):
        write.check_ending(tmp_path / "net.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(zoo.PUBLISHED) & {"asled-fast"}))
def test_published_networks_are_exported_by_the_command(name: str, tmp_path: Path) -> None:
    for ending in (".onnx", ".pt2"):
        assert main(["export", "--model", name, "-o", str(tmp_path / f"net{ending}"), "-q"]) == 0
