"""A clip of which nothing changes is copied: no frame is encoded again, and nothing of it is lost."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from factories.clips import hide_start, hlg_portrait, make_clip
from factories.small_pair import Pair, known_registration, make_pair

from asled_cli import pipeline
from asled_cli.job import analysis
from asled_cli.job.blur.plan import BlurPlan
from asled_cli.job.blur.stretches import Interval
from asled_cli.job.config import DeblurConfig
from asled_cli.job.records import DeblurResult
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.encode.encoder import EncodeConfig
from asled_cli.video.encode.remux import copy_clip
from asled_cli.video.encode.writer import ClipWriter
from asled_cli.video.preserve.verify import verify


def pictures(path: Path, track: int = 0) -> list[tuple[Fraction, bytes]]:
    """When each packet of the picture is shown, in seconds, and what it holds."""
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(container.streams.video[track]) if p.size]
        return [(p.pts * p.time_base, bytes(p)) for p in packets if p.pts is not None]


@pytest.mark.parametrize("suffix", [".mov", ".MOV"])
def test_the_same_file_format_gets_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    source, out = hlg_portrait(tmp_path / "in.mov"), tmp_path / f"out{suffix}"
    copy = copy_clip(probe_clip(source), out)
    assert copy is not None and copy.frames == len(pictures(source)) > 0
    assert (copy.dropped, copy.differences) == ((), ())
    assert out.read_bytes() == source.read_bytes()


def test_another_file_format_gets_the_same_packets_and_keeps_the_rest(tmp_path: Path) -> None:
    """Colours, turn, sound, keys; and the name of the codec by which QuickTime knows it."""
    source, out = hlg_portrait(tmp_path / "in.mov"), tmp_path / "out.mp4"
    copy = copy_clip(probe_clip(source), out)
    assert copy is not None and copy.frames == len(pictures(source)) and copy.differences == ()
    assert pictures(out) == pictures(source)
    assert all(check.same for check in verify(source, out, decode=True))
    with av.open(str(source)) as one, av.open(str(out)) as other:
        tags = [file.streams.video[0].codec_context.codec_tag for file in (one, other)]
    assert tags == ["hvc1", "hvc1"]


def test_of_two_pictures_in_a_file_one_is_copied(tmp_path: Path) -> None:
    source, out = make_clip(tmp_path / "dual.mov", tracks=2), tmp_path / "out.mov"
    copy = copy_clip(probe_clip(source, 1), out)
    assert copy is not None and copy.dropped and "video" in copy.dropped[0]
    assert pictures(out) == pictures(source, 1) != pictures(source, 0)


def test_what_cannot_be_copied_faithfully_is_not(tmp_path: Path) -> None:
    """An edit list that hides the start, in Matroska, which has none; a codec that MP4 does not hold."""
    hidden = make_clip(tmp_path / "hidden.mov")
    hide_start(hidden, 100)
    assert copy_clip(probe_clip(hidden), tmp_path / "hidden.mkv") is None
    assert copy_clip(probe_clip(hidden), tmp_path / "copy.mov") is not None
    master = make_clip(tmp_path / "master.mov", codec="prores_ks", pix_fmt="yuv422p10le")
    assert copy_clip(probe_clip(master), tmp_path / "master.mp4") is None


@pytest.mark.parametrize(
    ("config", "more"),
    [
        (EncodeConfig(crf=20), {}),
        (EncodeConfig(codec="h264"), {}),
        (EncodeConfig(pix_fmt="yuv420p"), {}),
        (EncodeConfig(options={"tune": "film"}), {}),
        (EncodeConfig(), {"start_s": 0.1}),
        (EncodeConfig(), {"end_s": 0.3}),
    ],
)
def test_a_writer_with_other_orders_does_not_copy(
    tmp_path: Path, config: EncodeConfig, more: dict[str, Any]
) -> None:
    source, out = make_clip(tmp_path / "in.mov"), tmp_path / "out.mov"
    writer = ClipWriter(probe_clip(source), out, config, **more)
    assert writer.copy_source() is None
    writer.abort()
    assert [path.name for path in tmp_path.iterdir()] == ["in.mov"]


def test_a_writer_publishes_the_copy_at_the_end_and_not_before(tmp_path: Path) -> None:
    source, out = make_clip(tmp_path / "in.mov", audio=1), tmp_path / "out.mov"
    with ClipWriter(probe_clip(source), out) as writer:
        assert writer.copy_source() == len(pictures(source))
        assert not out.exists()
    assert out.read_bytes() == source.read_bytes() and writer.dropped == writer.differences == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mov", "out.mov"]


@pytest.mark.parametrize(("kind", "times"), [(".mov", True), (".mkv", False)])
def test_a_copy_into_matroska_tells_that_times_are_rounded(tmp_path: Path, kind: str, times: bool) -> None:
    """They were before, where the source is Matroska too."""
    with ClipWriter(probe_clip(make_clip(tmp_path / f"in{kind}")), tmp_path / "out.mkv") as writer:
        assert writer.copy_source() is not None
        assert writer.dropped == ["exact times (Matroska counts milliseconds)"] * times


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make_pair(tmp_path_factory.mktemp("pair"))


def run(pair: Pair, out: Path, **changes: Any) -> DeblurResult:
    config = DeblurConfig(pair.wide, pair.ultra, out=out, method="swap", encode=EncodeConfig())
    return pipeline.run_deblur(replace(config, **changes))


SHARP = Interval(-1e9, 1e9, "pass", 0.0, 2.0, 2.0)
BLURRED = replace(SHARP, action="deblur")


@pytest.mark.parametrize(
    ("accepted", "segments", "copied"),
    [
        (False, (), True),
        (True, (SHARP,), True),
        (True, (BLURRED,), False),
        (True, (replace(SHARP, end_s=0.2), replace(BLURRED, start_s=0.2)), False),
        (True, (), False),
    ],
)
def test_a_job_copies_where_no_frame_is_to_change(
    pair: Pair,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    accepted: bool,
    segments: tuple[Interval, ...],
    copied: bool,
) -> None:
    found = replace(known_registration(), accepted=accepted)
    monkeypatch.setattr(pipeline, "STEPS", pipeline.Steps(analyse=lambda runs, prior: found))
    monkeypatch.setattr(analysis, "plan_blur", lambda *_, **__: BlurPlan((), segments))
    out = tmp_path / "out.mp4"
    result = run(pair, out)
    frames = len(pictures(pair.wide))
    assert (result.copied, result.frames_written) == (copied, frames)
    assert (result.frames_changed == 0) == copied
    assert (out.read_bytes() == pair.wide.read_bytes()) == copied
    if copied:
        assert (result.frames_unchanged, result.frames_without_reference) == (
            (frames, 0) if accepted else (0, frames)
        )
        assert result.as_dict()["copied"] is True
        again = run(pair, tmp_path / "other.mp4", encode=EncodeConfig(crf=20))
        assert not again.copied and again.frames_changed == 0 and again.frames_written == frames
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
