"""LPIPS with the official heads on fixed backbone weights, against a forward pass written out by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from factories.networks import fixed_lpips
from factories.textures import texture
from safetensors.torch import load_file
from torch import Tensor

from asled_cli.errors import WeightsError
from asled_cli.metrics.lpips import PLANS, Backbone, Lpips, distance, load_lpips

HEADS = Path(__file__).parents[2] / "weights" / "lpips_heads.safetensors"


def by_hand(model: Lpips, backbone: Backbone, a: Tensor, b: Tensor) -> float:
    """The published forward pass, layer by layer as torchvision lists them, in double precision."""
    parts = {int(k): (v.weight.double(), v.bias.double()) for k, v in model.features.items()}  # type: ignore[union-attr,operator]
    heads = load_file(HEADS)
    total = 0.0

    def features(x: Tensor) -> list[Tensor]:
        x = (x.double() - torch.tensor([-0.030, -0.088, -0.188]).double()[:, None, None]) / torch.tensor(
            [0.458, 0.448, 0.450]
        ).double()[:, None, None]
        conv = lambda x, i, s=1, p=1: F.relu(F.conv2d(x, *parts[i], stride=s, padding=p))  # noqa: E731
        if backbone == "alex":
            x1 = conv(x, 0, 4, 2)
            x2 = conv(F.max_pool2d(x1, 3, 2), 3, 1, 2)
            x3 = conv(F.max_pool2d(x2, 3, 2), 6)
            x4 = conv(x3, 8)
            return [x1, x2, x3, x4, conv(x4, 10)]
        found = []
        for block in ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28)):
            x = x if block[0] == 0 else F.max_pool2d(x, 2)
            for i in block:
                x = conv(x, i)
            found.append(x)
        return found

    for index, (x, y) in enumerate(zip(features(a), features(b), strict=True)):
        x = x / (x.pow(2).sum(1, keepdim=True).sqrt() + 1e-10)
        y = y / (y.pow(2).sum(1, keepdim=True).sqrt() + 1e-10)
        head = heads[f"{backbone}.{index}"].double().view(1, -1, 1, 1)
        total += float(F.conv2d((x - y) ** 2, head).mean())
    return total


@pytest.mark.parametrize("backbone", ["alex", "vgg"])
def test_lpips_equals_a_forward_pass_by_hand(backbone: Backbone) -> None:
    model = fixed_lpips(backbone)
    one = texture(72, 64, seed=1).astype(np.float64) / 255
    other = np.clip(one + np.random.default_rng(0).normal(0, 0.1, one.shape), 0, 1)
    a, b = ((torch.from_numpy(x) * 2 - 1).permute(2, 0, 1)[None] for x in (one, other))
    found = distance(model, one, other)
    assert found == pytest.approx(by_hand(model, backbone, a, b), abs=1e-5)
    assert found > 1e-3 and distance(model, one, one) == 0.0


def test_heads_are_those_published() -> None:
    sizes = [len(value) for _, value in sorted(load_file(HEADS).items())]
    assert sizes == [64, 192, 384, 256, 256, 64, 128, 256, 512, 512]


def test_a_local_backbone_is_checked_and_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / PLANS["alex"].file
    stored = {f"features.{k}": v for k, v in fixed_lpips("alex").features.state_dict().items()}
    torch.save(stored, path)
    with pytest.raises(WeightsError, match="does not start with 7be5be79"):
        load_lpips("alex", tmp_path)
    monkeypatch.setattr("asled_cli.metrics.lpips._starts_with", lambda path, digits: True)
    picture = texture(64, 64) / 255.0
    dark = picture * 0.5
    assert load_lpips("alex", tmp_path)(picture, dark) == pytest.approx(
        distance(fixed_lpips("alex"), picture, dark)
    )
