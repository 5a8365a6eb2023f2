"""asled eval = score | average | measure costs | write: the whole command on one page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from asled_cli.lab.evaluation.all_networks import (
    all_notes,
    compared_sets,
    networks_table,
    one_set,
    traits_of,
    untrained_notes,
    write_networks,
)
from asled_cli.lab.evaluation.costs import measure_costs
from asled_cli.lab.evaluation.figures import write_pictures
from asled_cli.lab.evaluation.report import (
    NAMES,
    Table,
    clip_table,
    cost_table,
    mean_tables,
    notes,
    write_report,
)
from asled_cli.lab.evaluation.statistics import Summary, summarise
from asled_cli.lab.scoring.config import EvalConfig
from asled_cli.lab.scoring.methods import ALL, find_models
from asled_cli.lab.scoring.score_all import evaluate
from asled_cli.metrics.protocols import PROTOCOLS
from asled_cli.progress import Report, ignore
from asled_cli.runtime.atomic_file import explain_full_disk
from asled_cli.runtime.own_files import OwnFiles
from asled_cli.runtime.workers.local import Workers


@dataclass(frozen=True)
class EvalResult:
    """Tables to show, and the means behind them."""

    tables: list[Table]
    notes: list[str]
    written: list[Path]
    summary: Summary


Connect = Callable[[], Workers] | None


def run_eval(config: EvalConfig, report: Report = ignore, cluster: Connect = None) -> EvalResult:
    """Score, average and, with `config.out`, write the report. Raises an AsledError for the user.

    Where all networks are to be compared, on every fixed set. cluster: connects to workers that score the
    clips.
    """
    sets = compared_sets(config)
    if not sets:
        return _run_set(config, report, cluster)
    return _run_sets(config, sets, report, cluster)


def _run_sets(config: EvalConfig, sets: Sequence[str], report: Report, cluster: Connect) -> EvalResult:
    """Score the methods on every set, and join the means to one table."""
    results = {split: _run_set(one_set(config, split), report, cluster) for split in sets}
    summaries = {split: result.summary for split, result in results.items()}
    traits = {model.name: traits_of(model) for model in find_models(config)}
    table, lines = networks_table(summaries, traits), all_notes(summaries, config)
    first = next(iter(results.values()))
    lines = [first.notes[0], *lines]
    written = [path for result in results.values() for path in result.written]
    written += write_networks(table, summaries, lines, config)
    return EvalResult([table], lines, written, first.summary)


def _run_set(config: EvalConfig, report: Report, cluster: Connect) -> EvalResult:
    files = _files(config)
    evaluation = evaluate(config, report, cluster)
    summary = summarise(evaluation.scores, PROTOCOLS[config.protocol], config.seed)
    costs = measure_costs(config, evaluation.models)
    written: list[Path] = []
    if files is not None:
        with explain_full_disk(files.root, "Run the same again to continue; finished clips are kept."):
            written = write_report(evaluation, summary, costs, files)
            written += write_pictures(evaluation, files)
    tables = [
        clip_table(evaluation),
        *map(_without_intervals, mean_tables(summary)),
        *([cost_table(costs)] if costs else []),
    ]
    lines = notes(evaluation, summary)
    lines += untrained_notes(summary.groups["all"]) if ALL in config.methods else []
    return EvalResult(tables, lines, written, summary)


def _files(config: EvalConfig) -> OwnFiles | None:
    """Return the folder for the report. Raises UsageError if it would replace other files."""
    if config.out is None:
        return None
    advice = "Choose another --out, move it away, or replace it with --overwrite."
    files = OwnFiles(config.out, config.out / ".asled-eval.json", overwrite=config.overwrite, advice=advice)
    files.check(NAMES)
    return files


def _without_intervals(table: Table) -> Table:
    """Return the table without intervals, narrow enough for a terminal; files keep the intervals."""
    title, columns, rows = table
    return title, columns, [[cell.split(" [")[0] for cell in row] for row in rows]
