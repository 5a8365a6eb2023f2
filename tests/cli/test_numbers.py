"""A number that is none, endless or out of range is refused in one sentence before any file is opened."""

from pathlib import Path

import pytest

from asled_cli.cli.app import main
from asled_cli.errors import UsageError
from asled_cli.registration.geometry.lenses import LensPrior
from asled_cli.runtime.option_limits import FOV_RATIO_LIMITS, read_size

NEVER = ["nan", "inf", "-inf", "1e308"]
COMMANDS = {
    "deblur": ["deblur", "missing.mp4", "gone.mp4"],
    "probe": ["probe", "missing.mp4", "gone.mp4"],
    "verify": ["verify", "missing.mp4", "gone.mp4"],
    "synth-blur": ["synth-blur", "missing.mp4", "-o", "out"],
    "eval": ["eval", "--pairs", "missing.mp4:gone.mp4"],
    "bench": ["bench"],
}
HUGE = str(10**30)
REALS = {
    "deblur": ("--start", "--end", "--offset", "--strength", "--fov-ratio"),
    "probe": ("--offset", "--fov-ratio"),
    "verify": ("--start", "--end"),
    "eval": ("--fov-ratio",),
    "synth-blur": ("--ratio", "--exposure", "--ultra-exposure", "--blur-px", "--rolling-shutter"),
}
WHOLES = {
    "deblur": ("--chunk", "--overlap", "--tile", "--crf"),
    "synth-blur": ("--jobs", "--clips", "--seed", "--frames", "--window", "--layers"),
    "eval": ("--max-frames", "--workers", "--seed", "--average"),
    "bench": ("--frames", "--repeats"),
    "verify": ("--track",),
}
OTHERS = [
    *[("bench", "--size", size) for size in ("0x0", "-64x64", "64", "9999999999x64", "1e3x64", "64x64x64")],
    ("synth-blur", "--size", "99999999x32"),
    ("eval", "--profile", "16x99999"), ("deblur", "--fov-ratio", "0.4"),
    ("deblur", "--fov-ratio", "6"), ("probe", "--fov-ratio", "6"), ("eval", "--fov-ratio", "6"),
    ("deblur", "--crf", "999"),
]  # fmt: skip
CASES = [
    *[(name, flag, value) for name, flags in REALS.items() for flag in flags for value in NEVER],
    *[
        (name, flag, value)
        for name, flags in WHOLES.items()
        for flag in flags
        for value in ("-1", HUGE, "nan")
    ],
    *OTHERS,
]


@pytest.mark.parametrize(("command", "flag", "value"), CASES)
def test_a_senseless_number_is_refused_at_once(
    command: str, flag: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*COMMANDS[command], f"{flag}={value}"]) == 2
    said = capsys.readouterr().err
    assert flag in said.replace("\n", "") and "Traceback" not in said


def test_batch_refuses_numbers_before_the_first_pair(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for option in ("--strength=nan", "--crf=999", "--jobs=100000000"):
        assert main(["batch", str(tmp_path), "-o", str(tmp_path / "out"), option]) == 2
        assert option.split("=")[0] in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_one_pair_of_limits_for_the_view_ratio(capsys: pytest.CaptureFixture[str]) -> None:
    low, high = FOV_RATIO_LIMITS
    for ratio in (low, high):
        LensPrior(fov_ratio=ratio)
        assert (
            main([*COMMANDS["deblur"], f"--fov-ratio={ratio}"]) == 3
        )  # goes on to the files, which are missing
    with pytest.raises(UsageError):
        LensPrior(fov_ratio=high + 0.01)
    capsys.readouterr()
    main(["deblur", "--help"])
    assert f"{low:g} to {high:g}" in " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_sizes_are_read() -> None:
    assert read_size("--size", "448x256", least=32) == (448, 256)
