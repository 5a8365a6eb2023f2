import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator

import pytest

from asled_cli.runtime.stages import Stage, StageClosedError, closing_items, parallel_map

COUNT = 12
DEADLINE_S = 10


def within_deadline(work: Callable[[], object]) -> None:
    """Run in a thread so that a deadlock fails the test instead of hanging it."""
    outcome: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(DEADLINE_S)
    assert not thread.is_alive(), "deadlock"
    if outcome:
        raise outcome[0]


def alive() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("asled-")]


class Boom(Exception):
    pass


def numbers(fail_at: int | None = None) -> Iterator[int]:
    for number in range(COUNT):
        if number == fail_at:
            raise Boom("source")
        yield number
    if fail_at == COUNT:
        raise Boom("after the last")


def plus_one(items: Iterable[int], fail_at: int | None = None) -> Iterator[int]:
    for position, item in enumerate(items):
        if position == fail_at:
            raise Boom("step")
        yield item + 1
    if fail_at == COUNT:
        raise Boom("after the last")


def chain(failing: int | None = None, fail_at: int | None = None, depth: int = 2) -> list[Stage[int]]:
    """Four stages, each fed by the one before; number `failing` raises at item `fail_at`."""
    stages = [Stage(numbers(fail_at if failing == 0 else None), depth, "s0")]
    for position in (1, 2, 3):
        source = plus_one(stages[-1], fail_at if failing == position else None)
        stages.append(Stage(source, depth, f"s{position}"))
    return stages


@pytest.mark.parametrize("depth", [1, 2, 50])
def test_items_come_in_order(depth: int) -> None:
    def work() -> None:
        with chain(depth=depth)[-1] as last:
            assert list(last) == list(range(3, COUNT + 3))
            assert list(last) == []

    within_deadline(work)
    assert alive() == []


