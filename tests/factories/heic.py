"""HEIC stills made by code: two H.265 pictures in a `ster` group, as spatial photos have them."""

import struct
from pathlib import Path

import av

from factories.clips import box, make_clip, picture

_SIZE = (128, 96)


def make_spatial_photo(path: Path, brand: bytes = b"heic") -> Path:
    """Write a photo of two views. brand: major brand of the file."""
    coded = [_code(path, number) for number in (0, 1)]
    config = box(b"hvcC", coded[0][0])
    extent = box(b"ispe", bytes(4), struct.pack(">II", *_SIZE))
    numbers = (1, 2)
    head = box(b"ftyp", brand, bytes(4), b"mif1", b"heic")
    handler = box(b"hdlr", bytes(8), b"pict", bytes(13))
    primary = box(b"pitm", bytes(4), struct.pack(">H", 1))
    kinds = [box(b"infe", b"\2\0\0\0", struct.pack(">HH", n, 0), b"hvc1", b"\0") for n in numbers]
    items = box(b"iinf", bytes(4), struct.pack(">H", 2), *kinds)
    links = b"".join(struct.pack(">HBBB", n, 2, 0x81, 2) for n in numbers)
    properties = box(
        b"iprp", box(b"ipco", config, extent), box(b"ipma", bytes(4), struct.pack(">I", 2), links)
    )
    group = box(b"grpl", box(b"ster", bytes(4), struct.pack(">IIII", 10, 2, *numbers)))

    def meta(start: int) -> bytes:
        places, at = b"", start
        for number, (_, data) in zip(numbers, coded, strict=True):
            places += struct.pack(">HHHII", number, 0, 1, at, len(data))
            at += len(data)
        place = box(b"iloc", bytes(4), b"\x44\0", struct.pack(">H", 2), places)
        return box(b"meta", bytes(4), handler, primary, place, items, properties, group)

    index = meta(len(head) + len(meta(0)) + 8)
    path.write_bytes(head + index + box(b"mdat", *(data for _, data in coded)))
    return path


def _code(path: Path, number: int) -> tuple[bytes, bytes]:
    """Return the body of `hvcC` and the coded picture."""
    clip = make_clip(
        path.with_name(f"still{number}.mp4"), codec="libx265", size=_SIZE, ticks=[0, 20],
        shown=lambda _: picture("yuv420p", _SIZE, number),
        options={"x265-params": "bframes=0"},  # with B-frames x265 gives so short a clip arbitrary times
    )  # fmt: skip
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        found = bytes(stream.codec_context.extradata or b""), bytes(next(container.demux(stream)))
    clip.unlink()
    return found
