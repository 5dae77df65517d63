"""`carmine mq worker` as a process: told to end, killed, paused from outside; what it refuses to begin with."""

from __future__ import annotations

import asyncio
import functools
import logging
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, cast

import pytest

import carmine
from carmine.cli import mq_worker
from carmine.cli.main import main
from carmine.cli.mq_handler import find_handler, is_async
from carmine.errors import UsageError
from carmine.ext.mq import Queue
from tests.ext.mq.commands import HANDLERS, WorkerProcess, assert_harmless, mq, one_sentence
from tests.lab.servers import wait_until

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.one_twin

HANDLER = {"sync": "handlers:handle", "async": "handlers:handle_async"}


@pytest.fixture
def queue(server: RedisServer) -> Iterator[Queue]:
    with carmine.Client(server.url) as client:
        yield Queue(client, "emails")


@pytest.fixture
def work(server: RedisServer, stack: contextlib.ExitStack, tmp_path: Path) -> Callable[..., WorkerProcess]:
    """Give a function that starts a worker for the queue "emails", and waits until it works."""

    def start(handler: str, *words: str, **options: Any) -> WorkerProcess:
        words = (handler, "--queue", "emails", *words)
        made = WorkerProcess(stack, tmp_path, server.url, server.url, *words, **options)
        made.wait_for(" begins: ")
        return made

    return start


def lines(server: RedisServer, name: str) -> list[tuple[str, ...]]:
    """Return what handlers wrote: queue, mid, attempt, process."""
    found = cast("list[bytes]", server.call("LRANGE", name, 0, -1))
    return [tuple(line.decode().split()) for line in found]


def wait_for(server: RedisServer, name: str, count: int) -> list[tuple[str, ...]]:
    wait_until(lambda: len(lines(server, name)) >= count, f"{count} {name}", 30.0)
    return lines(server, name)


# The end. ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("world", ["sync", "async"])
def test_term_drains_and_a_hangup_means_nothing(
    world: str, queue: Queue, server: RedisServer, work: Callable[..., WorkerProcess]
) -> None:
    """What is at work may end, nothing more is claimed, and the status is 0."""
    worker = work(HANDLER[world], "--concurrency", "1")
    assert f"1 {'threads' if world == 'sync' else 'tasks'}, server 127.0.0.1:{server.port}" in worker.said()
    worker.signal(signal.SIGHUP)
    queue.enqueue("hang", mid="m")
    wait_for(server, "started", 1)
    worker.signal(signal.SIGTERM)
    worker.wait_for("told to end: 1 handlers have 30 s to end")
    queue.enqueue("quick", mid="next")
    server.call("LPUSH", "go", "x")
    assert worker.status() == 0
    assert [mid for _, mid, *_ in lines(server, "handled")] == ["m"]
    assert queue.message_status("next") == "queued"
    assert queue.message_status("m") in ("done-awaiting-gc", None)
    assert "ended, and so did all handlers: 1 claimed, 1 success" in worker.said()


@pytest.mark.parametrize("world", ["sync", "async"])
def test_a_second_signal_hands_messages_back(
    world: str, queue: Queue, server: RedisServer, work: Callable[..., WorkerProcess]
) -> None:
    """At once, with the attempt not counted; the status is 3."""
    worker = work(HANDLER[world], "--lease", "600")
    queue.enqueue("hang", mid="m")
    wait_for(server, "started", 1)
    worker.signal(signal.SIGINT)
    worker.wait_for("told to end")
    assert queue.message_status("m") == "locked"
    worker.signal(signal.SIGTERM)
    assert worker.status() == 3
    assert "messages are handed back" in worker.said()
    assert queue.message_status("m") == "queued"
    assert queue.content()["m"].attempts == 0


def test_a_drain_has_its_time(queue: Queue, server: RedisServer, work: Callable[..., WorkerProcess]) -> None:
    worker = work(HANDLER["sync"], "--lease", "600", "--drain", "0.1")
    queue.enqueue("hang", mid="m")
    wait_for(server, "started", 1)
    worker.signal(signal.SIGTERM)
    assert worker.status() == 3
    assert queue.message_status("m") == "queued"


@pytest.mark.parametrize("world", ["sync", "async"])
def test_q01_a_worker_that_is_killed(
    world: str, queue: Queue, server: RedisServer, work: Callable[..., WorkerProcess]
) -> None:
    """Its message is another's when the lease has run out, and not before."""
    victim = work(HANDLER[world], "--lease", "1")
    queue.enqueue("hang", mid="m")
    wait_for(server, "started", 1)
    other = work(HANDLER[world], "--lease", "1")
    victim.signal(signal.SIGKILL)
    victim.process.wait()
    killed = time.monotonic()
    server.call("LPUSH", "go", "x")
    [handled] = wait_for(server, "handled", 1)
    assert handled == ("emails", "m", "2", str(other.process.pid))
    assert time.monotonic() - killed < 3.0, "not long after the lease"
    other.signal(signal.SIGTERM)
    assert other.status() == 0


