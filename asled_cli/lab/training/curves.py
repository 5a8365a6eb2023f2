"""Curves of a training run as a picture, drawn with OpenCV: two panels need no plotting library."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.lab.training.checkpoints import read_csv, replace_file

WIDTH, PANEL, MARGIN, HEAD = 900, 320, 70, 30  # pixels
COLORS = ((200, 90, 30), (40, 140, 40), (40, 40, 200), (130, 130, 130))  # blue, green, red, grey, as BGR
Series = Mapping[str, Sequence[tuple[float, float]]]


def draw_curves(out: Path) -> None:
    """Write curves.png from loss.csv and validation.csv of a run: loss, and PSNR beside swap and input."""
    losses, scores = read_csv(out / "loss.csv"), read_csv(out / "validation.csv")
    panels = [_panel("loss", {"loss": _points(losses, "loss")})]
    names = {"network": "network_db", "swap": "swap_db", "reference": "reference_db", "input": "input_db"}
    if scores:
        panels.append(_panel("PSNR, dB", {name: _points(scores, column) for name, column in names.items()}))
    done, data = cv2.imencode(".png", np.concatenate(panels))
    assert done
    replace_file(out / "curves.png", lambda part: part.write_bytes(bytes(data)))


def _points(rows: Sequence[Mapping[str, str]], column: str) -> list[tuple[float, float]]:
    points = [(float(row["step"]), float(row[column])) for row in rows if row.get(column)]
    return [point for point in points if np.isfinite(point).all()]


def _panel(title: str, series: Series) -> NDArray[np.uint8]:
    """(PANEL, WIDTH, 3): the curves in one frame, with the ends of both axes written beside."""
    canvas = np.full((PANEL, WIDTH, 3), 255, np.uint8)
    every = np.array([point for points in series.values() for point in points] or [(0.0, 0.0)])
    low, high = every.min(0), every.max(0)
    span = np.where(high > low, high - low, 1.0)
    left, right, top, bottom = MARGIN, WIDTH - 20, HEAD, PANEL - HEAD
    cv2.rectangle(canvas, (left, top), (right, bottom), (180, 180, 180), 1)
    for number, (name, points) in enumerate(series.items()):
        place = (np.array(points or np.zeros((0, 2))).reshape(-1, 2) - low) / span
        x = left + place[:, 0] * (right - left)
        y = bottom - place[:, 1] * (bottom - top)
        line = np.rint(np.stack([x, y], axis=1)).astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(canvas, [line], False, COLORS[number % len(COLORS)], 2, cv2.LINE_AA)
        _write(canvas, name, (left + 10 + 110 * number, top - 10), COLORS[number % len(COLORS)])
    _write(canvas, title, (right - 100, top - 10))
    for value, row in ((high[1], top + 12), (low[1], bottom)):
        _write(canvas, f"{value:.4g}", (5, row))
    _write(canvas, f"step {low[0]:.0f}", (left, bottom + 20))
    _write(canvas, f"{high[0]:.0f}", (right - 60, bottom + 20))
    return canvas


def _write(
    canvas: NDArray[np.uint8], words: str, place: tuple[int, int], color: tuple[int, int, int] = (0, 0, 0)
) -> None:
    cv2.putText(canvas, words, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, color, 1, cv2.LINE_AA)
