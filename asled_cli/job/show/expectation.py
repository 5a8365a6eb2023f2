"""What a plan tells the user to expect of a clip's own frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asled_cli.deconvolution.exposure import ExposureFit

_UNKNOWN = "show no blur that they can undo: they are sharp, or their motion is not clear"


def of_one_clip(exposure: ExposureFit | None, strength: float) -> str:
    """Return what to expect of one clip alone; empty before its exposure was measured."""
    if exposure is None:
        return ""
    if strength == 0:
        return "nothing will be changed: --strength is 0"
    if exposure.exposure <= 0:
        return f"nothing will be changed: its frames {_UNKNOWN}"
    if exposure.blended:
        return (
            f"each frame is a blend of {exposure.blended} frames: the middle one is restored where its "
            f"motion is clear ({_known(exposure)})"
        )
    if exposure.motion == "scene":
        return f"blur by motion is removed where the motion is clear, sharp frames stay ({_known(exposure)})"
    return (
        "blur by camera shake is removed, objects that move by themselves and sharp frames stay "
        f"({_known(exposure)})"
    )


def of_network_alone(removes: str) -> str:
    """Return what to expect of a network that takes one clip. removes: the blur it was made for."""
    if removes == "defocus":
        return "what is out of focus is made sharper; blur by motion stays, and no second lens is used"
    return (
        "blur by motion is removed as the network has learned it; frames that move less than a pixel "
        "while the shutter is open stay, and no second lens is used"
    )


def of_pair(exposure: ExposureFit | None) -> str:
    """Return what to expect of a pair's own frames; empty where they are not inverted."""
    if exposure is None:
        return ""
    if exposure.exposure <= 0:
        return f"the ultra clip alone can help: the frames of the wide clip {_UNKNOWN}"
    kind = "blending" if exposure.blended else "motion" if exposure.motion == "scene" else "camera shake"
    return (
        f"blur by {kind} is removed from the wide clip's own frames too, also where the ultra clip "
        f"cannot help ({_known(exposure)})"
    )


def _known(exposure: ExposureFit) -> str:
    if exposure.motion == "scene":
        return f"clear: {exposure.explained:.0%} of the picture"
    return f"explained: {exposure.explained:.0%} of how neighbouring frames differ"
