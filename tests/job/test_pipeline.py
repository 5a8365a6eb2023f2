"""The job as a whole, with a known registration: nothing lost, nothing left behind, whatever fails."""

import os
import pkgutil
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from factories.small_pair import HEIGHT, RATIO, WIDTH, Pair, make_pair
from numpy.typing import NDArray

from asled_cli import pipeline
from asled_cli.errors import AsledError, InputError, InterruptedRunError, MemoryLimitError
from asled_cli.imaging.homography import Matrix
from asled_cli.job.config import DeblurConfig, LensOrder
from asled_cli.job.plan import make_plan
from asled_cli.job.records import DeblurPlan, DeblurResult, Event, JobReport
from asled_cli.progress import Progress, ignore
from asled_cli.registration.geometry.lenses import centre_crop
from asled_cli.registration.model.exposure import MotionBlur
from asled_cli.registration.model.registration import Knot, Registration
from asled_cli.registration.model.tone_curve import identity_tone
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.decode.reader import ClipReader, frame_times
from asled_cli.video.encode.encoder import EncodeConfig

FRAMES = 12


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make_pair(tmp_path_factory.mktemp("pair"), FRAMES)


def registration() -> Registration:
    """What the analysis of the synthetic pair should find."""
    size = (WIDTH, HEIGHT)
    matrix: Matrix = centre_crop(RATIO, size, size)
    field = np.zeros((HEIGHT, WIDTH, 2), np.float32)
    knots = (Knot(0.0, matrix, field, MotionBlur(2.0)),)
    return Registration(size, size, 1 / 30, knots, identity_tone(), 0.01, 1.0, True)


