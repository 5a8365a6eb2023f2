"""The compare clip: frames, times and sound of the source, upright, complete after an interruption."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from factories.small_pair import (
    HEIGHT,
    WIDTH,
    Pair,
    add_sound,
    known_registration,
    make_pair,
    make_scene,
    write_clip,
)
from factories.small_pair import view as filmed

from asled_cli import pipeline
from asled_cli.errors import UsageError
from asled_cli.job.config import CompareLayout, DeblurConfig
from asled_cli.job.records import DeblurResult, Event, JobReport
from asled_cli.job.show.layout import GAP, Layout
from asled_cli.job.show.paths import AUTO
from asled_cli.job.show.picture import shown_size, to_screen, upright
from asled_cli.job.show.region import STEP, Region
from asled_cli.progress import Progress, ignore
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.decode.reader import ClipReader, frame_times
from asled_cli.video.encode.encoder import EncodeConfig
from asled_cli.video.frames import TRANSFER_HLG, TRANSFER_PQ, ColorTags

FRAMES, SEGMENT = 16, 6


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("pair")
    silent = make_pair(folder, FRAMES)
    return replace(silent, wide=add_sound(silent.wide, folder / "wide_sound.mp4", FRAMES / 30))


@pytest.fixture(autouse=True)
def steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    found = known_registration()
    steps = pipeline.Steps(analyse=lambda runs, prior: found, segment_length=lambda clip: SEGMENT)
    monkeypatch.setattr(pipeline, "STEPS", steps)
    yield


def run(pair: Pair, out: Path, report: JobReport = ignore, /, **changes: Any) -> DeblurResult:
    encode = EncodeConfig(crf=10, preset="ultrafast")
    job = DeblurConfig(
        pair.wide, pair.ultra, out=out, method="swap", encode=encode, offset_s=0.0, lens_order="given",
        skip_sharp=False,
    )  # fmt: skip
    return pipeline.run_deblur(replace(job, **changes), report)


class StopError(Exception):
    """Stands for anything that ends a run."""


def stop_at(frame: int) -> JobReport:
    def report(event: Event) -> None:
        if isinstance(event, Progress) and event.step == "deblur" and event.done == frame:
            raise StopError

    return report


@pytest.mark.parametrize(("layout", "width"), [("side", 2 * WIDTH + GAP), ("line", WIDTH)])
def test_it_has_the_times_and_the_sound_of_the_source(
    pair: Pair, tmp_path: Path, layout: CompareLayout, width: int
) -> None:
    run(pair, tmp_path / "out.mp4", compare=AUTO, compare_layout=layout)
    clip = probe_clip(tmp_path / "out_compare.mp4")
    assert (clip.width, clip.height) == (width, HEIGHT + GAP + HEIGHT // 2)
    assert frame_times(clip) == frame_times(probe_clip(pair.wide))
    assert [track.kind for track in clip.other_tracks] == ["audio"]


def test_both_sides_show_what_they_are_called(pair: Pair, tmp_path: Path) -> None:
    run(pair, tmp_path / "out.mp4", compare=AUTO)
    clips = [probe_clip(path) for path in (tmp_path / "out_compare.mp4", pair.wide, tmp_path / "out.mp4")]
    both, source, result = ([frame.rgb / 65535 for frame in ClipReader(clip)][8] for clip in clips)
    low = slice(HEIGHT // 2, HEIGHT)  # below the labels
    sides = both[low, :WIDTH], both[low, WIDTH + GAP :]
    errors = [[np.abs(side - view[low]).mean() for view in (source, result)] for side in sides]
    assert errors[0][0] < errors[0][1] and errors[1][1] < errors[1][0], errors


def test_an_interrupted_job_has_all_of_it_in_the_end(pair: Pair, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    with pytest.raises(StopError):
        run(pair, out, stop_at(9), compare=AUTO, report=AUTO)
    assert not (tmp_path / "out_compare.mp4").exists()
    run(pair, out, resume=True, compare=AUTO, report=AUTO)
    assert frame_times(probe_clip(tmp_path / "out_compare.mp4")) == frame_times(probe_clip(pair.wide))
    assert "earlier run" not in (tmp_path / "out_report.html").read_text("utf-8")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "out.mp4",
        "out_compare.mp4",
        "out_report.html",
    ]


def test_resuming_says_when_there_is_no_compare_clip_of_what_is_done(pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(StopError):
        run(pair, tmp_path / "out.mp4", stop_at(9))
    with pytest.raises(UsageError, match="has no compare clip"):
        run(pair, tmp_path / "out.mp4", resume=True, compare=AUTO)
    run(pair, tmp_path / "out.mp4", resume=True, report=AUTO)
    assert "6 frames were written by an earlier run" in (tmp_path / "out_report.html").read_text("utf-8")


def test_a_copied_clip_gets_one_too(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = replace(known_registration(), accepted=False)
    monkeypatch.setattr(pipeline, "STEPS", pipeline.Steps(analyse=lambda runs, prior: refused))
    assert run(pair, tmp_path / "out.mp4", encode=EncodeConfig(), compare=AUTO, report=AUTO).copied
    assert len(frame_times(probe_clip(tmp_path / "out_compare.mp4"))) == FRAMES
    assert "do not fit together" in (tmp_path / "out_report.html").read_text("utf-8")


def test_other_files_are_never_replaced(pair: Pair, tmp_path: Path) -> None:
    taken = tmp_path / "taken_compare.mp4"
    taken.write_bytes(b"mine")
    for changes in (
        {"compare": taken},
        {"compare": pair.ultra},
        {"compare": tmp_path / "out.mp4"},
        {"report": pair.wide},
        {"report": tmp_path / "no" / "page.html"},
        {"compare": tmp_path / "c.avi"},
    ):
        with pytest.raises(UsageError):
            run(pair, tmp_path / "out.mp4", **changes)
    assert taken.read_bytes() == b"mine" and not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_frames_are_turned_as_players_turn_them(tmp_path: Path, rotation: int) -> None:
    write_clip(tmp_path / "turned.mp4", [filmed(make_scene(), 0, 1.0)] * 2, rotation=rotation)
    clip = probe_clip(tmp_path / "turned.mp4")
    frame = next(iter(ClipReader(clip)))
    expected = np.rot90(frame.rgb, clip.rotation // 90)
    np.testing.assert_array_equal(upright(frame.rgb, clip), expected)
    assert shown_size(clip) == (expected.shape[1], expected.shape[0])


def test_hdr_is_tone_mapped_for_the_page(pair: Pair) -> None:
    clip = probe_clip(pair.wide)
    grey = np.full((2, 2, 3), 0.58 * 65535, np.uint16)  # 203 cd/m2 in PQ
    pq = to_screen(grey, replace(clip, color=ColorTags(9, 9, TRANSFER_PQ, 1)))
    hlg = to_screen(
        np.full((2, 2, 3), 0.75 * 65535, np.uint16), replace(clip, color=ColorTags(9, 9, TRANSFER_HLG, 1))
    )
    for found in (pq, hlg):  # reference white stays clearly below the peak, and grey stays grey
        assert int(found.min()) > 150 and int(found.max()) < 215 and np.ptp(found.astype(int)) < 4


def test_the_enlarged_region_is_where_most_changes_and_does_not_jump() -> None:
    region = Region((32, 32))
    strength = np.zeros((50, 80), np.float32)
    strength[30:38, 60:68] = 1
    left, top = region.follow(strength)
    assert abs(left - 60 * STEP) <= STEP and abs(top - 30 * STEP) <= STEP
    assert region.follow(np.zeros_like(strength)) == (left, top)
    other = np.zeros_like(strength)
    other[:8, :8] = 5
    places = [region.follow(other) for _ in range(60)]
    steps = np.abs(np.diff([(left, top), *places], axis=0)).max()
    assert places[-1] < (8, 8) and steps < 60


def test_frames_smaller_than_the_region_are_drawn(pair: Pair) -> None:
    layout = Layout(replace(probe_clip(pair.wide), width=16, height=16))
    change = np.full((16, 16, 3), 0.1, np.float32)
    assert layout.draw(np.zeros((16, 16, 3), np.uint16), change, 0.0).shape == (
        layout.size[1],
        layout.size[0],
        3,
    )


def test_av_reads_every_frame(pair: Pair, tmp_path: Path) -> None:
    run(pair, tmp_path / "out.mkv", compare=AUTO, start_s=0.1, end_s=0.4)
    with av.open(str(tmp_path / "out_compare.mkv")) as container:
        times = [float(frame.time or 0) for frame in container.decode(video=0)]
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert times == [float(frame.time or 0) for frame in container.decode(video=0)]
