"""Choice and setup of the encoder: codec, pixel format, options and tags."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from fractions import Fraction
from typing import NamedTuple, cast

import av
from av.container import OutputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.format import VideoFormat
from av.video.stream import VideoStream

from asled_cli.errors import AsledError, MemoryLimitError, UsageError, reason
from asled_cli.runtime.limits import free_memory
from asled_cli.runtime.memory import is_out_of_memory
from asled_cli.video.decode.pixel_format import is_420
from asled_cli.video.frames import (
    CHROMA_NAMES,
    RANGE_FULL,
    TRANSFER_PQ,
    UNSPECIFIED,
    Clip,
    MasteringDisplay,
)


class Quality(NamedTuple):
    """How an encoder takes its quality. option: of the encoder. default: nearly visually lossless.

    lowest, highest: range of the option. preset: our default.
    """

    option: str
    default: int
    preset: str
    lowest: int
    highest: int


# Short names for --codec. Any other video encoder of FFmpeg can be named directly, such as "hevc_nvenc".
ENCODERS = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1", "prores": "prores_ks", "ffv1": "ffv1"}
# Ranges: documentation of x264, x265 and SVT-AV1; `ffmpeg -h encoder=...` for NVENC.
QUALITY = {
    "libx264": Quality("crf", 16, "medium", 0, 51),
    "libx265": Quality("crf", 17, "fast", 0, 51),
    "libsvtav1": Quality("crf", 20, "6", 1, 63),
    "h264_nvenc": Quality("cq", 18, "p5", 1, 51),
    "hevc_nvenc": Quality("cq", 18, "p5", 1, 51),
    "av1_nvenc": Quality("cq", 20, "p5", 1, 51),
}
SECOND_VIEW = "second view"  # of spatial video, as a loss
OWN_RATE = {"crf", "cq", "qp", "b", "rc", "maxrate"}  # encoder options that replace the default quality
MIN_FREE_BYTES = 1 << 28  # with less, a failed start is blamed on memory: stacks and look-ahead need as much
ANY_SIZE = ("libsvtav1", "ffv1")  # encoders that take odd sizes with subsampled chroma


@dataclass(frozen=True)
class EncodeConfig:
    """How to write the output.

    codec: "auto" (8 bit: h264, deeper: hevc), a name in ENCODERS, or an encoder of FFmpeg.
    crf: constant rate factor on the encoder's scale, lower is better. preset: speed. None: our default.
    pix_fmt: "auto" is the format nearest to the source's. options: passed to the encoder.
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
        """Whether all options have their defaults."""
        return replace(self, overwrite=False) == EncodeConfig()


@dataclass(frozen=True, slots=True)
class Encoder:
    """A chosen encoder. name: in FFmpeg. codec: canonical name. options: complete."""

    name: str
    codec: str
    pix_fmt: str
    options: dict[str, str]

    def losses(self, source: Clip) -> list[str]:
        """Return names of the properties of the source's picture that this encoder cannot write."""
        alpha = any(component.is_alpha for component in VideoFormat(self.pix_fmt).components)
        x265 = self.name == "libx265"
        lost = ["Dolby Vision layer"] if source.dolby_vision else []
        lost += [SECOND_VIEW] if source.views > 1 else []
        lost += ["mastering display data"] if source.mastering is not None and not x265 else []
        lost += ["content light level"] if source.content_light is not None and not x265 else []
        located = bool(_chroma_options(source, self)) or source.chroma_location is None
        lost += ["chroma location"] if is_420(self.pix_fmt) and not located else []
        if _resamples(VideoFormat(source.pix_fmt), VideoFormat(self.pix_fmt)):
            lost.append(f"pixel format {source.pix_fmt} (written as {self.pix_fmt})")
        lost += ["transparency"] if source.alpha and not alpha else []
        return lost


def choose_encoder(source: Clip, config: EncodeConfig) -> Encoder:
    """Return encoder, pixel format and options for `source`.

    Raises UsageError for unknown names and for a `crf` out of the encoder's range.
    """
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
    """Return whether chroma is subsampled in a direction in which the picture has an odd size."""
    return (source.width % 2 == 1 and pix_fmt.chroma_width(2) < 2) or (
        source.height % 2 == 1 and pix_fmt.chroma_height(2) < 2
    )


def _loss(have: VideoFormat, other: VideoFormat) -> tuple[bool | int, ...]:
    """Return the losses of writing `have` as `other`, worst kind first; all zero for the same format."""

    def properties(pix_fmt: VideoFormat) -> tuple[int, int, int, bool]:
        bits = max(c.bits for c in pix_fmt.components)
        alpha = any(c.is_alpha for c in pix_fmt.components)
        return bits, pix_fmt.chroma_width(64), pix_fmt.chroma_height(64), alpha

    (bits, across, down, alpha), (bits2, across2, down2, alpha2) = properties(have), properties(other)
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
        quality = QUALITY[encoder]
        if config.crf is not None and not quality.lowest <= config.crf <= quality.highest:
            raise UsageError(
                f"--crf {config.crf} is out of the range of {encoder}.",
                f"Expected {quality.lowest} (best) to {quality.highest}; the default is {quality.default}.",
            )
        options = {"preset": quality.preset if config.preset is None else config.preset}
        if config.crf is not None or not OWN_RATE.intersection(config.options):
            options[quality.option] = str(quality.default if config.crf is None else config.crf)
    elif config.crf is not None or config.preset is not None:
        raise UsageError(f"{encoder} has no crf and no preset.", "Set its own options instead.")
    if encoder == "libx264":
        # With its macroblock tree, x264 encodes equal frames to different bytes (seen with its assembly, also
        # on one thread). A resumed job must give the bytes of an uninterrupted one.
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
    """Return the parameters for HDR metadata, which x265 does not take from frames."""
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
    """Return whether a conversion reduces the bit depth or changes the chroma subsampling."""
    colours = [(f.is_rgb, f.chroma_width(64), f.chroma_height(64)) for f in (have, other)]
    bits = [max(c.bits for c in f.components) for f in (have, other)]
    return bits[1] < bits[0] or (colours[0] != colours[1] and not have.name.startswith(("gray", "pal")))


