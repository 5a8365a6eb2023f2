"""Pairs whose clips differ in dynamic range, rate, size or orientation: deblurred without an option."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from factories.mixed_pair import RATIO, Form, MixedPair, make_mixed_pair

from asled_cli.errors import InputError
from asled_cli.job.config import DeblurConfig
from asled_cli.job.match import match_clips
from asled_cli.pipeline import run_deblur
from asled_cli.registration.estimate.template_match import locate
from asled_cli.registration.geometry.lenses import LensPrior
from asled_cli.sync.lens_order import sample_pairs
from asled_cli.sync.orientation import turned_to
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.decode.reader import ClipReader, frame_times, read_small

PLAIN = Form()
UPRIGHT = Form(upright=True)
MIXED = {
    "HLG with SDR": (Form("hlg"), PLAIN),
    "PQ with SDR": (Form("pq"), PLAIN),
    "SDR with HLG": (PLAIN, Form("hlg")),
    "60 with 30": (Form(rate=60), PLAIN),
    "30 with 60": (PLAIN, Form(rate=60)),
    "large with small": (Form(scale=2), PLAIN),
    "small with large": (PLAIN, Form(scale=2)),
    "flag with pixels": (replace(UPRIGHT, rotation=90), UPRIGHT),
    "pixels with flag": (UPRIGHT, replace(UPRIGHT, rotation=-90)),
    "two flags": (replace(UPRIGHT, rotation=90), replace(UPRIGHT, rotation=-90)),
    "upside down": (Form(rotation=180), PLAIN),
    "all at once": (Form("hlg", rate=60, scale=2, upright=True, rotation=-90), UPRIGHT),
}
TURNED = {name: pair for name, pair in MIXED.items() if pair[0].rotation != pair[1].rotation}


def gain_of(pair: MixedPair, out: Path) -> float:
    """Return by how many dB a result is nearer to the truth than its source, inside the edges."""
    scores = []
    for path in (pair.wide, out):
        with ClipReader(probe_clip(path)) as frames:
            inner = np.s_[8:-8, 8:-8]
            errors = [
                np.mean(np.square((frame.rgb[inner] - truth[inner].astype(np.float64)) / 65535))
                for frame, truth in zip(frames, pair.truth, strict=True)
            ]
        scores.append(-10 * np.log10(np.mean(errors)))
    return float(scores[1] - scores[0])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["alike", *MIXED])
def test_a_mixed_pair_gains_as_one_of_a_kind_does(tmp_path: Path, kind: str) -> None:
    wide, ultra = MIXED.get(kind, (PLAIN, PLAIN))
    pair = make_mixed_pair(tmp_path, wide, ultra)
    out = tmp_path / "out.mov"
    result = run_deblur(DeblurConfig(pair.wide, pair.ultra, out=out, method="swap"))
    before, after = probe_clip(pair.wide), probe_clip(out)
    assert result.frames_changed > 0.6 * len(pair.truth) and not result.differences
    assert frame_times(after) == frame_times(before)
    assert (after.width, after.height, after.rotation) == (before.width, before.height, before.rotation)
    assert after.color == before.color and after.bit_depth == before.bit_depth
    assert gain_of(pair, out) > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(TURNED)[:2])
def test_the_ultra_clip_of_a_turned_pair_can_be_the_target(tmp_path: Path, kind: str) -> None:
    wide, ultra = TURNED[kind]
    pair = make_mixed_pair(tmp_path, wide, ultra)
    config = DeblurConfig(pair.ultra, pair.wide, out=tmp_path / "out.mov", method="swap", dry_run=True)
    plan = run_deblur(config).plan
    assert plan.wide.path == pair.wide and plan.wide.turn == 0 and plan.pair.ultra.turn != 0
    plan = run_deblur(replace(config, target="ultra")).plan
    assert plan.wide.path == pair.ultra and plan.wide.turn == 0 and plan.pair.ultra.turn != 0
    x, y, width, height = plan.wide.box or (0, 0, 0, 0)
    assert width / plan.wide.width == pytest.approx(height / plan.wide.height, abs=0.1)
    assert 0.3 < width / plan.wide.width < 0.6 and x > 0 and y > 0


@pytest.mark.parametrize("kind", list(TURNED))
def test_frames_of_the_reference_are_turned_to_those_of_the_target(tmp_path: Path, kind: str) -> None:
    wide, ultra = TURNED[kind]
    pair = make_mixed_pair(tmp_path, wide, ultra)
    one, two = turned_to(probe_clip(pair.wide), probe_clip(pair.ultra))
    assert one.turn == 0 and (two.seen_size[0] > two.seen_size[1]) == (one.width > one.height)
    clock = match_clips(DeblurConfig(pair.wide, pair.ultra, offset_s=0.0, lens_order="given")).timing.clock
    half_a_turn = replace(two, turn=(two.turn + 2) % 4)
    scores = [
        locate([list(sample_pairs(one, clip, clock, 3))], LensPrior(RATIO, 0.05)).score
        for clip in (two, half_a_turn)
    ]
    assert scores[0] > 0.55 and scores[0] > scores[1] + 0.15
    with ClipReader(two) as frames:
        whole = next(iter(frames)).rgb
    small = next(iter(read_small(two, two.seen_size)))[1]
    assert small.shape == whole.shape[:2]
    assert np.corrcoef(small.ravel(), (whole @ [0.2126, 0.7152, 0.0722]).ravel())[0, 1] > 0.97


def test_upright_beside_sideways_is_refused(tmp_path: Path) -> None:
    pair = make_mixed_pair(tmp_path, replace(UPRIGHT, rotation=90), PLAIN)
    with pytest.raises(InputError, match="one is shown upright, the other sideways"):
        match_clips(DeblurConfig(pair.wide, pair.ultra))
