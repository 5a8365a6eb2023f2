"""`asled deblur` from file to file: nothing of the wide clip is lost but its blur."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from factories.clips import BT709, HLG, make_clip, phone_ticks, planes
from factories.small_pair import Pair, make_pair

from asled_cli.cli.app import main
from asled_cli.nets.asled.config import AsledConfig
from asled_cli.nets.asled.network import AsledNet
from asled_cli.nets.asled_fast.network import AsledFast, AsledFastConfig
from asled_cli.pipeline import Steps
from asled_cli.registration.analyse import analyse
from asled_cli.registration.geometry.lenses import LensPrior
from asled_cli.registration.model.registration import Registration
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.decode.reader import ClipReader, frame_times
from asled_cli.video.frames import ColorTags, FramePair
from asled_cli.zoo import checkpoint as weights
from asled_cli.zoo import registry as zoo

QUICK = ["--method", "swap", "--preset", "ultrafast"]
NO_LENSES = ["--offset", "0"]  # for two clips of one view, which are no pair of lenses and would be refused


def deblur(wide: Path, ultra: Path, out: Path, *arguments: str) -> int:
    return main(["deblur", str(wide), str(ultra), "-o", str(out), *QUICK, *arguments])


def copied_packets(path: Path) -> list[tuple[Fraction, bytes]]:
    """Times and bytes of all sound packets whose codec is known."""
    with av.open(str(path)) as container:
        sounds = [s for s in container.streams.audio if s.codec_context is not None]
        return [
            (packet.pts * packet.time_base, bytes(packet))
            for packet in container.demux(sounds)
            if packet.size and packet.pts is not None
        ]


def movie_keys(path: Path) -> dict[str, str]:
    with av.open(str(path)) as container:
        return {key: value for key, value in container.metadata.items() if key.startswith("com.apple")}


@pytest.mark.parametrize("kind", ["hlg", "sdr"])
def test_a_phone_clip_keeps_all_but_its_blur(
    kind: str, hlg_clip: Path, sdr_clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wide, ultra, out = hlg_clip if kind == "hlg" else sdr_clip, tmp_path / "ultra.mov", tmp_path / "out.mov"
    if kind == "hlg":
        make_clip(ultra, codec="libx265", pix_fmt="yuv420p10le", color=HLG, rotation=-90)
    else:
        make_clip(ultra)
    assert deblur(wide, ultra, out, *NO_LENSES) == 0
    before, after = probe_clip(wide), probe_clip(out)
    assert frame_times(after) == frame_times(before)
    assert (after.rotation, after.display_matrix) == (before.rotation, before.display_matrix)
    assert (after.color, after.pix_fmt, after.time_base) == (before.color, before.pix_fmt, before.time_base)
    assert after.sample_aspect_ratio == before.sample_aspect_ratio
    assert copied_packets(out) == copied_packets(wide) != []
    assert movie_keys(out) == movie_keys(wide) != {}
    assert after.codec == ("hevc" if kind == "hlg" else "h264")
    said = capsys.readouterr().out
    assert "written" in said and str(out) in said
    assert ("Dolby Vision" in said) == (kind == "hlg")


@pytest.mark.parametrize(
    ("pix_fmt", "color"),
    [
        ("yuv420p", BT709),
        ("yuv420p", ColorTags(9, 9, 14, 1)),
        ("yuv420p10le", BT709),
        ("yuv420p10le", HLG),
    ],
)
def test_strength_zero_and_a_lossless_encoder_keep_every_bit(
    pix_fmt: str, color: ColorTags, tmp_path: Path
) -> None:
    wide, ultra, out = (tmp_path / name for name in ("wide.mkv", "ultra.mkv", "out.mkv"))
    for path in (wide, ultra):
        make_clip(path, codec="ffv1", pix_fmt=pix_fmt, color=color, ticks=phone_ticks(8))
    arguments = ["deblur", str(wide), str(ultra), "-o", str(out), "--strength", "0", "--codec", "ffv1"]
    assert main([*arguments, *NO_LENSES, "--method", "swap", "-q"]) == 0
    with ClipReader(probe_clip(wide)) as before, ClipReader(probe_clip(out)) as after:
        for one, other in zip(before, after, strict=True):
            assert one.source is not None and other.source is not None
            for plane, same in zip(planes(one.source), planes(other.source), strict=True):
                np.testing.assert_array_equal(plane, same)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def analysed_once(monkeypatch: pytest.MonkeyPatch, analyses: list[Registration]) -> None:
    """Run the slow analysis of the synthetic pair once for all tests that use this."""

    def remember(runs: Sequence[Sequence[FramePair]], prior: LensPrior) -> Registration:
        if not analyses:
            analyses.append(analyse(runs, prior))
        return analyses[0]

    monkeypatch.setattr("asled_cli.pipeline.STEPS", Steps(analyse=remember))


@pytest.fixture(scope="module")
def analyses() -> list[Registration]:
    return []


def test_the_result_is_nearer_to_the_truth(
    pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deblur(pair.wide, pair.ultra, tmp_path / "out.mp4", "--truth", str(pair.truth), "--json") == 0
    plan, result = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (plan["event"], result["event"]) == ("plan", "result")
    assert result["psnr_result_db"] > result["psnr_input_db"] + 1
    assert result["registration"]["fov_ratio"] == pytest.approx(2.0, abs=0.05)
    assert result["frames_written"] == plan["frames"] == 12


@pytest.mark.usefixtures("analysed_once")
def test_the_default_name_is_beside_the_wide_clip(pair: Pair) -> None:
    out = pair.wide.with_name("wide_deblurred.mp4")
    arguments = ["deblur", str(pair.wide), str(pair.ultra), *QUICK, "-q"]
    assert main(arguments) == 0
    assert probe_clip(out).frame_estimate == 12
    assert main(arguments) == 2  # it exists now
    assert main([*arguments, "-y"]) == 0
    out.unlink()


def test_a_dry_run_prints_the_plan_only(
    pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deblur(pair.wide, pair.ultra, tmp_path / "out.mp4", "--dry-run") == 0
    said = capsys.readouterr()
    for word in (
        "frames",
        "offset",
        "field-of-view ratio",
        "method",
        "device",
        "chunk",
        "memory",
        "encoder",
        "output",
    ):
        assert word in said.out
    assert list(tmp_path.iterdir()) == []


def spoil(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty (0 bytes)"),
        (b"hello, this is a letter\n" * 20, "is not a video"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  \0\0\1\0mdat" + bytes(300), "no index (moov)"),
    ],
)
def test_what_is_no_clip_is_refused(
    content: bytes, said: str, pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = spoil(tmp_path / "bad.mov", content)
    for wide, ultra in ((bad, pair.ultra), (pair.wide, bad)):
        assert deblur(wide, ultra, tmp_path / "out.mp4") == 3
        error = capsys.readouterr().err
        assert error.startswith("error: ") and said in error and "bad.mov" in error
    assert list(tmp_path.iterdir()) == [bad]


def test_a_cut_off_clip_is_deblurred_up_to_the_cut(pair: Pair, tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "whole.mov", ticks=phone_ticks(40), movflags="faststart")
    data = whole.read_bytes()
    cut = spoil(tmp_path / "cut.mov", data[: len(data) * 6 // 10])
    out = tmp_path / "out.mov"
    assert deblur(cut, whole, out, "-q", *NO_LENSES) == 0
    assert 5 < len(frame_times(probe_clip(out))) < 40


def sentences() -> Sequence[tuple[list[str], int, str]]:
    return [
        (["--offset", "60"], 3, "share no time"),
        (["--codec", "magic"], 2, "magic"),
        (["--device", "cuda:99"], 2, "There is no device cuda:99"),
        (["--encoder-opt", "magic=1"], 2, "magic"),
        (["--preset", "magic"], 2, "magic"),
        (["--pix-fmt", "magic"], 2, "magic"),
    ]


@pytest.mark.parametrize(("arguments", "code", "said"), sentences(), ids=lambda value: str(value))
def test_what_cannot_be_is_refused_before_any_work(
    arguments: list[str], code: int, said: str, pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deblur(pair.wide, pair.ultra, tmp_path / "out.mp4", *arguments) == code
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_with_130_and_no_output(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    pair = make_pair(folder, frames=150)
    out = tmp_path / "out.mp4"
    arguments = [
        "deblur",
        str(pair.wide),
        str(pair.ultra),
        "-o",
        str(out),
        "--method",
        "swap",
        "--preset",
        "veryslow",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "asled_cli", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(("analysing", "deblurring")):
            process.send_signal(signal.SIGINT)
            break
    began = time.monotonic()
    rest = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "error: Stopped before the end" in rest and "Traceback" not in rest
    assert time.monotonic() - began < 30
    assert {path.name for path in tmp_path.iterdir()} <= {folder.name, ".out.mp4.asled"}


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a small network that has learned nothing: it does what the swap does."""
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    config = AsledFastConfig(fine_channels=8, coarse_channels=8, decoder_blocks=1, forward_blocks=1)
    weights.save(path, "asled-fast", AsledFast(config))
    return path


