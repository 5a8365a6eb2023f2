"""Accuracy of the time offset of two clips, and rejection of unrelated clips, as JSON.

    python benchmarks/clocks.py sound|photos|videos SOURCES --out benchmarks/results/clocks.json

sound: synthetic sounds and those of real videos, in other codecs and rates, alone and with noise 5 dB above
them. photos: silent clips of photos under hand shake with noise, at equal and unequal frame rates, with lost
frames, and of two different hands. videos: silent pairs cut from real videos, from one interval, from two
videos, and from two halves of one. SOURCES: a folder with photos and videos. Rows that --out already has are
not measured again.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from clock_pictures import photo_cases, video_cases
from clock_sounds import sound_cases
from report import write_report

from asled_cli.lab.bench.run import machine
from asled_cli.lab.datasets.sources import find_sources

SOUND_MS = 4.0  # what is asked for; of pictures half a frame of the slower clip


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the JSON after every row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("sound", "photos", "videos"))
    parser.add_argument("sources", type=Path, help="folder with sharp photos and videos")
    parser.add_argument("--out", type=Path, help="JSON file; default: stdout only")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    report: dict[str, Any] = {"machine": machine()}
    if options.out is not None and options.out.exists():
        report = json.loads(options.out.read_text())
    rows = report.setdefault(options.part, {"summary": {}, "rows": []})["rows"]
    done = {row["name"] for row in rows}
    for case in cases(options.part, options.sources):
        measure = case.pop("measure")
        if case["name"] in done:
            continue
        rows.append(case | measure())
        report[options.part]["summary"] = summary(rows)
        sys.stderr.write(json.dumps(rows[-1]) + "\n")
        write_report(report, options.out)
    sys.stdout.write(json.dumps(report[options.part]["summary"], indent=1) + "\n")


def cases(part: str, sources: Path) -> Iterator[dict[str, Any]]:
    """Return the rows of one part, each with a function that measures it."""
    found = find_sources(sources, "all")
    if part == "photos":
        return photo_cases(list(found.photos.values()))
    videos = sorted({path.parent for path in found.videos.values()})[0]
    return sound_cases(videos) if part == "sound" else video_cases(videos)


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return counts and errors of the matching pairs, and the number of unrelated pairs accepted."""
    related = [row for row in rows if not row.get("strangers")]
    strangers = [row for row in rows if row.get("strangers")]
    errors = [abs(row["error_ms"]) for row in related if row["found"]]
    near = [
        row for row in related if row["found"] and abs(row["error_ms"]) <= row.get("half_frame_ms", SOUND_MS)
    ]
    return {
        "pairs": len(related),
        "found": len(errors),
        "as_near_as_asked": len(near),
        "error_ms_median": round(float(np.median(errors)), 3) if errors else None,
        "error_ms_worst": max(errors, default=None),
        "strangers": len(strangers),
        "strangers_believed": sum(row["found"] for row in strangers),
    }


if __name__ == "__main__":
    main()
