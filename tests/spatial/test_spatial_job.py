"""Spatial clips through the whole job: which view is deblurred, and what the written file keeps of both."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from factories.movie_tree import movie_tree
from factories.small_pair import HEIGHT, WIDTH, blurred, make_scene, view
from factories.spatial import FULL, PLAIN, Views, make_spatial_clip

from asled_cli.errors import InputError, UsageError
from asled_cli.job.config import DeblurConfig
from asled_cli.pipeline import Steps
from asled_cli.registration.geometry.lenses import LensPrior
from asled_cli.registration.model.exposure import MotionBlur
from asled_cli.registration.model.registration import Knot, Registration
from asled_cli.registration.model.tone_curve import identity_tone
from asled_cli.spatial.roles import wide_view
from asled_cli.spatial.run import run_job
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.decode.reader import ClipReader
from asled_cli.video.encode.encoder import EncodeConfig
from asled_cli.video.frames import Clip, Frame, FramePair
from asled_cli.video.mp4_boxes import read_tracks
from asled_cli.video.preserve.verify import verify

FRAMES = 12
SCENE = make_scene()
SHARP = [view(SCENE, i, 1.0) for i in range(FRAMES)]
BLURRED = [blurred(SCENE, i) for i in range(FRAMES)]


def known(runs: Sequence[Sequence[FramePair]], prior: LensPrior, *, accepted: bool = True) -> Registration:
    """Return the registration of two equal views without parallax."""
    size = (WIDTH, HEIGHT)
    assert prior.fov_ratio == 1
    field = np.zeros((HEIGHT, WIDTH, 2), np.float32)
    knot = Knot(0.2, np.eye(3), field, MotionBlur(2.0, 0.0))
    return Registration(size, size, 1 / 30, (knot,), identity_tone(), 0.01, 1.0, accepted)


def unfit(runs: Sequence[Sequence[FramePair]], prior: LensPrior) -> Registration:
    return known(runs, prior, accepted=False)


def frames_of(clip: Clip, number: int) -> list[Frame]:
    with ClipReader(replace(clip, view=number)) as frames:
        return list(frames)


def error_of(clip: Clip, number: int) -> float:
    """Return the mean square error of a view against the sharp scene, inside its edges."""
    pairs = zip(frames_of(clip, number)[2:-2], SHARP[2:-2], strict=True)
    inner = np.s_[16:-16, 16:-16]
    return float(np.mean([np.square(f.rgb[inner] / 257 - s[inner]).mean() for f, s in pairs]))


@pytest.mark.parametrize(
    ("views", "soft"),
    [
        (FULL, 0),
        (replace(FULL, eyes=("left", "right")), 1),
        (replace(FULL, depth=10, sound=False), 0),
        (PLAIN, 1),
    ],
    ids=["main view blurred", "second view blurred", "10 bit", "without boxes"],
)
def test_the_blurred_view_is_deblurred_and_both_are_kept(tmp_path: Path, views: Views, soft: int) -> None:
    pictures = (BLURRED, SHARP) if soft == 0 else (SHARP, BLURRED)
    source = make_spatial_clip(tmp_path / "in.mov", views=replace(views, pictures=pictures))
    config = DeblurConfig(source, out=tmp_path / "out.mov", method="swap")
    result = run_job(config, steps=Steps(analyse=known))
    before, after = probe_clip(source), probe_clip(tmp_path / "out.mov")
    assert [(v.plan.wide.view, v.frames_changed > 6) for v in result.views] == [
        (0, soft == 0),
        (1, soft == 1),
    ]
    assert after.views == 2 and after.stereo == before.stereo and after.bit_depth == views.depth
    assert error_of(after, soft) < 0.6 * error_of(before, soft)
    assert error_of(after, 1 - soft) < 1.1 * error_of(before, 1 - soft) + 2
    for number in (0, 1):
        assert [f.time for f in frames_of(after, number)] == [f.time for f in frames_of(before, number)]
    differing = [check for check in verify(source, tmp_path / "out.mov") if not check.same]
    assert not differing and not result.differences and not list(tmp_path.glob(".*"))
    boxes = [next(iter(read_tracks(path).values())).view_boxes for path in (source, tmp_path / "out.mov")]
    if views.boxes:
        assert list(boxes[0]) == list(boxes[1])
        assert all(boxes[0][kind] == boxes[1][kind] for kind in (b"vexu", b"hfov"))


@pytest.mark.parametrize("boxes", [True, False], ids=["boxes", "no boxes"])
@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("eyes", [("right", "left"), ("left", "right"), None], ids=str)
def test_boxes_of_the_result_are_those_of_the_source_in_kind_and_order(
    tmp_path: Path, eyes: tuple[str, str] | None, depth: int, boxes: bool
) -> None:
    pictures = (BLURRED[:4], SHARP[:4])
    views = Views(pictures, depth=depth, eyes=eyes, boxes=boxes, sound=True)
    source = make_spatial_clip(tmp_path / "in.mov", views=views)
    config = DeblurConfig(source, out=tmp_path / "out.mov", method="swap", encode=EncodeConfig(crf=20))
    assert not run_job(config, steps=Steps(analyse=known)).copied
    before, after = (movie_tree(tmp_path / name) for name in ("in.mov", "out.mov"))
    if not boxes:  # as FFmpeg writes it: a name of the entry that says that parameter sets are in the stream
        before = [name.replace("hev1", "hvc1") for name in before]
        after = [name for name in after if not name.endswith("/lhvC")]
    assert after == before
    assert probe_clip(tmp_path / "out.mov").stereo == probe_clip(source).stereo


def test_a_clip_without_a_change_is_copied_byte_for_byte(tmp_path: Path) -> None:
    source = make_spatial_clip(tmp_path / "in.mov", size=(WIDTH, HEIGHT), views=FULL)
    for name in ("out.mov", "out.mp4"):
        config = DeblurConfig(source, out=tmp_path / name, method="swap")
        assert run_job(config, steps=Steps(analyse=unfit)).copied
        assert (tmp_path / name).read_bytes() == source.read_bytes()


def test_a_view_that_nothing_helps_is_deblurred_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = make_spatial_clip(tmp_path / "in.mov", size=(WIDTH, HEIGHT))
    result = run_job(DeblurConfig(source, out=tmp_path / "out.mov"), steps=Steps(analyse=unfit))
    assert [v.plan.choice.method for v in result.views] == ["single", "single"]
    assert "from its own frames" in caplog.text


@pytest.mark.parametrize("chosen", ["wide", "ultra"])
def test_one_view_is_written_as_a_flat_clip(tmp_path: Path, chosen: str) -> None:
    noise = np.random.default_rng(3)
    noisy = [np.clip(p + noise.normal(0, 8, p.shape), 0, 255).astype(np.uint8) for p in SHARP]
    source = make_spatial_clip(tmp_path / "in.mov", views=Views(pictures=(noisy, BLURRED)))
    assert wide_view(probe_clip(source))[0] == 1  # the second view is that of the better lens
    config = DeblurConfig(source, out=tmp_path / "out.mkv", method="swap")
    config = replace(config, output_views=chosen, target=chosen)
    result = run_job(config, steps=Steps(analyse=known))
    assert result.plan.wide.view == (1 if chosen == "wide" else 0)
    assert probe_clip(tmp_path / "out.mkv").views == 1


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"out": Path("out.mkv")}, "no place for the second view"),
        ({"encode": EncodeConfig("h264")}, "MV-HEVC"),
        ({"encode": EncodeConfig(pix_fmt="yuv444p")}, "--pix-fmt"),
        ({"truth": Path("t.mov")}, "--truth"),
        ({"exposure_s": 0.01, "ultra_exposure_s": 0.01}, "--exposure concerns two files"),
        ({"target": "ultra", "output_views": "wide"}, "different views"),
    ],
)
def test_what_two_views_cannot_have_is_refused(tmp_path: Path, options: dict[str, object], word: str) -> None:
    source = make_spatial_clip(tmp_path / "in.mov", frames=3)
    given = {"out": tmp_path / "out.mov"} | options
    if isinstance(given["out"], Path):
        given["out"] = tmp_path / given["out"].name
    with pytest.raises(UsageError, match=word):
        run_job(replace(DeblurConfig(source, method="swap"), **given))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mov"]


def test_views_of_a_flat_clip_are_refused(tmp_path: Path) -> None:
    one = make_spatial_clip(tmp_path / "in.mov", frames=3)
    with pytest.raises(UsageError, match="--output-views"):
        run_job(DeblurConfig(one, one.with_name("other.mov"), output_views="both"))
    with pytest.raises(UsageError, match="--target both"):
        run_job(DeblurConfig(one, one.with_name("other.mov"), target="both"))


def test_missing_second_view_and_third_layer_are_named(tmp_path: Path) -> None:
    lone = make_spatial_clip(tmp_path / "lone.mov", views=replace(FULL, second=0))
    clip = probe_clip(lone)
    assert clip.views == 1 and "second view is missing" in " ".join(clip.warnings)
    with pytest.raises(InputError, match="second view"):
        run_job(DeblurConfig(lone, out=tmp_path / "out.mov", method="single", strict=True))
    three = probe_clip(make_spatial_clip(tmp_path / "three.mov", views=replace(FULL, layers=3)))
    assert "layers" in " ".join(three.warnings)


def test_views_of_unequal_length_are_joined_as_far_as_they_go(tmp_path: Path) -> None:
    views = Views(pictures=(SHARP, BLURRED), second=8)
    source = make_spatial_clip(tmp_path / "in.mov", views=views)
    config = DeblurConfig(source, out=tmp_path / "out.mov", method="swap", target="both")
    run_job(config, steps=Steps(analyse=known))
    after = probe_clip(tmp_path / "out.mov")
    assert (len(frames_of(after, 0)), len(frames_of(after, 1))) == (12, 8)


def test_a_part_of_a_spatial_clip(tmp_path: Path) -> None:
    source = make_spatial_clip(tmp_path / "in.mov", views=replace(FULL, pictures=(BLURRED, SHARP)))
    config = DeblurConfig(source, out=tmp_path / "out.mov", method="swap", start_s=0.1, end_s=0.3)
    result = run_job(config, steps=Steps(analyse=known))
    after = probe_clip(tmp_path / "out.mov")
    assert [float(f.time) for f in frames_of(after, 1)] == pytest.approx([i / 30 for i in range(6)])
    assert after.views == 2 and after.start_s == 0 and not result.differences


def test_a_finished_view_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from asled_cli.spatial import run as spatial_run

    source = make_spatial_clip(tmp_path / "in.mov", views=Views(pictures=(BLURRED, SHARP)))
    config = DeblurConfig(source, out=tmp_path / "out.mov", method="swap")
    done: list[int | None] = []
    real = spatial_run.run_deblur

    def failing(config: DeblurConfig, *args: object, **options: object) -> object:
        done.append(config.view)
        if config.view == 1 and len(done) == 2:
            raise InputError("interrupted")
        return real(config, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(spatial_run, "run_deblur", failing)
    with pytest.raises(InputError, match="interrupted") as caught:
        run_job(config, steps=Steps(analyse=known))
    assert "--resume" in caught.value.hint
    with pytest.raises(UsageError, match="begun before"):
        run_job(config, steps=Steps(analyse=known))
    result = run_job(replace(config, resume=True), steps=Steps(analyse=known))
    assert done == [0, 1, 1] and result.views[0].frames_changed > 6
