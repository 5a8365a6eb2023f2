"""Checks of the picture's description: size, depth, rotation, colours, chroma location, fields, HDR."""

from collections.abc import Iterator

from av.video.format import VideoFormat

from asled_cli.video.decode.pixel_format import is_420
from asled_cli.video.frames import CHROMA_NAMES, UNSPECIFIED, Clip
from asled_cli.video.preserve.checks.check import Check, compare

# AVFieldOrder of FFmpeg: top or bottom coded first, top or bottom shown first.
FIRST_FIELD = {
    2: ", top field first",
    3: ", bottom field first",
    4: ", bottom field first",
    5: ", top field first",
}


def compare_picture(before: Clip, after: Clip) -> Iterator[Check]:
    """Yield the checks of what the headers and the first frame say about the picture."""
    yield compare("picture", f"{before.width}x{before.height}", f"{after.width}x{after.height}")
    yield compare("depth", f"{before.bit_depth} bit", f"{after.bit_depth} bit")
    yield compare("sample aspect ratio", before.sample_aspect_ratio, after.sample_aspect_ratio)
    yield compare("rotation", _rotation(before), _rotation(after))
    yield Check("colours", _colours(before), _colours(after), _same_colours(before, after))
    if before.mastering is not None:
        yield compare("mastering data", before.mastering, after.mastering)
    if before.content_light is not None:
        yield compare("content light", before.content_light, after.content_light)
    if (check := _chroma_location(before, after)) is not None:
        yield check
    if before.crop is not None:
        yield compare("crop for players (left, top, right, bottom)", before.crop, after.crop)
    if before.ambient_light is not None:
        yield compare("ambient light", before.ambient_light, after.ambient_light)


def _chroma_location(before: Clip, after: Clip) -> Check | None:
    """Return the check of Chroma420SampleLocType (H.273), None if neither clip specifies it.

    An unspecified location equals "left", the default of H.264 and HEVC.
    """
    if before.chroma_location is None and after.chroma_location is None:
        return None
    if not is_420(before.pix_fmt) or not is_420(after.pix_fmt):
        return None
    one, two = (clip.chroma_location or 0 for clip in (before, after))
    return compare("chroma location", CHROMA_NAMES[one], CHROMA_NAMES[two])


def _rotation(clip: Clip) -> str:
    matrix = clip.display_matrix
    mirrored = matrix is not None and matrix[0] * matrix[4] - matrix[1] * matrix[3] < 0
    return f"{clip.rotation} degrees{', mirrored' if mirrored else ''}"


def compare_fields(before: Clip, after: Clip, orders: tuple[int, int]) -> Check:
    """Return the check of interlacing and the first field. orders: AVFieldOrder of FFmpeg."""
    expected, found = (_fields(clip, order) for clip, order in zip((before, after), orders, strict=True))
    return Check("field order", expected, found, expected.startswith(found) or found.startswith(expected))


def _fields(clip: Clip, order: int) -> str:
    """Return the scan type as text. The headers of many files do not specify the first field."""
    return f"interlaced{FIRST_FIELD.get(order, '')}" if clip.interlaced else "progressive"


def _colours(clip: Clip) -> str:
    tags = clip.color
    return f"matrix {tags.matrix}, primaries {tags.primaries}, transfer {tags.transfer}, range {tags.range}"


def _same_colours(before: Clip, after: Clip) -> bool:
    """Return whether the tags are equal. An unspecified range may be written as its default.

    Planes made from RGB have the matrix and range with which they are made.
    """
    one, two = before.color, after.color
    tags = (one.primaries, one.transfer) == (two.primaries, two.transfer)
    needless = before.pix_fmt.startswith("gray") and two.matrix == UNSPECIFIED  # x264 writes none for grey
    rgb, resolved = VideoFormat(before.pix_fmt).is_rgb, before.resolved_color
    tags &= needless or one.matrix == two.matrix or (rgb and two.matrix == resolved.matrix)
    return tags and (one.range == two.range or ((rgb or not one.range) and two.range == resolved.range))
