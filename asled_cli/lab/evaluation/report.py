"""Report files of a finished evaluation: per-frame CSV, JSON, Markdown, LaTeX."""

import csv
import io
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from asled_cli import __version__
from asled_cli.lab.eval_sets.catalogue import EVAL_SETS
from asled_cli.lab.evaluation.costs import Cost
from asled_cli.lab.evaluation.statistics import Mean, Summary, clip_mean, metrics_of
from asled_cli.lab.scoring.config import EvalConfig
from asled_cli.lab.scoring.score_all import Evaluation
from asled_cli.metrics.protocols import PAPER_INPUT, PROTOCOLS
from asled_cli.metrics.temporal import FLOW_NAME
from asled_cli.runtime.own_files import OwnFiles
from asled_cli.runtime.printable import spreadsheet_cell

Table = tuple[str, list[str], list[list[str]]]  # title, columns, rows
# Column headings of the tables.
HEADINGS = {
    "psnr": "PSNR dB", "psnr_gain": "gain dB", "ssim": "SSIM", "ssim_gain": "SSIM gain",
    "lpips-alex": "LPIPS alex", "lpips-vgg": "LPIPS vgg", "tgrad": "t-grad", "warp": "warp", "tof": "tOF",
    "sharpness": "sharp", "psnr_to_input": "PSNR to input", "niqe": "NIQE", "brisque": "BRISQUE",
    "flip": "FLIP", "cvvdp": "CVVDP JOD",
    "semi": "semi-ref",
}  # fmt: skip
DIGITS = {
    "psnr": 2,
    "psnr_gain": 2,
    "psnr_to_input": 2,
    "ssim": 4,
    "ssim_gain": 4,
    "niqe": 4,
    "brisque": 4,
    "flip": 4,
    "cvvdp": 2,
}
# Files of a report.
NAMES = ("frames.csv", "scores.json", "report.md", "table.tex")
SELF_CHECK_DB = 0.5  # an input with a larger difference from the paper's was blurred differently


def write_report(
    evaluation: Evaluation, summary: Summary, costs: Sequence[Cost], files: OwnFiles
) -> list[Path]:
    """Write `NAMES` into the folder of `files` and return their paths. Raises UsageError, OSError."""
    texts = {
        "frames.csv": _frames_csv(evaluation),
        "scores.json": json.dumps(as_dict(evaluation, summary, costs), indent=1) + "\n",
        "report.md": markdown(evaluation, summary, costs),
        "table.tex": latex(summary),
    }
    return [files.write(name, partial(Path.write_text, data=text)) for name, text in texts.items()]


def mean_tables(summary: Summary) -> list[Table]:
    """Return one table per group of clips: models down, metrics across, main metrics with interval."""
    tables = []
    for group, models in summary.groups.items():
        metrics = list(dict.fromkeys(m for means in models.values() for m in means if "ring" not in m))
        metrics = sorted(metrics, key=lambda m: list(HEADINGS).index(m) if m in HEADINGS else len(HEADINGS))
        if group != "sharp" and "psnr" in metrics:
            metrics = [m for m in metrics if m != "psnr_to_input"]
        rows = [[model, *(_words(means.get(m), m) for m in metrics)] for model, means in models.items()]
        title = f"{group}, {summary.sizes[group]} clips"
        tables.append((title, ["model", *(HEADINGS.get(m, m) for m in metrics)], rows))
    return tables


def clip_table(evaluation: Evaluation) -> Table:
    """Return PSNR (or the first metric) per clip as a table, models across."""
    found = metrics_of(evaluation.scores)
    metric = next((m for m in ("psnr", "semi", "sharpness") if m in found), "psnr_to_input")
    models = [model.name for model in evaluation.models]
    table: dict[str, dict[str, str]] = {}
    for one in evaluation.scores:
        mean = clip_mean(one.rows, metric)
        name = f"{one.clip} ({one.group})" if one.group else one.clip
        table.setdefault(name, {})[one.model] = "-" if mean is None else f"{mean:.{DIGITS.get(metric, 3)}f}"
    rows = [[clip, *(values.get(model, "-") for model in models)] for clip, values in table.items()]
    return f"{HEADINGS.get(metric, metric)} per clip", ["clip", *models], rows


def cost_table(costs: Sequence[Cost]) -> Table:
    """Return parameters, operations, time and memory as a table."""
    rows = [
        [c.model, f"{c.width}x{c.height}", f"{c.parameters / 1e6:.2f} M",
         "-" if c.flops is None else f"{c.flops / 1e9:.1f}",
         "would take too long" if c.ms is None else f"{c.ms:.1f}",
         "-" if c.peak_mib is None else f"{c.peak_mib:.0f}"]
        for c in costs
    ]  # fmt: skip
    return "cost", ["model", "size", "parameters", "GFLOP/frame", "ms/frame", "peak MiB"], rows


