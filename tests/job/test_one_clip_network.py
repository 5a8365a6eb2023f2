"""One clip alone through a network that needs no reference: from file to file, in any pieces, resumed."""

from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch
from factories.clips import make_clip, phone_ticks
from factories.networks import random_weights
from factories.textures import texture
from torch import nn

from asled_cli.errors import InterruptedRunError, UsageError, WeightsError
from asled_cli.job.config import DeblurConfig
from asled_cli.job.records import DeblurResult, Event
from asled_cli.nets.ifan.network import Ifan, IfanConfig
from asled_cli.nets.mtu.config import MtuConfig
from asled_cli.nets.mtu.network import Mtu
from asled_cli.pipeline import Steps, run_deblur
from asled_cli.progress import Progress
from asled_cli.restoration.one_clip_frames import frames_alone
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.decode.reader import ClipReader
from asled_cli.video.encode.encoder import EncodeConfig
from asled_cli.zoo import checkpoint as weights

FRAMES, SIZE = 11, (96, 64)
STEPS = Steps(segment_length=lambda clip: 4)
LOSSLESS = EncodeConfig(codec="h264", crf=1, preset="ultrafast")


def save(path: Path, name: str, module: nn.Module) -> Path:
    torch.manual_seed(0)
    for weight in module.parameters():
        nn.init.normal_(weight, std=0.15)
    weights.save(path, name, module)
    return path


@pytest.fixture(scope="module")
def mtu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights whose memory and look-ahead matter for every pixel."""
    return save(
        tmp_path_factory.mktemp("mtu") / "mtu.safetensors", "mtu", Mtu(MtuConfig(channels=4, blocks=1))
    )


def film(path: Path, places: list[float]) -> Path:
    """A picture that moves to the right, at `places` pixels."""
    wall = texture(240, 120, seed=2, finest=2.0)

    def shown(index: int) -> av.VideoFrame:
        place = np.array([[1, 0, places[index] - 80], [0, 1, -10]])
        picture = cv2.warpAffine(wall, place, SIZE, flags=cv2.INTER_LINEAR)
        return av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
            format="yuv420p", dst_colorspace="ITU709"
        )

    ticks, options = phone_ticks(len(places)), {"crf": "4", "preset": "ultrafast"}
    return make_clip(
        path, codec="libx264", pix_fmt="yuv420p", size=SIZE, ticks=ticks, options=options, shown=shown
    )


def decoded(path: Path) -> list[np.ndarray]:
    with ClipReader(probe_clip(path)) as frames:
        return [frame.rgb >> 8 for frame in frames]


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("moving") / "clip.mp4", [4.0 * t for t in range(FRAMES)])


def deblur(clip: Path, out: Path, report: Any = lambda event: None, **changes: Any) -> DeblurResult:
    job = DeblurConfig(clip, **{"out": out, "encode": LOSSLESS, "precision": "fp32", **changes})
    return run_deblur(job, report, steps=STEPS)


def test_pieces_and_resuming_do_not_change_the_result(moving: Path, mtu: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole.mp4"
    result = deblur(moving, whole, weights=mtu, chunk=FRAMES)
    assert result.plan.choice.method == "network" and result.plan.ultra is None
    assert result.frames_written == FRAMES and result.frames_changed == FRAMES
    assert result.frames_without_reference == 0
    deblur(moving, tmp_path / "pieces.mp4", weights=mtu, chunk=2)
    assert (tmp_path / "pieces.mp4").read_bytes() == whole.read_bytes()

    def stop(event: Event) -> None:
        if isinstance(event, Progress) and event.step == "deblur" and event.done == 6:
            raise InterruptedRunError("Stopped.", "")

    cut = tmp_path / "cut.mp4"
    with pytest.raises(InterruptedRunError):
        deblur(moving, cut, stop, weights=mtu, chunk=3)
    deblur(moving, cut, weights=mtu, chunk=3, resume=True)
    assert cut.read_bytes() == whole.read_bytes()


def test_a_clip_that_stands_still_is_copied(mtu: Path, tmp_path: Path) -> None:
    still = film(tmp_path / "still.mp4", [0.2 * (t % 2) for t in range(FRAMES)])
    result = deblur(still, tmp_path / "out.mp4", weights=mtu, encode=None)
    assert result.copied and result.frames_changed == 0


def test_only_frames_that_move_are_changed(mtu: Path, tmp_path: Path) -> None:
    places = [0.0] * 5 + [4.0, 8.0, 12.0] + [12.0] * 4
    clip = film(tmp_path / "clip.mp4", places)
    result = deblur(clip, tmp_path / "out.mp4", weights=mtu)
    before, after = decoded(clip), decoded(tmp_path / "out.mp4")
    changed = [float(np.abs(a.astype(int) - b).mean()) for a, b in zip(after, before, strict=True)]
    assert max(*changed[:4], *changed[8:]) < 1 < min(changed[5:7])
    assert result.frames_changed < len(places)


def test_defocus_needs_no_motion(tmp_path: Path) -> None:
    path = save(tmp_path / "ifan.safetensors", "ifan", Ifan(IfanConfig(channels=2, filters=1)))
    still = film(tmp_path / "still.mp4", [0.0] * 3)
    result = deblur(still, tmp_path / "out.mp4", weights=path)
    assert result.frames_changed == 3 and "out of focus" in result.plan.expectation


def test_flow_and_cuts_are_those_of_the_frames(tmp_path: Path) -> None:
    clip = film(tmp_path / "clip.mp4", [0.0, 6.0, 12.0])
    with ClipReader(probe_clip(clip)) as frames:
        aligned = list(frames_alone(frames, 0.5))
    assert [a.is_cut for a in aligned] == [False, False, False]
    inner = np.s_[4:-4, 4:-4]
    np.testing.assert_allclose(np.median(aligned[1].flow_previous[inner][..., 0]), -1.5, atol=0.1)
    np.testing.assert_allclose(np.median(aligned[1].flow_next[inner][..., 0]), 1.5, atol=0.1)
    assert not aligned[0].flow_previous.any() and not aligned[2].flow_next.any()
    assert all(a.reference is None and a.blur_around is not None for a in aligned)


def test_a_network_of_two_lenses_does_not_run_on_one_clip(moving: Path, mtu: Path, tmp_path: Path) -> None:
    other = random_weights(tmp_path)
    with pytest.raises(UsageError, match="--weights concerns a network, but one clip is deblurred alone"):
        deblur(moving, tmp_path / "out.mp4", weights=other)
    with pytest.raises(UsageError, match="--offset concerns a second clip"):
        deblur(moving, tmp_path / "out.mp4", weights=mtu, offset_s=0.0)
    with pytest.raises(WeightsError, match="do not exist"):
        deblur(moving, tmp_path / "out.mp4", weights=tmp_path / "none.safetensors")
