"""A stand-in for cached training clips: panning textures, blurred by their motion, with a coarser view."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from asled_cli.guide import Guide
from asled_cli.lab.training_data.cached_clip import CachedClip


def make_clip(
    seed: int = 0, frames: int = 8, height: int = 96, width: int = 96, speed: int = 4
) -> dict[str, NDArray[Any]]:
    """A clip as cached: a texture that moves left by `speed` pixels per frame, averaged over the motion."""
    rng = np.random.default_rng(seed)
    length = width + speed * (frames + 2)
    texture = np.stack([gaussian_filter(rng.random((height, length)), 1.0) for _ in range(3)], axis=-1)
    texture = (texture - texture.min()) / np.ptp(texture)
    views: dict[str, list[NDArray[Any]]] = {"target": [], "reference": [], "truth": []}
    for t in range(frames):
        instants = [texture[:, speed * t + k : speed * t + k + width] for k in range(speed + 1)]
        truth = instants[speed // 2]
        coarse = gaussian_filter(truth, (0.8, 0.8, 0))[::2, ::2]
        views["truth"].append(truth)
        views["target"].append(np.mean(instants, axis=0))
        views["reference"].append(zoom(coarse, (height / len(coarse), width / coarse.shape[1], 1), order=1))
    stacked = {name: np.round(np.stack(v) * 255).astype(np.uint8) for name, v in views.items()}
    grid = (frames, -(-height // 4), -(-width // 4))
    flow = np.zeros((*grid, 2), np.float16)
    flow[..., 0] = speed / 4
    previous, following = flow.copy(), -flow
    previous[0], following[-1] = 0, 0
    guide = np.zeros((*grid, 6), np.float16)
    guide[..., Guide.BLUR], guide[..., Guide.CONFIDENCE], guide[..., Guide.VALID] = 0.05, 0.7, 1
    return {
        **stacked,
        "guide": guide,
        "flow_previous": previous,
        "flow_next": following,
        "valid": np.ones(frames, bool),
        "reset": np.zeros(frames, bool),
        "meta": np.array("{}"),
    }


def write_clip(path: Path, **options: int) -> None:
    """Write `make_clip` as .npz."""
    np.savez(path, allow_pickle=False, **make_clip(**options))


def clip_in_memory(**options: int) -> CachedClip:
    """`make_clip` as read from a file."""
    arrays = make_clip(**options)
    return CachedClip(**{name: torch.from_numpy(arrays[name]) for name in CachedClip.__slots__})
