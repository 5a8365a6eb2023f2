"""How far to trust an inversion at each pixel: where it does not explain the frames, the input stays.

The sharp frame that the other frames alone give, blurred as the target frame was, must predict the target
better than the others as they are. It does not where something moved by itself, where the motion is wrong or
where there is nothing to see.
"""

from typing import Any

import cv2
import numpy as np

from asled_cli.deconvolution.wiener import Inversion
from asled_cli.imaging.homography import Image

_AROUND_PX = 8.0  # sigma over which residuals are compared
_NOISE = 0.006  # of coded luma; differences about as large say nothing
_NONE, _FULL = 0.0, 0.3  # share of the plain difference explained from which, and at which, it counts
_WHOLE = 0.15  # explained share of the whole frame's difference at which its regions count fully
_DARKEST = 0.003  # linear light at which the slope of coded values is held
_SHORT_PX, _LONG_PX = 1.0, 2.0  # blur that is left alone, and blur that is undone fully
# Share of the plain difference that the path must explain, or the frames are asked for blurs of their own.
# Planes under shake reach 0.46 to 0.86, the poorest that gained 0.12 (0.6 dB); videos whose motion is no
# homography 0.005 and 0.09, and lost up to 0.43 dB.
PATH_EXPLAINS = 0.11
# The same from which, and at which, an inversion along the path counts in the first and the last frame of a
# scene. There the path is known from one side only: of 23 such frames of training clips under shake the worst
# lost 2.4 dB in full, 1.2 dB by this share.
_END_NONE, _END_FULL = 0.2, 0.4
# The same from which, and at which, blurs found without the path count; their length; and how far a frame's
# middle instant may be from its mean. At a turn of the motion the fit may take one end of the exposure for
# its middle.
_FREE_NONE, _FREE_FULL = 0.3, 0.5
_FREE_SHORT_PX, _FREE_LONG_PX = 1.5, 3.5
_MIDDLE_FULL_PX, _MIDDLE_NONE_PX = 0.8, 1.2


def confidence(inversion: Inversion, luma: Image) -> Image:
    """Return (H, W) float32 0..1: the share of the change to apply.

    luma: (H, W) linear, of the target frame.
    """
    coded = (1 / 2.2) * np.maximum(luma, np.float32(_DARKEST)) ** np.float32(1 / 2.2 - 1)
    left, plain = (_energy(r * coded) for r in (inversion.residual, inversion.plain))
    explained = 1 - left / (plain + np.float32(_NOISE**2))
    share = _ramp(explained, _NONE, _FULL)
    share *= np.clip((1 - left.mean() / (plain.mean() + 1e-12)) / _WHOLE, 0, 1)
    height, width = inversion.luma.shape
    return np.asarray(cv2.resize(share, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def blur_share(blur_px: Image) -> Image:
    """Return 0..1: how much of blurs of these lengths to undo, so that nothing changes where none was."""
    return np.asarray(_ramp(blur_px, _SHORT_PX, _LONG_PX), np.float32)


def explained(inversion: Inversion) -> float:
    """Return the share of the plain difference of a whole frame that inversion explains, at most 1."""
    left, plain = (float(np.square(r).mean()) for r in (inversion.residual, inversion.plain))
    return 1 - left / (plain + 1e-12)


def end_share(inversion: Inversion) -> float:
    """Return 0..1: how much of a blur along the path to undo in the first and the last frame of a scene."""
    return float(_ramp(explained(inversion), _END_NONE, _END_FULL))


def free_share(inversion: Inversion, blur_px: float, middle_px: float) -> float:
    """Return 0..1: how much of a blur that was found without the path to undo.

    blur_px: its length. middle_px: from the frame's middle instant to its mean.
    """
    clear = _ramp(explained(inversion), _FREE_NONE, _FREE_FULL)
    long = _ramp(blur_px, _FREE_SHORT_PX, _FREE_LONG_PX)
    central = _ramp(middle_px, _MIDDLE_NONE_PX, _MIDDLE_FULL_PX)
    return float(clear * long * central)


def _ramp(value: Image | float, none: float, full: float) -> Any:
    """Return 0 at `none`, 1 at `full`, linear between them and constant beyond."""
    return np.clip((value - none) / (full - none), 0, 1)


def _energy(residual: Image) -> Image:
    size = (residual.shape[1] + 3) // 4, (residual.shape[0] + 3) // 4
    small = cv2.resize(np.square(residual), size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(small, (0, 0), _AROUND_PX / 4), np.float32)
