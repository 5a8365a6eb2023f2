"""The stages of the alignment: the same frames in the same order from any number of threads."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any, cast

import numpy as np
import pytest

from asled_cli.guide import Guide
from asled_cli.registration.render import ReferenceRenderer
from asled_cli.registration.render_stages import fuse_stages, registered_frames
from asled_cli.registration.rendering.aligned_frame import AlignedFrame
from asled_cli.registration.rendering.temporal_fusion import fuse_references
from asled_cli.runtime.stages import Stage
from asled_cli.video.frames import Frame, FramePair

FRAMES, HEIGHT, WIDTH = 9, 36, 52


def frame(i: int) -> AlignedFrame:
    """A frame of noise whose content moves; every fourth one lacks a reference."""
    draw = np.random.default_rng(i)
    cells = HEIGHT // 4, WIDTH // 4
    guide = draw.random((*cells, len(Guide))).astype(np.float16)
    guide[..., Guide.VALID] = i % 4 != 3
    flow = draw.normal(0, 1, (*cells, 2)).astype(np.float16)
    target, reference = (draw.integers(0, 65536, (HEIGHT, WIDTH, 3)).astype(np.uint16) for _ in range(2))
    pair = FramePair(Frame(i, i, Fraction(i, 30), target, None), None)
    return AlignedFrame(pair, None if i % 4 == 3 else reference, guide, -flow, flow, flow, i == 6)


class LateRenderer:
    """Gives each frame with the pair after it, as the true one does."""

    def __init__(self) -> None:
        self._pairs: list[FramePair] = []

    def prepare(self, pair: FramePair) -> list[Callable[[], AlignedFrame]]:
        self._pairs.append(pair)
        return [partial(self._frame, len(self._pairs) - 2)] if len(self._pairs) > 1 else []

    def prepare_last(self) -> list[Callable[[], AlignedFrame]]:
        return [partial(self._frame, len(self._pairs) - 1)]

    def _frame(self, i: int) -> AlignedFrame:
        return replace(frame(i), pair=self._pairs[i])


def aligned(radius: int, threads: int, room: int) -> tuple[list[AlignedFrame], list[str]]:
    """Frames from the stages, whose pairs have references as recorded, and the names of the stages."""
    renderer = cast("ReferenceRenderer[Any]", LateRenderer())
    pairs = (frame(i).pair for i in range(FRAMES))
    recorded = Stage((replace(pair, reference=pair.target) for pair in pairs), 2, "pair")
    registered = registered_frames(recorded, renderer, threads)
    stages = fuse_stages(
        registered, "align", radius=radius, threads=threads, room=room, select=lambda frames: frames
    )
    with stages[-1]:
        return list(stages[-1]), [stage.name for stage in stages]


@pytest.mark.parametrize("radius", [0, 2])
@pytest.mark.parametrize(("threads", "room"), [(1, 2), (2, 2), (3, 9)])
def test_threads_change_no_bit(radius: int, threads: int, room: int) -> None:
    expected = list(fuse_references([frame(i) for i in range(FRAMES)], radius))
    found, names = aligned(radius, threads, room)
    assert names == (["align", "fuse"] if radius else ["align"])
    assert [one.pair.target.index for one in found] == list(range(FRAMES))
    for one, other in zip(found, expected, strict=True):
        assert (one.reference is None) == (other.reference is None)
        if one.reference is not None:
            np.testing.assert_array_equal(one.reference, other.reference)
    fused = [not np.array_equal(one.reference, frame(i).reference) for i, one in enumerate(found)]
    assert any(fused) == bool(radius)


def test_the_recorded_reference_is_not_kept() -> None:
    """It is as large as the frame, and needed no more once it is registered."""
    assert all(one.pair.reference is None for one in aligned(2, 2, 2)[0])
