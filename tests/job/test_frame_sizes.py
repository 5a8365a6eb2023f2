"""Any frame size from 16 to 4096, upright or lying, odd or even, turned or not, goes through every command.

The analysis costs the most and is run on small frames; on the others a known geometry takes its place.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from asled_cli.cli.app import main
from asled_cli.imaging.flow import DenseFlow, MotionMeter
from asled_cli.job.config import DeblurConfig
from asled_cli.pipeline import Steps, run_deblur
from asled_cli.registration.analyse import analyse
from asled_cli.registration.geometry.canvas import MIN_SIDE, Canvas, reduce_for_analysis, reduced_size
from asled_cli.registration.geometry.lenses import LensPrior, centre_crop
from asled_cli.registration.model.exposure import MotionBlur
from asled_cli.registration.model.registration import Knot, Registration
from asled_cli.registration.model.tone_curve import identity_tone
from asled_cli.registration.render import render_references
from asled_cli.sync.camera_motion import CameraMotion, small_size
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.decode.reader import ClipReader
from asled_cli.video.frames import Frame, FramePair

SIZES, BATCHES = 200, 20
Size = tuple[int, int]
# Sizes that ended in a traceback or ended the process before.
KNOWN: tuple[Size, ...] = ((688, 920), (48, 26), (52, 52), (98, 700), (288, 32), (1000, 62), (4096, 16))


@dataclass(frozen=True)
class Case:
    """Two clips to process. mute: found by their pictures, no offset is given."""

    size: Size
    frames: int
    rotation: int
    method: str
    mute: bool


def random_cases() -> list[Case]:
    """SIZES cases; the longer one side, the shorter the other, so that frames stay small."""
    rng = np.random.default_rng(920)
    cases = []
    for number in range(SIZES):
        long = round(2 ** (4 + 8 * rng.uniform() ** 1.5))
        short = round(2 ** rng.uniform(4, np.log2(np.clip(8000 / long, 17, long + 1))))
        size = (long, max(16, short)) if rng.random() < 0.5 else (max(16, short), long)
        method = "network" if number % 3 == 1 else "swap"
        rotation = int(rng.choice([0, 0, 90, 180, -90]))
        cases.append(Case(size, int(rng.integers(2, 4)), rotation, method, mute=number % 19 == 0))
    return cases


def picture(size: Size, time: float, ratio: float) -> np.ndarray:
    """A view (h, w, 3) of a soft texture that moves; ratio: how much of it is seen."""
    texture = np.random.default_rng(3).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    width, height = size
    scale = ratio * 10 / min(size)
    corner = 32 + 0.1 * time - scale * (width - 1) / 2, 32 + 0.05 * time - scale * (height - 1) / 2
    matrix = np.array([[scale, 0, corner[0]], [0, scale, corner[1]]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(texture, matrix, size, flags=flags, borderMode=cv2.BORDER_REFLECT)


def write_clips(folder: Path, case: Case) -> tuple[Path, Path]:
    """Write the wide and the ultra clip, H.264 4:4:4, which takes any size."""
    paths = folder / "wide.mov", folder / "ultra.mov"
    for path, ratio in zip(paths, (1.0, 2.0), strict=True):
        with av.open(str(path), "w") as out:
            stream = out.add_stream("libx264", rate=30, options={"preset": "ultrafast", "crf": "10"})
            stream.width, stream.height = case.size
            stream.pix_fmt = "yuv444p"
            if case.rotation:
                stream.set_display_rotation(case.rotation)
            for number in range(case.frames):
                frame = av.VideoFrame.from_ndarray(picture(case.size, number, ratio), format="rgb24")
                frame.pts = number
                out.mux(stream.encode(frame.reformat(format="yuv444p")))
            out.mux(stream.encode(None))
    return paths


def known(runs: Sequence[Sequence[FramePair]], prior: LensPrior) -> Registration:
    """Stand in for the analysis: two concentric lenses, an exposure as long as a frame."""
    pair = next(pair for run in runs for pair in run if pair.reference is not None)
    assert pair.reference is not None
    target, reference = ((f.rgb.shape[1], f.rgb.shape[0]) for f in (pair.target, pair.reference))
    matrix = centre_crop(2.0, target, reference)
    width, height = Canvas(target, reference, matrix).work_size
    knot = Knot(0.0, matrix, np.zeros((height, width, 2), np.float32), MotionBlur(1.0))
    return Registration(target, reference, 1 / 30, (knot,), identity_tone(), 0.01, 1.0, True)


def run_through(folder: Path, case: Case, analysis: Callable[..., Registration] = known) -> None:
    """Probe, plan and deblur a case; check that all frames are written in their size."""
    wide, ultra = write_clips(folder, case)
    assert main(["probe", str(wide), "--json"]) == 0
    config = DeblurConfig(
        wide,
        ultra,
        out=folder / "out.mov",
        method=case.method,
        offset_s=None if case.mute else 0.0,
        lens_order="auto" if case.mute else "given",
        skip_sharp=case.mute,
    )
    if case.frames == 2:
        run_deblur(replace(config, dry_run=True))
    result = run_deblur(config, steps=Steps(analyse=analysis))
    assert result.frames_written == case.frames
    assert result.out is not None
    clip = probe_clip(result.out)
    assert (clip.width, clip.height, clip.rotation) == (*case.size, probe_clip(wide).rotation)
    with ClipReader(clip) as frames:
        assert len(list(frames)) == case.frames


@pytest.mark.slow
@pytest.mark.parametrize("batch", range(BATCHES))
def test_any_size_goes_through_every_command(tmp_path: Path, batch: int) -> None:
    for number, case in enumerate(random_cases()[batch::BATCHES]):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        try:
            run_through(folder, case)
        except BaseException as error:
            error.add_note(f"{case}")
            raise


def pairs_of(size: Size, frames: int = 3) -> list[FramePair]:
    """Pairs of both views in memory."""

    def frame(number: int, ratio: float) -> Frame:
        codes = picture(size, number, ratio).astype(np.uint16) * np.uint16(257)
        return Frame(number, number, Fraction(number, 30), codes, None, False)

    return [FramePair(frame(number, 1.0), frame(number, 2.0), 0.0) for number in range(frames)]


@pytest.mark.parametrize("size", [(52, 52), (16, 16), (17, 33), (31, 90), (320, 16)])
def test_analysis_and_rendering_of_odd_sizes(size: Size) -> None:
    pairs = pairs_of(size)
    found = analyse([[reduce_for_analysis(pair) for pair in pairs]], LensPrior())
    assert found.accepted
    rendered = list(render_references(pairs, found.resized(size, size)))
    assert [frame.reference.shape for frame in rendered] == [(size[1], size[0], 3)] * len(pairs)


def test_views_of_different_shapes_are_compared_or_refused() -> None:
    for target, reference in (((31, 33), (33, 31)), ((26, 26), (350, 16))):
        pairs = [
            FramePair(own.target, other.reference, 0.0)
            for own, other in zip(pairs_of(target, 2), pairs_of(reference, 2), strict=True)
        ]
        found = analyse([[reduce_for_analysis(pair) for pair in pairs]], LensPrior())
        assert np.isfinite(found.correlation) and np.isfinite(found.middle.homography).all()


@pytest.mark.parametrize("size", KNOWN)
def test_motion_is_measured_on_small_copies_of_any_size(size: Size) -> None:
    views = [cv2.cvtColor(picture(size, time, 1.0), cv2.COLOR_RGB2GRAY) for time in (0, 1)]
    small = [cv2.resize(view, small_size(*size), interpolation=cv2.INTER_AREA) for view in views]
    padded = [np.pad(view, ((0, 0), (0, 1)))[:, :-1] for view in small]  # rows with gaps, as decoders give
    for pictures in (small, padded):
        motion = CameraMotion()
        for time, view in enumerate(pictures):
            motion.add(time, view)
        assert motion.curve.steps.shape == (1, 4) and np.isfinite(motion.curve.steps).all()


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (400, 11), (256, 16), (128, 30), (15, 4096), (640, 5)])
@pytest.mark.parametrize("preset", ["fast", "medium"])
def test_flow_of_thin_pictures(size: Size, preset: str) -> None:
    first, second = np.random.default_rng(0).integers(0, 255, (2, size[1], size[0])).astype(np.uint8)
    assert DenseFlow(preset).between(first, second).shape == (size[1], size[0], 2)
    MotionMeter().between(first, second)


def test_reduced_pictures_keep_a_minimum_side() -> None:
    assert reduced_size((1920, 1080)) == (640, 360)
    assert reduced_size((4096, 16)) == (4096, 16)
    assert min(reduced_size((4096, 100))) == MIN_SIDE
    assert reduced_size((3, 2)) == (3, 2)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (200, 15)])
def test_tiny_frames_are_probed_and_refused_in_a_sentence(
    tmp_path: Path, size: Size, capsys: pytest.CaptureFixture[str]
) -> None:
    wide, ultra = write_clips(tmp_path, Case(size, 2, 0, "swap", mute=False))
    assert main(["probe", str(wide), "-q"]) == 0
    for command in (["probe", str(wide), str(ultra)], ["deblur", str(wide), str(ultra)]):
        assert main([*command, "--offset", "0"]) == 3
        assert f"frames of {size[0]}x{size[1]} pixels, expected 16 or more" in capsys.readouterr().err
