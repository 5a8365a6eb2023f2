"""Copy of a clip without changes: its own packets in the output's file format, without encoding."""

import contextlib
import shutil
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.video.stream import VideoStream

from asled_cli.errors import AsledError
from asled_cli.video.decode.open_clip import open_clip
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.encode.concat import movie_options
from asled_cli.video.encode.encoder import SECOND_VIEW
from asled_cli.video.frames import Clip
from asled_cli.video.open_output import open_output
from asled_cli.video.output_file import FORMATS
from asled_cli.video.preserve.checks.check import Check
from asled_cli.video.preserve.inventory import take_inventory
from asled_cli.video.preserve.movie_boxes import graft_boxes
from asled_cli.video.preserve.quicktime_keys import MOVIES
from asled_cli.video.preserve.tracks import OPTIONS, CopiedTracks
from asled_cli.video.preserve.verify import verify


@dataclass(frozen=True, slots=True)
class Copy:
    """Result of a copy. dropped: names of what it lacks. differences: checks that differ."""

    frames: int
    dropped: tuple[str, ...] = ()
    differences: tuple[Check, ...] = ()


def copy_clip(source: Clip, out: Path) -> Copy | None:
    """Write `out` as a copy of `source`: the same bytes, or its packets if the file format differs.

    Return None, and leave an invalid `out`, if the copy would not show the same frames at the same times.
    Raises OSError if `out` cannot be written.
    """
    alone = all(track.kind != "video" for track in source.other_tracks)  # else a player might choose another
    endings = {out.suffix.lower(), source.path.suffix.lower()}
    # The muxer does not write the boxes of a second view: a copy of the bytes keeps it in any kind of movie.
    if alone and (len(endings) == 1 or (source.spatial and endings <= set(MOVIES))):
        shutil.copyfile(source.path, out)
        return Copy(len(take_inventory(source.path, source.track).ticks))
    try:
        dropped = _rewrap(source, out)
        graft_boxes(source, out)
        checks = verify(source.path, out, track=source.track)
        lost = _lost_layers(source, probe_clip(out))
    except (av.FFmpegError, ValueError, AsledError) as error:
        if isinstance(error, OSError):
            raise
        return None
    differences = tuple(check for check in checks if not check.same)
    if not all(check.label for check in differences):  # a file format may have no place for a label
        return None
    return Copy(next(int(c.found) for c in checks if c.name == "frames"), (*dropped, *lost), differences)


def _lost_layers(source: Clip, copy: Clip) -> list[str]:
    """Return the names of the picture's layers that the copy lacks."""
    layers = {
        "Dolby Vision layer": source.dolby_vision and not copy.dolby_vision,
        SECOND_VIEW: source.spatial and not copy.spatial,
    }
    return [name for name, lost in layers.items() if lost]


def _rewrap(source: Clip, out: Path) -> list[str]:
    """Write the packets of the video and of the copied tracks. Return the names of dropped tracks."""
    form = FORMATS[out.suffix.lower()]
    options = OPTIONS if form == "matroska" else movie_options(source)
    with open_clip(source.path) as container, contextlib.ExitStack() as stack:
        movie: OutputContainer = stack.enter_context(open_output(out, form, options))
        picture = container.streams[source.stream_index]
        assert isinstance(picture, VideoStream)
        copied = movie.add_stream_from_template(picture, opaque=True)
        copied.codec_context.codec_tag = picture.codec_context.codec_tag  # hvc1, where it is that
        tracks = CopiedTracks(source, movie)
        stack.callback(tracks.close)
        movie.start_encoding()
        tracks.start(Fraction(0))
        for packet in container.demux(picture):
            if not packet.size or packet.dts is None:
                continue
            time = (packet.pts if packet.pts is not None else packet.dts) * packet.time_base
            packet.stream = copied
            movie.mux(packet)
            tracks.write_until(time)
        tracks.write_until(None)
        return tracks.dropped
