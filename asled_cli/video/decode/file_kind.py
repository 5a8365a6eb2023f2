"""Kinds of files that are not clips (playlists, photos ...), with advice for the user."""

import mmap
from pathlib import Path

_HEAD = 4096  # bytes that are read; covers all signatures below
_QUICKTIME_BOXES = {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"}
# Brands of ISO/IEC 23008-12 (HEIF) and AVIF stills, right behind `ftyp`.
_PHOTO_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"mif1", b"mif2", b"avif"}
_PICTURES = b"pict"  # handler of a `meta` box with stills, which clips do not begin with
_PHOTO_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"II*\0", b"MM\0*", b"BM")
_CLIP_MARKS = (b"mpvd", b"ftypmp4", b"ftypiso", b"ftypqt  ", b"ftypavc1")  # of a movie behind the picture
_SCRIPTS = (
    (b"ffconcat", "a list of files (ffconcat)"),
    (b"#EXTM3U", "a playlist (m3u8)"),
    (b"[playlist]", "a playlist (pls)"),
    (b"v=0", "a description of a stream (SDP)"),
    (b"[Reference]", "a reference to a stream"),
)
_SCRIPT_TAGS = (
    (b"<MPD", "a DASH manifest"),
    (b"<AssetMap", "an IMF package"),
    (b"<smil", "a playlist (SMIL)"),
)


def is_heif_photo(path: Path) -> bool:
    """Return whether the file is a HEIF or AVIF photo: by the brand of its `ftyp` box, or by its stills."""
    head = _head(path)
    if head[4:8] != b"ftyp":
        return False
    second = head[int.from_bytes(head[:4], "big") :]
    holds_stills = second[4:8] == b"meta" and second[16:20] == b"hdlr" and second[28:32] == _PICTURES
    return head[8:12] in _PHOTO_BRANDS or holds_stills


def explain_unopened(path: Path) -> tuple[str, str]:
    """Return the sentence and the hint for a readable file that is not opened as a clip."""
    head = _head(path)
    script = _script_kind(head)
    if script is not None:
        return (
            f"{path} is {script}, not a clip: the files that it names are not opened.",
            "Name the clip itself.",
        )
    if is_heif_photo(path) or head.startswith(_PHOTO_STARTS):
        return _explain_photo(path)
    if head[4:8] in _QUICKTIME_BOXES:
        return (
            f"{path} has no index (moov): the recording or the copy was not finished.",
            "Copy the clip again; a repair tool may rebuild the index of an interrupted recording.",
        )
    return f"{path} is not a video that can be read.", "Expected a clip such as .mov, .mp4 or .mkv."


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)


def _script_kind(head: bytes) -> str | None:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for start, kind in _SCRIPTS:
        if text.startswith(start):
            return kind
    return next((kind for tag, kind in _SCRIPT_TAGS if text.startswith(b"<") and tag in text), None)


def _explain_photo(path: Path) -> tuple[str, str]:
    if has_clip_inside(path):
        return (
            f"{path} is a photo with a short clip inside (motion photo), expected the clip.",
            "Export the clip from the phone's gallery (save as video), and name the exported file.",
        )
    return (
        f"{path} is a photo, expected a clip.",
        "For a Live Photo, name the .mov file in the same folder.",
    )


def has_clip_inside(path: Path) -> bool:
    """Return whether a movie follows the picture in a photo (motion photo)."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return any(data.find(mark, 12) >= 0 for mark in _CLIP_MARKS)
