"""FLIP: the difference that an eye sees when two pictures alternate (Andersson et al., HPG 2020).

The authors' own program computes it, an extra: `pip install 'asled[metrics]'`.
"""

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np

from asled_cli.errors import UsageError
from asled_cli.metrics.psnr_ssim import Picture


def load_flip() -> Callable[[Picture, Picture], float]:
    """Return the mean FLIP of a result and its truth, (H, W, 3) 0..1: 0 for no visible difference, to 1.

    Raises UsageError where the package is not installed.
    """
    if find_spec("flip_evaluator") is None:
        raise UsageError("FLIP needs a further package: flip-evaluator.", "pip install 'asled[metrics]'")
    from flip_evaluator import evaluate

    def score(result: Picture, truth: Picture) -> float:
        test, reference = (np.ascontiguousarray(picture, np.float32) for picture in (result, truth))
        return float(evaluate(reference, test, "LDR", applyMagma=False)[1])

    return score
