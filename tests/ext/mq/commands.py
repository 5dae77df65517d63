"""What the tests of `carmine mq` share: the command in a process of its own, at a terminal or not, and workers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.lab.servers import wait_until

if TYPE_CHECKING:
    import contextlib
    import signal

ROOT: Final = Path(__file__).resolve().parents[3]
PROGRAM: Final = (sys.executable, "-m", "carmine", "mq")


def environment(url: str, **more: str) -> dict[str, str]:
    """Return an environment whose CARMINE_URL is the server's; a variable that is "" is left out."""
    made = {**os.environ, "CARMINE_URL": url, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", **more}
    return {name: value for name, value in made.items() if value}


def mq(url: str, *words: str, stdin: bytes = b"", **more: str) -> subprocess.CompletedProcess[bytes]:
    """Run one command without a terminal; nobody waits longer than a minute."""
    return subprocess.run(
        [*PROGRAM, *words], input=stdin, env=environment(url, **more), capture_output=True, check=False, timeout=60
    )


def one_sentence(done: subprocess.CompletedProcess[bytes], status: int) -> str:
    """Return the sentence on stderr of a command that failed."""
    assert done.returncode == status, done.stderr
    assert done.stderr.count(b"\n") == 1, done.stderr
    assert done.stderr.startswith(b"carmine mq "), done.stderr
    return done.stderr.decode()


def assert_harmless(*outputs: bytes) -> None:
    """Check that nothing of this moves a cursor, changes a colour or turns letters around."""
    for output in outputs:
        text = output.decode()
        assert [letter for letter in text if not letter.isprintable() and letter != "\n"] == [], text


HANDLERS: Final = """
import os
import signal
import carmine

url = os.environ["RECORDS"]
log = carmine.Client(url)
tasks_log = carmine.AsyncClient(url)


def handle(message):
    line = f"{message.queue.name} {message.mid} {message.attempt} {os.getpid()}"
    log.rpush("started", line)
    if message.content == "fork":
        (ready, said), (alive, held) = os.pipe(), os.pipe()
        child = os.fork()
        if not child:
            os.close(held)
            os.write(said, b"x")
            os.read(alive, 1)  # as long as the worker lives
            os._exit(7)
        os.read(ready, 1)  # Python loses a signal that comes while it forks
        os.kill(child, signal.SIGTERM)
        line += f" {os.waitpid(child, 0)[1]}"
    if message.content == "hang":
        log.blmove("go", "go", 30)
    if message.content == "bad":
        raise ValueError("it is \\x1b[2J bad")
    log.rpush("handled", line)


async def handle_async(message):
    line = f"{message.queue.name} {message.mid} {message.attempt} {os.getpid()}"
    await tasks_log.rpush("started", line)
    if message.content == "hang":
        await tasks_log.blmove("go", "go", 30)
    if message.content == "bad":
        raise ValueError("it is \\x1b[2J bad")
    await tasks_log.rpush("handled", line)


class Tools:
    def __call__(self, message):
        handle(message)

    async def post(self, message):
        await handle_async(message)


tools = Tools()
number = 7
"""
"""A module with handlers that write what they do into lists of the server RECORDS."""


class WorkerProcess:
    """`carmine mq worker` in a process of its own, in the folder that holds `handlers.py`.

    Args:
        stack: What ends it with the test.
        folder: A new folder of the test.
        url: The server, as CARMINE_URL.
        records: The server that the handlers write to.
        words: The command line behind `worker`.
        program: What runs `carmine`.
    """

    def __init__(
        self,
        stack: contextlib.ExitStack,
        folder: Path,
        url: str,
        records: str,
        *words: str,
        program: tuple[str, ...] = PROGRAM,
    ) -> None:
        (folder / "handlers.py").write_text(HANDLERS, encoding="utf-8")
        self._said = folder / f"stderr-{len(list(folder.iterdir()))}"
        with self._said.open("wb") as file:
            self.process = subprocess.Popen(
                [*program, "worker", *words], cwd=folder, env=environment(url, RECORDS=records), stderr=file
            )
        stack.callback(self._end)

    def said(self) -> str:
        """Return what it has written to stderr."""
        return self._said.read_text(encoding="utf-8")

    def wait_for(self, words: str) -> None:
        """Wait until it has said something."""
        wait_until(lambda: words in self.said() or self.process.poll() is not None, f"{words!r} is said", 30.0)
        assert words in self.said(), self.said()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.process.pid, number)

    def status(self) -> int:
        """Wait until it has ended, and return its exit status."""
        return self.process.wait(30)

    def _end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
