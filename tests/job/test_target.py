"""`--target ultra`: the middle of the ultra-wide clip is deblurred, the rest stays as it is."""

import json
from pathlib import Path

import numpy as np
import pytest
from factories.clips import planes
from factories.textures import texture
from numpy.typing import NDArray

from asled_cli.cli.app import main
from asled_cli.job.config import DeblurConfig
from asled_cli.job.plan import make_plan
from asled_cli.lab.camera.dual_lens import LensRig
from asled_cli.lab.camera.filming import Lens, draw_hand_motion, film, write_film
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.decode.reader import ClipReader
from asled_cli.video.encode.yuv import spread_change

SIZE = (240, 136)
RIG = LensRig(ratio=1.9, rotation_deg=0.5, shift_px=(3.0, -2.0))
TIMES = [i / 30 for i in range(24)]


def frames(path: Path) -> NDArray[np.float64]:
    with ClipReader(probe_clip(path)) as reader:
        return np.stack([frame.rgb / 65535 for frame in reader])


def test_the_common_part_of_a_blurred_ultra_clip_is_deblurred(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wall, hand = texture(800, 480, seed=4, finest=1.5), draw_hand_motion(4, speed_px_s=500.0)
    lenses = {
        "wide": Lens(SIZE, None, 0.003),
        "ultra": Lens(SIZE, lambda _: RIG, 0.03),
        "truth": Lens(SIZE, lambda _: RIG),
    }
    wide, ultra, truth = (
        write_film(tmp_path / f"{name}.mp4", film(wall, hand, lens, [1 + t for t in TIMES], SIZE), TIMES)
        for name, lens in lenses.items()
    )
    out = tmp_path / "out.mkv"
    config = DeblurConfig(wide, ultra, out=out, target="ultra", method="swap", offset_s=0.0)
    x, y, width, height = make_plan(config).wide.box or (0, 0, 0, 0)
    assert 0.85 * SIZE[0] / RIG.ratio < width < SIZE[0] / RIG.ratio
    assert abs(x + width / 2 - SIZE[0] / 2) < 6 and abs(y + height / 2 - SIZE[1] / 2) < 6
    arguments = ["deblur", str(wide), str(ultra), "-o", str(out), "--target", "ultra", "--offset", "0"]
    assert main([*arguments, "--method", "swap", "--codec", "ffv1", "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["frames_written"], result["frames_changed"]) == (24, 24)
    before, after, sharp = frames(ultra), frames(out), frames(truth)
    part = np.s_[:, y + 4 : y + height - 4, x + 4 : x + width - 4]
    was, now = (np.mean((clip[part] - sharp[part]) ** 2) for clip in (before, after))
    assert 10 * np.log10(was / now) > 3
    with ClipReader(probe_clip(ultra)) as one, ClipReader(probe_clip(out)) as other:
        for old, new in zip(one, other, strict=True):
            assert old.source is not None and new.source is not None
            for plane, same in zip(planes(old.source), planes(new.source), strict=True):
                step = SIZE[0] // plane.shape[1]
                outside = np.ones(plane.shape, bool)
                outside[y // step : (y + height) // step, x // step : (x + width) // step + 1] = False
                np.testing.assert_array_equal(plane[outside], same[outside])


def test_a_change_to_a_part_is_spread_over_the_whole() -> None:
    change = np.random.default_rng(0).normal(0, 0.1, (50, 80, 3)).astype(np.float32)
    whole = spread_change(change, (10, 6, 80, 50), (120, 70))
    assert whole.shape == (70, 120, 3)
    np.testing.assert_array_equal(whole[12:50, 20:80], change[6:44, 10:70])
    rest = whole.copy()
    rest[6:56, 10:90] = 0
    assert not rest.any()
    edge = np.abs(whole[6:56, 10]).mean() / np.abs(change[:, 0]).mean()
    assert edge < 0.2  # fades in
