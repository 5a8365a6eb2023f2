"""Composites of two cameras: one picture with the other one in a fixed rectangle (picture in picture)."""

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.light import luma
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.decode.reader import read_runs
from asled_cli.video.frames import Frame

_LONG_SIDE = 240  # pixels of the pictures compared
_MOMENTS = 12  # times in the clip
_EDGE = 8.0  # codes of 255 by which the pixels on both sides of an edge differ
_LASTING = 0.6  # share of the times at which an edge must be there
_COVERED = 0.65  # share of each side of the rectangle that must be a lasting edge
_SIDES = (0.12, 0.5)  # smallest and largest side of the rectangle, share of the picture's
_MAX_STILL = 0.12  # share of all pixels with a lasting edge: with more, nothing moves
_MAX_LINES = 24  # columns and rows that are tried


def is_composite(path: Path) -> bool:
    """Return whether a clip shows a second picture in a fixed rectangle, as dual-camera apps compose it.

    The rectangle's edges stay while the scene moves. A clip in which nothing moves is none.
    Raises InputError if the clip cannot be read.
    """
    clip = probe_clip(path)
    length = clip.end_s - clip.start_s
    starts = [clip.start_s + length * Fraction(i, _MOMENTS) for i in range(_MOMENTS)]
    steps = [_steps(frame) for run in read_runs(clip, starts, 1) for frame in run]
    if not steps:
        return False
    across, down = (np.mean([step[axis] for step in steps], axis=0) >= _LASTING for axis in (0, 1))
    return _has_rectangle(across, down)


def _steps(frame: Frame) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return where a small picture has an edge to the pixel two columns further, and two rows further."""
    scale = _LONG_SIDE / max(frame.rgb.shape[:2])
    small = cv2.resize(frame.rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    grey = luma(small.astype(np.float32) / np.float32(257))
    padded = np.pad(grey, 1, mode="edge")
    across = np.abs(padded[1:-1, 2:] - padded[1:-1, :-2]) > _EDGE
    down = np.abs(padded[2:, 1:-1] - padded[:-2, 1:-1]) > _EDGE
    return across, down


def _has_rectangle(across: NDArray[np.bool_], down: NDArray[np.bool_]) -> bool:
    """Return whether lasting edges form a rectangle. across, down: (h, w), edges between columns and rows."""
    if (across | down).mean() > _MAX_STILL:
        return False
    height, width = across.shape
    columns = _long_lines(across, _SIDES[0] * height)
    rows = _long_lines(down.T, _SIDES[0] * width)
    for left in columns:
        for right in columns:
            if not _SIDES[0] * width <= right - left <= _SIDES[1] * width:
                continue
            for top in rows:
                for bottom in rows:
                    if not _SIDES[0] * height <= bottom - top <= _SIDES[1] * height:
                        continue
                    sides = (
                        across[top + 1 : bottom + 1, left], across[top + 1 : bottom + 1, right],
                        down[top, left + 1 : right + 1], down[bottom, left + 1 : right + 1],
                    )  # fmt: skip
                    if min(side.mean() for side in sides) >= _COVERED:
                        return True
    return False


def _long_lines(edges: NDArray[np.bool_], least: float) -> list[int]:
    """Return the columns with most edge pixels, at least `least` of them."""
    counts = edges.sum(axis=0)
    best = np.argsort(-counts, kind="stable")[:_MAX_LINES]
    return sorted(int(place) for place in best if counts[place] >= _COVERED * least)