@pytest.mark.parametrize("fail_at", [0, COUNT // 2, COUNT - 1, COUNT])
@pytest.mark.parametrize("failing", range(4))
def test_failure_reaches_the_consumer_and_nothing_hangs(failing: int, fail_at: int) -> None:
    got: list[int] = []

    def work() -> None:
        with chain(failing, fail_at)[-1] as last:
            got.extend(last)

    with pytest.raises(Boom):
        within_deadline(work)
    assert got == list(range(3, fail_at + 3))
    assert alive() == []


@pytest.mark.parametrize("taken", [0, 1, 5, COUNT])
def test_consumer_may_leave_early(taken: int) -> None:
    def work() -> None:
        with chain()[-1] as last:
            for _ in range(taken):
                next(last)

    within_deadline(work)
    assert alive() == []


@pytest.mark.parametrize("closed", range(4))
def test_closing_any_stage_ends_the_chain(closed: int) -> None:
    def work() -> None:
        stages = chain()
        next(stages[-1])
        stages[closed].close()
        if closed < 3:
            with pytest.raises(StageClosedError):
                list(stages[-1])
        stages[-1].close()
        stages[-1].close()

    within_deadline(work)
    assert alive() == []


def test_consumer_failing_does_not_hang() -> None:
    def work() -> None:
        with chain()[-1] as last:
            for _ in last:
                raise Boom("consumer")

    with pytest.raises(Boom, match="consumer"):
        within_deadline(work)
    assert alive() == []


def test_same_exception_with_its_cause() -> None:
    cause = KeyError("deep")
    error = Boom("top")
    error.__cause__ = cause

    def source() -> Iterator[int]:
        yield 1
        raise error

    with Stage(source()) as stage:
        assert next(stage) == 1
        with pytest.raises(Boom) as caught:
            next(stage)
        assert caught.value is error and caught.value.__cause__ is cause
        assert list(stage) == []


def test_two_feeders() -> None:
    def work() -> None:
        left, right = Stage(numbers(), name="left"), Stage(numbers(), name="right")
        with Stage(a * b for a, b in zip(left, right, strict=True)) as last:
            assert next(last) == 0
        assert list(Stage(a + 0 for a in range(3))) == [0, 1, 2]

    within_deadline(work)
    assert alive() == []


def test_queue_is_bounded() -> None:
    made: list[int] = []

    def source() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    with Stage(source(), depth=3) as stage:
        next(stage)
        time.sleep(0.1)
        assert len(made) <= 1 + 3 + 1


def test_source_is_closed_in_its_thread() -> None:
    closed_by: list[str] = []

    def source() -> Iterator[int]:
        try:
            yield from range(100)
        finally:
            closed_by.append(threading.current_thread().name)

    with Stage(source(), name="s") as stage:
        next(stage)
    assert closed_by == ["asled-s"]


def test_unstarted_stage_closes_its_source() -> None:
    class Source:
        closed = False

        def __iter__(self) -> Iterator[int]:
            return iter(())

        def close(self) -> None:
            self.closed = True

    source = Source()
    Stage(source).close()
    assert source.closed


def test_busy_time_leaves_waiting_out() -> None:
    def slow(items: Iterable[int], pause: float) -> Iterator[int]:
        for item in items:
            time.sleep(pause)
            yield item

    first = Stage(slow(range(6), 0.03), name="slow")
    second = Stage(slow(first, 0.001), name="quick")
    assert list(second) == list(range(6))
    assert first.busy_s >= 0.15
    assert second.busy_s < first.busy_s / 2


def test_fast_source_with_slow_consumer_is_not_busy() -> None:
    with Stage(iter(range(6)), depth=1) as stage:
        for _ in stage:
            time.sleep(0.02)
    assert stage.busy_s < 0.05


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_spread_work_comes_in_order(threads: int) -> None:
    """The first items take longest, so that later ones are done before them."""

    def slowly(number: int) -> int:
        time.sleep(0.002 * (COUNT - number))
        return number + 1

    found: list[int] = []
    within_deadline(lambda: found.extend(parallel_map(slowly, numbers(), threads)))
    assert found == list(range(1, COUNT + 1))


def test_spread_work_runs_side_by_side() -> None:
    meeting = threading.Barrier(3, timeout=DEADLINE_S)  # nobody passes until three are there
    within_deadline(lambda: list(parallel_map(lambda number: meeting.wait(), range(6), 3)))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("place", ["source", "step"])
def test_spread_errors_come_in_their_turn(place: str, threads: int) -> None:
    def step(number: int) -> int:
        if place == "step" and number == 4:
            raise Boom("step")
        return number

    found = []
    with pytest.raises(Boom, match=place):
        for number in parallel_map(step, numbers(4 if place == "source" else None), threads):
            found.append(number)
    assert found == [0, 1, 2, 3]
    assert alive() == []


def test_spread_work_ends_with_its_stage() -> None:
    def never_ending() -> Iterator[int]:
        yield from iter(int, 1)

    with Stage(parallel_map(lambda number: number, never_ending(), 3), 2, "helped") as stage:
        assert [next(stage) for _ in range(3)] == [0, 0, 0]
        assert any("helper" in name for name in alive())
    assert alive() == []


def test_an_error_above_spread_work_ends_its_helpers() -> None:
    """As of a step between the align_threads and their stage: nothing is left to the garbage collector."""

    def above() -> Iterator[int]:
        with closing_items(parallel_map(lambda number: number, iter(int, 1), 3)) as items:
            for number in items:
                if number == 0:
                    raise Boom("above")
                yield number

    stage = Stage(above(), 2, "helped")
    with pytest.raises(Boom, match="above") as caught, stage:
        next(stage)
    assert caught.value is not None and alive() == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts threads as Linux lists them")
def test_numpy_starts_no_threads_in_the_program() -> None:
    code = (
        "from asled_cli.cli.app import main; main(['--version']); import os, numpy as np;"
        "a = np.ones((500, 500)); a @ a; print(len(os.listdir('/proc/self/task')))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert found.stdout.split()[-1] == "1"
