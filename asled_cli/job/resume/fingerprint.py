"""What a job depends on, in plain values: by it an unfinished job knows whether it can go on."""

from dataclasses import fields, replace
from fractions import Fraction
from typing import Any

import torch

import asled_cli
from asled_cli.job.records import DeblurConfig, DeblurPlan
from asled_cli.video.encode.encoder import EncodeConfig, codec_library
from asled_cli.zoo import checkpoint as weights

# Paths, and what is done besides deblurring, change no frame.
NOT_SETTINGS = {"wide", "ultra", "out", "weights", "device", "encode", "dry_run", "truth", "resume", "strict"}


def settings(plan: DeblurPlan) -> dict[str, object]:
    """Everything that decides about the frames of a job, but its inputs, by the name a user knows it by."""
    config, encode = plan.config, plan.config.encode or EncodeConfig()
    asked = {f"--{flag(name)}": str(getattr(config, name)) for name in _names(config) - NOT_SETTINGS}
    return {
        "asled": asled_cli.__version__,
        "FFmpeg": codec_library(),
        "torch": torch.__version__,
        **dict(sorted(asked.items())),
        "the kind of device": plan.device.partition(":")[0],
        "the number format": plan.precision,
        "the method": plan.method,
        "the network": plan.model,
        "the SHA-256 of the weights": None if plan.weights is None else weights.hash_file(plan.weights),
        "the encoder": f"{plan.encoder.name} {plan.encoder.pix_fmt} {sorted(plan.encoder.options.items())}",
        "--encoder-opt": str(sorted(encode.options.items())),
        "the format of the output": plan.out.suffix.lower(),
    }


def pieces(plan: DeblurPlan) -> dict[str, object]:
    """Return the choices that depend on the current machine and must not change within a job."""
    clock = {"offset_s": str(plan.offset_s), "clock_rate": str(plan.clock_rate)}
    sizes = {"chunk": plan.chunk, "overlap": plan.overlap, "tile": plan.tile}
    alone = {"exposure": plan.exposure, "explained": plan.explained}
    return {**sizes, **clock, **alone, "box": plan.wide.box, "fov_ratio": plan.fov_ratio}


def with_pieces(plan: DeblurPlan, kept: dict[str, Any]) -> DeblurPlan:
    """Return the plan with the choices of an earlier run, as `pieces` gave them."""
    chunk, overlap, tile = (int(kept[name]) for name in ("chunk", "overlap", "tile"))
    offset, rate = Fraction(kept["offset_s"]), Fraction(kept["clock_rate"])
    box = kept.get("box")
    return replace(
        plan,
        wide=replace(plan.wide, box=None if box is None else tuple(box)),
        offset_s=offset,
        clock_rate=rate,
        fov_ratio=float(kept.get("fov_ratio", plan.fov_ratio)),
        exposure=float(kept.get("exposure", plan.exposure)),
        explained=float(kept.get("explained", plan.explained)),
        chunk=chunk,
        overlap=overlap,
        tile=tile,
    )


def flag(name: str) -> str:
    """Return the option name of a field of the config."""
    return name.removesuffix("_s").replace("_", "-")


def _names(config: DeblurConfig) -> set[str]:
    return {field.name for field in fields(config)}
