"""The plan and the result of a job as labels and values for people; the JSON keeps the bare values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from asled_cli.job.records import DeblurPlan, DeblurResult, MethodChoice
from asled_cli.job.show.probe_rows import registration_text
from asled_cli.runtime.device import ALL_GPUS
from asled_cli.runtime.option_limits import tile_text

if TYPE_CHECKING:
    from asled_cli.video.frames import Clip


def plan_rows(plan: DeblurPlan) -> dict[str, str]:
    """Return what a job will do, by label."""
    end = "the end" if plan.end_s is None else f"{float(plan.end_s):.3f} s"
    frames = f"about {plan.frames}, from {float(plan.start_s):.3f} s to {end}"
    views = {"compare clip": plan.compare, "report": plan.report}
    return {
        **{role: _clip_text(clip) for role, clip in plan.clips.items()},
        "frames": frames,
        **(_pair_rows(plan) if plan.ultra is not None else _single_rows(plan)),
        **_worker_rows(plan),
        "memory": f"about {plan.memory_bytes / 2**30:.1f} GiB",
        "encoder": ", ".join([plan.encoder.name, plan.encoder.pix_fmt, *_options(plan.encoder.options)]),
        "output": str(plan.out),
        **{name: str(path) for name, path in views.items() if path is not None},
    }


def _worker_rows(plan: DeblurPlan) -> dict[str, str]:
    """Return who renders the frames, where more than one process was asked for."""
    config = plan.config
    if not config.spreads:
        return {}
    if not plan.spreads:
        return {"workers": "one process: --exact, and the network's memory runs from frame to frame"}
    who = f"{config.workers} processes" if config.ray is None else f"the Ray cluster {config.ray}"
    if config.device == ALL_GPUS:
        who = "one process per GPU"
    seams = "; at the start of a worker's part frames differ by up to 2 of 255 from one process, "
    seams += "with --exact not at all"
    return {"workers": who + (seams if plan.has_seams else "")}


def result_rows(result: DeblurResult) -> dict[str, str]:
    """Return what a job did, by label."""
    frames, wall = result.frames_written, result.wall_s
    views = {"compare clip": result.plan.compare, "report": result.plan.report}
    rows = {
        "frames written": f"{frames} in {duration_text(wall)}, {frames / wall if wall > 0 else 0.0:.2f} fps",
        "frames deblurred": changed_text(result),
        "registration": registration_text(result.registration) if result.registration else "",
        "analysis": duration_text(result.analysis_s),
        "stages": ", ".join(f"{s.name} {s.busy_s:.1f} s ({s.fps:.2f} fps)" for s in result.stages),
        "problems": ", ".join(problem_texts(result)) or "none",
        "dropped tracks": ", ".join(result.dropped_tracks),
        "differences": "; ".join(difference_texts(result)),
        "output": str(result.out),
        **{name: "" if path is None else str(path) for name, path in views.items()},
    }
    return {name: text for name, text in rows.items() if text}


def changed_text(result: DeblurResult) -> str:
    """Return how many frames were changed, and why others were not."""
    if result.copied:
        return "0: the clip was copied without re-encoding"
    if result.views:
        return ", ".join(f"{v.frames_changed} of view {v.plan.wide.view + 1}" for v in result.views)
    changed = f"{result.frames_changed}"
    if result.plan.ultra is not None:
        changed += f", without reference {result.frames_without_reference}"
    if result.frames_unchanged:
        changed += f", sharp and unchanged {result.frames_unchanged}"
    return changed


def problem_texts(result: DeblurResult) -> list[str]:
    """Return what the readers had to skip or repair, and how often."""
    return [f"{name}: {count}" for name, count in result.problems.items() if count]


def difference_texts(result: DeblurResult) -> list[str]:
    """Return what the result does not keep of the wide clip."""
    return [f"{c.name}: {c.found}, expected {c.expected}" for c in result.differences]


def duration_text(seconds: float) -> str:
    """Return a duration as seconds, minutes or hours."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d} h" if hours else f"{rest // 60}:{rest % 60:02d} min"


def _pair_rows(plan: DeblurPlan) -> dict[str, str]:
    match, choice = plan.pair, plan.choice
    return {
        "time offset": f"{float(match.timing.clock.offset_s):+.4f} s ({match.timing.description})",
        "field-of-view ratio": f"{match.fov_ratio:.3f} ({match.fov_source}), refined by registration",
        "method": f"{choice.method} ({choice.reason})",
        **_network_rows(choice),
        "reference": _fusion_text(choice.reference_radius),
    }


def _network_rows(choice: MethodChoice) -> dict[str, str]:
    return {
        "network": "none" if choice.model is None else f"{choice.model}, {choice.weights}",
        "device": f"{choice.device}, {choice.precision}",
        "chunk": f"{choice.chunk} frames, look-ahead {choice.overlap}, {tile_text(choice.tile)}",
    }


def _single_rows(plan: DeblurPlan) -> dict[str, str]:
    exposure, choice = plan.own_exposure, plan.choice
    network = {} if choice.model is None else _network_rows(choice)
    return {
        "method": f"{choice.method} ({choice.reason})",
        **network,
        "exposure": f"{exposure:.2f} of a frame interval" if exposure > 0 else "not found",
        "expectation": plan.expectation,
    }


def _clip_text(clip: Clip) -> str:
    turned = f", rotated {clip.rotation}°" if clip.rotation else ""
    view = f", view {clip.view + 1}" if clip.views > 1 else ""
    return (
        f"{clip.path}{view}: {clip.width}x{clip.height}{turned}, {float(clip.average_rate):.2f} fps, "
        f"{clip.codec} {clip.bit_depth} bit"
    )


def _options(options: Mapping[str, str]) -> list[str]:
    return [f"{name} {value}" for name, value in options.items() if name != "x265-params"]


def _fusion_text(radius: int) -> str:
    return f"averaged over {2 * radius + 1} motion-aligned frames" if radius else "frame by frame"
