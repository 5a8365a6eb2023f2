"""One table on several synthetic sets: `asled eval --split A,B` or `all`, or `--methods all` alone."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from asled_cli.lab.evaluation.report import Table, row_text
from asled_cli.lab.evaluation.statistics import Mean, Summary
from asled_cli.lab.scoring.config import ALL_SETS, EvalConfig
from asled_cli.lab.scoring.methods import ALL, Model, untrained
from asled_cli.runtime.atomic_file import explain_full_disk
from asled_cli.runtime.own_files import OwnFiles
from asled_cli.zoo import checkpoint as weights
from asled_cli.zoo import registry as zoo
from asled_cli.zoo.weight_file import read_header

SETS = {
    "strong": "motion, strong blur",
    "single": "motion, no second lens",
    "defocus": "out of focus",
}
"""Set -> what its clips are blurred by. No checkpoint was chosen on any of them."""
FILES = ("networks.md", "networks.json")
TARGET_DB = 1.0
"""What a network must gain on the set of its task, to be worth its cost."""
UNTRAINED = "untrained"
ONE_LENS = "single"  # the set whose clips have no second view
NEEDS_REFERENCE = "needs a reference"
TASKS = {"motion": "strong", "defocus": "defocus"}
"""Blur that a network removes -> the set of that task."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What a row of the table is for. needs_reference: it leaves a clip without one as it is. task: a set."""

    needs_reference: bool
    task: str


def traits_of(model: Model) -> Traits | None:
    """Return what a method is for; None for the input. Raises WeightsError if its file is damaged."""
    if model.kind == "input":
        return None
    if model.kind != "network" or model.path is None:
        return Traits(model.kind in ("reference", "swap"), TASKS["motion"])
    info = weights.read_info(model.path)
    return Traits(info.needs_reference, TASKS[info.removes])


def compared_sets(config: EvalConfig) -> Sequence[str]:
    """Return the sets of the table; none where one set alone is scored."""
    if config.dataset != "synthetic":
        return ()
    if config.split == ALL_SETS or (config.split is None and ALL in config.methods):
        return tuple(SETS)
    return config.splits if len(config.splits) > 1 else ()


def one_set(config: EvalConfig, split: str) -> EvalConfig:
    """Return the settings of one set: its own folder for the report, one cache."""
    out = None if config.out is None else config.out / split
    return replace(config, split=split, out=out, cache=config.cache_folder)


def networks_table(summaries: dict[str, Summary], traits: Mapping[str, Traits | None]) -> Table:
    """Return methods down, sets across: the mean gain over the input in dB, below them what has no weights.

    summaries: by set. traits: by method; the last column says whether it gains TARGET_DB on the set of its
    task.
    """
    names = list(dict.fromkeys(name for summary in summaries.values() for name in summary.groups["all"]))
    heads = [f"{split}: {SETS[split]}" if split in SETS else split for split in summaries]
    rows = [
        [
            name,
            *(_cell(split, summary, name, traits.get(name)) for split, summary in summaries.items()),
            _verdict(summaries, name, traits.get(name)),
        ]
        for name in names
    ]
    rows += [[name, *[UNTRAINED] * (len(summaries) + 1)] for name in untrained(names)]
    columns = ["method", *heads, f"{TARGET_DB:g} dB or more on the set of its task"]
    return "gain over the input in dB, means of ten clips", columns, rows


def write_networks(
    table: Table, summaries: dict[str, Summary], lines: Sequence[str], config: EvalConfig
) -> list[Path]:
    """Write the table as Markdown and JSON into `config.out`; nothing without a folder."""
    if config.out is None:
        return []
    title, columns, rows = table
    text = [f"# {title[0].upper()}{title[1:]}", "", *(f"- {line}" for line in lines), ""]
    text += [row_text(columns), row_text(["---"] * len(columns)), *map(row_text, rows)]
    found = {split: _plain(summary) for split, summary in summaries.items()}
    missing = [name for name, *cells in rows if UNTRAINED in cells]
    content = {"gain_db": found, "untrained": missing, "notes": list(lines)}
    advice = "Choose another --out, move it away, or replace it with --overwrite."
    files = OwnFiles(config.out, config.out / ".asled-eval.json", overwrite=config.overwrite, advice=advice)
    files.check(FILES)
    texts = {"networks.md": "\n".join(text) + "\n", "networks.json": json.dumps(content, indent=1) + "\n"}
    with explain_full_disk(config.out, "Run the same again to continue; finished clips are kept."):
        return [files.write(name, _writer(texts[name])) for name in FILES]


def _writer(text: str) -> Callable[[Path], object]:
    return partial(Path.write_text, data=text)


def _cell(split: str, summary: Summary, name: str, traits: Traits | None) -> str:
    if traits is not None and traits.needs_reference and split == ONE_LENS:
        return NEEDS_REFERENCE
    gain = _gain(summary, name)
    return "not scored" if gain is None else f"{gain.value:+.2f}"


def _verdict(summaries: Mapping[str, Summary], name: str, traits: Traits | None) -> str:
    if traits is None:
        return "no method"
    gain = _gain(summaries[traits.task], name) if traits.task in summaries else None
    if gain is None:
        return f"{traits.task}: not scored"
    return f"{traits.task}: {'yes' if gain.value >= TARGET_DB else 'no'}"


def _gain(summary: Summary, name: str) -> Mean | None:
    return summary.groups["all"].get(name, {}).get("psnr_gain")


def _plain(summary: Summary) -> dict[str, float]:
    models = summary.groups["all"]
    return {name: round(m["psnr_gain"].value, 3) for name, m in models.items() if "psnr_gain" in m}


def all_notes(summaries: dict[str, Summary], config: EvalConfig) -> list[str]:
    """Return what a reader must know: inputs, training of weights that were given, what has no weights."""
    inputs = ", ".join(
        f"{split} {summary.groups['all']['input']['psnr'].value:.2f} dB"
        for split, summary in summaries.items()
        if "psnr" in summary.groups["all"].get("input", {})
    )
    lines = [f"PSNR of the input: {inputs}."] if inputs else []
    if config.max_frames is not None:
        lines.append(f"Only the first {config.max_frames} frames of each clip.")
    scored = {name for summary in summaries.values() for name in summary.groups["all"]}
    return [*lines, *_given_notes(config), *untrained_notes(scored)]


def _given_notes(config: EvalConfig) -> list[str]:
    """Return a sentence about each network that was given as NAME=FILE, from the header of the file."""
    lines = []
    for name, equals, file in (word.partition("=") for word in config.methods):
        steps = read_header(Path(file)).get("step") if equals else None
        if steps is not None:
            lines.append(f"{name}: not published, {steps} training steps.")
    return lines


def untrained_notes(scored: Collection[str]) -> list[str]:
    """Return a sentence about the networks without weights, if there are any that are not scored."""
    names = untrained(scored)
    if not names:
        return []
    measuring = ", ".join(zoo.ESTIMATORS)
    return [
        f"Untrained, without weights, and not scored: {', '.join(names)}.",
        f"Not in the table, because it measures blur and restores nothing: {measuring}.",
    ]
