"""Limits of the machine end a command in a sentence: memory, threads, open files, unloadable libraries."""

import errno

import pytest

from asled_cli.cli import app as command_line
from asled_cli.runtime.memory import explain_limit

NUMPY = (
    "\n\nIMPORTANT: PLEASE READ THIS FOR ADVICE ON HOW TO SOLVE THIS ISSUE!\n\nOriginal error was: "
    "libopenblas.so: failed to map segment from shared object\n"
)


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), 5, "libtorch_cpu.so"),
        (ImportError("libcv.so: cannot open shared object file: Cannot allocate memory"), 5, "to load"),
        (ImportError(NUMPY), 5, "libopenblas.so"),
        (
            OSError("libtorch_global_deps.so: failed to map segment from shared object"),
            5,
            "not enough memory",
        ),
        (ImportError("DLL load failed: The paging file is too small for this operation"), 5, "to load"),
        (
            ImportError("libGL.so.1: cannot open shared object file: No such file or directory"),
            1,
            "libGL.so.1",
        ),
        (MemoryError(), 5, "not enough memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), 5, "not enough memory"),
        (RuntimeError("std::bad_alloc"), 5, "not enough memory"),
        (RuntimeError("can't start new thread"), 1, "threads"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), 1, "processes"),
        (OSError(errno.EMFILE, "Too many open files", "a.mp4"), 1, "ulimit -n"),
        (ImportError("libav.so: cannot open shared object file: Too many open files"), 1, "ulimit -n"),
    ],
)
def test_a_limit_is_one_sentence(
    error: Exception,
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(command_line, "app", fail)
    assert command_line.main(["deblur", "a.mp4"]) == code
    said = " ".join(capsys.readouterr().err.split())
    assert words in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "error",
    [
        ImportError("cannot import name 'thing' from 'asled_cli'"),
        RuntimeError("a fault of the program"),
        OSError(errno.EINVAL, "Invalid argument", "not enough memory, too many open files.mp4"),
    ],
)
def test_other_failures_are_no_limits(error: Exception) -> None:
    assert explain_limit(error) is None
