"""Batches with spatial clips: both views in the results, and the choice of views for them alone."""

import json
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from factories.small_pair import make_pair
from factories.spatial import FULL, make_spatial_clip
from spatial.test_spatial_job import BLURRED, SHARP, error_of, frames_of, known

from asled_cli.cli.app import main
from asled_cli.job.batch.pairs import BatchPair, with_views
from asled_cli.job.batch.remote import Remote
from asled_cli.job.batch.run import run_batch
from asled_cli.job.batch.versions import versions
from asled_cli.job.config import DeblurConfig
from asled_cli.pipeline import Steps
from asled_cli.spatial.run import run_job
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.mp4_boxes import read_tracks
from asled_cli.video.preserve.verify import verify

VIEWS = replace(FULL, pictures=(BLURRED, SHARP))


@pytest.mark.slow
def test_a_batch_ends_in_spatial_results_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    clips, out = tmp_path / "clips", tmp_path / "out"
    (clips / "walk").mkdir(parents=True)
    source = make_spatial_clip(clips / "walk" / "IMG_0007.MOV", views=VIEWS)
    command = ["batch", str(clips), "-o", str(out), "--method", "swap", "--quiet"]
    assert main(command) == 0
    result = out / "walk_deblurred.MOV"
    before, after = probe_clip(source), probe_clip(result)
    assert after.views == 2 and after.stereo == before.stereo
    assert error_of(after, 0) < 0.6 * error_of(before, 0)
    for number in (0, 1):
        assert [f.time for f in frames_of(after, number)] == [f.time for f in frames_of(before, number)]
    assert all(check.same for check in verify(source, result))
    kinds = [list(next(iter(read_tracks(path).values())).view_boxes) for path in (source, result)]
    assert kinds[0] == kinds[1]
    assert main(command) == 0
    (row,) = json.loads((out / "asled_batch.json").read_text())
    assert row["status"] == "exists"


@pytest.mark.slow
def test_views_are_chosen_for_spatial_clips_alone(tmp_path: Path) -> None:
    clips, out = tmp_path / "clips", tmp_path / "out"
    clips.mkdir()
    make_spatial_clip(clips / "IMG_0007.MOV", views=replace(VIEWS, sound=False))
    make_pair(clips)
    (clips / "truth.mp4").unlink()
    command = ["batch", str(clips), "-o", str(out), "--method", "swap", "--quiet"]
    assert main([*command, "--target", "both", "--output-views", "wide"]) == 0
    rows = json.loads((out / "asled_batch.json").read_text())
    assert [row["status"] for row in rows] == ["done", "done"]
    assert probe_clip(out / "IMG_0007_deblurred.MOV").views == 1
    assert probe_clip(out / "wide_deblurred.mp4").views == 1


class Here:
    """Stands for the workers of a cluster: does each job at once."""

    size = 1

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        done: Future[Any] = Future()
        done.set_result(function(*arguments))
        return done

    def close(self) -> None:
        """Nothing to end."""


def test_jobs_of_a_cluster_end_in_spatial_results_too(tmp_path: Path) -> None:
    source = make_spatial_clip(tmp_path / "in.mov", views=VIEWS)
    config = DeblurConfig(source, source, method="swap")
    job = partial(run_job, steps=Steps(analyse=known))
    pair = with_views(BatchPair(source, source, "out.mov"), "both", "both")
    (row,) = run_batch([pair], tmp_path / "out", remote=Remote(Here, config, versions("swap"), job))
    assert row.status == "done" and row.message == ""
    result = tmp_path / "out" / "out.mov"
    assert probe_clip(result).views == 2
    assert error_of(probe_clip(result), 0) < 0.6 * error_of(probe_clip(source), 0)


@pytest.mark.parametrize(
    ("target", "views", "spatial", "flat"),
    [
        ("auto", "auto", (), ()),
        ("both", "both", ("--target=both", "--output-views=both"), ()),
        ("ultra", "wide", ("--target=ultra", "--output-views=wide"), ("--target=ultra",)),
        ("wide", "auto", ("--target=wide",), ("--target=wide",)),
    ],
)
def test_settings_of_views(
    tmp_path: Path, target: str, views: str, spatial: tuple[str, ...], flat: tuple[str, ...]
) -> None:
    one = make_spatial_clip(tmp_path / "in.mov", frames=3)
    assert with_views(BatchPair(one, one, "o.mov"), target, views).options == spatial
    pair = BatchPair(one, tmp_path / "ultra.mov", "o.mov")
    assert with_views(pair, target, views).options == flat
    assert with_views(BatchPair(one, None, "o.mov"), target, views).options == ()


def test_the_page_and_the_library_know_both_views(tmp_path: Path) -> None:
    """What others call is the job that knows spatial video."""
    import asled_cli
    from asled_cli.cli.web import job as page

    assert asled_cli.run_deblur is run_job and page.run_job is run_job