@pytest.fixture
def one_torch_thread() -> Iterator[None]:
    """Pictures this small are slower on several cores, and far slower when others use them too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("analysed_once", "one_torch_thread")
@pytest.mark.parametrize("pieces", [[], ["--chunk", "3", "--overlap", "1"], ["--tile", "64"]], ids=" ".join)
def test_a_network_restores_the_clip(
    pieces: list[str], untrained: Path, pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["deblur", str(pair.wide), str(pair.ultra), "-o", str(tmp_path / "out.mp4"), "--json"]
    assert main([*arguments, "--weights", str(untrained), "--truth", str(pair.truth), *pieces]) == 0
    plan, result = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (plan["method"], plan["weights"]) == ("network", str(untrained))
    assert result["frames_changed"] == result["frames_written"] == 12
    assert result["psnr_result_db"] > result["psnr_input_db"] + 1


@pytest.mark.usefixtures("analysed_once", "one_torch_thread")
def test_the_paper_s_network_runs_when_its_weights_are_given(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tiny.safetensors"
    weights.save(path, "asled", AsledNet(AsledConfig(channels=8, trunk_blocks=1, decoder_blocks=1)))
    arguments = ["deblur", str(pair.wide), str(pair.ultra), "-o", str(tmp_path / "out.mp4"), "--end", "0.1"]
    assert main([*arguments, "--model", "asled"]) == 4
    assert "No weights of asled are published yet." in capsys.readouterr().err
    assert main([*arguments, "--model", "asled-fast", "--weights", str(path)]) == 4
    assert "holds weights of asled, --model is asled-fast" in capsys.readouterr().err
    assert main([*arguments, "--json", "--weights", str(path), "--chunk", "2", "--overlap", "1"]) == 0
    plan, result = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (plan["model"], plan["chunk"]) == ("asled", 2)
    assert result["frames_changed"] == result["frames_written"] == 3  # at 0, 1/30 and 2/30 s


def test_damaged_weights_are_4(
    untrained: Path, pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = spoil(tmp_path / "damaged.safetensors", untrained.read_bytes()[:-1000])
    arguments = ["deblur", str(pair.wide), str(pair.ultra), "-o", str(tmp_path / "out.mp4")]
    assert main([*arguments, "--weights", str(damaged)]) == 4
    assert "damaged.safetensors" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [damaged]


def test_published_weights_with_a_wrong_hash_are_4(
    untrained: Path,
    pair: Pair,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    record = zoo.PublishedNetwork(
        name="asled-fast",
        architecture="asled-fast",
        options={},
        file=untrained.name,
        sha256="0" * 64,
        licence="MIT",
        parameters=0,
        paper="",
        training="",
    )
    monkeypatch.setitem(zoo.PUBLISHED, "asled-fast", record)
    monkeypatch.setenv("ASLED_WEIGHTS", str(untrained.parent))
    arguments = [
        "deblur",
        str(pair.wide),
        str(pair.ultra),
        "-o",
        str(tmp_path / "out.mp4"),
        "--method",
        "network",
    ]
    assert main(arguments) == 4
    error = capsys.readouterr().err
    assert "SHA-256" in error and "0" * 64 in error
    assert list(tmp_path.iterdir()) == []
