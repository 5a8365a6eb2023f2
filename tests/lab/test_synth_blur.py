"""`asled synth-blur`: exact means, exact flow, equal bytes; what it writes, the layouts read."""

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from factories.textures import moving_video, psnr, texture, write_video
from numpy.typing import NDArray

from asled_cli.cli import app
from asled_cli.errors import InputError, UsageError
from asled_cli.imaging.homography import pixel_grid
from asled_cli.lab.datasets.image_sequence import PictureArray
from asled_cli.lab.datasets.layouts import open_pictures, read_layout
from asled_cli.lab.datasets.sources import find_clips
from asled_cli.lab.synthesis.clip import SynthConfig
from asled_cli.lab.synthesis.frame_interpolation import InterpolatedPictures
from asled_cli.lab.synthesis.pair_files import FilesConfig
from asled_cli.lab.synthesis.run import SynthJob, synth_blur

Clip8 = NDArray[np.uint8]


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sharp")
    write_video(folder / "walk.mp4", moving_video(12, 256, 192))
    (folder / "photos").mkdir()
    for seed in range(2):
        cv2.imwrite(str(folder / "photos" / f"photo{seed}.png"), texture(420, 360, seed=seed, finest=2.0))
    return folder


def load(folder: Path) -> Clip8:
    pictures = open_pictures(folder)
    return np.stack([pictures[i] for i in range(len(pictures))])


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize(("count", "stride"), [(7, 1), (3, 2)])
def test_a_mean_is_numpys_mean_of_the_decoded_frames(
    material: Path, tmp_path: Path, count: int, stride: int
) -> None:
    arguments = ["--window", str(count), "--stride", str(stride), "-j", "1", "-q"]
    assert app.main(["synth-blur", str(material / "walk.mp4"), "-o", str(tmp_path), *arguments]) == 0
    decoded = load(material / "walk.mp4").astype(np.float64)
    parameters = json.loads((tmp_path / "manifest.json").read_text())["clips"]["walk"]["parameters"]
    x, y = (int(v) for v in parameters["corner"])
    blur, truth = load(tmp_path / "blur" / "walk"), load(tmp_path / "gt" / "walk")
    window = np.s_[:, y : y + truth.shape[1], x : x + truth.shape[2]]
    assert len(blur) == (12 - count) // stride + 1
    for t in range(len(blur)):
        mean = decoded[t * stride : t * stride + count][window].mean(0)
        np.testing.assert_array_equal(blur[t], np.rint(mean))
        np.testing.assert_array_equal(truth[t], decoded[t * stride + count // 2][window[1:]])


def test_both_lenses_of_a_real_pair_are_averaged(tmp_path: Path) -> None:
    wide, ultra = moving_video(9, 64, 48), moving_video(9, 64, 48)[:, ::-1]
    for view, frames in (("W", wide), ("UW", ultra)):
        folder = tmp_path / "tree" / "test" / "HR" / view / "0001"
        folder.mkdir(parents=True)
        for t, frame in enumerate(frames):
            cv2.imwrite(str(folder / f"{t:04d}.png"), frame[..., ::-1])
    job = SynthJob(
        sources=[tmp_path / "tree"], out=tmp_path / "out", jobs=1,
        synth=SynthConfig(window=5, ultra_window=3), files=FilesConfig(layout="realmcvsr", split="test"),
    )  # fmt: skip
    assert synth_blur(job).written == 1
    (clip,) = read_layout("realmcvsr", tmp_path / "out", "test")
    assert clip.frames == 5 and clip.reference is not None
    for t in range(5):
        np.testing.assert_array_equal(clip.target[t], np.rint(wide[t : t + 5].astype(np.float64).mean(0)))
        np.testing.assert_array_equal(clip.truth[t], wide[t + 2])
        np.testing.assert_array_equal(
            clip.reference[t], np.rint(ultra[t + 1 : t + 4].astype(np.float64).mean(0))
        )


@pytest.mark.parametrize("store", ["frames", "video"])
@pytest.mark.parametrize("mode", ["average", "shake", "defocus"])
def test_equal_seeds_give_equal_bytes(material: Path, tmp_path: Path, mode: str, store: str) -> None:
    source = material / ("walk.mp4" if mode == "average" else "photos")
    arguments = ["--mode", mode, "--frames", "3", "--degrade", "phone", "--format", store, "-q", "-j", "1"]
    arguments += ["--size", "96x64", "--ratio", "1.9"]
    for name, seed in (("one", "5"), ("same", "5"), ("other", "6")):
        out = str(tmp_path / name)
        assert app.main(["synth-blur", str(source), "-o", out, *arguments, "--seed", seed]) == 0
    one, same, other = (files(tmp_path / name) for name in ("one", "same", "other"))
    assert one == same
    assert one != other and one.keys() == other.keys()


def test_several_processes_make_the_same_bytes(material: Path, tmp_path: Path) -> None:
    for jobs in (1, 2):
        job = SynthJob(
            sources=[material / "photos"], out=tmp_path / str(jobs), jobs=jobs,
            synth=SynthConfig(mode="shake", frames=2, size=(64, 48)),
        )  # fmt: skip
        assert synth_blur(job).written == 2
    assert files(tmp_path / "1") == files(tmp_path / "2")


def test_videos_hold_the_same_pictures_as_folders(material: Path, tmp_path: Path) -> None:
    for store in ("frames", "video"):
        arguments = ["--frames", "3", "--clips", "1", "--format", store, "-j", "1", "-q"]
        assert (
            app.main(["synth-blur", str(material / "walk.mp4"), "-o", str(tmp_path / store), *arguments]) == 0
        )
    for view in ("blur", "gt", "ref"):
        np.testing.assert_array_equal(
            load(tmp_path / "frames" / view / "walk"), load(tmp_path / "video" / view / "walk.mkv")
        )


def test_flow_takes_one_truth_to_the_next(material: Path, tmp_path: Path) -> None:
    """The next truth, warped along the written flow, differs little from this truth."""
    arguments = [
        "--mode",
        "shake",
        "--degrade",
        "none",
        "--frames",
        "3",
        "--flow",
        "--occlusion",
        "--layers",
        "1",
    ]
    arguments += ["--size", "128x96", "--blur-px", "10", "-j", "1", "-q"]
    assert (
        app.main(["synth-blur", str(material / "photos" / "photo0.png"), "-o", str(tmp_path), *arguments])
        == 0
    )
    truth = load(tmp_path / "gt" / "photo0")
    x, y = pixel_grid((128, 96))
    for t in range(2):
        flow = cv2.readOpticalFlow(str(tmp_path / "flow" / "photo0" / f"{t:04d}.flo"))
        hidden = cv2.imread(str(tmp_path / "occlusion" / "photo0" / f"{t:04d}.png"), cv2.IMREAD_GRAYSCALE)
        assert hidden is not None and np.abs(flow).max() > 1
        seen = cv2.erode((hidden == 0).astype(np.uint8), np.ones((5, 5))) > 0
        there = cv2.remap(truth[t + 1], x + flow[..., 0], y + flow[..., 1], cv2.INTER_CUBIC)
        assert seen.mean() > 0.3
        assert psnr(there[seen], truth[t][seen]) > 30
        assert psnr(there[seen], truth[t][seen]) > psnr(truth[t + 1][seen], truth[t][seen]) + 6
    assert len(list((tmp_path / "flow_to_ref" / "photo0").glob("*.flo"))) == 3


def test_scoring_reads_what_is_written(material: Path, tmp_path: Path) -> None:
    arguments = ["--frames", "2", "--clips", "1", "-j", "1", "-q"]
    assert (
        app.main(["synth-blur", str(material / "walk.mp4"), "-o", str(tmp_path / "pairs"), *arguments]) == 0
    )
    arguments = ["--root", str(tmp_path / "pairs"), "--methods", "input", "--out", str(tmp_path / "scores")]
    assert app.main(["eval", "--dataset", "generic", *arguments, "-q"]) == 0
    assert (tmp_path / "scores" / "scores.json").exists()


def test_a_stopped_run_goes_on(material: Path, tmp_path: Path) -> None:
    job = SynthJob(
        sources=[material / "photos"], out=tmp_path, jobs=1,
        synth=SynthConfig(mode="shake", frames=2, size=(64, 48)),
    )  # fmt: skip
    synth_blur(job)
    whole = files(tmp_path)
    (tmp_path / "manifest" / "photo1.clip.json").unlink()
    (tmp_path / "gt" / "photo1" / "0001.png").unlink()
    result = synth_blur(job)
    assert (result.written, result.kept) == (1, 1)
    assert files(tmp_path) == whole
    other = dataclasses.replace(job, synth=dataclasses.replace(job.synth, seed=1))
    with pytest.raises(UsageError, match="holds clips made with seed = 0, asked for is 1"):
        synth_blur(other)


def test_interpolation_finds_the_frames_between() -> None:
    """Of a video at double rate, every second frame is left out and found again."""
    everything = moving_video(7, 96, 80)
    found = InterpolatedPictures(PictureArray(everything[::2]), 2)
    assert len(found) == 7
    inner = np.s_[8:-8, 8:-8]
    for t in range(7):
        if t % 2 == 0:
            np.testing.assert_array_equal(found[t], everything[t])
        else:
            mean = everything[t - 1 : t + 2 : 2].mean(0)
            assert psnr(found[t][inner], everything[t][inner]) > 30 > psnr(mean[inner], everything[t][inner])


def test_a_long_video_gives_several_clips(material: Path, tmp_path: Path) -> None:
    arguments = ["--frames", "2", "--window", "3", "-j", "1", "-q"]
    assert app.main(["synth-blur", str(material / "walk.mp4"), "-o", str(tmp_path), *arguments]) == 0
    assert [p.name for p in sorted((tmp_path / "gt").iterdir())] == [f"walk_{i:03d}" for i in range(5)]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["{walk}", "--window", "6"], 2, "--window is 6, expected an odd number"),
        (["{walk}", "--flow"], 2, "need --mode shake"),
        (["{walk}", "--layers", "2"], 2, "--layers means nothing with --mode average"),
        (["{photos}", "--mode", "shake", "--stride", "2"], 2, "--stride means nothing with --mode shake"),
        (["{walk}", "--eis-window", "5"], 2, "--eis-window means nothing with --mode average"),
        (["{photos}", "--mode", "defocus", "--rolling-shutter", "1"], 2, "--rolling-shutter means nothing"),
        (["{photos}", "--mode", "shake", "--circle-px", "3"], 2, "--circle-px means nothing with --mode sha"),
        (["{photos}", "--mode", "defocus", "--circle-px", "-1"], 2, "--circle-px is -1"),
        (
            ["{photos}", "--mode", "shake", "--eis-window", "-1"],
            2,
            "--eis-window is -1, expected 0 to 100",
        ),
        (["{walk}", "--size", "big"], 2, "expected WIDTHxHEIGHT"),
        (["{walk}", "--window", "21"], 3, "has 12 frames, need at least 21"),
        (["{walk}", "--ultra", "{walk}", "--ultra", "{walk}"], 2, "--ultra is given 2 times for 1 sources"),
        (["nowhere.mp4"], 3, "nowhere.mp4 does not exist"),
        (["{photo}"], 3, "A photo can only be shaken"),
        (["{photo}", "--mode", "shake", "--size", "640x480"], 3, "too small for a 640x480 clip"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    arguments: list[str],
    code: int,
    said: str,
    material: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = {"{walk}": material / "walk.mp4", "{photos}": material / "photos"}
    places["{photo}"] = material / "photos" / "photo0.png"
    given = [str(places.get(word, word)) for word in arguments]
    assert app.main(["synth-blur", *given, "-o", str(tmp_path / "out"), "-j", "1"]) == code
    error = capsys.readouterr().err.replace("\n", " ")
    assert said in error and "Traceback" not in error


def test_lenses_that_do_not_belong_together_are_named(tmp_path: Path) -> None:
    for view, name in (("W", "0000.png"), ("UW", "0001.png")):
        folder = tmp_path / "train" / "HR" / view / "0001"
        folder.mkdir(parents=True)
        cv2.imwrite(str(folder / name), texture(32, 32))
    with pytest.raises(InputError, match="Frame 0000 is in only one of"):
        find_clips([tmp_path])


def test_folders_of_others_are_neither_replaced_nor_removed(tmp_path: Path) -> None:
    """The output is the folder of the sources, or holds other clips of the same name."""
    tree = tmp_path / "RealMCVSR"
    for lens in ("W", "UW"):
        (tree / "train/HR" / lens / "0001").mkdir(parents=True)
        for index, picture in enumerate(moving_video(8, 64, 48)):
            cv2.imwrite(str(tree / "train/HR" / lens / "0001" / f"{index:04d}.png"), picture)
    before = files(tmp_path)
    job = SynthJob(
        sources=[tree], out=tree, jobs=1, synth=SynthConfig(window=3), files=FilesConfig(layout="realmcvsr")
    )
    with pytest.raises(UsageError, match=r"W/0001 exists, and asled did not write it"):
        synth_blur(job)
    assert files(tmp_path) == before


@pytest.mark.parametrize("name", ["manifest.json", "manifest/mine.txt", "manifest/settings.json"])
def test_lists_of_others_are_not_replaced(name: str, material: Path, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("{}")
    job = SynthJob(sources=[material / "walk.mp4"], out=tmp_path, jobs=1, synth=SynthConfig(window=3))
    with pytest.raises(UsageError, match="asled"):
        synth_blur(job)
    assert files(tmp_path) == {name: b"{}"}


def test_a_clip_whose_record_is_missing_is_made_again_unless_it_was_edited(
    material: Path, tmp_path: Path
) -> None:
    job = SynthJob(sources=[material / "walk.mp4"], out=tmp_path, jobs=1, synth=SynthConfig(window=3))
    synth_blur(job)
    before, record = files(tmp_path), tmp_path / "manifest" / "walk.clip.json"
    record.unlink()
    assert synth_blur(job).written == 1 and files(tmp_path) == before
    record.unlink()
    (tmp_path / "gt" / "walk" / "mine.png").write_bytes(b"mine")
    with pytest.raises(UsageError, match="gt/walk exists, and asled did not write it"):
        synth_blur(job)
    assert (tmp_path / "gt" / "walk" / "mine.png").read_bytes() == b"mine"
