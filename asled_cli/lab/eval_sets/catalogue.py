"""The fixed synthetic sets of published scores: choices are based on `valid` only.

Each set exists with phone-like compression and uncompressed, because compression limits what any method can
restore.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from asled_cli.lab.datasets.sources import Sources
from asled_cli.lab.eval_sets import defocus, held_out, phone_sets, strong_blur
from asled_cli.lab.eval_sets.builders import ClipMaker, SetClip
from asled_cli.lab.eval_sets.validation import VALIDATION_CLIPS, VALIDATION_VERSION
from asled_cli.lab.synthesis.synthetic_pair import SyntheticPair

# The groups whose clips make up the mean of a set.
MAIN_GROUPS = (*held_out.MAIN_GROUPS, *phone_sets.STEREO_GROUPS, defocus.GROUP)


@dataclass(frozen=True, slots=True)
class EvalClip:
    """One clip of a set; group and special as in `scoring.clips.ScoreClip`."""

    group: str
    special: bool
    seed: int
    build: ClipMaker


@dataclass(frozen=True, slots=True)
class EvalSet:
    """Named list of synthetic clips from held-out sources, constant for one version."""

    name: str
    version: int
    clips: Mapping[str, EvalClip]
    compressed: bool = True
    """Whether clips were encoded, as their sensors specify."""

    def make(self, sources: Sources, name: str) -> SyntheticPair:
        """Return the clip called `name`. Raises InputError if a source is missing."""
        entry = self.clips[name]
        return entry.build(sources, entry.seed, compressed=self.compressed)


def _validation_entries() -> dict[str, EvalClip]:
    """Return the ten clips of `validation` with the seeds that they have there."""
    entries = {}
    for seed, (name, build) in enumerate(VALIDATION_CLIPS.items(), start=1000):
        group = "shake" if "shake" in name or "layers" in name else "average"
        entries[name] = EvalClip(group, False, seed, build)
    return entries


def _entries(clips: Mapping[str, SetClip], first_seed: int) -> dict[str, EvalClip]:
    return {
        name: EvalClip(clip.group, clip.group not in MAIN_GROUPS, seed, clip.build)
        for seed, (name, clip) in enumerate(clips.items(), start=first_seed)
    }


_VALID = EvalSet("synthetic valid", VALIDATION_VERSION, _validation_entries())
_TEST = EvalSet("synthetic test", held_out.TEST_VERSION, _entries(held_out.TEST_CLIPS, 7000))
_STRONG = EvalSet("synthetic strong", strong_blur.STRONG_VERSION, _entries(strong_blur.STRONG_CLIPS, 9000))
_PHONE_SETS = {
    name: EvalSet(f"synthetic {name}", phone_sets.PHONE_SETS_VERSION, _entries(clips, first_seed))
    for name, clips, first_seed in (
        ("equal", phone_sets.EQUAL_CLIPS, 11000),
        ("single", phone_sets.SINGLE_CLIPS, 12000),
        ("stereo", phone_sets.STEREO_CLIPS, 13000),
        ("phone", phone_sets.PHONE_CLIPS, 14000),
    )
}
_DEFOCUS = EvalSet("synthetic defocus", defocus.DEFOCUS_VERSION, _entries(defocus.DEFOCUS_CLIPS, 15000))
_COMPRESSED = {"valid": _VALID, "test": _TEST, "strong": _STRONG, **_PHONE_SETS, "defocus": _DEFOCUS}

EVAL_SETS: dict[str, EvalSet] = _COMPRESSED | {
    f"{split}-uncompressed": replace(made, name=f"{made.name} (uncompressed)", compressed=False)
    for split, made in _COMPRESSED.items()
}
