"""`asled eval`: score methods on clips whose ground truth is known, by a named protocol."""

from __future__ import annotations

from asled_cli.cli.options import evaluation as ev
from asled_cli.cli.options import shared as opt
from asled_cli.job.show.paths import check_report, report_path
from asled_cli.lab.scoring import config as cfg
from asled_cli.runtime.option_limits import read_size
from asled_cli.runtime.stages import usable_cores


def evaluate(
    dataset: ev.Dataset = None,
    root: ev.Root = None,
    pairs: ev.Pairs = None,
    split: ev.Split = None,
    clips: ev.Clips = "",
    max_frames: ev.MaxFrames = None,
    average: ev.Average = 7,
    average_reference: ev.AverageReference = False,
    linear: ev.Linear = False,
    methods: ev.Methods = ev.USUAL_METHODS,
    weights: opt.WeightsFile = None,
    protocol: ev.Protocol = "basicsr",
    metrics: ev.Metrics = "usual",
    metric_weights: ev.MetricWeights = None,
    alignment: ev.Alignment = "registered",
    fov_ratio: ev.FovRatio = None,
    profile: ev.Profile = "",
    device: opt.Device = "auto",
    precision: opt.PrecisionName = "auto",
    workers: ev.Workers = None,
    ray: opt.Ray = None,
    out: ev.OutFolder = None,
    page: ev.Page = None,
    cache: ev.Cache = None,
    overwrite: ev.Overwrite = False,
    seed: ev.Seed = 0,
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
    debug: opt.Debug = False,
) -> None:
    """Evaluate methods (networks, swap, input) against ground truth."""
    sizes = tuple(read_size("--profile", word, least=16) for word in cfg.split_list(profile))
    config = cfg.EvalConfig(
        dataset, root, pairs=tuple(pairs or ()), methods=cfg.split_list(methods), weights=weights,
        split=split, clips=cfg.split_list(clips), max_frames=max_frames, protocol=protocol,
        metrics=cfg.choose_metrics(metrics), metric_weights=metric_weights, alignment=alignment,
        fov_ratio=fov_ratio, average=average, average_reference=average_reference, linear=linear,
        profile_sizes=sizes, device=device, precision=precision, workers=workers, out=out,
        cache=cache, overwrite=overwrite, seed=seed,
    )  # fmt: skip
    page = report_path(page, ev.report_place(out), ".html")
    check_report(page, [], overwrite=overwrite)
    from asled_cli.cli.output import console
    from asled_cli.lab.evaluation.run import run_eval  # torch and av load here, not for --help
    from asled_cli.runtime.workers.ray_cluster import cluster

    remote = None if ray is None else cluster(ray, device, workers or usable_cores())
    style = console.Style(as_json=as_json, quiet=quiet, verbose=verbose)
    with console.progress(style) as report:
        result = run_eval(config, report, remote)
    if page is not None:
        from asled_cli.lab.evaluation.page import write_eval_page

        write_eval_page(page, result, f"Evaluation: {dataset or root or 'pairs'}")
    for title, columns, rows in result.tables:
        console.show_table(title, columns, rows, style)
    console.show_lines("note", result.notes, style)
    console.show_lines("written", [str(path) for path in result.written], style)
