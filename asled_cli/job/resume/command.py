"""The command line that asks for a job, so that messages can show how to continue it."""

import os
import shlex
from dataclasses import fields

from asled_cli.job.config import DeblurConfig
from asled_cli.job.resume.fingerprint import flag
from asled_cli.runtime.printable import printable
from asled_cli.video.encode.encoder import EncodeConfig

PLACED = {
    "wide",
    "ultra",
    "encode",
    "dry_run",
    "resume",
    "view",
    "part_of_two",
}  # have a place of their own on the line


def resume_command(config: DeblurConfig) -> str:
    """`asled deblur ... --resume` with every option of `config` that is not the default."""
    both = config.ultra is not None and config.ultra != config.wide
    clips = [str(config.wide), str(config.ultra)] if both else [str(config.wide)]
    # A name that begins with a dash would be taken for an option.
    dashed = any(name.startswith("-") for name in clips)
    arguments = ["asled", "deblur", *([] if dashed else clips)]
    for field in fields(config):
        value = getattr(config, field.name)
        if field.name not in PLACED and value != field.default:
            arguments += _option(flag(field.name), value)
    encode = config.encode or EncodeConfig()
    for field in fields(encode):
        value = getattr(encode, field.name)
        if field.name not in ("options", "overwrite") and value != field.default:
            arguments += [f"--{flag(field.name)}", str(value)]
    if encode.overwrite:
        arguments += ["--overwrite"]
    for key, value in encode.options.items():
        arguments += ["--encoder-opt", f"{key}={value}"]
    arguments += ["--resume", "--", *clips] if dashed else ["--resume"]
    return " ".join(_quoted(word) for word in arguments)


def _option(name: str, value: object) -> list[str]:
    """Return an option with its value, or a switch: --name if it is on, --no-name if it is off."""
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    return [f"--{name}", str(value)]


def _quoted(word: str) -> str:
    """Return one word as a shell takes it; unprintable signs in the notation $'...'."""
    if printable(word) == word:
        return shlex.quote(word)
    plain = b"".join(
        b"\\x%02x" % byte if byte < 0x20 or byte >= 0x7F else b"\\" * (byte in b"\\'") + bytes([byte])
        for byte in os.fsencode(word)
    )
    return f"$'{plain.decode('ascii')}'"
