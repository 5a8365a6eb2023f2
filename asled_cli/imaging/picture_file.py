"""Safe reading of picture files (PNG, JPEG, BMP, WebP, TIFF) that may be damaged or hostile.

OpenCV decodes them. It allocates memory for any declared size and fills truncated pictures with grey.
So size and completeness are checked in the header first.
"""

import struct
from pathlib import Path
from typing import Any

import cv2
from numpy.typing import NDArray

from asled_cli.errors import InputError, reason

MAX_PIXELS = 1 << 28  # 16384 x 16384, more than any known camera or data set
MAX_FILE_BYTES = 2 << 30  # an uncompressed picture of that size has less
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # markers that declare the size
_JPEG_BARE = frozenset(range(0xD0, 0xD9)) | {0x01}  # markers without a length
_PNG = b"\x89PNG\r\n\x1a\n"


def read_picture(path: Path, flags: int) -> NDArray[Any]:
    """Return the picture in `path`, (H, W[, C]) BGR. flags: of cv2.imread.

    Raises InputError for other files, truncated files, animations and pictures above MAX_PIXELS.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ValueError(f"it has more than {MAX_FILE_BYTES >> 30} GiB")
        width, height = declared_size(path.read_bytes())
        if width * height > MAX_PIXELS:
            raise ValueError(
                f"it declares {width}x{height} pixels, at most {MAX_PIXELS >> 20} million are read"
            )
        picture = cv2.imread(str(path), flags)
    except (OSError, ValueError, cv2.error, MemoryError) as error:
        said = "OpenCV cannot decode it" if isinstance(error, cv2.error) else reason(error)
        raise InputError(
            f"{path} is no picture that can be read: {said}.", "Is the copy complete?"
        ) from error
    if picture is None or not picture.size:
        raise InputError(f"{path} is no picture that can be read.", "Is the copy complete?")
    return picture


def declared_size(data: bytes) -> tuple[int, int]:
    """Return (width, height), pixels, from the header of a picture file.

    data: the whole file. Raises ValueError for other formats, animations and truncated files.
    """
    try:
        size = _declared(data)
    except (struct.error, IndexError) as error:
        raise ValueError("it is cut off or damaged") from error
    if min(size) < 1:
        raise ValueError(f"it declares {size[0]}x{size[1]} pixels")
    return size


def _declared(data: bytes) -> tuple[int, int]:
    if data.startswith(_PNG):
        return _png(data)
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data)
    if data.startswith(b"BM"):
        width, height = struct.unpack_from("<ii", data, 18)
        return width, abs(height)  # negative: first row on top
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _webp(data)
    if data[:4] in (b"II*\0", b"MM\0*"):
        return _tiff(data)
    raise ValueError("it is no PNG, JPEG, BMP, WebP or TIFF" if data else "it is empty")


def _png(data: bytes) -> tuple[int, int]:
    if b"IEND" not in data[-64:] and data.rfind(b"IEND") < 0:
        raise ValueError("it is cut off")
    if 0 <= data.find(b"acTL", 0, 1 << 16) < data.find(b"IDAT"):
        raise ValueError("it is an animation")
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _jpeg(data: bytes) -> tuple[int, int]:
    """Return (width, height) from the frame header (ITU-T T.81, B.2.2).

    The end marker cannot occur in entropy-coded data, so a file without one is truncated.
    """
    place = 2
    while True:
        while data[place] == 0xFF and data[place + 1] == 0xFF:  # fill bytes
            place += 1
        if data[place] != 0xFF:
            raise ValueError("it is damaged")
        marker = data[place + 1]
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, place + 5)
            if data.rfind(b"\xff\xd9") < place:
                raise ValueError("it is cut off")
            return width, height
        if marker in _JPEG_BARE:
            place += 2
        elif marker in (0xD9, 0xDA):
            raise ValueError("it is damaged")
        else:
            place += 2 + struct.unpack_from(">H", data, place + 2)[0]


def _webp(data: bytes) -> tuple[int, int]:
    if struct.unpack_from("<I", data, 4)[0] + 8 > len(data) + 1:
        raise ValueError("it is cut off")
    kind = data[12:16]
    if kind == b"VP8X":
        if data[20] & 2:
            raise ValueError("it is an animation")
        return (
            1 + int.from_bytes(data[24:27], "little"),
            1 + int.from_bytes(data[27:30], "little"),
        )
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _tiff(data: bytes) -> tuple[int, int]:
    """Return ImageWidth and ImageLength (tags 256 and 257) of the first directory, which OpenCV decodes."""
    order = "<" if data.startswith(b"II") else ">"
    place = struct.unpack_from(order + "I", data, 4)[0]
    found = {}
    for entry in range(struct.unpack_from(order + "H", data, place)[0]):
        at = place + 2 + 12 * entry
        tag, kind = struct.unpack_from(order + "HH", data, at)
        if tag in (256, 257):
            found[tag] = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, at + 8)[0]
    if len(found) < 2:
        raise ValueError("it declares no size")
    return found[256], found[257]
