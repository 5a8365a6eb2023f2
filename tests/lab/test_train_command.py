"""`asled train`: recipe in, weights out; what is wrong is one sentence."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import cv2
import pytest
from factories.moving_textures import write_clip
from factories.recipes import TINY
from factories.textures import texture

from asled_cli.cli import app
from asled_cli.errors import UsageError
from asled_cli.lab.training.recipe import read_recipe, read_table
from asled_cli.runtime.distributed import Team
from asled_cli.zoo import checkpoint as weights

MINIATURE = Path(__file__).parents[2] / "examples" / "make_small_realmcvsr.py"
FLOW = """
network = "flow"
steps = 2
batch = 1
size_px = 32
motion_px = 4
score_every = 1
score_pairs = 2
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    for part, seed in (("train", 0), ("valid", 9)):
        (folder / part).mkdir(parents=True)
        write_clip(folder / part / f"{seed}.npz", seed=seed, frames=4, height=36, width=40)
    return folder


def run(*arguments: object) -> int:
    return app.main(["train", *map(str, arguments)])


def test_trains_and_resumes(
    recipe: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert run(recipe, "--data", clips, "-o", out, "--json", "--device", "cpu") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["event"] == "trained" and said["steps"] == 4 and said["network_db"] > 15
    assert weights.load(out / "best.safetensors").config.fine_channels == 8
    assert run(recipe, "--data", clips, "-o", out) == 2
    assert "holds a checkpoint already" in capsys.readouterr().err
    assert run(recipe, "--data", clips, "-o", out, "--resume", "--set", "steps=6", "--json") == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 6


@pytest.mark.slow
def test_only_the_first_process_of_a_team_tells(
    recipe: Path,
    clips: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for rank, reports in ((1, False), (0, True)):
        monkeypatch.setattr(
            "asled_cli.lab.training.run.join_team", lambda _, rank=rank: nullcontext(Team(rank))
        )
        assert run(recipe, "--data", clips, "-o", tmp_path / str(rank), "--device", "cpu") == 0
        said = capfd.readouterr()
        assert ("step 4" in said.err) == ("files" in said.out) == reports
        assert (tmp_path / str(rank) / "checkpoint.pt").exists() == reports


def test_starts_from_other_weights(recipe: Path, clips: Path, tmp_path: Path) -> None:
    assert run(recipe, "--data", clips, "-o", tmp_path / "one", "-q") == 0
    first = tmp_path / "one" / "weights.safetensors"
    assert run(recipe, "--data", clips, "-o", tmp_path / "two", "--init", first, "-q") == 0


def test_trains_on_a_miniature_of_realmcvsr_and_is_scored_on_it(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As docs/scores.md does with the whole one: train on its train clips, score on its test clips."""
    spec = importlib.util.spec_from_file_location("make_small_realmcvsr", MINIATURE)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    mini, out = tmp_path / "mini", tmp_path / "run"
    script.write_tree(mini, {"train": 1, "valid": 1, "test": 1}, 10, (96, 64))
    arguments = ["--set", "data.reference=centre", "--set", "data.ratio=1.967"]
    arguments += [
        "--set",
        "options.fusion_radius=0",
    ]  # without motion, results cannot be aligned
    assert run(recipe, "--data", mini, "-o", out, "-q", "--device", "cpu", *arguments) == 0
    arguments = ["--methods", f"input,swap,trained={out / 'best.safetensors'}", "--protocol", "asled-paper"]
    arguments += ["--alignment", "centre-crop", "--fov-ratio", "1.967", "--workers", "1"]
    arguments += ["--out", str(tmp_path / "score")]
    assert app.main(["eval", "--dataset", "realmcvsr", "--root", str(mini), "-q", *arguments]) == 0
    means = json.loads((tmp_path / "score/scores.json").read_text())["means"]["all"]
    assert list(means) == ["input", "swap", "trained"]
    # four steps hardly move a network that starts as the swap
    assert means["trained"]["psnr"]["value"] == pytest.approx(means["swap"]["psnr"]["value"], abs=1.0)
    assert means["swap"]["psnr"]["value"] > means["input"]["psnr"]["value"] + 1.0
    capsys.readouterr()


def test_pretrains_the_flow_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "flow.toml").write_text(FLOW)
    photos = tmp_path / "photos"
    photos.mkdir()
    for seed in range(2):
        cv2.imwrite(str(photos / f"photo{seed}.png"), texture(320, 300, seed=seed))
    (photos / "held_out.txt").write_text("photo1\n")
    assert run(tmp_path / "flow.toml", "--data", photos, "-o", tmp_path / "run", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["end-point error of spynet, px"] > 0
    assert (tmp_path / "run" / "spynet.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--set", "step=3"], 2, "step is no setting"),
        (["--set", "steps"], 2, "--set is 'steps', expected NAME=VALUE"),
        (["--set", "network=magic"], 2, "no network 'magic'"),
        (["--set", "samples.crop_px=30"], 2, "crop_px is 30, expected a multiple"),
        (["--init", "none.safetensors"], 4, "none.safetensors"),
        (["--device", "abacus"], 2, "--device is 'abacus'"),
        (["--data", "nowhere"], 2, "--data is nowhere, which does not exist"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    arguments: list[str], code: int, said: str, recipe: Path, clips: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert run(recipe, "--data", clips, "-o", tmp_path / "run", *arguments) == code
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error


def test_changes_take_the_place_of_settings(recipe: Path) -> None:
    changed = read_recipe(recipe, ["samples.batch=8", "losses.psnr=0.5", "precision=bf16"])
    assert (changed.samples.batch, changed.samples.crop_px) == (8, 32)
    assert (changed.losses.psnr, changed.precision) == (0.5, "bf16")
    assert read_table(recipe)["samples"]["batch"] == 2
    with pytest.raises(UsageError, match=r"tiny\.toml: batch\.x|samples"):
        read_recipe(recipe, ["samples.batch.x=3"])


@pytest.mark.slow
def test_a_signal_leaves_a_checkpoint_that_goes_on(recipe: Path, clips: Path, tmp_path: Path) -> None:
    """A real process, with a worker, stopped from outside."""
    out = tmp_path / "run"
    arguments = ["train", recipe, "--data", clips, "-o", out, "--set", "steps=100000", "--set", "workers=1"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        [sys.executable, "-m", "asled_cli", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
    )
    log = out / "loss.csv"
    while process.poll() is None and (not log.exists() or log.read_text().count("\n") < 3):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error.decode()
    assert b"Stopped after step" in error and b"Traceback" not in error
    assert (out / "checkpoint.pt").exists()