@pytest.fixture(autouse=True)
def known_registration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the tests the analysis: the geometry of the synthetic pair is known."""
    monkeypatch.setattr(pipeline, "STEPS", pipeline.Steps(analyse=lambda runs, prior: registration()))


def run(pair: Pair, out: Path, report: JobReport = ignore, **changes: Any) -> DeblurResult:
    encode = EncodeConfig(crf=10, preset="ultrafast", overwrite=out.exists())
    config = DeblurConfig(pair.wide, pair.ultra, out=out, method="swap", encode=encode)
    return pipeline.run_deblur(replace(config, **changes), report)


def test_every_frame_is_written_at_its_time_and_better(pair: Pair, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    result = run(pair, out, truth=pair.truth)
    assert frame_times(probe_clip(out)) == frame_times(probe_clip(pair.wide))
    assert (result.frames_written, result.frames_changed, result.frames_without_reference) == (
        FRAMES,
        FRAMES,
        0,
    )
    assert result.psnr_input_db is not None and result.psnr_result_db is not None
    assert result.psnr_result_db > result.psnr_input_db + 1
    assert [stage.name for stage in result.stages] == [
        "decode wide",
        "decode ultra",
        "pair",
        "align",
        "restore",
        "write",
    ]
    assert result.problems == {}
    assert result.as_dict()["frames_written"] == FRAMES
    assert only(tmp_path) == {"out.mp4"}


@pytest.mark.slow
@pytest.mark.parametrize(("method", "stages"), [("swap", ["align"]), ("network", ["align", "fuse"])])
def test_helpers_change_nothing_but_the_time(
    method: str, stages: list[str], pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = []
    for threads in (1, 3):
        monkeypatch.setattr(
            pipeline, "make_plan", lambda *w, n=threads: replace(make_plan(*w), align_threads=n)
        )
        files.append(tmp_path / f"{threads}.mkv")
        result = run(pair, files[-1], method=method, device="cpu", encode=EncodeConfig(codec="ffv1"))
        assert result.frames_changed == FRAMES and no_stage_is_running()
    assert [stage.name for stage in result.stages][3:-2] == stages
    with ClipReader(probe_clip(files[0])) as alone, ClipReader(probe_clip(files[1])) as helped:
        for one, other in zip(alone, helped, strict=True):
            np.testing.assert_array_equal(one.rgb, other.rgb)


@pytest.mark.parametrize("lens_order", ["auto", "given"])
@pytest.mark.parametrize("skip_sharp", [True, False])
def test_sharp_frames_are_searched_whatever_the_order_of_lenses(
    lens_order: LensOrder, skip_sharp: bool, pair: Pair, tmp_path: Path
) -> None:
    steps: set[str] = set()

    def report(event: Event) -> None:
        steps.update([event.step] if isinstance(event, Progress) else [])

    run(pair, tmp_path / "out.mp4", report, lens_order=lens_order, skip_sharp=skip_sharp, end_s=0.1)
    assert ("judge" in steps) == skip_sharp


def test_progress_is_reported_in_order(pair: Pair, tmp_path: Path) -> None:
    events: list[Event] = []
    run(pair, tmp_path / "out.mp4", events.append)
    kinds = [event.step if isinstance(event, Progress) else "plan" for event in events]
    assert kinds.index("synchronise") < kinds.index("plan") < kinds.index("analyse")
    steps = [event for event in events if isinstance(event, Progress)]
    assert [one.done for one in steps if one.step == "deblur"] == list(range(1, FRAMES + 1))
    assert {one.step for one in steps} == {"synchronise", "analyse", "judge", "deblur"}


def test_a_part_of_the_clip(pair: Pair, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    result = run(pair, out, start_s=0.1, end_s=0.3, truth=pair.truth)
    times = frame_times(probe_clip(pair.wide))
    inside = [time for time in times if Fraction(1, 10) <= time < Fraction(3, 10)]
    assert frame_times(probe_clip(out)) == [time - inside[0] for time in inside]
    assert result.first_time_s == inside[0]
    assert result.psnr_result_db is not None and result.psnr_input_db is not None
    assert result.psnr_result_db > result.psnr_input_db


def test_frames_without_a_reference_pass_unchanged(tmp_path: Path) -> None:
    result = run(make_pair(tmp_path, 12, ultra_frames=6), tmp_path / "out.mp4")
    assert result.frames_written == 12
    assert 3 <= result.frames_without_reference <= 6
    assert result.frames_changed == 12 - result.frames_without_reference


def test_strength_zero_changes_no_pixel(pair: Pair, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    result = run(pair, out, strength=0.0, encode=EncodeConfig(codec="ffv1"))
    assert result.frames_changed == 0
    with ClipReader(probe_clip(pair.wide)) as before, ClipReader(probe_clip(out)) as after:
        for one, other in zip(before, after, strict=True):
            assert one.source is not None and other.source is not None
            for plane, same in zip(one.source.planes, other.source.planes, strict=True):
                np.testing.assert_array_equal(samples(plane), samples(same))


def test_views_that_do_not_fit_are_warned_about_and_not_used(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    found = replace(registration(), accepted=False)
    monkeypatch.setattr(pipeline, "STEPS", pipeline.Steps(analyse=lambda runs, prior: found))
    result = run(pair, tmp_path / "out.mp4")
    assert (result.frames_written, result.frames_changed) == (FRAMES, 0)
    assert "do not seem to show the same scene" in caplog.text


def test_strict_makes_failures_of_warnings(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.mp4"
    with pytest.raises(InputError, match=r"colour matrix.*Without --strict"):
        run(pair, out, strict=True)
    monkeypatch.setattr(pipeline, "make_plan", lambda *arguments: replace(make_plan(*arguments), notes=()))
    assert run(pair, tmp_path / "fine.mp4", strict=True).frames_written == FRAMES
    monkeypatch.setattr(
        pipeline, "STEPS", pipeline.Steps(analyse=lambda runs, prior: replace(registration(), accepted=False))
    )
    with pytest.raises(InputError, match="do not fit together"):
        run(pair, out, strict=True)
    assert not out.exists()


def test_a_full_disk_is_foreseen(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 1 << 20})()
    monkeypatch.setattr("asled_cli.job.resume.disk_space.shutil.disk_usage", lambda folder: usage)
    with pytest.raises(AsledError, match="has 1 MiB free, expected 16 MiB to begin"):
        run(pair, tmp_path / "out.mp4")


def test_a_dry_run_writes_nothing(pair: Pair, tmp_path: Path) -> None:
    result = run(pair, tmp_path / "out.mp4", dry_run=True)
    assert result.out is None
    assert only(tmp_path) == set()


def failing(real: Callable[..., Any], after: int, error: BaseException) -> Callable[..., Any]:
    """`real`, raising `error` from its call number `after` on."""
    calls = iter(range(1, 1_000_000))

    def call(*args: Any, **options: Any) -> Any:
        if next(calls) > after:
            raise error
        return real(*args, **options)

    return call


STATIONS = {
    "decode": "asled_cli.video.decode.reader.ClipReader.__next__",
    "analyse": "asled_cli.job.analysis.register_clip",
    "align": "asled_cli.registration.render.ReferenceRenderer.prepare",
    "align in a helper": "asled_cli.registration.render.ReferenceRenderer._align",
    "flush": "asled_cli.registration.render.ReferenceRenderer.prepare_last",
    "restore": "asled_cli.restoration.base.FrameByFrame.push",
    "write": "asled_cli.video.encode.writer.ClipWriter.write",
    "finish": "asled_cli.video.encode.writer.ClipWriter._check",
}


@pytest.mark.parametrize("after", [0, 5])
@pytest.mark.parametrize("station", STATIONS)
def test_a_failure_anywhere_leaves_the_old_file_and_no_thread(
    station: str, after: int, pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    after = 0 if station in ("analyse", "flush", "finish") else after
    place, _, name = STATIONS[station].rpartition(".")
    real = pkgutil.resolve_name(place)
    monkeypatch.setattr(real, name, failing(getattr(real, name), after, InputError(f"broken {station}")))
    out = tmp_path / "out.mp4"
    out.write_bytes(b"precious")
    with pytest.raises(InputError, match=f"broken {station}"):
        run(pair, out)
    assert only(tmp_path) <= {"out.mp4", ".out.mp4.asled"}
    assert out.read_bytes() == b"precious"
    assert no_stage_is_running()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_job_and_tells_how_to_go_on(
    number: signal.Signals, pair: Pair, tmp_path: Path
) -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, Progress) and event.step == "deblur" and event.done == 3:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    with pytest.raises(InterruptedRunError) as caught:
        run(pair, tmp_path / "out.mp4", interrupt)
    assert only(tmp_path) == {".out.mp4.asled"}
    assert "--resume" in caught.value.hint and str(tmp_path / "out.mp4") in caught.value.hint
    assert no_stage_is_running()
    assert signal.getsignal(number) is before


def test_a_signal_during_the_analysis_stops_it(pair: Pair, tmp_path: Path) -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, DeblurPlan):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(InterruptedRunError):
        run(pair, tmp_path / "out.mp4", interrupt)
    assert only(tmp_path) == set()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError(
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"
        ),
    ],
)
def test_out_of_memory_is_explained(
    error: Exception, pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asled_cli.restoration.base.FrameByFrame.push", failing(ignore, 0, error))
    with pytest.raises(MemoryLimitError, match="--chunk"):
        run(pair, tmp_path / "out.mp4")
    assert only(tmp_path) == {".out.mp4.asled"}


def test_other_runtime_errors_are_ours(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "asled_cli.restoration.base.FrameByFrame.push", failing(ignore, 0, RuntimeError("our bug"))
    )
    with pytest.raises(RuntimeError, match="our bug") as caught:
        run(pair, tmp_path / "out.mp4")
    assert not isinstance(caught.value, AsledError)


def test_it_runs_outside_the_main_thread(pair: Pair, tmp_path: Path) -> None:
    results: list[DeblurResult] = []
    thread = threading.Thread(target=lambda: results.append(run(pair, tmp_path / "out.mp4")))
    thread.start()
    thread.join()
    assert results[0].frames_written == FRAMES


def only(folder: Path) -> set[str]:
    """Names in a folder, without the clips the test itself made."""
    return {path.name for path in folder.iterdir()}


def samples(plane: av.video.plane.VideoPlane) -> NDArray[np.uint8]:
    """The coded 8-bit samples of one plane, without the padding at the end of its lines."""
    return np.frombuffer(bytes(plane), np.uint8).reshape(plane.height, -1)[:, : plane.width]


def no_stage_is_running() -> bool:
    return not [thread for thread in threading.enumerate() if thread.name.startswith("asled-")]
