"""Make the example pair: one picture filmed by the two lenses of a shaking phone, with the truth beside it.

The picture is `Dragonfly_by_Bolly.jpg` of the Debian package lomiri-wallpapers-16.04:

    apt-get download lomiri-wallpapers-16.04
    dpkg-deb -x lomiri-wallpapers-16.04_*.deb wallpapers
    python examples/make_example_pair.py \
        wallpapers/usr/share/backgrounds/Dragonfly_by_Bolly.jpg

Equal library versions give equal files. The ultra-wide clip begins LEAD frames before the wide one, as two
recordings never start together. Their timestamps share one clock, so the wide clip's start at LEAD frames; a
sound that both hear says the same.
"""

import argparse
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from asled_cli.lab.camera.degradation import SensorModel, ToneCurve
from asled_cli.lab.camera.dual_lens import LensRig
from asled_cli.lab.camera.hand_shake import Shake
from asled_cli.lab.synthesis.shake_blur import ShakeConfig, shake_pair

FPS = 30
FRAMES = 36
LEAD = 6  # frames that the ultra-wide records before the wide one starts
SIZE = (576, 320)
SOUND_RATE = 48_000
BT709 = 1  # H.273 code point
ONE_THREAD = (
    "threads=1:lookahead-threads=1:sync-lookahead=0"  # and no B-frames, which make x264 read stray memory
)


def make_pair(picture: Path, folder: Path) -> None:
    """Write wide.mp4, ultra.mp4 and truth.mp4 into `folder`."""
    pair = shake_pair(
        picture,
        ShakeConfig(
            seed=2026,
            size=SIZE,
            frames=FRAMES + LEAD,
            exposure=0.8,
            ultra_exposure=0.1,
            scale=0.5,
            lens_blur=0.5,
            shake=Shake(blur_px=18.0, roll_share=0.12),
            rig=LensRig(ratio=1.92, rotation_deg=0.25, shift_px=(6.0, -4.0)),
            fps=float(FPS),
            wide_sensor=SensorModel(noise=(0.003, 0.008), noise_blur=0.6),
            ultra_sensor=SensorModel(
                tone=ToneCurve(gain=(1.08, 1.0, 0.9), gamma=(1.06, 1.04, 1.0), saturation=0.92),
                noise=(0.005, 0.014),
                noise_blur=0.6,
                sharpen=0.3,
            ),
        ),
    )
    folder.mkdir(parents=True, exist_ok=True)
    sound = clap_and_hum(FRAMES + LEAD)
    late = LEAD * SOUND_RATE // FPS
    write_clip(folder / "wide.mp4", pair.wide[LEAD:], sound[late:], first=LEAD, crf=20)
    write_clip(folder / "ultra.mp4", pair.ultra, sound, first=0, crf=20)
    write_clip(folder / "truth.mp4", pair.truth[LEAD:], None, first=LEAD, crf=8)


def clap_and_hum(frames: int) -> NDArray[np.float32]:
    """Return mono sound of `frames` frames, -1..1: noise, hum and claps that align in one way only."""
    time = np.arange(frames * SOUND_RATE // FPS) / SOUND_RATE
    generator = np.random.default_rng(7)
    sound = 0.02 * np.sin(2 * np.pi * 110.0 * time) + 0.05 * generator.standard_normal(len(time))
    for start in (0.21, 0.34, 0.63, 0.71, 1.02, 1.19):
        age = np.clip(time - start, 0.0, None)
        sound += (time >= start) * 0.3 * np.exp(-age / 0.02) * generator.standard_normal(len(time))
    return np.clip(sound, -1.0, 1.0).astype(np.float32)


def write_clip(
    path: Path, frames: NDArray[np.uint8], sound: NDArray[np.float32] | None, *, first: int, crf: int
) -> None:
    """Write (T, H, W, 3) uint8 RGB as H.264 8 bit 4:2:0 BT.709, with mono AAC where there is sound.

    first: number of the first frame on the common clock of all clips.
    """
    with av.open(path, "w", options={"fflags": "+bitexact"}) as container:
        options = {"crf": str(crf), "preset": "slow", "bf": "0", "x264-params": ONE_THREAD}
        video = container.add_stream("libx264", rate=FPS, options=options)
        video.height, video.width = frames.shape[1:3]
        video.pix_fmt = "yuv420p"
        context = video.codec_context
        context.color_range = ColorRange.MPEG
        context.colorspace = context.color_primaries = context.color_trc = BT709
        audio = None if sound is None else container.add_stream("aac", rate=SOUND_RATE, layout="mono")
        for index, picture in enumerate(frames, start=first):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24").reformat(
                format="yuv420p",
                src_color_range=ColorRange.JPEG,
                dst_colorspace=Colorspace.ITU709,
                dst_color_range=ColorRange.MPEG,
            )
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if audio is not None and sound is not None:
            samples = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
            samples.sample_rate, samples.time_base = SOUND_RATE, Fraction(1, SOUND_RATE)
            samples.pts = first * SOUND_RATE // FPS
            container.mux(audio.encode(samples))
            container.mux(audio.encode())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make the example pair from one sharp picture.")
    parser.add_argument("picture", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "pair")
    arguments = parser.parse_args()
    make_pair(arguments.picture, arguments.out)
