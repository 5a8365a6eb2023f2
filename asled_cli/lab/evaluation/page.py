"""A finished evaluation as a page."""

from pathlib import Path

from asled_cli.job.show.pages.render import write_page
from asled_cli.lab.evaluation.report import DIGITS, HEADINGS
from asled_cli.lab.evaluation.run import EvalResult
from asled_cli.lab.evaluation.statistics import Mean

MAIN = ("psnr_gain", "psnr", "semi", "sharpness")  # the first that was computed is drawn
Bar = tuple[str, str, float]  # name, text, share of the longest


def write_eval_page(path: Path, result: EvalResult, title: str) -> None:
    """Write the page, complete or not at all. Raises AsledError if it cannot be written."""
    groups = []
    for group, models in result.summary.groups.items():
        metric = next((name for name in MAIN if any(name in means for means in models.values())), None)
        if metric is not None:
            heading = f"{group}, {result.summary.sizes[group]} clips"
            groups.append((heading, HEADINGS.get(metric, metric), _bars(models, metric)))
    write_page(path, "eval.html", title=title, groups=groups, tables=result.tables, notes=result.notes)


def _bars(models: dict[str, dict[str, Mean]], metric: str) -> list[Bar]:
    found = {name: means[metric] for name, means in models.items() if metric in means}
    longest = max((abs(mean.value) for mean in found.values()), default=0.0) or 1.0
    digits = DIGITS.get(metric, 3)
    return [
        (
            name,
            f"{mean.value:.{digits}f} ({mean.low:.{digits}f} to {mean.high:.{digits}f})",
            max(0.0, mean.value) / longest,
        )
        for name, mean in found.items()
    ]
