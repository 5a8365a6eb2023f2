"""The standard streams, which may be closed, full, read by nobody, or of a poor character set."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO, cast

from asled_cli.runtime.printable import encodable

# Commands whose work is a file; the others have done nothing if their output is lost.
WRITE_FILES = {"deblur", "batch", "train", "synth-blur", "eval"}


class TolerantStream:
    """A text stream on which writing never fails: what it cannot take is lost, and `failure` tells why.

    Signs that its character set lacks are replaced by others.
    """

    def __init__(self, stream: TextIO) -> None:
        self.inner = stream
        self.failure: OSError | None = None

    def write(self, text: str) -> int:
        """Write `text` as far as the stream takes it."""
        with self._tolerating():
            self.inner.write(encodable(text, getattr(self.inner, "encoding", None) or "utf-8"))
        return len(text)

    def writelines(self, lines: Iterator[str]) -> None:
        """Write each of `lines`."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Hand over what is buffered."""
        with self._tolerating():
            self.inner.flush()

    @contextlib.contextmanager
    def _tolerating(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.failure = self.failure or error
            self._forget()
        except (ValueError, RuntimeError):
            pass  # closed by somebody, or a signal came in the middle of another write

    def _forget(self) -> None:
        """Let the rest go nowhere, so that neither later writes nor the end of the process fail again."""
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.inner.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def open_missing_descriptors() -> None:
    """Open the standard descriptors that the caller has closed, on nothing.

    Else the next file that is opened gets the number of a standard stream, and what a library prints there
    ends up in a clip.
    """
    number = os.open(os.devnull, os.O_RDWR)
    while number <= 2:
        os.set_inheritable(number, True)
        number = os.open(os.devnull, os.O_RDWR)
    os.close(number)


@contextlib.contextmanager
def tolerant_streams() -> Iterator[TolerantStream]:
    """Make stdout and stderr tolerant for a while; yields the stdout."""
    open_missing_descriptors()
    before = sys.stdout, sys.stderr
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        out, err = (TolerantStream(nowhere if stream is None else stream) for stream in before)
        sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, err)
        try:
            yield out
        finally:
            out.flush()
            err.flush()
            sys.stdout, sys.stderr = before


def code_after(code: int, stdout: TolerantStream, command: str) -> int:
    """Return the exit code, given what became of stdout; says on stderr if it took not everything.

    A reader that has gone away (asled ... | head) has seen what it wanted.
    """
    stdout.flush()
    failure = stdout.failure
    if failure is None or isinstance(failure, BrokenPipeError):
        return code
    needed = command not in WRITE_FILES
    word = "error" if needed and code == 0 else "warning"
    sys.stderr.write(f"{word}: standard output cannot be written: {failure.strerror or failure}.\n")
    return 1 if needed and code == 0 else code
