"""Workers as processes that are killed at random: at every moment each key is readable, from Redis or its archive."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import pytest

import carmine
from carmine.ext.tundra import NotRestored, TundraStore
from carmine.ext.tundra.disk import DiskDataStore
from tests.ext.tundra.laborer import OPTIONS
from tests.ext.tundra.stores import MAC_KEY
from tests.lab.matrix import scaled
from tests.lab.servers import RedisServer, wait_until

if TYPE_CHECKING:
    import contextlib
    from pathlib import Path

ROOT: Final = __file__.rpartition("/tests/")[0]


class Laborer:
    """A process with a worker, which is another one after each kill."""

    def __init__(self, stack: contextlib.ExitStack, world: str, url: str, folder: Path) -> None:
        words = [sys.executable, "-m", "tests.ext.tundra.laborer", world, url, str(folder)]
        self._parent = subprocess.Popen(
            words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        stack.callback(self._end)
        self._pid = 0
        self.start()

    def start(self) -> None:
        """Start one, and wait until it works."""
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.write("another\n")
        self._pid = int(self._parent.stdout.readline())

    def kill(self) -> None:
        """Kill it by SIGKILL."""
        os.kill(self._pid, signal.SIGKILL)
        self._pid = 0

    def _end(self) -> None:
        if self._pid:
            self.kill()
        self._parent.kill()
        self._parent.communicate()


def readable(client: carmine.Client[Any], store: TundraStore, wanted: dict[str, str]) -> int:
    """Check that every key can be had as it was last written; return how many had to be brought back."""
    here = client.mget(*wanted)
    away = [key for key, value in zip(wanted, here, strict=True) if value is None]
    missing: list[str] = []
    for _ in range(20):  # what is brought back may leave memory again at once
        missing = []
        try:
            store.ensure_keys(*wanted)
        except NotRestored as problem:  # pragma: no cover - the failure that this test looks for
            raise AssertionError(f"{len(problem.keys)} keys are lost: {problem}") from problem
        for key, value in zip(wanted, client.mget(*wanted), strict=True):
            if value is None:
                missing.append(key)
            else:
                assert value == wanted[key], f"{key} is out of date"
        if not missing:
            return len(away)
    raise AssertionError(f"{len(missing)} keys never stay")


@pytest.mark.parametrize("world", ["sync", "async"])
def test_d01_a_worker_that_is_killed_at_random_points(
    world: str, server: RedisServer, stack: contextlib.ExitStack, tmp_path: Path
) -> None:
    """D01, D02: between DUMP, put, mark and expiry; nothing is lost, nothing out of date, and a re-run is safe."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    client = stack.enter_context(carmine.Client(server.url))
    datastore = DiskDataStore(tmp_path / "archive")
    noting = TundraStore(client, datastore, **OPTIONS)
    reader = TundraStore(client, datastore, mac_keys=MAC_KEY, redis_ttl=30, allow_short_ttl=True)
    laborer = Laborer(stack, world, server.url, tmp_path / "archive")
    wanted = {f"k{n}": "first" for n in range(40)}
    client.mset(wanted)
    noting.dirty(*wanted)
    kills, away = scaled(200), 0
    for kill in range(kills):
        for key in chance.sample(sorted(wanted), 25):
            reader.ensure_keys(key)
            wanted[key] = f"{key} {kill} {chance.random()}" * chance.randrange(1, 50)
            client.set(key, wanted[key])
            noting.dirty(key)
        pause, began = chance.uniform(0.0, 0.03), time.monotonic()
        wait_until(lambda pause=pause, began=began: time.monotonic() - began > pause, "a random moment")  # type: ignore[misc]
        laborer.kill()
        away += readable(client, reader, wanted)
        laborer.start()
    wait_until(lambda: reader.stats().waiting == 0, f"everything is archived in the end, seed {seed}", 30.0)
    away += readable(client, reader, wanted)
    assert reader.verify().failures == {}, f"seed {seed}"
    assert reader.stats().dead == 0
    print(f"\n{world}: {kills} kills, {away} keys brought back, 0 lost, seed {seed}")  # noqa: T201 - the promise's figures
