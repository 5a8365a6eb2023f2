"""Records on disk: their types may be written in any notation that libraries use."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from typing_extensions import TypeAliasType

from asled_cli.errors import AsledError
from asled_cli.job.resume.serialization import load_record, save_record
from asled_cli.registration.model.exposure import Exposure, KernelBlur, MotionBlur
from asled_cli.registration.model.ois_path import OisPath

Scalar = TypeVar("Scalar", bound=np.generic)
# As NumPy writes NDArray from 2.5 on, which needs Python 3.12.
Array = TypeAliasType("Array", np.ndarray[Any, np.dtype[Scalar]], type_params=(Scalar,))
Pair = TypeAliasType("Pair", tuple[int, int])


@dataclass(frozen=True)
class Shot:
    """A record with plain and aliased types."""

    size: Pair
    map: Array[np.float64]
    field: Array[np.float32] | None
    plain: np.ndarray[Any, np.dtype[np.float32]]


def test_aliases_of_types_are_followed(tmp_path: Path) -> None:
    field = np.arange(6, dtype=np.float32).reshape(2, 3)
    save_record(tmp_path / "shot", Shot((4, 3), np.eye(3), field, field))
    back = load_record(tmp_path / "shot", Shot)
    assert back.size == (4, 3)
    assert np.array_equal(back.map @ np.eye(3), np.eye(3)) and back.map.dtype == np.float64
    assert np.array_equal(back.field, field) and back.field is back.plain
    save_record(tmp_path / "bare", Shot((4, 3), np.eye(3), None, field))
    assert load_record(tmp_path / "bare", Shot).field is None


def test_a_record_of_another_type_is_refused(tmp_path: Path) -> None:
    save_record(tmp_path / "pair", (4, "three"))
    with pytest.raises(AsledError, match="damaged"):
        load_record(tmp_path / "pair", Pair)


def test_a_record_comes_back_from_a_folder_whose_name_is_no_utf8(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    shot = Shot((3, 2), np.eye(3), None, np.zeros(2, np.float32))
    save_record(folder / "a.safetensors", shot)
    assert load_record(folder / "a.safetensors", Shot).size == (3, 2)


@pytest.mark.parametrize(
    "exposure", [MotionBlur(3.0, discrete_frames=True), KernelBlur(0.6, relative_softness=0.2)]
)
def test_a_union_of_records_comes_back_as_the_record_it_was(tmp_path: Path, exposure: Exposure) -> None:
    path = OisPath(np.arange(2.0), np.zeros((2, 2)), exposure)
    save_record(tmp_path / "path", path)
    assert load_record(tmp_path / "path", OisPath).exposure == exposure
