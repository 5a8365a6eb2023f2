"""Checks of the order of frames: repeated, exchanged, backwards, early and late frames."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from asled_cli.video.preserve.checks.frame_pairs import SourceFrame
from asled_cli.video.preserve.checks.frame_signature import Signature
from asled_cli.video.preserve.checks.signature_match import difference, misfit, same_change

MIN_SPREAD = 3.0  # levels; the correlation of a flatter picture is meaningless
FROZEN = 0.15  # share of the source's change below which a frame repeats the one before
MOVING = 2.0  # levels RMS of change from which the source moves
GROWN = 0.3  # share of the squared change by which the misfit of a repeated frame grows
MOSTLY = 0.5  # share of the moving frames; so many faults cannot be chance
BACKWARDS = -0.15  # correlation of the change between two frames with that in the source
MAX_MISFIT_RATIO = 0.97  # squares towards a neighbour over squares towards the own frame, for a late clip
MIN_MOVING_FRAMES = 8  # for the same
MIN_CHANGE_RATIO = 2.0  # change over the usual residual, for a fault of order


@dataclass(slots=True)
class Findings:
    """Faults per check: frame number and description."""

    compared: int = 0
    faults: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    out_of_order: list[tuple[int, str, float]] = field(default_factory=list)  # with the change, levels
    min_sharpness: float = 0.0  # ratio to the source
    moving: int = 0  # frames
    residuals: list[float] = field(default_factory=list)  # of each frame to the best source frame, levels RMS
    # By distance: moving frames, squares towards that neighbour and towards the own frame, change in levels.
    misfits: dict[int, tuple[int, float, float, float]] = field(default_factory=dict)

    def add(self, check: str, frame: int, seen: str) -> None:
        """Add a fault of one frame. seen: description."""
        self.faults.setdefault(check, []).append((frame, seen))


def wrong_change(
    before: tuple[SourceFrame, Signature], now: tuple[SourceFrame, Signature]
) -> tuple[str, float] | None:
    """Return a description of a wrong change between two frames, and the source's change in levels, or None.

    before, now: source frame and signature of the copy.
    """
    source = before[0].signature.luma, now[0].signature.luma
    copy = before[1].luma, now[1].luma
    motion = difference(*source)
    if motion < MOVING:
        return None
    if difference(*copy) < FROZEN * motion:
        # If the source changes only by noise, a denoised copy is still and fits as well as before.
        grown = misfit(source[1], copy[1]) - misfit(source[0], copy[0])
        return ("repeats the frame before", motion) if grown > GROWN * motion**2 * copy[1].size else None
    return ("moves backwards", motion) if same_change(source, copy) < BACKWARDS else None


def add_misfits(source_frame: SourceFrame, out: Signature, findings: Findings) -> None:
    """Add the misfit of the frame to its own source frame and to each neighbour."""
    own = misfit(source_frame.signature.luma, out.luma)
    theirs = {distance: misfit(other.luma, out.luma) for distance, other in source_frame.around.items()}
    if float(source_frame.signature.luma.std()) > MIN_SPREAD:
        findings.residuals.append(math.sqrt(min([own, *theirs.values()]) / out.luma.size))
    for distance, other in source_frame.around.items():
        motion = difference(other.luma, source_frame.signature.luma)
        findings.moving += distance == -1 and motion >= MOVING
        if motion >= MOVING:
            count, there, here, moved_by = findings.misfits.get(distance, (0, 0.0, 0.0, 0.0))
            findings.misfits[distance] = count + 1, there + theirs[distance], here + own, moved_by + motion


def out_of_order(findings: Findings) -> Iterator[tuple[int, str]]:
    """Yield number and fault of the frames whose order compression cannot explain.

    Strong compression also repeats blocks of the frame before, but then all frames have a large misfit.
    """
    most = len(findings.out_of_order) >= MOSTLY * max(1, findings.moving)
    for frame, fault, change in findings.out_of_order:
        if change > MIN_CHANGE_RATIO * _usual_misfit(findings) or most:
            yield frame, fault


def late_by(findings: Findings) -> int:
    """Return by how many frames all pictures are early (positive) or late (negative), 0 if in time."""
    known = {
        distance: theirs / own
        for distance, (count, theirs, own, change) in findings.misfits.items()
        if count >= MIN_MOVING_FRAMES and own and change / count > MIN_CHANGE_RATIO * _usual_misfit(findings)
    }
    best = min(known, key=lambda distance: known[distance], default=0)
    return best if best and known[best] < MAX_MISFIT_RATIO else 0


def _usual_misfit(findings: Findings) -> float:
    """Return the 10th percentile of the residual of frames to the best source frame, levels RMS."""
    ordered = sorted(findings.residuals)
    return ordered[len(ordered) // 10] if ordered else 0.0
