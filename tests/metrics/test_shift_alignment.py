"""Scores after one translation: a shifted result gets its score back, others keep theirs."""

import numpy as np
import pytest
from factories.textures import texture
from scipy import ndimage

from asled_cli.lab.scoring.frame_scores import FrameScorer, TruthWindow
from asled_cli.metrics.protocols import PROTOCOLS
from asled_cli.metrics.psnr_ssim import psnr
from asled_cli.metrics.shift_alignment import MAX_SHIFT_PX, shifted_onto
from asled_cli.restoration.base import RestoredFrame
from asled_cli.video.decode.pixel_format import to_16_bit
from asled_cli.video.frames import Frame

TRUTH = texture(160, 120, seed=4, finest=3.0) / 255.0


@pytest.mark.parametrize("shift", [(0.0, 3.0), (-5.0, 2.0), (1.4, -0.6), (7.5, 6.5)])
def test_a_shifted_result_gets_its_score_back(shift: tuple[float, float]) -> None:
    result = np.stack([ndimage.shift(TRUTH[..., c], shift, order=3, mode="nearest") for c in range(3)], -1)
    result = np.clip(result, 0, 1)
    aligned = shifted_onto(result, TRUTH)
    inner = np.s_[16:-16, 16:-16]
    assert psnr(aligned[inner], TRUTH[inner]) > psnr(result[inner], TRUTH[inner]) + 15
    assert psnr(aligned, TRUTH) > psnr(result, TRUTH)


def test_a_score_never_falls() -> None:
    draw = np.random.default_rng(0)
    flat = np.full_like(TRUTH, 0.5)
    for result in (TRUTH, draw.random(TRUTH.shape), flat, np.roll(TRUTH, round(3 * MAX_SHIFT_PX), axis=1)):
        assert psnr(shifted_onto(result, TRUTH), TRUTH) >= psnr(result, TRUTH)
    assert shifted_onto(TRUTH, TRUTH) is TRUTH


def test_the_protocol_aligns_and_the_others_do_not() -> None:
    """A frame that is the truth moved by 4 pixels."""
    codes = np.rint(TRUTH * 255).astype(np.uint8)
    moved = np.roll(codes, 4, axis=1)
    scores = {}
    for name in ("basicsr", "shift-aligned"):
        scorer = FrameScorer("x", TruthWindow([codes]), PROTOCOLS[name], ("psnr",))  # type: ignore[arg-type,index]
        scorer.take(RestoredFrame(Frame(0, 0, 0, to_16_bit(moved), None), None, has_reference=True))  # type: ignore[arg-type]
        scores[name] = scorer.rows[0]["psnr"]
    assert scores["shift-aligned"] > scores["basicsr"] + 3
    assert "moved onto its truth" in PROTOCOLS["shift-aligned"].describe()
