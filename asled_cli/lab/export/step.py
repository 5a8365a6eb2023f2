"""One frame step of a network with explicit state: the form in which it is exported.

Each call sees a window of T neighbouring frames, finishes the first of them and returns the state after it. T
is one frame and the look-ahead of the network. Networks that restore some frames ahead of the finished one
need as many calls before the first frame, whose results are dropped. `run_steps` shows the calls for a clip.
Its first frames see less look-ahead than in a job, so the results agree with those of a job to 50 dB, as
chunks of different lengths do.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn

from asled_cli.guide import GUIDE_CHANNELS, GUIDE_STRIDE
from asled_cli.nets.interface import ChunkInputs

INPUTS = tuple(field.name for field in fields(ChunkInputs))
Step = Callable[..., Sequence[Tensor]]
_SIDE = 4  # rows and columns of the guide by which the sizes of the state are found


class FrameStep(nn.Module):
    """forward(target, reference, guide, flow_previous, flow_next, reset, *state) -> restored, *state.

    The inputs are those of `ChunkInputs` for one clip and `frames` frames, H and W multiples of `multiple`.
    restored: (1, 3, H, W), not clamped.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network.eval().float()
        self.frames = 1 + network.info.overlap
        self.multiple = network.info.size_multiple  # of width and height, pixels
        self.warm_up = network.info.ahead
        example = self.example(_SIDE, _SIDE)
        with torch.inference_mode():  # the second step has a full state
            _, state = network(example, None, 1)
            _, state = network(example, state, 1)
        self._state_type = type(state)
        self.state_names = tuple(state._fields)
        self._shapes = tuple(tuple(part.shape) for part in state)

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        """Finish the first frame of the window."""
        inputs, state = ChunkInputs(*given[: len(INPUTS)]), self._state_type(*given[len(INPUTS) :])
        restored, after = self.network(inputs, state, 1)
        return restored[:, 0], *after

    def example(self, rows: int, columns: int) -> ChunkInputs:
        """Return a window of noise for a guide of `rows` x `columns`."""
        random = torch.Generator().manual_seed(0)
        count, height, width = self.frames, rows * GUIDE_STRIDE, columns * GUIDE_STRIDE
        views = [torch.rand(1, count, 3, height, width, generator=random) for _ in range(2)]
        guide = torch.rand(1, count, GUIDE_CHANNELS, rows, columns, generator=random)
        flows = [torch.randn(1, count, 2, rows, columns, generator=random) for _ in range(2)]
        reset = torch.zeros(1, count, dtype=torch.bool)
        return ChunkInputs(views[0], views[1], guide, flows[0], flows[1], reset)

    def first_state(self, rows: int, columns: int) -> tuple[Tensor, ...]:
        """Return the state before the first call: zeros, of the size that belongs to a guide of this size."""
        sizes = [
            (*shape[:-2], shape[-2] * rows // _SIDE, shape[-1] * columns // _SIDE) for shape in self._shapes
        ]
        return tuple(torch.zeros(size) for size in sizes)


def run_steps(step: Step, sizes: FrameStep, clip: ChunkInputs) -> Tensor:
    """Restore a whole clip (1, T, 3, H, W) by single steps.

    step: `sizes` itself, or the same step in another runtime. Frames before and after the clip are copies of
    its ends behind a scene cut.
    """
    state: Sequence[Tensor] = sizes.first_state(*clip.guide.shape[-2:])
    restored = []
    for t in range(-sizes.warm_up, clip.frames):
        window = _window(clip, t, sizes.frames)
        result, *state = step(*(getattr(window, name) for name in INPUTS), *state)
        if t >= 0:
            restored.append(result)
    return torch.stack(restored, dim=1)


def _window(clip: ChunkInputs, start: int, count: int) -> ChunkInputs:
    times = list(range(start, start + count))
    inside = torch.tensor([min(max(t, 0), clip.frames - 1) for t in times])
    parts = [getattr(clip, name)[:, inside] for name in INPUTS]
    for place, t in enumerate(times):
        if t in (0, clip.frames):
            parts[-1][:, place] = True
    return ChunkInputs(*parts)
