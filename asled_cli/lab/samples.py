"""Made clips registered the way a deblurring run does it, and kept as training samples.

A network trains on what it will meet: the reference with the real errors of the real registration.
"""

import argparse
import json
import logging
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.errors import InputError
from asled_cli.lab.made import random_pair
from asled_cli.lab.made_pair import MadePair
from asled_cli.lab.sources import find_sources
from asled_cli.lab.validation_clips import validation_pairs
from asled_cli.registration.analyse import analyse
from asled_cli.registration.lenses import LensPrior
from asled_cli.registration.render import AlignedFrame, ReferenceRenderer
from asled_cli.registration.solution import Registration
from asled_cli.video.frames import Frame, FramePair

log = logging.getLogger(__name__)


def frame_pairs(pair: MadePair) -> list[FramePair]:
    """Return the made clip as a decoder and pairing would deliver it."""
    pairs = []
    for i, (wide, ultra, there) in enumerate(zip(pair.wide, pair.ultra, pair.reference_valid, strict=True)):
        time = Fraction(i, round(pair.fps))
        target = Frame(i, i, time, _to_16_bit(wide), None)
        pairs.append(FramePair(target, Frame(i, i, time, _to_16_bit(ultra), None) if there else None))
    return pairs


def register(pairs: Sequence[FramePair], prior: LensPrior) -> tuple[Registration, list[AlignedFrame]]:
    """Return the registration of a short clip, held in memory whole, and its aligned frames."""
    registration = analyse([pairs], prior)
    renderer = ReferenceRenderer(registration)
    aligned = [frame for pair in pairs for frame in renderer.push(pair)]
    return registration, aligned + renderer.flush()


def make_sample(pair: MadePair) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of one cached clip (see `dataset`) from a made clip."""
    registration, aligned = register(frame_pairs(pair), LensPrior())
    facts = {
        **pair.parameters,
        "kind": pair.kind,
        "exposure_found": registration.exposure.length,
        "fov_ratio_found": registration.fov_ratio,
        "correlation": registration.correlation,
    }
    return {
        "target": pair.wide,
        "reference": np.stack(
            [
                w if a.reference is None else _to_8_bit(a.reference)
                for a, w in zip(aligned, pair.wide, strict=True)
            ]
        ),
        "truth": pair.truth,
        "guide": np.stack([a.guide for a in aligned]),
        "flow_previous": np.stack([a.flow_previous for a in aligned]),
        "flow_next": np.stack([a.flow_next for a in aligned]),
        "valid": np.array([a.reference is not None for a in aligned]),
        "reset": np.array([a.is_cut for a in aligned]),
        "meta": np.array(json.dumps(facts, sort_keys=True, default=str)),
    }


def write_sample(path: Path, pair: MadePair) -> None:
    """Make the sample of `pair` at `path`, complete or not at all."""
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        np.savez(file, **make_sample(pair))  # type: ignore[arg-type]
    part.replace(path)


def _to_16_bit(rgb: NDArray[np.uint8]) -> NDArray[np.uint16]:
    return rgb.astype(np.uint16) * np.uint16(257)


def _to_8_bit(rgb: NDArray[np.uint16]) -> NDArray[np.uint8]:
    return ((rgb.astype(np.uint32) + 128) // 257).astype(np.uint8)


def main(arguments: Sequence[str] | None = None) -> None:
    """Fill a folder with training samples: train/ drawn at random, valid/ the fixed validation clips."""
    parser = argparse.ArgumentParser(prog="python -m asled_cli.lab.samples", description=main.__doc__)
    parser.add_argument("sources", type=Path, help="folder of sharp photos and videos")
    parser.add_argument("out", type=Path, help="folder for train/*.npz and valid/*.npz")
    parser.add_argument("--first", type=int, default=0, help="seed of the first clip [0]")
    parser.add_argument("--count", type=int, default=500, help="clips to draw [500]")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    cv2.setNumThreads(1)
    (given.out / "train").mkdir(parents=True, exist_ok=True)
    (given.out / "valid").mkdir(parents=True, exist_ok=True)
    for name, pair in validation_pairs(find_sources(given.sources, "held-out")):
        path = given.out / "valid" / f"{name}.npz"
        if not path.exists():
            write_sample(path, pair)
    sources = find_sources(given.sources, "train")
    for seed in range(given.first, given.first + given.count):
        path = given.out / "train" / f"{seed:06d}.npz"
        if path.exists():
            continue
        try:
            write_sample(path, random_pair(sources, seed))
        except InputError as error:
            log.warning("clip %d left out: %s", seed, error)
        if seed % 20 == 0:
            log.info("clip %d", seed)


if __name__ == "__main__":
    main()
