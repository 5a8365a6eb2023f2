"""`asled deblur`: options in, one job, a summary out."""

from __future__ import annotations

from asled_cli.cli.options import shared as opt
from asled_cli.errors import UsageError
from asled_cli.job.config import DeblurConfig


def deblur(
    wide: opt.WideClip,
    ultra: opt.UltraClip = None,
    out: opt.OutFile = None,
    overwrite: opt.Overwrite = False,
    resume: opt.Resume = False,
    start: opt.Start = None,
    end: opt.End = None,
    offset: opt.Offset = None,
    truth: opt.Truth = None,
    compare: opt.CompareFile = None,
    compare_layout: opt.CompareLayoutName = "side",
    report: opt.ReportFile = None,
    fov_ratio: opt.FovRatio = None,
    exposure: opt.Exposure = None,
    ultra_exposure: opt.UltraExposure = None,
    lens_order: opt.LensOrderName = "auto",
    target: opt.TargetName = "auto",
    output_views: opt.OutputViewsName = "auto",
    skip_sharp: opt.SkipSharp = True,
    method: opt.MethodName = "auto",
    fast: opt.Fast = False,
    model: opt.ModelName = None,
    weights: opt.WeightsFile = None,
    strength: opt.Strength = 1.0,
    adapt: opt.Adapt = 0,
    device: opt.Device = "auto",
    precision: opt.PrecisionName = "auto",
    chunk: opt.Chunk = None,
    overlap: opt.Overlap = None,
    tile: opt.Tile = None,
    workers: opt.Workers = 1,
    ray: opt.Ray = None,
    exact: opt.Exact = False,
    codec: opt.Codec = "auto",
    crf: opt.Crf = None,
    preset: opt.Preset = None,
    pix_fmt: opt.PixFmt = "auto",
    encoder_opt: opt.EncoderOption = None,
    dry_run: opt.DryRun = False,
    strict: opt.Strict = False,
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
    debug: opt.Debug = False,
) -> None:
    """Remove motion blur from WIDE, with the help of the sharper ULTRA clip of the same moment or alone."""
    from asled_cli.cli.output import console
    from asled_cli.spatial.run import run_job  # torch and av load here, not for --help
    from asled_cli.video.encode.encoder import EncodeConfig

    options = _key_values(encoder_opt or [])
    encode = EncodeConfig(codec, crf, preset, pix_fmt, options=options, overwrite=overwrite)
    config = DeblurConfig(
        wide, ultra, out=out, method=method, fast=fast, model=model, weights=weights, device=device,
        precision=precision, fov_ratio=fov_ratio, exposure_s=exposure, ultra_exposure_s=ultra_exposure,
        lens_order=lens_order, skip_sharp=skip_sharp, target=target, output_views=output_views,
        offset_s=offset, start_s=start, end_s=end, chunk=chunk, overlap=overlap, tile=tile,
        workers=workers, ray=ray, exact=exact, strength=strength, adapt=adapt, encode=encode,
        dry_run=dry_run, truth=truth, resume=resume, strict=strict, compare=compare,
        compare_layout=compare_layout, report=report,
    )  # fmt: skip
    style = console.Style(as_json=as_json, quiet=quiet, verbose=verbose)
    with console.progress(style) as show_progress:
        result = run_job(config, show_progress)
    console.show_result(result, style)


def _key_values(options: list[str]) -> dict[str, str]:
    """Split KEY=VALUE options; a value may hold equal signs (x265-params=log-level=none)."""
    pairs = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not key or not equals:
            raise UsageError(f"--encoder-opt is {option!r}, expected KEY=VALUE such as tune=film.")
        pairs[key] = value
    return pairs
