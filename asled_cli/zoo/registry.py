"""Table of networks: architectures, costs, and published weights.

Importing it does not load torch, so that listing the networks is quick.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from asled_cli.errors import UsageError
from asled_cli.zoo.builders import BUILDERS as BUILDERS
from asled_cli.zoo.builders import ESTIMATOR_BUILDERS, Options


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFile:
    """Record of one published weight file."""

    name: str
    """Name for --model, or for a part of a network in a recipe."""
    file: str
    """Name of the safetensors file."""
    sha256: str
    """SHA-256 of the whole file, 64 hexadecimal digits."""
    licence: str
    """Licence of the weights."""
    parameters: int
    """Number of learnable parameters."""
    paper: str
    """Where the architecture is described."""
    training: str
    """Recipe in examples/recipes, and its training data."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """Measured scores, metric with unit -> value, as in the model card."""
    protocol: str = ""
    """Protocol and clips of the scores."""
    repository: str | None = None
    """Repository on the Hugging Face Hub that also holds the file; None: it comes with the program."""
    revision: str | None = None
    """Commit in that repository."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedNetwork(PublishedFile):
    """Record of the published weights of a whole network."""

    architecture: str
    """Key of `BUILDERS`."""
    options: Options
    """Config of the network; must equal the one in the file's header."""


_FAST: Options = {
    "fine_channels": 32,
    "coarse_channels": 64,
    "encoder_blocks": 1,
    "backward_blocks": 2,
    "forward_blocks": 3,
    "decoder_blocks": 3,
    "fine_state": True,
    "fusion_radius": 3,
    "fusion_channels": 24,
    "fusion_blocks": 2,
    "memory": False,
}

