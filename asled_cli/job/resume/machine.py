"""Whether this machine can work for a driver on another one."""

import socket
from collections.abc import Mapping
from pathlib import Path

from asled_cli.errors import InputError, UsageError


def check_machine(seen: Path | None, ours: Mapping[str, str], here: Mapping[str, str]) -> None:
    """Raise an AsledError unless this machine sees the file `seen`, if any, and has the driver's versions.

    ours: programs and weights of the driver; here: of this machine.
    """
    host = socket.gethostname()
    if seen is not None and not seen.is_file():
        raise InputError(
            f"The worker on {host} does not see {seen.parent}.",
            "Workers need inputs and output under the same paths, on a disk that all of them share.",
        )
    for name, value in ours.items():
        if here.get(name) != value:
            raise UsageError(
                f"The worker on {host} has another value of {name}: {here.get(name)}, the driver {value}.",
                "Install the same versions and weights on all machines.",
            )
