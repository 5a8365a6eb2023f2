"""Tracks that a file format cannot hold are named with one that can; they never cost the job."""

from pathlib import Path

import av
import pytest
from factories.clips import make_clip

from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.decode.reader import ClipReader
from asled_cli.video.encode.encoder import EncodeConfig
from asled_cli.video.encode.writer import ClipWriter


def with_sound(path: Path, codec: str, layout: str = "stereo") -> Path:
    """A short clip whose sound is in `codec`."""
    picture = make_clip(path.with_name("picture.mov"), ticks=(0, 20, 40))
    with av.open(str(picture)) as old, av.open(str(path), "w") as new:
        video = new.add_stream_from_template(old.streams.video[0], opaque=True)
        sound = new.add_stream(codec, rate=48000, layout=layout, options={"strict": "experimental"})
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = video
                new.mux(packet)
        for start in range(0, 4800, 40):
            assert sound.codec_context.format is not None
            block = av.AudioFrame(sound.codec_context.format.name, layout, 40)
            for plane in block.planes:
                plane.update(bytes(plane.buffer_size))
            block.sample_rate, block.pts = 48000, start
            new.mux(sound.encode(block))
        new.mux(sound.encode(None))
    return path


def dropped(source: Path, out: Path) -> list[str]:
    clip = probe_clip(source)
    with ClipReader(clip) as frames, ClipWriter(clip, out, EncodeConfig(preset="ultrafast")) as writer:
        for frame in frames:
            writer.write(frame, None)
    return writer.dropped


@pytest.mark.parametrize(
    ("codec", "suffix", "advice"),
    [
        ("pcm_u8", ".mp4", [", which .mov or .mkv would keep"]),
        ("pcm_s24le", ".mp4", []),
        ("ac3", ".mp4", []),
    ],
)
def test_sound_that_a_format_cannot_hold(tmp_path: Path, codec: str, suffix: str, advice: list[str]) -> None:
    source = with_sound(tmp_path / "in.mkv", codec)
    found = dropped(source, tmp_path / f"out{suffix}")
    assert found == [f"track 1 (audio, {codec}){text}" for text in advice]


def test_a_packet_that_the_muxer_refuses_ends_its_track_only(
    sdr_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from asled_cli.video.preserve.tracks import CopiedTracks

    def refuse(*_: object) -> None:
        raise av.ArgumentError(22, "Invalid argument")

    monkeypatch.setattr(CopiedTracks, "_move", lambda _, packet: None)
    real = av.container.OutputContainer

    class Refusing:
        """The container, but for packets of sound."""

        def __init__(self, inner: av.container.OutputContainer) -> None:
            self.inner = inner

        def __getattr__(self, name: str) -> object:
            return getattr(self.inner, name)

        def mux(self, packet: av.Packet) -> None:
            refuse()

    start = CopiedTracks.start

    def wrapped(self: CopiedTracks, shift: object) -> None:
        assert isinstance(self._out, real)
        self._out = Refusing(self._out)  # type: ignore[assignment]
        start(self, shift)  # type: ignore[arg-type]

    monkeypatch.setattr(CopiedTracks, "start", wrapped)
    found = dropped(sdr_clip, tmp_path / "out.mov")
    assert found == ["the rest of track 1, which mov refuses"]
    assert (tmp_path / "out.mov").exists()


def sound_times(path: Path) -> list[int]:
    """The times of the packets of sound, in ticks of the file."""
    with av.open(str(path)) as clip:
        return [packet.pts for packet in clip.demux(audio=0) if packet.size and packet.pts is not None]


def test_sound_of_packets_shorter_than_a_tick_keeps_its_times(tmp_path: Path) -> None:
    source = with_sound(tmp_path / "in.mkv", "pcm_s16le")
    dropped(source, tmp_path / "out.mkv")
    times = sound_times(source)
    assert len(times) > len(set(times)), "packets of the source share ticks"
    assert sound_times(tmp_path / "out.mkv") == times
