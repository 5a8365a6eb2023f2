"""The table that names the pairs of a batch, in any separator and encoding that a spreadsheet writes."""

import codecs
import csv
import io
from pathlib import Path

from asled_cli.errors import InputError
from asled_cli.job.batch.pairs import BatchPair, check_names, composed, output_name

MAX_ROWS = 100_000
MAX_BYTES = 1 << 26  # 64 MiB; far more than MAX_ROWS need
SEPARATORS = ",;\t"
COLUMNS = ("wide", "ultra", "out")
EXPECTED = (
    'A manifest is a table whose first line is "wide,ultra" or "wide,ultra,out", with one pair on each '
    "further line."
)
_MARKS = (  # the longer mark first: UTF-32 begins as UTF-16 does
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip


def read_manifest(path: Path) -> list[BatchPair]:
    """Return the rows `wide,ultra[,out]` of a CSV file with that header; paths are relative to its folder.

    Separators may be commas, semicolons or tabs; the text UTF-8, or UTF-16 with a byte order mark. Raises
    InputError, with the line, for a row that is incomplete or names an output outside the folder.
    """
    try:
        rows = list(csv.reader(io.StringIO(_text(path), newline=""), delimiter=_separator(path)))
    except csv.Error as error:
        raise InputError(f"{path} cannot be read as a manifest: {error}.", EXPECTED) from error
    header = [cell.strip().casefold() for cell in rows[0]] if rows else []
    if header[:2] != list(COLUMNS[:2]) and not {"wide", "ultra"} <= set(header):
        raise InputError(f"{path} has the columns {', '.join(header) or 'of no table'}.", EXPECTED)
    if len(rows) > MAX_ROWS:
        raise InputError(f"{path} has {len(rows):,} lines, expected up to {MAX_ROWS:,}.", "Split it.")
    places = {name: header.index(name) for name in COLUMNS if name in header}
    pairs = []
    for line, row in enumerate(rows[1:], 2):
        if any(cell.strip() for cell in row):
            cells = {name: row[at] if at < len(row) else "" for name, at in places.items()}
            pairs.append(_pair(path, line, cells))
    return check_names(path, pairs)


def _text(path: Path) -> str:
    try:
        if not path.is_file():  # reading a pipe could wait for ever
            raise InputError(f"{path} is not an ordinary file.", EXPECTED)
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path} is larger than any manifest.", EXPECTED)
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        # A name on the disk need not be UTF-8: its bytes are kept, as Python keeps those of names.
        text = data.decode(encoding, "surrogateescape" if encoding == "utf-8" else "strict")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not {encoding.upper()} text, as its start says.", EXPECTED) from error
    if "\0" in text:
        raise InputError(f"{path} is not UTF-8 text.", f"{EXPECTED} Save it as UTF-8.")
    return text


def _separator(path: Path) -> str:
    """Return the separator that the header uses; a name may hold any of the others."""
    first = next(iter(_text(path).splitlines()), "")
    return max(SEPARATORS, key=first.count)


def _pair(path: Path, line: int, cells: dict[str, str]) -> BatchPair:
    if not cells["wide"].strip():
        raise InputError(f"{path}, line {line}: no wide clip is named.", EXPECTED)
    wide = _on_disk(path, line, cells["wide"])
    ultra = _on_disk(path, line, cells["ultra"]) if cells["ultra"].strip() else wide
    out = cells.get("out", "").strip() or output_name(wide)
    if out != Path(out).name or out in (".", "..") or "\\" in out or out.startswith("."):
        raise InputError(f"{path}, line {line}: the output {out!r} must be a plain file name.")
    return BatchPair(wide, ultra, out)


def _on_disk(manifest: Path, line: int, name: str) -> Path:
    """Return the file that a cell names, also where disk and table compose accents differently.

    Spaces around a name count only where a file has them in its name.
    """
    path = manifest.parent / name.strip()
    try:
        for exact in (manifest.parent / name, path):
            if exact.exists():
                return exact
        same = [other for other in path.parent.iterdir() if composed(other.name) == composed(path.name)]
    except (OSError, ValueError):
        same = []
    if same:
        return same[0]
    if any("\udc80" <= sign <= "\udcff" for sign in name):
        raise InputError(
            f"{manifest}, line {line}: {name} is not UTF-8, and no file has this name.",
            "Save the table as UTF-8.",
        )
    return path
