"""`carmine mq` at a terminal: a pty, with colours and without; the question before something is removed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Self

import pytest

import carmine
from carmine.ext.mq import Queue
from tests.ext.mq.commands import PROGRAM, environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.one_twin

pty = pytest.importorskip("pty", reason="Windows has no pseudo-terminals")

WITHOUT_RICH = "import sys; sys.modules['rich'] = None; from carmine.cli.main import main; sys.exit(main())"
COLOURS = {"TERM": "xterm-256color", "NO_COLOR": "", "COLUMNS": "140"}
EVIL = "a\x1b]0;title\x07b\x1b[2Jc"
"""Renames the window and clears the screen."""


class Terminal:
    """A command with a pseudo-terminal for all that it reads and writes.

    Args:
        url: The server's.
        words: The command line behind `carmine mq`.
        stdin: Where it reads instead.
        program: What runs `carmine mq`.
        more: Variables of its environment.
    """

    def __init__(
        self,
        url: str,
        *words: str,
        stdin: int | None = None,
        program: tuple[str, ...] = PROGRAM,
        more: dict[str, str] | None = None,
    ) -> None:
        self._ours, theirs = pty.openpty()
        self.said = b""
        self.process = subprocess.Popen(
            [*program, *words],
            stdin=theirs if stdin is None else stdin,
            stdout=theirs,
            stderr=theirs,
            env=environment(url, **{**COLOURS, **(more or {})}),
            start_new_session=True,
        )
        os.close(theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._ours)

    def wait_for(self, words: str) -> None:
        """Read until it has said something."""
        deadline = time.monotonic() + 30.0
        while words.encode() not in self.said:
            assert time.monotonic() < deadline, self.said
            assert self._read(), self.said

    def type(self, text: str) -> None:
        """Type something."""
        os.write(self._ours, text.encode())

    def end(self) -> tuple[int, str]:
        """Read to the end; return the status, and all that was said."""
        while self._read():
            pass
        return self.process.wait(30), self.said.decode().replace("\r\n", "\n")

    def _read(self) -> bool:
        data = b""
        with contextlib.suppress(OSError):  # Linux's way to say that nobody is left to write
            data = os.read(self._ours, 65_536)
        self.said += data
        return bool(data)


def without_colours(said: str) -> str:
    return re.sub(r"\x1b\[[\d;]*m", "", said)


@pytest.fixture
def queue(server: RedisServer) -> Iterator[Queue]:
    with carmine.Client(server.url) as client:
        made = Queue(client, "emails")
        made.enqueue({"to": EVIL}, mid=EVIL)
        yield made


def test_tables_have_colours(queue: Queue, server: RedisServer) -> None:
    pytest.importorskip("rich", reason="the extra `cli` is not installed")
    with Terminal(server.url, "peek", "emails") as terminal:
        status, said = terminal.end()
    assert status == 0
    assert "\x1b[1m" in said, "a bold head"
    text = without_colours(said)
    assert re.search(r"mid +status +attempts +rests +age +content", text)
    assert r"a\x1b]0;title\x07b\x1b[2Jc" in text
    assert not {"\x1b", "\x07"} & set(text), "none but the screen's own"


@pytest.mark.parametrize("how", ["NO_COLOR", "--plain", "no rich"])
def test_tables_without(how: str, queue: Queue, server: RedisServer) -> None:
    """The same text where colours are not wanted, or rich is not there."""
    more = {"NO_COLOR": "1"} if how == "NO_COLOR" else {}
    program = (sys.executable, "-c", WITHOUT_RICH, "mq") if how == "no rich" else PROGRAM
    words = ["--plain"] if how == "--plain" else []
    with Terminal(server.url, "status", *words, program=program, more=more) as terminal:
        status, said = terminal.end()
    assert status == 0
    assert "\x1b" not in said
    assert [line.split() for line in said.splitlines()][1] == ["emails", "1", "0", "0", "0", "0", "1"]


def test_the_question(queue: Queue, server: RedisServer) -> None:
    """What would go is told; no is the answer of who says nothing, and JSON stays alone on stdout."""
    asked = "Remove 1 message and 0 dead letters of emails for good? [y/N] "
    for answer, said in (
        ("n\n", "nothing was removed"),
        ("\x04", "nothing was removed"),
    ):
        with Terminal(server.url, "clear", "emails") as terminal:
            terminal.wait_for(asked)
            assert queue.size() == 1
            terminal.type(answer)
            status, shown = terminal.end()
        assert (status, queue.size()) == (1, 1)
        assert said in shown
    with Terminal(server.url, "clear", "emails") as terminal:
        terminal.wait_for(asked)
        terminal.type("y\n")
        assert terminal.end()[0] == 0
    assert queue.size() == 0


def test_an_interrupt_at_the_question(queue: Queue, server: RedisServer) -> None:
    with Terminal(server.url, "purge", "emails", "--all") as terminal:
        terminal.wait_for("Remove all dead letters of emails for good? [y/N] ")
        terminal.process.send_signal(signal.SIGINT)
        status, said = terminal.end()
    assert status == 130
    assert "carmine mq purge: interrupted" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("words", [[], ["--plain"]])
def test_watch(words: list[str], queue: Queue, server: RedisServer) -> None:
    """The table follows the queue, until it is interrupted."""
    with Terminal(server.url, "status", "emails", "--watch", "0.1", *words) as terminal:
        terminal.wait_for(" 1 ")
        queue.enqueue_many(["x"] * 41)
        terminal.wait_for("42")
        terminal.process.send_signal(signal.SIGINT)
        status, said = terminal.end()
    assert status == 130
    assert "Traceback" not in said


def test_progress(queue: Queue, server: RedisServer) -> None:
    """Lines that come one after the other are counted while they come, each at once."""
    pytest.importorskip("rich", reason="the extra `cli` is not installed")
    read, write = os.pipe()
    with Terminal(server.url, "enqueue", "emails", "--lines", stdin=read) as terminal:
        os.close(read)
        os.write(write, b"one\n")
        terminal.wait_for("1 messages")
        assert queue.size() == 2
        os.write(write, b"two\nthree\n")
        terminal.wait_for("3 messages")
        os.close(write)
        status, said = terminal.end()
    assert status == 0
    assert "added 3 messages" in said


def test_a_message_is_asked_for_by_name_only(server: RedisServer) -> None:
    """Without a message nobody waits at a terminal for what is never typed."""
    with Terminal(server.url, "enqueue", "emails") as terminal:
        status, said = terminal.end()
    assert (status, said) == (2, 'carmine mq enqueue: give the message, or "-" to type it\n')
    with Terminal(server.url, "enqueue", "emails", "-", "--json") as terminal:
        terminal.type('["typed"]\n\x04')
        status, said = terminal.end()
    assert status == 0
    assert '"action": "added"' in said
