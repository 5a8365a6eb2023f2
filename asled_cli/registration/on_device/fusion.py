"""What temporal fusion does to full pictures, by torch: see `FusionPictures`."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from asled_cli.imaging.homography import Image
from asled_cli.imaging.light import LUMA_BT709
from asled_cli.imaging.on_device.codes import FULL_SCALE, Codes, download, to_codes, upload, values
from asled_cli.imaging.on_device.resizing import Size, averaged, enlarged
from asled_cli.imaging.on_device.sampling import pixel_grid, sample
from asled_cli.registration.on_device.wiener import wiener_deconvolve
from asled_cli.registration.rendering.fusion_pictures import WarpedReference


class DeviceFusion:
    """The operations on `Codes` of one device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def warp(self, picture: Codes, flow: Image) -> Codes:
        """Return `picture` warped by `flow`, see `FusionPictures`."""
        height, width = picture.shape[:2]
        grid = upload(flow, self._device)
        full = enlarged(grid, (width, height))
        x, y = pixel_grid(height, width, self._device)
        u, v = x + full[..., 0] * (width / grid.shape[1]), y + full[..., 1] * (height / grid.shape[0])
        return to_codes(sample(values(picture), u, v, cubic=True))

    def differences(self, own: Codes, others: Sequence[Codes], size: Size) -> list[Image]:
        """Return the largest difference of each to `own`, see `FusionPictures`."""
        reduced = _reduced(own, size)
        found = [(_reduced(picture, size) - reduced).abs_().amax(dim=-1) for picture in others]
        return list(download(torch.stack(found)))  # one wait for all

    def mean(self, views: Sequence[WarpedReference[Codes]]) -> Codes:
        """Return the weighted mean, see `FusionPictures`."""
        weights = self._weights(views)
        return to_codes(_weighted_mean(views, weights))

    def deconvolved_mean(self, views: Sequence[WarpedReference[Codes]]) -> Codes:
        """Return the weighted mean with deconvolved detail, see `FusionPictures`."""
        weights = self._weights(views)
        mean = _weighted_mean(views, weights)
        grey = _luma(mean) / FULL_SCALE
        # The mean replaces a frame where it differs from the middle one.
        greys = [
            torch.lerp(grey, _luma(values(view.picture)) / FULL_SCALE, weight)
            for view, weight in zip(views, weights, strict=True)
        ]
        if self._device.type == "mps":  # whose inverse FFT is wrong: github.com/pytorch/pytorch/issues/124096
            greys = [own.cpu() for own in greys]
        travels, trust = [view.travel for view in views], [view.weight for view in views]
        sharp = wiener_deconvolve(greys, trust, travels, grey.to(greys[0].device))
        detail = (sharp.to(self._device) - grey) * FULL_SCALE
        return to_codes(mean + detail[..., None])

    def _weights(self, views: Sequence[WarpedReference[Codes]]) -> list[Tensor]:
        """Return the weight of each view at full size, (H, W)."""
        height, width = views[0].picture.shape[:2]
        return [enlarged(upload(v.weight, self._device)[..., None], (width, height))[..., 0] for v in views]


def _weighted_mean(views: Sequence[WarpedReference[Codes]], weights: Sequence[Tensor]) -> Tensor:
    """Return the mean (H, W, 3), 0..65535."""
    total = torch.zeros(views[0].picture.shape, device=weights[0].device)
    for view, weight in zip(views, weights, strict=True):
        total.addcmul_(values(view.picture), weight[..., None])
    return total.div_(torch.stack(list(weights)).sum(dim=0)[..., None])


def _reduced(picture: Codes, size: Size) -> Tensor:
    """Return the picture at `size`, 0..1, in the steps of its codes."""
    return values(to_codes(averaged(values(picture), size))) / FULL_SCALE


def _luma(rgb: Tensor) -> Tensor:
    """Return (H, W) luma (BT.709) of an (H, W, 3) picture, in its range."""
    return (rgb * upload(LUMA_BT709.astype(np.float32), rgb.device)).sum(dim=-1)
