"""`asled eval` from data set to report: scores, resume, workers, baselines, and what is refused."""

import csv
import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from factories.small_pair import known_registration
from factories.textures import moving_video, texture, write_video
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio

from asled_cli.cli import app
from asled_cli.errors import AsledError, InputError, UsageError, WeightsError
from asled_cli.guide import Guide
from asled_cli.job.blur.plan import DEBLUR_ALL, BlurPlan
from asled_cli.job.blur.stretches import Interval
from asled_cli.lab.datasets.image_sequence import PictureArray
from asled_cli.lab.datasets.sources import HELD_OUT_PHOTOS, HELD_OUT_VIDEOS
from asled_cli.lab.eval_sets.builders import VideoClip
from asled_cli.lab.eval_sets.catalogue import EVAL_SETS
from asled_cli.lab.evaluation import figures as pictures
from asled_cli.lab.evaluation.costs import measure_costs
from asled_cli.lab.evaluation.run import run_eval
from asled_cli.lab.evaluation.statistics import bootstrap, clip_mean, summarise
from asled_cli.lab.scoring import alignment, by_name
from asled_cli.lab.scoring import clip_scores as scoring
from asled_cli.lab.scoring import methods as rows
from asled_cli.lab.scoring import score_all as run
from asled_cli.lab.scoring.alignment import align_clip
from asled_cli.lab.scoring.clips import ScoreClip, clip_names, open_clip
from asled_cli.lab.scoring.config import EvalConfig, choose_metrics
from asled_cli.metrics.protocols import PROTOCOLS
from asled_cli.nets.asled_fast.network import AsledFast, AsledFastConfig
from asled_cli.zoo import checkpoint as weights
from asled_cli.zoo import registry as zoo

SCRIPT = Path(__file__).parents[2] / "examples" / "make_small_realmcvsr.py"
TINY = AsledFastConfig(fine_channels=4, coarse_channels=4, encoder_blocks=1, backward_blocks=1,
                       forward_blocks=1, decoder_blocks=1, fusion_radius=0)  # fmt: skip


def write_frames(folder: Path, frames: NDArray[np.uint8]) -> None:
    folder.mkdir(parents=True)
    for index, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"{index:04d}.png"), np.ascontiguousarray(frame[..., ::-1]))


