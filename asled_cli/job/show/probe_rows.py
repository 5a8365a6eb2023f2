"""The findings of `asled probe` as labels, values and units for people; the JSON keeps the bare values."""

from collections.abc import Mapping, Sequence
from typing import Any

Info = Mapping[str, Any]

_ACTIONS = {
    "deblur": "deblur",
    "pass": "keep: already sharp",
    "both blurred": "deblur (low gain): both are blurred",
}
PLAN_COLUMNS = ("from", "to", "what to do", "blur of wide", "blur of ultra", "ultra has more detail by")
_BARS = "▁▂▃▄▅▆▇█"
_MAX_BARS = 48
_MIN_CONFIDENCE = 0.5  # as in sync.offset, which loads too much to be imported here
_MIN_CORRELATION = 0.5  # as in registration.analyse


def clip_rows(*clips: Info) -> list[tuple[str, ...]]:
    """Return rows of one column of labels and one for each clip."""
    rows = {
        "file": [
            clip["path"] + (f", video track {clip['track'] + 1}" if clip["track"] else "") for clip in clips
        ],
        "frame size": [
            clip["size"] + (f", rotated by {clip['rotation']}°" if clip["rotation"] else "") for clip in clips
        ],
        "codec": [f"{clip['codec']}, {clip['bit_depth']} bit, {clip['pix_fmt']}" for clip in clips],
        "dynamic range": [_range_text(clip) for clip in clips],
        "length": [f"{clip['duration_s']:.2f} s, {clip['frames']} frames" for clip in clips],
        "frame rate": [_rate_text(clip) for clip in clips],
        "sound": ["yes" if clip["audio"] else "none" for clip in clips],
        "lens": [_lens_text(clip) for clip in clips],
    }
    if any(clip["stereo"] for clip in clips):
        rows["views"] = [_views_text(clip) for clip in clips]
    return [(label, *values) for label, values in rows.items()]


def pair_rows(info: Info) -> list[tuple[str, str]]:
    """Return rows of label and value: how two clips match."""
    found = info["registration"]
    drift = f", clock drift {info['clock_drift_ppm']:+.1f} ppm" if info["clock_drift_ppm"] else ""
    x, y = found["shift_px"]
    rows = [
        ("order", ("swapped: " if info["swapped"] else "") + info["order_source"]),
        ("time offset", f"{_offset_text(info['offset_s'])}{drift} ({info['offset_source']})"),
        ("confidence", f"{info['offset_confidence']:.2f} (minimum {_MIN_CONFIDENCE:.2f})"),
        ("field-of-view ratio", f"{found['fov_ratio']:.3f} (prior {info['fov_ratio_prior']:g}, "
                                f"{info['fov_ratio_source']})"),
        ("optical-centre offset", f"x {x:+.1f}, y {y:+.1f} px of the wide frame"),
        ("correlation", f"{found['correlation']:.3f} (minimum {_MIN_CORRELATION:.2f})"
                        + ("" if found["accepted"] else ": rejected")),
        ("residual", f"{found['residual']:.2%} (mean absolute luma difference)"),
        ("wide exposure", _exposure_text(found)),
        ("ultra exposure", f"{found['ultra_exposure_frames']:g} frame"
                           if found["ultra_exposure_frames"] else "too short to measure"),
    ]  # fmt: skip
    rows += _lens_motion_rows(found)
    if info["sharpness"]:
        curves = {lens: [s[f"{lens}_blur_px"] for s in info["sharpness"]] for lens in ("wide", "ultra")}
        most = max(map(max, curves.values()))
        rows += [(f"edge width of {lens}", _curve(values, most)) for lens, values in curves.items()]
    return rows


def _lens_motion_rows(found: Info) -> list[tuple[str, str]]:
    """Return rows for what moves one lens or a part of the view, where something does."""
    rows = []
    if found["parallax_deg"] is not None:
        rows.append(("parallax direction", f"{found['parallax_deg']:g} deg"))
    if found["rolling_shutter_frames"]:
        rows.append(("rolling shutter", f"{found['rolling_shutter_frames']:+g} frame between the lenses"))
    if found["ois_rms_px"] is not None:
        rows.append(("OIS", f"shifts one lens by {found['ois_rms_px']:g} px rms, followed frame by frame"))
    if found.get("maps", 1) > 1:
        rows.append(("geometry drift", f"{found['maps']} homographies over the clip"))
    return rows


