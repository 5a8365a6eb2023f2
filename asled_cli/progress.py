"""How far a long step is: what library functions report to whoever called them."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one step of the job is."""

    step: str  # "synchronise", "analyse", "follow", "judge", "deblur" or "measure"
    done: int
    total: int  # an estimate for "deblur"


Report = Callable[[Progress], None]


def ignore(event: object) -> None:
    """Accept a report that nobody reads."""
