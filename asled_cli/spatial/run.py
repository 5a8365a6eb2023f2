"""The job on a spatial clip: one job per view with the other one as reference, both results in one file.

Any other clip goes straight to the pipeline. Each view's job keeps its unfinished work in the hidden folder
of the output, so an interrupted job is resumed view by view.
"""

import json
import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from asled_cli.errors import AsledError, InputError, UsageError
from asled_cli.job.config import DeblurConfig
from asled_cli.job.match import lost_second_views
from asled_cli.job.plan import make_plan, report_if_strict
from asled_cli.job.records import DeblurPlan, DeblurResult, Event, JobReport
from asled_cli.job.resume.command import resume_command
from asled_cli.job.resume.inputs import fingerprint, is_same
from asled_cli.pipeline import NoHelpError, Steps, run_deblur
from asled_cli.progress import ignore
from asled_cli.runtime.atomic_file import cannot_write, publish
from asled_cli.spatial.roles import wide_view
from asled_cli.spatial.write import join_and_check, write_unchanged
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.decode.video_tracks import count_video_tracks
from asled_cli.video.encode.encoder import EncodeConfig
from asled_cli.video.encode.spatial_movie import check_spatial_output, spatial_encoding
from asled_cli.video.frames import Clip
from asled_cli.video.output_file import check_output, default_output, work_folder

_FOR_ONE_VIEW = {"truth": "--truth", "compare": "--compare", "report": "--report"}
_COUNTS = ("frames_written", "frames_changed", "frames_without_reference", "frames_unchanged", "copied")
_RESULT = "view{}.json"

log = logging.getLogger(__name__)


def run_job(config: DeblurConfig, report: JobReport = ignore, *, steps: Steps | None = None) -> DeblurResult:
    """Deblur what is named: two clips, one clip alone, or both views of a spatial clip. Raises AsledError."""
    clip = _spatial_clip(config)
    if clip is None:
        _refuse_view_options(config)
        return run_deblur(config, report, steps=steps)
    if config.exposure_s is not None:
        raise UsageError(
            f"--exposure concerns two files, but {clip.path.name} holds both views.",
            "Drop --exposure and --ultra-exposure.",
        )
    _check_second_view(clip, strict=config.strict)
    targets, outputs = _choose_views(clip, config)
    if len(outputs) == 1:
        view = outputs[0]
        if view not in targets:
            raise UsageError(
                "--target and --output-views name different views, so nothing would be deblurred.",
                "Name the same view for both.",
            )
        return _run_view(_of_view(config, view), report, steps)
    return _Spatial(clip, config, targets, report, steps).run()


def is_spatial(config: DeblurConfig) -> bool:
    """Return whether the job is on both views of a spatial clip. Raises InputError as `probe_clip`."""
    return _spatial_clip(config) is not None


def _spatial_clip(config: DeblurConfig) -> Clip | None:
    """Return the clip if it is one track with two views, of which none is chosen; else None."""
    if config.view is not None or config.ultra not in (None, config.wide):
        return None
    if count_video_tracks(config.wide) != 1:
        return None
    clip = probe_clip(config.wide)
    return clip if clip.views > 1 else None


def _check_second_view(clip: Clip, *, strict: bool) -> None:
    """Warn of frames that lack the second view. Raises InputError for them if `strict`."""
    for sentence in lost_second_views(clip):
        if strict:
            raise InputError(sentence, "Without --strict this would be a warning.")
        log.warning(sentence)


def _refuse_view_options(config: DeblurConfig) -> None:
    if config.output_views != "auto":
        raise UsageError(
            f"--output-views concerns spatial video, but {config.wide.name} has no two views.", "Drop it."
        )
    if config.target == "both":
        raise UsageError(
            "--target both concerns spatial video: of two clips one is deblurred at a time.",
            "Run once with --target wide and once with --target ultra.",
        )


def _choose_views(clip: Clip, config: DeblurConfig) -> tuple[list[int], list[int]]:
    """Return the views to deblur and the views to write. Raises UsageError where they do not fit."""
    named = {config.target, config.output_views} & {"wide", "ultra"}
    wide = 0
    if named:
        wide, why = wide_view(clip)
        log.info("%s: view %d is that of the wide lens (%s).", clip.path.name, wide + 1, why)
    views = {"wide": [wide], "ultra": [1 - wide], "both": [0, 1]}
    outputs = views.get(config.output_views, [0, 1])
    return views.get(config.target, outputs if len(outputs) == 1 else [0, 1]), outputs


def _of_view(config: DeblurConfig, view: int) -> DeblurConfig:
    return replace(config, ultra=None, view=view, target="auto", output_views="auto")


def _run_view(config: DeblurConfig, report: JobReport, steps: Steps | None) -> DeblurResult:
    """Deblur one view with the other one's help; alone where the other one is not sharper."""
    try:
        return run_deblur(config, report, steps=steps)
    except NoHelpError as error:
        log.warning("%s It is deblurred from its own frames.", error.message)
        alone = replace(
            config, method="single", model=None, weights=None, chunk=None, overlap=None, tile=None
        )
        alone = replace(alone, offset_s=None, fov_ratio=None, lens_order="auto", resume=False)
        return run_deblur(alone, report, steps=steps)


