"""The clips of the bench are what they are meant to be: blurred everywhere, so that all work is done."""

from pathlib import Path

import pytest

from asled_cli.job.config import DeblurConfig
from asled_cli.job.inspect import inspect_pair
from asled_cli.lab.bench.clips import make_pair


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1280, 720), (1920, 1080)])
def test_the_blur_of_a_large_pair_is_found(tmp_path: Path, size: tuple[int, int]) -> None:
    """Its exposure is a whole interval. In the reduced pictures of the analysis its blur is 3 px or less."""
    wide, ultra = make_pair(tmp_path, 14, size)
    found = inspect_pair(DeblurConfig(wide, ultra))
    assert found.registration.accepted
    assert found.registration.exposure.length == pytest.approx(1.0, abs=0.3)
    assert found.blur_plan.actions == ("deblur",)
