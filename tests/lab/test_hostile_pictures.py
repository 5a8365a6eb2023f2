"""Pictures that are damaged or hostile: refused by their header, before memory is taken, in every reader."""

import re
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from asled_cli.errors import InputError
from asled_cli.imaging.picture_file import declared_size
from asled_cli.lab.datasets.image_sequence import read_picture_file
from asled_cli.lab.synthesis import flow_pairs, random_clip, shake_blur

PICTURE = np.random.default_rng(1).integers(0, 255, (48, 64, 3)).astype(np.uint8)


def encoded(suffix: str, picture: NDArray[np.generic] = PICTURE) -> bytes:
    done, data = cv2.imencode(suffix, picture)
    assert done
    return bytes(data)


def png(width: int, height: int, extra: bytes = b"") -> bytes:
    """A PNG that declares any size, with hardly any data."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = extra and chunk(b"acTL", extra)
    chunks = chunk(b"IHDR", header) + body + chunk(b"IDAT", zlib.compress(bytes(64))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def jpeg(width: int, height: int) -> bytes:
    data = encoded(".jpg")
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + struct.pack(">HH", height, width) + data[place + 4 :]


def tiff(width: int, height: int) -> bytes:
    entries = struct.pack("<HHII", 256, 4, 1, width) + struct.pack("<HHII", 257, 4, 1, height)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 2) + entries + bytes(4)


def bmp(width: int, height: int) -> bytes:
    data = bytearray(encoded(".bmp"))
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


HOSTILE = {
    "60000.png": (png(60_000, 60_000), "declares 60000x60000"),
    "2^31.png": (png(2**31 - 1, 2**31 - 1), "declares 2147483647x"),
    "30000.png": (png(30_000, 30_000), "declares 30000x30000"),
    "60000.jpg": (jpeg(60_000, 60_000), "declares 60000x60000"),
    "60000.tif": (tiff(60_000, 60_000), "declares 60000x60000"),
    "60000.bmp": (bmp(60_000, -60_000), "declares 60000x60000"),
    "zero.png": (png(0, 5), "declares 0x5"),
    "zero.jpg": (jpeg(5, 0), "declares 5x0"),
    "animated.png": (png(64, 48, bytes(8)), "is an animation"),
    "cut.png": (encoded(".png")[:2000], "is cut off"),
    "cut.jpg": (encoded(".jpg")[:1500], "is cut off"),
    "cut.webp": (encoded(".webp")[:1000], "is cut off"),
    "cut.tif": (encoded(".tif")[:6], "cut off or damaged"),
    "short.png": (encoded(".png")[:10], "is cut off"),
    "empty.png": (b"", "is empty"),
    "words.png": (b"no picture at all, only words", "is no PNG, JPEG"),
    "gif.png": (b"GIF89a" + bytes(50), "is no PNG, JPEG"),
    "svg.png": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is no PNG, JPEG"),
    "noise.jpg": (b"\xff\xd8" + bytes(range(256)), "damaged"),
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_every_reader_refuses_it(name: str, tmp_path: Path) -> None:
    content, message = HOSTILE[name]
    path = tmp_path / name
    path.write_bytes(content)
    for read in (
        read_picture_file, shake_blur.read_picture, flow_pairs.read_picture, random_clip.photo_extent,
    ):  # fmt: skip
        with pytest.raises(
            InputError, match=f"{re.escape(name)} is no picture that can be read: .*{message}"
        ):
            read(path)  # type: ignore[operator]


def test_a_folder_and_a_missing_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.png"):
        with pytest.raises(InputError, match="is no picture that can be read: "):
            read_picture_file(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tif"])
def test_good_pictures_are_read(suffix: str, tmp_path: Path) -> None:
    for height, width in ((48, 64), (1, 1), (33, 2)):
        path = tmp_path / f"a{suffix}"
        path.write_bytes(encoded(suffix, PICTURE[:height, :width]))
        assert declared_size(path.read_bytes()) == (width, height)
        assert read_picture_file(path).shape == (height, width, 3)
        assert shake_blur.read_picture(path).shape == (height, width, 3)


def test_deep_pictures_are_read(tmp_path: Path) -> None:
    deep = PICTURE.astype(np.uint16) * 257
    for suffix in (".png", ".tif"):
        path = tmp_path / f"deep{suffix}"
        path.write_bytes(encoded(suffix, deep))
        assert read_picture_file(path).dtype == np.uint16
        assert shake_blur.read_picture(path).dtype == np.uint8


def test_pictures_are_turned_as_their_exif_says(tmp_path: Path) -> None:
    """A phone stores portrait photos turned; every reader gives them upright."""
    plain = encoded(".jpg")
    exif = b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    path = tmp_path / "turned.jpg"
    path.write_bytes(plain[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + plain[2:])
    assert read_picture_file(path).shape == shake_blur.read_picture(path).shape == (64, 48, 3)


def test_no_damage_ends_in_anything_but_a_sentence(tmp_path: Path) -> None:
    draw = np.random.default_rng(3)
    for suffix in (".png", ".jpg", ".bmp", ".webp", ".tif"):
        good = encoded(suffix)
        for _ in range(20):
            data = bytearray(good)
            for place in draw.integers(0, min(len(data), 200), 3):
                data[place] = int(draw.integers(256))
            path = tmp_path / f"a{suffix}"
            path.write_bytes(bytes(data[: draw.integers(1, len(data) + 1)]))
            try:
                assert read_picture_file(path).ndim == 3
            except InputError as error:
                assert str(path) in error.message
