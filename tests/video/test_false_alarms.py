"""What is written rightly passes the check at the end; what differs is named, and the file is kept."""

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import pytest
from factories.clips import TICKS_PER_S, hide_start, make_clip, phone_ticks

from asled_cli.errors import AsledError, InputError
from asled_cli.job.plan import report_if_strict
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.decode.reader import ClipReader, frame_times
from asled_cli.video.encode.encoder import EncodeConfig
from asled_cli.video.encode.writer import ClipWriter
from asled_cli.video.frames import Clip
from asled_cli.video.preserve.verify import Check

B_FRAMES = EncodeConfig(preset="veryfast")


def differences(clip: Clip, out: Path, config: EncodeConfig = B_FRAMES, **cut: Fraction) -> list[str]:
    """Write the clip again; what the check at the end says."""
    with ClipReader(clip, **cut) as frames, ClipWriter(clip, out, config, **cut) as writer:
        for frame in frames:
            writer.write(frame, None)
    return [f"{check.name}: {check.found}, was {check.expected}" for check in writer.differences]


def rewrap(source: Path, out: Path) -> Path:
    """The same packets in another file format."""
    with av.open(str(source)) as old, av.open(str(out), "w") as new:
        copies = {stream.index: new.add_stream_from_template(stream, opaque=True) for stream in old.streams}
        for packet in old.demux():
            if packet.size:
                packet.stream = copies[packet.stream_index]
                new.mux(packet)
    return out


@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
@pytest.mark.parametrize("start", [Fraction(-1), Fraction(0), Fraction(1, 50), Fraction(1, 4)])
def test_a_range_keeps_the_sound_packet_before_its_start(
    tmp_path: Path, start: Fraction, suffix: str
) -> None:
    clip = probe_clip(make_clip(tmp_path / "in.mov", audio=1))
    out = tmp_path / f"out{suffix}"
    assert differences(clip, out, start_s=start, end_s=Fraction(2, 5)) == []
    with av.open(str(out)) as file:
        assert next(file.demux(audio=0)).pts * file.streams.audio[0].time_base <= 0


@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
def test_sound_of_a_transport_stream(tmp_path: Path, suffix: str) -> None:
    """Its AAC packets have headers that movies must not have, and a clock of their own."""
    clip = probe_clip(rewrap(make_clip(tmp_path / "in.mov", audio=1), tmp_path / "in.ts"))
    assert differences(clip, tmp_path / f"out{suffix}") == []


@pytest.mark.parametrize("tagged", [True, False])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_matroska_whose_sound_is_longer(tmp_path: Path, suffix: str, tagged: bool) -> None:
    """The file declares the length of its longest track, and keys that are true of that file only."""
    path = rewrap(make_clip(tmp_path / "in.mov", audio=1, last=20), tmp_path / "in.mkv")
    if not tagged:
        path.write_bytes(path.read_bytes().replace(b"DURATION", b"BPS-abcd"))
    clip = probe_clip(path)
    assert clip.duration_s is not None and clip.end_declared == tagged
    out = tmp_path / f"out{suffix}"
    assert differences(clip, out) == []
    length = Fraction(phone_ticks(16)[-1] + 20, TICKS_PER_S)
    assert abs(probe_clip(out).duration_s - length) <= Fraction(3, 1000)


@pytest.mark.parametrize("last", [90, 240, 1800])
@pytest.mark.parametrize("b_frames", ["0", "3"])
def test_the_last_frame_is_shown_as_long_as_in_the_source(tmp_path: Path, b_frames: str, last: int) -> None:
    """Also where the encoder's last packet is a B-frame, whose end MP4 takes for that of the track."""
    ticks = phone_ticks(17)
    clip = probe_clip(make_clip(tmp_path / "in.mp4", ticks=ticks, last=last, options={"bf": "0"}))
    out = tmp_path / "out.mp4"
    assert differences(clip, out, EncodeConfig(preset="veryfast", options={"bf": b_frames})) == []
    copy = probe_clip(out)
    assert copy.duration_s == Fraction(ticks[-1] + last, TICKS_PER_S)
    assert frame_times(copy) == frame_times(clip)


def test_a_header_that_rounds_to_milliseconds(tmp_path: Path) -> None:
    ticks = [tick - 37 for tick in phone_ticks(16)]
    clip = probe_clip(make_clip(tmp_path / "in.mp4", ticks=ticks, last=19, audio=1))
    assert differences(clip, tmp_path / "out.mp4") == []


def test_frames_hidden_by_an_edit_list_are_not_counted(tmp_path: Path) -> None:
    ticks = phone_ticks(16)
    hide_start(make_clip(tmp_path / "in.mov"), ticks[5])
    clip = probe_clip(tmp_path / "in.mov")
    assert clip.frame_estimate == len(frame_times(clip)) == 11 and clip.index_complete


def test_a_finished_file_is_kept_whatever_the_check_says(
    sdr_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lost = Check("frames", "16", "15", same=False, vital=True)
    monkeypatch.setattr("asled_cli.video.encode.writer.verify", lambda *_, **__: [lost])
    out = tmp_path / "out.mov"
    assert differences(probe_clip(sdr_clip), out) == ["frames: 15, was 16"]
    assert list(tmp_path.iterdir()) == [out] and "frames: 15, expected 16" in caplog.text


def test_a_source_that_is_gone_at_the_end_costs_only_the_check(
    sdr_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: Any, **__: Any) -> list[Check]:
        raise InputError("in.mov does not exist.")

    monkeypatch.setattr("asled_cli.video.encode.writer.verify", gone)
    found = differences(probe_clip(sdr_clip), tmp_path / "out.mov")
    assert found == ["check against the source: in.mov does not exist., was possible"]
    assert (tmp_path / "out.mov").exists()


def test_a_strict_job_names_the_difference_and_the_file() -> None:
    def result(strict: bool, **more: Any) -> Any:
        plan = SimpleNamespace(config=SimpleNamespace(strict=strict))
        tags = {
            "problems": {},
            "dropped_tracks": (),
            "differences": (),
            "out": Path("out.mov"),
            "plan": plan,
        }
        return SimpleNamespace(**(tags | more))

    odd = Check("length", "2 s", "1 s", same=False)
    with pytest.raises(AsledError, match=r"out\.mov is complete.*length is 1 s, was 2 s") as caught:
        report_if_strict(result(True, differences=[odd]))
    assert caught.value.exit_code == 1 and "kept" in caught.value.hint
    report_if_strict(result(False, differences=[odd]))
    report_if_strict(result(True))
