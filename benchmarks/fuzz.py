"""Feeds damaged clips to `asled`: no traceback, no hang over 30 s, no result that does not verify.

    python benchmarks/fuzz.py [--inputs 2000] [--full 200] [--seed 0] [--out FILE]

The corpus is made here: small clips of several kinds, damaged by flipped bits, cuts, swapped and resized
boxes, holes and doubled pieces. Each input goes through `probe_clip` and a dry run, the first `--full`
through a whole tiny job, in a process apart. Exit code 1 if anything was not as it must be.
"""

import argparse
import collections
import json
import random
import select
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
LONGEST_S = 30.0
BOXES = (
    b"moov",
    b"trak",
    b"mdia",
    b"minf",
    b"stbl",
    b"stsd",
    b"stts",
    b"ctts",
    b"stsc",
    b"stsz",
    b"stco",
    b"elst",
)


def flip_bits(data: bytearray, draw: random.Random) -> bytearray:
    for _ in range(draw.choice((1, 3, 20, 200))):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return data


def flip_index(data: bytearray, draw: random.Random) -> bytearray:
    """Flip bits where they hurt most: in the index."""
    start = max(0, data.find(b"moov"))
    for _ in range(draw.choice((1, 3, 20))):
        data[draw.randrange(start, len(data))] ^= 1 << draw.randrange(8)
    return data


def cut(data: bytearray, draw: random.Random) -> bytearray:
    return data[: draw.randrange(len(data))]


def hole(data: bytearray, draw: random.Random) -> bytearray:
    start = draw.randrange(len(data))
    size = draw.randrange(1, 2000)
    data[start : start + size] = bytes(len(data[start : start + size]))
    return data


def double(data: bytearray, draw: random.Random) -> bytearray:
    start = draw.randrange(len(data))
    piece = data[start : start + draw.randrange(1, 3000)]
    return data[:start] + piece + data[start:]


def swap_boxes(data: bytearray, draw: random.Random) -> bytearray:
    """Exchange the names of two kinds of boxes."""
    one, other = draw.sample(BOXES, 2)
    return bytearray(bytes(data).replace(one, b"\0tmp").replace(other, one).replace(b"\0tmp", other))


def resize_box(data: bytearray, draw: random.Random) -> bytearray:
    at = data.find(draw.choice(BOXES))
    if at >= 4:
        struct.pack_into(
            ">I", data, at - 4, draw.choice((0, 1, 7, 8, 2**31, 2**32 - 1, draw.randrange(2**16)))
        )
    return data


def huge_numbers(data: bytearray, draw: random.Random) -> bytearray:
    """Write a large or odd number at a field of a box, such as a count, a size or a time."""
    at = data.find(draw.choice((*BOXES, b"tkhd", b"mdhd", b"mvhd", b"avc1", b"hvc1")))
    if 0 <= at < len(data) - 90:
        number = draw.choice((0, 1, 2**16 - 1, 2**31 - 1, 2**32 - 1))
        struct.pack_into(">I", data, at + 4 + 4 * draw.randrange(20), number)
    return data


MUTATIONS: tuple[Callable[[bytearray, random.Random], bytearray], ...] = (
    flip_bits,
    flip_index,
    cut,
    hole,
    double,
    swap_boxes,
    resize_box,
    huge_numbers,
)


def make_corpus(folder: Path) -> list[tuple[Path, Path]]:
    """(clip, its partner) of several kinds."""
    sys.path.insert(0, str(ROOT / "tests"))
    from clips import hlg_portrait, make_clip  # type: ignore[import-not-found]
    from small_pair import make_pair  # type: ignore[import-not-found]

    pair = make_pair(folder, 8)
    first = make_clip(folder / "first.mov", audio=1, movflags="faststart")
    portrait, plain = hlg_portrait(folder / "hlg.mov"), make_clip(folder / "plain.mkv", audio=1)
    return [(pair.wide, pair.ultra), (first, first), (portrait, portrait), (plain, plain)]


