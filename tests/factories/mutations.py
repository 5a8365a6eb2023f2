"""Damaged clips made by code: a small corpus of several kinds, and changes that damage it; all seeded."""

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from factories.clips import hlg_portrait, make_clip
from factories.small_pair import make_pair

BOXES = tuple(
    b"moov trak mdia minf stbl stsd stts ctts stsc stsz stco stss elst tkhd mdhd mvhd hdlr avc1 hvc1 mp4a "
    b"mdat moof traf trun tfhd ftyp keys ilst".split()
)
HEADERS = (b"avcC", b"hvcC", b"esds", b"mvhd", b"tkhd", b"\x42\x86", b"\xae")  # the last two: Matroska
OTHER_FORMATS = (
    b"RIFF\x24\0\0\0WAVEfmt ",
    b"\x1aE\xdf\xa3\xa3B\x86\x81\x01",
    b"\0\0\0\x14ftypqt  \0\0\0\0qt  ",
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    b"FLV\x01\x05\0\0\0\x09",
    b"G@\0\x10\0\0\xb0\r",
    b"#!/bin/sh\n",
    b"ID3\x04\0\0",
)
Mutation = Callable[[bytearray, random.Random], bytearray]


@dataclass(frozen=True)
class Mutant:
    """A damaged clip beside a sound one: the files of one job, and what was done to which."""

    wide: Path
    ultra: Path
    damaged: Path
    description: str


def make_corpus(folder: Path) -> list[tuple[Path, Path]]:
    """Pairs (wide, ultra) of several file formats, codecs and layouts."""
    pair = make_pair(folder, 8)
    first = make_clip(folder / "first.mov", audio=1, movflags="faststart")
    portrait, matroska = hlg_portrait(folder / "hlg.mov"), make_clip(folder / "plain.mkv", audio=1)
    fragments = make_clip(folder / "fragments.mp4", audio=1, movflags="frag_keyframe+empty_moov")
    intra = make_clip(folder / "intra.mov", codec="prores_ks", pix_fmt="yuv422p10le")
    alone = [(clip, clip) for clip in (first, portrait, matroska, fragments, intra)]
    return [(pair.wide, pair.ultra), *alone]


def flip_bits(data: bytearray, draw: random.Random) -> bytearray:
    """Anywhere."""
    for _ in range(draw.choice((1, 3, 20, 200))):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return data


def flip_index(data: bytearray, draw: random.Random) -> bytearray:
    """Where it hurts most: in the index, or in the head of a file that has none."""
    start = data.find(b"moov")
    stop = len(data) if start >= 0 else min(len(data), 1024)
    for _ in range(draw.choice((1, 3, 20))):
        data[draw.randrange(max(0, start), stop)] ^= 1 << draw.randrange(8)
    return data


def flip_header(data: bytearray, draw: random.Random) -> bytearray:
    """In what a decoder or the clock is set up with."""
    at = data.find(draw.choice(HEADERS))
    if at >= 0:
        for _ in range(draw.choice((1, 3, 10))):
            data[min(len(data) - 1, at + 4 + draw.randrange(48))] ^= 1 << draw.randrange(8)
    return data


def cut(data: bytearray, draw: random.Random) -> bytearray:
    return data[: draw.randrange(len(data))]


def hole(data: bytearray, draw: random.Random) -> bytearray:
    """Zeros, as a copy that broke off leaves them."""
    start = draw.randrange(len(data))
    size = draw.randrange(1, 2000)
    data[start : start + size] = bytes(len(data[start : start + size]))
    return data


def double(data: bytearray, draw: random.Random) -> bytearray:
    """A piece twice, so that all behind it moves."""
    start = draw.randrange(len(data))
    piece = data[start : start + draw.randrange(1, 3000)]
    return data[:start] + piece + data[start:]


def remove(data: bytearray, draw: random.Random) -> bytearray:
    start = draw.randrange(len(data))
    return data[:start] + data[start + draw.randrange(1, 3000) :]


def rename_boxes(data: bytearray, draw: random.Random) -> bytearray:
    """Exchange the names of two kinds of boxes."""
    one, other = draw.sample(BOXES, 2)
    return bytearray(bytes(data).replace(one, b"\0tmp").replace(other, one).replace(b"\0tmp", other))


def swap_boxes(data: bytearray, draw: random.Random) -> bytearray:
    """Exchange two neighbouring boxes of the top level, or of the movie box."""
    start = data.find(b"moov") + 4 if draw.random() < 0.5 and b"moov" in data else 0
    ends = [start]
    while ends[-1] + 8 <= len(data):
        (size,) = struct.unpack_from(">I", data, ends[-1])
        if size < 8 or ends[-1] + size > len(data):
            break
        ends.append(ends[-1] + size)
    if len(ends) < 3:
        return data
    i = draw.randrange(len(ends) - 2)
    a, b, c = ends[i : i + 3]
    return data[:a] + data[b:c] + data[a:b] + data[c:]


def resize_box(data: bytearray, draw: random.Random) -> bytearray:
    at = data.find(draw.choice(BOXES))
    if at >= 4:
        sizes = (0, 1, 7, 8, 2**31, 2**32 - 1, draw.randrange(2**16))
        struct.pack_into(">I", data, at - 4, draw.choice(sizes))
    return data


def odd_number(data: bytearray, draw: random.Random) -> bytearray:
    """A large or senseless number in a field of a box, such as a count, a size or a time."""
    at = data.find(draw.choice(BOXES))
    if 0 <= at < len(data) - 90:
        number = draw.choice((0, 1, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1))
        struct.pack_into(">I", data, at + 4 + 4 * draw.randrange(20), number)
    return data


def wrong_format(data: bytearray, draw: random.Random) -> bytearray:
    """The beginning of a file of another kind."""
    head = draw.choice(OTHER_FORMATS)
    return bytearray(head) + data[0 if draw.random() < 0.5 else len(head) :]


MUTATIONS: tuple[Mutation, ...] = (
    flip_bits,
    flip_index,
    flip_header,
    cut,
    hole,
    double,
    remove,
    rename_boxes,
    swap_boxes,
    resize_box,
    odd_number,
    wrong_format,
)


def make_mutant(corpus: list[tuple[Path, Path]], number: int, seed: int, folder: Path) -> Mutant:
    """The job of that number, one of its clips damaged; the same bytes each time. Writes into `folder`."""
    draw = random.Random(f"{seed} {number}")
    wide, ultra = draw.choice(corpus)
    role = "ultra" if draw.random() < 0.3 else "wide"
    source = ultra if role == "ultra" else wide
    data, names = bytearray(source.read_bytes()), []
    for mutation in draw.choices(MUTATIONS, k=draw.choice((1, 1, 1, 2))):
        names.append(mutation.__name__)
        data = mutation(data, draw) or bytearray(1)
    damaged = folder / f"mutant{source.suffix}"
    damaged.write_bytes(data)
    description = f"{source.name} as {role}: {', '.join(names)}"
    return (
        Mutant(damaged, ultra, damaged, description)
        if role == "wide"
        else Mutant(wide, damaged, damaged, description)
    )
