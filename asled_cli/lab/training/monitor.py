"""What a training run shows while it goes: CSV logs, curves, picture strips, and TensorBoard if asked for."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.errors import UsageError
from asled_cli.lab.training.checkpoints import CsvLog, explain_full_disk, replace_file
from asled_cli.lab.training.curves import draw_curves
from asled_cli.lab.training.validation import Score

LOSS_COLUMNS = ("step", "loss", "gradient", "rate", "seconds")


class Watch:
    """Logs of a run in `out`, from `step` on; an inactive one (a team's other processes) writes nothing."""

    def __init__(self, out: Path, step: int, *, active: bool = True, tensorboard: bool = False) -> None:
        self.out, self.active = out, active
        self._board: Any = _open_board(out / "tensorboard", step) if active and tensorboard else None
        if active:
            self._losses = CsvLog(out / "loss.csv", LOSS_COLUMNS, step)
            self._scores = CsvLog(out / "validation.csv", ("step", *Score._fields), step)

    def losses(self, **row: float) -> None:
        """One line of the loss log."""
        if self.active:
            with explain_full_disk(self.out / "loss.csv"):
                self._losses.append(**row)
            self._scalars("train", row)

    def score(self, step: int, score: Score, strip: NDArray[np.uint8]) -> None:
        """One validation; strip: (H, W, 3) RGB, the views of one frame side by side."""
        if not self.active:
            return
        done, data = cv2.imencode(".png", strip[..., ::-1])
        assert done
        with explain_full_disk(self.out / "validation.csv"):
            self._scores.append(step=step, **score._asdict())
            replace_file(self.out / "strip.png", lambda part: part.write_bytes(bytes(data)))
            draw_curves(self.out)
        self._scalars("validation", {"step": step, **score._asdict()})
        if self._board is not None:
            self._board.add_image("input | swap | network | truth", strip, step, dataformats="HWC")

    def close(self) -> None:
        """Finish the event file."""
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
            "pip install 'asled[watch]', or go without: loss.csv and curves.png are always written.",
        ) from error
    return SummaryWriter(str(folder), purge_step=step)
