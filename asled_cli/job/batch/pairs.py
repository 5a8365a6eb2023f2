"""Which clips of a batch belong together: by their names, or by when they were recorded."""

import logging
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from asled_cli.errors import AsledError, InputError
from asled_cli.job.batch.lens_names import is_hidden, split_lens
from asled_cli.job.resume.fingerprint import flag
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.decode.video_tracks import count_video_tracks, count_views
from asled_cli.video.output_file import FORMATS, default_output

SAME_MOMENT_S = 2.0  # phones note whole seconds, and their lenses start one after the other

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BatchPair:
    """One job of a batch. ultra: None for a clip alone. out: name of the result, without a folder.

    settings: fields of the configuration for this job alone. left_out: why there is no job; "" for a job.
    refused: why the job fails without being tried; "" for a job.
    """

    wide: Path
    ultra: Path | None
    out: str
    settings: tuple[tuple[str, float | str], ...] = ()
    left_out: str = ""
    refused: str = ""

    @property
    def options(self) -> tuple[str, ...]:
        """The settings as options of the command line."""
        return tuple(f"--{flag(name)}={_text(value)}" for name, value in self.settings)

    @property
    def outcome(self) -> str:
        """The name of the result, or why there will be none."""
        return f"left out: {self.left_out}" if self.left_out else self.out


def _text(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.6f}"


def with_views(pair: BatchPair, target: str, output_views: str) -> BatchPair:
    """Return the pair with the choice of views that concerns it: all of it for spatial video only.

    Two files have one target each run, so of them `target` counts where it is wide or ultra.
    """
    if pair.left_out or pair.refused or pair.ultra is None:
        return pair
    spatial = pair.ultra == pair.wide and _is_spatial(pair.wide)
    wanted = {"target": target if spatial or target != "both" else "auto"}
    wanted["output_views"] = output_views if spatial else "auto"
    return replace(pair, settings=(*pair.settings, *((k, v) for k, v in wanted.items() if v != "auto")))


def _is_spatial(path: Path) -> bool:
    try:
        return count_video_tracks(path) == 1 and count_views(path) > 1
    except AsledError:
        return False


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
    pairs, alone = pair_folder(folder)
    if alone:
        log.warning("without a partner, and left out: %s", ", ".join(path.name for path in alone))
    return check_names(folder, pairs)


def pair_folder(folder: Path, *, is_take: bool = False) -> tuple[list[BatchPair], list[Path]]:
    """Return the pairs of a folder, and the clips without a partner.

    is_take: all clips of the folder are of one moment, so the last two belong together whatever their names.
    """
    clips = _recordings(folder)
    lenses = {path: split_lens(unicodedata.normalize("NFC", path.stem)) for path in clips}
    ultras = {lenses[path][0]: path for path in clips if lenses[path][1] == "ultra"}
    others = [path for path in clips if path not in ultras.values()]
    pairs, left = [], []
    for path in others:
        key = lenses[path][0]
        if key in ultras and lenses[path][1] != "ultra":
            pairs.append(BatchPair(path, ultras.pop(key), output_name(path)))
        elif _holds_two(path):
            pairs.append(BatchPair(path, path, output_name(path)))
        else:
            left.append(path)
    pairs += _by_time(left, list(ultras.values()))
    used = {path for pair in pairs for path in (pair.wide, pair.ultra)}
    alone = [path for path in clips if path not in used]
    if is_take and len(alone) == 2:
        wide, ultra = sorted(alone, key=lambda path: lenses[path][1] == "ultra")
        return [*pairs, BatchPair(wide, ultra, output_name(wide))], []
    return pairs, alone


def find_clips(folder: Path) -> list[BatchPair]:
    """Return a job for every clip of a folder, each alone. Raises InputError as `find_pairs`."""
    return check_names(folder, [BatchPair(path, None, output_name(path)) for path in _recordings(folder)])


def _recordings(folder: Path) -> list[Path]:
    """Return the clips of a folder without results of earlier runs."""
    clips = sorted(
        path for path in folder.iterdir() if path.suffix.lower() in FORMATS and not is_hidden(path.name)
    )
    results = {composed(output_name(path)) for path in clips}
    return [path for path in clips if composed(path.name) not in results]


def _holds_two(path: Path) -> bool:
    """Return whether a file has a second video track, or a second view in its track."""
    try:
        return count_views(path) >= 2
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
