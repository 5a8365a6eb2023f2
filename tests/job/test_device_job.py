"""A job whose full pictures are torch's, on the CPU device: the frames of a usual job."""

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch
from factories.networks import random_weights
from factories.small_pair import Pair, known_registration, make_pair

from asled_cli.job import method as choosing
from asled_cli.job.blur.plan import DEBLUR_ALL
from asled_cli.job.config import DeblurConfig
from asled_cli.job.method import choose_method, load_restorer
from asled_cli.job.plan import make_plan
from asled_cli.job.rendering.stream import Part, pair_stream
from asled_cli.job.resume.start_point import find_start
from asled_cli.registration.model.exposure import MotionBlur
from asled_cli.restoration.base import RestoredFrame
from asled_cli.video.decode.probe import probe_clip


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> DeblurConfig:
    folder = tmp_path_factory.mktemp("pair")
    pair: Pair = make_pair(folder, 5)
    given = {"offset_s": 0.0, "fov_ratio": 2.0, "lens_order": "given", "device": "cpu", "precision": "fp32"}
    return DeblurConfig(
        pair.wide, pair.ultra, out=folder / "out.mp4", weights=random_weights(folder), chunk=3, **given
    )  # type: ignore[arg-type]


def restored(
    config: DeblurConfig, pictures: Literal["opencv", "torch"], align_threads: int
) -> list[RestoredFrame]:
    plan = make_plan(config)
    plan = replace(plan, choice=replace(plan.choice, pictures=pictures), align_threads=align_threads)
    known, exposure = known_registration(), MotionBlur(3.0, discrete_frames=True)
    knots = tuple(replace(knot, exposure=exposure, field=0 * knot.field) for knot in known.knots[:1])
    registration = replace(known, knots=knots, reference_exposure=1.2)
    part = Part(find_start(plan, [], registration))
    with pair_stream(plan, registration, load_restorer(plan), part, DEBLUR_ALL) as stream:
        return list(stream.frames)


@pytest.mark.parametrize(("method", "align_threads"), [("network", 1), ("swap", 2)])
def test_a_job_gives_the_same_frames(
    config: DeblurConfig, method: Literal["network", "swap"], align_threads: int
) -> None:
    if method == "swap":
        config = replace(config, method="swap", weights=None, chunk=None)
    wanted, found = (restored(config, pictures, align_threads) for pictures in ("opencv", "torch"))  # type: ignore[arg-type]
    assert len(wanted) == len(found) == 5
    for one, other in zip(wanted, found, strict=True):
        assert one.target.pts == other.target.pts and one.has_reference and other.has_reference
        assert one.change is not None and other.change is not None and np.abs(one.change).mean() > 1e-3
        assert np.sqrt(np.mean(np.square(one.change - other.change))) < 1e-3  # 60 dB


@pytest.mark.parametrize(("device", "pictures"), [("cpu", "opencv"), ("cuda:1", "torch"), ("mps", "torch")])
def test_the_device_decides_what_works_on_full_pictures(
    config: DeblurConfig, device: str, pictures: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choosing, "resolve_device", lambda name: torch.device(device))
    choice = choose_method(replace(config, method="swap", weights=None, chunk=None), probe_clip(config.wide))
    assert (choice.device, choice.pictures) == (device, pictures)
