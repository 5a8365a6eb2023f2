"""What a job depends on, in plain values: by it an unfinished job knows whether it can go on."""

from dataclasses import asdict, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch

import asled_cli
from asled_cli.deconvolution.exposure import kept_fit
from asled_cli.job.config import DeblurConfig
from asled_cli.job.records import DeblurPlan
from asled_cli.video.clock import Clock
from asled_cli.video.encode.encoder import EncodeConfig, codec_library
from asled_cli.zoo import checkpoint as weights

# Paths, and what is done besides deblurring, change no frame.
NOT_SETTINGS = {
    "wide", "ultra", "out", "weights", "device", "encode", "dry_run", "truth", "resume", "strict", "compare",
    "report", "workers", "ray", "exact",
}  # fmt: skip

_PIECES = ("chunk", "overlap", "tile")


def settings(plan: DeblurPlan) -> dict[str, object]:
    """Everything that decides about the frames of a job, but its inputs, by the name a user knows it by."""
    config, choice, encode = plan.config, plan.choice, plan.config.encode or EncodeConfig()
    asked = {f"--{flag(name)}": str(getattr(config, name)) for name in _names(config) - NOT_SETTINGS}
    return {
        **dict(sorted(asked.items())),  # first: what the user asked for explains the other differences
        **decisive_versions(choice.weights),
        "the kind of device": choice.device.partition(":")[0],
        "the number format": choice.precision,
        "the method": choice.method,
        "the network": choice.model,
        "the seams of --workers": "yes" if plan.has_seams else None,
        "the encoder": f"{plan.encoder.name} {plan.encoder.pix_fmt} {sorted(plan.encoder.options.items())}",
        "--encoder-opt": str(sorted(encode.options.items())),
        "the format of the output": plan.out.suffix.lower(),
    }


def versions_of_programs() -> dict[str, str]:
    """Return the versions of the programs that decide about frames and their encoding."""
    return {"asled": asled_cli.__version__, "FFmpeg": codec_library(), "torch": str(torch.__version__)}


def decisive_versions(path: Path | None) -> dict[str, str]:
    """Return the versions of the programs and the SHA-256 of the weights in `path`, if any."""
    return {
        **versions_of_programs(),
        "the SHA-256 of the weights": "none" if path is None else weights.hash_file(path),
    }


def pieces(plan: DeblurPlan) -> dict[str, object]:
    """Return the choices that depend on the current machine and must not change within a job."""
    found: dict[str, object] = {name: getattr(plan.choice, name) for name in _PIECES}
    if plan.match is not None:
        clock = plan.match.timing.clock
        found |= {"offset_s": str(clock.offset_s), "clock_rate": str(clock.rate)}
        found |= {"box": plan.wide.box, "fov_ratio": plan.match.fov_ratio}
    if plan.exposure is not None:
        found |= asdict(plan.exposure)
    return found


def with_pieces(plan: DeblurPlan, kept: dict[str, Any]) -> DeblurPlan:
    """Return the plan with the choices of an earlier run, as `pieces` gave them."""
    chunk, overlap, tile = (int(kept[name]) for name in _PIECES)
    choice = replace(plan.choice, chunk=chunk, overlap=overlap, tile=tile)
    wide, match, exposure = plan.wide, plan.match, plan.exposure
    if match is not None:
        box = kept["box"]
        wide = replace(wide, box=None if box is None else tuple(box))
        clock = Clock(Fraction(kept["offset_s"]), Fraction(kept["clock_rate"]))
        timing = replace(match.timing, clock=clock)
        match = replace(match, wide=wide, timing=timing, fov_ratio=float(kept["fov_ratio"]))
    if exposure is not None and "exposure" in kept:
        exposure = kept_fit(kept)
    return replace(plan, wide=wide, match=match, exposure=exposure, choice=choice)


def flag(name: str) -> str:
    """Return the option name of a field of the config."""
    return name.removesuffix("_s").replace("_", "-")


def _names(config: DeblurConfig) -> set[str]:
    return {field.name for field in fields(config)}
