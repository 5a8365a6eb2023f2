"""What a plan says, and every reason not to start: one sentence each, with the right kind of error."""

import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from factories.small_pair import HEIGHT, WIDTH, Pair, make_pair, make_scene, view, write_clip

from asled_cli.errors import AsledError, InputError, MemoryLimitError, UsageError, WeightsError
from asled_cli.job.config import DeblurConfig
from asled_cli.job.match import lens_prior
from asled_cli.job.method import FrameSize, choose_pieces, fit_pieces
from asled_cli.job.plan import choose_align_threads, make_plan, memory_of_analysis
from asled_cli.job.records import DeblurPlan
from asled_cli.nets.asled.config import AsledConfig
from asled_cli.nets.asled.costs import estimate_memory
from asled_cli.nets.asled.network import AsledNet
from asled_cli.nets.asled_fast.network import AsledFast
from asled_cli.nets.interface import NetworkInfo
from asled_cli.restoration.oom_fallback import MIN_CHUNK
from asled_cli.runtime.device import free_memory
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.encode.encoder import EncodeConfig
from asled_cli.video.frames import Clip
from asled_cli.zoo import registry as zoo


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make_pair(tmp_path_factory.mktemp("pair"))


def plan_of(pair: Pair, **changes: object) -> DeblurPlan:
    return make_plan(DeblurConfig(pair.wide, pair.ultra, **{"method": "swap", **changes}))  # type: ignore[arg-type]


def test_every_choice_has_a_default(pair: Pair) -> None:
    plan = plan_of(pair)
    assert plan.out == pair.wide.with_name("wide_deblurred.mp4")
    assert plan.frames == 12
    assert plan.start_s == 0 and plan.clock.offset_s == 0
    assert plan.end_s is None
    assert (plan.pair.fov_ratio, plan.encoder.name, plan.encoder.pix_fmt) == (2.0, "libx264", "yuv420p")
    assert "no common sound or motion" in plan.pair.timing.description
    assert plan.memory_bytes > 0
    assert {"wide", "ultra", "frames", "fov_ratio", "offset_s", "device"} <= set(plan.as_dict())


@pytest.mark.parametrize(("size", "frames", "measured_mib"), [((640, 360), 90, 1696), ((448, 252), 90, 988)])
def test_planned_memory_covers_the_analysis(
    pair: Pair, size: tuple[int, int], frames: int, measured_mib: int
) -> None:
    wide = replace(probe_clip(pair.wide), width=size[0], height=size[1])
    few, planned, more = (memory_of_analysis(wide, count) / 2**20 for count in (10, frames, 100 * frames))
    assert measured_mib < planned < 1.3 * measured_mib
    assert few < planned == more  # a long clip is looked at in a few runs


def test_what_is_asked_for_wins(pair: Pair, tmp_path: Path) -> None:
    plan = plan_of(pair, out=tmp_path / "o.mov", fov_ratio=1.85, offset_s=0.05, start_s=0.1, end_s=0.3)
    assert plan.pair.fov_ratio == 1.85
    assert (plan.clock.offset_s, plan.frames) == (Fraction(1, 20), 6)
    start, end = plan.ultra_range
    assert start is not None and end is not None
    assert start <= plan.start_s - plan.clock.offset_s and end >= Fraction(0.3) - plan.clock.offset_s


def test_exposures_belong_to_their_clips_in_any_order(pair: Pair) -> None:
    exposures = {"exposure_s": 0.02, "ultra_exposure_s": 0.001, "offset_s": 0.01}
    plan = plan_of(pair, **exposures)
    assert plan.pair.exposures_s == lens_prior(plan.pair).exposures_s == (0.02, 0.001)
    other_way = replace(pair, wide=pair.ultra, ultra=pair.wide)
    turned = {"exposure_s": 0.001, "ultra_exposure_s": 0.02, "offset_s": -0.01}
    plan = plan_of(other_way, **turned, out=pair.wide.with_name("o.mp4"))
    assert plan.pair.order.swapped and plan.pair.exposures_s == (0.02, 0.001)
    named = {name: getattr(plan.config, name) for name in exposures}
    assert named == exposures and plan.config.wide == pair.wide
    assert plan_of(pair).pair.exposures_s is None


@pytest.mark.parametrize("one", ["exposure_s", "ultra_exposure_s"])
def test_one_exposure_alone_is_refused(pair: Pair, one: str) -> None:
    with pytest.raises(UsageError, match="belong together"):
        plan_of(pair, **{one: 0.01})
    with pytest.raises(UsageError, match="expected"):
        plan_of(pair, **{one: -1.0})


