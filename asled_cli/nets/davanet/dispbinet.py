"""DispBiNet: disparities of both views at once (§3.3), coarse to fine.

Disparities are in full-size pixels over `unit_px`, at every size of the pyramid. Enlarging them is learned.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from asled_cli.nets.blocks import ConvAct, conv3x3
from asled_cli.nets.davanet.blocks import Context, Residual, UpAct

SIZE_MULTIPLE = 8


class Disparities(NamedTuple):
    """What DispBiNet finds."""

    scales: list[Tensor]
    """(N, D, H/s, W/s) for s = 1, 2, 4, 8 and 8: fine to coarse; D is 2 or 4."""
    features: Tensor
    """(N, F, H, W) at full size."""

    @property
    def finest(self) -> Tensor:
        """Return the disparities at full size, (N, D, H, W)."""
        return self.scales[0]


class Level(nn.Module):
    """One size on the way up: joined features -> features and disparities."""

    def __init__(self, joined: int, channels: int, disparities: int) -> None:
        super().__init__()
        self.mix = nn.Sequential(ConvAct(joined, channels), ConvAct(channels, channels))
        self.out = conv3x3(channels, disparities)

    def forward(self, joined: Tensor, coarser: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features and the disparities of this size; coarser: enlarged disparities."""
        features = self.mix(joined)
        return features, self.out(features) + coarser


class DispBiNet(nn.Module):
    """Bidirectional disparity network.

    widths: channels at full, half, quarter and eighth size; features: at full size on the way up.
    disparities: 2 for shifts in x of both views, 4 for x and y of both.
    """

    def __init__(self, widths: tuple[int, int, int, int], features: int, disparities: int) -> None:
        super().__init__()
        w0, w1, w2, w3 = widths
        d = disparities
        self.entry = ConvAct(6, w0)
        self.down = nn.ModuleList(
            nn.Sequential(ConvAct(a, b, stride=2), ConvAct(b, b)) for a, b in ((w0, w1), (w1, w2), (w2, w3))
        )
        self.middle = nn.Sequential(
            Residual(w3), Residual(w3), Residual(w3, (2, 1)), Context(w3), ConvAct(w3, w3)
        )
        self.coarsest = conv3x3(w3, d)
        self.again = ConvAct(w3, w3)
        self.ups = nn.ModuleList((UpAct(w3, w2), UpAct(w2, w1), UpAct(w1, features)))
        self.enlarge = nn.ModuleList(
            nn.ConvTranspose2d(d, d, 4, stride=2, padding=1, bias=False) for _ in range(3)
        )
        self.levels = nn.ModuleList(
            (
                Level(2 * w3 + d, w3, d),
                Level(2 * w2 + d, w2, d),
                Level(w1 + d, w1, d),
                Level(features + d, features, d),
            )
        )

    def forward(self, left: Tensor, right: Tensor) -> Disparities:
        """Return the disparities of two views (N, 3, H, W); H, W are multiples of 8."""
        x = self.entry(torch.cat((left, right), dim=1))
        skips = []
        for down in self.down:
            x = down(x)
            skips.append(x)
        x = self.middle(x)
        found = [self.coarsest(x)]
        joined = torch.cat((skips[2], self.again(x), found[0]), dim=1)
        x, disparity = self.levels[0](joined, found[0])
        found.append(disparity)
        for number, (up, enlarge, level) in enumerate(
            zip(self.ups, self.enlarge, list(self.levels)[1:], strict=True)
        ):
            coarser = enlarge(disparity)
            skip = [skips[1]] if number == 0 else []  # only 1/4 and 1/8 size see the way down
            x, disparity = level(torch.cat((*skip, up(x), coarser), dim=1), coarser)
            found.append(disparity)
        return Disparities(found[::-1], x)
