"""A hundred thousand keys out to disk, with fsync, and back at random: rate, memory, loss, and a flat cost per key."""

from __future__ import annotations

import random
import resource
import time
from typing import TYPE_CHECKING

import pytest

import carmine
from carmine.ext.tundra import TundraStore
from carmine.ext.tundra.disk import DiskDataStore
from tests.ext.tundra.stores import MAC_KEY
from tests.lab.matrix import scaled

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.servers import RedisServer

pytestmark = [pytest.mark.one_server, pytest.mark.one_twin]


def test_a_hundred_thousand_keys(server: RedisServer, tmp_path: Path) -> None:
    """All of them with CARMINE_TEST_SCALE=1; the cost is counted in scripts, which no busy machine changes."""
    count, part = 100_000 if scaled(100) >= 100 else 2_000, 1_000
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    with carmine.Client(server.url) as client:
        store = TundraStore(client, DiskDataStore(tmp_path / "archive"), mac_keys=MAC_KEY)
        keys = [f"key:{n}" for n in range(count)]
        costs: list[dict[str, float]] = []
        for start in range(0, count, part):
            some = keys[start : start + part]
            client.mset({key: f"{key} {'x' * 200}" for key in some})
            server.call("CONFIG", "RESETSTAT")
            spent = {"dirty": _time(lambda some=some: store.dirty(*some))}
            spent["archive"] = _time(lambda: store.worker(concurrency=4).run_until_empty(120.0))
            spent["evict"] = _time(lambda some=some: store.evict(*some))
            costs.append({name: seconds * 1e6 / len(some) for name, seconds in spent.items()})
            costs[-1]["calls"] = _calls(server) / len(some)
        assert not client.exists(*keys)
        assert store.stats()[:2] == (count, 0)
        chance.shuffle(keys)
        began = time.perf_counter()
        for start in range(0, count, 100):
            store.ensure_keys(*keys[start : start + 100])
        back = (time.perf_counter() - began) * 1e6 / count
        lost = [key for key, value in zip(keys, client.mget(*keys), strict=True) if value != f"{key} {'x' * 200}"]
    means = {name: sum(cost[name] for cost in costs) / len(costs) for name in costs[0]}
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(  # noqa: T201 - the figures of the promise
        f"\n{count} keys: dirty {means['dirty']:.0f} us, archived {means['archive']:.0f} us (fsync), evicted "
        f"{means['evict']:.0f} us, brought back {back:.0f} us each; {means['calls']:.2f} scripts a key "
        f"(first thousand {costs[0]['calls']:.2f}, last {costs[-1]['calls']:.2f}); {len(lost)} lost; "
        f"{memory:.0f} MiB at most; seed {seed}"
    )
    assert not lost, f"seed {seed}"
    assert costs[-1]["calls"] < 1.3 * costs[0]["calls"] + 0.2, "as many scripts for the last thousand as for the first"
    assert means["calls"] < 6


def _time(call: object) -> float:
    began = time.perf_counter()
    assert callable(call)
    call()
    return time.perf_counter() - began


def _calls(server: RedisServer) -> int:
    stats = server.info("commandstats")
    fields = [stats.get(f"cmdstat_{name}", "calls=0") for name in ("eval", "evalsha")]
    return sum(int(field.split(",")[0].partition("=")[2]) for field in fields)
