"""The stages that register frames and fuse their references, in one thread or side by side."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from asled_cli.registration.render import ReferenceRenderer
from asled_cli.registration.rendering.aligned_frame import AlignedFrame
from asled_cli.registration.rendering.temporal_fusion import frame_windows, fuse_references, fuse_window
from asled_cli.runtime.stages import Stage, closing_items, parallel_map
from asled_cli.video.frames import FramePair

QUEUE = 2  # frames between two stages


Aligned = Iterator[AlignedFrame]


def align_stages(
    pairs: Stage[FramePair],
    renderer: ReferenceRenderer,
    *,
    radius: int,
    threads: int,
    room: int,
    select: Callable[[Aligned], Aligned],
) -> list[Stage[AlignedFrame]]:
    """Return the stages; the last one gives the frames that `select` lets through, up to `room` ahead.

    radius: frames on either side over which references are fused. One stage where a network needs the cores
    (threads = 1), else two side by side, with as many align_threads in each.
    """
    frames = _registered(pairs, renderer, threads)
    if not radius or threads == 1:
        return [Stage(select(fuse_references(frames, radius)), room, "align")]
    aligned = Stage(frames, QUEUE, "align")
    fused = parallel_map(fuse_window, frame_windows(aligned, radius), threads)
    return [aligned, Stage(select(fused), room, "fuse")]


def _registered(
    pairs: Iterator[FramePair], renderer: ReferenceRenderer, threads: int
) -> Iterator[AlignedFrame]:
    """Yield registered frames, without the reference as recorded, which is not needed any more."""
    with closing_items(parallel_map(lambda align: align(), _turns(pairs, renderer), threads)) as frames:
        for frame in frames:
            yield replace(frame, pair=replace(frame.pair, reference=None))


def _turns(pairs: Iterator[FramePair], renderer: ReferenceRenderer) -> Iterator[Callable[[], AlignedFrame]]:
    """Yield the work on each frame in turn, once all that it needs has been seen."""
    for pair in pairs:
        yield from renderer.prepare(pair)
    yield from renderer.prepare_last()
