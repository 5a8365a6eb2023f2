"""`verify` finds every kind of loss, and nothing where nothing was lost."""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest
from factories.clips import HLG, MOVIE_KEYS, UNTAGGED, hide_start, make_clip, phone_ticks
from factories.copies import copy

from asled_cli.cli.app import main
from asled_cli.errors import InputError
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.preserve.verify import Check, verify

TICKS = phone_ticks(16)


def differing(checks: list[Check]) -> set[str]:
    return {check.name for check in checks if not check.same}


@pytest.mark.parametrize("suffix", [".mov", ".mp4", ".mkv"])
def test_a_faithful_copy_passes(hlg_clip: Path, tmp_path: Path, suffix: str) -> None:
    checks = verify(hlg_clip, copy(hlg_clip, tmp_path / f"out{suffix}"), decode=True)
    # Matroska has no place for keys of a track.
    assert differing(checks) == ({"track metadata"} if suffix == ".mkv" else set())
    names = {check.name for check in checks}
    assert {"frames", "times", "length", "rotation", "colours", "audio 1", "metadata", "decoded"} <= names


def test_sound_of_matroska_may_move_by_its_rounded_milliseconds(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", audio=1)
    assert {"audio 1"}.isdisjoint(differing(verify(source, copy(source, tmp_path / "out.mp4"))))


def test_grey_needs_no_colour_matrix(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "grey.mov", codec="libx265", pix_fmt="gray")
    out = copy(source, tmp_path / "out.mov")
    assert probe_clip(source).color.matrix != probe_clip(out).color.matrix
    assert differing(verify(source, out)) == set()


def test_a_part_of_a_clip_passes_as_a_part_only(sdr_clip: Path, tmp_path: Path) -> None:
    cut = {"start_s": Fraction(1, 10), "end_s": Fraction(2, 5)}
    out = copy(sdr_clip, tmp_path / "out.mov", **cut)
    assert differing(verify(sdr_clip, out, **cut)) == set()
    assert {"frames", "times", "length", "audio 1"} <= differing(verify(sdr_clip, out))


def test_an_edit_list_is_no_difference(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "cut.mov", audio=1)
    hide_start(source, 100)
    assert differing(verify(source, copy(source, tmp_path / "out.mov"))) == set()


LOSSES: dict[str, tuple[dict[str, object], set[str]]] = {
    "frame missing": ({"ticks": [*TICKS[:5], *TICKS[6:]]}, {"frames", "times"}),
    "frame late by a tick": ({"ticks": [*TICKS[:5], TICKS[5] + 1, *TICKS[6:]]}, {"times"}),
    "last frame too long": ({"last": 60}, {"length", "audio 1"}),
    "no sound": ({"audio": 0}, {"audio tracks"}),
    "other colours": ({"color": UNTAGGED}, {"colours"}),
    "HLG": ({"color": HLG}, {"colours"}),
    "turned": ({"rotation": -90}, {"rotation"}),
    "smaller": ({"size": (48, 48)}, {"picture"}),
    "deeper": ({"codec": "libx265", "pix_fmt": "yuv420p10le", "options": {}}, {"depth"}),
    "a key lost": ({"metadata": {}}, {"metadata"}),
    "no chapters": ({"chapters": False}, {"chapters"}),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_is_found_and_named(loss: str, tmp_path: Path) -> None:
    whole: dict[str, object] = {"audio": 1, "metadata": MOVIE_KEYS, "chapters": True, "ticks": TICKS}
    whole["options"] = {"bf": "0"}  # with B-frames FFmpeg may lose the length of the last frame
    changes, names = LOSSES[loss]
    source = make_clip(tmp_path / "in.mov", **whole)  # type: ignore[arg-type]
    other = make_clip(tmp_path / "out.mov", **{**whole, **changes})  # type: ignore[arg-type]
    assert differing(verify(source, source)) == set()
    assert differing(verify(source, other)) == names


def edit_sound(source: Path, out: Path, edit: Callable[[int, "av.Packet"], "av.Packet | None"]) -> Path:
    """Copy all packets of `source`, with those of its sound edited."""
    with av.open(str(source)) as old, av.open(str(out), "w") as new:
        copies = {s.index: new.add_stream_from_template(s) for s in old.streams}
        for number, packet in enumerate(old.demux()):
            sound = packet.stream.type == "audio"
            edited = edit(number, packet) if sound and packet.dts is not None else packet
            if packet.dts is not None and edited is not None:
                edited.stream = copies[packet.stream.index]
                new.mux(edited)
    return out


def test_one_sound_packet_missing_moved_or_changed_is_found(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mov", audio=1)

    def missing(number: int, packet: "av.Packet") -> "av.Packet | None":
        return None if number == 20 else packet

    def later(number: int, packet: "av.Packet") -> "av.Packet":
        packet.pts, packet.dts = packet.pts + 5, packet.dts + 5
        return packet

    def changed(number: int, packet: "av.Packet") -> "av.Packet":
        if number != 20:
            return packet
        other = av.Packet(bytes(packet)[:-1] + bytes([bytes(packet)[-1] ^ 1]))
        other.pts, other.dts, other.time_base = packet.pts, packet.dts, packet.time_base
        other.duration = packet.duration
        return other

    for number, edit in enumerate((missing, later, changed)):
        out = edit_sound(source, tmp_path / f"{number}.mov", edit)
        assert "audio 1" in differing(verify(source, out)), edit.__name__
    same = edit_sound(source, tmp_path / "same.mov", lambda number, packet: packet)
    assert "audio 1" not in differing(verify(source, same))


def test_the_command_prints_a_table_and_ends_with_1_on_a_difference(
    sdr_clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = copy(sdr_clip, tmp_path / "out.mov")
    assert main(["verify", str(sdr_clip), str(out)]) == 0
    assert "DIFFERS" not in capsys.readouterr().out
    other = make_clip(tmp_path / "other.mov", ticks=TICKS[:9])
    assert main(["verify", str(sdr_clip), str(other), "--json"]) == 1
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["property"] for row in rows if row["verdict"] == "DIFFERS"} >= {"frames", "metadata"}
    assert main(["verify", str(sdr_clip), str(tmp_path / "none.mov")]) == 3


def test_a_video_track_of_an_unknown_codec_is_refused(tmp_path: Path) -> None:
    """Found by fuzzing: such a track has no codec context at all."""
    path = make_clip(tmp_path / "in.mov", ticks=(0, 20))
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz").replace(b"avcC", b"zzzz"))
    with pytest.raises(InputError, match=r"codec of the video track is not known|no frame|holds no"):
        probe_clip(path)


@pytest.mark.parametrize("size", [(64, 64), (96, 48), (48, 64), (32, 24), (128, 96)])
def test_pictures_of_another_size_are_compared_as_the_source_shows_them(
    size: tuple[int, int], tmp_path: Path
) -> None:
    source = make_clip(tmp_path / "in.mp4", ticks=TICKS, smooth=True)
    other = make_clip(tmp_path / "out.mp4", ticks=TICKS, smooth=True, size=size)
    for clips in ((source, other), (other, source)):
        checks = verify(*clips, decode=True)
        assert "picture" in differing(checks)
        assert {"decoded", "pictures", "picture order"} <= {check.name for check in checks}