def test_a_part_without_a_reference_is_noted(tmp_path: Path) -> None:
    plan = plan_of(make_pair(tmp_path, frames=20, ultra_frames=8))
    assert any("0.40 s of wide.mp4 lie outside ultra.mp4" in note for note in plan.notes)


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"offset_s": 60.0}, InputError, "share no time"),
        ({"start_s": 5.0}, UsageError, "--start is 5 s, but wide.mp4 ends at 0.400 s"),
        ({"end_s": 0.0, "start_s": None}, UsageError, "--end is 0 s"),
        ({"out": Path("no/such/folder/o.mp4")}, UsageError, "does not exist"),
        ({"out": Path("o.txt")}, UsageError, ".txt"),
        ({"device": "tpu"}, UsageError, "--device is 'tpu', expected auto, cpu"),
        ({"device": "cuda:99"}, UsageError, "There is no device cuda:99"),
        ({"precision": "fp16", "device": "cpu"}, UsageError, "--precision fp16"),
        ({"encode": EncodeConfig(codec="magic")}, UsageError, "magic"),
        ({"encode": EncodeConfig(pix_fmt="magic")}, UsageError, "magic"),
        ({"method": "network", "model": "magic"}, UsageError, "magic"),
        ({"method": "network", "weights": Path("no.safetensors")}, WeightsError, "no.safetensors"),
        ({"truth": Path("no.mp4")}, InputError, "no.mp4 does not exist"),
    ],
)
def test_a_job_that_cannot_be_is_refused(
    changes: dict[str, object], kind: type[AsledError], said: str, pair: Pair
) -> None:
    with pytest.raises(kind) as caught:
        plan_of(pair, **changes)
    assert said in str(caught.value)


def test_an_output_is_never_an_input_and_never_replaced_unasked(pair: Pair, tmp_path: Path) -> None:
    for clip in (pair.wide, pair.ultra, pair.truth):
        with pytest.raises(UsageError, match="input"):
            plan_of(pair, out=clip, truth=pair.truth, encode=EncodeConfig(overwrite=True))
    existing = tmp_path / "there.mp4"
    existing.write_bytes(b"precious")
    with pytest.raises(UsageError, match="exists already"):
        plan_of(pair, out=existing)
    assert plan_of(pair, out=existing, encode=EncodeConfig(overwrite=True)).out == existing
    assert existing.read_bytes() == b"precious"


def test_clips_turned_differently_are_refused(pair: Pair, tmp_path: Path) -> None:
    turned = tmp_path / "turned.mp4"
    write_clip(turned, [view(make_scene(), i, 2.0) for i in range(12)], rotation=90)
    with pytest.raises(InputError, match=r"rotated by 0 degrees, turned.mp4 by 90"):
        plan_of(replace(pair, ultra=turned))


def test_one_file_for_both_needs_two_tracks(pair: Pair) -> None:
    with pytest.raises(InputError, match="one video track, expected two"):
        plan_of(replace(pair, ultra=pair.wide))