@dataclass
class _Spatial:
    """A job whose result is spatial video. targets: views to deblur; the other one is encoded unchanged."""

    clip: Clip
    config: DeblurConfig
    targets: Sequence[int]
    report: JobReport
    steps: Steps | None

    def __post_init__(self) -> None:
        config = self.config
        self.out = config.out or default_output(self.clip.path)
        self.folder = work_folder(self.out)
        self.encode = config.encode or EncodeConfig()
        self.view_encode = spatial_encoding(self.clip, self.encode)

    def run(self) -> DeblurResult:
        """Deblur, encode and join the views."""
        began = time.monotonic()
        self._check()
        if self.config.dry_run:
            plans = [
                _run_view(self._config_of(view, self.out), self._shown, self.steps) for view in self.targets
            ]
            return plans[0]
        self._make_folder()
        try:
            results = {view: self._deblur(view) for view in self.targets}
            result = self._finish(results)
        except AsledError as error:
            if any(self.folder.iterdir()):
                error.hint = f"Continue with: {resume_command(self.config)}"
            raise
        shutil.rmtree(self.folder, ignore_errors=True)
        report_if_strict(result)
        return replace(result, wall_s=time.monotonic() - began)

    def _check(self) -> None:
        for name, option in _FOR_ONE_VIEW.items():
            if getattr(self.config, name) is not None:
                raise UsageError(
                    f"{option} concerns one view, but both views of {self.clip.path.name} are written.",
                    f"Drop {option}, or add --output-views wide.",
                )
        if self.config.strict and self.clip.warnings:
            raise InputError(self.clip.warnings[0], "Without --strict this would be a warning.")
        check_spatial_output(self.out)
        check_output(self.out, [self.clip.path], self.encode.overwrite)

    def _make_folder(self) -> None:
        """Make the folder of the unfinished work, or take over an older one."""
        if self.config.resume and not self.folder.is_dir():
            raise UsageError(
                f"There is no unfinished work on {self.out} to resume.", "Run without --resume to begin."
            )
        if self.folder.is_dir() and not self.config.resume:
            if any(self.folder.iterdir()) and not self.encode.overwrite:
                raise UsageError(
                    f"{self.out} was begun before.",
                    "Pass --resume to continue, or --overwrite to start over.",
                )
            shutil.rmtree(self.folder)
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise cannot_write(self.out, error, UsageError) from error

    def _config_of(self, view: int, out: Path) -> DeblurConfig:
        encode = replace(self.view_encode, overwrite=True)
        return replace(_of_view(self.config, view), out=out, encode=encode, part_of_two=True)

    def _path(self, view: int) -> Path:
        return self.folder / f"view{view}{self.out.suffix.lower()}"

    def _shown(self, event: Event) -> None:
        """Report an event; a plan with the name of the real output."""
        self.report(replace(event, out=self.out) if isinstance(event, DeblurPlan) else event)

    def _deblur(self, view: int) -> DeblurResult:
        """Return the result of one view, of this run or of the one that is resumed."""
        config = self._config_of(view, self._path(view))
        kept = self._kept(config, view) if self.config.resume else None
        if kept is not None:
            return kept
        begun = work_folder(config.out).is_dir() if config.out is not None else False
        result = _run_view(replace(config, resume=self.config.resume and begun), self._shown, self.steps)
        record = {
            "input": fingerprint(self.clip.path),
            "settings": _settings(config),
            "counts": {name: getattr(result, name) for name in _COUNTS},
        }
        (self.folder / _RESULT.format(view)).write_text(json.dumps(record))
        return result

    def _kept(self, config: DeblurConfig, view: int) -> DeblurResult | None:
        """Return the result that an earlier run finished with the same settings, None without one."""
        try:
            record = json.loads((self.folder / _RESULT.format(view)).read_text())
            counts = {name: record["counts"][name] for name in _COUNTS}
            same = is_same(record["input"], fingerprint(self.clip.path))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if not same or record["settings"] != _settings(config):
            return None
        if not counts["copied"] and not self._path(view).is_file():
            return None
        plan = make_plan(config)
        return DeblurResult(plan=plan, out=plan.out, **counts)

    def _finish(self, results: dict[int, DeblurResult]) -> DeblurResult:
        """Write the output from the views, or as a copy of the source where neither changed."""
        unchanged = all(result.copied for result in results.values())
        done = self.folder / f"joined{self.out.suffix.lower()}"
        done.unlink(missing_ok=True)
        first = next(iter(results.values()))
        plan = replace(first.plan, config=self.config, out=self.out)
        dropped: Sequence[str] = ()
        result = first
        if unchanged and replace(self.encode, overwrite=False) == EncodeConfig():
            try:
                shutil.copyfile(self.clip.path, done)
            except OSError as error:
                raise cannot_write(self.out, error) from error
        else:
            for view in (0, 1):
                if view not in results or results[view].copied:
                    write_unchanged(self.clip, view, self._path(view), self.view_encode, plan, self.report)
            dropped, differences = join_and_check(plan, [self._path(view) for view in (0, 1)], done)
            result = replace(first, differences=differences)
        try:
            publish(done, self.out, self.encode.overwrite)
        except OSError as error:
            raise cannot_write(self.out, error) from error
        return replace(
            result,
            plan=plan,
            out=self.out,
            frames_changed=sum(each.frames_changed for each in results.values()),
            frames_without_reference=sum(each.frames_without_reference for each in results.values()),
            frames_unchanged=sum(each.frames_unchanged for each in results.values()),
            copied=unchanged,
            problems={name: n for each in results.values() for name, n in each.problems.items()},
            dropped_tracks=tuple(dropped),
            views=tuple(results.values()),
        )


def _settings(config: DeblurConfig) -> str:
    """Return what decides about the frames of a view, as text."""
    values = asdict(replace(config, resume=False, dry_run=False, strict=False))
    return repr(sorted((name, str(value)) for name, value in values.items()))
