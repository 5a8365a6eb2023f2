"""Which way up the frames of two clips are: those of the reference are turned to the target's orientation."""

from dataclasses import replace

from asled_cli.errors import InputError
from asled_cli.video.frames import Clip


def turned_to(target: Clip, reference: Clip) -> tuple[Clip, Clip]:
    """Return both clips, of which the reference's frames will be read in the orientation of the target's.

    One lens may be stored upright and the other one sideways with a flag: shown, they look alike.
    """
    turn = (reference.rotation - target.rotation) // 90 % 4
    return replace(target, turn=0), replace(reference, turn=turn)


def check_orientation(wide: Clip, ultra: Clip) -> None:
    """Raise InputError for clips that are not shown alike: one mirrored, or one upright and one sideways."""
    if wide.mirrored != ultra.mirrored:
        one, other = (wide, ultra) if wide.mirrored else (ultra, wide)
        raise InputError(
            f"{one.path.name} is shown mirrored (as front cameras record), {other.path.name} is not, "
            "expected the same for both lenses of one phone.",
            f"Save {one.path.name} without mirroring, or name the clip of the rear camera.",
        )
    between = wide.rotation - ultra.rotation
    if between and (between % 90 or _is_upright(wide) != _is_upright(ultra)):
        raise InputError(
            f"{wide.path.name} is rotated by {wide.rotation} degrees, {ultra.path.name} by {ultra.rotation}, "
            "and one is shown upright, the other sideways, expected the same for both lenses of one phone.",
            _rotation_hint(wide, ultra),
        )


def _is_upright(clip: Clip) -> bool:
    """Return whether a clip is shown higher than wide."""
    shown = (clip.height, clip.width) if clip.rotation % 180 else (clip.width, clip.height)
    return shown[1] > shown[0]


def _rotation_hint(wide: Clip, ultra: Clip) -> str:
    """Return advice for clips whose rotation differs: a changed flag, or a rotated picture."""
    turned = next((clip for clip in (wide, ultra) if not clip.rotation), wide)
    if (wide.width > wide.height) == (ultra.width > ultra.height):
        return "Are both from one recording? If so, set the rotation flag of one to the other's."
    return (
        f"Are both from one recording? If so, the picture of {turned.path.name} was rotated by an editor: "
        "use the clip as the phone recorded it."
    )
