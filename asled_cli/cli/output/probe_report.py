"""What `asled probe` found, in words and units for people; the JSON keeps the bare values."""

from collections.abc import Mapping, Sequence
from typing import Any

Facts = Mapping[str, Any]

_ACTIONS = {
    "deblur": "mend",
    "pass": "leave alone: already sharp",
    "both blurred": "mend, with little to gain: both are blurred",
}
_BARS = "▁▂▃▄▅▆▇█"
_MAX_BARS = 48


def clip_rows(*clips: Facts) -> list[tuple[str, ...]]:
    """Rows of one column of labels and one for each clip."""
    rows = {
        "file": [
            clip["path"] + (f", video track {clip['track'] + 1}" if clip["track"] else "") for clip in clips
        ],
        "picture": [
            clip["size"] + (f", turned by {clip['rotation']}°" if clip["rotation"] else "") for clip in clips
        ],
        "codec": [f"{clip['codec']}, {clip['bit_depth']} bit, {clip['pix_fmt']}" for clip in clips],
        "range": [_range_words(clip) for clip in clips],
        "length": [f"{clip['duration_s']:.2f} s, {clip['frames']} frames" for clip in clips],
        "frame rate": [_rate_words(clip) for clip in clips],
        "sound": ["yes" if clip["audio"] else "none" for clip in clips],
        "lens": [_lens_words(clip) for clip in clips],
    }
    return [(label, *values) for label, values in rows.items()]


def pair_rows(facts: Facts) -> list[tuple[str, str]]:
    """Rows of label and value: how two clips go together."""
    found = facts["registration"]
    drift = f", drifting by {facts['clock_drift_ppm']:+.1f} ppm" if facts["clock_drift_ppm"] else ""
    x, y = found["shift_px"]
    rows = [
        ("order", ("the other way round than named: " if facts["swapped"] else "") + facts["order_source"]),
        ("ultra started", f"{_later(facts['offset_s'])}{drift}, {facts['offset_source']}"),
        ("sure of that", f"{facts['offset_confidence']:.2f} (0 to 1, believed from 0.5)"),
        ("ultra sees", f"{found['fov_ratio']:.3f} times as much (expected {facts['fov_ratio_prior']:g}, "
                       f"{facts['fov_ratio_source']})"),
        ("centre off by", f"{x:+.1f} px right, {y:+.1f} px down, in the wide picture"),
        ("views agree", f"{found['correlation']:.3f} (1: alike; used from 0.5)"
                        + ("" if found["trusted"] else ": not used")),
        ("left over", f"{found['residual']:.2%} of white, on average"),
        ("wide shutter", "not told: software has steadied the clip, each frame's blur is read from itself"
                         if found["exposure_frames"] is None
                         else f"{found['exposure_frames']:g} of a frame interval"),
        ("ultra shutter", f"{found['ultra_exposure_frames']:g} of a frame interval"
                          if found["ultra_exposure_frames"] else "no blur of its own to be seen"),
    ]  # fmt: skip
    if found["depth_along_deg"] is not None:
        rows.append(("things close by", f"followed along a line at {found['depth_along_deg']:g} degrees"))
    if found["rows_late_frames"]:
        rows.append(
            ("rolling shutter", f"{found['rows_late_frames']:+g} of a frame interval: followed row by row")
        )
    if found["stabiliser_px"] is not None:
        rows.append(
            ("stabiliser", f"moves one lens alone, by {found['stabiliser_px']:g} px: followed frame by frame")
        )
    if found["maps"] > 1:
        rows.append(("views drift", f"followed by {found['maps']} geometries"))
    if facts["sharpness"]:
        curves = {lens: [s[f"{lens}_blur_px"] for s in facts["sharpness"]] for lens in ("wide", "ultra")}
        most = max(map(max, curves.values()))
        rows += [(f"blur of {lens}", _curve(values, most)) for lens, values in curves.items()]
    return rows


def registration_words(found: Facts) -> str:
    """How two clips lay on each other, in one line."""
    x, y = found["shift_px"]
    words = [
        f"reference sees {found['fov_ratio']:.3f} times as much, off by {x:+.1f}, {y:+.1f} px",
        f"views agree to {found['correlation']:.3f}" + ("" if found["trusted"] else " (not used)"),
        "steadied by software, so each frame's blur was read from itself"
        if found["exposure_frames"] is None
        else f"shutter {found['exposure_frames']:g} of a frame",
    ]
    if found["ultra_exposure_frames"]:
        words.append(f"the reference's {found['ultra_exposure_frames']:g}")
    if found["rows_late_frames"]:
        words.append(f"rolling shutter {found['rows_late_frames']:+g}")
    if found["stabiliser_px"] is not None:
        words.append(f"stabiliser moves one lens by {found['stabiliser_px']:g} px")
    if found["depth_along_deg"] is not None:
        words.append(f"things close by followed at {found['depth_along_deg']:g} degrees")
    return ", ".join(words)


def segment_row(segment: Facts) -> tuple[str, ...]:
    """One stretch of the plan."""
    return (
        "start" if segment["start_s"] is None else f"{segment['start_s']:.2f} s",
        "end" if segment["end_s"] is None else f"{segment['end_s']:.2f} s",
        _ACTIONS[segment["action"]],
        f"{segment['wide_blur_px']:.0f} px",
        f"{segment['ultra_blur_px']:.0f} px",
        f"{segment['advantage_db']:+.1f} dB",
    )


def _later(offset_s: float) -> str:
    if abs(offset_s) < 5e-5:
        return "together with wide"
    return f"{abs(offset_s):.4f} s {'later' if offset_s > 0 else 'earlier'}"


def _range_words(clip: Facts) -> str:
    words = "HDR" if clip["hdr"] else "SDR"
    return (
        words
        + (", Dolby Vision" if clip["dolby_vision"] else "")
        + (", spatial video" if clip["spatial"] else "")
        + (", interlaced" if clip["interlaced"] else "")
    )


def _rate_words(clip: Facts) -> str:
    uneven = clip["irregular_share"]
    steps = f", {max(uneven, 0.001):.1%} of the steps uneven" if uneven else ", even"
    return f"{clip['fps']:.2f} per second{steps}"


def _lens_words(clip: Facts) -> str:
    known = [clip["lens"], clip["focal_35mm"] and f"{clip['focal_35mm']:g} mm (of 35 mm film)"]
    return ", ".join(filter(None, known)) or "not told"


def _curve(values: Sequence[float], most: float) -> str:
    """Bars over time, `most` pixels being a full one, and the range in pixels."""
    step = max(1, -(-len(values) // _MAX_BARS))
    peaks = [max(values[i : i + step]) for i in range(0, len(values), step)]
    bars = "".join(_BARS[min(len(_BARS) - 1, int(value / max(most, 1e-9) * len(_BARS)))] for value in peaks)
    return f"{bars} {min(values):.0f} to {max(values):.0f} px"
