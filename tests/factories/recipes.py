"""A recipe of `asled train` that takes a second: a tiny network, a few steps, everything written often."""

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
