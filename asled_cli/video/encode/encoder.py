"""Which encoder writes the output, in which pixel format and with which options."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from fractions import Fraction
from typing import cast

import av
from av.container import OutputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.format import VideoFormat
from av.video.stream import VideoStream

from asled_cli.errors import UsageError, reason
from asled_cli.video.frames import RANGE_FULL, TRANSFER_PQ, UNSPECIFIED, Clip, MasteringDisplay

# Short names for --codec; any other encoder of the library can be named directly, such as "hevc_nvenc".
ENCODERS = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1", "prores": "prores_ks", "ffv1": "ffv1"}
# Option that sets the quality, its default, and the default preset. Restored detail that the encoder
# throws away again is work wasted, so the defaults lie near the visually lossless end.
QUALITY = {
    "libx264": ("crf", 16, "medium"),
    "libx265": ("crf", 17, "fast"),
    "libsvtav1": ("crf", 20, "6"),
    "h264_nvenc": ("cq", 18, "p5"),
    "hevc_nvenc": ("cq", 18, "p5"),
    "av1_nvenc": ("cq", 20, "p5"),
}
OWN_RATE = {"crf", "cq", "qp", "b", "rc", "maxrate"}  # options that take the place of the default quality
CHROMA_NAMES = ("left", "center", "topleft", "top", "bottomleft", "bottom")  # by their H.273 numbers
ANY_SIZE = ("libsvtav1", "ffv1")  # encoders that take odd sizes with subsampled chroma


@dataclass(frozen=True)
class EncodeConfig:
    """How to write the output.

    codec: "auto" (8 bit: h264, deeper: hevc), a name in ENCODERS, or an encoder of the library.
    crf: quality on the encoder's own scale, lower is better; preset: its speed; None = our default.
    pix_fmt: "auto" keeps the source's as nearly as the encoder can. options: passed to the encoder.
    overwrite: whether an existing output may be replaced.
    """

    codec: str = "auto"
    crf: int | None = None
    preset: str | None = None
    pix_fmt: str = "auto"
    options: Mapping[str, str] = field(default_factory=dict)
    overwrite: bool = False

    @property
    def asks_nothing(self) -> bool:
        """Whether every choice is left to us."""
        return replace(self, overwrite=False) == EncodeConfig()


@dataclass(frozen=True, slots=True)
class Encoder:
    """A choice that is ready to be opened. name: as the library calls it. options: complete."""

    name: str
    codec: str
    pix_fmt: str
    options: dict[str, str]

    def losses(self, source: Clip) -> list[str]:
        """What of the picture of `source` it cannot write, in words."""
        alpha = any(component.is_alpha for component in VideoFormat(self.pix_fmt).components)
        x265 = self.name == "libx265"
        words = ["Dolby Vision layer"] if source.dolby_vision else []
        words += ["mastering display data"] if source.mastering is not None and not x265 else []
        words += ["content light level"] if source.content_light is not None and not x265 else []
        located = bool(_chroma_options(source, self)) or source.chroma_location is None
        words += ["chroma location"] if is_420(self.pix_fmt) and not located else []
        if _resamples(VideoFormat(source.pix_fmt), VideoFormat(self.pix_fmt)):
            words.append(f"pixel format {source.pix_fmt} (written as {self.pix_fmt})")
        words += ["transparency"] if source.alpha and not alpha else []
        return words


def choose_encoder(source: Clip, config: EncodeConfig) -> Encoder:
    """Encoder, pixel format and options for `source`. Raises UsageError for names that do not exist."""
    name = config.codec
    if name == "auto":
        name = "hevc" if source.bit_depth > 8 else "h264"
    name = ENCODERS.get(name, name)
    try:
        codec = av.Codec(name, "w")
    except av.codec.codec.UnknownCodecError as error:
        known = f"Expected auto, {', '.join(ENCODERS)} or an encoder of FFmpeg."
        raise UsageError(f"There is no video encoder called {config.codec!r}.", known) from error
    if codec.type != "video":
        raise UsageError(f"{config.codec!r} is no video encoder but one for {codec.type}.")
    pix_fmt = _choose_format(source, name, list(codec.video_formats or ()), config.pix_fmt)
    return Encoder(name, codec.canonical_name, pix_fmt, _complete_options(source, name, config))


def _choose_format(source: Clip, encoder: str, supported: list[VideoFormat], wanted: str) -> str:
    names = [candidate.name for candidate in supported]
    if wanted != "auto":
        if wanted not in names:
            raise UsageError(f"{encoder} cannot write {wanted!r}.", f"Expected one of: {', '.join(names)}.")
        return wanted
    have = VideoFormat(source.pix_fmt, source.width, source.height)
    usable = [
        candidate
        for candidate in supported
        if candidate.components
        and (encoder in ANY_SIZE or not _cuts_odd_size(candidate, source))
        and not (encoder == "libx265" and candidate.name.startswith("yuva"))  # few players read that layer
    ]
    if not usable:
        raise UsageError(f"{encoder} cannot write a picture of {source.width}x{source.height}.")
    return min(usable, key=lambda candidate: _loss(have, candidate)).name


def _cuts_odd_size(pix_fmt: VideoFormat, source: Clip) -> bool:
    """Whether chroma is coarser than luma in a direction in which the picture has an odd size."""
    return (source.width % 2 == 1 and pix_fmt.chroma_width(2) < 2) or (
        source.height % 2 == 1 and pix_fmt.chroma_height(2) < 2
    )


def _loss(have: VideoFormat, other: VideoFormat) -> tuple[bool | int, ...]:
    """What writing `have` as `other` costs, worst kind first; all zero for the same format."""

    def facts(pix_fmt: VideoFormat) -> tuple[int, int, int, bool]:
        bits = max(c.bits for c in pix_fmt.components)
        alpha = any(c.is_alpha for c in pix_fmt.components)
        return bits, pix_fmt.chroma_width(64), pix_fmt.chroma_height(64), alpha

    (bits, across, down, alpha), (bits2, across2, down2, alpha2) = facts(have), facts(other)
    gray, gray2 = have.name.startswith("gray"), other.name.startswith("gray")
    return (
        gray2 and not gray,
        have.is_rgb != other.is_rgb,
        alpha and not alpha2,
        max(0, bits - bits2),
        max(0, across - across2),
        max(0, down - down2),
        have.name != other.name,
        have.name.startswith("yuvj") != other.name.startswith("yuvj"),
        gray and not gray2,
        alpha2 and not alpha,
        bits2 - bits,
        across2 + down2,
        not other.is_planar,
        other.name.startswith(("nv", "p")),
    )


def _complete_options(source: Clip, encoder: str, config: EncodeConfig) -> dict[str, str]:
    options: dict[str, str] = {}
    if encoder in QUALITY:
        quality, value, preset = QUALITY[encoder]
        options = {"preset": preset if config.preset is None else config.preset}
        if config.crf is not None or not OWN_RATE.intersection(config.options):
            options[quality] = str(value if config.crf is None else config.crf)
    elif config.crf is not None or config.preset is not None:
        raise UsageError(f"{encoder} has no crf and no preset.", "Set its own options instead.")
    if encoder == "libx264":
        # Its macroblock tree gives other bytes for equal frames (seen with x264's assembly, on one thread
        # too), and a job that is resumed must give those of one that was not.
        options["mbtree"] = "0"
    options |= config.options
    known = av.CodecContext.create(encoder, "w").supported_options
    names = [option.name for option in (*known.private, *known.generic)]
    for name in config.options:
        if name not in names:
            near = get_close_matches(name, names, 1)
            hint = f"Did you mean {near[0]!r}?" if near else ""
            raise UsageError(f"{encoder} has no option called {name!r}.", hint)
    if encoder == "libx265":
        extra = ["log-level=none", *_light_params(source), options.get("x265-params", "")]
        extra += safe_x265_params(source.width)
        options["x265-params"] = ":".join(part for part in extra if part)
    return options


def safe_x265_params(width: int) -> list[str]:
    """What keeps x265 from writing beyond its memory in narrow pictures.

    Its tree of coding units, in AVX2, corrupts the heap up to a width of 48 (seen in x265 4.2: the process
    dies, or the next allocation does).
    """
    return ["cutree=0"] if width < 64 else []


def _light_params(source: Clip) -> list[str]:
    """x265 takes what is known of the light as parameters only, not from the frames."""
    params, light = [], source.mastering
    levels = source.content_light
    if light is not None:
        params.append(f"master-display={_mastering_text(light)}")
        if levels is None and (light.max_content_light or light.max_average_light):
            levels = light.max_content_light, light.max_average_light
    if levels is not None and any(levels):
        params.append("max-cll={},{}".format(*levels))
    if params and source.color.transfer == TRANSFER_PQ:
        params.append("hdr10=1")
    return [*params, "repeat-headers=1"] if params else []


def _resamples(have: VideoFormat, other: VideoFormat) -> bool:
    """Whether frames are written with fewer bits, or chroma of another size, than they were coded with."""
    colours = [(f.is_rgb, f.chroma_width(64), f.chroma_height(64)) for f in (have, other)]
    bits = [max(c.bits for c in f.components) for f in (have, other)]
    return bits[1] < bits[0] or (colours[0] != colours[1] and not have.name.startswith(("gray", "pal")))


def is_420(pix_fmt: str) -> bool:
    """Whether chroma is halved in both directions, so that it matters where its samples lie."""
    layout = VideoFormat(pix_fmt)
    return not layout.is_rgb and (layout.chroma_width(64), layout.chroma_height(64)) == (32, 32)


def _chroma_options(source: Clip, encoder: Encoder) -> dict[str, str]:
    """The option that says where chroma samples lie, if the source does, and the encoder can write it."""
    known = encoder.codec in ("h264", "hevc") and is_420(encoder.pix_fmt)
    if source.chroma_location is None or not known:
        return {}
    return {"chroma_sample_location": CHROMA_NAMES[source.chroma_location]}


def _mastering_text(light: MasteringDisplay) -> str:
    corners = zip("GBR", (light.green, light.blue, light.red), strict=True)
    primaries = "".join(f"{name}({x},{y})" for name, (x, y) in corners)
    return f"{primaries}WP({light.white[0]},{light.white[1]})L({light.max_luminance},{light.min_luminance})"


def codec_library() -> str:
    """The version of the library that encodes; another one may give other bytes."""
    return ".".join(map(str, av.library_versions["libavcodec"]))


def cannot_hold(out: OutputContainer, encoder: Encoder) -> tuple[str, str]:
    """Message and hint for a codec that the file format does not know."""
    return (
        f"The file format {out.format.name} cannot hold {encoder.codec} video.",
        "Choose another ending of the output or another --codec.",
    )


def open_encoder(out: OutputContainer, source: Clip, encoder: Encoder) -> VideoStream:
    """An opened video stream of `out` with the size, times, shape, turn and colours of `source`.

    Raises UsageError if the file format does not take the codec or the encoder not its options.
    """
    try:
        stream = cast(VideoStream, out.add_stream(encoder.name, rate=_rate(source)))
    except ValueError as error:
        raise UsageError(*cannot_hold(out, encoder)) from error
    stream.time_base = source.time_base
    if source.display_matrix is not None:
        stream.set_display_matrix(source.display_matrix)
    _open(stream.codec_context, source, encoder)
    return stream


def open_context(source: Clip, encoder: Encoder) -> VideoCodecContext:
    """An encoder of its own, set as `open_encoder` sets the one of a file. Raises UsageError likewise."""
    context = cast(VideoCodecContext, av.CodecContext.create(encoder.name, "w"))
    context.framerate = _rate(source)
    context.flags |= int(av.codec.context.Flags.global_header)  # as all our file formats want
    _open(context, source, encoder)
    return context


def _rate(source: Clip) -> Fraction:
    return source.average_rate if source.average_rate > 0 else Fraction(30)


def _open(context: VideoCodecContext, source: Clip, encoder: Encoder) -> None:
    os.environ.setdefault("SVT_LOG", "1")  # else SVT-AV1 writes a page of settings to the terminal
    context.options = {**_chroma_options(source, encoder), **encoder.options}
    context.width, context.height, context.pix_fmt = source.width, source.height, encoder.pix_fmt
    # On the codec context too: the stream's alone leaves the encoder counting in 1/rate.
    context.time_base = source.time_base
    context.flags |= int(av.codec.context.Flags.frame_duration)  # else the last duration is guessed
    context.sample_aspect_ratio = source.sample_aspect_ratio
    _tag_colors(context, source, encoder)
    if encoder.codec == "hevc":
        context.codec_tag = "hvc1"  # QuickTime does not play the default, hev1
    try:
        context.open()
    except (av.FFmpegError, ValueError) as error:
        given = ", ".join(f"{name}={value}" for name, value in encoder.options.items())
        raise UsageError(
            f"The encoder {encoder.name} does not start with {encoder.pix_fmt}, {given} ({reason(error)}).",
            "Choose another --codec or correct the options.",
        ) from error


def _tag_colors(context: VideoCodecContext, source: Clip, encoder: Encoder) -> None:
    """Only what the source tells: inventing tags would change how players show the clip."""
    tags = source.color
    if tags.matrix != UNSPECIFIED and not VideoFormat(encoder.pix_fmt).is_rgb:
        context.colorspace = tags.matrix
    if tags.primaries != UNSPECIFIED:
        context.color_primaries = tags.primaries
    if tags.transfer != UNSPECIFIED:
        context.color_trc = tags.transfer
    range_ = tags.range or (RANGE_FULL if source.pix_fmt.startswith("yuvj") else 0)
    if range_:
        context.color_range = range_
