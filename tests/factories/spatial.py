"""Spatial clips made by code: two H.265 streams of one size joined to two layers of one MV-HEVC stream.

Layout of the parameter sets: ITU-T H.265 (V10), F.7.3.2.1 (VPS extension). Views are coded independently.
"""

import io
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av

from factories.clips import picture

VPS, SPS, PPS = 32, 33, 34
X265 = "bframes=0:keyint=30:repeat-headers=1:aud=0:info=0:log-level=none:frame-threads=1:pools=1"
START = b"\0\0\0\1"


def make_spatial_clip(path: Path, *, frames: int = 6, size: tuple[int, int] = (64, 48)) -> Path:
    """Write a QuickTime file of two views; the second one is the first one's picture turned upside down."""
    base, second = (_encode(frames, size, turned=turned) for turned in (False, True))
    parameters = {_kind(unit): unit for unit in _units(base[0])}
    vps = _two_layer_vps(_profile(parameters[VPS]), size)
    head = START + vps + START + parameters[SPS] + START + parameters[PPS]
    packets = []
    for number, (ours, theirs) in enumerate(zip(base, second, strict=True)):
        slices = [unit for unit in _units(ours) if _kind(unit) < VPS]
        slices += [_on_layer_one(unit) for unit in _units(theirs) if _kind(unit) < VPS]
        packets.append((b"" if number else head) + b"".join(START + unit for unit in slices))
    with av.open(io.BytesIO(b"".join(packets)), format="hevc") as raw, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(raw.streams.video[0])
        stream.time_base = Fraction(1, 600)
        for number, data in enumerate(packets):
            packet = av.Packet(data)
            packet.stream, packet.time_base = stream, Fraction(1, 600)
            packet.pts = packet.dts = 20 * number
            packet.is_keyframe = number == 0
            out.mux(packet)
    return path


def _encode(frames: int, size: tuple[int, int], *, turned: bool) -> list[bytes]:
    context = av.CodecContext.create("libx265", "w")
    context.width, context.height, context.pix_fmt = *size, "yuv420p"
    context.time_base, context.framerate = Fraction(1, 30), Fraction(30)
    context.options = {"preset": "ultrafast", "crf": "18", "x265-params": X265}
    packets = []
    for number in range(frames):
        frame = picture("yuv420p", size, number + (50 if turned else 0))
        frame.pts = number
        packets += context.encode(frame)
    return [bytes(packet) for packet in (*packets, *context.encode(None))]


def _units(data: bytes) -> list[bytes]:
    """Return the NAL units of an Annex B stream."""
    return [unit.rstrip(b"\0") for unit in data.split(b"\0\0\1")[1:]]


def _kind(unit: bytes) -> int:
    return unit[0] >> 1 & 63


def _on_layer_one(unit: bytes) -> bytes:
    head = int.from_bytes(unit[:2]) & ~(63 << 3) | 1 << 3
    return head.to_bytes(2) + unit[2:]


def _profile(vps: bytes) -> str:
    """Return the 96 bits of the general profile, tier and level."""
    return _bits_of(vps[2:].replace(b"\0\0\3", b"\0\0"))[32:128]


def _two_layer_vps(profile: str, size: tuple[int, int]) -> bytes:
    """Return a video parameter set that declares two views, the second one on layer 1."""
    bits = "".join((
        _fixed(0, 4), "11", _fixed(1, 6), "000", "1", _fixed(0xFFFF, 16), profile,
        "1", _golomb(4, 0, 0),  # buffering of the only sublayer
        _fixed(1, 6), _golomb(1), "11", "0", "1",  # two layers, two sets of layers, no timing, an extension
    ))  # fmt: skip
    bits += "1" * (-len(bits) % 8)
    bits += "".join((
        profile[88:96], "0", "01" + "0" * 14, "000",  # the layers differ in their view order, one bit of it
        "1", _fixed(1, 6), "1",  # which layer, which view
        _fixed(1, 4), "0", "1",  # ids of the views
        "0", _golomb(0), "000", _golomb(1),  # no dependency; two profiles
        _golomb(0), "00", "11", _golomb(0),  # all layers are shown
        _fixed(size[0], 16), _fixed(size[1], 16), "1", "01", _fixed(0, 8), "0",  # 4:2:0 of 8 bit
        "101", "0", _golomb(4, 4, 0, 0),  # picture order counts; buffers of both layers
        _golomb(0), "1", "00", _golomb(0), "0", "0", "1",
    ))  # fmt: skip
    bits += "0" * (-len(bits) % 8)
    body = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
    return bytes([VPS << 1, 1]) + bytes(_guarded(body))


def _guarded(body: bytes) -> Iterator[int]:
    """Yield the bytes with a 3 wherever they would form a start code."""
    zeros = 0
    for byte in body:
        if zeros >= 2 and byte <= 3:
            yield 3
            zeros = 0
        yield byte
        zeros = 0 if byte else zeros + 1


def _fixed(value: int, bits: int) -> str:
    return f"{value:0{bits}b}"


def _golomb(*values: int) -> str:
    """Return unsigned Exp-Golomb codes."""
    codes: Iterable[str] = (f"{value + 1:b}" for value in values)
    return "".join("0" * (len(code) - 1) + code for code in codes)


def _bits_of(data: bytes) -> str:
    return "".join(f"{byte:08b}" for byte in data)
