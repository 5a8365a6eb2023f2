"""Fixtures for all tests: the random state is restored, clips are made once per run."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

# Threads that wait for each other by spinning make a busy machine many times slower; set before any import
# that starts them.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import cv2
import numpy as np
import pytest
from factories.clips import MOVIE_KEYS, hlg_portrait, make_clip

cv2.setNumThreads(1)


@pytest.fixture(autouse=True)
def keep_random_state() -> Iterator[None]:
    """No test can change what another one draws."""
    state, numpy_state = random.getstate(), np.random.get_state()
    yield
    random.setstate(state)
    np.random.set_state(numpy_state)


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="session")
def sdr_clip(clip_folder: Path) -> Path:
    """8-bit H.264 BT.709 with B-frames, variable rate, sound and movie keys."""
    return make_clip(clip_folder / "sdr.mov", audio=1, metadata=MOVIE_KEYS)


@pytest.fixture(scope="session")
def hlg_clip(clip_folder: Path) -> Path:
    """What a phone records by default: see `clips.hlg_portrait`."""
    return hlg_portrait(clip_folder / "hlg.mov")
