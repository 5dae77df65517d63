"""The tools by which one scenario runs in both worlds do what they say: the loop's thread, the stopwatch, the data."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from pathlib import Path
from typing import Any, Self

import pytest

from tests.faults.worlds import SYNC_ONLY, worlds_of
from tests.lab import blocking, clock
from tests.lab.blocking import Blocking, LoopThread
from tests.lab.clock import Stopwatch, within


class AsyncThing:
    """Something with the manners of an asyncio client."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    async def double(self, number: int) -> int:
        await asyncio.sleep(0)
        return 2 * number

    def plain(self) -> str:
        return threading.current_thread().name

    @property
    def other(self) -> AsyncThing:
        return AsyncThing()

    async def fail(self, error: BaseException) -> None:
        raise error

    async def apply(self, fn: Any) -> Any:
        return await fn(self)

    async def __aenter__(self) -> Self:
        self.heard.append("enter")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.heard.append("exit" if kind is None else kind.__name__)

    async def aclose(self) -> None:
        self.heard.append("closed")


def test_what_is_awaited_there_is_a_plain_call_here() -> None:
    loop = LoopThread()
    thing = AsyncThing()
    shown = Blocking(loop, thing)
    assert shown.double(4) == 8
    assert shown.plain() == "event-loop"
    assert isinstance(shown.other, Blocking)
    assert shown.other.double(1) == 2
    assert shown.apply(lambda inner: inner.double(3)) == 6
    with shown as entered:
        assert entered is shown
    with pytest.raises(LookupError), shown:
        raise LookupError
    shown.close()
    assert thing.heard == ["enter", "exit", "enter", "LookupError", "closed"]
    loop.stop()
    assert not loop.is_running
    loop.stop()


@pytest.mark.parametrize("kind", [ValueError, TimeoutError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_a_task_raises_comes_out_and_the_loop_goes_on(kind: type[BaseException]) -> None:
    loop = LoopThread()
    shown = Blocking(loop, AsyncThing())
    with pytest.raises(kind):
        shown.fail(kind("x"))
    assert shown.double(1) == 2
    loop.stop()


def test_what_hangs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocking, "WATCHDOG", 0.05)
    loop = LoopThread()
    with pytest.raises(AssertionError, match="hangs on the event loop"):
        loop.run(asyncio.Event().wait)
    with pytest.raises(AssertionError, match="waits for its own loop"):
        loop.run(lambda: loop.run(time.monotonic))
    loop.stop()


def _soon(function: Any) -> None:
    asyncio.get_running_loop().call_soon(function)


def test_what_is_left_behind_is_told() -> None:
    loop = LoopThread()
    task: list[asyncio.Future[None]] = []
    loop.run(lambda: task.append(asyncio.ensure_future(asyncio.sleep(60))))
    with pytest.raises(AssertionError, match="tasks are left"):
        loop.stop()
    assert not task[0].done()
    loop = LoopThread()
    loop.run(_soon, lambda: 1 // 0)
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        loop.stop()


def test_a_bound_is_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "SLACK", 0.0)
    pause = threading.Event()
    with pytest.raises(AssertionError, match="allowed are"), within(0.01):
        pause.wait(0.03)
    with pytest.raises(AssertionError, match="no less than"), within(1, at_least=0.5):
        pass
    with within(1, at_least=0.01):
        pause.wait(0.02)


def test_only_what_the_machine_keeps_is_taken_away() -> None:
    watch = Stopwatch()
    threading.Event().wait(0.05)
    assert watch.took == pytest.approx(watch.passed - watch.stolen, abs=0.01)
    assert watch.passed >= 0.05
    assert 0 <= watch.stolen < watch.passed


def test_the_data_names_scenarios_that_exist() -> None:
    texts = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert set(SYNC_ONLY) <= set(re.findall(r"^def (test_\w+)\(", texts, re.MULTILINE))
    assert all(SYNC_ONLY.values())
    assert worlds_of("test_c04_a_late_reply_reaches_nobody_else") == ["sync", "async"]
    assert worlds_of("test_c21_multiprocessing") == ["sync"]