def test_a_truth_of_another_size_is_refused(pair: Pair, tmp_path: Path) -> None:
    small = tmp_path / "small.mp4"
    write_clip(small, [view(make_scene(), i, 1.0)[: HEIGHT // 2] for i in range(12)])
    with pytest.raises(InputError, match=f"{WIDTH}x{HEIGHT // 2}"):
        plan_of(pair, truth=small)


def test_pieces_shrink_until_they_fit(pair: Pair) -> None:
    config = DeblurConfig(pair.wide, pair.ultra)
    clip = replace(probe_clip(pair.wide), width=3840, height=2160)
    info = NetworkInfo(overlap=2, halo_px=32, bytes_per_pixel=100)

    def pieces(budget_mib: int, **asked: Any) -> tuple[int, int, int]:
        budget = budget_mib << 20
        chunk, overlap, tile, used, _ = fit_pieces(replace(config, **asked), info, clip, budget, "bf16")
        assert used <= budget
        return chunk, overlap, tile

    assert pieces(60_000) == (12, 2, 0)
    shorter = pieces(12_000)
    assert 4 <= shorter[0] < 12 and shorter[2] == 0
    chunk, _, tile = pieces(5_000)
    assert chunk >= 4 and 0 < tile <= 1088
    assert pieces(60_000, chunk=3, tile=320) == (3, 2, 320)
    assert pieces(60_000, overlap=5) == (12, 5, 0)
    with pytest.raises(MemoryLimitError, match="GiB"):
        pieces(1_000)


@pytest.mark.parametrize(
    ("free_gib", "network", "precision", "chunk", "tile"),
    [
        (20, AsledFast, "bf16", 10, 544),  # the modest budget will do, more would not be faster
        (20, AsledFast, "fp32", 6, 544),
        (2, AsledFast, "bf16", 6, 544),
        (20, AsledNet, "bf16", 8, 0),  # whole frames of the paper's network need more, and get it
        (12, AsledNet, "bf16", 9, 1088),
        (4, AsledNet, "bf16", 5, 544),
        (None, AsledFast, "bf16", 10, 544),  # not known
    ],
)
def test_pieces_follow_the_free_memory(
    free_gib: int | None,
    network: type[AsledNet | AsledFast],
    precision: str,
    chunk: int,
    tile: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    free = None if free_gib is None else free_gib << 30
    monkeypatch.setattr("asled_cli.job.method.free_memory", lambda: free)
    config, size, cpu = DeblurConfig(Path(), Path()), FrameSize(1920, 1080), torch.device("cpu")
    info = network().info
    found = choose_pieces(config, info, size, cpu, precision)
    assert (found[0], found[2]) == (chunk, tile)
    assert found[3] <= 0.6 * (free or 16 << 30)
    monkeypatch.setattr("asled_cli.job.method.free_memory", lambda: 1 << 30)
    with pytest.raises(MemoryLimitError, match=r"0\.6 GiB are free"):
        choose_pieces(config, info, size, cpu, precision)


def test_tiles_are_no_larger_than_a_network_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    config, size, cpu = DeblurConfig(Path(), Path()), FrameSize(1920, 1080), torch.device("cpu")
    info = replace(AsledFast().info, largest_tile_px=480)
    for free_gib in (20, 2, None):
        free = None if free_gib is None else free_gib << 30
        monkeypatch.setattr("asled_cli.job.method.free_memory", lambda free=free: free)
        assert choose_pieces(config, info, size, cpu, "bf16").tile == 480
    asked = replace(config, tile=544)
    monkeypatch.setattr("asled_cli.job.method.free_memory", lambda: None)
    assert choose_pieces(asked, info, size, cpu, "bf16").tile == 544


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
@pytest.mark.parametrize("name", sorted(zoo.BUILDERS))
def test_every_network_restores_1080p_within_24_gb(
    name: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With half of that free; docs/experiments/other-networks.md has what a network takes per pixel."""
    monkeypatch.setattr("asled_cli.job.method.free_memory", lambda: 12 * 10**9)
    with torch.device("meta"):
        info = zoo.build(name, {}).info
    config, size = DeblurConfig(Path(), Path()), FrameSize(1920, 1080)
    found = choose_pieces(config, info, size, torch.device("cpu"), precision)
    assert found[0] >= MIN_CHUNK and found[3] <= 0.6 * 12 * 10**9


@pytest.mark.parametrize(
    ("free_gib", "chunk", "tile"), [(80, 12, 0), (24, 12, 0), (12, 9, 1088), (6, 12, 544)]
)
def test_pieces_follow_the_free_memory_of_a_gpu(
    free_gib: int, chunk: int, tile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (free_gib << 30, 80 << 30))
    config, size, gpu = DeblurConfig(Path(), Path()), FrameSize(1920, 1080), torch.device("cuda")
    found = choose_pieces(config, AsledNet.info, size, gpu, "fp16")
    assert (found[0], found[2]) == (chunk, tile) and found[3] <= 0.6 * (free_gib << 30)


@pytest.mark.parametrize("chunk", [4, 8, 12])
def test_what_is_reckoned_for_the_papers_network_is_what_it_takes(chunk: int) -> None:
    """The two figures that a plan is made of, against the estimate that was fitted to measurements."""
    info, pixels = AsledNet.info, 1920 * 1080
    frames = chunk + info.overlap
    reckoned = pixels * (info.bytes_per_pixel * frames + info.working_bytes_per_pixel)
    needed = estimate_memory(AsledConfig(), 1080, 1920, frames=frames, keep=chunk)
    assert needed <= reckoned < 1.25 * needed


def test_free_memory_is_less_than_all_of_it() -> None:
    free = free_memory()
    if not Path("/proc/meminfo").exists():
        assert free is None
    else:
        assert free is not None and 0 < free < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_what_is_asked_for_is_not_shrunk(pair: Pair) -> None:
    config, clip = DeblurConfig(pair.wide, pair.ultra, chunk=3, tile=0), probe_clip(pair.wide)
    info = NetworkInfo(overlap=2, halo_px=32, bytes_per_pixel=100)
    assert fit_pieces(config, info, clip, 1, "fp32")[:3] == (3, 2, 0)


@pytest.mark.parametrize(
    ("method", "device", "width", "cores", "threads"),
    [
        ("network", "cpu", 1920, 16, 1),
        ("network", "cpu", 1280, 16, 2),
        ("network", "cpu", 640, 1, 1),
        ("network", "cuda", 1920, 16, 4),
        ("network", "cuda", 1920, 2, 2),
        ("network", "cuda", 3840, 16, 2),
        ("swap", "cpu", 7680, 16, 1),
        ("swap", "cpu", 640, 16, 4),
    ],
)
def test_helpers_work_where_cores_and_memory_are_free(
    method: str, device: str, width: int, cores: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asled_cli.job.plan.usable_cores", lambda: cores)
    clip = cast(Clip, SimpleNamespace(width=width, height=width * 9 // 16))
    assert choose_align_threads(method, device, clip) == threads
