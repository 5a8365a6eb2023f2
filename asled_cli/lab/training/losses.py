"""Training objectives. All take (N, T, 3, H, W) RGB 0..1 and return a scalar."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def charbonnier(restored: Tensor, truth: Tensor, epsilon: float = 1e-3) -> Tensor:
    """Mean of sqrt(difference^2 + epsilon^2): an L1 norm that is smooth at zero."""
    return torch.sqrt((restored - truth).square() + epsilon**2).mean()


def negative_psnr(restored: Tensor, truth: Tensor) -> Tensor:
    """Mean over frames of -PSNR in dB, as in NAFNet: easy clips count as much as hard ones.

    The square error is kept above 1e-5 (50 dB), so that frames that need no mending do not rule.
    """
    error = (restored - truth).square().mean(dim=(-3, -2, -1))
    return 10 * torch.log10(error + 1e-5).mean()


def gradient_difference(restored: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference of the slopes in x and y: edges count more than flat colour."""
    error = restored - truth
    return error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()


def spectral_difference(restored: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference of the 2-D spectra (orthonormal), after MIMO-UNet, eq. 5."""
    spectrum = torch.view_as_real(torch.fft.rfft2(restored - truth, norm="ortho"))
    return spectrum.abs().mean()


def structural_dissimilarity(restored: Tensor, truth: Tensor) -> Tensor:
    """1 - SSIM (Wang et al. 2004, equation 13): 11x11 Gaussian of sigma 1.5, channels alone, valid region.

    What counts is contrast and its pattern, in dim and faint texture as much as in strong. H and W are at
    least 11.
    """
    height, width = restored.shape[-2:]
    down, across = _gaussian_rows(height, restored), _gaussian_rows(width, restored).T

    def smooth(frames: Tensor) -> Tensor:
        return down @ frames @ across

    # Small differences of nearly equal means: neither 16 bits nor the TF32 of convolutions would do.
    with torch.autocast(restored.device.type, enabled=False):
        mean_r, mean_t = smooth(restored), smooth(truth)
        spread = smooth(restored.square() + truth.square()) - mean_r.square() - mean_t.square()
        common = smooth(restored * truth) - mean_r * mean_t
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * mean_r * mean_t + c1) * (2 * common + c2)
    similarity = similarity / ((mean_r.square() + mean_t.square() + c1) * (spread + c2))
    return 1 - similarity.mean()


def _gaussian_rows(size: int, like: Tensor) -> Tensor:
    """(size - 10, size): the matrix that takes the 11-tap Gaussian of sigma 1.5 along a side, valid part."""
    away = torch.arange(size, device=like.device)[None] - torch.arange(size - 10, device=like.device)[:, None]
    weights = torch.exp(-(away - 5.0).square() / (2 * 1.5**2)) * ((away >= 0) & (away <= 10))
    return weights / weights.sum(dim=1, keepdim=True)


def temporal_difference(restored: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference of the change from frame to frame: flicker. Zero for a single frame."""
    if restored.shape[1] < 2:
        return restored.new_zeros(())
    return (restored - truth).diff(dim=1).abs().mean()


def perceptual_distance(restored: Tensor, truth: Tensor, lpips: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Mean LPIPS of the frames. lpips: distance (N,) of pictures (N, 3, H, W), -1..1."""
    one, other = (frames.flatten(0, 1) * 2 - 1 for frames in (restored, truth))
    return lpips(one, other).mean()


def psnr_per_frame(restored: Tensor, truth: Tensor) -> Tensor:
    """(N, T) peak signal-to-noise ratio in dB of RGB 0..1, `restored` clamped; at most 100 dB."""
    error = F.mse_loss(restored.clamp(0, 1), truth, reduction="none").mean(dim=(-3, -2, -1))
    return -10 * torch.log10(error.clamp(min=1e-10))