# While it works. -----------------------------------------------------------------------------------------------------


def test_pause_stops_a_live_worker(queue: Queue, server: RedisServer, work: Callable[..., WorkerProcess]) -> None:
    """It goes on with its other queue, which comes later in its order; and with this one after `resume`."""
    work(HANDLER["sync"], "--queue", "other", "--concurrency", "1")
    queue.enqueue("quick", mid="before")
    wait_for(server, "handled", 1)
    assert mq(server.url, "pause", "emails").returncode == 0
    queue.enqueue("quick", mid="held")
    client: Any = queue._client
    Queue(client, "other").enqueue("quick", mid="m")
    assert [line[:2] for line in wait_for(server, "handled", 2)] == [("emails", "before"), ("other", "m")]
    assert queue.message_status("held") == "queued"
    assert mq(server.url, "resume", "emails").returncode == 0
    assert wait_for(server, "handled", 3)[2][:3] == ("emails", "held", "1")


def test_s24_retries_a_dead_letter_and_a_replay(
    queue: Queue, server: RedisServer, work: Callable[..., WorkerProcess]
) -> None:
    """The log has mid, attempt and error, and nothing of the content; no control character (S-24)."""
    worker = work("handlers:tools.post", "--retry", "0.01,0.02", "--max-attempts", "3", "--log-level", "info")
    queue.enqueue("bad", mid="m")
    queue.enqueue("CANARY-9f3", mid="n")
    wait_until(lambda: queue.status().dead == 1, "a dead letter", 30.0)
    assert [attempt for _, mid, attempt, _ in lines(server, "started") if mid == "m"] == ["1", "2", "3"]
    assert b'"error": "ValueError: it is \\u001b[2J bad"' in mq(server.url, "dead", "emails", "--json").stdout
    assert mq(server.url, "replay", "emails", "m").stdout == b"1 dead letter put back into the queue\n"
    wait_until(lambda: queue.status().dead == 1 and len(lines(server, "started")) == 7, "it dies again", 30.0)
    worker.signal(signal.SIGTERM)
    assert worker.status() == 0
    said = worker.said()
    assert "message 'm', attempt 3 failed: dead" in said
    assert "  ValueError: it is \\x1b[2J bad\n" in said
    assert_harmless(said.encode())
    assert "CANARY" not in said


def test_s20_the_program_alone_finds_handlers_here_and_keeps_the_password(
    queue: Queue, server: RedisServer, stack: contextlib.ExitStack, tmp_path: Path
) -> None:
    """Started as the installed program is, whose folder and not the current one is on sys.path (S-20)."""
    program = tmp_path / "bin" / "carmine"
    program.parent.mkdir()
    program.write_text("import sys\nfrom carmine.cli.main import main\nsys.exit(main())\n")
    server.call("ACL", "SETUSER", "guest", "on", ">CANARY-9f3", "~*", "&*", "+@all")
    url = server.url.replace("redis://", "redis://guest:CANARY-9f3@")
    words = ("handlers:tools", "--queue", "emails", "--log-level", "debug")
    command = (sys.executable, str(program), "mq")
    worker = WorkerProcess(stack, tmp_path, url, server.url, *words, program=command)
    worker.wait_for(" begins: handlers:tools")
    queue.enqueue("quick", mid="m")
    wait_for(server, "handled", 1)
    worker.signal(signal.SIGINT)
    assert worker.status() == 0
    assert "CANARY" not in worker.said()


def test_processes_that_a_handler_forks(queue: Queue, server: RedisServer, work: Callable[..., WorkerProcess]) -> None:
    """They end by a signal as ever, and the worker is not told to end by it."""
    worker = work(HANDLER["sync"], "--concurrency", "1")
    queue.enqueue("fork", mid="m")
    assert wait_for(server, "handled", 1)[0][4] == str(int(signal.SIGTERM))
    queue.enqueue("quick", mid="next")
    wait_for(server, "handled", 2)
    assert "told to end" not in worker.said()
    worker.signal(signal.SIGTERM)
    assert worker.status() == 0


# The beginning. ------------------------------------------------------------------------------------------------------


