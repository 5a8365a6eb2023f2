"""Recipes of `asled train` that take a second: a tiny network, a few steps, everything written often."""

from dataclasses import replace
from typing import Any

from asled_cli.lab.training.recipe import TrainConfig
from asled_cli.lab.training_data.crops import SampleConfig

TINY_OPTIONS = {
    "fine_channels": 8,
    "coarse_channels": 8,
    "backward_blocks": 1,
    "forward_blocks": 1,
    "decoder_blocks": 1,
}


def tiny_recipe(frames: tuple[int, int] = (3, 4), batch: int = 2, **changes: Any) -> TrainConfig:
    """Return four steps of a tiny asled-fast on crops of 32 pixels, with `changes`."""
    recipe = TrainConfig(
        network="asled-fast",
        options=TINY_OPTIONS,
        samples=SampleConfig(frames=frames, crop_px=32, batch=batch),
        steps=4,
        warmup_steps=1,
        threads=1,
        workers=0,
        log_every=1,
        checkpoint_every=2,
        validate_every=2,
        precision="fp32",
    )
    return replace(recipe, **changes)


TINY = """
network = "asled-fast"
steps = 4
warmup_steps = 1
threads = 1
workers = 0
log_every = 1
checkpoint_every = 2
validate_every = 2
precision = "fp32"
[options]
fine_channels = 8
coarse_channels = 8
backward_blocks = 1
forward_blocks = 1
decoder_blocks = 1
[samples]
frames = [3, 4]
crop_px = 32
batch = 2
"""
