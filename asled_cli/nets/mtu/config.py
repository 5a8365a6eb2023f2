"""Sizes of MTU and the choices that its paper leaves open, each with its reason.

The paper's text and its published scores disagree in places. The defaults are the readings that lead to its
parameter counts; `PAPER` follows the text.
"""

from dataclasses import dataclass, replace
from typing import Literal

from asled_cli.nets.limits import BLOCKS, CHANNELS, check_config

WINDOWS = {1: 6, 3: 9, 5: 15}
"""Frames seen -> channels of the history layer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MtuConfig:
    """Sizes of the network, then the open points."""

    units: int = 2
    """N, stacked multi-task units: 1, 2, 4 or 10 in the paper."""
    channels: int = 26
    """C, channels at full size; 48 in the large network."""
    blocks: int = 8
    """Residual blocks at the smallest size of each unit; 6 in the large network (8 would be 17.1 M)."""
    window: int = 5
    """Frames seen beside the last result. 5: t-2 to t+2, which the published scores come from. 3: t-1 to t+1.
    1: t-1 and t, as in the text (§3.2); no look-ahead."""
    output: Literal["own", "joined"] = "own"
    """What the last deblur layer sees. own: f^N alone (the published 0.54 to 13.80 M). joined: beside it the
    aligned features of the previous frame, as in the text (§3.3)."""
    single_uses_motion: bool = True
    """Whether a single unit uses its motion compensation; its deblur layer then sees joined features. The
    published 0.54 M do not tell, but the scores come from a network whose result does not depend on it."""
    motion: Literal["matching", "given"] = "matching"
    """Where the shift comes from. given: the registration's flow towards the previous frame, where a clip has
    a reference."""
    border: Literal["repeat", "zeros"] = "repeat"
    """What lies outside of the previous features. Moving frames gain content at the border, so it is
    repeated; the published network takes zeros."""
    heads: bool = False
    """Whether every unit but the last has a deblur layer too. They are for training and early exits."""

    def __post_init__(self) -> None:
        check_config(self, {"units": (1, 32), "channels": CHANNELS, "blocks": BLOCKS})
        if self.window not in WINDOWS:
            raise ValueError(f"window is {self.window}, expected 1, 3 or 5.")

    @property
    def look_ahead(self) -> int:
        """Return the frames seen after the current one."""
        return self.window // 2

    @property
    def aligns(self) -> bool:
        """Return whether the result depends on the aligned features of the previous frame."""
        return self.units > 1 or self.output == "joined" or self.single_uses_motion

    @property
    def joins(self) -> bool:
        """Return whether the last deblur layer sees the aligned features."""
        return self.output == "joined" or (self.units == 1 and self.single_uses_motion)


LARGE = MtuConfig(units=10, channels=48, blocks=6)
"""The large network of the paper's tables 3 and 4, 13.80 M parameters."""
PUBLISHED = MtuConfig(single_uses_motion=False, border="zeros")
"""The readings behind the published scores; `units` as wanted."""
PAPER = replace(PUBLISHED, window=1, output="joined")
"""The text to the letter."""
