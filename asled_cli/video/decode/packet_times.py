"""Presentation times of packets: stored in the file, or counted for formats without them."""

from typing import Any

from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.stream import VideoStream

from asled_cli.video.frames import Clip, TimesFrom

DECODING_TIMES_ONLY = {"avi"}  # formats for which FFmpeg guesses wrong presentation times


def times_of_format(container: InputContainer, first: "Packet[VideoStream] | None") -> TimesFrom:
    """Return the source of presentation times. first: first packet of the track."""
    if container.format.name in DECODING_TIMES_ONLY:
        return "decoding"
    if first is not None and first.pts is None and first.dts is None:
        return "counting"
    return "presentation"


class PacketClock:
    """Time of each packet of a clip, in file order, in ticks of the clip's time base.

    Sorted times belong to the pictures in presentation order.
    """

    def __init__(self, clip: Clip) -> None:
        self._times_from = clip.times_from
        self._next = round(clip.start_s / clip.time_base)
        self._step = nominal_step(clip)

    def tick(self, packet: "Packet[Any]") -> int | None:
        """Return the time of the next packet, ticks; None without one."""
        if self._times_from == "presentation":
            return packet.pts if packet.pts is not None else packet.dts
        if self._times_from == "decoding":
            return packet.dts
        self._next += self._step
        return self._next - self._step


def nominal_step(clip: Clip) -> int:
    """Return the ticks from frame to frame at the nominal frame rate, at least 1."""
    return max(1, round(1 / (clip.average_rate * clip.time_base)))


def read_ticks(container: InputContainer, stream: VideoStream, clip: Clip) -> list[int]:
    """Return the sorted times of all pictures, ticks, from the packets without decoding."""
    clock, ticks = PacketClock(clip), []
    try:
        for packet in container.demux(stream):
            tick = clock.tick(packet) if packet.size and not packet.is_discard else None
            if tick is not None:
                ticks.append(tick)
    except FFmpegError:
        pass  # a truncated file: use the packets before the end
    return sorted(ticks)
