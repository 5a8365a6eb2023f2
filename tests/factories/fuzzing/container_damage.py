"""Damage that knows its container: Matroska elements, transport packets, AVI chunks, times of frames."""

import random
import struct
from collections.abc import Callable

Mutation = Callable[[bytearray, random.Random], bytearray]
ELEMENTS = {
    "cluster": b"\x1f\x43\xb6\x75", "cues": b"\x1c\x53\xbb\x6b", "tracks": b"\x16\x54\xae\x6b",
    "info": b"\x15\x49\xa9\x66", "tags": b"\x12\x54\xc3\x67", "segment": b"\x18\x53\x80\x67",
    "codec data": b"\x63\xa2", "duration": b"\x44\x89", "scale": b"\x2a\xd7\xb1", "colour": b"\x55\xb0",
    "default duration": b"\x23\xe3\x83", "width": b"\xb0", "cluster time": b"\xe7", "block": b"\xa3",
    "block group": b"\xa0", "track type": b"\x83", "codec": b"\x86",
}  # fmt: skip
ODD = (0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1)
AVI_FIELDS = (b"avih", b"strh", b"strf", b"idx1", b"movi", b"indx")
TIME_TABLES = (b"stts", b"ctts", b"elst", b"tfdt", b"trun", b"mdhd", b"mvhd", b"sidx")
TS_PACKET = 188


def _places(data: bytearray, word: bytes) -> list[int]:
    """Return all offsets of `word`."""
    found, at = [], data.find(word)
    while at >= 0:
        found.append(at)
        at = data.find(word, at + 1)
    return found


def _piece(data: bytearray, draw: random.Random, word: bytes) -> tuple[int, int] | None:
    """Return start and end of one element called `word`, up to the next of its kind."""
    places = _places(data, word)
    if not places:
        return None
    number = draw.randrange(len(places))
    return places[number], [*places, len(data)][number + 1]


def odd_element(data: bytearray, draw: random.Random) -> bytearray:
    """Write sizes or values that make no sense into Matroska elements."""
    word = draw.choice(list(ELEMENTS.values()))
    for at in _places(data, word)[:8]:
        place = at + len(word) + draw.choice((0, 0, 1, 2))
        if draw.random() < 0.6 and place < len(data):
            data[place] = draw.choice((0, 0x01, 0x40, 0x80, 0x81, 0x88, 0xFF, draw.randrange(256)))
    return data


def move_element(data: bytearray, draw: random.Random) -> bytearray:
    """Leave a Matroska element out, double it, or exchange it with the next of its kind."""
    place = _piece(data, draw, draw.choice(list(ELEMENTS.values())))
    if place is None:
        return data
    (start, end), way = place, draw.randrange(3)
    if way == 0:
        return data[:start] + data[end:]
    if way == 1:
        return data[:end] + data[start:end] + data[end:]
    following = end + (end - start)
    return data[:start] + data[end:following] + data[start:end] + data[following:]


def odd_times(data: bytearray, draw: random.Random) -> bytearray:
    """Write times that jump, stand still, overflow or run backwards, as the container keeps them."""
    if data[:4] == b"\x1aE\xdf\xa3":
        return _odd_block_times(data, draw)
    if data[:1] == b"G" and len(data) % TS_PACKET == 0:
        return _odd_transport_times(data, draw)
    places = [at for name in TIME_TABLES for at in _places(data, name)]
    for at in draw.sample(places, min(len(places), draw.choice((1, 2)))):
        for _ in range(draw.choice((1, 3, 8))):
            place = at + 8 + 4 * draw.randrange(14)
            if place + 4 <= len(data):
                struct.pack_into(">I", data, place, draw.choice((*ODD, draw.randrange(5000))))
    return data


def _odd_block_times(data: bytearray, draw: random.Random) -> bytearray:
    """Change the time of Matroska blocks against their cluster: two bytes after size and track."""
    for at in _places(data, b"\xa3"):
        if draw.random() < 0.3 and at + 8 < len(data):
            skip = next((n for n in range(1, 5) if data[at + n] == 0x81), 3)
            struct.pack_into(
                ">h", data, at + skip + 1, draw.choice((0, -1, 32767, -32768, draw.randrange(500)))
            )
    return data


def _odd_transport_times(data: bytearray, draw: random.Random) -> bytearray:
    """Flip bits of the times in the heads of transport packets."""
    for at in _places(data, b"\0\0\1"):
        if at + 19 < len(data) and data[at + 3] in (0xE0, 0xC0, 0xBD) and draw.random() < 0.4:
            data[at + 9 + draw.randrange(10)] ^= 1 << draw.randrange(8)
    return data


def move_transport_packets(data: bytearray, draw: random.Random) -> bytearray:
    """Leave out, double or shuffle packets of a transport stream, or change their number or track."""
    if data[:1] != b"G":
        return data
    packets = [data[at : at + TS_PACKET] for at in range(0, len(data), TS_PACKET)]
    for _ in range(draw.choice((1, 3, 10))):
        at, other = draw.randrange(len(packets)), draw.randrange(len(packets))
        way = draw.randrange(4)
        if way == 0:
            packets[at] = bytearray()
        elif way == 1:
            packets[at] = packets[at] + packets[other]
        elif way == 2:
            packets[at], packets[other] = packets[other], packets[at]
        elif len(packets[at]) > 5:
            packets[at][draw.choice((1, 2, 3, 4))] = draw.randrange(256)
    return bytearray().join(packets)


def odd_chunk(data: bytearray, draw: random.Random) -> bytearray:
    """Write a senseless number into the head or the index of an AVI file."""
    at = data.find(draw.choice(AVI_FIELDS))
    place = at + 4 + 4 * draw.randrange(16)
    if data[:4] == b"RIFF" and at >= 0 and place + 4 <= len(data):
        struct.pack_into("<I", data, place, draw.choice(ODD))
    return data


CONTAINER_MUTATIONS: tuple[Mutation, ...] = (
    odd_element,
    move_element,
    odd_times,
    move_transport_packets,
    odd_chunk,
)
