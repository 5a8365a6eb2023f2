"""Pairs whose reference is blurred as much, or shows another scene: own frames help instead."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import pytest
from factories.clips import make_clip, phone_ticks
from factories.shaken_clip import make_shaken_clip
from factories.small_pair import known_registration

from asled_cli import pipeline
from asled_cli.deconvolution.exposure import ExposureFit
from asled_cli.errors import InterruptedRunError
from asled_cli.job import plan as planning
from asled_cli.job.blur.plan import DEBLUR_ALL, BlurPlan, blurred_alike
from asled_cli.job.blur.stretches import PAST_S, Action, Interval
from asled_cli.job.config import DeblurConfig
from asled_cli.job.records import DeblurResult, MethodChoice
from asled_cli.progress import Progress
from asled_cli.registration.estimate.sharpness import Comparison, Sharpness
from asled_cli.registration.model.exposure import MotionBlur
from asled_cli.video.encode.encoder import EncodeConfig

FRAMES, SIZE = 18, (128, 80)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("equal")
    made = make_shaken_clip(frames=FRAMES, size=SIZE)

    def write(name: str, pictures: Any) -> Path:
        def shown(index: int) -> av.VideoFrame:
            picture = av.VideoFrame.from_ndarray(pictures[index], format="rgb48le")
            return picture.reformat(format="yuv420p", dst_colorspace="ITU709")

        options = {"crf": "2", "preset": "ultrafast"}
        return make_clip(
            folder / name, codec="libx264", pix_fmt="yuv420p", size=SIZE, ticks=phone_ticks(FRAMES),
            options=options, shown=shown,
        )  # fmt: skip

    return write("wide.mp4", made.wide), write("truth.mp4", made.truth)


@pytest.fixture
def job(clips: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Callable[..., DeblurResult]:
    wide, truth = clips
    monkeypatch.setattr(planning, "measure_exposure", lambda *_: ExposureFit(0.8, 0.7))
    monkeypatch.setattr(planning, "choose_method", lambda *_: MethodChoice(method="swap", reason="test"))

    def run(
        out: Path, plan: BlurPlan, report: Any = lambda event: None, *, accepted: bool = True, **changes: Any
    ) -> DeblurResult:
        monkeypatch.setattr(pipeline, "judge_clips", lambda *_, **__: plan)
        found = replace(known_registration(SIZE), accepted=accepted)
        steps = pipeline.Steps(analyse=lambda runs, prior: found, segment_length=lambda clip: 4)
        other = wide.with_name("other.mp4")
        other.write_bytes(wide.read_bytes())
        config = DeblurConfig(
            wide, other, out=out, truth=truth, lens_order="given", fov_ratio=2.0, offset_s=0.0,
            encode=EncodeConfig(codec="h264", crf=1, preset="ultrafast"),
        )  # fmt: skip
        return pipeline.run_deblur(replace(config, **changes), report, steps=steps)

    return run


def whole(action: Action, alike: float = 0.0) -> BlurPlan:
    return BlurPlan((), (Interval(-PAST_S, PAST_S, action, 0.0, 9.0, 9.0),), alike)


def gain(result: DeblurResult) -> float:
    assert result.psnr_input_db is not None and result.psnr_result_db is not None
    return result.psnr_result_db - result.psnr_input_db


@pytest.mark.parametrize(("action", "accepted"), [("pass", True), ("deblur", False)])
def test_a_reference_of_no_use_leaves_the_clip_to_itself(
    job: Callable[..., DeblurResult], tmp_path: Path, action: Action, accepted: bool
) -> None:
    result = job(tmp_path / "out.mp4", whole(action), accepted=accepted)
    assert gain(result) > 1.5 and not result.copied
    assert result.plan.match is not None and "explained: 70%" in result.plan.expectation


def test_a_resumed_run_writes_the_same_bytes(
    job: Callable[..., DeblurResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, cut = whole("both blurred", 1.0), tmp_path / "cut.mp4"
    job(tmp_path / "whole.mp4", plan)

    def stop(event: Any) -> None:
        if isinstance(event, Progress) and event.step == "deblur" and event.done == 15:
            raise InterruptedRunError("Stopped.", "")

    with pytest.raises(InterruptedRunError):
        job(cut, plan, stop)
    monkeypatch.setattr(pipeline, "measure_own_exposure", lambda *_: pytest.fail("measured again"))
    job(cut, plan, resume=True)
    assert cut.read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_the_exposure_is_measured_only_where_own_frames_are_to_help(
    job: Callable[..., DeblurResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "measure_exposure", lambda *_: pytest.fail("not needed"))
    result = job(tmp_path / "out.mp4", whole("deblur"))
    assert result.plan.exposure is None and result.frames_changed == FRAMES


def test_a_pair_deblurred_alone_inverts_in_as_many_threads_as_one_clip(
    job: Callable[..., DeblurResult], tmp_path: Path
) -> None:
    plan = job(tmp_path / "out.mp4", whole("pass")).plan
    assert plan.alone.inversion_threads == plan.inversion_threads == planning.inversion_threads()


def test_own_frames_fade_in_where_the_reference_does_not_help() -> None:
    parts = (Interval(-PAST_S, 2.0, "deblur", 1, 9, 1), Interval(2.0, PAST_S, "both blurred", 0, 9, 9))
    plan = BlurPlan((), parts)
    shares = [plan.own_share(t) for t in (0.0, 1.79, 1.9, 2.0, 5.0)]
    assert shares == pytest.approx([0, 0, 0.5, 1, 1])
    assert plan.needs_own_frames and not whole("deblur").needs_own_frames
    assert not DEBLUR_ALL.needs_own_frames and DEBLUR_ALL.own_share(1.0) == 0
    assert whole("deblur", 1.0).own_share(1.0) == 1


def test_own_inversions_are_references_where_both_are_blurred_by_a_shake() -> None:
    parts = (
        Interval(-PAST_S, 2.0, "deblur", 1, 9, 1),
        Interval(2.0, 4.0, "both blurred", 0, 9, 9),
        Interval(4.0, PAST_S, "pass", 0, 1, 1),
    )
    plan = BlurPlan((), parts)
    shaken = plan.filled_by(ExposureFit(0.8, 0.7))
    assert [shaken.lends_own(t) for t in (0.0, 1.99, 2.0, 3.9, 4.1)] == [False, False, True, True, False]
    for blur in (None, ExposureFit(0.0, 0.0), ExposureFit(5.0, 0.7, "scene")):
        assert not any(plan.filled_by(blur).lends_own(t) for t in (0.0, 2.0, 3.9, 4.1))


def test_an_exposure_as_long_makes_a_reference_helpless() -> None:
    found = known_registration()
    knots = tuple(replace(knot, exposure=MotionBlur(0.8, 0.0)) for knot in found.knots)
    shares = [
        blurred_alike(replace(found, knots=knots, reference_exposure=length)) for length in (0.0, 0.1, 5.0)
    ]
    assert shares[0] == 0 and shares[2] == 1 and shares[1] < 1


def test_a_reference_that_is_hardly_sharper_is_asked_whether_it_is_blended() -> None:
    """Whatever registration found: it takes blended frames for sharp ones."""
    found = known_registration()
    asked: list[float] = []

    def alike(advantage_db: float, blended: bool) -> float:
        def ask() -> bool:
            asked.append(advantage_db)
            return blended

        seen = Comparison(6.0, 4.0, advantage_db)
        samples = [Sharpness(t, seen, seen) for t in (0.1, 0.3, 0.5)]
        return blurred_alike(replace(found, reference_exposure=0.0), samples, blended=ask)

    assert [alike(2.0, True), alike(2.0, False), alike(9.0, True)] == [1, 0, 0]
    assert asked == [2.0, 2.0]
