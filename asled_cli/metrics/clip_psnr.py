"""PSNR of a finished clip against the sharp ground truth, frame by frame in display order."""

from fractions import Fraction
from pathlib import Path

import numpy as np

from asled_cli.errors import InputError
from asled_cli.metrics.psnr_ssim import psnr_of_error
from asled_cli.video.decode.pairing import pair_frames
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.decode.reader import ClipReader
from asled_cli.video.frames import Clip, Frame

FULL_SCALE = 65535.0  # white in 16-bit frames


def check_truth(path: Path, wide: Clip) -> None:
    """Raise InputError unless the clip at `path` can be compared with the frames of `wide`."""
    truth = probe_clip(path)
    if (truth.width, truth.height) != (wide.width, wide.height):
        raise InputError(
            f"The truth {path} has {truth.width}x{truth.height} pixels, {wide.path.name} has "
            f"{wide.width}x{wide.height}, expected the same."
        )


def measure_psnr(
    path: Path,
    truth: Path,
    *,
    start_s: Fraction | None = None,
    end_s: Fraction | None = None,
    offset_s: Fraction = Fraction(0),
) -> float:
    """Return the PSNR in dB of the clip `path` against the clip `truth`, averaged over the frames.

    The error is computed on RGB values as coded. Frames of `path` from start_s up to end_s are matched by
    time, where time of path = time of truth + offset_s. Frames without a ground-truth frame are left out.
    Raises InputError if no frame matches.
    """
    scores: list[float] = []
    with (
        ClipReader(probe_clip(path), start_s=start_s, end_s=end_s) as frames,
        ClipReader(probe_clip(truth)) as sharp,
    ):
        for pair in pair_frames(frames, sharp, offset_s):
            if pair.reference is not None:
                scores.append(frame_psnr(pair.target, pair.reference))
    if not scores:
        raise InputError(f"{path} and the truth {truth} share no frame in time.")
    return sum(scores) / len(scores)


def frame_psnr(frame: Frame, sharp: Frame) -> float:
    """Return the PSNR in dB of two 16-bit frames (H, W, 3).

    The differences are float32, which takes half the memory of float64.
    """
    difference = frame.rgb.astype(np.float32) - sharp.rgb
    error = float(np.mean(np.square(difference, out=difference), dtype=np.float64)) / FULL_SCALE**2
    return psnr_of_error(error)
