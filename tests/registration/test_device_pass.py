"""The render pass by torch, on torch's CPU device: at least 60 dB to that by OpenCV on every kind of clip."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from factories.networks import random_weights
from factories.small_pair import known_registration, make_scene, view
from numpy.typing import NDArray

from asled_cli.imaging.on_device.codes import Codes, download
from asled_cli.registration.model.exposure import KernelBlur, MotionBlur
from asled_cli.registration.model.ois_path import OisPath
from asled_cli.registration.model.registration import Knot, Registration
from asled_cli.registration.model.tone_curve import Tone
from asled_cli.registration.on_device.full_resolution import DevicePictures
from asled_cli.registration.on_device.fusion import DeviceFusion
from asled_cli.registration.render import ReferenceRenderer
from asled_cli.registration.rendering.aligned_frame import AlignedFrame
from asled_cli.registration.rendering.full_resolution import OpenCvPictures
from asled_cli.registration.rendering.fusion_pictures import OPENCV_FUSION
from asled_cli.registration.rendering.temporal_fusion import fuse_references
from asled_cli.restoration.base import RestoredFrame, restore
from asled_cli.restoration.network import NetworkRestorer, NetworkSetting
from asled_cli.restoration.pictures.changes import OPENCV_CHANGES
from asled_cli.restoration.pictures.device_changes import DeviceChanges
from asled_cli.restoration.swap import SwapRestorer
from asled_cli.video.frames import Frame, FramePair
from asled_cli.zoo import checkpoint as weights

CPU = torch.device("cpu")
NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
FRAMES = 7
LEAST_DB = 60.0
Picture = NDArray[np.uint16]
Times = NDArray[np.float64]
SCENE = make_scene()
MEAN_OF_FIVE, FIVE = MotionBlur(5.0, discrete_frames=True), np.arange(5) - 2.0
TINT = Tone(np.stack([np.linspace(0.02, 0.98, 9), np.linspace(0, 1, 9) ** 0.9, np.linspace(0, 1.1, 9)]))
SHAKE = OisPath(
    np.arange(-9, FRAMES + 9) / 30, np.random.default_rng(3).normal(0, 1, (FRAMES + 18, 2)), MEAN_OF_FIVE
)


def known(exposure: Any = MEAN_OF_FIVE, *, depth: float = 0.4, **changes: Any) -> Registration:
    """The geometry of `film`; depth: of a smooth parallax field, pixels, which the pictures lack."""
    found = replace(known_registration(), tone=TINT, **changes)
    y, x = np.mgrid[0 : found.target_size[1], 0 : found.target_size[0]] / 30
    field = (depth * np.dstack((np.sin(x + y), np.cos(x)))).astype(np.float32)
    return replace(found, knots=(replace(found.knots[0], field=field, exposure=exposure),))


def hdr(picture: NDArray[np.uint8]) -> Picture:
    """Codes of 10 bits, as a decoder gives them, with much of the picture at black or at white."""
    ten = np.clip((picture.astype(np.int32) - 80) * 10, 0, 1023)
    return np.asarray(ten << 6 | ten >> 4, np.uint16)


def sdr(picture: NDArray[np.uint8]) -> Picture:
    return np.asarray(picture, np.uint16) * 257


def film(
    coded: Callable[[NDArray[np.uint8]], Picture] = sdr,
    *,
    missing: Sequence[int] = (),
    cut: int = FRAMES,
    near_px: int = 0,
    times: Times = FIVE,
) -> list[FramePair]:
    """A panning camera. missing: frames without a reference. cut: the first frame of another scene.

    near_px: disparity of an object in the blurred view. times: at which that is exposed, frame intervals.
    """
    pairs = []
    for i in range(FRAMES):
        scene = SCENE if i < cut else 255 - SCENE[:, ::-1]
        exposed = np.mean([view(scene, i + time, 1.0) for time in times], axis=0).astype(np.uint8)
        exposed[24:72, 40:80] = exposed[24:72, 40 + near_px : 80 + near_px]
        target = Frame(i, i, Fraction(i, 30), coded(exposed), None)
        reference = replace(target, rgb=coded(view(scene, i, 2.0)))
        pairs.append(FramePair(target, None if i in missing else reference))
    return pairs


KINDS: dict[str, tuple[Registration, list[FramePair]]] = {
    "plain": (known(depth=0), film()),
    "parallax field": (known(), film()),
    "disparity": (known(baseline=(1.0, 0.0), disparity_reach=0.06), film(near_px=4)),
    "OIS": (known(ois_path=SHAKE), film()),
    "EIS": (known(KernelBlur(0.6)), film(times=np.linspace(-1, 1, 9))),
    "rolling shutter": (known(replace(MEAN_OF_FIVE, rolling_shutter=0.3)), film()),
    "HDR, reference blurred too": (known(reference_exposure=1.2), film(hdr)),
    "cut and missing references": (known(), film(missing=(4, 5, 6), cut=2)),
}


class Both:
    """Aligns by OpenCV and by torch, from one guide."""

    def __init__(self, registration: Registration, device: torch.device) -> None:
        self._opencv, self._torch = OpenCvPictures(registration), DevicePictures(registration, device)

    def keep(self, rgb: Picture) -> tuple[Picture, Codes]:
        return self._opencv.keep(rgb), self._torch.keep(rgb)

    def align(self, reference: tuple[Picture, Codes], knot: Knot, drift: Any) -> tuple[Picture, Codes]:
        return self._opencv.align(reference[0], knot, drift), self._torch.align(reference[1], knot, drift)


@dataclass(frozen=True)
class Rendered:
    """A clip by OpenCV and by torch: aligned, and averaged."""

    opencv: list[AlignedFrame]
    torch: list[AlignedFrame[Codes]]
    opencv_fused: list[AlignedFrame]
    torch_fused: list[AlignedFrame[Codes]]


def render(registration: Registration, pairs: list[FramePair], device: torch.device = CPU) -> Rendered:
    renderer = ReferenceRenderer(registration, pictures=Both(registration, device))
    frames = [frame for pair in pairs for frame in renderer.push(pair)] + renderer.flush()
    opencv, codes = ([replace(f, reference=f.reference and f.reference[i]) for f in frames] for i in (0, 1))
    fused = (
        list(fuse_references(opencv, 2, OPENCV_FUSION)),
        list(fuse_references(codes, 2, DeviceFusion(device))),
    )
    return Rendered(opencv, codes, *fused)  # type: ignore[arg-type]


def agreement_db(one: NDArray[Any], other: NDArray[Any], white: float) -> float:
    error = np.mean(np.square((one.astype(np.float64) - other) / white))
    return float(-10 * np.log10(max(error, 1e-16)))


def references(frames: Sequence[AlignedFrame[Any]]) -> Iterator[Picture | None]:
    for frame in frames:
        one = frame.reference
        yield one if one is None or isinstance(one, np.ndarray) else download(one)


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_weights(tmp_path_factory.mktemp("weights"))


def restorer(weights_file: Path, device: torch.device, *, on_device: bool) -> NetworkRestorer:
    setting = NetworkSetting(device, torch.float32, chunk=4, overlap=2, tile=0, halo_px=16, strength=0.9)
    network = weights.load(weights_file).to(device)
    return NetworkRestorer(network, replace(setting, limits_on_device=on_device))


def results(frames: Sequence[RestoredFrame]) -> list[NDArray[np.float64] | None]:
    """The restored pictures, 0..1; None: left as it is."""
    return [
        None if f.change is None else np.clip(f.target.rgb / 65535 + f.change, 0, 1).astype(np.float64)
        for f in frames
    ]


@pytest.mark.parametrize("device_name", ["cpu", pytest.param("cuda", marks=NEEDS_GPU)])
@pytest.mark.parametrize("kind", KINDS)
def test_references_and_restored_frames_agree_with_those_by_opencv(
    kind: str, device_name: str, weights_file: Path
) -> None:
    device = torch.device(device_name)
    made = render(*KINDS[kind], device)
    for frames, others in ((made.opencv, made.torch), (made.opencv_fused, made.torch_fused)):
        for wanted, found in zip(references(frames), references(others), strict=True):
            assert (wanted is None) == (found is None)
            if wanted is not None and found is not None:
                assert agreement_db(wanted, found, 65535) > LEAST_DB
    for by_opencv, by_torch in (
        (restorer(weights_file, CPU, on_device=False), restorer(weights_file, device, on_device=True)),
        (SwapRestorer(1.0, OPENCV_CHANGES), SwapRestorer(1.0, DeviceChanges(device))),
    ):
        restored = list(restore(made.opencv_fused, by_opencv))
        wanted_frames, found_frames = (
            results(r) for r in (restored, list(restore(made.torch_fused, by_torch)))
        )
        changed = [f for f in restored if f.change is not None and np.abs(f.change).mean() > 0.01]
        assert len(changed) > FRAMES // 2  # they agree on something
        for one, other in zip(wanted_frames, found_frames, strict=True):
            assert (one is None) == (other is None)
            if one is not None and other is not None:
                assert agreement_db(one, other, 1.0) > LEAST_DB
