"""Display of a training run: CSV logs, curves, image strips, and optionally TensorBoard.

The curves need matplotlib, an optional extra. Without it the CSV files have the same numbers.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.errors import AsledError, UsageError
from asled_cli.lab.training.checkpoints import KEPT, CsvLog, read_csv
from asled_cli.lab.training.validation import Score
from asled_cli.runtime.atomic_file import explain_full_disk, replace_file

# Columns of loss.csv, and the curves of validation.csv.
LOSS_COLUMNS = ("step", "loss", "gradient", "rate", "seconds")
PSNR_CURVES = {"network": "network_db", "swap": "swap_db", "reference": "reference_db", "input": "input_db"}

log = logging.getLogger(__name__)


BAD_STEPS_ALLOWED = 10
"""Updates in a row that may be skipped for a gradient that is not finite, before the run gives up."""


class SkippedSteps:
    """Counter of updates skipped because loss or gradient was not finite."""

    def __init__(self, out: Path) -> None:
        self.out, self.in_a_row = out, 0
        self._skipped = self._steps = 0

    def note(self, step: int, finite: bool) -> None:
        """Count one update. Raises AsledError after too many skipped in a row."""
        self._steps += 1
        self._skipped += not finite
        self.in_a_row = 0 if finite else self.in_a_row + 1
        if self.in_a_row > BAD_STEPS_ALLOWED:
            raise AsledError(
                f"The loss was not finite for {self.in_a_row} steps up to step {step}; the last good "
                f"checkpoint is kept in {self.out}.",
                "Resume it with a lower learning rate.",
            )

    def check_share(self) -> None:
        """Raise AsledError at the end of a run if more than half of its steps were skipped."""
        if 2 * self._skipped > self._steps:
            raise AsledError(
                f"The loss was not finite in {self._skipped} of {self._steps} steps: the run learned nothing "
                f"to rely on. The last good checkpoint, if there is one, is kept in {self.out}.",
                "Check the training clips, and lower the learning rate.",
            )
        if self._skipped:
            log.warning("%d of %d steps were skipped: loss not finite.", self._skipped, self._steps)


class Watch:
    """Logs of a run in `out` from `step` on; inactive in all but the first process of a team."""

    def __init__(self, out: Path, step: int, *, active: bool = True, tensorboard: bool = False) -> None:
        self.out, self.active = out, active
        self._plots = active and _has_matplotlib()
        self._board: Any = _open_board(out / "tensorboard", step) if active and tensorboard else None
        if active:
            with explain_full_disk(out / "loss.csv"):
                self._losses = CsvLog(out / "loss.csv", LOSS_COLUMNS, step)
                self._scores = CsvLog(out / "validation.csv", ("step", *Score._fields), step)

    def losses(self, **row: float) -> None:
        """Write one line of the loss log."""
        if self.active:
            with explain_full_disk(self.out / "loss.csv", KEPT):
                self._losses.append(**row)
            self._scalars("train", row)

    def score(self, step: int, score: Score, strip: NDArray[np.uint8]) -> None:
        """Write one validation; strip: (H, W, 3) RGB, the views of one frame side by side."""
        if not self.active:
            return
        done, data = cv2.imencode(".png", strip[..., ::-1])
        assert done
        with explain_full_disk(self.out / "validation.csv", KEPT):
            self._scores.append(step=step, **score._asdict())
            replace_file(self.out / "strip.png", lambda part: part.write_bytes(bytes(data)))
            if self._plots:
                draw_curves(self.out)
        self._scalars("validation", {"step": step, **score._asdict()})
        if self._board is not None:
            self._board.add_image("input | swap | network | truth", strip, step, dataformats="HWC")

    def close(self) -> None:
        """Close the event file."""
        if self._board is not None:
            self._board.close()

    def _scalars(self, group: str, row: dict[str, float]) -> None:
        if self._board is not None:
            for name, value in row.items():
                if name != "step":
                    self._board.add_scalar(f"{group}/{name}", value, int(row["step"]))


def _open_board(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter  # an extra, and slow to load
    except ImportError as error:
        raise UsageError(
            "--tensorboard needs the package tensorboard, which is not installed.",
            "pip install 'asled[watch]', or leave it out: loss.csv and validation.csv are always written.",
        ) from error
    return SummaryWriter(str(folder), purge_step=step)


def draw_curves(out: Path) -> None:
    """Write curves.png from loss.csv and validation.csv of a run: loss, and PSNR beside swap and input."""
    from matplotlib.figure import Figure  # an extra, and slow to load

    losses, scores = read_csv(out / "loss.csv"), read_csv(out / "validation.csv")
    panels = {"loss": {"loss": _points(losses, "loss")}}
    if scores:
        panels["PSNR (dB)"] = {name: _points(scores, column) for name, column in PSNR_CURVES.items()}
    figure = Figure(figsize=(9, 3.2 * len(panels)), layout="constrained")
    for axes, (title, curves) in zip(
        figure.subplots(len(panels), squeeze=False)[:, 0], panels.items(), strict=True
    ):
        for name, points in curves.items():
            axes.plot(*np.array(points).reshape(-1, 2).T, label=name)
        axes.set(xlabel="step", ylabel=title)
        axes.legend()
    replace_file(out / "curves.png", lambda part: figure.savefig(part, format="png", dpi=100))


def _points(rows: Sequence[Mapping[str, str]], column: str) -> list[tuple[float, float]]:
    points = [(float(row["step"]), float(row[column])) for row in rows if row.get(column)]
    return [point for point in points if np.isfinite(point).all()]


def _has_matplotlib() -> bool:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        log.warning("No curves.png: it needs matplotlib (pip install 'asled[plots]').")
        return False
    return True