def test_a_handler_that_is_not_there(server: RedisServer) -> None:
    said = one_sentence(mq(server.url, "worker", "no_such_module:send", "--queue", "emails"), 2)
    assert said == (
        "carmine mq worker: the module no_such_module cannot be imported: "
        "ModuleNotFoundError: No module named 'no_such_module'\n"
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a folder to import from, and forget afterwards what was."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("RECORDS", "redis://127.0.0.1:1")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith(("handlers", "broken", "pack")):
            del sys.modules[name]


@pytest.mark.parametrize(
    ("words", "text", "said"),
    [
        ("broken", "", "named module:function"),
        ("broken:", "", "named module:function"),
        (":send", "", "named module:function"),
        ("broken.py:send", "", r"broken\.py cannot be imported: ModuleNotFoundError"),
        ("../broken:send", "", "named module:function"),
        ("broken:send", "", "the module broken has no send$"),
        ("broken:send.now", "def send(m): ...", r"the module broken has no send\.now$"),
        ("broken:send", "send = 7", "broken:send is a int, not a function"),
        ("broken:Send", "class Send: ...", "broken:Send is a class; name an object of it"),
        ("broken:send", "import no_such_module", r"ModuleNotFoundError: .* \(.*broken\.py, line 1\)$"),
        ("broken:send", "\n\n1 / 0", r"ZeroDivisionError: division by zero \(.*broken\.py, line 3\)$"),
        ("broken:send", "def (", r"SyntaxError: .*\(broken\.py, line 1\)$"),
        ("broken:send", "raise SystemExit", r"SystemExit \(.*broken\.py, line 1\)$"),
    ],
)
def test_what_cannot_be_a_handler(folder: Path, words: str, text: str, said: str) -> None:
    (folder / "broken.py").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=said) as refusal:
        find_handler(words)
    assert "\n" not in str(refusal.value)


def test_handlers_of_both_worlds(folder: Path) -> None:
    (folder / "pack").mkdir()
    (folder / "pack" / "handlers.py").write_text(HANDLERS, encoding="utf-8")
    found = {name: find_handler(f"pack.handlers:{name}") for name in ("handle", "handle_async", "tools", "tools.post")}
    assert {name: is_async(handler) for name, handler in found.items()} == {
        "handle": False,
        "handle_async": True,
        "tools": False,
        "tools.post": True,
    }
    assert is_async(functools.partial(found["handle_async"], 1))

    class Awaited:
        async def __call__(self, message: object) -> None:
            await asyncio.sleep(0)

    assert is_async(Awaited())


def test_what_a_worker_is_made_of(
    folder: Path,
    server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Each word of the command line comes to the worker as what it means."""
    (folder / "handlers.py").write_text("def send(message): ...\n", encoding="utf-8")
    monkeypatch.setenv("CARMINE_URL", server.url)
    monkeypatch.setattr(logging.getLogger(), "handlers", [logging.NullHandler()])
    made: list[Any] = []

    def record(client: object, queues: list[str], handler: object, **options: object) -> None:
        made.append((queues, options))
        raise UsageError("recorded")

    monkeypatch.setattr(mq_worker, "Worker", record)
    command = ["mq", "worker", "handlers:send", "--queue", "b", "--queue", "a"]
    assert main(command) == 2
    words = ["--concurrency", "16", "--lease", "2.5", "--retry", "1,10", "--max-attempts", "0", "--at-most-once"]
    assert main([*command, *words]) == 2
    assert capfd.readouterr().err == "carmine mq worker: recorded\n" * 2
    defaults = {"concurrency": 8, "lease": 60.0, "retry": None, "max_attempts": 20, "at_most_once": False}
    assert made == [
        (["b", "a"], defaults),
        (
            ["b", "a"],
            {"concurrency": 16, "lease": 2.5, "retry": [1.0, 10.0], "max_attempts": None, "at_most_once": True},
        ),
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--retry soon", "--retry takes seconds"),
        ("--retry nan", "retry must be between"),
        ("--concurrency 0", "concurrency must be between 1 and"),
        ("--lease 0", "lease must be between"),
        ("--max-attempts -1", "max_attempts must be 1 or more"),
        ("--drain -1", "--drain takes between 0"),
        ("--queue emails", "each named once"),
        ("--url redis://127.0.0.1:1", "Connection refused"),
    ],
)
def test_options_that_are_none(
    folder: Path,
    server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    words: str,
    said: str,
) -> None:
    (folder / "handlers.py").write_text("def send(message): ...\n", encoding="utf-8")
    monkeypatch.setenv("CARMINE_URL", server.url)
    monkeypatch.setattr(logging.getLogger(), "handlers", [logging.NullHandler()])
    status = main(["mq", "worker", "handlers:send", "--queue", "emails", *words.split()])
    assert status == (1 if "--url" in words else 2)
    complaint = capfd.readouterr().err
    assert said in complaint
    assert complaint.count("\n") == 1
