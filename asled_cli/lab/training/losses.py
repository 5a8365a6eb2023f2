"""Training losses. All take (N, T, 3, H, W) RGB 0..1 and return a scalar."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def charbonnier(restored: Tensor, truth: Tensor, epsilon: float = 1e-3) -> Tensor:
    """Return the Charbonnier loss: the mean of sqrt(difference^2 + epsilon^2), a smooth L1 norm."""
    return torch.sqrt((restored - truth).square() + epsilon**2).mean()


def negative_psnr(restored: Tensor, truth: Tensor) -> Tensor:
    """Return the mean over frames of -PSNR in dB, as in NAFNet: easy and hard clips count equally.

    The square error is at least 1e-5 (50 dB), so that sharp frames do not dominate.
    """
    error = (restored - truth).square().mean(dim=(-3, -2, -1))
    return 10 * torch.log10(error + 1e-5).mean()


def gradient_difference(restored: Tensor, truth: Tensor) -> Tensor:
    """Return the mean absolute difference of the gradients in x and y, which emphasises edges."""
    error = restored - truth
    return error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()


def spectral_difference(restored: Tensor, truth: Tensor) -> Tensor:
    """Return the mean absolute difference of the 2-D spectra (orthonormal), after MIMO-UNet, eq. 5."""
    spectrum = torch.view_as_real(torch.fft.rfft2(restored - truth, norm="ortho"))
    return spectrum.abs().mean()


def structural_dissimilarity(restored: Tensor, truth: Tensor) -> Tensor:
    """Return 1 - SSIM (Wang et al. 2004, equation 13): 11x11 Gaussian, sigma 1.5, valid region.

    Channels are separate. It compares contrast and structure, in dim and faint texture as much as in strong.
    H and W are at least 11.
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
    """Return (size - 10, size): the valid 11-tap Gaussian of sigma 1.5 along a side, as a matrix."""
    away = torch.arange(size, device=like.device)[None] - torch.arange(size - 10, device=like.device)[:, None]
    weights = torch.exp(-(away - 5.0).square() / (2 * 1.5**2)) * ((away >= 0) & (away <= 10))
    return weights / weights.sum(dim=1, keepdim=True)


def temporal_difference(restored: Tensor, truth: Tensor) -> Tensor:
    """Return the mean absolute difference of the frame-to-frame change. Zero for one frame."""
    if restored.shape[1] < 2:
        return restored.new_zeros(())
    return (restored - truth).diff(dim=1).abs().mean()


def perceptual_distance(restored: Tensor, truth: Tensor, lpips: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Return the mean LPIPS of the frames. lpips: distance (N,) of images (N, 3, H, W), -1..1."""
    one, other = (frames.flatten(0, 1) * 2 - 1 for frames in (restored, truth))
    return lpips(one, other).mean()


def psnr_per_frame(restored: Tensor, truth: Tensor) -> Tensor:
    """Return (N, T): PSNR in dB of RGB 0..1, `restored` clamped; at most 100 dB."""
    error = F.mse_loss(restored.clamp(0, 1), truth, reduction="none").mean(dim=(-3, -2, -1))
    return -10 * torch.log10(error.clamp(min=1e-10))
