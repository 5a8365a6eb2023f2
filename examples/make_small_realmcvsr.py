"""Make a synthetic miniature of RealMCVSR: same folders, same names, two lenses, procedural images.

    python examples/make_small_realmcvsr.py mini                  # 16 clips of 12 frames, 256x144
    asled eval --dataset realmcvsr --root mini --protocol refvsr --methods input,swap,asled-fast

Both lenses are sharp, as in the real set. `asled` makes the blur by averaging 7 frames of W. UW has 1.967
times the field of view (59 mm over 30 mm). The scores show that everything runs, not how good networks are.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

SPLITS = {"train": 10, "valid": 2, "test": 4}  # clips; 16 in all
RATIO = 59 / 30
OVERSIZE = 2.6  # of the scene over the frame, so that UW and the motion have room


def write_tree(root: Path, splits: dict[str, int], frames: int, size: tuple[int, int]) -> None:
    """Write {split}/HR/{UW,W}/<clip>/<frame>.png below `root`; equal arguments give equal images."""
    number = 0
    for split, clips in splits.items():
        for _ in range(clips):
            scene, random = make_scene(number, size), np.random.default_rng((number, 1))
            angle, speed = random.uniform(0, 2 * np.pi), random.uniform(1.0, 4.0)
            step = speed * np.array([np.cos(angle), np.sin(angle)])
            for lens, ratio in (("W", 1.0), ("UW", RATIO)):
                folder = root / split / "HR" / lens / f"{number:04d}"
                folder.mkdir(parents=True, exist_ok=True)
                for index in range(frames):
                    picture = view(scene, (index - frames / 2) * step, ratio, size)
                    cv2.imwrite(str(folder / f"{index:04d}.png"), picture)
            number += 1


def make_scene(seed: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return noise of many sizes with flat shapes and lines, OVERSIZE times the frame, BGR."""
    random = np.random.default_rng((seed, 0))
    width, height = round(size[0] * OVERSIZE), round(size[1] * OVERSIZE)
    scene = np.zeros((height, width, 3), np.float32)
    for step in (2, 4, 8, 16, 32):
        noise = random.normal(0, 1, (height // step + 2, width // step + 2, 3)).astype(np.float32)
        scene += step**0.5 * cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    canvas = np.asarray(np.clip(128 + 40 * scene / scene.std(), 0, 255), np.uint8)
    for _ in range(60):
        x, y = random.integers(0, width), random.integers(0, height)
        color = [int(value) for value in random.integers(0, 256, 3)]
        end = int(x + random.integers(-60, 60)), int(y + random.integers(-60, 60))
        if random.random() < 0.5:
            cv2.line(canvas, (int(x), int(y)), end, color, int(random.integers(1, 4)), cv2.LINE_AA)
        else:
            cv2.circle(canvas, (int(x), int(y)), int(random.integers(3, 18)), color, -1, cv2.LINE_AA)
    return canvas


def view(
    scene: NDArray[np.uint8], shift: NDArray[np.float64], ratio: float, size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Return the view of a lens with `ratio` times W's field of view, shifted by `shift` pixels."""
    soft = cv2.GaussianBlur(scene, (0, 0), 0.4 * ratio) if ratio > 1 else scene
    x = (scene.shape[1] - 1) / 2 + shift[0] - ratio * (size[0] - 1) / 2
    y = (scene.shape[0] - 1) / 2 + shift[1] - ratio * (size[1] - 1) / 2
    matrix = np.array([[ratio, 0, x], [0, ratio, y]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(soft, matrix, size, flags=flags, borderMode=cv2.BORDER_REFLECT), np.uint8
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the whole miniature."""
    parser = argparse.ArgumentParser(description="A synthetic miniature of RealMCVSR.")
    parser.add_argument("root", type=Path)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--size", default="256x144", help="WIDTHxHEIGHT [256x144]")
    given = parser.parse_args(arguments)
    width, _, height = given.size.partition("x")
    write_tree(given.root, SPLITS, given.frames, (int(width), int(height)))


if __name__ == "__main__":
    main()
