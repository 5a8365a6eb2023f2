"""Write the sizes and costs in docs/guides/many-machines.md from benchmarks/results/throughput*.json."""

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE, RESULTS = ROOT / "docs" / "guides" / "many-machines.md", ROOT / "benchmarks" / "results"
BEGIN, END = "<!-- by python docs/make_sizing.py -->\n", "<!-- end -->\n"
FPS, CLIPS, CLIP_S, MACHINES, LARGEST = 30, 10_000, 10, 100, 125
PRICE = 0.04  # of a core-hour
MBIT_S = 20  # of inputs and results


@dataclass(frozen=True)
class Figures:
    """Figures of one file. frame_s: of a frame. clip_s: of a clip, before its first frame."""

    file: str
    machine: str
    cores: int
    model: str
    frames: int
    frame_s: float
    clip_s: float
    peak_gib: float

    def seconds(self, length_s: float) -> float:
        """Return the time of a clip."""
        return FPS * length_s * self.frame_s + self.clip_s

    def sentence(self, what: str) -> str:
        """Return where the figures come from."""
        return (
            f"{what}, `{self.model}`, {self.cores} cores of {self.machine}, {self.frames} frames "
            f"([JSON](../../benchmarks/results/{self.file})): {self.frame_s:.2f} s per frame, "
            f"{self.clip_s:.0f} s per clip before its first frame, {self.peak_gib:.1f} GiB of memory at most."
        )


def read(file: str) -> Figures:
    """Return the medians of a result of benchmarks/throughput.py."""
    found = json.loads((RESULTS / file).read_text("utf-8"))
    return Figures(
        file,
        found["machine"]["processor"],
        found["machine"]["cores"],
        found["plan"]["model"],
        found["frames_written"],
        round(found["render_s_per_frame"]["median"], 2),
        round(found["analysis_s"]["median"]),
        found["peak_mib"]["median"] / 1024,
    )


def block() -> str:
    """Return what stands between BEGIN and END."""
    hd = read("throughput.json")
    measured = [f"- {hd.sentence('1080p')}"]
    if (RESULTS / "throughput_4k.json").is_file():
        uhd = read("throughput_4k.json")
        measured.append(f"- {uhd.sentence('4K')}")
    else:
        uhd = replace(hd, frame_s=4 * hd.frame_s, peak_gib=4 * hd.peak_gib)
        measured.append("- 4K was not measured: its row takes four times the 1080p figures.")
    rows = [_minute("1080p", hd), _minute("4K", uhd)]
    clip_s = round(hd.seconds(CLIP_S))
    hours = CLIPS * clip_s / 3600
    core_hours = round(hours * hd.cores)
    megabytes = MBIT_S * CLIP_S / 8
    job = [
        f"| one clip | {FPS * CLIP_S} x {hd.frame_s:.2f} s + {hd.clip_s:.0f} s = {clip_s} s |",
        f"| all | {CLIPS:,} x {clip_s} s = {hours:,.0f} h of {hd.cores} cores = {core_hours:,} core-hours |",
        f"| {MACHINES} machines of {hd.cores} cores | {hours / MACHINES:.0f} h on average; the largest shard "
        f"has about {LARGEST} clips: {LARGEST * clip_s / 3600:.0f} h. With `--ray` a machine that is done "
        f"takes the next clip: {math.ceil(hours / MACHINES)} h |",
        f"| price | {core_hours:,} x the price of a core-hour; at {PRICE}: {core_hours * PRICE:,.0f} |",
        f"| disk | inputs and results at {MBIT_S} Mbit/s: {CLIPS:,} x 3 x {megabytes:.0f} MB = "
        f"{CLIPS * 3 * megabytes / 1000:,.0f} GB |",
        f"| network | each machine reads {2 * megabytes:.0f} MB and writes {2 * megabytes:.0f} MB per clip "
        f"in {clip_s} s: {4 * megabytes / clip_s:.2f} MB/s |",
    ]
    lines = [
        "Measured:", "", *measured, "",
        "GPUs were not at hand: run `asled bench` on yours, and take its seconds per frame instead.",
        "", f"| one minute at {FPS} fps | time | memory per job | disk |", "|---|---|---|---|", *rows, "",
        f"A job of {CLIPS:,} clips of {CLIP_S} seconds, 1080p at {FPS} fps:", "", "| | |", "|---|---|", *job,
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _minute(name: str, one: Figures) -> str:
    seconds = one.seconds(60)
    took = f"{60 * FPS} x {one.frame_s:.2f} s + {one.clip_s:.0f} s = {_hours(seconds)}"
    return f"| {name} | {took} | {one.peak_gib:.1f} GiB | twice the result while segments are joined |"


def _hours(seconds: float) -> str:
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min"


def render(page: str) -> str:
    """Return the page with the block of today's figures."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}{block()}{END}{tail}"


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text("utf-8")), "utf-8")
