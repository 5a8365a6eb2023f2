"""`asled batch`: many pairs of clips, one after the other or some at a time."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asled_cli.cli.options import shared as opt
from asled_cli.errors import AsledError, UsageError
from asled_cli.job.config import DeblurConfig
from asled_cli.progress import ignore
from asled_cli.runtime.option_limits import MAX_JOBS

if TYPE_CHECKING:
    from asled_cli.cli.output.console import Style
    from asled_cli.job.batch.pairs import BatchPair
    from asled_cli.job.batch.remote import Remote
    from asled_cli.job.batch.report import Outcome

Source = Annotated[
    Path,
    typer.Argument(
        metavar="MANIFEST.csv|DIR",
        help="A table with the columns wide,ultra[,out], or a folder of clips and takes, paired by "
        "name or time; each clip alone with --method single.",
    ),
]
OutFolder = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for results and report.")]
Jobs = Annotated[
    int, typer.Option(min=1, max=MAX_JOBS, help="Clips at a time; with several GPUs, one process per GPU.")
]
ListOnly = Annotated[bool, typer.Option("--list", help="Only show which clips belong together.")]
ShardOption = Annotated[
    str | None,
    typer.Option(
        metavar="I/N",
        help="Do only the I-th of N parts, on one of N machines; each pair is in one part.",
        show_default="all pairs",
    ),
]
Merge = Annotated[
    bool,
    typer.Option("--merge", help="Only join the reports of all shards; ends with 1 if a pair is missing."),
]
Compare = Annotated[
    bool,
    typer.Option("--compare", help="Write a compare clip of every result.", rich_help_panel=opt.VIEWS),
]
Page = Annotated[
    bool,
    typer.Option("--report", help="Write a page for every job, and index.html.", rich_help_panel=opt.VIEWS),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite", "-y", help="Replace results that exist; start over what other options left unfinished."
    ),
]


def batch(
    source: Source,
    out: OutFolder,
    jobs: Jobs = 1,
    method: opt.MethodName = "auto",
    target: opt.TargetName = "auto",
    output_views: opt.OutputViewsName = "auto",
    device: opt.Device = "auto",
    strength: opt.Strength = 1.0,
    codec: opt.Codec = "auto",
    preset: opt.Preset = None,
    crf: opt.Crf = None,
    strict: opt.Strict = False,
    compare: Compare = False,
    page: Page = False,
    overwrite: Overwrite = False,
    shard: ShardOption = None,
    ray: opt.Ray = None,
    list_only: ListOnly = False,
    merge: Merge = False,
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Deblur many pairs. Failures do not stop the batch; run it again to resume."""
    from asled_cli.cli.output import console
    from asled_cli.job.batch.pairs import with_views
    from asled_cli.job.batch.run import run_batch
    from asled_cli.job.batch.shards import merge_reports, read_shard
    from asled_cli.job.batch.versions import versions
    from asled_cli.video.encode.encoder import EncodeConfig

    part = None if shard is None else read_shard(shard)
    if merge and (part is not None or list_only):
        raise UsageError("--merge joins the reports of all shards.", "Drop --shard and --list.")
    # What is wrong with the options is wrong for every pair: it is said once, before the first one.
    config = DeblurConfig(
        source, source, method=method, target=target, strength=strength, device=device, strict=strict,
        encode=EncodeConfig(codec, crf, preset, overwrite=overwrite),
        compare=Path("auto") if compare else None, report=Path("auto") if page else None,
    )  # fmt: skip
    style = console.Style(as_json=as_json, quiet=quiet)
    unreported: list[AsledError] = []
    index = _Index(out, overwrite, unreported.append) if page and part is None and not list_only else None
    with console.progress(style):  # shows what is warned of
        found = _find(source, method, out, strict)
        pairs = [with_views(pair, target, output_views) for pair in found]
        if list_only:
            shown = pairs if part is None else part.pick(pairs)
            rows = [(str(pair.wide), str(pair.ultra or ""), pair.outcome) for pair in shown]
            console.show_table("batch", ("wide", "ultra", "out"), rows, style)
            return
        if merge:
            outcomes = merge_reports(pairs, out, overwrite)
        else:
            outcomes = run_batch(
                pairs, out, jobs=jobs, device=device, overwrite=overwrite, shard=part,
                options=_options(method, strength, codec, preset, crf, strict, compare, page),
                on_outcome=ignore if index is None else index.add,
                versions={} if part is None else versions(method), report_failed=unreported.append,
                remote=None if ray is None else _remote(ray, config, jobs),
            )  # fmt: skip
    if index is not None:
        index.write(outcomes)
    _show(outcomes, style)
    if unreported:
        raise unreported[-1]
    if any(outcome.status == "failed" for outcome in outcomes):
        raise typer.Exit(1)


def _remote(address: str, config: DeblurConfig, jobs: int) -> Remote:
    """Return the cluster at `address` for jobs of this kind. jobs: cores of a local one."""
    from asled_cli.job.batch.remote import Remote
    from asled_cli.job.batch.versions import versions
    from asled_cli.runtime.workers.ray_cluster import cluster
    from asled_cli.spatial.run import run_job

    workers = cluster(address, config.device, jobs)
    return Remote(workers, replace(config, target="auto"), versions(config.method), run_job)


def _find(source: Path, method: str, out: Path, strict: bool) -> list[BatchPair]:
    """Return the pairs that a manifest or folder names."""
    from asled_cli.job.batch.manifest import read_manifest
    from asled_cli.job.batch.pairs import find_clips
    from asled_cli.job.batch.takes import find_takes

    if not os.path.exists(source):  # noqa: PTH110 (false, not an error, for a name that is too long)
        raise UsageError(f"{source} does not exist.", "Name a manifest or a folder.")
    if not source.is_dir():
        return read_manifest(source)
    return find_clips(source) if method == "single" else find_takes(source, out, strict=strict)


class _Index:
    """The index page of the batch, which grows with each finished job."""

    def __init__(self, folder: Path, overwrite: bool, failed: Callable[[AsledError], None]) -> None:
        from asled_cli.job.show.pages.batch_page import check_index

        self.folder, self.failed = folder, failed
        self.finished: list[Outcome] = []
        check_index(folder, overwrite)

    def add(self, outcome: Outcome) -> None:
        self.finished.append(outcome)
        self.write(self.finished)

    def write(self, outcomes: list[Outcome]) -> None:
        from asled_cli.job.show.pages.batch_page import write_index

        try:
            write_index(self.folder, outcomes)
        except AsledError as error:
            self.failed(error)


def _options(
    method: str, strength: float, codec: str, preset: str | None, crf: int | None, *switches: bool
) -> list[str]:
    """Return the options that are passed on to every job."""
    options = ["--method", method, "--strength", str(strength), "--codec", codec]
    options += ["--preset", preset] if preset is not None else []
    options += ["--crf", str(crf)] if crf is not None else []
    names = ("--strict", "--compare", "--report")
    return options + [name for name, on in zip(names, switches, strict=True) if on]


def _show(outcomes: list[Outcome], style: Style) -> None:
    from asled_cli.cli.output import console
    from asled_cli.job.batch.report import REPORT

    if not style.quiet:
        table = [(Path(o.wide).name, o.out, o.status, f"{o.seconds:.0f} s", o.message) for o in outcomes]
        console.show_table(REPORT, ("wide", "out", "status", "time", "message"), table, style)
