"""The parent's side of a worker process: start it, give orders, wait with a deadline, end it.

Knows processes and pipes, not what is measured. Invariant: a worker that does not answer in time is killed by its own
pid and its row says so; it can never hang the run.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from typing import NamedTuple

from bench import envs
from bench.rivals.work import Unavailable

#: Longer than any block may take: a contestant that needs more has stalled.
PATIENCE = 60.0

# glibc gives large blocks back to the kernel or keeps them, as the layout of a process's heap happens to be; page
# faults then make the 10 MiB rows up to four times slower in one process than in its twin. Kept for all, the rows
# compare clients.
KEPT_HEAP = (("MALLOC_MMAP_THRESHOLD_", str(32 * 1024 * 1024)), ("MALLOC_TRIM_THRESHOLD_", str(128 * 1024 * 1024)))


class Kind(NamedTuple):
    """How a rival's worker is started."""

    module: str
    environment: str | None = None
    variables: tuple[tuple[str, str], ...] = ()

    @property
    def python(self) -> str:
        """Return the interpreter: the rival's own, or the one that runs the benchmark."""
        return str(envs.environment(self.environment).python) if self.environment else sys.executable


KINDS: dict[str, Kind] = {
    "wire": Kind("wire"),
    "carmine": Kind("carmine_sync"),
    "carmine-pure": Kind("carmine_sync", None, (("CARMINE_IMPL", "python"),)),
    "carmine-text": Kind("carmine_sync", None, (("BENCH_TEXT", "1"),)),
    "redis-py": Kind("redis_py", "redis"),
    "redis-py-text": Kind("redis_py", "redis", (("BENCH_TEXT", "1"),)),
    "glide": Kind("glide_sync", "glide"),
    "wire-async": Kind("wire_async"),
    "carmine-async": Kind("carmine_async"),
    "redis.asyncio": Kind("redis_async", "redis"),
    "coredis": Kind("coredis_async", "coredis"),
    "glide-async": Kind("glide_async", "glide-async"),
    "codec": Kind("codec_carmine", None, (("CARMINE_IMPL", "cython"),)),
    "codec-pure": Kind("codec_carmine", None, (("CARMINE_IMPL", "python"),)),
    "codec-hiredis": Kind("codec_hiredis", "redis"),
    "codec-redis-py": Kind("codec_redis_py", "redis-pure"),
}


class Sample(NamedTuple):
    """One timed block."""

    wall: float
    cpu: float


class Contestant:
    """One worker process."""

    def __init__(
        self,
        kind: Kind,
        address: tuple[str, int],
        cores: frozenset[int] = frozenset(),
        variables: tuple[tuple[str, str], ...] = (),
    ) -> None:
        if kind.environment and not envs.environment(kind.environment).is_ready:
            raise Unavailable(f"its environment is missing: run `python -m bench setup {kind.environment}`")
        words = [kind.python, "-m", "bench.worker", kind.module, address[0], str(address[1])]
        self._process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=envs.ROOT,
            env={**environment(), **dict(variables), **dict(kind.variables)},
        )
        if cores:
            os.sched_setaffinity(self._process.pid, cores)
        self._buffer = b""
        self.failure = ""

    @property
    def pid(self) -> int:
        """Return the worker's process id."""
        return self._process.pid

    def order(self, do: str, **arguments: object) -> dict[str, object]:
        """Send one order and return its answer.

        Raises:
            Unavailable: The rival cannot do it, failed, died, or did not answer in time.
        """
        self.begin(do, **arguments)
        return self.finish()

    def begin(self, do: str, **arguments: object) -> None:
        """Send one order; `finish` must follow, before any other.

        Raises:
            Unavailable: The worker is gone.
        """
        if self._process.stdin is None or self._process.poll() is not None:
            raise Unavailable("its worker process is gone")
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Unavailable("its worker process died") from None

    def finish(self) -> dict[str, object]:
        """Wait for the answer of the order that was begun.

        Raises:
            Unavailable: The rival cannot do it, failed, died, or did not answer in time.
        """
        answer: dict[str, object] = json.loads(self._line())
        if "unavailable" in answer:
            raise Unavailable(str(answer["unavailable"]))
        return answer

    def ask(self, what: str, **arguments: object) -> object:
        """Have the rival do something that is not timed by its worker; return what it says."""
        return self.order("ask", what=what, **arguments)["value"]

    def run(self, work: str, count: int) -> Sample:
        """Time one block of a work that was opened; why that failed is kept for whoever drops this seat."""
        try:
            answer = self.order("run", work=work, count=count)
        except Unavailable as reason:
            self.failure = str(reason)
            raise
        return Sample(float(str(answer["wall"])), float(str(answer["cpu"])))

    def stop(self) -> None:
        """End the worker."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _line(self) -> bytes:
        pipe = self._process.stdout
        if pipe is None:
            raise Unavailable("its worker process has no pipe")
        while b"\n" not in self._buffer:
            if not select.select([pipe], [], [], PATIENCE)[0]:
                self._process.kill()
                raise Unavailable(f"stalled: no answer in {PATIENCE:g} s")
            chunk = os.read(pipe.fileno(), 65536)
            if not chunk:
                raise Unavailable("its worker process died")
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line


def environment() -> dict[str, str]:
    """Return this environment without what could change a rival's path: the caller's shell must not leak in."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "CARMINE_", "MALLOC_"))}
