"""The picture of the compare clip: two views, their names, and a zoomed crop of each below."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.job.show.picture import fitted, resized, shown_size, upright, white_code
from asled_cli.job.show.region import STEP, Region, strength_map
from asled_cli.video.frames import Clip

MAX_VIEW = (1920, 1080)  # pixels of one view; two beside each other are as wide as 4K
GAP = 8  # pixels between the views
ZOOM = 4  # of the crops, against the views above them
SWEEP_S = 4.0  # seconds in which the dividing line goes to and fro
NAMES = ("source", "result")
Rgb = NDArray[np.uint16]
Box = tuple[int, int, int, int]  # left, top, width, height


class Layout:
    """Draws source and result of the frames of `clip`, upright.

    split: one view, divided by a moving line; else two views beside each other. size: (width, height) of the
    picture, even.
    """

    def __init__(self, clip: Clip, *, split: bool = False) -> None:
        self._clip, self._split = clip, split
        self._view = width, height = fitted(shown_size(clip), MAX_VIEW)
        total = width if split else 2 * width + GAP
        strip = max(2, height // 2 // 2 * 2)
        self.size = total, height + GAP + strip
        self._panel = (total - GAP) // 2, strip
        self._crop: tuple[int, int] | None = None  # of the full frame, upright pixels
        self._region: Region | None = None
        self._white = white_code(clip)

    def draw(self, rgb: Rgb, change: NDArray[np.float32] | None, time_s: float) -> Rgb:
        """Return (H, W, 3) uint16 of one frame. change: (H, W, 3) float32, full scale 1; None: none."""
        result = rgb
        if change is not None:
            result = np.clip(rgb + change * np.float32(65535), 0, 65535).astype(np.uint16)
        source, result = (upright(view, self._clip) for view in (rgb, result))
        crop = self._follow(source, None if change is None else upright(change, self._clip))
        canvas = np.full((self.size[1], self.size[0], 3), self._white // 8, np.uint16)
        self._draw_views(canvas, source, result, crop, time_s)
        self._draw_crops(canvas, source, result, crop)
        return canvas

    def _follow(self, source: Rgb, change: NDArray[np.float32] | None) -> Box:
        """Return the window of the full frame that is shown enlarged."""
        height, width = source.shape[:2]
        if self._region is None:
            w, h = (
                min(most, max(2, round(panel / ZOOM * most / view)))
                for panel, view, most in zip(self._panel, self._view, (width, height), strict=True)
            )
            self._crop = w, h
            self._region = Region(self._crop)
        assert self._crop is not None
        nothing = np.zeros((-(-height // STEP), -(-width // STEP)), np.float32)
        left, top = self._region.follow(nothing if change is None else strength_map(change))
        return min(left, width - self._crop[0]), min(top, height - self._crop[1]), *self._crop

    def _draw_views(self, canvas: Rgb, source: Rgb, result: Rgb, crop: Box, time_s: float) -> None:
        width, height = self._view
        views = [resized(view, self._view) for view in (source, result)]
        if self._split:
            line = round(width * (0.5 + 0.4 * math.sin(2 * math.pi * time_s / SWEEP_S)))
            canvas[:height, :line], canvas[:height, line:] = views[0][:, :line], views[1][:, line:]
            canvas[:height, max(0, line - 1) : line + 1] = self._white
            places = [(0, line), (line, width)]
        else:
            canvas[:height, :width], canvas[:height, width + GAP :] = views
            places = [(0, width), (width + GAP, self.size[0])]
        across, down = width / source.shape[1], height / source.shape[0]
        x, w, y, h = (
            *(round(side * across) for side in crop[::2]),
            *(round(side * down) for side in crop[1::2]),
        )
        for left in [0] if self._split else [0, width + GAP]:
            self._outline(canvas, (left + x, y, w, h))
        for name, (left, right) in zip(NAMES, places, strict=True):
            self._label(canvas[:height, left:right], name)

    def _draw_crops(self, canvas: Rgb, source: Rgb, result: Rgb, crop: Box) -> None:
        x, y, w, h = crop
        width, height = self._panel
        zoom = width / w * source.shape[1] / self._view[0]  # against the view above
        for left, view, name in zip((0, self.size[0] - width), (source, result), NAMES, strict=True):
            panel = canvas[-height:, left : left + width]
            panel[:] = resized(view[y : y + h, x : x + w], (width, height))
            self._label(panel, f"{name}, {zoom:.0f}x")

    def _outline(self, canvas: Rgb, box: Box) -> None:
        x, y, w, h = box
        edge = 2
        for part in (
            canvas[y : y + edge, x : x + w],
            canvas[y + h - edge : y + h, x : x + w],
            canvas[y : y + h, x : x + edge],
            canvas[y : y + h, x + w - edge : x + w],
        ):
            part[:] = self._white

    def _label(self, view: Rgb, text: str) -> None:
        """Write `text` on a darkened field in the upper left corner, as far as the view is wide enough."""
        size = max(0.4, self._view[1] / 900)
        (width, height), low = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
        room = height + low + 8
        if view.shape[1] < width + 12 or view.shape[0] < room:
            return
        ink = np.zeros((room, width + 12), np.uint8)
        thick = max(1, round(size * 1.5))
        cv2.putText(ink, text, (6, height + 4), cv2.FONT_HERSHEY_SIMPLEX, size, 255, thick, cv2.LINE_AA)
        corner = view[:room, : width + 12]
        share = ink[..., None] / np.float32(255)
        corner[:] = (corner // 4) * (1 - share) + self._white * share
