"""One table of all networks on the fixed synthetic sets: `asled eval --methods all` without --split."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from asled_cli.lab.evaluation.report import Table, row_text
from asled_cli.lab.evaluation.statistics import Mean, Summary
from asled_cli.lab.scoring.config import EvalConfig
from asled_cli.lab.scoring.methods import ALL, untrained
from asled_cli.runtime.atomic_file import explain_full_disk
from asled_cli.runtime.own_files import OwnFiles

SETS = {
    "strong": "motion, strong blur",
    "valid": "motion, validation",
    "single": "motion, no second lens",
    "defocus": "out of focus",
}
"""Set -> what its clips are blurred by."""
FILES = ("networks.md", "networks.json")
TARGET_DB = 1.0
"""What a network must gain on the set of its task, to be worth its cost."""
UNTRAINED = "untrained"


def compares_all(config: EvalConfig) -> bool:
    """Return whether all networks are to be scored on all sets."""
    return ALL in config.methods and config.dataset == "synthetic" and config.split is None


def one_set(config: EvalConfig, split: str) -> EvalConfig:
    """Return the settings of one set: its own folder for the report, one cache."""
    out = None if config.out is None else config.out / split
    return replace(config, split=split, out=out, cache=config.cache_folder)


def networks_table(summaries: dict[str, Summary]) -> Table:
    """Return methods down, sets across: the mean gain over the input in dB, below them what has no weights.

    summaries: by set.
    """
    names = list(dict.fromkeys(name for summary in summaries.values() for name in summary.groups["all"]))
    heads = [f"{split}: {SETS[split]}" for split in summaries]
    rows = [[name, *(_gain(summary, name) for summary in summaries.values())] for name in names]
    rows += [[name, *[UNTRAINED] * len(summaries)] for name in untrained()]
    return "gain over the input in dB, means of ten clips", ["method", *heads], rows


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
    content = {"gain_db": found, "untrained": untrained(), "notes": list(lines)}
    advice = "Choose another --out, move it away, or replace it with --overwrite."
    files = OwnFiles(config.out, config.out / ".asled-eval.json", overwrite=config.overwrite, advice=advice)
    files.check(FILES)
    texts = {"networks.md": "\n".join(text) + "\n", "networks.json": json.dumps(content, indent=1) + "\n"}
    with explain_full_disk(config.out, "Run the same again to continue; finished clips are kept."):
        return [files.write(name, _writer(texts[name])) for name in FILES]


def _writer(text: str) -> Callable[[Path], object]:
    return partial(Path.write_text, data=text)


def _gain(summary: Summary, name: str) -> str:
    means = summary.groups["all"].get(name, {})
    gain: Mean | None = means.get("psnr_gain")
    return "-" if gain is None else f"{gain.value:+.2f}"


def _plain(summary: Summary) -> dict[str, float]:
    models = summary.groups["all"]
    return {name: round(m["psnr_gain"].value, 3) for name, m in models.items() if "psnr_gain" in m}


def all_notes(summaries: dict[str, Summary]) -> list[str]:
    """Return what a reader must know: inputs, what is untrained."""
    inputs = ", ".join(
        f"{split} {summary.groups['all']['input']['psnr'].value:.2f} dB"
        for split, summary in summaries.items()
        if "psnr" in summary.groups["all"].get("input", {})
    )
    lines = [f"PSNR of the input: {inputs}."] if inputs else []
    return [*lines, *untrained_notes()]


def untrained_notes() -> list[str]:
    """Return a sentence about the networks without weights; nothing where all have some."""
    names = untrained()
    if not names:
        return []
    return [f"Untrained, without weights, and not scored: {', '.join(names)}."]
