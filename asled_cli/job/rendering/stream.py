"""The frames of a job as a stream: decode | pair | align | restore, from any place of the clip."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch

from asled_cli.deconvolution.exposure import NOT_BLURRED
from asled_cli.job.blur.plan import BlurPlan
from asled_cli.job.records import DeblurPlan
from asled_cli.job.resume.start_point import Start, skip_written
from asled_cli.job.tally import any_problem
from asled_cli.job.target import softened
from asled_cli.registration.model.registration import Registration
from asled_cli.registration.on_device.full_resolution import DevicePictures
from asled_cli.registration.on_device.fusion import DeviceFusion
from asled_cli.registration.render import ReferenceRenderer
from asled_cli.registration.render_stages import QUEUE, fuse_stages, registered_frames
from asled_cli.registration.rendering.aligned_frame import AlignedFrame
from asled_cli.registration.rendering.full_resolution import FullPictures, OpenCvPictures
from asled_cli.registration.rendering.fusion_pictures import OPENCV_FUSION, FusionPictures
from asled_cli.restoration.base import RestoredFrame, Restorer, restore
from asled_cli.restoration.one_clip import inverted_frames
from asled_cli.restoration.one_clip_frames import frames_alone
from asled_cli.restoration.own_frames import OwnFramesRestorer
from asled_cli.runtime.stages import Stage, closing_items
from asled_cli.video.decode.pairing import pair_frames
from asled_cli.video.decode.reader import ClipReader
from asled_cli.video.decode.track_decoder import ReadProblems
from asled_cli.video.frames import Frame


@dataclass(frozen=True, slots=True)
class Part:
    """The frames that a stream gives.

    skip: so many first ones are restored, but not given. count: of those that are given; None: all.
    """

    start: Start
    skip: int = 0
    count: int | None = None


@dataclass(frozen=True, slots=True)
class RestoredStream:
    """Restored frames, the stages that make them, and what the readers had to repair, by clip name."""

    frames: Stage[RestoredFrame]
    stages: list[Stage[Any]]
    problems: Mapping[str, ReadProblems]

    @property
    def damaged(self) -> bool:
        """Whether a reader had to skip or repair anything so far."""
        return any_problem(*self.problems.values())


@contextmanager
def pair_stream(
    plan: DeblurPlan, registration: Registration, restorer: Restorer, part: Part, blur_plan: BlurPlan
) -> Iterator[RestoredStream]:
    """Yield the stream of a pair. Leaving the context ends all its threads.

    blur_plan: limits what the reference may change.
    """
    start, name = part.start, plan.wide.path.name
    refining = OwnFramesRestorer(
        restorer,
        plan.exposure if plan.exposure and blur_plan.needs_own_frames else NOT_BLURRED,
        1 / plan.wide.average_rate,
        limit=blur_plan.limit,
        share=blur_plan.own_share,
        lends=blur_plan.lends_own,
        strength=plan.config.strength,
        workers=plan.inversion_threads,
        long_side=plan.inversion_px,
    )
    with (
        ClipReader(plan.wide, start_s=start.wide_s, end_s=plan.wide_range[1]) as wide,
        ClipReader(plan.pair.ultra, start_s=start.ultra_s, end_s=plan.ultra_range[1]) as ultra,
    ):
        wide_frames = Stage(wide, QUEUE, "decode wide")
        ultra_frames = Stage(ultra, QUEUE, "decode ultra")
        references = softened(ultra_frames, plan.wide, plan.pair.ultra, plan.pair.fov_ratio)
        pairs = Stage(pair_frames(wide_frames, references, plan.clock), QUEUE, "pair")
        # The network takes and gives whole chunks; with room for one on either side, no stage waits.
        room = max(QUEUE, plan.choice.chunk)
        pictures, fusion = _picture_work(plan, registration)
        renderer = ReferenceRenderer(registration, start.origin_s, start.align_tick, pictures)
        aligned = fuse_stages(
            registered_frames(pairs, renderer, plan.align_threads),
            "align",
            radius=plan.choice.reference_radius,
            threads=plan.align_threads,
            # On a CPU a full chunk before the network would only wait for the same cores.
            room=QUEUE if plan.choice.device == "cpu" else room,
            select=lambda frames: skip_written(frames, start, name, see=refining.see_pair),
            fusion=fusion,
        )
        restored = Stage(_of_part(restore(aligned[-1], refining), part), room, "restore")
        problems = {plan.wide.label: wide.problems, plan.pair.ultra.label: ultra.problems}
        with restored:  # closing the last stage closes all that feed it
            yield RestoredStream(restored, [wide_frames, ultra_frames, pairs, *aligned, restored], problems)


def _picture_work(
    plan: DeblurPlan, registration: Registration
) -> tuple[FullPictures[Any], FusionPictures[Any]]:
    """Return what does the work on full pictures: OpenCV, or torch on the device of the plan."""
    if plan.choice.pictures == "opencv":
        return OpenCvPictures(registration), OPENCV_FUSION
    device = torch.device(plan.choice.device)
    return DevicePictures(registration, device), DeviceFusion(device)


@contextmanager
def single_stream(plan: DeblurPlan, restorer: Restorer, part: Part) -> Iterator[RestoredStream]:
    """Yield the stream of one clip alone. Leaving the context ends all its threads."""
    start, name = part.start, plan.wide.path.name
    with ClipReader(plan.wide, start_s=start.wide_s, end_s=plan.wide_range[1]) as wide:
        frames = Stage(wide, QUEUE, "decode wide")
        # The network takes whole chunks, and the inversion continues meanwhile.
        seen = fuse_stages(
            _seen_alone(frames, plan),
            "invert",
            radius=0 if plan.choice.method == "network" else plan.choice.reference_radius,
            threads=1,
            room=max(QUEUE, plan.choice.chunk),
            select=lambda found: skip_written(found, start, name),
        )
        with Stage(_of_part(restore(seen[-1], restorer), part), QUEUE, "restore") as restored:
            yield RestoredStream(restored, [frames, *seen, restored], {name: wide.problems})


def _seen_alone(frames: Iterator[Frame], plan: DeblurPlan) -> Iterator[AlignedFrame]:
    """Yield the frames of one clip as what restores it sees them: with their inversions, or bare."""
    if plan.choice.method == "network":
        return frames_alone(frames, None if plan.choice.removes == "defocus" else plan.own_exposure)
    return inverted_frames(
        frames,
        plan.exposure or NOT_BLURRED,
        1 / plan.wide.average_rate,
        workers=plan.inversion_threads,
        long_side=plan.inversion_px,
    )


def _of_part(frames: Iterator[RestoredFrame], part: Part) -> Iterator[RestoredFrame]:
    """Yield the frames of a part; what would follow is not computed."""
    with closing_items(frames) as source:
        yield from islice(source, part.skip, None if part.count is None else part.skip + part.count)
