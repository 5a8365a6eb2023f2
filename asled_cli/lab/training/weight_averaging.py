"""Weight average of a training run and its starting weights.

Averaging removes what a network memorised of few scenes before it removes what helps on all scenes (WiSE-FT,
Wortsman et al., CVPR 2022, for classifiers).
"""

import copy
from pathlib import Path

import torch

from asled_cli.errors import AsledError, UsageError, WeightsError
from asled_cli.lab.training.warm_start import are_set_alike, copy_deepened
from asled_cli.runtime.atomic_file import explain_full_disk
from asled_cli.zoo import checkpoint as weights


@torch.no_grad()
def average_weights(start: Path, end: Path, share: float, out: Path) -> None:
    """Write start + share * (end - start) to `out`, computed in float32. share: 0..1.

    `start` may have fewer residual blocks than `end`; missing ones are identities (`copy_deepened`). Raises
    UsageError for another share or if `out` exists, WeightsError if the files are of different networks or
    cannot be read.
    """
    if not 0 <= share <= 1:
        raise UsageError(f"--share is {share}, expected 0 (all of the start) to 1 (all of the end).")
    if out.exists():
        raise _exists(out)
    network = weights.load(end)
    begun, first = copy.deepcopy(network), weights.load(start)
    if not are_set_alike(first, network):
        raise WeightsError(f"{start} holds {first.config}, {end} {network.config}: they cannot be mixed.")
    try:
        copy_deepened(first, begun)
    except ValueError as error:
        raise WeightsError(f"{start} is not the start of {end}: {error}", "Name them in order.") from error
    for own, before in zip(network.parameters(), begun.parameters(), strict=True):
        own.copy_(torch.lerp(before, own, share))
    notes = {"share": str(share), "start": weights.hash_file(start), "end": weights.hash_file(end)}
    try:
        with explain_full_disk(out):
            weights.save(out, weights.architecture(end), network, notes=notes, overwrite=False)
    except AsledError as error:
        if isinstance(error.__cause__, FileExistsError):
            raise _exists(out) from error
        raise


def _exists(out: Path) -> UsageError:
    return UsageError(f"{out} exists already.", "Choose another name.")
