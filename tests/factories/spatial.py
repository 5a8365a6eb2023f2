"""Spatial clips made by code: two H.265 streams of one size joined to two layers of one MV-HEVC stream.

Layout of the parameter sets: ITU-T H.265 (V10), F.7.3.2.1 (VPS extension). Views are coded independently.
"""

import io
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from factories.clips import picture

Picture = NDArray[np.uint8]

VPS, SPS, PPS = 32, 33, 34
X265 = (
    "bframes=0:keyint={}:min-keyint=1:scenecut=0:repeat-headers=1:aud=0:info=0:log-level=none"
    ":frame-threads=1:pools=1"
)
START = b"\0\0\0\1"


@dataclass(frozen=True)
class Views:
    """What a spatial clip is made of.

    pictures: (h, w, 3) uint8 of the main and of the second view; None: noise, another one in each.
    eyes: of both views, said in a message of the stream. boxes: with `lhvC`, `vexu` and `hfov`.
    second: frames of the second view; None: all. layers: as declared, with pictures on each.
    keyframes: frames from one to the next. crf: quality, lower is better.
    """

    pictures: tuple[Sequence[Picture], Sequence[Picture]] | None = None
    depth: int = 8
    eyes: tuple[str, str] | None = None
    boxes: bool = False
    sound: bool = False
    second: int | None = None
    layers: int = 2
    keyframes: int = 30
    crf: int = 12


PLAIN = Views()
FULL = Views(eyes=("right", "left"), boxes=True, sound=True)
BASELINE_UM, FOV_MILLIDEGREES, SHIFT = 19240, 63400, 200


def make_spatial_clip(
    path: Path, *, frames: int = 6, size: tuple[int, int] = (64, 48), views: Views = PLAIN
) -> Path:
    """Write a QuickTime file of two views, 30 frames a second."""
    if views.pictures is not None:
        frames, size = len(views.pictures[0]), views.pictures[0][0].shape[1::-1]
    base, second = (_encode(frames, size, views, number) for number in (0, 1))
    parameters = {_kind(unit): unit for unit in _units(base[0])}
    vps = _two_layer_vps(_profile(parameters[VPS]), size, views)
    head = START + vps + START + parameters[SPS] + START + parameters[PPS]
    head += b"" if views.eyes is None else START + _displays(views.eyes)
    packets = []
    for number, (ours, theirs) in enumerate(zip(base, second, strict=True)):
        slices = [unit for unit in _units(ours) if _kind(unit) < VPS]
        if views.second is None or number < views.second:
            pictures = [unit for unit in _units(theirs) if _kind(unit) < VPS]
            slices += [_on_layer(unit, layer) for layer in range(1, views.layers) for unit in pictures]
        packets.append((b"" if number else head) + b"".join(START + unit for unit in slices))
    _write(path, packets, views)
    if views.boxes:
        _add_boxes(path, [_on_layer(parameters[kind], 1) for kind in (SPS, PPS)])
    return path


def damage_second_view(path: Path, frames: Sequence[int], damage: str) -> Path:
    """Spoil the second view's pictures of some frames in place.

    damage: "zeros", "noise" (behind the first bytes), or "lost" (they become units of an unknown kind).
    """
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as clip:
        packets = [(packet.pos, packet.size) for packet in clip.demux(video=0) if packet.size]
    for start, length in (packets[number] for number in frames):
        at = start
        while at < start + length:
            size, head = struct.unpack_from(">IH", data, at)
            if head >> 3 & 63 == 1 and head >> 9 & 63 < VPS:
                if damage == "lost":
                    struct.pack_into(">H", data, at + 4, 45 << 9 | 1 << 3 | 1)
                elif damage == "zeros":
                    data[at + 6 : at + 4 + size] = bytes(size - 2)
                else:
                    noise = np.random.default_rng(start).integers(0, 256, size - 6, np.uint8)
                    data[at + 10 : at + 4 + size] = noise.tobytes()
            at += 4 + size
    path.write_bytes(data)
    return path


def make_flat_clip(path: Path, number: int, views: Views) -> Path:
    """Write one view of what `make_spatial_clip` writes as a clip of its own; its pictures must be given."""
    assert views.pictures is not None
    pictures = views.pictures[number]
    packets = _encode(len(pictures), pictures[0].shape[1::-1], views, number)
    _write(path, packets if number == 0 else packets[: views.second], replace(views, sound=False))
    return path


