"""Write a network's frame step as ONNX or as a program of torch.export, and compare it with PyTorch."""

import shutil
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asled_cli.errors import AsledError, UsageError
from asled_cli.guide import GUIDE_STRIDE
from asled_cli.lab.export.step import INPUTS, FrameStep, run_steps
from asled_cli.nets.interface import ChunkInputs
from asled_cli.nets.warp import portable_sampling
from asled_cli.runtime.atomic_file import cannot_write, private_folder, publish
from asled_cli.zoo import checkpoint

SUFFIXES = (".onnx", ".pt2")
OPSET = 20  # the first with cubic GridSample under its present name
TOLERANCE = 1e-4  # largest difference from PyTorch, of full scale
EXAMPLE = (24, 32)  # rows and columns of the guide that the export is traced with
CHECKED = (18, 22)  # of the clip that the result is compared on: another size
FRAMES = 5  # of that clip


def export_to(
    path: Path, model: str, weights: Path | None = None, *, overwrite: bool = False
) -> dict[str, Any]:
    """Export a network of the zoo, or the one in `weights`, and return what was written, by label.

    The file is published complete and compared, or not at all. Raises as `export_network`, and UsageError if
    `path` must not or cannot be written, WeightsError as `zoo.checkpoint.load`.
    """
    check_ending(path)
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists already.", "Choose another name, or replace it with --overwrite.")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"The folder {path.absolute().parent} does not exist.", "Make it first.")
    found = checkpoint.find(model, weights)
    network = checkpoint.load(found)
    folder = private_folder(path)
    try:
        part = folder / f"part{path.suffix.lower()}"
        difference = export_network(network, checkpoint.architecture(found), part)
        publish(part, path, overwrite)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    step = FrameStep(network)
    return {
        "file": str(path),
        "weights": str(found),
        "window": f"{step.frames} frames, the first of which is finished",
        "warm-up": f"{step.warm_up} calls",
        "state": ", ".join(step.state_names),
        "frame size": f"free, in multiples of {step.multiple} pixels",
        "difference from PyTorch": f"{difference:.1e}",
    }


def export_network(network: Any, name: str, path: Path) -> float:
    """Write `network` to `path` (.onnx or .pt2) and return the largest difference from PyTorch on a clip.

    The frame size is free, in multiples of the network's `size_multiple`. Raises UsageError for other
    endings and where a package is missing, AsledError if the network cannot be exported or the file gives
    other results.
    """
    suffix = path.suffix.lower()
    check_ending(path)
    step = FrameStep(network)
    with portable_sampling(), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about its own code
        try:
            program = _program(step)
        except (RuntimeError, ValueError, NotImplementedError) as error:  # what torch.export raises
            raise AsledError(
                f"{name} cannot be exported: it uses operations that torch.export does not take "
                f"({str(error).splitlines()[0][:200]}).",
                "asled-fast can be.",
            ) from error
        if suffix == ".onnx":
            _write_onnx(program, step, path)
        else:
            torch.export.save(program, path)
        difference = compare(step, path)
    if not difference <= TOLERANCE:
        raise AsledError(
            f"The exported {name} differs from PyTorch by {difference:.1e}, expected {TOLERANCE:.0e} or less."
        )
    return difference


def check_ending(path: Path) -> None:
    """Raise UsageError for an ending other than SUFFIXES, or where the packages for it are missing."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--out is {path.name!r}, expected a name that ends in {' or '.join(SUFFIXES)}.")
    if path.suffix.lower() == ".onnx":
        missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if not _is_there(name)]
        if missing:
            raise UsageError(
                f"ONNX export needs further packages: {', '.join(missing)}.",
                "Install them: pip install 'asled[export]'.",
            )


def _is_there(name: str) -> bool:
    from importlib.util import find_spec

    return find_spec(name) is not None


def _program(step: FrameStep) -> torch.export.ExportedProgram:
    """Return the traced step, with a free frame size."""
    example = step.example(*EXAMPLE)
    state = step.first_state(*EXAMPLE)
    given = tuple(getattr(example, name) for name in INPUTS) + state
    rows, columns = (torch.export.Dim(name, min=4, max=4096) for name in ("rows", "columns"))
    unit = step.multiple // GUIDE_STRIDE  # pixels of the guide
    shapes = tuple(_free(part, rows, columns, unit) for part in given)
    return torch.export.export(step, given, dynamic_shapes=(shapes,), strict=False)


def _free(part: Tensor, rows: Any, columns: Any, unit: int) -> dict[int, Any]:
    """Return the free dimensions of one input: multiples of `rows` and `columns`.

    unit: pixels of the guide for each of them.
    """
    if part.ndim < 4:
        return {}
    down, across = (part.shape[at] * unit // size for at, size in zip((-2, -1), EXAMPLE, strict=True))
    at = part.ndim - 2
    return {at: down * rows if down > 1 else rows, at + 1: across * columns if across > 1 else columns}


def _write_onnx(program: torch.export.ExportedProgram, step: FrameStep, path: Path) -> None:
    torch.onnx.export(
        program,
        (),
        path,
        input_names=[*INPUTS, *(f"{name}_before" for name in step.state_names)],
        output_names=["restored", *(f"{name}_after" for name in step.state_names)],
        opset_version=OPSET,
        external_data=False,
        dynamo=True,
        verbose=False,
    )


def compare(step: FrameStep, path: Path) -> float:
    """Return the largest difference of the file from PyTorch over a clip of another size than traced."""
    window = step.example(*CHECKED)
    clip = ChunkInputs(*(getattr(window, name)[:, :FRAMES] for name in INPUTS))
    expected = run_steps(step, step, clip)
    found = run_steps(load_step(path), step, clip)
    return float((expected - found).abs().max())


def load_step(path: Path) -> Any:
    """Return the exported step as a function of tensors."""
    if path.suffix.lower() == ".pt2":
        return torch.export.load(path).module()
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]

    def step(*given: Tensor) -> list[Tensor]:
        arrays = dict(zip(names, (part.numpy() for part in given), strict=True))
        return [torch.from_numpy(part) for part in session.run(None, arrays)]

    return step