def mutant(corpus: list[tuple[Path, Path]], number: int, seed: int, folder: Path) -> tuple[Path, Path, str]:
    """The damaged clip of that number, its sound partner, and what was done to it; the same each time."""
    draw = random.Random(f"{seed} {number}")
    clip, partner = draw.choice(corpus)
    data, names = bytearray(clip.read_bytes()), []
    for mutation in draw.choices(MUTATIONS, k=draw.choice((1, 1, 2, 3))):
        names.append(mutation.__name__)
        data = mutation(data, draw) or bytearray(b"\0")
    path = folder / f"mutant{clip.suffix}"
    path.write_bytes(data)
    return path, partner, f"{clip.name}: {', '.join(names)}"


def examine(clip: Path, partner: Path, folder: Path, full: bool) -> str:
    """What became of one input, in a word; raises what no user should see."""
    from asled_cli.errors import AsledError
    from asled_cli.job.records import DeblurConfig
    from asled_cli.pipeline import run_deblur
    from asled_cli.video.encode import EncodeConfig
    from asled_cli.video.probe import probe_clip
    from asled_cli.video.reader import ClipReader

    out = folder / "out.mp4"
    encode = EncodeConfig(preset="ultrafast")
    job = DeblurConfig(clip, partner, out=out, method="swap", offset_s=0.0, encode=encode, dry_run=not full)
    try:
        probe_clip(clip)
        result = run_deblur(job)
    except AsledError as error:
        assert not out.exists(), "an error, but a result too"
        return f"refused {error.exit_code}"
    if not full:
        return "planned"
    with ClipReader(probe_clip(out)) as frames:  # packets were compared by the job itself
        count, found = sum(1 for _ in frames), frames.problems
        assert count == result.frames_written, f"{count} frames, {result.frames_written} were written"
        assert not found.damaged_packets and not found.corrupt_frames, "the result is damaged"
    return "done with problems" if result.problems or result.differences else "done"


class Worker:
    """A process that examines one input after the other; a new one takes over after a hang or a crash."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def ask(self, clip: Path, partner: Path, folder: Path, full: bool) -> str:
        """What became of the input; "hang", "crash N" or "traceback ..." for what must not be."""
        if self._process is None:
            words = [sys.executable, __file__, "--worker"]
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(
                words, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, cwd=ROOT
            )
            assert self._process.stdout is not None
            self._process.stdout.readline()  # everything is loaded
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([str(clip), str(partner), str(folder), full]) + "\n")
        self._process.stdin.flush()
        ready = select.select([self._process.stdout], [], [], LONGEST_S)[0]
        line = self._process.stdout.readline() if ready else ""
        if line:
            return str(json.loads(line))
        self._process.kill()
        said = f"crash {self._process.wait()}" if ready else "hang"
        self._process = None
        return said


def work() -> None:
    """The worker's side."""
    import asled_cli.pipeline  # noqa: F401

    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        clip, partner, folder, full = json.loads(line)
        try:
            said = examine(Path(clip), Path(partner), Path(folder), full)
        except BaseException:
            said = "traceback " + traceback.format_exc()
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--full", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=1e9, help="seconds after which no input is begun")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.worker:
        work()
        return
    counts = {kind: collections.Counter[str]() for kind in ("dry run", "full")}
    bad: list[dict[str, object]] = []
    began, worker = time.monotonic(), Worker()
    with tempfile.TemporaryDirectory(prefix="asled-fuzz-") as name:
        folder = Path(name)
        corpus = make_corpus(folder)
        for number in range(options.inputs):
            if time.monotonic() - began > options.limit:
                break
            for kind in ("dry run", "full") if number < options.full else ("dry run",):
                with tempfile.TemporaryDirectory(dir=folder) as place:
                    clip, partner, done = mutant(corpus, number, options.seed, Path(place))
                    said = worker.ask(clip, partner, Path(place), kind == "full")
                counts[kind][said.split()[0] if said.startswith("traceback") else said] += 1
                if said.startswith(("hang", "traceback", "crash")):
                    bad.append({"number": number, "kind": kind, "damage": done, "said": said})
                    sys.stderr.write(f"{number} {kind} {done}: {said}\n")
    report = {"seed": options.seed, "counts": counts, "bad": bad}
    if options.out is not None:
        options.out.write_text(json.dumps(report, indent=1) + "\n")
    sys.stdout.write(f"{json.dumps(counts)}\n{len(bad)} bad\n")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
