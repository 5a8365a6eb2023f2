"""Alignment of a clip with its reference, as `asled deblur` does it or as the paper does."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import islice
from typing import Any

from asled_cli.deconvolution.clip_file import has_blended_sample
from asled_cli.errors import InputError
from asled_cli.job.blur.gaps import find_gaps
from asled_cli.job.blur.plan import DEBLUR_ALL, BlurPlan, plan_blur
from asled_cli.job.sampling import run_starts, sharpness_count
from asled_cli.job.tally import registration_info
from asled_cli.lab.scoring.clips import ScoreClip
from asled_cli.lab.scoring.config import Alignment
from asled_cli.registration.analyse import register_clip
from asled_cli.registration.geometry.canvas import reduce_for_analysis
from asled_cli.registration.geometry.lenses import COMMON_FOV_RATIO, LensPrior
from asled_cli.registration.model.registration import Registration
from asled_cli.registration.render import render_references
from asled_cli.registration.rendering.aligned_frame import AlignedFrame, without_reference
from asled_cli.registration.rendering.centre_crop import crop_reference
from asled_cli.sync.lens_order import find_ratio
from asled_cli.video.decode.pixel_format import to_16_bit
from asled_cli.video.frames import FramePair

STILL_REPEATS = 3  # frames of the still clip that registration gets for a single image
_MOMENTS = 4  # pairs in which the ratio of the fields of view is looked for
BYTES_PER_VALUE = 2  # frames in the pipeline are 16 bit


@dataclass(frozen=True)
class AlignedClip:
    """Clip with its reference, ready for the restorers.

    frames: each once, in order. blur_plan: where the target is sharp and stays unchanged. metadata: readable
    results of the registration.
    """

    frames: Iterator[AlignedFrame]
    blur_plan: BlurPlan = DEBLUR_ALL
    metadata: dict[str, Any] = field(default_factory=dict)


def align_clip(clip: ScoreClip, alignment: Alignment, fov_ratio: float | None) -> AlignedClip:
    """Align the reference of `clip` with its target, and find where the target needs deblurring.

    Memory: the sample of the analysis and the window of the renderer. A clip without a reference, or with
    fewer than two frames that have one, is returned unaligned.
    """
    if clip.reference is None or not any(clip.has_reference(i) for i in range(clip.frames)):
        return AlignedClip(
            map(without_reference, clip.pairs(range(clip.frames))), metadata={"registration": "no reference"}
        )
    if alignment == "centre-crop":
        ratio = fov_ratio or COMMON_FOV_RATIO
        return AlignedClip(crop_reference(pair, ratio) for pair in clip.pairs(range(clip.frames)))
    try:
        registration = _analyse(clip, fov_ratio)
    except InputError as error:  # too little to go by
        return AlignedClip(
            map(without_reference, clip.pairs(range(clip.frames))), metadata={"registration": error.message}
        )
    blur_plan = _plan_blur(clip, registration)
    metadata = {"registration": registration_info(registration), "actions": list(blur_plan.actions)}
    return AlignedClip(_render(clip, registration), blur_plan, metadata)


def _plan_blur(clip: ScoreClip, registration: Registration) -> BlurPlan:
    """Return the blur plan of a deblurring run, from as many sample frames."""
    count = min(clip.frames, sharpness_count(clip.frames / clip.fps))
    moments = [(2 * i + 1) * clip.frames // (2 * count) for i in range(count)]
    reference = clip.reference
    assert reference is not None

    def blended() -> bool:
        return has_blended_sample(len(reference), lambda index: to_16_bit(reference[index]))

    plan = plan_blur(map(reduce_for_analysis, clip.pairs(moments)), registration, blended=blended)
    if not registration.accepted:
        return plan
    there = [clip.has_reference(i) for i in range(clip.frames)]
    return replace(plan, gaps=find_gaps([i / clip.fps for i in range(clip.frames)], there))


def _analyse(clip: ScoreClip, fov_ratio: float | None) -> Registration:
    """Run the analysis pass of a deblurring run on the same choice of frames."""
    assert clip.reference is not None
    runs = [[reduce_for_analysis(pair) for pair in clip.pairs(run)] for run in _runs(clip)]
    if clip.frames == 1:
        runs = [_standing_still(runs[0][0])]
    return register_clip(
        runs,
        lambda: nullcontext(clip.pairs(range(clip.frames))),
        _prior(runs, fov_ratio),
        sizes=(clip.target.size, clip.reference.size),
    )


def _prior(runs: Sequence[Sequence[FramePair]], fov_ratio: float | None) -> LensPrior:
    """Return what is known of the lenses: the ratio that is given, or else that of the pictures."""
    if fov_ratio is not None:
        return LensPrior(fov_ratio, source="given")
    pairs = [pair for run in runs for pair in run if pair.reference is not None]
    spread = pairs[:: max(1, len(pairs) // _MOMENTS)][:_MOMENTS]
    found = find_ratio(spread) if spread else None
    return LensPrior() if found is None else LensPrior(found, source="from the pictures")


def _runs(clip: ScoreClip) -> list[range]:
    assert clip.reference is not None
    pixels = sum(width * height for width, height in (clip.target.size, clip.reference.size))
    starts, length = run_starts(Fraction(0), Fraction(clip.frames), Fraction(1), pixels * 3 * BYTES_PER_VALUE)
    return [range(round(start), min(clip.frames, round(start) + length)) for start in starts]


def _render(clip: ScoreClip, registration: Registration) -> Iterator[AlignedFrame]:
    if clip.frames == 1:
        still = _standing_still(next(clip.pairs(range(1))))
        return islice(render_references(still, registration), 1)
    return render_references(clip.pairs(range(clip.frames)), registration)


def _standing_still(pair: FramePair) -> list[FramePair]:
    """Return one pair as a clip of a scene without motion."""
    return [
        FramePair(
            replace(pair.target, index=i, pts=i, time=Fraction(i, 30)),
            None if pair.reference is None else replace(pair.reference, index=i, pts=i, time=Fraction(i, 30)),
        )
        for i in range(STILL_REPEATS)
    ]
