"""The workers of a job: they load their programs, which takes seconds, while the clips are registered."""

import logging
from collections.abc import Callable

from asled_cli.job.records import DeblurPlan
from asled_cli.job.rendering.spans import cut_spans
from asled_cli.job.rendering.worker import Place, render_span
from asled_cli.runtime.device import ALL_GPUS, gpu_count
from asled_cli.runtime.limits import free_memory, usable_cores
from asled_cli.runtime.workers.local import LocalWorkers, Workers
from asled_cli.runtime.workers.ray_cluster import RayWorkers

log = logging.getLogger(__name__)


class Crew:
    """The workers of one job, opened by `open_workers`. Close it; twice is harmless."""

    def __init__(self, open_workers: Callable[[DeblurPlan], Workers]) -> None:
        self._open = open_workers
        self._started: tuple[DeblurPlan, Workers] | None = None

    def start(self, plan: DeblurPlan, length: int) -> None:
        """Open the workers if the job needs any. length: frames of a segment."""
        if plan.spreads and len(cut_spans(plan.frames, length)) > 1:
            self._started = plan, self._open(plan)

    def workers(self, plan: DeblurPlan) -> Workers:
        """Return the workers for the final plan, opened again if it takes more memory than the first one."""
        if self._started is None or plan.memory_bytes > self._started[0].memory_bytes:
            self.close()
            self._started = plan, self._open(plan)
        return self._started[1]

    def close(self) -> None:
        """End all workers."""
        if self._started is not None:
            self._started[1].close()
            self._started = None


def workers_of(plan: DeblurPlan) -> Workers:
    """Return the workers that a job asks for: of a cluster or this machine, fewer where memory is short."""
    if plan.config.ray is not None:
        gpu = plan.choice.device.startswith("cuda")
        place = Place("cuda:0" if gpu else None)
        return RayWorkers(plan.config.ray, place, gpus=gpu, cores=max(2, plan.config.workers))
    asked = plan.config.workers
    if plan.config.device == ALL_GPUS and asked == 1:
        asked = gpu_count()
    free = free_memory()
    count = asked if free is None else max(1, min(asked, free // max(1, plan.memory_bytes)))
    if count < asked:
        log.warning("memory suffices for %d of %d workers", count, asked)
    threads = max(1, usable_cores() // count)
    places = [Place(_device(plan, number), threads) for number in range(count)]
    return LocalWorkers(places, render_span)


def _device(plan: DeblurPlan, number: int) -> str | None:
    """Return the GPU of a worker: in turn with `--device cuda:all`, else that of the plan."""
    if plan.config.device != ALL_GPUS:
        return None
    return f"cuda:{number % gpu_count()}"
