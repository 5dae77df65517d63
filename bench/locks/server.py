"""What the server says of its clients: how many commands it executed, and which came by the wire."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench import resp
from bench.rivals.work import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

_FIELD = b"total_commands_processed:"
_MARK = b"bench-end-of-watch"

#: Seconds that the server's monitor may be silent.
_PATIENCE = 10.0


class Teller:
    """A connection of the harness's own, in the harness's own RESP.

    Args:
        address: Of the server.
    """

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._sock = resp.connect(address)
        self._reader = resp.Reader(self._sock)

    def ask(self, *words: str) -> object:
        """Send one command and return its reply."""
        self._sock.sendall(resp.pack(words))
        return self._reader.read()[1]

    def executed(self) -> int:
        """Return how many commands the server has executed, those inside scripts included, and this one not."""
        return commands_in(self.ask("INFO", "stats")) - 1

    def rate(self, seconds: float) -> float:
        """Return how many commands a second the server executes for the others."""
        began, before = time.monotonic(), self.executed()
        time.sleep(seconds)
        # Our own question at the beginning is in the difference.
        return (self.executed() - before - 1) / (time.monotonic() - began)

    def watch(self, act: Callable[[], object]) -> int:
        """Return how many commands came by the wire while something was done; what scripts call does not count."""
        with resp.connect(self._address) as sock:
            sock.settimeout(_PATIENCE)
            sock.sendall(resp.pack(["MONITOR"]))
            reader = resp.Reader(sock)
            reader.read()
            act()
            self.ask("ECHO", _MARK.decode())
            lines: list[bytes] = []
            while True:
                line = reader.read()[1]
                if not isinstance(line, bytes):
                    raise Unavailable("the server's monitor said something else than lines")
                if _MARK in line:
                    reader.close()
                    return by_wire(lines)
                lines.append(line)

    def close(self) -> None:
        """Close the connection."""
        self._reader.close()
        self._sock.close()


def commands_in(info: object) -> int:
    """Read the number of commands from what INFO says."""
    text = info if isinstance(info, bytes) else b""
    line = next((line for line in text.splitlines() if line.startswith(_FIELD)), None)
    if line is None:
        raise Unavailable("the server does not tell how many commands it executed")
    return int(line[len(_FIELD) :])


def by_wire(lines: list[bytes]) -> int:
    """Count the monitor's lines whose source is a client: `1700000000.1 [0 127.0.0.1:5000] "SET" ...`."""
    return sum(line.partition(b"[")[2].partition(b"]")[0].split()[-1] != b"lua" for line in lines)
