"""Invert large frames at a smaller size, for a fast first look; the whole frames get what that adds."""

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.deconvolution.blended.unblend import resized_flow
from asled_cli.deconvolution.own_reference import Flow, OwnReference
from asled_cli.guide import guide_grid

Codes = NDArray[np.uint16]


def reduced(rgb: Codes, long_side: int) -> Codes:
    """Return a frame (H, W, 3) whose longer side is `long_side` pixels at most; itself if it is no larger."""
    height, width = rgb.shape[:2]
    share = long_side / max(height, width)
    if share >= 1:
        return rgb
    size = max(1, round(width * share)), max(1, round(height * share))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint16)


def enlarged(found: OwnReference, small: Codes, rgb: Codes) -> OwnReference:
    """Return the inversion of a reduced frame as that of the whole one.

    found: of `small`. small: (h, w, 3), `rgb` by `reduced`. rgb: (H, W, 3), coded. The result has what the
    inversion added to the reduced frame, added to the whole one, with guide and flow on its grid.
    """
    if small.shape == rgb.shape:
        return found
    height, width = rgb.shape[:2]
    sharp = None
    if found.sharp is not None:
        added = found.sharp.astype(np.float32) - small
        added = np.asarray(cv2.resize(added, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)
        added += rgb
        sharp = np.rint(np.clip(added, 0, 65535)).astype(np.uint16)
    rows, columns = guide_grid(height, width)
    guide = cv2.resize(found.guide.astype(np.float32), (columns, rows), interpolation=cv2.INTER_LINEAR)
    return replace(
        found,
        sharp=sharp,
        guide=np.asarray(guide, np.float16),
        flow_previous=_on_grid(found.flow_previous, (columns, rows)),
        flow_next=_on_grid(found.flow_next, (columns, rows)),
    )


def _on_grid(flow: Flow, size: tuple[int, int]) -> Flow:
    return resized_flow(flow.astype(np.float32), size).astype(np.float16)
