"""The findings of `asled probe` as a page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asled_cli.guide import Guide
from asled_cli.job.show.collect import MAX_SIDE, colour_map, jpeg
from asled_cli.job.show.pages.charts import Chart, make_chart
from asled_cli.job.show.pages.render import write_page
from asled_cli.job.show.picture import fitted, resized, to_screen, upright
from asled_cli.job.show.probe_rows import PLAN_COLUMNS, clip_rows, pair_rows, segment_row
from asled_cli.registration.rendering.aligned_frame import AlignedFrame
from asled_cli.video.frames import Clip

PAST_S = 1e9  # stands for an end that is open


def write_clip_page(path: Path, info: Mapping[str, Any]) -> None:
    """Write the page about one clip. Raises AsledError if it cannot be written."""
    values: dict[str, Any] = {name: [] for name in ("figures", "segments", "segment_columns", "pair")}
    write_page(
        path, "probe.html", title=f"{Path(info['path']).name}, probed", shot=None, chart=None,
        clip_columns=["", "clip"], clips=clip_rows(info), notes=info["warnings"], **values,
    )  # fmt: skip


def write_pair_page(path: Path, info: Mapping[str, Any], wide: Clip, sample: Sequence[AlignedFrame]) -> None:
    """Write the page about a pair. sample: aligned frames, of which one is shown. Raises AsledError."""
    found = info["registration"]
    write_page(
        path,
        "probe.html",
        title=f"{wide.path.name}, probed",
        figures=[
            (f"{info['offset_s']:+.4f} s", "time offset"),
            (f"{found['fov_ratio']:.3f}", "field-of-view ratio"),
            (f"{found['correlation']:.3f}" + ("" if found["accepted"] else ", rejected"), "correlation"),
        ],
        shot=_shot(wide, sample),
        chart=_chart(info),
        segments=[segment_row(segment) for segment in info["plan"]],
        segment_columns=PLAN_COLUMNS,
        notes=info["notes"],
        pair=pair_rows(info),
        clip_columns=["", "wide", "ultra"],
        clips=clip_rows(info["wide"], info["ultra"]),
    )


def _shot(wide: Clip, sample: Sequence[AlignedFrame]) -> dict[str, Any] | None:
    usable = [frame for frame in sample if frame.reference is not None]
    if not usable:
        return None
    frame = usable[len(usable) // 2]
    assert frame.reference is not None
    views = {"wide": frame.pair.target.rgb, "ultra": frame.reference}
    confidence = frame.guide[..., Guide.CONFIDENCE].astype(np.float32)
    found: dict[str, Any] = {"when": f"{float(frame.pair.target.time):.2f} s"}
    for name, view in views.items():
        shown = upright(view, wide)
        size = fitted((shown.shape[1], shown.shape[0]), MAX_SIDE)
        found[name] = jpeg(to_screen(np.ascontiguousarray(resized(shown, size)), wide))
    return found | {"confidence": jpeg(colour_map(upright(confidence, wide)))}


def _chart(info: Mapping[str, Any]) -> Chart | None:
    samples = info["sharpness"]
    ends = [
        (-PAST_S if s["start_s"] is None else s["start_s"], PAST_S if s["end_s"] is None else s["end_s"],
         s["action"].replace(" ", "-"))
        for s in info["plan"]
    ]  # fmt: skip
    curves = {lens: [s[f"{lens}_blur_px"] for s in samples] for lens in ("wide", "ultra")}
    times = [s["time_s"] for s in samples]
    return make_chart("Blur of both views (edge width)", "px", times, curves, ends)