PUBLISHED: dict[str, PublishedNetwork] = {
    "asled-fast": PublishedNetwork(
        name="asled-fast",
        architecture="asled-fast",
        options=_FAST,
        file="asled_fast.safetensors",
        sha256="f9df6b826ee1fd5c0620259b699ea5e5184731383cc9b34884ff749f3a5a6b02",
        licence="MIT",
        parameters=699_760,
        paper="own design, after AsLeD-Net (NeurIPS 2025)",
        training="examples/recipes/asled_fast_cpu.toml, asled_fast_further.toml, asled_fast_fusion.toml, "
        "asled_fast_gpu.toml: 29,100 + 300 + 800 + 784 steps, 2,342 clips",
        scores={"dB over input": 7.74, "dB over swap": 1.37},
        protocol="basicsr PSNR, ten synthetic validation clips (version 3), which also chose the checkpoint",
    ),
    "asled-single": PublishedNetwork(
        name="asled-single",
        architecture="asled-fast",
        options=_FAST,
        file="asled_single.safetensors",
        sha256="a087bf351132148c9478405c183853250e2a6946a13940200438f30e3cd5b3c9",
        licence="MIT",
        parameters=699_760,
        paper="own design, as asled-fast; its references are the clip's own inversions",
        training="examples/recipes/asled_single_cpu.toml, asled_single_further.toml, "
        "asled_single_longer.toml: 900 + 1,050 + 1,200 steps from asled-fast, 193 and 166 clips",
        protocol="see weights/README.md",
    ),
    "asled-blend": PublishedNetwork(
        name="asled-blend",
        architecture="asled",
        options={
            "channels": 64,
            "encoder_blocks": 1,
            "trunk_blocks": 30,
            "decoder_blocks": 30,
            "neighbours": 3,
            "search": {"strategy": "window", "radius": 4, "tile": 8},
            "fusion": "after",
            "warped": "reference",
            "sides": "previous",
            "refinement": "residual",
            "temperature": 0.1,
            "flow_sharing": "shared",
            "skip": "blend",
            "input": "highpass",
            "matching": "alm",
            "dc_blocks": 1,
            "dc_start": "away",
            "merge_attention": False,
            "difference": "dc",
            "motion": "rmc",
        },
        file="asled_blend.safetensors",
        sha256="117ab4f0ae70b161da6b7f1d939191dce815d3fafa36e63f00018b1fe4e22f1c",
        licence="MIT",
        parameters=8_783_602,
        paper="Xiao and Wang, AsLeD-Net (NeurIPS 2025), as the variant skip = blend",
        training="examples/recipes/asled_cpu.toml, asled_h200.toml: 580 + 414 steps",
        scores={"dB over input": 7.01, "dB over swap": 0.65},
        protocol="basicsr PSNR, ten synthetic validation clips (version 3), which also chose the checkpoint",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Costs of a network: of a published one, or of an architecture with its default config."""

    parameters: int
    """Number of learnable parameters."""
    gflop: float
    """10^9 multiplications and additions for one 1920x1080 frame of a long clip, without look-ahead."""
    memory_mib: int | None
    """Peak of a whole `asled deblur` of 1080p clips on a CPU in bf16, in the pieces it chooses with 20 GiB
    free; measured, see benchmarks/results. None: not measured yet. Those of mtu, deblurnet,
    ifan and davanet are of clips of 3 frames, the first three without a second clip."""
    paper: str
    """Where the network is described."""


COSTS: dict[str, Costs] = {
    "asled-fast": Costs(
        parameters=699_760, gflop=270.5, memory_mib=3235, paper="own design, after AsLeD-Net (NeurIPS 2025)"
    ),
    "asled-single": Costs(
        parameters=699_760,
        gflop=270.5,
        memory_mib=2575,
        paper="own design, as asled-fast; its references are the clip's own inversions",
    ),
    "asled-blend": Costs(
        parameters=8_783_602,
        gflop=34_790,
        memory_mib=6444,
        paper="Xiao and Wang, AsLeD-Net (NeurIPS 2025), on a registered reference that its output blends in",
    ),
    "asled": Costs(
        parameters=8_783_025, gflop=34_872, memory_mib=None, paper="Xiao and Wang, AsLeD-Net (NeurIPS 2025)"
    ),
    "mtu": Costs(
        parameters=1_037_325,
        gflop=577,
        memory_mib=1854,
        paper="Real-Time Video Deblurring via Lightweight Motion Compensation (CGF 2022), two units",
    ),
    "deblurnet": Costs(
        parameters=4_593_635, gflop=2_139, memory_mib=1072, paper="Zhou et al., DAVANet (CVPR 2019), one view"
    ),
    "davanet": Costs(
        parameters=8_697_480,
        gflop=3_924,
        memory_mib=1667,
        paper="Zhou et al., DAVANet (CVPR 2019), shifts in x and y; 8,683,070 with x only",
    ),
    "ifan": Costs(
        parameters=10_476_996,
        gflop=1_627,
        memory_mib=1079,
        paper="Lee et al., IFAN (CVPR 2021), for frames out of focus",
    ),
    "refvsr": Costs(
        parameters=4_201_878,
        gflop=8_749,
        memory_mib=None,
        paper="Lee et al., RefVSR (CVPR 2022), without the enlargement and with the registration's flow",
    ),
}
"""By name of a published network, or of an architecture that has none of its name."""

ESTIMATORS: dict[str, Costs] = {
    "dmenet": Costs(
        parameters=25_349_025,
        gflop=5_134,
        memory_mib=None,
        paper="Lee et al., DMENet (CVPR 2019): a map of defocus, no restoration",
    )
}
"""Networks that measure and do not restore, which `--model` does not take."""

PARTS: dict[str, PublishedFile] = {
    "spynet": PublishedFile(
        name="spynet",
        file="spynet.safetensors",
        sha256="3a3a8dfe3af16bc356ac5d2b8a621ab235835a6996ade01335f246351f6349d9",
        licence="MIT",
        parameters=1_440_300,
        paper="Ranjan and Black, SPyNet (CVPR 2017)",
        training="examples/recipes/flow_cpu.toml with its phases cut short, 2,900 steps",
        scores={"px error": 3.61, "px of OpenCV's DIS": 2.26, "px of no motion": 7.34},
        protocol="mean over all pixels of 48 synthetic pairs of 192 x 192 from photos never trained on",
    )
}
"""Parts of networks that were trained separately, by name; recipes can start from them."""

UNNAMED: dict[str, dict[str, Any]] = {
    "asled-fast": {"fusion_radius": 0},
    "asled": {"dc_start": "away"},
}
"""Options that older weight files do not name, and their values there."""

DEFAULT = "asled-fast"
"""The network used when none is named."""

ALONE = "asled-single"
"""The network that merges a clip's frames with their own inversion, where no second clip helps."""


def published(name: str) -> PublishedNetwork:
    """Return the record of a published network. Raises UsageError if there is none of this name."""
    if name not in PUBLISHED:
        known = ", ".join(sorted(PUBLISHED)) or "none yet"
        raise UsageError(f"There are no published weights called {name!r}.", f"Published: {known}.")
    return PUBLISHED[name]


def build(architecture: str, options: Options) -> Any:
    """Build an untrained network (torch.nn.Module and VideoNetwork); `options` as in its config.

    Raises UsageError for an unknown architecture or option.
    """
    builders = BUILDERS | ESTIMATOR_BUILDERS
    if architecture not in builders:
        raise UsageError(
            f"There is no network {architecture[:60]!r}.", f"Known: {', '.join(sorted(builders))}."
        )
    try:
        return builders[architecture](options)
    except (TypeError, ValueError) as error:
        said = str(error).removesuffix(".")
        raise UsageError(f"{architecture} does not take these options: {said}.") from error
