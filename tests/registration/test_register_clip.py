"""The one entry to registration: every frame is looked at where OIS moves one lens alone, and only there."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from factories.small_pair import known_registration

from asled_cli.registration import analyse
from asled_cli.registration.geometry.lenses import LensPrior
from asled_cli.registration.model.exposure import MotionBlur
from asled_cli.registration.model.ois_path import OisPath
from asled_cli.registration.model.registration import Registration
from asled_cli.video.frames import Frame, FramePair

FRAME = Frame(0, 0, Fraction(0), np.zeros((96, 128, 3), np.uint16), None)
PAIRS = [FramePair(FRAME, FRAME)] * 3
PATH = OisPath(np.array([0.0, 0.1]), np.array([[0.0, 1.0], [2.0, 0.0]]), MotionBlur(0.5))


@contextmanager
def opened() -> Iterator[Sequence[FramePair]]:
    yield PAIRS


@contextmanager
def never() -> Iterator[Sequence[FramePair]]:
    pytest.fail("the clip was read without need")
    yield []


def test_a_clip_without_ois_is_read_no_further() -> None:
    known = known_registration()
    assert analyse.register_clip([], never, LensPrior(), analyse=lambda runs, prior: known) is known


def test_under_ois_the_whole_clip_is_followed_at_full_size(monkeypatch: pytest.MonkeyPatch) -> None:
    known = replace(known_registration(), ois_path=PATH)
    seen: list[tuple[int, Registration]] = []

    def follow(pairs: Sequence[FramePair], found: Registration, *_: object) -> Registration:
        seen.append((len(pairs), found))
        return found

    monkeypatch.setattr(analyse, "follow_clip", follow)
    sizes = ((256, 192), (512, 384))
    found = analyse.register_clip([], opened, LensPrior(), sizes=sizes, analyse=lambda runs, prior: known)
    assert [count for count, _ in seen] == [3] and seen[0][1] is found
    assert (found.target_size, found.reference_size) == sizes
