"""`asled models`: the table of networks, or the parameters of one of them, part by part."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from asled_cli.cli import options as opt

SHORT_HASH = 12  # digits of a SHA-256 shown in the table; --json has all 64


def models(
    params: Annotated[
        str | None, typer.Option(metavar="NAME", help="Count the parameters of one network, part by part.")
    ] = None,
    as_json: opt.AsJson = False,
    debug: opt.Debug = False,
) -> None:
    """List the networks: name, parameters, licence, weights file and its hash."""
    from asled_cli.cli import console

    style = console.Style(as_json=as_json)
    if params is None:
        columns = ("name", "parameters", "licence", "file", "sha256", "described in")
        console.show_table("networks", columns, _network_rows(short=not as_json), style)
    else:
        console.show_table(params, ("part", "parameters"), _parameter_rows(params), style)


def _network_rows(*, short: bool) -> list[tuple[str, ...]]:
    from asled_cli import zoo

    digits = SHORT_HASH if short else None
    rows: list[tuple[str, ...]] = [
        (n.name, f"{n.parameters:,}", n.licence, n.file, n.sha256[:digits], n.paper)
        for n in zoo.PUBLISHED.values()
    ]
    published = {network.architecture for network in zoo.PUBLISHED.values()}
    untrained = sorted(set(zoo.BUILDERS) - published)
    return rows + [(name, _parameter_rows(name)[-1][1], "", "no weights yet", "", "") for name in untrained]


def _parameter_rows(name: str) -> list[tuple[str, str]]:
    """Parts of a network and their learnable parameters, the total last."""
    from asled_cli import zoo
    from asled_cli.nets.asled import AsledNet  # torch loads here, not for --help
    from asled_cli.nets.costs import parameter_table

    known = zoo.PUBLISHED.get(name)
    network = zoo.build(known.architecture, known.options) if known else zoo.build(name, {})
    if isinstance(network, AsledNet):
        table = parameter_table(network)  # in the parts that the paper names
    else:
        table = {part: _count(module) for part, module in network.named_children()}
        table["total"] = _count(network)
    return [(part, f"{count:,}") for part, count in table.items()]


def _count(module: Any) -> int:
    return sum(weight.numel() for weight in module.parameters() if weight.requires_grad)
