"""NIQE and BRISQUE, which judge a picture without a truth, through pyiqa (an optional extra)."""

from collections.abc import Callable
from typing import Literal

import torch

from asled_cli.errors import UsageError
from asled_cli.lab.metrics.fidelity import Picture


def load_natural(name: Literal["niqe", "brisque"]) -> Callable[[Picture], float]:
    """The score as a function of a picture (H, W, 3), 0..1; lower is better.

    Raises UsageError if pyiqa is not installed, or cannot fetch the model it needs.
    """
    try:
        import pyiqa
    except ImportError as error:
        raise UsageError(
            f"{name} needs the package pyiqa ({error}).",
            "Install it: pip install pyiqa (its licence is for non-commercial use only).",
        ) from error
    try:
        metric = pyiqa.create_metric(name, device="cpu")
    except (OSError, RuntimeError) as error:
        raise UsageError(f"pyiqa cannot load {name}: {error}.") from error

    def score(picture: Picture) -> float:
        with torch.inference_mode():
            return float(metric(torch.from_numpy(picture).float().permute(2, 0, 1)[None].clamp(0, 1)))

    return score
