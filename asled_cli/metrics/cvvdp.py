"""ColorVideoVDP: visible difference of a whole clip, colour and flicker included (Mantiuk et al., 2024).

The authors' own program computes it, an extra: `pip install 'asled[cvvdp]'`.
"""

import importlib
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import torch
from numpy.typing import NDArray

from asled_cli.errors import UsageError

Clip8 = NDArray[np.uint8]
ClipScore = Callable[[Clip8, Clip8, float], float]
DISPLAY = "standard_fhd"  # a 24-inch Full-HD monitor of 200 cd/m2 in an office, seen from 0.6 m
_HINT = "pip install 'asled[cvvdp]'"


def load_cvvdp() -> ClipScore:
    """Return the quality of a result beside its truth in JOD: 10 for no visible difference, less for more.

    Both are (T, H, W, 3) 8-bit sRGB; the third argument is frames per second. Raises UsageError where the
    package is not installed or cannot be loaded.
    """
    if find_spec("pycvvdp") is None:
        raise UsageError("ColorVideoVDP needs a further package: cvvdp.", _HINT)
    try:
        program = importlib.import_module("pycvvdp")
    except (ImportError, RuntimeError, OSError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(
            f"The package cvvdp cannot be loaded: {said}.",
            "It needs a torchvision that is built for this torch.",
        ) from error
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    metric = program.cvvdp(display_name=DISPLAY, heatmap="none", quiet=True, device=device)

    def score(result: Clip8, truth: Clip8, fps: float) -> float:
        with torch.inference_mode():
            quality, _ = metric.predict(result, truth, dim_order="FHWC", frames_per_second=fps)
        return float(quality)

    return score
