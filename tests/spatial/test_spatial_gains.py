"""Gains on spatial clips: those of the same views as two files, whichever view is the blurred one."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from factories.shaken_clip import make_shaken_clip
from factories.small_pair import Picture
from factories.spatial import FULL, Views, make_flat_clip, make_spatial_clip
from spatial.test_spatial_job import BLURRED, SHARP, known

from asled_cli.job.config import DeblurConfig
from asled_cli.pipeline import Steps, run_deblur
from asled_cli.registration.geometry.lenses import LensPrior
from asled_cli.registration.model.exposure import MotionBlur
from asled_cli.registration.model.registration import Knot, Registration
from asled_cli.registration.model.tone_curve import identity_tone
from asled_cli.spatial.run import run_job
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.decode.reader import ClipReader
from asled_cli.video.frames import FramePair


def noisy(pictures: Sequence[Picture], sigma: float, seed: int) -> list[Picture]:
    random = np.random.default_rng(seed)
    return [np.clip(p + random.normal(0, sigma, p.shape), 0, 255).astype(np.uint8) for p in pictures]


KINDS = {
    "ultra soft": (noisy(SHARP, 1.5, 1), noisy(BLURRED, 4.0, 2)),
    "wide blurred": (noisy(BLURRED, 1.5, 1), noisy(SHARP, 3.0, 2)),
    "alike": (noisy(BLURRED, 1.5, 1), noisy(BLURRED, 3.0, 2)),
}


def gain_of(path: Path, number: int, source: Path, truth: Sequence[Picture]) -> float:
    """Return by how many dB a view is nearer to the truth than in the source."""
    scores = []
    for file in (source, path):
        clip = probe_clip(file)
        with ClipReader(replace(clip, view=number if clip.views > 1 else 0)) as frames:
            inner = np.s_[16:-16, 16:-16]
            pairs = list(zip(frames, truth, strict=True))[2:-2]
            errors = [np.square(f.rgb[inner] / 257 - sharp[inner]).mean() for f, sharp in pairs]
        scores.append(-10 * np.log10(np.mean(errors)))
    return float(scores[1] - scores[0])


@pytest.mark.parametrize("kind", list(KINDS))
def test_each_view_gains_as_much_as_of_two_files(tmp_path: Path, kind: str) -> None:
    made = Views(KINDS[kind], eyes=("right", "left"), boxes=True)
    source = make_spatial_clip(tmp_path / "in.mov", views=made)
    steps = Steps(analyse=known)
    run_job(DeblurConfig(source, out=tmp_path / "out.mov", method="swap"), steps=steps)
    files = [make_flat_clip(tmp_path / f"view{number}.mov", number, made) for number in (0, 1)]
    for number in (0, 1):
        config = DeblurConfig(
            files[number], files[1 - number], out=tmp_path / f"one{number}.mov", method="swap"
        )
        config = replace(config, offset_s=0.0, fov_ratio=1.0, lens_order="given")
        run_deblur(config, steps=steps)
        spatial = gain_of(tmp_path / "out.mov", number, source, SHARP)
        flat = gain_of(tmp_path / f"one{number}.mov", number, source, SHARP)
        assert spatial > flat - 0.3
        if (kind, number) in (("ultra soft", 1), ("wide blurred", 0)):
            assert spatial > 3.0


@pytest.mark.slow
def test_views_blurred_alike_are_deblurred_without_each_other_and_the_plan_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clip = make_shaken_clip(frames=9, size=(160, 112), exposure=0.9, shake_px=9.0)
    pictures = [np.asarray(frame // 257, np.uint8) for frame in clip.wide]
    views = replace(FULL, pictures=(noisy(pictures, 0.8, 1), noisy(pictures, 1.2, 2)), sound=False)
    source = make_spatial_clip(tmp_path / "in.mov", views=views)
    result = run_job(DeblurConfig(source, out=tmp_path / "out.mov"), steps=Steps(analyse=fitting))
    for label in ("view 1 (right eye)", "view 2 (left eye)"):
        assert f"{label}: the other clip is exposed as long, so this one is deblurred alone" in caplog.text
    assert [view.frames_changed > 4 for view in result.views] == [True, True]
    truth = [np.asarray(frame // 257, np.uint8) for frame in clip.truth]
    for number in (0, 1):
        assert gain_of(tmp_path / "out.mov", number, source, truth) > 1.0


def fitting(runs: Sequence[Sequence[FramePair]], prior: LensPrior) -> Registration:
    """Return the registration of two equal views, both exposed for 0.9 of a frame interval."""
    height, width = runs[0][0].target.rgb.shape[:2]
    knot = Knot(0.2, np.eye(3), np.zeros((height, width, 2), np.float32), MotionBlur(0.08))
    size = (width, height)
    return Registration(size, size, 1 / 30, (knot,), identity_tone(), 0.01, 1.0, True, reference_exposure=0.9)
