"""What a capture app notes beside the clips of a take: when each lens began, and how much it sees.

Known: `splatpack.json` (schema splatpack.v2) with `metadata.json`. The camera is named "wide" or "ultra".
"""

import json
import logging
from math import isfinite, radians, tan
from pathlib import Path
from typing import Any

from asled_cli.errors import AsledError
from asled_cli.runtime.option_limits import FOV_RATIO_LIMITS, MAX_TIME_S
from asled_cli.video.decode.probe import probe_clip

FILE, DEVICES = "splatpack.json", "metadata.json"
MAX_BYTES = 1 << 26  # of a sidecar file; hours of frame times need less
_SCHEMA = "splatpack."
_MAX_MISSING = 0.05  # share of the frames by which a sidecar and its clip may differ

log = logging.getLogger(__name__)


def options_of_sidecar(wide: Path, ultra: Path) -> tuple[str, ...]:
    """Return the options that the sidecar of a pair gives; none without one, or if it contradicts the clips.

    Contradictions and damage are warned of.
    """
    path = wide.parent / FILE
    if wide.parent != ultra.parent or not path.is_file():
        return ()
    try:
        pack = _read(path)
        streams = {stream["camera"]: stream for stream in pack["streams"]}
        if not str(pack.get("schema", _SCHEMA)).startswith(_SCHEMA):
            raise ValueError(f"its schema is {pack['schema']!r}")
        times = [_times(streams[lens], clip) for lens, clip in (("wide", wide), ("ultra", ultra))]
        ratio = _ratio(streams, wide.parent / DEVICES)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, AsledError) as error:
        log.warning("%s does not fit its clips, and is not used: %s.", path, str(error).rstrip("."))
        return ()
    options = [f"--offset={times[1][0] - times[0][0]:.6f}"] if all(times) else []
    return (*options, *([f"--fov-ratio={ratio:.4f}"] if ratio is not None else []))


def _read(path: Path) -> Any:
    if path.stat().st_size > MAX_BYTES:
        raise ValueError("it is too large")
    return json.loads(path.read_text(encoding="utf-8"))


def _times(stream: Any, clip: Path) -> list[float]:
    """Return the frame times of a stream, seconds. Raises ValueError if they are not those of the clip."""
    name = str(stream.get("rawVideoFile", clip.name))
    if Path(name).name.casefold() != clip.name.casefold():
        raise ValueError(f"it names {name}, not {clip.name}")
    times = [float(time) for time in stream.get("frameTimes", [])]
    if not all(isfinite(time) and abs(time) < MAX_TIME_S**2 for time in times):
        raise ValueError("its frame times are no times")
    frames = probe_clip(clip).frame_estimate
    if times and abs(len(times) - frames) > max(2, _MAX_MISSING * frames):
        raise ValueError(f"it has {len(times)} frames of {clip.name}, which holds {frames}")
    return times


def _ratio(streams: Any, devices: Path) -> float | None:
    """Return the field-of-view ratio of the ultra lens over the wide one, None where it is not noted."""
    noted = _read(devices) if devices.is_file() else {}
    views: list[Any] = []
    for lens in ("wide", "ultra"):
        device = streams[lens].get("deviceInfo") or noted.get(lens) or {}
        form = device.get("activeFormat") or device
        views.append(form.get("geometricDistortionCorrectedFieldOfView") or form.get("fieldOfView"))
    if not all(isinstance(view, int | float) and 1 < view < 170 for view in views):
        return None
    ratio = tan(radians(views[1] / 2)) / tan(radians(views[0] / 2))
    return ratio if FOV_RATIO_LIMITS[0] <= ratio <= FOV_RATIO_LIMITS[1] else None
