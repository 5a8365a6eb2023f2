"""Training on several GPUs or machines: one process each, started by torchrun, all with equal weights.

Each takes its share of every batch, DistributedDataParallel averages the gradients, the first process writes.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from asled_cli.errors import InterruptedRunError, UsageError


@dataclass(frozen=True, slots=True)
class Team:
    """The processes of a run: how many, and which this one is; the first writes files."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """On this machine, so the number of its GPU."""

    @property
    def leads(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def share(self, batch: int) -> int:
        """Return the samples of a batch per process. Raises UsageError if they cannot be shared evenly."""
        if batch % self.size:
            raise UsageError(f"samples.batch is {batch}, expected a multiple of the {self.size} processes.")
        return batch // self.size

    def wrap(self, network: Any) -> Any:
        """`network`, its gradients averaged over the team when they are computed."""
        return network if self.size == 1 else DistributedDataParallel(network)

    def mean(self, value: torch.Tensor) -> float:
        """Mean of a scalar over the team; the same number everywhere."""
        if self.size > 1:
            dist.all_reduce(value)
        return float(value) / self.size

    def wait(self) -> None:
        """Until every process is here."""
        if self.size > 1:
            dist.barrier()

    def check(self, check: Callable[[], None], device: torch.device) -> None:
        """Stop all processes at the same step if `check` stops any of them."""
        stop: InterruptedRunError | None = None
        try:
            check()
        except InterruptedRunError as error:
            stop = error
        if self.size > 1 and self.mean(torch.tensor(float(stop is not None), device=device)) > 0:
            raise stop or InterruptedRunError("Another process of the run was stopped.")
        if stop is not None:
            raise stop


ALONE = Team()


@contextmanager
def join_team(device: str) -> Iterator[Team]:
    """Join the processes that torchrun started, over NCCL for CUDA, else gloo; alone without torchrun."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    team = Team(int(os.environ["RANK"]), size, int(os.environ.get("LOCAL_RANK", "0")))
    if device.startswith("cuda"):
        torch.cuda.set_device(team.local_rank)
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo", rank=team.rank, world_size=size)
    try:
        yield team
    finally:
        dist.destroy_process_group()
