"""Image sequences that are decoded on demand: files, videos, arrays, and means of neighbours."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.errors import InputError
from asled_cli.imaging import picture_file
from asled_cli.imaging.light import bytes_to_linear, linear_to_srgb, srgb_to_linear
from asled_cli.video.decode.pixel_format import to_8_bit
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.decode.reader import ClipReader, frame_times

Picture = NDArray[Any]  # (H, W, 3) RGB, uint8 or uint16 over the full range, transfer curve as coded


class Pictures(Protocol):
    """Sequence of images of one size; item i is decoded on demand, fastest in order."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Picture: ...

    @property
    def size(self) -> tuple[int, int]:
        """Return (width, height) in pixels."""
        ...


@dataclass(frozen=True)
class PictureFiles:
    """One image file per frame. Raises InputError unless all are colour images of one size."""

    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int, /) -> Picture:
        picture = read_picture_file(self.paths[index])
        found = picture.shape[1], picture.shape[0]
        if found != self.size:
            raise InputError(
                f"{self.paths[index]} has {found[0]}x{found[1]} pixels, {self.paths[0].name} beside it has "
                f"{self.size[0]}x{self.size[1]}, expected one size per clip."
            )
        return picture

    @cached_property
    def size(self) -> tuple[int, int]:
        """Return (width, height) of the first image."""
        first = read_picture_file(self.paths[0])
        return first.shape[1], first.shape[0]


class VideoPictures:
    """Frames of a video file; reading in order decodes each once, reading backwards starts over.

    8-bit clips give uint8, deeper ones uint16. It can be pickled without the open file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clip = probe_clip(path)
        self.times = [float(time) for time in frame_times(self.clip)]
        self._reader: ClipReader | None = None
        self._next = 0
        self._last: tuple[int, Picture] | None = None

    def __len__(self) -> int:
        return len(self.times)

    @property
    def size(self) -> tuple[int, int]:
        """Return (width, height) in coded orientation."""
        return self.clip.width, self.clip.height

    def __getitem__(self, index: int, /) -> Picture:
        if not 0 <= index < len(self):
            raise IndexError(index)
        if self._last is not None and self._last[0] == index:
            return self._last[1]
        if self._reader is None or index < self._next:
            self.close()
            self._reader, self._next = ClipReader(self.clip), 0
        for frame in self._reader:
            self._next += 1
            if self._next == index + 1:
                rgb = to_8_bit(frame.rgb) if self.clip.bit_depth == 8 else frame.rgb
                self._last = index, rgb
                return rgb
        raise InputError(
            f"{self.path} ends after {self._next} frames, expected {len(self)}: it is damaged or cut off."
        )

    def close(self) -> None:
        """Close the file; the next read opens it again."""
        if self._reader is not None:
            self._reader.close()
        self._reader = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_reader": None, "_next": 0, "_last": None}


@dataclass(frozen=True)
class PictureArray:
    """Images in memory: (T, H, W, 3) RGB, uint8 or uint16."""

    frames: NDArray[Any]

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int, /) -> Picture:
        picture: Picture = self.frames[index]
        return picture

    @property
    def size(self) -> tuple[int, int]:
        """Return (width, height) in pixels."""
        return self.frames.shape[2], self.frames.shape[1]


@dataclass(frozen=True)
class Stretch:
    """`count` images of another sequence: start, start + step, ..."""

    source: Pictures
    start: int
    count: int
    step: int = 1

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int, /) -> Picture:
        if not 0 <= index < self.count:
            raise IndexError(index)
        return self.source[self.start + index * self.step]

    @property
    def size(self) -> tuple[int, int]:
        """Return (width, height) of the source."""
        return self.source.size


@dataclass(frozen=True)
class EightBit:
    """Sequence with every image rounded to 8 bit."""

    source: Pictures

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int, /) -> Picture:
        picture = self.source[index]
        return picture if picture.dtype == np.uint8 else to_8_bit(picture)

    @property
    def size(self) -> tuple[int, int]:
        """Return (width, height) of the source."""
        return self.source.size


class MeanPictures:
    """Blur by averaging: item i is the rounded mean of images i .. i + count - 1 of a sharp sequence.

    count: odd; the truth of item i is image i + count // 2. linear: average linear light, not coded values.
    `count` images are cached, so that reading in order decodes each once.
    """

    def __init__(self, source: Pictures, count: int, *, linear: bool = False) -> None:
        if count < 1 or count % 2 == 0:
            raise InputError(
                f"A mean of {count} frames has no centre frame.", "Use an odd number, such as 7."
            )
        self.source, self.count, self.linear = source, count, linear
        self._kept: OrderedDict[int, Picture] = OrderedDict()

    def __len__(self) -> int:
        return max(0, len(self.source) - self.count + 1)

    @property
    def size(self) -> tuple[int, int]:
        """Return (width, height) of the source."""
        return self.source.size

    def __getitem__(self, index: int, /) -> Picture:
        if not 0 <= index < len(self):
            raise IndexError(index)
        window = [self._keep(i) for i in range(index, index + self.count)]
        return mean_picture(window, linear=self.linear)

    def _keep(self, index: int) -> Picture:
        if index not in self._kept:
            self._kept[index] = self.source[index]
            while len(self._kept) > self.count:
                self._kept.popitem(last=False)
        return self._kept[index]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": OrderedDict()}


def mean_picture(window: Sequence[Picture], *, linear: bool = False) -> Picture:
    """Return the mean of images of one size and type, rounded to that type; in linear light if `linear`."""
    kind = window[0].dtype
    full = np.iinfo(kind).max
    if not linear:
        total = np.zeros(window[0].shape, np.uint64)
        for picture in window:
            total += picture
        return np.asarray((2 * total + len(window)) // (2 * len(window)), kind)  # exact, halves go up
    light = np.zeros(window[0].shape, np.float64)
    for picture in window:
        light += bytes_to_linear(picture) if kind == np.uint8 else srgb_to_linear(picture / np.float32(full))
    return np.asarray(np.rint(linear_to_srgb(light / len(window)) * full), kind)


def read_picture_file(path: Path) -> Picture:
    """Return (H, W, 3) RGB of an image file, uint8 or uint16. Raises InputError unless in colour."""
    image = picture_file.read_picture(path, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)
    if image.ndim != 3 or image.shape[2] not in (3, 4) or image.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{path} is a picture of {image.shape} {image.dtype}, expected RGB of 8 or 16 bit.")
    return np.ascontiguousarray(image[..., 2::-1])
