"""The row `single` of an evaluation: the blurred clip restored from its own frames."""

from fractions import Fraction
from pathlib import Path

from factories.shaken_clip import make_shaken_clip

from asled_cli.deconvolution.clip_file import stretches
from asled_cli.lab.datasets.image_sequence import PictureArray
from asled_cli.lab.scoring import methods
from asled_cli.lab.scoring.config import EvalConfig
from asled_cli.registration.rendering.aligned_frame import without_reference
from asled_cli.restoration.base import restore
from asled_cli.video.frames import Frame, FramePair


def test_row_needs_no_reference_and_gains(tmp_path: Path) -> None:
    made = make_shaken_clip(frames=9, size=(160, 96))
    config = EvalConfig("generic", tmp_path, methods=("input", "single"))
    _, model = methods.find_models(config)
    restorer = methods.load_restorer(model, config, (160, 96), target=PictureArray(made.wide))
    frames = (Frame(i, i, Fraction(i, 30), rgb, None) for i, rgb in enumerate(made.wide))
    aligned = (without_reference(FramePair(frame, None)) for frame in frames)
    results = list(restore(aligned, restorer))
    assert [result.target.index for result in results] == list(range(9))
    assert made.gains([result.change for result in results]).mean() > 1


def test_runs_are_spread_over_a_clip() -> None:
    assert stretches(5) == ([0], 14)
    assert stretches(18) == ([2], 14)
    assert stretches(1000) == ([164, 493, 822], 14)
