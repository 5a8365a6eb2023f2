"""Content of a copied track: digest of its packets, times, subtitle cues and labels.

Memory: one number per packet of sound, a few per cue.
"""

import hashlib
from array import array
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

from av.audio.codeccontext import AudioCodecContext
from av.packet import Packet
from av.stream import Disposition, Stream

from asled_cli.video.preserve.tracks import kept_metadata

TITLE_TAGS = ("title", "name")  # of Matroska and MP4
OWN_TAGS = (  # written by muxers, or about the original file
    *TITLE_TAGS,
    "language",
    "handler_name",
    "duration",
    "encoder",
    "vendor_id",
    "creation_time",
    "source_id",
)
OWN_TAG_STARTS = ("bps", "number_of_", "_statistics_")  # statistics of mkvmerge, stale in any copy
LENGTH_BYTES = 2  # of the text in a sample of QuickTime's timed text (ISO/IEC 14496-17)


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels of a track, which players show and use to select tracks."""

    language: str = "und"
    title: str = ""
    flags: frozenset[str] = frozenset()  # dispositions, such as "default" and "forced"
    tags: dict[str, str] = field(default_factory=dict)  # other metadata


def labels_of(stream: Stream) -> Labels:
    """Return language, title, flags and other metadata of a track."""
    flags = frozenset(flag.name or "" for flag in Disposition if stream.disposition & flag)
    flags -= {"multilayer"}  # follows from the views, which have checks of their own
    metadata = stream.metadata
    tags = {key: value for key, value in kept_metadata(metadata).items() if not _is_own(key.lower())}
    title = next((metadata[key] for key in TITLE_TAGS if metadata.get(key)), "")
    return Labels(metadata.get("language", "und"), title, flags, tags)


def _is_own(key: str) -> bool:
    return key in OWN_TAGS or key.startswith(OWN_TAG_STARTS)


class Cue(NamedTuple):
    """One subtitle. start_s, length_s: seconds, length 0 if unknown. content: digest. text: for messages."""

    start_s: float
    length_s: float
    content: bytes  # digest
    text: str


@dataclass(slots=True)
class TrackSum:
    """Summary of a copied track. content: digest of its packets. size: bytes.

    whole: False for codecs whose packets a muxer may split (raw sound) or pad (subtitles).
    """

    kind: str
    codec: str
    whole: bool
    form: str = ""  # sample rate and channels of sound
    labels: Labels = field(default_factory=Labels)
    packets: int = 0
    size: int = 0  # bytes
    first_s: Fraction | None = None
    tick_s: float = 0.0  # time base of the track, seconds
    times: "array[float]" = field(default_factory=lambda: array("d"))  # seconds
    cues: list[Cue] = field(default_factory=list)
    content: Any = field(default_factory=hashlib.sha256)

    @classmethod
    def of(cls, stream: Stream) -> "TrackSum":
        """Return the empty summary of a stream."""
        context = stream.codec_context
        whole, form = False, ""
        if isinstance(context, AudioCodecContext):
            whole = not context.name.startswith("pcm_")
            form = f"{context.sample_rate} Hz, {context.layout.nb_channels} channels"
        return cls(stream.type, context.name, whole, form, labels_of(stream))

    def add(self, packet: "Packet[Stream]", shift: Fraction) -> None:
        """Add a packet. shift: subtracted from its time, seconds."""
        ticks = packet.pts if packet.pts is not None else packet.dts or 0
        time = (ticks - round(shift / packet.time_base)) * packet.time_base
        self.first_s, self.tick_s = time if self.first_s is None else self.first_s, float(packet.time_base)
        content = _without_adts(bytes(packet)) if self.codec == "aac" else bytes(packet)
        self.packets += 1
        self.size += len(content)
        if self.kind == "subtitle":
            self._add_cue(packet, float(time))
        else:
            self.times.append(float(time))
            self.content.update(content)

    def _add_cue(self, packet: "Packet[Stream]", start_s: float) -> None:
        raw = bytes(packet)
        if self.codec == "mov_text":
            length = int.from_bytes(raw[:LENGTH_BYTES], "big")
            raw = raw[LENGTH_BYTES:] if length else b""  # an empty sample only fills the time between two
        if raw:
            text = raw[:40].decode("utf-8", "replace")
            length_s = float((packet.duration or 0) * packet.time_base)
            self.cues.append(Cue(start_s, length_s, hashlib.sha256(raw).digest()[:8], text))


def _without_adts(packet: bytes) -> bytes:
    """Return an AAC packet without the ADTS header of transport streams (ISO/IEC 13818-7, 6.2)."""
    if len(packet) < 7 or packet[0] != 0xFF or packet[1] & 0xF6 != 0xF0:
        return packet
    length = (packet[3] & 3) << 11 | packet[4] << 3 | packet[5] >> 5
    return packet[7 if packet[1] & 1 else 9 :] if length == len(packet) else packet
