"""What only one of a worker's worlds has: threads, forks, signals; event loops that are closed, blocked, uvloop's."""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import signal
import subprocess
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Final

import pytest

import carmine
from carmine.errors import UsageError
from carmine.ext.mq import AsyncQueue, AsyncWorker, Entry, Queue, Worker
from tests.lab.leaks import assert_no_leaks, assert_no_leaks_async, snapshot
from tests.lab.servers import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from carmine.ext.mq import AsyncMessage, Message
    from tests.lab.servers import RedisServer

ROOT: Final = __file__.rpartition("/tests/")[0]
HANDS: Final = 1000


@pytest.fixture
def client(url: str) -> Iterator[carmine.Client[str]]:
    with carmine.Client(url) as made:
        yield made


def run_script(text: str, url: str) -> tuple[int, str, str]:
    """Run a program of its own; return its end and what it said."""
    child = subprocess.run(
        [sys.executable, "-c", text, url],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return child.returncode, child.stdout, child.stderr


# Threads. -------------------------------------------------------------------------------------------------------------

FORK: Final = """
import os, sys, threading, carmine
from carmine.ext.mq import Queue, Worker
client = carmine.Client(sys.argv[1])
queue, busy, go = Queue(client, "jobs"), threading.Event(), threading.Event()
def handle(message):
    busy.set()
    if message.content == "slow":
        assert go.wait(30)
worker = Worker(client, "jobs", handle, concurrency=2)
worker.start()
queue.enqueue("slow", mid="held")
assert busy.wait(30)
with worker._guard:  # the child is made while another thread is inside
    done = threading.Event()
    def fork():
        global pid
        pid = os.fork()
        if pid == 0:
            try:
                assert worker.status().state == "stopped"
                assert worker.stop(30)  # at once, and without a word to the server
                assert queue.message_status("held") == "locked"
                worker.pause(), worker.resume()
                queue.enqueue("quick", mid="offspring")
                worker.start()
                while queue.message_status("offspring") not in ("done-awaiting-gc", None):
                    pass
                assert worker.stop(10)
                os._exit(0)
            except BaseException as error:
                os.write(2, repr(error).encode())
                os._exit(1)
        done.set()
    threading.Thread(target=fork).start()
    assert done.wait(30)
assert os.waitpid(pid, 0)[1] == 0
assert worker.status().running == 1
assert queue.message_status("held") == "locked"
go.set()
assert worker.stop(30)
assert worker.status().counts["success"] >= 1
assert queue.message_status("held") in ("done-awaiting-gc", None)
client.close()
"""


def test_a_forked_child_has_no_worker_and_may_start_one(server: RedisServer) -> None:
    """Nor does it hand back what its parent handles."""
    assert run_script(FORK, server.url) == (0, "", "")


ENDS: Final = {
    "threads": """
import sys, threading, carmine
from carmine.ext.mq import Queue, Worker
client = carmine.Client(sys.argv[1])
busy = threading.Event()
def handle(message):
    busy.set()
    threading.Event().wait(60)
worker = Worker(client, ["jobs", "other"], handle, concurrency=4, auto_start=True)
Queue(client, "jobs").enqueue("v", mid="m")
assert busy.wait(30)
print("ends", flush=True)
""",
    "threads of a thread": """
import sys, threading, carmine
from carmine.ext.mq import Queue, Worker
client = carmine.Client(sys.argv[1])
busy = threading.Event()
def work():
    worker = Worker(client, "jobs", lambda message: busy.set() or threading.Event().wait(60))
    worker.start()
    Queue(client, "jobs").enqueue("v", mid="m")
    threading.Event().wait(60)
threading.Thread(target=work, daemon=True).start()
assert busy.wait(30)
print("ends", flush=True)
""",
    "asyncio": """
import asyncio, sys, carmine
from carmine.ext.mq import AsyncQueue, AsyncWorker
async def main():
    client, busy = carmine.AsyncClient(sys.argv[1]), asyncio.Event()
    async def handle(message):
        busy.set()
        await asyncio.sleep(60)
    worker = AsyncWorker(client, ["jobs", "other"], handle, concurrency=4, auto_start=True)
    await AsyncQueue(client, "jobs").enqueue("v", mid="m")
    await busy.wait()
    print("ends", flush=True)
asyncio.run(main())
""",
}


@pytest.mark.parametrize("world", ENDS)
def test_a_program_may_end_with_its_worker_at_work(world: str, server: RedisServer) -> None:
    """It ends at once and says nothing; the message comes again when its lease is over."""
    began = time.monotonic()
    code, said, errors = run_script(ENDS[world], server.url)
    assert (code, said) == (0, "ends\n"), errors
    if world == "asyncio":  # asyncio.run() cancels the handler, which the log tells
        assert errors.startswith("queue 'jobs', message 'm', attempt 1 failed")
        assert not any(word in errors for word in ("never", "destroyed", "ignored", "Fatal"))
    else:
        assert errors == ""
    assert time.monotonic() - began < 30, "it waited for the handler"
    with carmine.Client(server.url) as client:
        assert Queue(client, "jobs").message_status("m") == "locked"


def test_no_thread_can_be_started(
    client: carmine.Client[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A message that finds no thread is handed back at once, and handled when there is one again."""
    handled: list[tuple[str, int]] = []
    queue = Queue(client, "jobs")
    worker = Worker(client, "jobs", lambda message: handled.append((message.mid, message.attempt)), concurrency=4)
    start, refused = threading.Thread.start, []

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("carmine-mq"):
            refused.append(thread.name)
            raise RuntimeError("can't start new thread")
        start(thread)

    with worker:
        monkeypatch.setattr(threading.Thread, "start", refuse)
        queue.enqueue_many([Entry("v", mid=f"m{n}") for n in range(3)])
        wait_until(lambda: worker.status().counts["back"] >= 6, "they were handed back, twice")
        assert len(refused) < 100, "a frenzy"
        assert worker.status().running == 0
        monkeypatch.undo()
        wait_until(lambda: len(handled) == 3, "they are handled")
    assert sorted(handled) == [("m0", 1), ("m1", 1), ("m2", 1)]
    assert "can't start new thread" in caplog.text


def test_a_worker_that_cannot_start_its_loops_leaves_nothing(
    client: carmine.Client[str], server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.ping()
    before = snapshot(server)
    worker = Worker(client, "jobs", lambda message: None)
    start, count = threading.Thread.start, 0

    def refuse(thread: threading.Thread) -> None:
        nonlocal count
        count += 1
        if count == 4:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="new thread"):
        worker.start()
    monkeypatch.undo()
    assert worker.status().state == "stopped"
    assert_no_leaks(before, server)
    assert worker.run_until_empty() == 0, "it can be started when there are threads again"


def test_q13_stop_by_a_signal_wherever_it_strikes(client: carmine.Client[str]) -> None:
    """Its handler stops the worker while the thread it struck is inside that worker's own methods."""
    answers: list[bool] = []
    worker = Worker(client, "jobs", lambda message: None)
    before = signal.signal(signal.SIGALRM, lambda *_: answers.append(worker.stop(5)))
    try:
        for n in range(10):
            worker.start()
            signal.setitimer(signal.ITIMER_REAL, 0.0005 + 0.0003 * n)
            deadline = time.monotonic() + 10
            while worker.status().state != "stopped":
                worker.pause()
                worker.resume()
                worker.clear_stats()
                assert time.monotonic() < deadline, f"round {n} hangs"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(answers) == 10


def test_1000_threads_at_once(client: carmine.Client[str], server: RedisServer) -> None:
    client.ping()
    before = snapshot(server)
    together = threading.Barrier(HANDS)
    worker = Worker(client, "jobs", lambda message: [together.wait(60)].clear(), concurrency=HANDS)
    Queue(client, "jobs").enqueue_many(["v"] * HANDS)
    assert worker.run_until_empty(60) == HANDS
    assert worker.status().counts["success"] == HANDS, worker.status()
    assert_no_leaks(before, server, within=10)


async def _later(message: Message) -> None:
    raise AssertionError(message)


class _Callable:
    async def __call__(self, message: Message) -> None:
        raise AssertionError(message)


@pytest.mark.parametrize("handler", [_later, functools.partial(_later), _Callable(), _Callable().__call__, None, "f"])
def test_a_handler_that_threads_cannot_run_is_refused(client: carmine.Client[str], handler: Any) -> None:
    with pytest.raises(UsageError, match=r"^handler (is a coroutine function: use AsyncWorker|must be a function)"):
        Worker(client, "jobs", handler)


def test_queues_of_another_server_are_refused(client: carmine.Client[str], server: RedisServer) -> None:
    with (
        carmine.Client(server.url, db=1) as other,
        pytest.raises(UsageError, match="the database of its client"),
    ):
        Worker(client, ["jobs", Queue(other, "others")], lambda message: None)


@pytest.mark.parametrize("raises", [False, True])
def test_a_message_is_let_go_when_it_is_over(client: carmine.Client[str], raises: bool) -> None:
    """Neither a loop nor a traceback keeps it: contents may be large, and the collector late."""
    kept: list[weakref.ref[Message]] = []

    def handle(message: Message) -> None:
        kept.append(weakref.ref(message))
        if raises:
            raise ValueError("on purpose")

    queue = Queue(client, "jobs")
    worker = Worker(client, "jobs", handle, retry=60, concurrency=4)
    logging.disable(logging.CRITICAL)  # pytest keeps what is logged, tracebacks and all
    gc.collect()
    gc.disable()
    try:
        with worker:
            queue.enqueue("v")  # the server learns the scripts
            wait_until(lambda: len(kept) == 1 and not worker.status().ending, "one is handled")
            kept.clear()
            queue.enqueue_many(["v"] * 20)
            wait_until(lambda: len(kept) == 20 and not worker.status().ending, "all are handled")
            wait_until(lambda: not any(ref() is not None for ref in kept), "all are let go")
    finally:
        gc.enable()
        logging.disable(logging.NOTSET)


def test_nothing_is_left_of_many_lives(client: carmine.Client[str], server: RedisServer) -> None:
    queue = Queue(client, "jobs")
    worker = Worker(client, ["jobs", "other"], lambda message: None)
    assert worker.run_until_empty() == 0
    before = snapshot(server)
    for _ in range(5):
        queue.enqueue_many(["v"] * 20)
        assert worker.run_until_empty() == 20
        assert_no_leaks(before, server)


# asyncio. -------------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # its connections were not closed
def test_an_event_loop_that_was_closed_early(url: str) -> None:
    """The worker went with it, and can be started in another one."""
    handled: list[str] = []
    made: list[AsyncWorker] = []

    async def handle(message: AsyncMessage) -> None:
        handled.append(message.mid)

    async def first() -> None:
        made.append(AsyncWorker(carmine.AsyncClient(url), "jobs", handle, auto_start=True))
        await AsyncQueue(carmine.AsyncClient(url), "jobs").enqueue("v", mid="a")
        await so(lambda: bool(handled))

    async def second() -> None:
        async with carmine.AsyncClient(url) as client:
            await AsyncQueue(client, "jobs").enqueue("v", mid="b")
            [worker] = made
            assert worker.status().state == "stopped"
            assert await worker.stop()
            worker._client = client
            worker.start()
            await so(lambda: handled[-1] == "b")
            assert await worker.stop()

    asyncio.run(first())
    asyncio.run(second())
    gc.collect()
    assert handled[0] == "a"
    assert handled[-1] == "b"


def test_a_start_without_an_event_loop_is_refused(url: str) -> None:
    async def handle(message: AsyncMessage) -> None:
        raise AssertionError(message)

    client = carmine.AsyncClient(url)
    with pytest.raises(UsageError, match="event loop"):
        AsyncWorker(client, "jobs", handle, auto_start=True)
    worker = AsyncWorker(client, "jobs", handle)
    with pytest.raises(UsageError, match="event loop"):
        worker.start()
    assert worker.status().state == "stopped"


async def so(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.001)


def loops() -> list[Any]:
    """Return what makes each kind of event loop."""
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:  # pragma: no cover
        return [asyncio.new_event_loop]
    return [asyncio.new_event_loop, uvloop.new_event_loop]


@pytest.mark.parametrize("make_loop", loops(), ids=lambda make: make.__module__.partition(".")[0])
def test_1000_tasks_at_once_on_each_kind_of_loop(url: str, server: RedisServer, make_loop: Any) -> None:
    async def work() -> None:
        async with carmine.AsyncClient(url) as client:
            await client.ping()
            before = snapshot(server)
            together, all_here = 0, asyncio.Event()

            async def handle(message: AsyncMessage) -> None:
                nonlocal together
                together += 1
                if together == HANDS:
                    all_here.set()
                await asyncio.wait_for(all_here.wait(), 60)
                if message.mid == "bad":
                    raise ValueError("on purpose")

            await AsyncQueue(client, "jobs").enqueue_many(["v"] * (HANDS - 1) + [Entry("v", mid="bad", backoff=0.01)])
            worker = AsyncWorker(client, "jobs", handle, concurrency=HANDS, max_attempts=1)
            assert await worker.run_until_empty(60, backoffs=True) == HANDS
            counts = worker.status().counts
            assert (counts["success"], counts["dead"]) == (HANDS - 1, 1)
            await assert_no_leaks_async(before, server)

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(work())


@pytest.mark.asyncio
async def test_a_handler_that_blocks_the_loop_past_its_lease(url: str) -> None:
    """Nobody can renew it meanwhile; where nobody took it either, it is still ours, and finished once."""
    handled: list[int] = []

    async def handle(message: AsyncMessage) -> None:
        handled.append(message.attempt)
        time.sleep(0.15)  # noqa: ASYNC251 - the fault itself

    async with carmine.AsyncClient(url) as client:
        queue = AsyncQueue(client, "jobs")
        await queue.enqueue_many(["v"] * 4)
        worker = AsyncWorker(client, "jobs", handle, lease=0.1, concurrency=4)
        await worker.run_until_empty(20)
        counts = worker.status().counts
    assert counts["success"] + counts["lost"] == len(handled)
    assert counts["success"] == 4


@pytest.mark.asyncio
async def test_whoever_cancels_a_handler_or_a_stop(url: str) -> None:
    """A handler that is cancelled has failed; a stop goes on without its caller."""
    tasks: list[Any] = []

    async def handle(message: AsyncMessage) -> None:
        tasks.append(asyncio.current_task())
        if message.attempt == 1:
            await asyncio.sleep(60)

    async with carmine.AsyncClient(url) as client:
        queue = AsyncQueue(client, "jobs")
        await queue.enqueue("v")
        worker = AsyncWorker(client, "jobs", handle, retry=0.01, concurrency=1)
        worker.start()
        await so(lambda: bool(tasks))
        tasks[0].cancel()
        await so(lambda: worker.status().counts["success"] == 1)
        assert worker.status().counts["retry"] == 1
        stopping = asyncio.create_task(worker.stop())
        await asyncio.sleep(0)
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping
        await so(lambda: worker.status().state == "stopped")