def notes(evaluation: Evaluation, summary: Summary) -> list[str]:
    """Return what a reader must know about the scores."""
    config, protocol = evaluation.config, PROTOCOLS[evaluation.config.protocol]
    lines = [f"Protocol {protocol.describe()}. Origin: {protocol.origin}."]
    lines.append("In files, brackets hold the 95 % bootstrap interval over clips. Scored before encoding.")
    found = metrics_of(evaluation.scores)
    if {"warp", "tof"} & set(found):
        lines.append(f"Flow of warp (MSE x 1000, visible pixels) and tOF (pixels): OpenCV {FLOW_NAME}.")
    if "tgrad" in found:
        lines.append("t-grad: mean |difference of temporal gradients|, 8-bit steps.")
    if config.dataset == "synthetic":
        eval_set = EVAL_SETS[config.resolved_split]
        lines.append(f"Clips: {eval_set.name} set, version {eval_set.version}, from held-out sources.")
    if config.dataset == "realmcvsr":
        views = "W and UW" if config.average_reference else "W only"
        light = "linear light" if config.linear else "coded values"
        lines.append(
            f"Blur: mean of {config.average} frames of {views}, {light}; ends are left out. "
            "W_blur on disk is taken as it is."
        )
        lines += _self_check(summary)
    if config.alignment == "centre-crop":
        lines.append(f"Reference: centre crop by {config.fov_ratio:g}, enlarged, not registered.")
    return lines


def _self_check(summary: Summary) -> list[str]:
    """Return whether the blurred input has the score of the paper, as a sentence."""
    own = summary.groups.get("all", {}).get("input", {}).get("psnr")
    if own is None:
        return []
    wanted = PAPER_INPUT["psnr"]
    verdict = (
        "as in the paper" if abs(own.value - wanted) < SELF_CHECK_DB else "NOT the paper's blur or clips"
    )
    return [f"Self-check: the input scores {own.value:.2f} dB, the paper's {wanted} dB: {verdict}."]


def as_dict(evaluation: Evaluation, summary: Summary, costs: Sequence[Cost]) -> dict[str, Any]:
    """Return the evaluation without per-frame scores in plain values."""
    metrics = metrics_of(evaluation.scores)
    apart = ("root", "out", "cache", "weights", "overwrite")  # where things are changes no score
    config = {k: v for k, v in asdict(evaluation.config).items() if k not in apart}
    return {
        "asled": __version__,
        "protocol": asdict(PROTOCOLS[evaluation.config.protocol]),
        "config": json.loads(json.dumps(config, default=str)),
        "set_version": _made_set_version(evaluation.config),
        "machine": {"system": platform.platform(), "torch": torch.__version__},
        "models": [{"name": m.name, "kind": m.kind, "sha256": m.sha256} for m in evaluation.models],
        "means": {group: _plain_means(models) for group, models in summary.groups.items()},
        "clips": [
            {
                "clip": one.clip, "group": one.group, "model": one.model, "frames": len(one.rows),
                **{m: mean for m in metrics if (mean := clip_mean(one.rows, m)) is not None},
                "metadata": one.metadata,
            }
            for one in evaluation.scores
        ],
        "costs": [asdict(cost) for cost in costs],
        "notes": notes(evaluation, summary),
    }  # fmt: skip


def _made_set_version(config: EvalConfig) -> int | None:
    return EVAL_SETS[config.resolved_split].version if config.dataset == "synthetic" else None


def _plain_means(models: dict[str, dict[str, Mean]]) -> dict[str, Any]:
    return {model: {m: asdict(mean) for m, mean in means.items()} for model, means in models.items()}


def markdown(evaluation: Evaluation, summary: Summary, costs: Sequence[Cost]) -> str:
    """Return the report as one Markdown page."""
    lines = ["# Scores", "", *(f"- {note}" for note in notes(evaluation, summary))]
    for model in evaluation.models:
        if model.sha256:
            lines.append(f"- {model.name}: weights with SHA-256 {model.sha256[:12]}...")
    tables = [*mean_tables(summary), *([cost_table(costs)] if costs else []), clip_table(evaluation)]
    for title, columns, rows in tables:
        lines += [
            "",
            f"## {title}",
            "",
            row_text(columns),
            row_text(["---"] * len(columns)),
            *map(row_text, rows),
        ]
    return "\n".join(lines) + "\n"


def latex(summary: Summary) -> str:
    r"""Return the main table for \input into a paper."""
    lines = []
    for title, columns, rows in mean_tables(summary)[:1]:
        shown = [[cell.split(" [")[0] for cell in row] for row in rows]
        lines += [f"% {title}", f"\\begin{{tabular}}{{l{'r' * (len(columns) - 1)}}}", "\\hline"]
        lines += [" & ".join(map(_escape, columns)) + r" \\", "\\hline"]
        lines += [" & ".join(map(_escape, row)) + r" \\" for row in shown]
        lines += ["\\hline", "\\end{tabular}"]
    return "\n".join(lines) + "\n"


def _frames_csv(evaluation: Evaluation) -> str:
    metrics = metrics_of(evaluation.scores)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["clip", "group", "model", "frame", *metrics])
    for one in evaluation.scores:
        for row in one.rows:
            cells = [f"{row[m]:.6g}" if m in row else "" for m in metrics]
            names = map(spreadsheet_cell, (one.clip, one.group, one.model))
            writer.writerow([*names, int(row["frame"]), *cells])
    return text.getvalue()


def _words(mean: Mean | None, metric: str) -> str:
    if mean is None:
        return "-"
    digits = DIGITS.get(metric, 3)
    interval = f" [{mean.low:.{digits}f}, {mean.high:.{digits}f}]" if metric.startswith("psnr") else ""
    sign = "+" if metric.endswith("_gain") else ""
    return f"{mean.value:{sign}.{digits}f}{interval}"


def row_text(cells: Sequence[str]) -> str:
    """Return one row of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def _escape(cell: str) -> str:
    return cell.replace("_", r"\_").replace("%", r"\%").replace("&", r"\&")