def registration_text(found: Info) -> str:
    """Return how two clips were registered, in one line."""
    x, y = found["shift_px"]
    parts = [
        f"field-of-view ratio {found['fov_ratio']:.3f}, centre offset {x:+.1f}, {y:+.1f} px",
        f"correlation {found['correlation']:.3f}" + ("" if found["accepted"] else " (rejected)"),
        f"exposure {_exposure_text(found)}",
    ]
    if found["ultra_exposure_frames"]:
        parts.append(f"ultra exposure {found['ultra_exposure_frames']:g} frame")
    return ", ".join([*parts, *(f"{label} {value}" for label, value in _lens_motion_rows(found))])


def registration_rows(found: Info) -> list[tuple[str, str]]:
    """Return rows of label and value: how two clips were registered, and the exposures."""
    x, y = found["shift_px"]
    return [
        ("field-of-view ratio", f"{found['fov_ratio']:.3f}"),
        ("optical-centre offset", f"x {x:+.1f}, y {y:+.1f} px of the wide frame"),
        ("correlation", f"{found['correlation']:.3f}" + ("" if found["accepted"] else ": rejected")),
        ("residual", f"{found['residual']:.2%} (mean absolute luma difference)"),
        ("wide exposure", _exposure_text(found)),
        (
            "ultra exposure",
            f"{found['ultra_exposure_frames']:g} frame"
            if found["ultra_exposure_frames"]
            else "too short to measure",
        ),
        *_lens_motion_rows(found),
    ]


def segment_row(segment: Info) -> tuple[str, ...]:
    """Return one interval of the plan."""
    return (
        "start" if segment["start_s"] is None else f"{segment['start_s']:.2f} s",
        "end" if segment["end_s"] is None else f"{segment['end_s']:.2f} s",
        _ACTIONS[segment["action"]],
        f"{segment['wide_blur_px']:.0f} px",
        f"{segment['ultra_blur_px']:.0f} px",
        f"{segment['advantage_db']:+.1f} dB",
    )


def _exposure_text(found: Info) -> str:
    if found["exposure_frames"] is None:
        return "unknown: EIS-stabilised, blur estimated per frame"
    return f"{found['exposure_frames']:g} frame"


def _offset_text(offset_s: float) -> str:
    if abs(offset_s) < 5e-5:
        return "both start together"
    return f"ultra starts {abs(offset_s):.4f} s {'later' if offset_s > 0 else 'earlier'}"


def _range_text(clip: Info) -> str:
    return (
        ("HDR" if clip["hdr"] else "SDR")
        + (", Dolby Vision" if clip["dolby_vision"] else "")
        + (", spatial video" if clip["spatial"] else "")
        + (", interlaced" if clip["interlaced"] else "")
    )


def _rate_text(clip: Info) -> str:
    irregular = clip["irregular_share"]
    kind = f"variable, {max(irregular, 0.001):.1%} irregular" if irregular else "constant"
    return f"{clip['fps']:.2f} fps, {kind}"


def _lens_text(clip: Info) -> str:
    known = [clip["lens"], clip["focal_35mm"] and f"{clip['focal_35mm']:g} mm (35 mm equivalent)"]
    return ", ".join(filter(None, known)) or "unknown"


def _views_text(clip: Info) -> str:
    """Return number, eyes and lenses of the views of a spatial clip; of its second view, only which it is."""
    stereo = clip["stereo"]
    if not stereo:
        return "one"
    eye = stereo["eyes"][clip["view"]] if stereo["eyes"] and stereo["views"] > 1 else ""
    if clip["view"]:
        return f"view {clip['view'] + 1} of {stereo['views']}" + (f": {eye} eye" if eye else "")
    parts = [f"{stereo['views']}"]
    if eye:
        parts.append(f"main view: {eye} eye")
    if stereo["baseline_mm"]:
        parts.append(f"lenses {stereo['baseline_mm']:g} mm apart")
    if stereo["fov_deg"]:
        parts.append(f"field of view {stereo['fov_deg']:g}°")
    if stereo["disparity_shift"]:
        parts.append(f"disparity shift {stereo['disparity_shift']:.2%} of the width")
    return ", ".join(parts)


def _curve(values: Sequence[float], most: float) -> str:
    """Return bars over time, `most` pixels being a full one, and the range in pixels."""
    step = max(1, -(-len(values) // _MAX_BARS))
    peaks = [max(values[i : i + step]) for i in range(0, len(values), step)]
    bars = "".join(_BARS[min(len(_BARS) - 1, int(value / max(most, 1e-9) * len(_BARS)))] for value in peaks)
    return f"{bars} {min(values):.0f} to {max(values):.0f} px"
