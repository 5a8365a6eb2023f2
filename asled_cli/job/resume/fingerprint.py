"""What a job depends on, in plain values: by it an unfinished job knows whether it can go on."""

import hashlib
from dataclasses import fields
from pathlib import Path

import torch

import asled_cli
from asled_cli.job.records import DeblurConfig, DeblurPlan
from asled_cli.video.encode.encoder import EncodeConfig, codec_library
from asled_cli.zoo import checkpoint as weights

WHOLE_UP_TO = 64 * 2**20  # bytes; larger files are hashed in samples, so that hours of video take no minute
SAMPLES, SAMPLE_BYTES = 64, 2**18
# Where things lie, and what is done besides mending, changes no frame.
NOT_SETTINGS = {"wide", "ultra", "out", "weights", "device", "encode", "dry_run", "truth", "resume", "strict"}


def fingerprint(path: Path) -> dict[str, object]:
    """Size and SHA-256 of a file; of a large one the SHA-256 of its start, its end and samples between."""
    digest, size = hashlib.sha256(), path.stat().st_size
    with path.open("rb") as file:
        if size <= WHOLE_UP_TO:
            while block := file.read(SAMPLE_BYTES):
                digest.update(block)
        else:
            for sample in range(SAMPLES):
                file.seek((size - SAMPLE_BYTES) * sample // (SAMPLES - 1))
                digest.update(file.read(SAMPLE_BYTES))
    return {"size": size, "sha256": digest.hexdigest()}


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


def flag(name: str) -> str:
    """The command line's word for a field of the config."""
    return name.removesuffix("_s").replace("_", "-")


def _names(config: DeblurConfig) -> set[str]:
    return {field.name for field in fields(config)}
