"""The page of `asled ui`: drop one clip or two, see the plan, deblur, compare, download.

The same file runs as a Hugging Face Space (`app_file: asled_cli/cli/web/app.py`).
"""

import html
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from asled_cli.cli.web.job import Update, WebJob
from asled_cli.errors import AsledError
from asled_cli.job.records import DeblurPlan, DeblurResult
from asled_cli.job.show.job_rows import plan_rows, result_rows
from asled_cli.progress import Progress

TITLE = "asled: deblur a video with its second lens"
INTRO = (
    "Drop the blurred **wide** clip, and the **ultra-wide** clip of the same moment. One clip alone works "
    "too: its own frames deblur it. A file with both cameras goes into the first field."
)
METHODS = ["auto", "network", "swap", "single"]
WAITING = 16  # visitors in the queue
IDLE = "Ready."


def build() -> Any:
    """Return the page, not yet served."""
    with gr.Blocks(title=TITLE, analytics_enabled=False) as page:
        gr.Markdown(f"# {TITLE}\n\n{INTRO}")
        job = gr.State(_new_job)
        with gr.Row():
            wide = gr.File(label="Wide clip", file_types=["video"], elem_id="wide")
            ultra = gr.File(label="Ultra-wide clip (optional)", file_types=["video"], elem_id="ultra")
        method = gr.Radio(METHODS, value="auto", label="Method")
        with gr.Row():
            look = gr.Button("Show the plan")
            start = gr.Button("Deblur", variant="primary")
            stop = gr.Button("Cancel")
        status = gr.Textbox(IDLE, label="Status", interactive=False, elem_id="status")
        table = gr.Dataframe(headers=["what", "value"], label="Plan and result", visible=False, wrap=True)
        files = gr.File(label="Download: result, compare clip, report", visible=False, elem_id="files")
        report = gr.HTML(visible=False)
        shown = [status, table, files, report]
        look.click(_plan, [job, wide, ultra, method], shown)
        start.click(_deblur, [job, wide, ultra, method], shown)
        stop.click(_cancel, [job], [status], queue=False)
    return page.queue(max_size=WAITING, default_concurrency_limit=1)


def _new_job() -> WebJob:
    return WebJob()


def _plan(job: WebJob, wide: str | None, ultra: str | None, method: str) -> Iterator[tuple[Any, ...]]:
    yield from _run(job, wide, ultra, method, dry_run=True)


def _deblur(job: WebJob, wide: str | None, ultra: str | None, method: str) -> Iterator[tuple[Any, ...]]:
    yield from _run(job, wide, ultra, method)


def _cancel(job: WebJob) -> str:
    job.cancel()
    return "Cancelling after the frame in hand. Press Deblur to resume."


def _run(
    job: WebJob, wide: str | None, ultra: str | None, method: Any, *, dry_run: bool = False
) -> Iterator[tuple[Any, ...]]:
    """Yield status, table, files and report, after each update of the job."""
    if wide is None:
        yield _show("Drop a wide clip first.")
        return
    yield _show("Looking at the clips...")
    for update in job.run(Path(wide), None if ultra is None else Path(ultra), method, dry_run=dry_run):
        yield _view(update)


def _view(update: Update) -> tuple[Any, ...]:
    if isinstance(update, DeblurPlan):
        return _show("Planned.", rows=plan_rows(update))
    if isinstance(update, Progress):
        return _show(f"{update.step}: {update.done} of {update.total}")
    if isinstance(update, DeblurResult):
        return _finished(update)
    if isinstance(update, AsledError):
        return _show(f"{update.message} {update.hint}".strip())
    return _show("Cancelled. Press Deblur to resume.")


def _finished(result: DeblurResult) -> tuple[Any, ...]:
    plan = result.plan
    if result.out is None:
        return _show("This is the plan; nothing was written.", rows=plan_rows(plan))
    paths = [path for path in (result.out, plan.compare, plan.report) if path is not None]
    if plan.report is None:
        return _show("Done.", rows=result_rows(result), files=[str(path) for path in paths])
    page = html.escape(plan.report.read_text("utf-8"), quote=True)
    frame = f'<iframe title="Report" style="width: 100%; height: 60rem; border: 0" srcdoc="{page}"></iframe>'
    return _show("Done.", rows=result_rows(result), files=[str(path) for path in paths], page=frame)


def _show(
    status: str, rows: dict[str, str] | None = None, files: list[str] | None = None, page: str | None = None
) -> tuple[Any, ...]:
    """Return new values of the four outputs; what is None stays as it is."""
    return (
        status,
        gr.skip() if rows is None else gr.update(value=[list(row) for row in rows.items()], visible=True),
        gr.skip() if files is None else gr.update(value=files, visible=True),
        gr.skip() if page is None else gr.update(value=page, visible=True),
    )


if __name__ == "__main__":
    build().launch()
