"""Every error that a user can meet, and the exit code each one ends the program with.

AsledError                 1    anything we can explain
├── UsageError             2    options that contradict each other or name something that does not exist
├── InputError             3    a clip, picture or folder that cannot be used
├── WeightsError           4    a checkpoint that is missing, damaged or of another network
├── MemoryLimitError       5    the work does not fit into memory, even in the smallest pieces
└── InterruptedRunError  130    the user stopped the run
"""

from typing import ClassVar


class AsledError(Exception):
    """A failure with a sentence for the user and, where there is one, a next step.

    message: what is wrong, what was found and what was expected. hint: what to do about it.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class UsageError(AsledError):
    """Raised for options that contradict each other or name something that does not exist."""

    exit_code = 2


class InputError(AsledError):
    """Raised for a clip, picture or folder that cannot be used."""

    exit_code = 3


class WeightsError(AsledError):
    """Raised for a checkpoint that is missing, damaged or of another network."""

    exit_code = 4


class MissingWeightsError(WeightsError):
    """Raised where no file of weights is found at all; one that is found but damaged is a WeightsError."""


class MemoryLimitError(AsledError):
    """Raised when the work does not fit into memory, even in the smallest pieces."""

    exit_code = 5


class InterruptedRunError(AsledError):
    """Raised when the user stops a run (Ctrl-C or a termination signal)."""

    exit_code = 130


def reason(error: Exception) -> str:
    """Return what FFmpeg or the system says went wrong, without its codes, calls and paths."""
    return getattr(error, "strerror", None) or str(error)
