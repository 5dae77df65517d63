"""The deadline without clients: nesting, ends, and what it leaves of a wait; the clock is the test's own."""

# ruff: noqa: PT012 - what raises is the end of a block
from __future__ import annotations

import asyncio
import contextvars
import gc
import math
import sys
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

import carmine
from carmine.client.deadline import OPEN, Deadline, limit
from carmine.client.timing import bounded
from carmine.errors import DeadlineExceeded, Outcome, ReadTimeout, UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator
    from types import FrameType


class Clock:
    """A clock that stands still until it is told otherwise."""

    now = 100.0

    def __call__(self) -> float:
        """Return the instant."""
        return self.now


def test_it_counts_inside_its_block_alone() -> None:
    clock = Clock()
    assert limit() == math.inf
    with Deadline(2.0, clock) as one:
        assert (limit(), one.left) == (102.0, 2.0)
        clock.now += 3
        assert one.left == 0.0
    assert limit() == math.inf
    assert not OPEN


@pytest.mark.parametrize(("outer", "inner", "ends"), [(5.0, 1.0, 101.0), (1.0, 5.0, 101.0)])
def test_the_shortest_counts(outer: float, inner: float, ends: float) -> None:
    clock = Clock()
    with Deadline(outer, clock), Deadline(inner, clock):
        assert limit() == ends
    assert limit() == math.inf


def test_an_inner_one_that_is_over_gives_way_to_the_outer() -> None:
    clock = Clock()
    with Deadline(5.0, clock):
        with Deadline(1.0, clock):
            pass
        assert limit() == 105.0


def test_it_is_for_one_block() -> None:
    one = Deadline(1.0, Clock())
    with one, pytest.raises(UsageError, match="one block"), one:
        pass
    with pytest.raises(UsageError, match="one block"), one:
        pass
    assert limit() == math.inf


def test_a_block_that_raises_ends_it() -> None:
    with pytest.raises(ZeroDivisionError), Deadline(1.0, Clock()):
        _ = 1 / 0
    assert limit() == math.inf
    assert not OPEN


def test_a_timeout_says_whose_limit_it_was() -> None:
    clock = Clock()
    with pytest.raises(ReadTimeout) as caught, Deadline(1.5, clock):
        clock.now += 2
        raise ReadTimeout("no reply")
    assert caught.value.__notes__ == ["the limit was carmine.deadline(1.5)"]
    with pytest.raises(ReadTimeout) as caught, Deadline(1.5, clock):
        raise ReadTimeout("no reply")
    assert not hasattr(caught.value, "__notes__"), "its time was not over"


@pytest.mark.parametrize("seconds", [-1, "1", None, True, math.nan, timedelta(seconds=-1)])
def test_what_is_no_duration(seconds: object) -> None:
    with pytest.raises(UsageError, match="deadline"):
        carmine.deadline(seconds)  # type: ignore[arg-type]


def test_a_timedelta_will_do() -> None:
    assert carmine.deadline(timedelta(milliseconds=1500)).seconds == 1.5


def test_other_threads_have_none_unless_they_are_given_the_context() -> None:
    seen: list[float] = []
    with Deadline(1.0, Clock()):
        context = contextvars.copy_context()
        for run in (lambda: seen.append(limit()), lambda: context.run(lambda: seen.append(limit()))):
            thread = threading.Thread(target=run)
            thread.start()
            thread.join()
    assert seen == [math.inf, 101.0]


def test_a_task_that_outlives_the_block_is_free() -> None:
    async def main() -> None:
        may_look = asyncio.Event()

        async def look() -> tuple[float, float]:
            inside = limit()
            await may_look.wait()
            return inside, limit()

        with Deadline(1.0, Clock()):
            task = asyncio.create_task(look())
            await asyncio.sleep(0)
            assert limit() == 101.0
        may_look.set()
        with Deadline(9.0, Clock()):
            assert await task == (101.0, math.inf)

    asyncio.run(main())


def begun(seconds: float) -> Generator[float]:
    with Deadline(seconds, Clock()):
        yield limit()
        yield limit()


def test_a_block_may_end_in_another_thread() -> None:
    generator = begun(1.0)
    assert next(generator) == 101.0
    raised: list[BaseException] = []

    def end() -> None:
        try:
            generator.close()
        except BaseException as error:
            raised.append(error)
            raise

    thread = threading.Thread(target=end)
    thread.start()
    thread.join()
    assert not raised
    assert limit() == math.inf
    assert not OPEN


def test_a_block_may_end_in_another_task() -> None:
    async def steps() -> AsyncGenerator[float]:
        with Deadline(1.0, Clock()):
            yield limit()
            yield limit()

    async def main() -> None:
        generator = steps()
        assert await anext(generator) == 101.0
        await asyncio.create_task(generator.aclose())
        assert limit() == math.inf

    asyncio.run(main())
    assert not OPEN


def test_blocks_that_are_not_nested_leave_each_other_alone() -> None:
    generator = begun(5.0)
    next(generator)
    with Deadline(3.0, Clock()):
        assert limit() == 103.0
        generator.close()
        assert limit() == 103.0, "another block's end is not this one's"
    assert limit() == math.inf
    generator = begun(1.0)
    with Deadline(3.0, Clock()):
        next(generator)
        assert limit() == 101.0
    assert limit() == 101.0, "the generator's block goes on"
    generator.close()
    assert limit() == math.inf
    assert not OPEN


ENDS = (Deadline.__enter__.__code__, Deadline.__exit__.__code__)


def test_an_interrupt_at_any_step_leaves_no_deadline_behind() -> None:
    """Strike the block's begin and end at each event of the interpreter, as a signal may."""
    struck = 0
    for at in range(1, 100):
        seen = 0

        def trace(frame: FrameType, event: str, argument: object) -> Any:
            nonlocal seen
            if frame.f_code not in ENDS:
                return None
            frame.f_trace_opcodes = True
            seen += 1
            if seen == at:  # noqa: B023 - called before the next round
                sys.settrace(None)
                raise KeyboardInterrupt
            return trace

        former = sys.gettrace()
        try:
            sys.settrace(trace)
            with Deadline(1.0, Clock()):
                pass
        except KeyboardInterrupt:
            struck += 1
        finally:
            sys.settrace(former)
        gc.collect()
        assert not OPEN, at
        assert limit() == math.inf
    assert struck > 40


def test_what_is_left_of_a_wait() -> None:
    assert bounded(None, 30.0, "GET") is None, "the connection's own time-out"
    assert bounded(7.0, 30.0, "BLPOP") == 7.0
    with carmine.deadline(5.0):
        left = [bounded(None, 30.0, "GET"), bounded(None, None, "GET"), bounded(math.inf, 30.0, "BLPOP")]
        assert all(one is not None and 4.0 < one <= 5.0 for one in left)
        assert bounded(None, 2.0, "GET") == 2.0
        assert bounded(1.0, 2.0, "BLPOP") == 1.0
    with carmine.deadline(0), pytest.raises(DeadlineExceeded, match="before GET was sent") as caught:
        bounded(None, 30.0, "GET")
    assert caught.value.outcome is Outcome.NOT_SENT
    assert isinstance(caught.value, TimeoutError)


def test_it_shows_what_is_left() -> None:
    clock = Clock()
    one = Deadline(2.0, clock)
    assert repr(one) == "<deadline of 2 s, not begun>"
    with one:
        clock.now += 0.5
        assert repr(one) == "<deadline of 2 s, 1.5 s left>"
