"""How far a clip is out of focus, as a map: `asled probe CLIP --defocus FILE`.

White is a Gaussian of MAX_SIGMA pixels on the picture that the network sees, which is at most LONG_SIDE
pixels long; on the clip it is larger by the reduction.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from asled_cli.errors import UsageError, WeightsError
from asled_cli.job.show.drawing import check_drawing, write_drawing
from asled_cli.job.show.picture import upright
from asled_cli.nets.dmenet import MAX_SIGMA
from asled_cli.progress import Progress, Report, ignore
from asled_cli.video.decode.pixel_format import to_8_bit
from asled_cli.video.decode.reader import ClipReader, frame_times
from asled_cli.video.encode.image_clip import write_pictures
from asled_cli.video.frames import Clip, Frame
from asled_cli.zoo import checkpoint as weights

OPTION = "--defocus"
NETWORK = "dmenet"
LONG_SIDE = 960  # pixels of the picture that the network sees
_BAR = 24  # rows of the scale below the map
_RECIPE = "examples/recipes/dmenet_cpu.toml"


@dataclass(frozen=True)
class DefocusReport:
    """Sigma of the blur in pixels of the clip: median and 90th percentile, and the frames looked at."""

    median_px: float
    high_px: float
    frames: int

    def as_dict(self) -> dict[str, float | int]:
        """Return plain values, for JSON."""
        return {
            "defocus_median_px": round(self.median_px, 2),
            "defocus_p90_px": round(self.high_px, 2),
            "defocus_frames": self.frames,
        }


def check_defocus(path: Path, inputs: list[Path], file: Path | None, *, overwrite: bool = False) -> None:
    """Raise UsageError unless a map can be written to `path` with the weights in `file`."""
    check_drawing(OPTION, path, inputs, overwrite=overwrite)
    if file is None:
        raise UsageError(
            f"--defocus needs weights of {NETWORK}, and none come with the program.",
            f"Train some: asled train {_RECIPE} --data PHOTOS --out RUN; then pass --defocus-weights "
            "RUN/best.safetensors.",
        )


def load_estimator(path: Path) -> Any:
    """Return the network that maps pictures (N, 3, H, W) to (N, 1, H, W). Raises WeightsError for others."""
    found = weights.architecture(weights.find(NETWORK, path))
    if found != NETWORK:
        raise WeightsError(f"{path} holds weights of {found}, expected {NETWORK}.")
    return weights.load(path).estimator.eval()


def draw_defocus(
    clip: Clip, file: Path, out: Path, *, overwrite: bool = False, report: Report = ignore
) -> DefocusReport:
    """Write the map of the middle frame (.png), or of every frame (.mp4) with one in memory at a time.

    Raises an AsledError for the user.
    """
    network = load_estimator(file)
    count, still = len(frame_times(clip)), out.suffix.lower() == ".png"
    wanted = range(count // 2, count // 2 + 1) if still else range(count)
    sigmas: list[NDArray[np.float64]] = []

    def maps() -> Iterator[NDArray[np.uint8]]:
        for frame in _frames(clip, wanted):
            found, reduction = estimate(network, frame)
            white_px = MAX_SIGMA * reduction
            sigmas.append(np.asarray(np.quantile(found, (0.5, 0.9)) * white_px, np.float64))
            yield with_scale(np.ascontiguousarray(upright(found, clip)), white_px)
            report(Progress("map defocus", len(sigmas), len(wanted)))

    def write(part: Path) -> None:
        if still:
            part.write_bytes(cv2.imencode(".png", next(maps()))[1].tobytes())
        else:
            grey = (np.repeat(one[..., None], 3, axis=-1) for one in maps())
            write_pictures(part, grey, rate=max(1, round(clip.average_rate)))

    write_drawing(OPTION, out, write, overwrite=overwrite)
    middle, high = np.median(np.stack(sigmas), axis=0)
    return DefocusReport(float(middle), float(high), len(sigmas))


def _frames(clip: Clip, wanted: range) -> Iterator[Frame]:
    with ClipReader(clip) as frames:
        for index, frame in enumerate(frames):
            if index >= wanted.stop:
                return
            if index in wanted:
                yield frame


def estimate(network: Any, frame: Frame) -> tuple[NDArray[np.float32], float]:
    """Return the map (h, w), 0..1, at LONG_SIDE pixels or less, and the reduction of the frame, 1 or more."""
    picture = to_8_bit(frame.rgb)
    reduction = max(1.0, max(picture.shape[:2]) / LONG_SIDE)
    if reduction > 1:
        size = round(picture.shape[1] / reduction), round(picture.shape[0] / reduction)
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    tensor = torch.from_numpy(picture.astype(np.float32) / 255.0).permute(2, 0, 1)[None]
    with torch.inference_mode():
        found = network(tensor)
    return found[0, 0].float().numpy(), reduction


def with_scale(found: NDArray[np.float32], white_px: float) -> NDArray[np.uint8]:
    """Return the map as grey, (h + bar, w) with even sides, above a scale from 0 to `white_px` pixels."""
    height, width = (side // 2 * 2 for side in found.shape)
    grey = np.rint(found[:height, :width] * 255.0).astype(np.uint8)
    bar = np.repeat(np.linspace(0, 255, width).astype(np.uint8)[None], _BAR, axis=0)
    for text, x, colour in (("0", 4, 255), (f"sigma {white_px:.1f} px", max(4, width - 120), 0)):
        cv2.putText(bar, text, (x, _BAR - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, 1, cv2.LINE_AA)
    return np.concatenate((grey, bar))
