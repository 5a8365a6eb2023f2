"""`asled synth-blur`: sharp clips and photos in, blurred pairs out."""

from __future__ import annotations

from asled_cli.cli.options import shared as opt
from asled_cli.cli.options import synthesis as syn
from asled_cli.runtime.option_limits import read_size


def synth_blur(
    sources: syn.Sources,
    out: syn.OutFolder,
    mode: syn.Mode = "average",
    ultra: syn.Ultras = None,
    seed: syn.Seed = 0,
    frames: syn.Frames = None,
    clips: syn.Clips = None,
    size: syn.Size = None,
    degrade: syn.Degrade = None,
    ratio: syn.Ratio = None,
    window: syn.Window = 7,
    ultra_window: syn.UltraWindow = 1,
    stride: syn.Stride = 1,
    linear: syn.Linear = False,
    upsample_fps: syn.UpsampleFps = 1,
    exposure: syn.Exposure = None,
    ultra_exposure: syn.UltraExposure = None,
    blur_px: syn.BlurPx = None,
    layers: syn.Layers = None,
    rolling_shutter: syn.RollingShutter = None,
    ois: syn.Ois = None,
    eis_window: syn.EisWindow = None,
    baseline_px: syn.BaselinePx = None,
    circle_px: syn.CirclePx = None,
    focus: syn.Focus = None,
    aperture: syn.Aperture = None,
    ultra_defocus: syn.UltraDefocus = None,
    layout: syn.Layout = "generic",
    split: syn.Split = None,
    store: syn.Format = "frames",
    flow: syn.Flow = False,
    occlusion: syn.Occlusion = False,
    jobs: opt.Processes = 0,
    ray: opt.Ray = None,
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Create synthetic blurred pairs with ground truth for training and evaluation. Resumable."""
    from asled_cli.cli.output import console
    from asled_cli.lab.synthesis.clip import SynthConfig
    from asled_cli.lab.synthesis.pair_files import FilesConfig  # numpy and av load here, not for --help
    from asled_cli.lab.synthesis.run import SynthJob
    from asled_cli.lab.synthesis.run import synth_blur as run
    from asled_cli.runtime.stages import usable_cores
    from asled_cli.runtime.workers.ray_cluster import cluster

    sides = None if size is None else read_size("--size", size, least=32)
    synth = SynthConfig(
        mode=mode, seed=seed, frames=frames, size=sides, degrade=degrade,
        ratio=ratio, window=window, ultra_window=ultra_window, stride=stride, linear=linear,
        upsample_fps=upsample_fps, exposure=exposure, ultra_exposure=ultra_exposure, blur_px=blur_px,
        layers=layers, readout=rolling_shutter, ois=ois, eis_window=eis_window, baseline_px=baseline_px,
        circle_px=circle_px, focus=focus, aperture=aperture, ultra_defocus=ultra_defocus,
    )  # fmt: skip
    files = FilesConfig(layout=layout, store=store, split=split, flow=flow, occlusion=occlusion)
    job = SynthJob(
        sources=sources, out=out, ultras=ultra or (), clips=clips, synth=synth, files=files, jobs=jobs
    )
    style = console.Style(as_json=as_json, quiet=quiet)
    remote = None if ray is None else cluster(ray, "cpu", jobs or usable_cores())
    with console.progress(style) as report:
        result = run(job, report, remote)
    counts = {"written": result.written, "kept": result.kept, "left out": len(result.left_out)}
    console.show_values("synth-blur", counts | {"manifest": str(result.manifest)}, style)