@pytest.fixture(scope="module")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two test clips of 12 frames, by the script of the repository, smaller."""
    spec = importlib.util.spec_from_file_location("make_small_realmcvsr", SCRIPT)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    root = tmp_path_factory.mktemp("mini")
    script.write_tree(root, {"test": 2}, 12, (96, 64))
    return root


@pytest.fixture(scope="module")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    weights.save(path, "asled-fast", AsledFast(TINY))
    return path


@pytest.fixture
def blur_and_truth(tmp_path: Path) -> Path:
    frames = moving_video(4, 64, 48)
    write_frames(tmp_path / "set/gt/a", frames)
    write_frames(tmp_path / "set/blur/a", np.stack([cv2.GaussianBlur(f, (0, 0), 1.5) for f in frames]))
    return tmp_path / "set"


@pytest.mark.slow
def test_the_miniature_runs_whole_and_writes_its_report(
    miniature: Path,
    tiny_weights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(AsledFast, "info", replace(AsledFast.info, reference_radius=0))
    arguments = [
        "eval",
        "--dataset",
        "realmcvsr",
        "--root",
        str(miniature),
        "--out",
        str(tmp_path),
        "--workers",
        "1",
    ]
    arguments += [
        "--methods",
        f"input,swap,tiny={tiny_weights}",
        "--protocol",
        "refvsr",
        "--profile",
        "32x32",
        "-q",
    ]
    assert app.main(arguments) == 0
    said = capsys.readouterr().out
    assert "0000" in said and "tiny" in said and "GFLOP" in said
    report = json.loads((tmp_path / "scores.json").read_text())
    assert [model["name"] for model in report["models"]] == ["input", "swap", "tiny"]
    assert report["protocol"]["name"] == "refvsr"
    assert any("18.22" in note for note in report["notes"])
    with (tmp_path / "frames.csv").open() as file:
        frames = list(csv.DictReader(file))
    assert len(frames) == 2 * 3 * 6  # clips, models, frames with a full window of 7
    mine = [float(row["psnr"]) for row in frames if row["model"] == "swap"]
    assert report["means"]["all"]["swap"]["psnr"]["frames"] == pytest.approx(np.mean(mine), abs=1e-4)
    # an untrained network that is given the references frame by frame equals the swap
    tiny = [float(row["psnr"]) for row in frames if row["model"] == "tiny"]
    np.testing.assert_allclose(tiny, mine, atol=0.05)
    assert "| swap |" in (tmp_path / "report.md").read_text()
    assert r"\begin{tabular}" in (tmp_path / "table.tex").read_text()
    crops = cv2.imread(str(tmp_path / "crops/0000.jpg"))
    assert crops is not None and crops.shape == (64 + 16 + 4, 5 * (64 + 4), 3)  # reference, three rows, truth
    assert (tmp_path / "pictures/0000.jpg").exists() and (tmp_path / "profiles/0001.png").exists()
    pytest.importorskip("matplotlib")
    assert (tmp_path / "plots/gain_against_sharpness.png").stat().st_size > 5000


def test_input_row_equals_scikit_image(blur_and_truth: Path) -> None:
    config = EvalConfig("generic", blur_and_truth, methods=("input",), workers=1)
    result = run.evaluate(config)
    clip = open_clip(config, "a")
    assert clip.truth is not None
    for index, row in enumerate(result.scores[0].rows):
        wanted = peak_signal_noise_ratio(clip.truth[index], clip.target[index])
        assert row["psnr"] == pytest.approx(wanted, abs=1e-6)
        assert row["psnr_to_input"] == 100.0


@pytest.mark.slow
def test_results_do_not_depend_on_workers(miniature: Path) -> None:
    config = EvalConfig(
        "realmcvsr", miniature, methods=("input", "swap"), max_frames=3, device="cpu", workers=1
    )
    alone, together = run.evaluate(config), run.evaluate(replace(config, workers=2))
    assert alone.scores == together.scores


def test_an_interrupted_run_goes_on_per_clip(
    miniature: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = EvalConfig(
        "realmcvsr", miniature, methods=("input",), alignment="centre-crop", workers=1, cache=tmp_path
    )
    whole = run.evaluate(replace(config, cache=None))
    done: list[str] = []
    score = by_name.score_clip

    def stop_at_second(clip: ScoreClip, *args: object, **kwargs: object) -> object:
        if done:
            raise KeyboardInterrupt
        done.append(clip.name)
        return score(clip, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(by_name, "score_clip", stop_at_second)
    with pytest.raises(KeyboardInterrupt):
        run.evaluate(config)
    again: list[str] = []
    monkeypatch.setattr(
        by_name, "score_clip", lambda clip, *a, **k: (again.append(clip.name), score(clip, *a, **k))[1]
    )
    assert run.evaluate(config).scores == whole.scores
    assert done == ["0000"] and again == ["0001"]
    run.evaluate(config)
    assert again == ["0001"]  # all kept
    run.evaluate(replace(config, protocol="nafnet"))
    assert again == ["0001", "0000", "0001"]  # another protocol is another score


def test_keys_change_with_all_that_matters(blur_and_truth: Path, tiny_weights: Path) -> None:
    config = EvalConfig("generic", blur_and_truth, workers=1)
    clip, model = open_clip(config, "a"), rows.Model("input", "input")
    base = scoring.score_key(clip, model, config, "code")
    others = [
        scoring.score_key(clip, model, config, "other code"),
        scoring.score_key(replace(clip, identity="x"), model, config, "code"),
        scoring.score_key(clip, replace(model, sha256="1"), config, "code"),
        scoring.score_key(clip, model, replace(config, protocol="refvsr"), "code"),
        scoring.score_key(clip, model, replace(config, alignment="centre-crop"), "code"),
        scoring.score_key(clip, model, replace(config, metrics=("psnr",)), "code"),
    ]
    assert len({base, *others}) == 7
    assert scoring.code_fingerprint() == scoring.code_fingerprint()


def test_plain_files_are_paired(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = moving_video(5, 64, 48)
    one, other = write_video(tmp_path / "out.mp4", frames), tmp_path / "gt"
    write_frames(other, frames)
    assert app.main(["eval", "--pairs", f"{one}:{other}", "--json", "-q"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert float(next(line for line in lines if line.get("clip") == "out.mp4")["result"]) > 25
    short = write_video(tmp_path / "short.mp4", frames[:3])
    assert app.main(["eval", "--pairs", f"{short}:{other}", "-q"]) == 3
    assert "3 in the result, 5 in the truth" in capsys.readouterr().err
    small = write_video(tmp_path / "small.mp4", moving_video(5, 32, 48))
    assert app.main(["eval", "--pairs", f"{small}:{other}", "-q"]) == 3
    assert "32x48 pixels in the result and 64x48 in the truth" in capsys.readouterr().err


def test_clips_without_a_truth_get_scores_that_need_none(tmp_path: Path) -> None:
    frames = moving_video(8, 96, 64)
    write_frames(tmp_path / "blur/a", frames)
    write_frames(tmp_path / "ref/a", frames)
    config = EvalConfig("generic", tmp_path, methods=("input", "swap"), workers=1, fov_ratio=1.0)
    result = run.evaluate(replace(config, metrics=("sharpness", "semi")))
    assert all("psnr" not in row and row["sharpness"] > 0 for one in result.scores for row in one.rows)
    assert all(0.8 < row["semi"] <= 1.0 for row in result.scores[1].rows)
    with pytest.raises(UsageError, match="has no truth"):
        run.evaluate(replace(config, metrics=("psnr",)))


def test_values_that_are_no_numbers_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = moving_video(12, 96, 64)
    for lens in ("gt", "ref"):
        write_frames(tmp_path / "set" / lens / "a", frames)
    blurred = np.stack([frames[max(i - 2, 0) : i + 3].mean(axis=0).astype(np.uint8) for i in range(12)])
    write_frames(tmp_path / "set/blur/a", blurred)
    network = AsledFast(TINY)
    for parameter in network.parameters():
        parameter.data.fill_(6e4)  # finite in 16 bits, but the output overflows
    path = tmp_path / "broken.safetensors"
    weights.save(path, "asled-fast", network)
    arguments = [
        "eval",
        "--dataset",
        "generic",
        "--root",
        str(tmp_path / "set"),
        "--methods",
        f"broken={path}",
    ]
    assert app.main([*arguments, "--workers", "1", "-q", "--fov-ratio", "1"]) == 4
    assert "The network gave numbers that are not finite" in capsys.readouterr().err


def test_missing_metric_weights_leave_the_others(
    blur_and_truth: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("asled_cli.lab.scoring.frame_scores._SEEN", set())
    config = EvalConfig(
        "generic", blur_and_truth, methods=("input",), workers=1, metrics=("psnr", "lpips-alex")
    )
    with caplog.at_level("WARNING", logger="asled_cli"):
        found = run.evaluate(config).scores[0].rows[0]
    assert "psnr" in found and "lpips-alex" not in found
    assert "lpips-alex is left out" in caplog.text and "--metric-weights" in caplog.text


def test_plain_crop_is_the_concentric_half(tmp_path: Path) -> None:
    scene = texture(128, 96, seed=3, finest=4.0)
    inside = scene[24:72, 32:96]
    wide = cv2.resize(inside, (128, 96), interpolation=cv2.INTER_CUBIC)
    frames = np.stack([wide, wide]), np.stack([scene, scene])
    clip = ScoreClip("a", PictureArray(frames[0]), PictureArray(frames[1]), PictureArray(frames[0]), "id")
    aligned = list(align_clip(clip, "centre-crop", 2.0).frames)
    assert aligned[0].reference is not None and (aligned[0].guide[..., Guide.CONFIDENCE] == 1).all()
    error = aligned[0].reference[4:-4, 4:-4].astype(float) / 257 - wide[4:-4, 4:-4]
    assert np.abs(error).mean() < 1.0


def test_a_network_is_not_held_back_where_nobody_looked_for_blur(tmp_path: Path) -> None:
    """With the plain crop nothing is known of blur: that must not pass for sharp, which is spared."""
    torch.manual_seed(0)
    network = AsledFast(TINY)
    torch.nn.init.normal_(network.decoder.head.weight, std=0.05)
    weights.save(tmp_path / "some.safetensors", "asled-fast", network)
    pictures = PictureArray(np.stack([texture(128, 96, seed=seed) for seed in range(3)]))
    clip = ScoreClip("a", pictures, pictures, pictures, "id")
    config = EvalConfig("generic", tmp_path, methods=("swap", f"some={tmp_path / 'some.safetensors'}"),
                        alignment="centre-crop", metrics=("psnr",))  # fmt: skip
    scores = scoring.score_clip(clip, rows.find_models(config), config)
    swapped, changed = (scores[name][0].rows[1]["psnr_to_input"] for name in ("swap", "some"))
    assert changed < 30 and abs(swapped - changed) > 0.05


def test_sharp_stretches_pass_through_as_when_deblurring() -> None:
    generator = np.random.default_rng(2)
    wide, ultra = (generator.integers(0, 255, (4, 48, 64, 3), dtype=np.uint8) for _ in range(2))
    clip = ScoreClip("a", PictureArray(wide), PictureArray(ultra), PictureArray(wide), "id", fps=10.0)
    config = EvalConfig("generic", Path(), methods=("reference", "swap"), metrics=("psnr",))
    first_half = Interval(-1e9, 0.25, "pass", 0.0, 1.0, 1.0), Interval(0.25, 1e9, "deblur", 3.0, 9.0, 1.0)
    aligned = replace(align_clip(clip, "centre-crop", 2.0), blur_plan=BlurPlan((), first_half))
    models = [rows.Model(name, name) for name in ("reference", "swap")]
    scores = scoring.score_clip(clip, models, config, aligned=aligned)
    taken, swapped = ([row["psnr_to_input"] for row in scores[m.name][0].rows] for m in models)
    assert swapped[0] > 90 and max(taken) < 30
    assert swapped[0] > swapped[1] > swapped[2] > swapped[3] + 1  # two frames lie where the plan fades
    assert swapped[3] == pytest.approx(taken[3], abs=0.1)


def test_gaps_are_the_frames_whose_reference_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = PictureArray(np.zeros((8, 48, 64, 3), np.uint8))
    there = np.array([True, False, True, True, False, False, False, True])
    clip = ScoreClip("a", pictures, pictures, pictures, "id", fps=10.0, reference_there=there)
    monkeypatch.setattr(alignment, "_analyse", lambda *_: known_registration((64, 48)))
    monkeypatch.setattr(alignment, "plan_blur", lambda *_, **__: DEBLUR_ALL)
    plan = align_clip(clip, "registered", None).blur_plan
    assert [index for index in range(8) if plan.in_gap(index / 10)] == [1, 4, 5, 6]


def test_half_detail_keeps_what_half_the_pixels_can_show() -> None:
    size = 65, 97  # odd on purpose
    rows_and_columns = np.indices(size).sum(axis=0)
    finest = np.repeat((rows_and_columns % 2 * 255)[..., None], 3, axis=-1).astype(np.uint8)
    slope = np.repeat((rows_and_columns + 40)[..., None], 3, axis=-1).astype(np.uint8)
    config = EvalConfig("generic", Path(), metrics=("psnr",))
    found = []
    for truth in (finest, slope):
        view = PictureArray(np.stack([truth, truth]))
        clip = ScoreClip("a", PictureArray(np.zeros_like(view.frames)), None, view, "id")
        scores = scoring.score_clip(clip, [rows.Model("oracle-half", "oracle-half")], config)
        found.append(scores["oracle-half"][0].rows[1]["psnr"])
    # A board of single pixels becomes grey, half of full scale off everywhere; a slope loses rounding alone.
    assert found[0] == pytest.approx(20 * np.log10(2), abs=0.2)
    assert found[1] > 50


def test_half_detail_needs_a_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_frames(tmp_path / "blur/a", moving_video(3, 96, 64))
    arguments = ["eval", "--dataset", "generic", "--root", str(tmp_path), "--methods", "oracle-half"]
    assert app.main([*arguments, "--metrics", "sharpness", "--workers", "1", "-q"]) == 2
    assert "oracle-half is made of the truth" in capsys.readouterr().err


def test_single_lens_sets_have_no_reference(blur_and_truth: Path) -> None:
    config = EvalConfig("generic", blur_and_truth, methods=("input", "swap"), workers=1)
    one, other = run.evaluate(config).scores
    assert [row["psnr"] for row in one.rows] == [row["psnr"] for row in other.rows]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "Give either --dataset with --root, or --pairs"),
        (["--dataset", "generic"], 2, "belong together"),
        (["--dataset", "generic", "--root", "/no/such"], 3, "/no/such is no folder"),
        (
            ["--dataset", "synthetic", "--root", ".", "--split", "train"],
            2,
            "expected valid, test, strong,",
        ),
        (["--pairs", "a.mp4"], 2, "expected RESULT:TRUTH"),
        (["--pairs", "a.mp4:b.mp4", "--metrics", "magic"], 2, "'magic', known: psnr"),
        (["--pairs", "a.mp4:b.mp4"], 3, "a.mp4 does not exist"),
        (["--pairs", "a:b", "--average", "4"], 2, "expected an odd number"),
        (["--pairs", "a:b", "--profile", "big"], 2, "expected WIDTHxHEIGHT such as"),
        (["--dataset", "generic", "--root", ".", "--methods", "magic"], 2, "--methods has 'magic'"),
        (["--dataset", "generic", "--root", ".", "--methods", "a=no.pth"], 4, "no.pth do not exist"),
    ],
)
def test_bad_use_has_its_code_and_a_sentence(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.main(["eval", *arguments, "-q"]) == code
    assert said in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize("name", sorted(set(zoo.BUILDERS) - set(zoo.PUBLISHED)))
def test_a_network_without_weights_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["eval", "--dataset", "generic", "--root", ".", "--methods", name, "-q"]) == 4
    said = capsys.readouterr().err.replace("\n", " ")
    assert f"No weights of {name} are published yet." in said and "--weights" in said


def test_unknown_clips_are_refused(blur_and_truth: Path) -> None:
    with pytest.raises(UsageError, match="no clip b; known: a"):
        clip_names(EvalConfig("generic", blur_and_truth, clips=("b",)))


def test_sets_of_metrics_have_names() -> None:
    assert choose_metrics("paper,tof") == ("psnr", "ssim", "lpips-alex", "tof")
    assert "niqe" in choose_metrics("all")


def test_intervals_hold_the_mean_and_depend_on_the_seed_only() -> None:
    values = np.random.default_rng(0).normal(3.0, 1.0, 12)
    low, high = bootstrap(values, np.ones(12), 5)
    assert low < values.mean() < high and (low, high) == bootstrap(values, np.ones(12), 5)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(12), rel=0.25)


def test_special_clips_stay_out_of_the_main_means() -> None:
    def scores(clip: str, special: bool, value: float, count: int) -> scoring.ClipScores:
        frames = [{"frame": float(i), "psnr": value} for i in range(count)]
        return scoring.ClipScores(clip, "sharp" if special else "shake", special, "input", frames)

    found = [scores("a", False, 20.0, 1), scores("b", False, 30.0, 3), scores("c", True, 90.0, 2)]
    summary = summarise(found, PROTOCOLS["basicsr"], 0)
    assert summary.groups["all"]["input"]["psnr"].value == 25.0
    assert summarise(found, PROTOCOLS["refvsr"], 0).groups["all"]["input"]["psnr"].value == 27.5
    assert summary.groups["sharp"]["input"]["psnr"].value == 90.0
    assert clip_mean(found[0].rows, "ssim") is None


def test_costs_count_what_a_network_does(tiny_weights: Path, blur_and_truth: Path) -> None:
    config = EvalConfig("generic", blur_and_truth, methods=(f"tiny={tiny_weights}", "swap"),
                        profile_sizes=((64, 64), (32, 32)), device="cpu", precision="fp32")  # fmt: skip
    small, large = measure_costs(config, rows.find_models(config))
    assert (small.width, large.width) == (32, 64)
    assert small.flops is not None and large.flops is not None
    assert large.flops == pytest.approx(4 * small.flops, rel=0.01)
    assert small.ms is not None and small.ms > 0 and small.peak_mib is not None
    assert small.parameters == sum(p.numel() for p in AsledFast(TINY).parameters())


def test_other_weights_need_spandrel(tmp_path: Path) -> None:
    path = tmp_path / "nafnet.pth"
    path.write_bytes(b"weights")
    config = EvalConfig("generic", tmp_path, methods=(f"nafnet={path}",))
    (model,) = rows.find_models(config)
    assert model.kind == "single-image"
    with pytest.raises((UsageError, WeightsError), match="spandrel"):
        rows.load_restorer(model, config, (64, 48))


def test_synthetic_sets_are_fixed_and_large_enough() -> None:
    test, valid, strong = EVAL_SETS["test"], EVAL_SETS["valid"], EVAL_SETS["strong"]
    main = [entry for entry in test.clips.values() if not entry.special]
    assert len(main) >= 16 and len(valid.clips) == 10
    assert sum(entry.group == "average" for entry in main) == sum(entry.group == "shake" for entry in main)
    assert {entry.group for entry in test.clips.values() if entry.special} == {"sharp", "bad reference"}
    groups = [entry.group for entry in strong.clips.values() if not entry.special]
    assert sorted(groups) == ["average"] * 5 + ["shake"] * 5
    assert not set(test.clips) & set(valid.clips) and not set(strong.clips) & {*test.clips, *valid.clips}
    seeds = [entry.seed for made in (test, valid, strong) for entry in made.clips.values()]
    assert len(set(seeds)) == len(seeds)


def test_sets_of_phone_clips_hold_ten_clips_of_their_own() -> None:
    seen: set[str] = {name for split in ("test", "valid", "strong") for name in EVAL_SETS[split].clips}
    seeds: set[int] = set()
    for split in ("equal", "single", "stereo", "phone"):
        clips = EVAL_SETS[split].clips
        assert len(clips) == 10 and not any(entry.special for entry in clips.values())
        videos = [entry for entry in clips.values() if isinstance(entry.build, VideoClip)]
        assert len(videos) >= 4, "averaged video is in each set"
        assert not seen & set(clips) and not seeds & {entry.seed for entry in clips.values()}
        seen |= set(clips)
        seeds |= {entry.seed for entry in clips.values()}
    for entry in EVAL_SETS["equal"].clips.values():
        settings = entry.build.settings  # type: ignore[attr-defined]
        assert settings.get("ultra_count") == settings.get("count") or (
            settings["ultra_exposure"] == settings["exposure"]
        )


def test_the_defocus_set_holds_ten_clips_without_motion_blur() -> None:
    clips = EVAL_SETS["defocus"].clips
    others = {name for split, made in EVAL_SETS.items() if "defocus" not in split for name in made.clips}
    assert len(clips) == 10 and not set(clips) & others
    assert {entry.group for entry in clips.values()} == {"defocus"}
    assert not any(entry.special for entry in clips.values())
    for entry in clips.values():
        settings = entry.build.settings  # type: ignore[attr-defined]
        assert settings["exposure"] == 0 and settings["focus"].ultra_share <= 0.25


def test_synthetic_clips_need_their_sources(tmp_path: Path) -> None:
    name = sorted(HELD_OUT_PHOTOS)[0]
    cv2.imwrite(str(tmp_path / f"{name}.png"), texture(64, 48))
    config = EvalConfig("synthetic", tmp_path, clips=("juggle_still",), workers=1, split="test")
    with pytest.raises(InputError, match="The clips of this set need sam2_football_juggle"):
        run_eval(config)
    assert "sam2_football_juggle" in HELD_OUT_VIDEOS
    assert issubclass(InputError, AsledError)


@pytest.mark.parametrize(
    ("page", "folder", "split"),
    [
        ("scores.md", "valid", "valid"),
        ("scores.md", "test", "test"),
        ("scores.md", "strong", "strong"),
        ("scores.md", "valid-uncompressed", "valid-uncompressed"),
        ("scores.md", "test-uncompressed", "test-uncompressed"),
        ("scores.md", "strong-uncompressed", "strong-uncompressed"),
        ("results.md", "ten", "test"),
    ],
)
def test_an_old_report_says_so(page: str, folder: str, split: str) -> None:
    """Reports in docs/ are of the current weights and clips, or marked as out of date."""
    root = Path(__file__).parents[2]
    report = json.loads((root / "benchmarks" / "scores" / folder / "scores.json").read_text())
    made_with = {model["name"]: model["sha256"] for model in report["models"]}["asled-fast"]
    same_clips = report.get("set_version", 1) == EVAL_SETS[split].version
    of_today = same_clips and made_with == zoo.published("asled-fast").sha256
    line = f"**Out of date:** made with weights {made_with[:12]}"
    assert (line in (root / "docs" / page).read_text()) == (not of_today), (
        f"the report is current again: remove the **Out of date** line out of docs/{page}"
        if of_today
        else f"docs/{page} must say {line!r}, or its command must be run again"
    )


def test_crops_show_where_the_input_is_worst(tmp_path: Path) -> None:
    """Wherever a network helps: the place is chosen by the input alone."""
    truth = np.full((200, 240, 3), 90, np.uint8)
    blurred = truth.copy()
    blurred[30:60, 150:190] = 160
    (tmp_path / "one").mkdir()
    for view, picture in (("gt", truth), ("blur", blurred)):
        write_frames(tmp_path / "one" / view / "a", np.stack([picture] * 3))
    config = EvalConfig("generic", tmp_path / "one", methods=("input",), workers=1, cache=tmp_path / "work")
    (name, crop), (_, wanted) = pictures._crops(run.evaluate(config), "a")
    assert name == "input" and crop.shape == wanted.shape == (160, 160, 3)
    assert (crop == 160).all(axis=2).sum() == 30 * 40 and (wanted == 90).all()
