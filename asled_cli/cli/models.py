"""`asled models`: the table of published networks, or the parameters of one of them."""

from __future__ import annotations

from typing import Annotated

import typer

from asled_cli.cli import options as opt


def models(
    params: Annotated[
        str | None, typer.Option(metavar="NAME", help="Count the parameters of one network, part by part.")
    ] = None,
    as_json: opt.AsJson = False,
    debug: opt.Debug = False,
) -> None:
    """List the networks: name, parameters, licence, weights file and its hash."""
    raise NotImplementedError
