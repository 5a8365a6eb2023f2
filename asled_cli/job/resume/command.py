"""The command line that asks for a job, so that a user can be told how to continue it."""

import shlex
from dataclasses import fields

from asled_cli.job.records import DeblurConfig
from asled_cli.job.resume.fingerprint import flag
from asled_cli.video.encode.encoder import EncodeConfig

PLACED = {"wide", "ultra", "encode", "dry_run", "resume"}  # have a place of their own on the line


def resume_command(config: DeblurConfig) -> str:
    """`asled deblur ... --resume` with every option of `config` that is not the default."""
    words = ["asled", "deblur", str(config.wide)]
    if config.ultra != config.wide:
        words.append(str(config.ultra))
    for field in fields(config):
        value = getattr(config, field.name)
        if field.name not in PLACED and value != field.default:
            words += [f"--{flag(field.name)}"] if value is True else [f"--{flag(field.name)}", str(value)]
    encode = config.encode or EncodeConfig()
    for field in fields(encode):
        value = getattr(encode, field.name)
        if field.name not in ("options", "overwrite") and value != field.default:
            words += [f"--{flag(field.name)}", str(value)]
    if encode.overwrite:
        words += ["--overwrite"]
    for key, value in encode.options.items():
        words += ["--encoder-opt", f"{key}={value}"]
    return shlex.join([*words, "--resume"])
