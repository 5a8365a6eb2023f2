"""The files of a spatial job: a view that is not deblurred, and the joined result with its checks."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from asled_cli.errors import AsledError
from asled_cli.job.records import DeblurPlan, JobReport
from asled_cli.progress import Progress
from asled_cli.video.decode.reader import ClipReader
from asled_cli.video.encode.encoder import EncodeConfig
from asled_cli.video.encode.spatial_movie import join_views, unchanged_encoding
from asled_cli.video.encode.writer import ClipWriter
from asled_cli.video.frames import Clip
from asled_cli.video.preserve.verify import Check, verify

log = logging.getLogger(__name__)


def write_unchanged(
    clip: Clip, view: int, path: Path, encode: EncodeConfig, plan: DeblurPlan, report: JobReport
) -> None:
    """Encode a view of `clip` as it is, so that it fits to the other one. Raises AsledError."""
    own = replace(clip, view=view)
    start, end = plan.wide_range
    encode = replace(unchanged_encoding(encode), overwrite=True)
    with (
        ClipReader(own, start_s=start, end_s=end) as frames,
        ClipWriter(own, path, encode, start_s=start, end_s=end, part_of_two=True) as writer,
    ):
        for count, frame in enumerate(frames, 1):
            writer.write(frame, None)
            report(Progress("encode", count, plan.frames))


def join_and_check(plan: DeblurPlan, views: Sequence[Path], done: Path) -> tuple[list[str], list[Check]]:
    """Write the joined movie `done`; return the tracks that it lacks and the checks that differ."""
    clip, (start, end) = plan.wide, plan.wide_range
    dropped = join_views(clip, views, done, start_s=start, end_s=end)
    try:
        checks = verify(clip.path, done, track=clip.track, start_s=start, end_s=end)
    except AsledError as error:  # the source may have been removed, which is no fault of the file
        checks = [Check("check against the source", "possible", error.message, same=False)]
    differences = [check for check in checks if not check.same]
    for check in differences:
        if check.vital:
            log.warning(
                "%s differs from what was to be written: %s: %s, expected %s",
                *(plan.out, check.name, check.found, check.expected),
            )
    return dropped, differences
