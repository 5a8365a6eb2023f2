"""Which clips of a batch belong together: by their names, or by when they were recorded."""

import logging
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from asled_cli.errors import AsledError, InputError
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.decode.video_tracks import count_video_tracks
from asled_cli.video.output_file import FORMATS, default_output

SAME_MOMENT_S = 2.0  # phones note whole seconds, and their lenses start one after the other
# A word of the name that says which lens it was, with what joins it to the rest of the name.
ULTRA = re.compile(r"(?:^|[-_. ])(?:ultra(?:[-_ ]?wide)?|uw|0\.5x)(?=$|[-_. ])", re.IGNORECASE)
WIDE = re.compile(r"(?:^|[-_. ])(?:wide|main|w|1x)(?=$|[-_. ])", re.IGNORECASE)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BatchPair:
    """One job of a batch. ultra: None for a clip alone. out: name of the result, without a folder."""

    wide: Path
    ultra: Path | None
    out: str


def output_name(wide: Path) -> str:
    """Return the name of the result for a wide clip, where none is given."""
    return default_output(wide).name


def composed(name: str) -> str:
    """Return `name` as it compares: accents composed (macOS keeps them apart), case folded."""
    return unicodedata.normalize("NFC", name).casefold()


def check_names(source: Path, pairs: list[BatchPair]) -> list[BatchPair]:
    """Return `pairs`. Raises InputError if there are none, or two would write one file."""
    names = [composed(pair.out) for pair in pairs]
    twice = (
        next((name for name in names if names.count(name) > 1), None)
        if len(set(names)) < len(names)
        else None
    )
    if twice is not None:
        raise InputError(f"{source}: two jobs would write {twice!r}.", "Name the outputs in a manifest.")
    if not pairs:
        raise InputError(
            f"{source} names no pair of clips.", "Expected names with wide and ultra, or a manifest."
        )
    return pairs


def find_pairs(folder: Path) -> list[BatchPair]:
    """Pair the clips of a folder: by equal names but for the lens, else by recording time.

    A file that holds both cameras is a pair of its own. Clips without a partner are left out with a warning,
    results of earlier runs silently.

    Raises InputError if there is no pair, or if two jobs would write one file.
    """
    clips = _recordings(folder)
    ultras = {composed(ULTRA.sub("", path.stem)): path for path in clips if ULTRA.search(path.stem)}
    others = [path for path in clips if path not in ultras.values()]
    pairs, left = [], []
    for path in others:
        key = composed(WIDE.sub("", path.stem))
        if key in ultras:
            pairs.append(BatchPair(path, ultras.pop(key), output_name(path)))
        elif _holds_two(path):
            pairs.append(BatchPair(path, path, output_name(path)))
        else:
            left.append(path)
    pairs += _by_time(left, list(ultras.values()))
    used = {path for pair in pairs for path in (pair.wide, pair.ultra)}
    alone = [path.name for path in clips if path not in used]
    if alone:
        log.warning("without a partner, and left out: %s", ", ".join(alone))
    return check_names(folder, pairs)


def find_clips(folder: Path) -> list[BatchPair]:
    """Return a job for every clip of a folder, each alone. Raises InputError as `find_pairs`."""
    return check_names(folder, [BatchPair(path, None, output_name(path)) for path in _recordings(folder)])


def _recordings(folder: Path) -> list[Path]:
    """Return the clips of a folder without results of earlier runs."""
    clips = sorted(
        path for path in folder.iterdir() if path.suffix.lower() in FORMATS and not path.name.startswith(".")
    )
    results = {composed(output_name(path)) for path in clips}
    return [path for path in clips if composed(path.name) not in results]


def _holds_two(path: Path) -> bool:
    """Return whether a file has a second video track."""
    try:
        return count_video_tracks(path) >= 2
    except AsledError:
        return False


def _by_time(wides: Sequence[Path], ultras: Sequence[Path]) -> list[BatchPair]:
    """Pair clips that began together, each with the nearest in time."""
    times = {path: time for path in (*wides, *ultras) if (time := _recorded(path)) is not None}
    pairs, free = [], [path for path in ultras if path in times]
    for wide in wides:
        near = (
            min(free, key=lambda path: abs(times[path] - times[wide]), default=None)
            if wide in times
            else None
        )
        if near is not None and abs(times[near] - times[wide]) <= SAME_MOMENT_S:
            free.remove(near)
            pairs.append(BatchPair(wide, near, output_name(wide)))
    return pairs


def _recorded(path: Path) -> float | None:
    """When a clip says it was recorded, seconds."""
    try:
        text = probe_clip(path).metadata.get("creation_time", "")
        return datetime.fromisoformat(text).timestamp()
    except (AsledError, ValueError):
        return None
