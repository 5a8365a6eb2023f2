"""One job of a batch in a worker of a cluster: what goes there, and the row that comes back."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from asled_cli.errors import AsledError
from asled_cli.job.batch.one_job import run_job
from asled_cli.job.batch.pairs import BatchPair
from asled_cli.job.batch.report import Outcome
from asled_cli.job.batch.versions import versions
from asled_cli.job.config import DeblurConfig
from asled_cli.job.resume.machine import check_machine
from asled_cli.runtime.workers.local import Workers


@dataclass(frozen=True, slots=True)
class PairTask:
    """All that a worker must know of a job. Paths are absolute, on a disk that driver and workers share.

    seen: a file beside the results. config: of every job. versions: of the driver's programs and weights.
    deblur: does one job.
    """

    pair: BatchPair
    folder: Path
    seen: Path
    overwrite: bool
    config: DeblurConfig
    versions: Mapping[str, str]
    deblur: Callable[[DeblurConfig], object]


def do_pair(task: PairTask, place: object = None) -> Outcome:
    """Do one job and return its row; what is wrong with this machine fails the job."""

    def deblur(out: Path, resume: bool) -> tuple[int, str]:
        pair = task.pair
        try:
            check_machine(task.seen, task.versions, versions(task.config.method))
            own: dict[str, Any] = dict(pair.settings)
            config = replace(task.config, wide=pair.wide, ultra=pair.ultra, out=out, resume=resume, **own)
            task.deblur(config)
        except AsledError as error:
            return error.exit_code, str(error)
        return 0, ""

    return run_job(task.pair, task.folder, deblur, task.overwrite)


@dataclass(frozen=True, slots=True)
class Remote:
    """A cluster for the jobs of a batch. workers: connects to it. The others: as in `PairTask`."""

    workers: Callable[[], Workers]
    config: DeblurConfig
    versions: Mapping[str, str]
    deblur: Callable[[DeblurConfig], object]

    @contextmanager
    def places(
        self, folder: Path, seen: Path, overwrite: bool
    ) -> Iterator[Callable[[BatchPair], Future[Outcome]]]:
        """Yield a function that does a job in a worker. Leaving the context stops what still runs."""
        with closing(self.workers()) as workers:

            def submit(pair: BatchPair) -> Future[Outcome]:
                ultra = None if pair.ultra is None else pair.ultra.absolute()
                pair = replace(pair, wide=pair.wide.absolute(), ultra=ultra)
                places = folder.absolute(), seen.absolute()
                task = PairTask(pair, *places, overwrite, self.config, self.versions, self.deblur)
                return workers.submit(do_pair, task)

            yield submit
