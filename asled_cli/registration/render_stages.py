"""The stages that register frames and fuse their references, in one thread or side by side."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from asled_cli.registration.render import ReferenceRenderer
from asled_cli.registration.rendering.aligned_frame import AlignedFrame, Picture
from asled_cli.registration.rendering.fusion_pictures import OPENCV_FUSION, FusionPictures
from asled_cli.registration.rendering.temporal_fusion import frame_windows, fuse_window
from asled_cli.runtime.stages import Stage, closing_items, parallel_map
from asled_cli.video.frames import FramePair

QUEUE = 2  # frames between two stages


def fuse_stages(
    frames: Iterator[AlignedFrame[Picture]],
    name: str,
    *,
    radius: int,
    threads: int,
    room: int,
    select: Callable[[Iterator[AlignedFrame[Picture]]], Iterator[AlignedFrame[Picture]]],
    fusion: FusionPictures[Any] = OPENCV_FUSION,
) -> list[Stage[AlignedFrame[Picture]]]:
    """Return the stages; the last one gives the frames that `select` lets through, up to `room` ahead.

    frames: what the first stage, called `name`, computes. radius: frames on either side over which references
    are fused. threads: that fuse them. The two steps run side by side, so that a network gets its first
    frames sooner. fusion: does the work on full references, which are of the frames' kind.
    """
    if not radius:
        return [Stage(select(frames), room, name)]
    aligned = Stage(frames, QUEUE, name)
    fuse = partial(fuse_window, pictures=fusion)
    fused = parallel_map(fuse, frame_windows(aligned, radius), threads)
    return [aligned, Stage(select(fused), room, "fuse")]


def registered_frames(
    pairs: Iterator[FramePair], renderer: ReferenceRenderer[Picture], threads: int
) -> Iterator[AlignedFrame[Picture]]:
    """Yield registered frames, without the reference as recorded, which is not needed any more.

    threads: that register frames side by side.
    """
    with closing_items(parallel_map(lambda align: align(), _turns(pairs, renderer), threads)) as frames:
        for frame in frames:
            yield replace(frame, pair=replace(frame.pair, reference=None))


def _turns(
    pairs: Iterator[FramePair], renderer: ReferenceRenderer[Picture]
) -> Iterator[Callable[[], AlignedFrame[Picture]]]:
    """Yield the work on each frame in turn, once all that it needs has been seen."""
    for pair in pairs:
        yield from renderer.prepare(pair)
    yield from renderer.prepare_last()
