"""Named protocols of evaluation: how images are rounded, which SSIM is used, and what is averaged.

Published scores differ in these points and seldom state them. Every report of `asled eval` names its
protocol.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ProtocolName = Literal["basicsr", "refvsr", "nafnet", "asled-paper", "shift-aligned"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """One protocol of evaluation. All use gamma-encoded RGB, no cropped border, and PSNR per frame."""

    name: ProtocolName
    rounded: bool
    """Round results to 8 bit before scoring, as users get them; otherwise float, clamped to 0..1."""
    ssim: Literal["gaussian-11", "uniform-7", "gaussian-11-3d"]
    """Window of SSIM, see `psnr_ssim.ssim_map`."""
    average: Literal["clips", "frames"]
    """The printed mean: of the clips' means, or of all frames of the set. Files have both."""
    shift_aligned: bool = False
    """Move each result onto its truth by one translation before scoring, see `shift_alignment`."""
    origin: str
    """Source of the protocol, and what in it is our interpretation."""

    def describe(self) -> str:
        """Return the protocol as one line for reports."""
        rounding = "8-bit rounded" if self.rounded else "float, clamped, not rounded"
        window = {
            "gaussian-11": "SSIM 11x11 Gaussian sigma 1.5, per channel, valid region",
            "uniform-7": "SSIM 7x7 uniform, sample covariance, per channel",
            "gaussian-11-3d": "SSIM 11x11x11 Gaussian over rows, columns and channels, border repeated",
        }[self.ssim]
        mean = "mean of clip means" if self.average == "clips" else "mean over all frames"
        moved = "each frame moved onto its truth by one translation, " if self.shift_aligned else ""
        return f"{self.name}: RGB, {rounding}, {moved}no border cut, {window}, {mean}"


PROTOCOLS: dict[ProtocolName, Protocol] = {
    "basicsr": Protocol(
        name="basicsr",
        rounded=True,
        ssim="gaussian-11",
        average="clips",
        origin="BasicSR's video metrics (also mmagic and RVRT)",
    ),
    "refvsr": Protocol(
        name="refvsr",
        rounded=False,
        ssim="uniform-7",
        average="frames",
        origin="RefVSR's evaluation of RealMCVSR: scikit-image's default SSIM",
    ),
    "nafnet": Protocol(
        name="nafnet",
        rounded=True,
        ssim="gaussian-11-3d",
        average="frames",
        origin="NAFNet and PECA: 3-D SSIM, mean over pictures",
    ),
    "asled-paper": Protocol(
        name="asled-paper",
        rounded=False,
        ssim="uniform-7",
        average="frames",
        origin="AsLeD-Net, which names PSNR, SSIM and LPIPS only; our reading: as RefVSR, on whose set it is",
    ),
    "shift-aligned": Protocol(
        name="shift-aligned",
        rounded=True,
        ssim="gaussian-11",
        average="frames",
        shift_aligned=True,
        origin="MTU's figures on DVD and GoPro, aligned as by Koehler et al. (ECCV 2012); our reading",
    ),
}

# The blurred input of RealMCVSR in the AsLeD paper, table 1: PSNR, SSIM, LPIPS. If a synthetic input scores
# otherwise, its blur is not theirs.
PAPER_INPUT = {"psnr": 18.22, "ssim": 0.8009, "lpips": 0.4319}
