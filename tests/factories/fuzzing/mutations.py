"""Ways to damage a clip, and the job of one number: which clip, what damage, what name; all seeded."""

import os
import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from factories.fuzzing.container_damage import CONTAINER_MUTATIONS, Mutation
from factories.fuzzing.corpus import IntactPair
from factories.fuzzing.hostile_text import hostile_stem, hostile_text

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
SHARE_OF_HOSTILE_NAMES = 0.2


@dataclass(frozen=True)
class Mutant:
    """A damaged clip beside an intact one: the names of one job in its folder, and what was done to which.

    intact: the clip that the damaged one was made from.
    """

    wide: Path
    ultra: Path
    damaged: Path
    intact: Path
    description: str


def flip_bits(data: bytearray, draw: random.Random) -> bytearray:
    """Flip bits anywhere."""
    for _ in range(draw.choice((1, 3, 20, 200))):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return data


def flip_index(data: bytearray, draw: random.Random) -> bytearray:
    """Flip bits where it hurts most: in the index, or in the head of a file that has none."""
    start = data.find(b"moov")
    stop = len(data) if start >= 0 else min(len(data), 1024)
    for _ in range(draw.choice((1, 3, 20))):
        data[draw.randrange(max(0, start), stop)] ^= 1 << draw.randrange(8)
    return data


def flip_header(data: bytearray, draw: random.Random) -> bytearray:
    """Flip bits in what a decoder or the clock is set up with."""
    at = data.find(draw.choice(HEADERS))
    if at >= 0:
        for _ in range(draw.choice((1, 3, 10))):
            data[min(len(data) - 1, at + 4 + draw.randrange(48))] ^= 1 << draw.randrange(8)
    return data


def cut(data: bytearray, draw: random.Random) -> bytearray:
    return data[: draw.randrange(len(data))]


def hole(data: bytearray, draw: random.Random) -> bytearray:
    """Overwrite a range with zeros, as an interrupted copy leaves them."""
    start = draw.randrange(len(data))
    size = draw.randrange(1, 2000)
    data[start : start + size] = bytes(len(data[start : start + size]))
    return data


def double(data: bytearray, draw: random.Random) -> bytearray:
    """Repeat a piece, so that all behind it moves."""
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
    """Write a large or senseless number into a field of a box, such as a count, a size or a time."""
    at = data.find(draw.choice(BOXES))
    if 0 <= at < len(data) - 90:
        number = draw.choice((0, 1, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1))
        struct.pack_into(">I", data, at + 4 + 4 * draw.randrange(20), number)
    return data


def wrong_format(data: bytearray, draw: random.Random) -> bytearray:
    """Put the beginning of a file of another kind first."""
    head = draw.choice(OTHER_FORMATS)
    return bytearray(head) + data[0 if draw.random() < 0.5 else len(head) :]


def splice(data: bytearray, other: bytes, draw: random.Random) -> bytearray:
    """Insert bytes of another clip: its end behind our beginning, or a piece of it in our middle."""
    start = draw.randrange(len(data))
    if draw.random() < 0.5:
        return data[:start] + other[draw.randrange(len(other)) :]
    piece = draw.randrange(1, 3000)
    begin = draw.randrange(len(other))
    return data[:start] + other[begin : begin + piece] + data[start + draw.choice((0, piece)) :]


BOX_MUTATIONS: tuple[Mutation, ...] = (rename_boxes, swap_boxes, resize_box, odd_number)
ANY: tuple[Mutation, ...] = (
    flip_bits, flip_index, flip_header, cut, hole, double, remove, wrong_format, hostile_text,
)  # fmt: skip


def mutate(data: bytearray, corpus: Sequence[IntactPair], draw: random.Random) -> tuple[bytearray, list[str]]:
    """Damage a clip in one to three ways; returns it and the names of the ways."""
    own = BOX_MUTATIONS if b"ftyp" in data[:16] else CONTAINER_MUTATIONS
    names = []
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        data = data or bytearray(1)
        if draw.random() < 0.06:
            other = draw.choice(corpus)
            data, name = splice(data, other.wide.read_bytes(), draw), f"splice of {other.name}"
        else:
            mutation = draw.choice((*ANY, *own, *CONTAINER_MUTATIONS[2:3]))
            data, name = mutation(data, draw), mutation.__name__
        names.append(name)
    return data or bytearray(1), names


def make_mutant(corpus: Sequence[IntactPair], number: int, seed: int, folder: Path) -> Mutant:
    """Write the damaged clip of that number into `folder`; the same bytes each time."""
    draw = random.Random(f"{seed} {number}")
    pair = draw.choice(corpus)
    role = "ultra" if draw.random() < 0.3 else "wide"
    intact = pair.ultra if role == "ultra" else pair.wide
    data, names = mutate(bytearray(intact.read_bytes()), corpus, draw)
    stem = hostile_stem(draw) if draw.random() < SHARE_OF_HOSTILE_NAMES else b"mutant"
    damaged = folder / os.fsdecode(stem + intact.suffix.encode())
    damaged.write_bytes(data)
    description = f"{pair.name} as {role}: {', '.join(names)}" + (
        f", named {stem!r}" if stem != b"mutant" else ""
    )
    wide, ultra = (damaged, pair.ultra) if role == "wide" else (pair.wide, damaged)
    return Mutant(wide, ultra, damaged, intact, description)
