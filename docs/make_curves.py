"""Write docs/img/short_trainings.png from the logs in benchmarks/scores/networks/training.

Above: training loss and its running mean. Below: gain over the input on the held-out clips of the run, for
networks with a second view beside that of the plain swap.
"""

import csv
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

ROOT = Path(__file__).parents[1]
LOGS = ROOT / "benchmarks" / "scores" / "networks" / "training"
TITLES = {
    "refvsr": "RefVSR", "davanet": "DAVANet", "ifan": "IFAN", "mtu": "MTU", "dmenet": "DMENet",
    "deblurnet": "DeblurNet",
}  # fmt: skip
WITH_REFERENCE = ("refvsr", "davanet", "ifan")
WITHOUT_INPUT = ("dmenet",)  # its truth is a map, not a picture
WINDOW = 3  # points of the running mean
MIN_GAIN_DB = 1.0  # height of the axis of gains: what a network must gain


def column(path: Path, name: str) -> list[float]:
    """Return one column of a CSV file."""
    with path.open(newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file)]


def draw_loss(axes: Axes, log: Path) -> None:
    """Draw the training loss of one run."""
    steps, loss = column(log, "step"), column(log, "loss")
    axes.plot(steps, loss, color="0.75", linewidth=0.8)
    if len(loss) >= WINDOW:
        mean = np.convolve(loss, np.ones(WINDOW) / WINDOW, mode="valid")
        half = WINDOW // 2
        axes.plot(steps[half : half + len(mean)], mean, color="tab:blue")
    if min(loss) >= 0:  # with a share of -PSNR it falls below
        axes.set_ylim(bottom=0)


def draw_scores(axes: Axes, log: Path, name: str) -> None:
    """Draw the scores of one run on its held-out clips."""
    steps, restored = column(log, "step"), np.array(column(log, "network_db"))
    if name in WITHOUT_INPUT:
        axes.plot(steps, restored, "o-", markersize=3, color="tab:blue")
        axes.set_title("PSNR of the map, dB", fontsize=8)
        return
    blurred = np.array(column(log, "input_db"))
    axes.plot(steps, restored - blurred, "o-", markersize=3, color="tab:blue", label="network")
    top = float(max(restored - blurred))
    if name in WITH_REFERENCE:
        swapped = float(np.mean(np.array(column(log, "swap_db")) - blurred))
        axes.axhline(swapped, linestyle="--", color="0.5", label="swap")
        axes.legend(fontsize=7, loc="lower right")
        top = max(top, swapped)
    axes.set_xlim(left=0)
    axes.set_ylim(0, max(1.15 * top, MIN_GAIN_DB))
    axes.set_title("gain over the input, dB", fontsize=8)


def main() -> None:
    """Draw all runs that have a log."""
    runs = [name for name in TITLES if (LOGS / name / "loss.csv").exists()]
    figure = Figure(figsize=(2.3 * len(runs), 4), layout="constrained")
    panels = figure.subplots(2, len(runs), squeeze=False)
    for place, name in enumerate(runs):
        upper, lower = panels[0, place], panels[1, place]
        draw_loss(upper, LOGS / name / "loss.csv")
        draw_scores(lower, LOGS / name / "validation.csv", name)
        upper.set_title(TITLES[name])
        lower.set_xlabel("step")
        for axes in (upper, lower):
            axes.tick_params(labelsize=7)
    panels[0, 0].set_ylabel("training loss")
    figure.savefig(ROOT / "docs" / "img" / "short_trainings.png", dpi=80)


if __name__ == "__main__":
    main()
