"""When the picture of a packet is shown: its own time, or counted where files have none."""

from typing import Any

from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.stream import VideoStream

from asled_cli.video.frames import Clip, TimesFrom

DECODING_TIMES_ONLY = {"avi"}  # FFmpeg guesses when frames are shown, wrongly


def times_of_format(container: InputContainer, first: "Packet[VideoStream] | None") -> TimesFrom:
    """Return where times of pictures come from; first: the track's first packet."""
    if container.format.name in DECODING_TIMES_ONLY:
        return "decoding"
    if first is not None and first.pts is None and first.dts is None:
        return "counting"
    return "presentation"


class PacketClock:
    """Gives the packets of a clip, in the order of the file, a time each (ticks of the clip's time base).

    Pictures and times belong together in rising order of both.
    """

    def __init__(self, clip: Clip) -> None:
        self._times_from = clip.times_from
        self._next = round(clip.start_s / clip.time_base)
        self._step = nominal_step(clip)

    def tick(self, packet: "Packet[Any]") -> int | None:
        """Return the time of one packet; None where it has none."""
        if self._times_from == "presentation":
            return packet.pts if packet.pts is not None else packet.dts
        if self._times_from == "decoding":
            return packet.dts
        self._next += self._step
        return self._next - self._step


def nominal_step(clip: Clip) -> int:
    """Return the ticks from frame to frame at the clip's nominal rate."""
    return max(1, round(1 / (clip.average_rate * clip.time_base)))


def read_ticks(container: InputContainer, stream: VideoStream, clip: Clip) -> list[int]:
    """Return the times of all pictures, sorted, by reading the packets without decoding them."""
    clock, ticks = PacketClock(clip), []
    try:
        for packet in container.demux(stream):
            tick = clock.tick(packet) if packet.size and not packet.is_discard else None
            if tick is not None:
                ticks.append(tick)
    except FFmpegError:
        pass  # a cut-off file: the packets before the cut are what there is
    return sorted(ticks)
