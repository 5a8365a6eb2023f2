"""Finished files, damaged on purpose: pictures, packets, labels or headers changed, everything else kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.packet import Packet
from av.stream import Disposition, Stream
from numpy.typing import NDArray

from factories.clips import MOVIE_KEYS
from factories.textures import texture

Picture = NDArray[np.uint8]  # (H, W, 3) RGB
SIZE, FRAMES, STEP = (128, 96), 16, 20  # pixels; ticks of 1/600 s
SUBTITLES = ((50, 100, "Hello"), (200, 150, "wide world"), (380, 100, "the end"))  # start, length in ms, text


def panning(count: int = FRAMES, size: tuple[int, int] = SIZE, speed: int = 3) -> list[Picture]:
    """A textured scene that moves right by `speed` pixels per frame and down by one."""
    width, height = size
    scene = texture(width + speed * count, height + count, seed=5)
    return [scene[i : i + height, speed * i : speed * i + width] for i in range(count)]


@dataclass
class Recipe:
    """All that a file is made of; a damage changes some of it. Times in ms or ticks."""

    pictures: list[Picture] = field(default_factory=panning)
    ticks: list[int] = field(default_factory=lambda: [STEP * n for n in range(FRAMES)])
    clock: int = 600  # ticks per second
    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    options: dict[str, str] = field(default_factory=lambda: {"preset": "ultrafast", "crf": "12"})
    rotation: int = 0
    aspect: Fraction = Fraction(1)
    matrix: int = 1
    sounds: int = 2
    sound_codec: str = "aac"
    sound_seed: int = 1
    sound_rate: int = 44100
    sound_late: int = 0  # packets are shown later by so many samples
    drop_sound_packet: int | None = None
    subtitles: Sequence[tuple[int, int, str]] | None = SUBTITLES
    languages: Sequence[str] = ("deu", "fra", "eng")  # of the sounds, then the subtitles
    titles: Sequence[str] = ("Mikrofon", "Voix", "Text")
    flags: Sequence[int] = (
        int(Disposition.default), 0, int(Disposition.forced),
    )  # fmt: skip
    chapters: Sequence[tuple[int, int, str]] = ((0, 200, "one"), (200, 500, "two"))
    metadata: dict[str, str] = field(default_factory=lambda: dict(MOVIE_KEYS))
    attachment: bytes = b"\0\1\0\0font"
    movflags: str = "use_metadata_tags"  # of QuickTime and MP4 files

    def but(self, **changes: Any) -> "Recipe":
        """The recipe with some fields changed."""
        return replace(self, **changes)


def cook(recipe: Recipe, path: Path) -> Path:
    """Write the file; subtitles and attachments in a codec that its format takes."""
    matroska, movie = path.suffix in (".mkv", ".webm"), path.suffix in (".mov", ".mp4", ".m4v")
    options = {"movflags": recipe.movflags, "video_track_timescale": str(recipe.clock)} if movie else {}
    with av.open(str(path), "w", options=options) as out:
        out.metadata.update(recipe.metadata)
        video = _add_video(out, recipe)
        sounds = [_add_sound(out, recipe, number) for number in range(recipe.sounds)]
        text = None
        if recipe.subtitles is not None:
            text = out.add_mux_stream("subrip" if matroska else "mov_text")
        labelled = [*sounds, *([text] if text is not None else [])]
        _label(labelled, recipe)
        if matroska and recipe.attachment:
            out.add_attachment("letters.ttf", "font/ttf", recipe.attachment)
        if recipe.chapters:
            out.set_chapters([_chapter(number, *chapter) for number, chapter in enumerate(recipe.chapters)])
        out.start_encoding()
        for sound in sounds:
            _write_sound(out, sound, recipe)
        if text is not None:
            _write_text(out, text, recipe, matroska)
        _write_video(out, video, recipe)
    return path


def _add_video(out, recipe):
    height, width, _ = recipe.pictures[0].shape
    stream = out.add_stream(recipe.codec, rate=30, options=dict(recipe.options))
    stream.width, stream.height, stream.pix_fmt = width, height, recipe.pix_fmt
    context = stream.codec_context
    stream.time_base = context.time_base = Fraction(1, recipe.clock)
    context.flags |= int(av.codec.context.Flags.frame_duration)
    context.colorspace = context.color_primaries = context.color_trc = recipe.matrix
    context.color_range = 1
    context.sample_aspect_ratio = recipe.aspect
    if recipe.rotation:
        stream.set_display_rotation(recipe.rotation)
    return stream


def _add_sound(out, recipe, number):
    return out.add_stream(recipe.sound_codec, rate=recipe.sound_rate, layout="stereo")


def _label(streams: Sequence[Stream], recipe: Recipe) -> None:
    languages = (*recipe.languages[: recipe.sounds], recipe.languages[-1])
    titles = (*recipe.titles[: recipe.sounds], recipe.titles[-1])
    flags = (*recipe.flags[: recipe.sounds], recipe.flags[-1])
    for stream, language, title, flag in zip(streams, languages, titles, flags, strict=False):
        stream.metadata["language"], stream.metadata["title"] = language, title
        stream.disposition = Disposition(flag)


def _chapter(number: int, start: int, end: int, title: str) -> dict[str, Any]:
    base = Fraction(1, 1000)
    return {"id": number, "start": start, "end": end, "time_base": base, "metadata": {"title": title}}


def _write_sound(out, stream, recipe):
    random = np.random.default_rng(recipe.sound_seed + stream.index)
    seconds = (2 * recipe.ticks[-1] - recipe.ticks[-2]) / recipe.clock
    noise = random.normal(0, 0.1, (2, int(seconds * recipe.sound_rate))).astype(np.float32)
    kind = stream.codec_context.format.name
    packets = []
    for start in range(0, noise.shape[1], 960):
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(noise[:, start : start + 960]), "fltp", "stereo"
        )
        frame.sample_rate, frame.pts = recipe.sound_rate, start
        frame.time_base = Fraction(1, recipe.sound_rate)
        if kind != "fltp":
            (frame,) = av.AudioResampler(format=kind).resample(frame)
        packets += stream.encode(frame)
    packets += stream.encode(None)
    for number, packet in enumerate(packets):
        packet.pts, packet.dts = packet.pts + recipe.sound_late, packet.dts + recipe.sound_late
        if number != recipe.drop_sound_packet:
            out.mux(packet)


def _write_text(out, stream, recipe, matroska):
    for start, length, text in recipe.subtitles:
        raw = text.encode()
        packet = Packet(raw if matroska else len(raw).to_bytes(2, "big") + raw)
        packet.stream, packet.time_base = stream, Fraction(1, 1000)
        packet.pts = packet.dts = start
        packet.duration = length
        out.mux(packet)


def _write_video(out, stream, recipe):
    ends = [*recipe.ticks[1:], 2 * recipe.ticks[-1] - recipe.ticks[-2]]
    for picture, tick, end in zip(recipe.pictures, recipe.ticks, ends, strict=True):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame = frame.reformat(format=recipe.pix_fmt, dst_colorspace=1, dst_color_range=1)
        frame.pts, frame.time_base, frame.duration = tick, Fraction(1, recipe.clock), end - tick
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


# ------------------------------------------------------------------------------ damage to pictures


def each(edit: Callable[[Picture], Picture]) -> Callable[[list[Picture]], list[Picture]]:
    """The same edit of every picture."""
    return lambda pictures: [np.ascontiguousarray(edit(picture)) for picture in pictures]


def at(number: int, edit: Callable[[Picture], Picture]) -> Callable[[list[Picture]], list[Picture]]:
    """An edit of one picture."""
    return lambda pictures: [edit(p) if n == number else p for n, p in enumerate(pictures)]


def reordered(*places: int) -> Callable[[list[Picture]], list[Picture]]:
    """Pictures in another order; places beyond the last stay."""
    return lambda pictures: [pictures[places[n]] if n < len(places) else p for n, p in enumerate(pictures)]


def shifted(picture: Picture, x: int, y: int) -> Picture:
    """The picture moved, its border repeated."""
    matrix = np.array([[1.0, 0, x], [0, 1.0, y]])
    size = picture.shape[1::-1]
    return np.asarray(cv2.warpAffine(picture, matrix, size, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def enlarged(picture: Picture, factor: int) -> Picture:
    """The picture as a camera of so many times fewer pixels across sees it, enlarged."""
    width, height = picture.shape[1::-1]
    small = cv2.resize(picture, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def wider_view(picture: Picture) -> Picture:
    """What a lens of twice the field of view sees, as far as it is known; mirrored beyond."""
    height, width = picture.shape[:2]
    matrix = np.array([[0.5, 0, width / 4], [0, 0.5, height / 4]])
    return np.asarray(
        cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REFLECT), np.uint8
    )


def soft(picture: Picture, sigma: float = 2.5) -> Picture:
    """The picture blurred."""
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.uint8)


def tinted(picture: Picture, gains: Sequence[float]) -> Picture:
    """The picture with red, green and blue multiplied."""
    return np.clip(picture * np.array(gains), 0, 255).astype(np.uint8)
