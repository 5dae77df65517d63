"""Mutual exclusion under fire (FAULTS.md L11): threads and tasks of four processes, and a network that breaks."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

import pytest

from tests.ext.locks.counting import TTL
from tests.lab.matrix import scaled

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

pytest_plugins = ["tests.faults.invariants"]
pytestmark = [pytest.mark.faults, pytest.mark.slow]

ROOT: Final = __file__.rpartition("/tests/")[0]
WORKERS: Final = (13, 13, 12, 12)
"""Threads or tasks of each process, fifty together."""
PATIENCE: Final = 90.0


def test_l11_fifty_in_four_processes(
    server: RedisServer, proxy: FaultProxy, tmp_path: Path, world: str, report: Callable[..., None]
) -> None:
    """The count is exact, whatever connection is cut in the middle of whatever command."""
    rounds = scaled(200)
    file = tmp_path / "counter"
    file.write_text("0 0")
    url = proxy.url(server.url)
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.ext.locks.counting", world, url, str(file), str(workers), str(rounds)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for workers in WORKERS
    ]
    try:
        cuts = break_until_done(proxy, children)
        told = [child.communicate(timeout=PATIENCE) for child in children]
    finally:
        for child in children:
            child.kill()
            child.communicate()
    assert [errors for _, errors in told] == [""] * len(children)
    done, errors, lost = (sum(numbers) for numbers in zip(*(map(int, out.split()) for out, _ in told), strict=True))
    count, _ = map(int, file.read_text().split())
    report(f"L11 {world}", increments=count, cuts=cuts, errors=errors, lost_leases=lost)
    assert cuts > 0
    assert done == sum(WORKERS) * rounds
    assert count == done, "two were inside at once"


def break_until_done(proxy: FaultProxy, children: list[subprocess.Popen[str]]) -> int:
    """Cut a connection now and then, each at another place of what it carries, until the children have ended."""
    began = time.monotonic()
    cuts = 0
    for turn in itertools.count():
        if all(child.poll() is not None for child in children):
            return cuts
        assert time.monotonic() - began < PATIENCE, "they did not end"
        seen = proxy.passed["s2c"]
        numbers = proxy.numbers
        if numbers:
            cuts += proxy.kill("rst" if turn % 2 else "fin", numbers[turn * 7 % len(numbers)])
        wait_for_bytes(proxy, seen + 997 * (1 + turn % 5), children)
    raise AssertionError("unreachable")


def wait_for_bytes(proxy: FaultProxy, count: int, children: list[subprocess.Popen[str]]) -> None:
    """Wait until so many bytes have come from the server, or everybody has ended, or nothing happens."""
    deadline = time.monotonic() + min(0.2, TTL)
    while proxy.passed["s2c"] < count and time.monotonic() < deadline:
        if all(child.poll() is not None for child in children):
            return
        time.sleep(0.001)
