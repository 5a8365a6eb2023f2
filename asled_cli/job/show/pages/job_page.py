"""The report of one job as a page."""

from typing import Any

from asled_cli.job.blur.gaps import gap_texts
from asled_cli.job.records import DeblurResult
from asled_cli.job.show.collect import Collector, Shot
from asled_cli.job.show.job_rows import (
    changed_text,
    difference_texts,
    duration_text,
    plan_rows,
    problem_texts,
    result_rows,
)
from asled_cli.job.show.pages.charts import Chart, make_chart
from asled_cli.job.show.pages.render import write_page
from asled_cli.job.show.probe_rows import PLAN_COLUMNS, registration_rows, segment_row


def write_job_page(result: DeblurResult, seen: Collector) -> None:
    """Write the report of a finished job, complete or not at all. Raises AsledError if it cannot be."""
    assert result.plan.report is not None
    write_page(result.plan.report, "job.html", **job_values(result, seen))


def job_values(result: DeblurResult, seen: Collector) -> dict[str, Any]:
    """Return what the template needs."""
    plan = result.plan
    return {
        "title": f"{plan.wide.path.name}, deblurred",
        "figures": _figures(result, seen),
        "shots": _shots(seen),
        "charts": [chart for chart in _charts(result, seen) if chart is not None],
        "profile": seen.profile() if len(seen.rows) > 1 else None,
        "profile_row": seen.row,
        "registration": registration_rows(result.registration) if result.registration else [],
        "segments": [segment_row(segment.as_dict()) for segment in result.segments],
        "segment_columns": PLAN_COLUMNS,
        "plan": list(plan_rows(plan).items()),
        "result": list(result_rows(result).items()),
        "stages": [
            (s.name, s.frames, s.busy_s, s.fps, s.busy_s / max(t.busy_s for t in result.stages))
            for s in result.stages
            if s.busy_s > 0
        ],
        "problems": _problems(result, seen),
        "notes": _notes(result),
    }


def _notes(result: DeblurResult) -> list[str]:
    """Return what the user should know about the job, in sentences."""
    plan = result.plan
    filled = gap_texts(result.gaps) if plan.own_exposure > 0 else []
    return [*plan.notes, *filled, *([plan.expectation] if plan.expectation else [])]


def _figures(result: DeblurResult, seen: Collector) -> list[tuple[str, str]]:
    """Return the figures at the top: value and what it is."""
    gains = [sample.detail_db for sample in seen.samples if sample.change > 0]
    figures = [
        (f"{result.frames_changed} of {result.frames_written}", "frames deblurred"),
        (f"{sum(gains) / len(gains):+.1f} dB" if gains else "none", "more detail, mean"),
        (duration_text(result.wall_s), "time taken"),
    ]
    before, after = result.psnr_input_db, result.psnr_result_db
    if before is not None and after is not None:
        figures.append((f"{before:.2f} to {after:.2f} dB", "PSNR against the truth"))
    return figures


def _shots(seen: Collector) -> list[Shot]:
    """Return the pictures in order of time: of frames that changed, else of one that did not."""
    shots = sorted(seen.shots.values(), key=lambda shot: shot.time_s)
    return [shot for shot in shots if shot.change > 0] or shots[:1]


def _charts(result: DeblurResult, seen: Collector) -> list[Chart | None]:
    blur = result.sharpness
    bands = [
        (segment.start_s, segment.end_s, segment.action.replace(" ", "-")) for segment in result.segments
    ]
    times = [sample.time_s for sample in seen.samples]
    return [
        make_chart(
            "Blur of both views (edge width)",
            "px",
            [sample.time_s for sample in blur],
            {
                "wide": [sample.whole.target_blur_px for sample in blur],
                "ultra": [sample.whole.reference_blur_px for sample in blur],
            },
            bands,
        ),
        make_chart(
            "Detail gained (gradient energy of the result over the source)",
            "dB",
            times,
            {"gain": [sample.detail_db for sample in seen.samples]},
        ),
        make_chart(
            "Change of each frame (mean, share of full scale)",
            "%",
            times,
            {"change": [100 * sample.change for sample in seen.samples]},
        ),
    ]


def _problems(result: DeblurResult, seen: Collector) -> list[str]:
    found = problem_texts(result)
    found += [f"{lost} is left out of the result" for lost in result.dropped_tracks]
    found += difference_texts(result)
    if result.registration and not result.registration["accepted"]:
        found.append("the two views do not fit together, so nothing was changed")
    if result.frames_without_reference and not result.copied:
        found.append(f"{result.frames_without_reference} frames had no frame of the other view near in time")
    if seen.missing:
        found.append(f"{seen.missing} frames were written by an earlier run without a report: not shown here")
    if result.copied:
        found.append(f"frames deblurred: {changed_text(result)}")
    return found
