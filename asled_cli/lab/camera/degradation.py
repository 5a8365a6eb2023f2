"""Degradation of one lens's frames by sensor and encoder: colour, noise, sharpening, codec."""

import io
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.light import LUMA_BT709, to_bytes
from asled_cli.video.decode.open_clip import open_clip
from asled_cli.video.decode.pixel_format import Converter, to_8_bit, to_16_bit
from asled_cli.video.encode.encoder import safe_x265_params
from asled_cli.video.frames import MATRIX_BT709, RANGE_LIMITED, ColorTags
from asled_cli.video.open_output import open_output

Codec = Literal["h264", "hevc"]
_ENCODERS: dict[Codec, str] = {"h264": "libx264", "hevc": "libx265"}
# One thread without look-ahead, because otherwise the bytes depend on how busy the machine is. The macroblock
# tree is off, because with it equal frames gave other bytes in 8 of 40 runs.
_X264_ONE_THREAD = "threads=1:lookahead-threads=1:sync-lookahead=0:mbtree=0"
_X265_ONE_THREAD = "log-level=none:pools=none:frame-threads=1"
# Phones record SDR video as BT.709 with limited range.
_PHONE_COLOR = ColorTags(matrix=MATRIX_BT709, range=RANGE_LIMITED)


def _channels(values: tuple[float, float, float]) -> NDArray[np.float32]:
    return np.array(values, np.float32)


@dataclass(frozen=True, slots=True)
class ToneCurve:
    """Tone curve per channel on coded values, out = gain * in ** gamma + bias, then saturation.

    gain, gamma, bias: R, G, B. saturation: factor of the distance from the BT.709 luma, 1 keeps it.
    """

    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    gamma: tuple[float, float, float] = (1.0, 1.0, 1.0)
    bias: tuple[float, float, float] = (0.0, 0.0, 0.0)
    saturation: float = 1.0

    def apply(self, coded: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map (..., 3) coded 0..1 to (..., 3) coded float32, clipped to 0..1."""
        if self == ToneCurve():
            return coded
        out = np.clip(coded, 0.0, 1.0) ** _channels(self.gamma) * _channels(self.gain) + _channels(self.bias)
        if self.saturation != 1.0:
            luma = (out @ LUMA_BT709.astype(np.float32))[..., None]
            out = luma + np.float32(self.saturation) * (out - luma)
        return np.asarray(np.clip(out, 0.0, 1.0), np.float32)


@dataclass(frozen=True, slots=True)
class SensorModel:
    """Degradations of one lens's frames after the scene; none by default.

    noise: (standard deviation of read noise, of shot noise at full white), coded 0..1. noise_blur: sigma in
    pixels of the correlation of noise after a phone's denoiser. sharpen: weight of the unsharp mask.
    codec: None keeps the pixels. crf: as the encoder defines it.
    """

    tone: ToneCurve = ToneCurve()
    noise: tuple[float, float] = (0.0, 0.0)
    noise_blur: float = 0.0
    sharpen: float = 0.0
    codec: Codec | None = None
    crf: int = 23

    def apply(self, frames: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.uint8]:
        """Degrade (T, H, W, 3) coded 0..1 to (T, H, W, 3) uint8; H and W must be even with a codec."""
        clip = np.stack([self._develop(frame, generator) for frame in frames])
        if self.codec is None:
            return clip
        return encode_and_decode(clip, self.codec, self.crf)

    def _develop(self, frame: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.uint8]:
        frame = self.tone.apply(frame)
        frame = add_noise(frame, self.noise, self.noise_blur, generator)
        if self.sharpen:
            frame = frame + np.float32(self.sharpen) * (frame - cv2.GaussianBlur(frame, (0, 0), 1.0))
        return to_bytes(frame)


IDEAL_SENSOR = SensorModel()


def add_noise(
    coded: NDArray[np.float32], noise: tuple[float, float], blur: float, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Add Gaussian noise of variance read^2 + shot^2 * value to (H, W, 3) coded 0..1, without clipping."""
    read, shot = noise
    if not read and not shot:
        return coded
    grain = generator.standard_normal(coded.shape, dtype=np.float32)
    if blur:
        smooth = np.asarray(cv2.GaussianBlur(grain, (0, 0), blur), np.float32)
        grain = smooth / np.float32(max(float(smooth.std()), 1e-6))
    spread = np.sqrt(np.float32(read**2) + np.float32(shot**2) * np.clip(coded, 0.0, 1.0))
    return np.asarray(coded + grain * spread, np.float32)


def encode_and_decode(frames: NDArray[np.uint8], codec: Codec, crf: int) -> NDArray[np.uint8]:
    """Encode and decode (T, H, W, 3) uint8 RGB with a real codec (4:2:0, 8 bit).

    The result has the same shape and type. Pixels are converted as the program converts those of a file:
    without a shift of the mean and with smooth chroma, which PyAV's plain `to_ndarray` does not give. It uses
    one thread, so that the bytes do not depend on the load of the machine. H and W must be even.
    """
    converter = Converter(_PHONE_COLOR)
    file = io.BytesIO()
    with open_output(file, "mp4") as container:
        options = _encoder_options(codec, crf, width=frames.shape[2])
        stream = container.add_stream(_ENCODERS[codec], rate=30, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for index, frame in enumerate(frames):
            picture = converter.from_rgb(to_16_bit(frame), stream.pix_fmt)
            picture.pts, picture.time_base = index, Fraction(1, 30)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    file.seek(0)
    with open_clip(file) as coded:
        return np.stack([to_8_bit(converter.to_rgb(frame)) for frame in coded.decode(video=0)])


def _encoder_options(codec: Codec, crf: int, *, width: int) -> dict[str, str]:
    """Return fast presets without long look-ahead, because hardware encoders of phones use few tools."""
    if codec == "h264":
        return {"crf": str(crf), "preset": "veryfast", "bf": "0", "x264-params": _X264_ONE_THREAD}
    params = ":".join([_X265_ONE_THREAD, *safe_x265_params(width)])
    return {"crf": str(crf), "preset": "ultrafast", "bf": "0", "x265-params": params}
