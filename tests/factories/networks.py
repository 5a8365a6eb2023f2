"""Small networks with random weights, and inputs for them."""

import dataclasses
from pathlib import Path

import torch
from torch import Tensor, nn

from asled_cli.metrics.lpips import Backbone, Lpips, set_heads
from asled_cli.nets.asled_fast.network import AsledFast, AsledFastConfig
from asled_cli.nets.interface import ChunkInputs
from asled_cli.zoo import checkpoint as weights

TINY = AsledFastConfig(
    fine_channels=8,
    coarse_channels=8,
    encoder_blocks=1,
    backward_blocks=1,
    forward_blocks=1,
    decoder_blocks=1,
    fusion_radius=0,  # what is mixed afterwards: test_result_fusion.py
)


MIXING = dataclasses.replace(TINY, fusion_radius=2, fusion_channels=8, fusion_blocks=1)


def random_weights(folder: Path) -> Path:
    """Write weights of a small network whose memory matters for every pixel."""
    torch.manual_seed(3)
    path = folder / "random.safetensors"
    config = AsledFastConfig(fine_channels=8, coarse_channels=8, decoder_blocks=1, forward_blocks=1)
    module = AsledFast(config)
    for weight in module.parameters():
        nn.init.normal_(weight, std=0.08)
    weights.save(path, "asled-fast", module)
    return path


def random_inputs(frames: int = 4, height: int = 24, width: int = 32, seed: int = 0) -> ChunkInputs:
    generator = torch.Generator().manual_seed(seed)
    h, w = -(-height // 4), -(-width // 4)

    def rand(*shape: int) -> Tensor:
        return torch.rand(1, frames, *shape, generator=generator)

    return ChunkInputs(
        target=rand(3, height, width),
        reference=rand(3, height, width),
        guide=rand(6, h, w),
        flow_previous=rand(2, h, w) * 2 - 1,
        flow_next=rand(2, h, w) * 2 - 1,
        reset=torch.zeros(1, frames, dtype=torch.bool),
    )


def random_network(config: AsledFastConfig = TINY, seed: int = 0, head: float = 0.05) -> AsledFast:
    """A network with random weights in every layer, those that start closed too (deviation `head`)."""
    torch.manual_seed(seed)
    network = AsledFast(config)
    nn.init.normal_(network.decoder.head.weight, std=head)
    if config.fusion_radius:
        nn.init.normal_(network.fusion.head.weight, std=head)
    return network.eval()


def fixed_lpips(backbone: Backbone) -> Lpips:
    """Official heads on random backbone weights, always the same."""
    model = Lpips(backbone)
    random = torch.Generator().manual_seed(1)
    for layer in model.features.values():
        weight = layer.get_parameter("weight")
        weight.data = torch.randn(weight.shape, generator=random) * (2 / weight[0].numel()) ** 0.5
        bias = layer.get_parameter("bias")
        bias.data = 0.1 * torch.randn(bias.shape, generator=random)
    set_heads(model, backbone)
    return model.eval().requires_grad_(False)
