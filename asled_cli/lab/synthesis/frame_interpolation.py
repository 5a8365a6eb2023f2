"""Interpolation of frames of a sharp sequence, so that averages have no ghosts."""

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from asled_cli.errors import InputError
from asled_cli.imaging.flow import DenseFlow
from asled_cli.imaging.light import to_grey
from asled_cli.imaging.warp import warp
from asled_cli.lab.datasets.image_sequence import Picture, Pictures

Flow = NDArray[np.float32]
# Minimum weight of a neighbour, because a pixel hidden in both would have no colour otherwise.
_MIN_CONFIDENCE = 0.01


class InterpolatedPictures:
    """Sequence with `factor` times as many images as an 8-bit one; every factor-th is an original.

    Between two neighbours a, b at time t the flow is a mix of both dense flows (OpenCV's DIS, medium), as in
    Super SloMo (Jiang et al., CVPR 2018, eq. 4). a and b are warped along it and blended by closeness in time
    and by the consistency of both flows.
    """

    def __init__(self, source: Pictures, factor: int) -> None:
        if factor < 1:
            raise InputError(f"Interpolation by {factor} is impossible, expected 1 or more.")
        self.source, self.factor = source, factor
        self._search = DenseFlow()
        self._flows: OrderedDict[int, tuple[Flow, Flow]] = OrderedDict()

    def __len__(self) -> int:
        return max(0, (len(self.source) - 1) * self.factor + 1)

    @property
    def size(self) -> tuple[int, int]:
        """Return (width, height) of the source."""
        return self.source.size

    def __getitem__(self, index: int, /) -> Picture:
        if not 0 <= index < len(self):
            raise IndexError(index)
        first, step = divmod(index, self.factor)
        before = self.source[first]
        if step == 0:
            return before
        after = self.source[first + 1]
        return between(before, after, *self._flow(first, before, after), step / self.factor)

    def _flow(self, first: int, before: Picture, after: Picture) -> tuple[Flow, Flow]:
        if first not in self._flows:
            a, b = to_grey(before), to_grey(after)
            self._flows[first] = self._search.between(a, b), self._search.between(b, a)
            while len(self._flows) > 2:
                self._flows.popitem(last=False)
        return self._flows[first]


def between(
    before: NDArray[np.uint8], after: NDArray[np.uint8], ahead: Flow, back: Flow, time: float
) -> NDArray[np.uint8]:
    """Return the image at `time`, 0..1, between two: (H, W, 3) uint8.

    ahead: (H, W, 2), content at p in `before` is at p + ahead(p) in `after`. back: the reverse.
    """
    to_before = -(1 - time) * time * ahead + time * time * back
    to_after = (1 - time) ** 2 * ahead - time * (1 - time) * back
    motion = to_after - to_before
    early = (1 - time) * _confidence(ahead, to_before, motion)
    late = time * _confidence(back, to_after, -motion)
    share = (late / (early + late))[..., None]
    first, second = (warp(p.astype(np.float32), f) for p, f in ((before, to_before), (after, to_after)))
    return np.asarray(np.clip(np.rint(first + share * (second - first)), 0, 255), np.uint8)


def _confidence(found: Flow, place: Flow, expected: Flow) -> NDArray[np.float32]:
    """Return (H, W), 0..1: consistency of the flow at `place` in a neighbour with `expected`.

    It is low where the point is hidden in that neighbour.
    """
    miss = np.linalg.norm(warp(found, place) - expected, axis=-1)
    return np.asarray(np.maximum(np.exp(-miss), _MIN_CONFIDENCE), np.float32)
