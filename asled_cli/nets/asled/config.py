"""Sizes of AsLeD-Net and the choices that its paper leaves open, each with its reason.

Sections, figures and equations are those of Xiao and Wang, NeurIPS 2025.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from asled_cli.nets.asled.matching import Strategy
from asled_cli.nets.limits import BLOCKS, CHANNELS, check_config


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchConfig:
    """Search strategy of the matching (`matching.match`). No parameter of the network depends on it."""

    strategy: Strategy = "window"
    """`global` is the paper's; it is impossible at video resolution."""
    radius: int = 8
    """Search radius in pixels, above the error of registered references; crops may need `coarse`."""
    tile: int = 8
    """Side in pixels of the squares searched together, and the cell of `coarse`."""

    def __post_init__(self) -> None:
        check_config(self, {"radius": (0, 128), "tile": (1, 256)})


@dataclass(frozen=True, slots=True, kw_only=True)
class AsledConfig:
    """Sizes of the network, then the paper's open points, then its three components."""

    channels: int = 64
    """C, channels of all features."""
    encoder_blocks: int = 1
    """N1, residual blocks of each encoder."""
    trunk_blocks: int = 30
    """Residual blocks of each direction, as in BasicVSR."""
    decoder_blocks: int = 30
    """N2, residual blocks of the decoder."""
    neighbours: int = 3
    """K, number of matches per position."""
    search: SearchConfig = SearchConfig()
    """Search strategy of the matching."""

    fusion: Literal["after", "inside"] = "after"
    """Whether what is merged from the reference recurs. after: no, it is "merged with the base branch's
    output" (§3.1, figure 3). inside: yes, "recurrently aligns and propagates ... reference features"
    (abstract)."""
    warped: Literal["reference", "target", "picture"] = "reference"
    """What Eq. 6 warps. Its letter, the blurry frame, has 3 channels to add to 64, and the flow points into
    the neighbouring reference: so that reference's features. target: those of the blurry frame itself.
    picture: the letter, where f gives 3 channels too. All warps repeat the border."""
    sides: Literal["previous", "both"] = "previous"
    """Neighbours of motion compensation ("previous or next", §3.4). previous: the one that the pass comes
    from, which is the previous frame with fusion `after`. both: t - 1 and t + 1, with the same weights, side
    by side in the merge; at a cut or the clip's end the frame's own reference."""
    refinement: Literal["residual", "direct"] = "residual"
    """What f of Eq. 5 gives: a correction, so that training starts from SPyNet's flow, or the flow itself."""
    temperature: float = 1.0
    """Of the softmax in Eq. 2 (unnamed there). Neighbours' cosines differ little, 1 nearly averages them."""
    flow_sharing: Literal["shared", "separate"] = "shared"
    """Whether base branch and motion compensation use one SPyNet. With two, 8.8 M would be 10.2 M."""

    skip: Literal["target", "blend"] = "target"
    """What the decoder corrects. target: the blurry frame, as published. blend: its mixture with a reference
    that is registered and averaged over time (`blend.blend`, where the decoder's fourth channel corrects the
    gate): training starts from the plain swap, and detail need not pass through features."""

    input: Literal["plain", "highpass"] = "plain"
    """What encoders and trunks see of a picture: all, as published, or what `detail` leaves of it. Beside
    whole colours the few levels by which two registered views differ are small, too small for 16 bits."""

    matching: Literal["alm", "attention", "blocks"] = "alm"
    """Adaptive local matching (§3.2) or its replacement."""
    dc_blocks: int = 1
    """Residual blocks of f in Eq. 4."""
    dc_start: Literal["reference", "away"] = "reference"
    """Where Eq. 4 leads before training, as f starts near the identity. away: f sees e, which gives
    2 F_B - F_Ref. reference: f sees -e, which gives F_Ref; the sign is no different to a trained f."""
    merge_attention: bool = False
    """Whether channels are weighed by attention before the merge."""
    difference: Literal["dc", "no_reference", "attention", "blocks"] = "dc"
    """Difference compensation (§3.3), the same without its reference, or its replacement."""
    motion: Literal["rmc", "unrefined", "unwarped", "concat", "blocks"] = "rmc"
    """Reference-guided motion compensation (§3.4), the same less a step, or its replacement."""

    def __post_init__(self) -> None:
        blocks = ("encoder_blocks", "trunk_blocks", "decoder_blocks")
        limits = dict.fromkeys(blocks, BLOCKS) | {"channels": CHANNELS, "neighbours": (1, 64)}
        limits["dc_blocks"] = (1, BLOCKS[1])
        check_config(self, limits)
        if self.temperature <= 0:
            raise ValueError(f"temperature is {self.temperature}, expected a number above 0.")

    @property
    def merged_channels(self) -> int:
        """Return the channels that the merge joins: three of C, and those of motion compensation."""
        letter = self.warped == "picture" and self.motion in ("rmc", "unrefined", "unwarped")
        moved = 3 if letter else self.channels
        return 3 * self.channels + moved * (2 if self.sides == "both" else 1)

    @property
    def view(self) -> Callable[[Tensor], Tensor]:
        """Return the network's input from an image (N, 3, H, W): the image or its high-pass part."""
        return detail if self.input == "highpass" else _whole

    @property
    def uses_reference(self) -> bool:
        """Return whether any component uses features of the reference."""
        fetches = self.motion == "concat" or (self.motion != "blocks" and self.warped == "reference")
        return self.matching != "blocks" or self.difference in ("dc", "attention") or fetches


PAPER = AsledConfig(search=SearchConfig(strategy="global"))
"""The network of the paper, frozen: global search, fusion after the base branch, 8.8 M parameters. Its
recipe turns no clip around in time. Global search is for crops only."""


def _whole(picture: Tensor) -> Tensor:
    return picture


def detail(picture: Tensor) -> Tensor:
    """Return the high-pass part of an image (N, 3, H, W): image minus its 17x17 mean, times four."""
    padded = F.pad(picture, (8, 8, 8, 8), mode="replicate")
    return 4 * (picture - F.avg_pool2d(padded, 17, stride=1))
