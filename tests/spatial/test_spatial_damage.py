"""Spatial clips that are damaged or not what they declare: one sentence, or the main view alone."""

from dataclasses import replace
from pathlib import Path

import pytest
from factories.heic import make_spatial_photo
from factories.spatial import FULL, Views, damage_second_view, make_spatial_clip
from spatial.test_spatial_job import BLURRED, FRAMES, SHARP, error_of, frames_of, known

from asled_cli.errors import AsledError, InputError
from asled_cli.job.config import DeblurConfig
from asled_cli.job.inspect import inspect_pair
from asled_cli.pipeline import Steps
from asled_cli.spatial.run import run_job
from asled_cli.video.decode.open_clip import open_clip
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.mp4_boxes import read_tracks

VIEWS = replace(FULL, pictures=(BLURRED, SHARP), sound=False)


def job(source: Path, **options: object) -> DeblurConfig:
    return replace(DeblurConfig(source, out=source.with_name("out.mov"), method="swap"), **options)


@pytest.mark.parametrize("damage", ["zeros", "lost"])
def test_damage_inside_the_second_view_costs_only_frames_of_it(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = make_spatial_clip(tmp_path / "in.mov", views=replace(VIEWS, keyframes=4))
    damage_second_view(source, [5], damage)
    result = run_job(job(source), steps=Steps(analyse=known))
    before, after = probe_clip(source), probe_clip(tmp_path / "out.mov")
    assert after.views == 2 and len(frames_of(after, 0)) == FRAMES
    assert len(frames_of(after, 1)) == len(frames_of(before, 1)) == FRAMES - 3  # up to the next keyframe
    assert result.problems == {"in.mov, view 2 (left eye): lost frames": 3}
    assert error_of(after, 0) < 0.8 * error_of(before, 0)
    assert "second views: 9" in caplog.text


@pytest.mark.parametrize("damage", ["zeros", "lost"])
def test_strict_does_not_accept_damage_inside_the_second_view(tmp_path: Path, damage: str) -> None:
    source = make_spatial_clip(tmp_path / "in.mov", views=replace(VIEWS, keyframes=4))
    damage_second_view(source, [5], damage)
    with pytest.raises(AsledError) as caught:
        run_job(job(source, strict=True), steps=Steps(analyse=known))
    if damage == "zeros":  # only decoding shows it
        assert "out.mov is complete, but --strict does not accept it" in caught.value.message
        assert (tmp_path / "out.mov").exists()
    else:
        assert "missing in 1 of 12 frames" in caught.value.message
    assert not list(tmp_path.glob(".*")) and "--resume" not in caught.value.hint


def test_views_of_unequal_length_are_named_and_refused_if_strict(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = make_spatial_clip(tmp_path / "in.mov", views=replace(VIEWS, second=8))
    with pytest.raises(InputError, match="second view is missing in 4 of 12 frames"):
        run_job(job(source, strict=True), steps=Steps(analyse=known))
    assert not (tmp_path / "out.mov").exists()
    run_job(job(source), steps=Steps(analyse=known))
    missing = "second view is missing in 4 of 12 frames"
    assert missing in caplog.text
    assert missing in " ".join(inspect_pair(DeblurConfig(source, source)).as_dict()["notes"])
    after = probe_clip(tmp_path / "out.mov")
    assert [len(frames_of(after, number)) for number in (0, 1)] == [12, 8]


@pytest.mark.parametrize("views", [replace(VIEWS, second=0), replace(VIEWS, layers=3)], ids=["lone", "three"])
def test_what_has_no_second_view_is_used_as_one_clip(
    tmp_path: Path, views: Views, caplog: pytest.LogCaptureFixture
) -> None:
    source = make_spatial_clip(tmp_path / "in.mov", views=views)
    with pytest.raises(InputError, match=r"second view of in\.mov is missing or cannot be decoded"):
        run_job(job(source))
    for dry in (True, False):
        with pytest.raises(InputError, match="main view"):
            run_job(job(source, method="auto", strict=True, dry_run=dry))
    result = run_job(job(source, method="auto"))
    assert result.plan.choice.method == "single" and any("main view" in note for note in result.plan.notes)
    run_job(job(source, method="single", start_s=0.1, out=tmp_path / "part.mov"))
    part = probe_clip(tmp_path / "part.mov")
    assert part.views == 1 and not part.spatial and not part.warnings
    boxes = next(iter(read_tracks(tmp_path / "part.mov").values())).view_boxes
    assert not {b"lhvC", b"vexu"} & set(boxes)


def test_a_view_without_any_picture_that_can_be_decoded_is_missing(tmp_path: Path) -> None:
    source = damage_second_view(make_spatial_clip(tmp_path / "in.mov", views=VIEWS), range(FRAMES), "zeros")
    assert "second view is missing or cannot be decoded" in probe_clip(source).warnings[0]


@pytest.mark.parametrize("brand", [b"heic", b"mif1", b"MiHB", b"xxxx"])
@pytest.mark.parametrize("name", ["IMG_0001.mov", "wide.mp4", "IMG_0001.HEIC"])
def test_a_spatial_photo_named_as_a_clip_is_refused(tmp_path: Path, name: str, brand: bytes) -> None:
    photo = make_spatial_photo(tmp_path / name, brand)
    with pytest.raises(InputError, match="is a photo, expected a clip"):
        open_clip(photo)
    with pytest.raises(InputError, match="is a photo, expected a clip"):
        run_job(DeblurConfig(photo, out=tmp_path / "out.mov"))
