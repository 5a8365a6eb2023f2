"""Which processor runs the network, in which number format, and what to do about its memory."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from asled_cli.errors import UsageError
from asled_cli.runtime import memory
from asled_cli.runtime.limits import free_memory as free_memory
from asled_cli.runtime.precision import Precision

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

ALL_GPUS = "cuda:all"  # one worker for each


def gpu_count() -> int:
    """Return the number of CUDA devices that this torch can use."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def resolve_device(name: str) -> torch.device:
    """Return the device called `name`: auto (a GPU where there is one), cpu, cuda, cuda:N or mps.

    cuda:all: the first one; workers take the others too.

    Raises UsageError if the name is unknown or this machine, or this build of torch, has no such device.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind, _, number = ("cuda" if name == ALL_GPUS else name).partition(":")
    if kind not in ("cpu", "cuda", "mps") or (number and not (kind == "cuda" and number.isdecimal())):
        raise UsageError(f"--device is {name!r}, expected auto, cpu, cuda, cuda:N, cuda:all or mps.")
    if kind == "cuda":
        found = gpu_count()
        if int(number or 0) >= found:
            raise UsageError(
                f"There is no device {name}: this torch ({torch.__version__}) sees {found} CUDA devices.",
                "Use --device cpu, or install a torch build that fits the GPU.",
            )
        return torch.device("cuda", int(number or 0))
    if kind == "mps" and not torch.backends.mps.is_available():
        raise UsageError("There is no device mps on this machine.", "Use --device cpu.")
    return torch.device(kind)


def resolve_precision(name: Precision, device: torch.device) -> str:
    """Return the floating-point precision to compute in: fp32, bf16 or fp16.

    auto: fp16 on a GPU (bf16 keeps only 8 bits, one step of an 8-bit picture), bf16 on a CPU that
    multiplies it in hardware (measured: twice as fast), else fp32. Raises UsageError for fp16 on a CPU.
    """
    if name == "auto":
        if device.type == "cpu":
            return "bf16" if _cpu_multiplies_bf16() else "fp32"
        return "fp16"
    if name == "fp16" and device.type == "cpu":
        raise UsageError("--precision fp16 is for GPUs: a CPU computes it very slowly.", "Use bf16 or fp32.")
    return name


def _cpu_multiplies_bf16() -> bool:
    report = getattr(torch.cpu, "get_capabilities", None)  # torch >= 2.10
    found = report() if report is not None else {}
    return bool(found.get("avx512_bf16") or found.get("amx_bf16") or found.get("bf16"))


@contextmanager
def explain_out_of_memory() -> Iterator[None]:
    """Turn every form of "out of memory" into a MemoryLimitError with advice."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise memory.memory_limit() from error
        raise


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error means that memory ran out, on a GPU or on the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or memory.is_out_of_memory(error)


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch share each operation among `count` threads, also in threads that start inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
