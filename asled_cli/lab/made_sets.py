"""The fixed sets of made clips that scores are given on: `valid`, which choices are made by, and `test`.

Each once as phones code it, and once uncoded: what coding took away, no reference can give back.
"""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace

from asled_cli.lab import test_set
from asled_cli.lab.degrade import without_coding
from asled_cli.lab.made_pair import MadePair
from asled_cli.lab.sources import Sources
from asled_cli.lab.validation_clips import VALIDATION_CLIPS, VALIDATION_VERSION


@dataclass(frozen=True, slots=True)
class MadeEntry:
    """One clip of a set; group and special as in `evaluation.clips.ScoreClip`."""

    group: str
    special: bool
    seed: int
    build: Callable[[Sources, int], MadePair]


@dataclass(frozen=True, slots=True)
class MadeSet:
    """A named list of made clips from held-out sources, always the same for one version."""

    name: str
    version: int
    clips: Mapping[str, MadeEntry]
    coded: bool = True
    """Whether clips went through an encoder, as their looks say."""

    def make(self, sources: Sources, name: str) -> MadePair:
        """The clip called `name`. Raises InputError if a source is not there."""
        entry = self.clips[name]
        with nullcontext() if self.coded else without_coding():
            return entry.build(sources, entry.seed)


def _validation_entries() -> dict[str, MadeEntry]:
    """The ten clips of `validation_clips` with the seeds they have there."""
    entries = {}
    for seed, (name, build) in enumerate(VALIDATION_CLIPS.items(), start=1000):
        group = "shake" if "shake" in name or "layers" in name else "average"
        entries[name] = MadeEntry(group, False, seed, build)
    return entries


def _test_entries() -> dict[str, MadeEntry]:
    return {
        name: MadeEntry(clip.group, clip.group not in test_set.MAIN_GROUPS, seed, clip.build)
        for seed, (name, clip) in enumerate(test_set.TEST_CLIPS.items(), start=7000)
    }


_VALID = MadeSet("made valid", VALIDATION_VERSION, _validation_entries())
_TEST = MadeSet("made test", test_set.TEST_VERSION, _test_entries())

MADE_SETS: dict[str, MadeSet] = {
    "valid": _VALID,
    "test": _TEST,
    "valid-uncoded": replace(_VALID, name="made valid (uncoded)", coded=False),
    "test-uncoded": replace(_TEST, name="made test (uncoded)", coded=False),
}