def _write(path: Path, packets: Sequence[bytes], views: Views) -> None:
    options = {"video_track_timescale": "600"}
    with (
        av.open(io.BytesIO(b"".join(packets)), format="hevc") as raw,
        av.open(str(path), "w", options=options) as out,
    ):
        stream = out.add_stream_from_template(raw.streams.video[0])
        stream.time_base = Fraction(1, 600)
        sound = out.add_stream("aac", rate=44100, layout="mono") if views.sound else None
        for number, data in enumerate(packets):
            packet = av.Packet(data)
            packet.stream, packet.time_base = stream, Fraction(1, 600)
            packet.pts = packet.dts = 20 * number
            packet.duration = 20
            packet.is_keyframe = number % views.keyframes == 0
            out.mux(packet)
        if sound is not None:
            noise = np.random.default_rng(1).normal(0, 0.1, (1, 44100 * len(packets) // 30))
            for start in range(0, noise.shape[1], 1024):
                part = np.ascontiguousarray(noise[:, start : start + 1024], np.float32)
                frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = 44100, start, Fraction(1, 44100)
                out.mux(sound.encode(frame))
            out.mux(sound.encode(None))


def _encode(frames: int, size: tuple[int, int], views: Views, view: int) -> list[bytes]:
    context = av.CodecContext.create("libx265", "w")
    context.width, context.height = size
    context.pix_fmt = "yuv420p" if views.depth == 8 else "yuv420p10le"
    context.time_base, context.framerate = Fraction(1, 30), Fraction(30)
    context.colorspace = context.color_primaries = context.color_trc = 6  # BT.601, as swscale converts
    context.color_range = 1
    context.options = {
        "preset": "ultrafast",
        "crf": str(views.crf),
        "x265-params": X265.format(views.keyframes),
    }
    packets = []
    for number in range(frames):
        if views.pictures is None:
            frame = picture("yuv420p", size, number + 50 * view)
        else:
            frame = av.VideoFrame.from_ndarray(views.pictures[view][number], format="rgb24")
        frame = frame.reformat(format=context.pix_fmt)
        frame.pts, frame.time_base, frame.pict_type = number, Fraction(1, 30), 0
        packets += context.encode(frame)
    return [bytes(packet) for packet in (*packets, *context.encode(None))]


def _displays(eyes: tuple[str, str]) -> bytes:
    """Return the message on 3D reference displays: which view is for which eye."""
    bits = _golomb(31) + "0" + _golomb(0, eyes.index("left"), eyes.index("right"))
    bits += _fixed(0, 6) + _fixed(1 << 23, 31) + "00"
    bits += "1" + "0" * (-(len(bits) + 1) % 8) if len(bits) % 8 else ""
    body = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
    return bytes([39 << 1, 1]) + bytes(_guarded(bytes([176, len(body)]) + body + b"\x80"))


def _add_boxes(path: Path, sets: Sequence[bytes]) -> None:
    """Put `lhvC`, `vexu` and `hfov` into the sample entry of the first track, whose index ends the file."""
    data = path.read_bytes()
    at = data.rindex(b"moov") - 4
    arrays = b"".join(
        bytes([0x80 | _kind(unit), 0, 1]) + len(unit).to_bytes(2, "big") + unit for unit in sets
    )
    eyes = _box(b"stri", b"\0\0\0\0\3") + _box(b"cams", _box(b"blin", struct.pack(">II", 0, BASELINE_UM)))
    eyes += _box(b"cmfy", _box(b"dadj", struct.pack(">Ii", 0, SHIFT)))
    projection = _box(b"proj", _box(b"prji", b"\0\0\0\0rect"))
    extra = _box(b"lhvC", b"\1\xf0\0\xfc\xcb" + bytes([len(sets)]) + arrays)
    extra += _box(b"vexu", _box(b"eyes", eyes) + projection) + _box(
        b"hfov", struct.pack(">I", FOV_MILLIDEGREES)
    )
    path.write_bytes(data[:at] + _with_boxes(data[at:], [b"moov", b"trak", b"mdia", b"minf", b"stbl"], extra))


def _with_boxes(data: bytes, path: list[bytes], extra: bytes) -> bytes:
    """Return boxes with `extra` added to the first sample entry below `path`."""
    found, at = b"", 0
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + size]
        if path and kind == path[0]:
            body, path = _with_boxes(body, path[1:], extra), [b"none"]
        if kind == b"stsd" and not path:
            size_of_entry = int.from_bytes(body[8:12], "big")
            entry = _box(b"hvc1", body[16 : 8 + size_of_entry] + extra)
            body = body[:8] + entry + body[8 + size_of_entry :]
        found += _box(kind, body)
        at += size
    return found


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _units(data: bytes) -> list[bytes]:
    """Return the NAL units of an Annex B stream."""
    return [unit.rstrip(b"\0") for unit in data.split(b"\0\0\1")[1:]]


def _kind(unit: bytes) -> int:
    return unit[0] >> 1 & 63


def _on_layer(unit: bytes, layer: int) -> bytes:
    head = int.from_bytes(unit[:2]) & ~(63 << 3) | layer << 3
    return head.to_bytes(2) + unit[2:]


def _profile(vps: bytes) -> str:
    """Return the 96 bits of the general profile, tier and level."""
    return _bits_of(vps[2:].replace(b"\0\0\3", b"\0\0"))[32:128]


def _two_layer_vps(profile: str, size: tuple[int, int], views: Views) -> bytes:
    """Return a video parameter set that declares two views, the second one on layer 1."""
    bits = "".join((
        _fixed(0, 4), "11", _fixed(views.layers - 1, 6), "000", "1", _fixed(0xFFFF, 16), profile,
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
        _fixed(size[0], 16), _fixed(size[1], 16), "1", "01", _fixed(views.depth - 8, 4) * 2, "0",  # 4:2:0
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
