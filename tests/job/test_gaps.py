"""Stretches of a pair without a reference: found from the times, and deblurred from the clip's own frames."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from factories.clips import make_clip, phone_ticks
from factories.shaken_clip import make_shaken_clip
from factories.small_pair import write_clip
from numpy.typing import NDArray

from asled_cli import pipeline
from asled_cli.deconvolution.exposure import NOT_BLURRED, ExposureFit
from asled_cli.errors import InterruptedRunError
from asled_cli.job import analysis
from asled_cli.job import plan as planning
from asled_cli.job.analysis import gaps_between
from asled_cli.job.blur.gaps import LONG_GAP_FRAMES, Gap, find_gaps, gap_texts
from asled_cli.job.blur.plan import DEBLUR_ALL, BlurPlan
from asled_cli.job.blur.stretches import PAST_S
from asled_cli.job.config import DeblurConfig
from asled_cli.job.records import DeblurResult, MethodChoice
from asled_cli.progress import Progress
from asled_cli.registration.geometry.lenses import centre_crop
from asled_cli.registration.model.exposure import MotionBlur
from asled_cli.registration.model.registration import Knot, Registration
from asled_cli.registration.model.tone_curve import identity_tone
from asled_cli.video.clock import Clock
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.decode.reader import ClipReader
from asled_cli.video.encode.encoder import EncodeConfig

FRAMES, WITH_REFERENCE, SIZE = 18, 9, (128, 80)
DROPPED = (4, 9, 12, 13)  # frames that one ultra clip lacks
Picture = NDArray[np.uint16]


@pytest.mark.parametrize(
    ("missing", "spans"),
    [
        (range(6), [(-PAST_S, 0.55)]),
        (range(14, 20), [(1.35, PAST_S)]),
        ([*range(4), *range(15, 20)], [(-PAST_S, 0.35), (1.45, PAST_S)]),
        (range(8, 13), [(0.75, 1.25)]),
        ([7], []),
        (range(0, 20, 2), []),
        ([8, 9], []),
        ([8, 9, 10], [(0.75, 1.05)]),
        ([], []),
    ],
)
def test_only_long_stretches_are_filled_whatever_moves(
    missing: Sequence[int], spans: list[tuple[float, float]]
) -> None:
    times = [i / 10 for i in range(20)]
    gaps = find_gaps(times, [i not in missing for i in range(20)])
    for blur in (None, NOT_BLURRED, ExposureFit(5.0, 0.8, "scene")):
        plan = BlurPlan((), (), gaps=gaps).filled_by(blur)
        assert [(gap.start_s, gap.end_s) for gap in plan.gaps] == [pytest.approx(span) for span in spans]
        inside = [i for i, time in enumerate(times) if plan.in_gap(time)]
        assert inside == (sorted(missing) if spans else [])
        assert plan.needs_own_frames == bool(spans)
    shaken = BlurPlan((), (), gaps=gaps).filled_by(ExposureFit(0.8, 0.7, "camera"))
    assert [i for i, time in enumerate(times) if shaken.in_gap(time)] == sorted(missing)
    assert sum(gap.length_s for gap in gaps) == pytest.approx(len(missing) / 10)
    assert sum(gap.frames for gap in gaps) == len(missing)


@pytest.mark.parametrize(
    ("missing", "asks"), [([0], False), ([18, 19], False), ([7], True), ([0, 1, 2], True), ([], False)]
)
def test_a_frame_or_two_at_an_end_are_not_worth_a_look_at_the_blur(missing: list[int], asks: bool) -> None:
    gaps = find_gaps([i / 10 for i in range(20)], [i not in missing for i in range(20)])
    assert BlurPlan((), (), gaps=gaps).needs_own_frames == asks


def test_many_short_gaps_are_one_sentence() -> None:
    gaps = find_gaps([i / 10 for i in range(20)], [i not in (2, 5, 6, 9, 13, 14, 15) for i in range(20)])
    texts = gap_texts(gaps)
    assert len(texts) == 2 and "lacks 0.30 s from 1.25 s on" in texts[0]
    assert texts[1].startswith("the other clip lacks 4 frames in 3 places:")
    assert gap_texts(gaps[1:]) == [gap.description for gap in gaps[1:]]


@pytest.mark.parametrize(
    ("gap", "start"),
    [
        (Gap(-PAST_S, 0.4, 0.4, 4), "the other clip starts 0.40 s later"),
        (Gap(1.5, PAST_S, 1.2, 12), "the other clip ends 1.20 s earlier"),
        (Gap(1.5, 2.0, 0.5, 5), "the other clip lacks 0.50 s from 1.50 s on"),
    ],
)
def test_a_gap_is_described_where_own_frames_fill_it(gap: Gap, start: str) -> None:
    plan = replace(DEBLUR_ALL, gaps=(gap,))
    [sentence] = plan.warnings(inverts=True)
    assert sentence.startswith(start) and sentence.endswith("from their neighbours alone.")
    assert plan.warnings() == []


def _ticks(first: int) -> Callable[[int], int]:
    return lambda index: 20 * (first + index)


@pytest.mark.parametrize(
    ("first", "count", "offset", "missing"),
    [
        (0, 16, 0, []),
        (0, 7, 0, range(7, 16)),
        (6, 10, 0, range(6)),
        (0, 10, Fraction(1, 5), range(6)),  # the ultra clip's clock starts 6 frames later
        (5, 4, 0, [*range(5), *range(9, 16)]),
    ],
)
def test_gaps_follow_from_the_times_of_both_files(
    tmp_path: Path, first: int, count: int, offset: Fraction, missing: Sequence[int]
) -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    write_clip(tmp_path / "wide.mp4", [picture] * 16)
    write_clip(tmp_path / "ultra.mp4", [picture] * count, times=_ticks(first))
    wide, ultra = probe_clip(tmp_path / "wide.mp4"), probe_clip(tmp_path / "ultra.mp4")
    clock = Clock(Fraction(offset))
    plan = BlurPlan((), (), gaps=gaps_between(wide, ultra, clock))
    assert [i for i in range(16) if plan.in_gap(i / 30)] == list(missing)
    part = BlurPlan((), (), gaps=gaps_between(wide, ultra, clock, (Fraction(6, 30), Fraction(10, 30))))
    inside = [i for i in missing if 6 <= i < 10]
    assert [i for i in range(6, 10) if part.in_gap(i / 30)] == inside and bool(part.gaps) == bool(inside)
    assert [gap.is_long for gap in part.gaps] == [len(inside) >= LONG_GAP_FRAMES] * bool(inside)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a pair whose ultra clip ends half way, and the truth."""
    folder = tmp_path_factory.mktemp("gaps")
    made = make_shaken_clip(frames=FRAMES, size=SIZE)
    _write(folder / "wide.mp4", made.wide)
    _write(folder / "truth.mp4", made.truth)
    afar = [_from_afar(picture) for picture in made.truth]
    usual = phone_ticks(FRAMES)
    _write(folder / "ultra.mp4", afar[:WITH_REFERENCE], usual[:WITH_REFERENCE])
    there = [k for k in range(FRAMES) if k not in DROPPED]
    _write(folder / "dropping.mp4", [afar[k] for k in there], [usual[k] for k in there])
    return folder


