"""Checks of how the picture is described: size, depth, rotation, colours, chroma location, fields, HDR."""

from collections.abc import Iterator

from asled_cli.video.frames import UNSPECIFIED, Clip
from asled_cli.video.preserve.check import Check, compare

# AVFieldOrder of FFmpeg: top or bottom coded first, top or bottom shown first.
FIRST_FIELD = {
    2: ", top field first",
    3: ", bottom field first",
    4: ", bottom field first",
    5: ", top field first",
}


def compare_picture(before: Clip, after: Clip) -> Iterator[Check]:
    """Compare what the headers and the first frame say about the picture."""
    yield compare("picture", f"{before.width}x{before.height}", f"{after.width}x{after.height}")
    yield compare("depth", f"{before.bit_depth} bit", f"{after.bit_depth} bit")
    yield compare("sample aspect ratio", before.sample_aspect_ratio, after.sample_aspect_ratio)
    yield compare("rotation", _rotation(before), _rotation(after))
    yield Check("colours", _colours(before), _colours(after), _same_colours(before, after))
    if before.mastering is not None:
        yield compare("mastering data", before.mastering, after.mastering)
    if before.content_light is not None:
        yield compare("content light", before.content_light, after.content_light)
    if before.crop is not None:
        yield compare("crop for players (left, top, right, bottom)", before.crop, after.crop)
    if before.ambient_light is not None:
        yield compare("ambient light", before.ambient_light, after.ambient_light)


def _rotation(clip: Clip) -> str:
    matrix = clip.display_matrix
    mirrored = matrix is not None and matrix[0] * matrix[4] - matrix[1] * matrix[3] < 0
    return f"{clip.rotation} degrees{', mirrored' if mirrored else ''}"


def compare_fields(before: Clip, after: Clip, orders: tuple[int, int]) -> Check:
    """Compare whether frames are interlaced and which field is first. orders: as the decoder numbers them."""
    expected, found = (_fields(clip, order) for clip, order in zip((before, after), orders, strict=True))
    return Check("field order", expected, found, expected.startswith(found) or found.startswith(expected))


def _fields(clip: Clip, order: int) -> str:
    """Return it in words; headers of many files do not tell which field is first."""
    return f"interlaced{FIRST_FIELD.get(order, '')}" if clip.interlaced else "progressive"


def _colours(clip: Clip) -> str:
    tags = clip.color
    return f"matrix {tags.matrix}, primaries {tags.primaries}, transfer {tags.transfer}, range {tags.range}"


def _same_colours(before: Clip, after: Clip) -> bool:
    """Equal tags; where the source tells no range, its default may be spelled out, as some encoders do."""
    one, two = before.color, after.color
    tags = (one.primaries, one.transfer) == (two.primaries, two.transfer)
    needless = before.pix_fmt.startswith("gray") and two.matrix == UNSPECIFIED  # x264 writes none for grey
    tags &= needless or one.matrix == two.matrix
    return tags and (one.range == two.range or (not one.range and two.range == before.resolved_color.range))
