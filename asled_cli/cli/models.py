"""`asled models`: the table of networks, or the parameters of one of them, part by part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from asled_cli.cli.options import shared as opt

if TYPE_CHECKING:
    from asled_cli.zoo.registry import Costs, PublishedFile

SHORT_HASH = 12  # digits of a SHA-256 shown in the table; --json has all 64
# What a 1920x1080 frame costs; memory is the peak of a whole job on a CPU.
COST_COLUMNS = ("name", "parameters", "GFLOP per 1080p frame", "MiB at 1080p", "licence", "file", "sha256")
SCORE_COLUMNS = ("trained with", "scores", "protocol", "described in")


def models(
    params: Annotated[
        str | None, typer.Option(metavar="NAME", help="Count the parameters of one network, part by part.")
    ] = None,
    as_json: opt.AsJson = False,
    debug: opt.Debug = False,
) -> None:
    """List the networks: name, parameters, cost of a 1080p frame, licence, weights, hash and scores."""
    from asled_cli.cli.output import console

    style = console.Style(as_json=as_json)
    if params is None:
        rows = _network_rows()
        if as_json:
            console.show_table("networks", COST_COLUMNS + SCORE_COLUMNS, rows, style)
            return
        cut = len(COST_COLUMNS)
        short = [(*row[: cut - 1], row[cut - 1][:SHORT_HASH]) for row in rows]
        console.show_table("networks", COST_COLUMNS, short, style)
        scored = [row[:1] + row[cut:] for row in rows]
        console.show_table("scores", ("name", *SCORE_COLUMNS), scored, style)
    else:
        console.show_table(params, ("part", "parameters"), _parameter_rows(params), style)


def _network_rows() -> list[tuple[str, ...]]:
    """Return one row of all columns per network, then one per part with weights of its own."""
    from asled_cli.zoo import registry as zoo

    rows: list[tuple[str, ...]] = []
    for network in zoo.PUBLISHED.values():
        costs = _cost_cells(zoo.COSTS[network.name])
        rows.append((network.name, *costs, *_file_cells(network), network.paper))
    for name in sorted(set(zoo.BUILDERS) - set(zoo.PUBLISHED)):
        rows.append(
            (name, *_cost_cells(zoo.COSTS[name]), "", "no weights yet", "", "untrained", "", "",
             zoo.COSTS[name].paper)
        )  # fmt: skip
    for name, found in zoo.ESTIMATORS.items():
        rows.append((name, *_cost_cells(found), "", "no weights yet", "", "untrained", "", "", found.paper))
    for part in zoo.PARTS.values():
        rows.append((part.name, f"{part.parameters:,}", "", "", *_file_cells(part), part.paper))
    return rows


def _cost_cells(costs: Costs) -> tuple[str, ...]:
    memory = "" if costs.memory_mib is None else f"{costs.memory_mib:,}"
    return f"{costs.parameters:,}", f"{costs.gflop:,.0f}", memory


def _file_cells(record: PublishedFile) -> tuple[str, ...]:
    scores = ", ".join(f"{value:.2f} {what}" for what, value in record.scores.items())
    return record.licence, record.file, record.sha256, record.training, scores, record.protocol


def _parameter_rows(name: str) -> list[tuple[str, str]]:
    """Return the parts of a network and their learnable parameters, the total last."""
    from asled_cli.nets.asled.costs import parameter_table
    from asled_cli.nets.asled.network import AsledNet  # torch loads here, not for --help
    from asled_cli.zoo import registry as zoo

    known = zoo.PUBLISHED.get(name)
    network = zoo.build(known.architecture, known.options) if known else zoo.build(name, {})
    if name in zoo.ESTIMATORS:
        network = network.estimator
    if isinstance(network, AsledNet):
        table = parameter_table(network)  # in the parts that the paper names
    else:
        table = {part: _count(module) for part, module in network.named_children()}
        table["total"] = _count(network)
    return [(part, f"{count:,}") for part, count in table.items()]


def _count(module: Any) -> int:
    return sum(weight.numel() for weight in module.parameters() if weight.requires_grad)
