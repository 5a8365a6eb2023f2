"""What a capture app notes beside the clips of a take: frame times, exposures, and how much each lens sees.

Known: `splatpack.json` (schema splatpack.v2) with `metadata.json`. The camera is named "wide" or "ultra".
"""

import json
from collections.abc import Mapping
from math import isfinite, radians, tan
from pathlib import Path
from statistics import median
from typing import Any

from asled_cli.errors import AsledError, InputError
from asled_cli.runtime.option_limits import EXPOSURE_LIMITS, FOV_RATIO_LIMITS, MAX_TIME_S
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.decode.reader import frame_times
from asled_cli.video.frames import Clip

FILE, DEVICES = "splatpack.json", "metadata.json"
LENSES = ("wide", "ultra")
MAX_BYTES = 1 << 26  # of a sidecar file; hours of frame times need less
_SCHEMA = "splatpack."
_MAX_MISSING = 0.05  # share of the frames by which a sidecar and its clip may differ
_MAX_APART = 2.0  # frame intervals by which a frame's time may differ from the clip's
_MAX_EXPOSURE = 1.1  # frame intervals; no frame is exposed longer than it lasts
_VIEWS = ("geometricDistortionCorrectedFieldOfView", "fieldOfView")
_EXPOSURE = "exposureDurationSeconds"

Settings = tuple[tuple[str, float | str], ...]


def read_sidecar(wide: Path, ultra: Path) -> Settings:
    """Return what the sidecar of a pair says, as fields of a job's configuration; nothing without a sidecar.

    Raises InputError for one that is damaged or contradicts its clips.
    """
    path = wide.parent / FILE
    if wide.parent != ultra.parent or not path.is_file():
        return ()
    try:
        pack = _read(path)
        if not str(pack.get("schema", _SCHEMA)).startswith(_SCHEMA):
            raise ValueError(f"its schema is {pack['schema']!r}")
        streams = {stream["camera"]: stream for stream in pack["streams"]}
        noted = _read(wide.parent / DEVICES) if (wide.parent / DEVICES).is_file() else {}
        clips = [probe_clip(clip) for clip in (wide, ultra)]
        starts = [_start(streams[lens], clip) for lens, clip in zip(LENSES, clips, strict=True)]
        _check_overlap(starts, clips)
        sources = [
            [_device(streams[lens], noted, lens), noted.get(lens) or {}, streams[lens]] for lens in LENSES
        ]
        exposures = [_exposure(each, clip) for each, clip in zip(sources, clips, strict=True)]
        ratio = _ratio([each[0] for each in sources])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, AsledError) as error:
        why = f"it lacks {error}" if isinstance(error, KeyError) else str(error).rstrip(".")
        raise InputError(
            f"{path} contradicts its clips: {why}.", "Correct it, or move it out of the folder."
        ) from error
    return _settings(starts, ratio, exposures)


def _settings(starts: list[float | None], ratio: float | None, exposures: list[float | None]) -> Settings:
    found: Settings = ()
    if starts[0] is not None and starts[1] is not None:
        found += (("offset_s", starts[1] - starts[0]),)
    if ratio is not None:
        found += (("fov_ratio", ratio),)
    if exposures[0] is not None and exposures[1] is not None:
        found += (("exposure_s", exposures[0]), ("ultra_exposure_s", exposures[1]))
    return found


def _read(path: Path) -> Any:
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path.name} is too large")
    return json.loads(path.read_text(encoding="utf-8"))


def _start(stream: Mapping[str, Any], clip: Clip) -> float | None:
    """Return when the clock of a clip was 0, on the sidecar's clock, seconds; None where it notes no times.

    Raises ValueError if the times are not those of the clip.
    """
    name, own = str(stream.get("rawVideoFile", clip.path.name)), clip.path.name
    if Path(name).name.casefold() != own.casefold():
        raise ValueError(f"it names {name}, not {own}")
    noted = [float(time) for time in stream.get("frameTimes", [])]
    if not noted:
        return None
    if not all(isfinite(time) and abs(time) < MAX_TIME_S**2 for time in noted):
        raise ValueError("its frame times are no times")
    times = [float(time) for time in frame_times(clip)]
    if abs(len(noted) - len(times)) > max(2, _MAX_MISSING * len(times)):
        raise ValueError(f"it has {len(noted)} frames of {own}, which holds {len(times)}")
    if len(noted) != len(times):
        return noted[0] - times[0]
    apart = [ours - theirs for ours, theirs in zip(noted, times, strict=True)]
    start = median(apart)
    worst = max(abs(each - start) for each in apart)
    if worst * float(clip.average_rate) > _MAX_APART:
        raise ValueError(f"its frame times differ from those of {own} by up to {worst:.3f} s")
    return start


def _check_overlap(starts: list[float | None], clips: list[Clip]) -> None:
    """Raise ValueError if the clips have no time in common on the sidecar's clock."""
    spans = []
    for start, clip in zip(starts, clips, strict=True):
        if start is None:
            return
        spans.append((start + float(clip.start_s), start + float(clip.end_s)))
    apart = max(first for first, _ in spans) - min(last for _, last in spans)
    if apart > 0:
        raise ValueError(f"by its frame times, one clip begins {apart:.3f} s after the other has ended")


def _device(stream: Mapping[str, Any], noted: Mapping[str, Any], lens: str) -> Mapping[str, Any]:
    """Return what is noted of a camera."""
    found: Mapping[str, Any] = stream.get("deviceInfo") or noted.get(lens) or {}
    return found


def _exposure(sources: list[Mapping[str, Any]], clip: Clip) -> float | None:
    """Return the exposure time of a clip, the median of what is noted, seconds; None where nothing is.

    Raises ValueError for a time longer than a frame.
    """
    noted = next((source[_EXPOSURE] for source in sources if source.get(_EXPOSURE) is not None), None)
    if noted is None:
        return None
    seconds = median([float(each) for each in (noted if isinstance(noted, list) else [noted])])
    longest = _MAX_EXPOSURE / float(clip.average_rate)
    if not EXPOSURE_LIMITS[0] <= seconds <= longest:
        raise ValueError(
            f"it says that {clip.path.name} was exposed for {seconds:g} s, expected up to {longest:.3f} s"
        )
    return seconds


def _ratio(devices: list[Mapping[str, Any]]) -> float | None:
    """Return the field-of-view ratio of the ultra lens over the wide one, None where it is not noted.

    Raises ValueError for a ratio that no two lenses have.
    """
    views: list[Any] = []
    for device in devices:
        form = device.get("activeFormat") or device
        views.append(next((form[name] for name in _VIEWS if form.get(name) is not None), None))
    if None in views:
        return None
    if not all(isinstance(view, int | float) and 1 < view < 170 for view in views):
        raise ValueError(f"its fields of view are {views[0]} and {views[1]} degrees")
    ratio = tan(radians(views[1] / 2)) / tan(radians(views[0] / 2))
    low, high = FOV_RATIO_LIMITS
    if not low <= ratio <= high:
        raise ValueError(f"its fields of view have a ratio of {ratio:.2f}, expected {low:g} to {high:g}")
    return ratio