def _write(path: Path, pictures: Sequence[Picture], ticks: Sequence[int] | None = None) -> None:
    def shown(index: int) -> av.VideoFrame:
        picture = av.VideoFrame.from_ndarray(pictures[index], format="rgb48le")
        return picture.reformat(format="yuv420p", dst_colorspace="ITU709")

    make_clip(
        path, codec="libx264", pix_fmt="yuv420p", size=SIZE, ticks=ticks or phone_ticks(len(pictures)),
        options={"crf": "2", "preset": "ultrafast"}, shown=shown,
    )  # fmt: skip


def _from_afar(truth: Picture) -> Picture:
    """The sharp view in the middle of a view twice as wide."""
    width, height = SIZE
    small = cv2.resize(truth, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    edges = (height // 4, height // 4, width // 4, width // 4)
    return np.asarray(cv2.copyMakeBorder(small, *edges, cv2.BORDER_REFLECT), np.uint16)


@pytest.fixture
def job(clips: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., DeblurResult]:
    knot = Knot(0.0, centre_crop(2.0, SIZE, SIZE), np.zeros((*SIZE[::-1], 2), np.float32), MotionBlur(0.8))
    found = Registration(SIZE, SIZE, 1 / 30, (knot,), identity_tone(), 0.01, 1.0, True)
    monkeypatch.setattr(planning, "measure_exposure", lambda *_: ExposureFit(0.8, 0.7))
    monkeypatch.setattr(planning, "choose_method", lambda *_: MethodChoice(method="swap", reason="test"))
    monkeypatch.setattr(analysis, "plan_blur", lambda *_, **__: DEBLUR_ALL)

    def run(
        out: Path, listen: Any = lambda event: None, *, other: str = "ultra.mp4", **changes: Any
    ) -> DeblurResult:
        steps = pipeline.Steps(analyse=lambda runs, prior: found, segment_length=lambda clip: 4)
        encode = EncodeConfig(codec="h264", crf=1, preset="ultrafast")
        config = DeblurConfig(
            clips / "wide.mp4",
            clips / other,
            out=out,
            lens_order="given",
            fov_ratio=2.0,
            offset_s=0.0,
            encode=encode,
        )
        return pipeline.run_deblur(replace(config, **changes), listen, steps=steps)

    return run


def gains(clips: Path, out: Path) -> NDArray[np.float64]:
    """By how many dB each frame of a result is nearer to the truth than the wide clip."""
    errors = []
    for path in (clips / "wide.mp4", out):
        with ClipReader(probe_clip(path)) as frames, ClipReader(probe_clip(clips / "truth.mp4")) as truth:
            pairs = zip(frames, truth, strict=True)
            errors.append([np.square(f.rgb.astype(np.float64) - t.rgb).mean() for f, t in pairs])
    return np.asarray(10 * np.log10(np.divide(*errors)))


def test_frames_past_the_end_of_the_other_clip_are_inverted(
    job: Callable[..., DeblurResult], clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.html"
    result = job(tmp_path / "out.mp4", report=page)
    assert result.gaps[0].description in page.read_text(encoding="utf-8")
    past = gains(clips, tmp_path / "out.mp4")
    assert [gap.end_s for gap in result.gaps] == [PAST_S]
    assert result.frames_without_reference >= FRAMES - WITH_REFERENCE - 1
    assert past[WITH_REFERENCE:].min() > 0 and past[WITH_REFERENCE:].mean() > 2.5
    monkeypatch.setattr(analysis, "gaps_between", lambda *_: ())
    job(tmp_path / "before.mp4")
    before = gains(clips, tmp_path / "before.mp4")
    # No seam: frames with a reference stay as they are, and the first one without gains as the others do.
    np.testing.assert_allclose(past[:WITH_REFERENCE], before[:WITH_REFERENCE], atol=0.05)
    assert before[WITH_REFERENCE + 1 :].max() < 0.2
    assert past[WITH_REFERENCE] > before[WITH_REFERENCE] + 1


def test_single_frames_are_inverted_under_hand_shake_alone(
    job: Callable[..., DeblurResult], clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shaken = job(tmp_path / "shaken.mp4", other="dropping.mp4")
    assert [gap.frames for gap in shaken.gaps] == [1, 1, 2]
    filled = gains(clips, tmp_path / "shaken.mp4")
    monkeypatch.setattr(planning, "measure_exposure", lambda *_: ExposureFit(5.0, 0.7, "scene"))
    assert job(tmp_path / "moving.mp4", other="dropping.mp4").gaps == ()
    left = gains(clips, tmp_path / "moving.mp4")
    missing = list(DROPPED)
    assert filled[missing].min() > 0 and (filled - left)[missing].mean() > 1
    beside = np.delete(filled - left, missing)  # all that is left is the encoder, which predicts frames
    np.testing.assert_allclose(beside, 0, atol=0.2)


@pytest.mark.slow
def test_a_run_resumed_in_a_gap_or_before_it_writes_the_same_bytes(
    job: Callable[..., DeblurResult], tmp_path: Path
) -> None:
    job(tmp_path / "whole.mp4")
    for done in (5, 13):
        cut = tmp_path / f"cut-{done}.mp4"

        def stop(event: Any, done: int = done) -> None:
            if isinstance(event, Progress) and event.step == "deblur" and event.done == done:
                raise InterruptedRunError("Stopped.", "")

        with pytest.raises(InterruptedRunError):
            job(cut, stop)
        job(cut, resume=True)
        assert cut.read_bytes() == (tmp_path / "whole.mp4").read_bytes()