def _chroma_options(source: Clip, encoder: Encoder) -> dict[str, str]:
    """Return the encoder option for the chroma location, empty if unspecified or not supported."""
    known = encoder.codec in ("h264", "hevc") and is_420(encoder.pix_fmt)
    if source.chroma_location is None or not known:
        return {}
    return {"chroma_sample_location": CHROMA_NAMES[source.chroma_location]}


def _mastering_text(light: MasteringDisplay) -> str:
    corners = zip("GBR", (light.green, light.blue, light.red), strict=True)
    primaries = "".join(f"{name}({x},{y})" for name, (x, y) in corners)
    return f"{primaries}WP({light.white[0]},{light.white[1]})L({light.max_luminance},{light.min_luminance})"


def codec_library() -> str:
    """Return the version of libavcodec. Another version may encode to other bytes."""
    return ".".join(map(str, av.library_versions["libavcodec"]))


def cannot_hold(out: OutputContainer, encoder: Encoder) -> tuple[str, str]:
    """Return message and hint for a codec that the file format does not support."""
    return (
        f"The file format {out.format.name} cannot hold {encoder.codec} video.",
        "Choose another ending of the output or another --codec.",
    )


def open_encoder(out: OutputContainer, source: Clip, encoder: Encoder) -> VideoStream:
    """Return an opened video stream of `out` with the size, times, rotation and colours of `source`.

    Raises UsageError if the file format refuses the codec, or the encoder its options.
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
    """Return an encoder without a file, configured as by `open_encoder`. Raises UsageError likewise."""
    context = cast(VideoCodecContext, av.CodecContext.create(encoder.name, "w"))
    context.framerate = _rate(source)
    context.flags |= int(av.codec.context.Flags.global_header)  # as all our file formats want
    _open(context, source, encoder)
    return context


def _rate(source: Clip) -> Fraction:
    return source.average_rate if source.average_rate > 0 else Fraction(30)


def _open(context: VideoCodecContext, source: Clip, encoder: Encoder) -> None:
    os.environ.setdefault("SVT_LOG", "1")  # errors only: by default SVT-AV1 prints its settings
    context.options = {**_chroma_options(source, encoder), **encoder.options}
    context.width, context.height, context.pix_fmt = source.width, source.height, encoder.pix_fmt
    # With the stream's time base alone the encoder would count in frame intervals.
    context.time_base = source.time_base
    context.flags |= int(av.codec.context.Flags.frame_duration)  # else the last duration is guessed
    context.sample_aspect_ratio = source.sample_aspect_ratio
    _tag_colors(context, source, encoder)
    if encoder.codec == "hevc":
        context.codec_tag = "hvc1"  # QuickTime does not play the default, hev1
    try:
        context.open()
    except (av.FFmpegError, ValueError) as error:
        raise _not_started(encoder, error) from error


def _not_started(encoder: Encoder, error: Exception) -> AsledError:
    """Return the error for an encoder that did not open: some report a lack of memory as any failure."""
    free = free_memory()
    if is_out_of_memory(error) or (free is not None and free < MIN_FREE_BYTES):
        left = "" if free is None else f": {free >> 20} MiB are left"
        return MemoryLimitError(
            f"There is not enough memory to start the encoder {encoder.name}{left}.",
            "Close other programs, or raise the memory limit of this process or container.",
        )
    given = ", ".join(f"{name}={value}" for name, value in encoder.options.items())
    return UsageError(
        f"The encoder {encoder.name} does not start with {encoder.pix_fmt}, {given} ({reason(error)}).",
        "Choose another --codec or correct the options.",
    )


def _tag_colors(context: VideoCodecContext, source: Clip, encoder: Encoder) -> None:
    """Set the tags that the source has. Other tags would change how players show the clip.

    Planes made from RGB get those with which they are made: players take untagged ones for limited range.
    """
    tags, rgb = source.color, VideoFormat(source.pix_fmt).is_rgb
    matrix = source.resolved_color.matrix if rgb else tags.matrix
    if matrix != UNSPECIFIED and not VideoFormat(encoder.pix_fmt).is_rgb:
        context.colorspace = matrix
    if tags.primaries != UNSPECIFIED:
        context.color_primaries = tags.primaries
    if tags.transfer != UNSPECIFIED:
        context.color_trc = tags.transfer
    full = rgb or (not tags.range and source.pix_fmt.startswith("yuvj"))
    if full or tags.range:
        context.color_range = RANGE_FULL if full else tags.range
