"""A checkpoint in which one byte changed is refused, wherever it lies in the stored numbers."""

from pathlib import Path

import pytest
import torch

from asled_cli.errors import WeightsError
from asled_cli.lab.training.checkpoints import read_checkpoint


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    torch.save({"step": 3, "network": {"a": torch.full((64,), 1.5), "b": torch.full((64,), 2.5)}}, path)
    data = path.read_bytes()
    assert read_checkpoint(path)["step"] == 3
    for value in (1.5, 2.5):
        at = data.index(torch.full((64,), value).numpy().tobytes()) + 100
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(WeightsError, match="damaged"):
            read_checkpoint(path)
