"""Clips made by code: small, seeded, with the peculiarities of phone recordings and of damaged files."""

import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from asled_cli.video.frames import ColorTags

TICKS_PER_S = 600  # phones count time in 1/600 s
BT709 = ColorTags(1, 1, 1, 1)
HLG = ColorTags(9, 9, 18, 1)
UNTAGGED = ColorTags()
FAST = {"libx264": {"preset": "ultrafast", "bf": "3", "g": "8"}, "libx265": {"preset": "ultrafast"}}
X265_QUIET = "log-level=none:pools=1:frame-threads=1"
LENS = {
    "com.apple.quicktime.camera.lens_model": "back camera 6.765mm f/1.78",
    "com.apple.quicktime.camera.focal_length.35mm_equivalent": 24,
    "com.apple.quicktime.camera.framereadouttimeinmicroseconds": 5300,
}
MOVIE_KEYS = {
    "com.apple.quicktime.make": "Maker",
    "com.apple.quicktime.model": "Phone 1",
    "com.apple.quicktime.location.ISO6709": "+48.8584+002.2945+035.000/",
    "creation_time": "2024-06-01T16:03:11.000000Z",
}


def phone_ticks(count: int, seed: int = 0) -> list[int]:
    """Frame times in ticks: 30 per second with jitter, one dropped frame, one late frame."""
    steps = 20 + np.random.default_rng(seed).integers(-1, 2, count)
    steps[count // 3] += 20
    steps[count // 2] += 5
    return [0, *np.cumsum(steps[:-1]).tolist()]


def samples(plane: av.video.plane.VideoPlane, bits: int) -> NDArray[np.generic]:
    """(h, w) writable view of a plane of one sample per pixel."""
    rows = np.frombuffer(plane, np.uint8 if bits <= 8 else np.uint16).reshape(plane.height, -1)
    return rows[:, : plane.width]


def planes(frame: av.VideoFrame) -> list[NDArray[np.generic]]:
    """Copies of all planes of a planar frame."""
    bits = max(c.bits for c in frame.format.components)
    return [samples(plane, bits).copy() for plane in frame.planes]


def picture(pix_fmt: str, size: tuple[int, int], seed: int, smooth: bool = False) -> av.VideoFrame:
    """Moving stripes with noise over the whole code range; smooth: without noise and inside the gamut."""
    frame = av.VideoFrame(*size, pix_fmt)
    bits = max(c.bits for c in frame.format.components)
    rng = np.random.default_rng(seed)
    for number, plane in enumerate(frame.planes):
        view = samples(plane, bits)
        y, x = np.mgrid[: view.shape[0], : view.shape[1]]
        wave = 0.5 + (0.1 if smooth else 0.3) * np.sin((x + y / 2 + 2 * seed) / (5 + number))
        noise = 0 if smooth else rng.uniform(-0.2, 0.2, view.shape)
        view[...] = np.rint((wave + noise) * (2**bits - 1)).clip(0, 2**bits - 1)
    return frame


def make_clip(
    path: Path,
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    size: tuple[int, int] = (64, 48),
    ticks: Sequence[int] = tuple(phone_ticks(16)),
    last: int = 20,
    color: ColorTags = BT709,
    rotation: int | None = None,
    audio: int = 0,
    tracks: int = 1,
    cover: bool = False,
    options: dict[str, str] | None = None,
    movflags: str = "use_metadata_tags",
    metadata: dict[str, str] | None = None,
    chapters: bool = False,
    smooth: bool = False,
    shown: Callable[[int], av.VideoFrame] | None = None,
) -> Path:
    """Write a clip of `tracks` video tracks and `audio` AAC tracks; `ticks` are the frame times.

    shown: the n-th picture, in `pix_fmt`; by default stripes with noise.
    """
    container_options = {"movflags": movflags, "video_track_timescale": str(TICKS_PER_S)}
    with av.open(str(path), "w", options=container_options if path.suffix in (".mov", ".mp4") else {}) as out:
        out.metadata.update(metadata or {})
        videos = [_add_video(out, codec, pix_fmt, size, color, options) for _ in range(tracks)]
        if rotation is not None:
            videos[0].set_display_rotation(rotation)
        art = _add_cover(out) if cover else None
        sounds = [out.add_stream("aac", rate=44100, layout="stereo") for _ in range(audio)]
        if chapters:
            second = {"id": 1, "start": 500, "end": 900, "time_base": Fraction(1, 1000)}
            first = {"id": 0, "start": 0, "end": 500, "time_base": Fraction(1, 1000)}
            out.set_chapters([first | {"metadata": {"title": "a"}}, second | {"metadata": {"title": "b"}}])
        out.start_encoding()
        if art is not None:
            _write_cover(out, art)
        for sound in sounds:
            _write_sound(out, sound, (ticks[-1] + last) / TICKS_PER_S)
        for number, video in enumerate(videos):
            _write_video(out, video, ticks, last, seed=100 * number, smooth=smooth, shown=shown)
    return path


def _add_video(out, codec, pix_fmt, size, color, options):
    options = {**FAST.get(codec, {}), **(options or {})}
    if codec == "libx265":
        options["x265-params"] = ":".join(filter(None, [X265_QUIET, options.get("x265-params", "bframes=3")]))
    stream = out.add_stream(codec, rate=30, width=size[0], height=size[1], pix_fmt=pix_fmt, options=options)
    context = stream.codec_context
    stream.time_base = context.time_base = Fraction(1, TICKS_PER_S)
    context.flags |= int(av.codec.context.Flags.frame_duration)
    if color != UNTAGGED:
        context.colorspace, context.color_primaries = color.matrix, color.primaries
        context.color_trc, context.color_range = color.transfer, color.range
    if codec == "libx265":
        context.codec_tag = "hvc1"
    return stream


def _write_video(out, stream, ticks, last, *, seed, smooth, shown):
    context = stream.codec_context
    ends = [*ticks[1:], ticks[-1] + last]
    for number, (tick, end) in enumerate(zip(ticks, ends, strict=True)):
        size = context.width, context.height
        frame = shown(number) if shown else picture(context.pix_fmt, size, seed + number, smooth)
        frame.pts, frame.time_base, frame.duration = tick, Fraction(1, TICKS_PER_S), end - tick
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


def _write_sound(out, stream, seconds):
    noise = np.random.default_rng(stream.index).normal(0, 0.1, (2, int(seconds * 44100))).astype(np.float32)
    for start in range(0, noise.shape[1], 1024):
        block = np.ascontiguousarray(noise[:, start : start + 1024])
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 44100, start, Fraction(1, 44100)
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


def _add_cover(out):
    stream = out.add_stream("mjpeg", rate=1, width=32, height=32, pix_fmt="yuvj420p")
    stream.disposition = av.stream.Disposition.attached_pic
    return stream


def _write_cover(out, stream):
    frame = picture("yuvj420p", (32, 32), 0)
    frame.pts = 0
    out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


# ---------------------------------------------------------------- editing of finished files, index last


def box(kind: bytes, *content: bytes) -> bytes:
    """A QuickTime box."""
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def locate(data: bytes, *path: tuple[bytes, int] | bytes) -> list[int]:
    """Offsets of the boxes along `path`; a step is a kind, or a kind and which one of them."""
    start, end, found = 0, len(data), []
    for step in path:
        kind, skip = step if isinstance(step, tuple) else (step, 0)
        while True:
            size, name = struct.unpack_from(">I4s", data, start)
            if name == kind and skip == 0:
                break
            skip -= name == kind
            start += size
            assert start < end, f"no {kind!r}"
        found.append(start)
        end = start + size
        start += 8 + {b"stsd": 8, b"hvc1": 78, b"avc1": 78}.get(kind, 0)
    return found


def append_box(path: Path, new: bytes, *where: tuple[bytes, int] | bytes) -> None:
    """Append `new` to the box at `where` and correct the sizes around it."""
    data = bytearray(path.read_bytes())
    offsets = locate(data, *where)
    (size,) = struct.unpack_from(">I", data, offsets[-1])
    data[offsets[-1] + size : offsets[-1] + size] = new
    for offset in offsets:
        (size,) = struct.unpack_from(">I", data, offset)
        struct.pack_into(">I", data, offset, size + len(new))
    path.write_bytes(data)


def patch(path: Path, at: int, new: bytes) -> None:
    """Overwrite bytes."""
    data = bytearray(path.read_bytes())
    data[at : at + len(new)] = new
    path.write_bytes(data)


def keys_box(items: dict[str, str | int | float]) -> bytes:
    """A QuickTime `meta` box; text, int and float become types 1, 21 and 23."""
    names = b"".join(box(b"mdta", name.encode()) for name in items)
    values = b""
    for number, value in enumerate(items.values(), 1):
        if isinstance(value, str):
            kind, raw = 1, value.encode()
        elif isinstance(value, int):
            kind, raw = 21, struct.pack(">i", value)
        else:
            kind, raw = 23, struct.pack(">f", value)
        values += box(struct.pack(">I", number), box(b"data", struct.pack(">II", kind, 0), raw))
    header = box(b"hdlr", bytes(8), b"mdta", bytes(13))
    return box(b"meta", header, box(b"keys", struct.pack(">II", 0, len(items)), names), box(b"ilst", values))


def hide_start(path: Path, ticks: int, track: int = 0) -> None:
    """Change a track's edit list so that its first `ticks` are cut off without re-encoding."""
    data = path.read_bytes()
    trak = (b"moov", (b"trak", track))
    movie_scale = struct.unpack_from(">I", data, locate(data, b"moov", b"mvhd")[-1] + 20)[0]
    scale = struct.unpack_from(">I", data, locate(data, *trak, b"mdia", b"mdhd")[-1] + 20)[0]
    at = locate(data, *trak, b"edts", b"elst")[-1] + 16
    length, start = struct.unpack_from(">Ii", data, at)
    hidden = Fraction(ticks, TICKS_PER_S)
    patch(path, at, struct.pack(">Ii", length - int(hidden * movie_scale), start + int(hidden * scale)))


def disguise_sound(path: Path, track: int, code: bytes) -> None:
    """Give the sample description of a sound track a code that no library knows."""
    data = path.read_bytes()
    at = locate(data, b"moov", (b"trak", track), b"mdia", b"minf", b"stbl", b"stsd")[-1]
    patch(path, at + 20, code)
    patch(path, data.index(b"esds", at), b"conf")  # by which AAC is recognised under any name


def hlg_portrait(path: Path, **more: Any) -> Path:
    """HEVC Main10 HLG, upright, variable rate, two sounds of which one is unknown, keys, Dolby Vision box.

    more: for `make_clip`.
    """
    kind = {"codec": "libx265", "pix_fmt": "yuv420p10le", "color": HLG, "rotation": -90, "audio": 2}
    make_clip(path, metadata=MOVIE_KEYS, **(kind | more))
    disguise_sound(path, 2, b"apac")
    stsd = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"hvc1")
    append_box(path, box(b"dvvC", bytes([1, 0, 16, 0x2D, 0x40]), bytes(19)), *stsd)
    append_box(path, keys_box(LENS), b"moov", b"trak")
    return path
