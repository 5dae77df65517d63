"""One real server for a run: started by ``carmine.embedded``, given the data, bound to its cores.

Clients reach it by loopback TCP only. What it answers is compared by ``bench.resp``, never by carmine's own parser.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench import data, resp
from carmine.embedded import EmbeddedRedis, find_server
from carmine.errors import CarmineError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Server(NamedTuple):
    """A server that answers and holds the data."""

    address: tuple[str, int]
    pid: int
    version: str


@contextlib.contextmanager
def running(
    kind: str | None = None, cores: frozenset[int] = frozenset(), *, is_empty: bool = False
) -> Iterator[Server]:
    """Run a server as long as the block lasts.

    Args:
        kind: What ``carmine.embedded.find_server`` takes: a package's name, ``path``, a file; None for the first found.
        cores: The cores it may run on; any if empty.
        is_empty: Without the data of the clients' rows.
    """
    with EmbeddedRedis(kind) as embedded:
        address = ("127.0.0.1", embedded.port or 0)
        if cores:
            for thread in Path(f"/proc/{embedded.pid}/task").iterdir():
                os.sched_setaffinity(int(thread.name), cores)
        if not is_empty:
            load(address)
        yield Server(address, embedded.pid, f"{embedded.kind} {embedded.version}")


def on_path() -> str | None:
    """Return "path" if the machine has a server of its own: the layers' targets were set with Debian's."""
    try:
        return find_server("path").kind
    except CarmineError:
        return None


def load(address: tuple[str, int]) -> None:
    """Store the data."""
    with resp.connect(address) as sock:
        reader = resp.Reader(sock)
        for words in data.load_commands():
            sock.sendall(resp.pack(words))
            reader.read()
        reader.close()
