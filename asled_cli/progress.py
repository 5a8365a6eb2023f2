"""How far a long step is: what library functions report to whoever called them."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one step of the job is; never further than its end, where the total is an estimate."""

    step: str  # "synchronise", "analyse", "register views", "follow", "judge", "deblur" or "measure"
    done: int
    total: int  # an estimate for "deblur"
    looking_for: str = ""  # what is being looked for, where a step says it

    def __post_init__(self) -> None:
        object.__setattr__(self, "total", max(self.done, self.total))


Report = Callable[[Progress], None]


def ignore(event: object) -> None:
    """Accept a report that nobody reads."""
