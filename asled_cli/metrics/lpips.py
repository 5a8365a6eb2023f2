"""LPIPS version 0.1 (Zhang et al., CVPR 2018) without torchvision: AlexNet or VGG16 features, linear heads.

The heads come with the program. The backbones are the official ImageNet weights of torchvision (233 MB and
528 MB). The program searches a folder and torch's cache for them and downloads them otherwise. The file name
contains the hash.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.error import URLError

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from asled_cli.errors import WeightsError
from asled_cli.metrics.psnr_ssim import Picture
from asled_cli.zoo.checkpoint import hash_file, weight_folders

Backbone = Literal["alex", "vgg"]
# Converted from richzhang/PerceptualSimilarity 0.1, see weights/README.md.
HEADS_FILE = "lpips_heads.safetensors"
HEADS_SHA256 = "f18065e7bdb55aa8319696d458b873d9d4b8f2ca1f06b9ede68a7f0be7db8c84"
SOURCE = "https://download.pytorch.org/models/"  # where torchvision gets its weights
# Mean and deviation of ImageNet on the scale -1..1, as the authors' scaling layer has them.
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)
_EPSILON = 1e-10  # added to the length of features before the division, as in the authors' code


@dataclass(frozen=True)
class _Plan:
    """Layers of a backbone, by torchvision's numbering of `features`.

    Each convolution is (in, out, kernel, stride, padding).
    """

    file: str  # ends in the first eight digits of its SHA-256
    convolutions: dict[int, tuple[int, int, int, int, int]]
    pools: tuple[int, ...]
    pool_size: int
    taps: tuple[int, ...]  # rectified layers that are compared


def _vgg_convolutions() -> dict[int, tuple[int, int, int, int, int]]:
    places = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    widths = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
    return {p: (a, b, 3, 1, 1) for p, a, b in zip(places, widths[:-1], widths[1:], strict=True)}


PLANS: dict[Backbone, _Plan] = {
    "alex": _Plan(
        "alexnet-owt-7be5be79.pth",
        {0: (3, 64, 11, 4, 2), 3: (64, 192, 5, 1, 2), 6: (192, 384, 3, 1, 1), 8: (384, 256, 3, 1, 1),
         10: (256, 256, 3, 1, 1)},
        (2, 5), 3, (1, 4, 7, 9, 11),
    ),
    "vgg": _Plan("vgg16-397923af.pth", _vgg_convolutions(), (4, 9, 16, 23), 2, (3, 8, 15, 22, 29)),
}  # fmt: skip


class Lpips(nn.Module):
    """LPIPS distance of two images.

    Features are scaled to unit length, subtracted, squared, weighted by the heads, averaged and summed.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.plan = plan = PLANS[backbone]
        self.features = nn.ModuleDict(
            {str(place): nn.Conv2d(a, b, k, stride=s, padding=p)
             for place, (a, b, k, s, p) in plan.convolutions.items()}
        )  # fmt: skip
        self.pool = nn.MaxPool2d(plan.pool_size, 2)
        widths = [plan.convolutions[tap - 1][1] for tap in plan.taps]
        self.heads = nn.ParameterList(nn.Parameter(torch.zeros(width)) for width in widths)

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """Return the distances (N,) of images (N, 3, H, W), RGB -1..1, H and W at least 32."""
        total = torch.zeros(len(one), device=one.device)
        for head, a, b in zip(self.heads, self._tapped(one), self._tapped(other), strict=True):
            difference = torch.square(_unit(a) - _unit(b))
            total = total + torch.einsum("nchw,c->nhw", difference, head).mean(dim=(1, 2))
        return total

    def _tapped(self, picture: Tensor) -> Iterator[Tensor]:
        """Return the rectified features that are compared, from the first layer to the last."""
        shift, scale = (picture.new_tensor(values).view(1, 3, 1, 1) for values in (_SHIFT, _SCALE))
        values = (picture - shift) / scale
        for place in range(self.plan.taps[-1] + 1):
            if str(place) in self.features:
                values = torch.relu(self.features[str(place)](values))  # the next place is this rectifier
            elif place in self.plan.pools:
                values = self.pool(values)
            if place in self.plan.taps:
                yield values


def _unit(features: Tensor) -> Tensor:
    length = torch.sqrt(torch.square(features).sum(dim=1, keepdim=True))
    return features / (length + _EPSILON)


def load_lpips(backbone: Backbone, folder: Path | None) -> Callable[[Picture, Picture], float]:
    """Return LPIPS with official weights as a function of two images (H, W, 3), 0..1.

    Arguments and errors are those of `load_module`.
    """
    model = load_module(backbone, folder)
    return lambda result, truth: distance(model, result, truth)


def load_module(backbone: Backbone, folder: Path | None = None) -> Lpips:
    """Return LPIPS with official weights, which are frozen; gradients reach the images.

    folder: searched first for the backbone. Raises WeightsError if weights are missing or damaged.
    """
    model = Lpips(backbone)
    plan = PLANS[backbone]
    stored = torch.load(_find_backbone(plan.file, folder), map_location="cpu", weights_only=True)
    for place in plan.convolutions:
        for kind in ("weight", "bias"):
            model.get_parameter(f"features.{place}.{kind}").data = stored[f"features.{place}.{kind}"]
    set_heads(model, backbone)
    return model.eval().requires_grad_(False)


def set_heads(model: Lpips, backbone: Backbone) -> None:
    """Load the official linear heads. Raises WeightsError if their file is missing or damaged."""
    path = next((f / HEADS_FILE for f in weight_folders() if (f / HEADS_FILE).is_file()), None)
    if path is None or hash_file(path) != HEADS_SHA256:
        raise WeightsError(f"{HEADS_FILE} is missing or damaged.", "Install the program again.")
    stored = load_file(path)
    for index, head in enumerate(model.heads):
        head.data = stored[f"{backbone}.{index}"].clone()


@torch.inference_mode()
def distance(model: Lpips, result: Picture, truth: Picture) -> float:
    """Return the LPIPS distance of two images (H, W, 3), 0..1."""
    one, other = (
        (torch.from_numpy(picture).float() * 2 - 1).permute(2, 0, 1)[None] for picture in (result, truth)
    )
    return float(model(one, other))


def _find_backbone(name: str, folder: Path | None) -> Path:
    """Return the verified file of a backbone; download it to torch's cache if it is nowhere."""
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    folders = [*([] if folder is None else [folder]), *weight_folders(), cache]
    path = next((place / name for place in folders if (place / name).is_file()), None)
    digits = name.rpartition("-")[2].removesuffix(".pth")
    if path is not None:
        if not _starts_with(path, digits):
            raise WeightsError(f"{path} is damaged: its SHA-256 does not start with {digits}.", "Delete it.")
        return path
    cache.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(SOURCE + name, str(cache / name), hash_prefix=digits, progress=False)
    except (OSError, URLError, RuntimeError) as error:
        raise WeightsError(
            f"The backbone {name} is in none of {', '.join(map(str, folders))} "
            f"and cannot be fetched ({error}).",
            f"Download {SOURCE}{name} and name its folder with --metric-weights.",
        ) from error
    return cache / name


def _starts_with(path: Path, digits: str) -> bool:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest().startswith(digits)
