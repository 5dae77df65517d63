"""The programs of examples/ that use the client alone: each runs from a shell, and does what it says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import carmine
from carmine._bridge.threads import spawn
from tests.lab.matrix import current_leg

if TYPE_CHECKING:
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.one_server
ROOT = Path(__file__).resolve().parents[2]


def run(name: str, url: str) -> list[str]:
    """Run a program as its user does; return what it printed."""
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / f"{name}.py", url],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_cache_aside(server: RedisServer) -> None:
    first, second = run("cache_aside", server.url)
    assert first.partition(" in ")[0] == second.partition(" in ")[0] == "{'number': 12, 'square': 144}"
    took = [float(line.split()[-2]) for line in (first, second)]
    assert took[0] >= 50 > took[1]


def test_rate_limiter(server: RedisServer) -> None:
    lines = run("rate_limiter", server.url)
    assert lines[:5] == [f"call {number}: yes, {5 - number} left" for number in range(1, 6)]
    assert lines[5:] == ["call 6: no, again in 10 s"]


def test_leaderboard(server: RedisServer) -> None:
    assert run("leaderboard", server.url) == [
        "1. ada 30",
        "2. bob 28",
        "3. eve 25",
        "bob: Standing(rank=2, points=28.0, ahead='ada')",
    ]


def test_stream_consumer(server: RedisServer) -> None:
    assert run("stream_consumer", server.url) == [
        "one: dead at order 1",
        "two: packed order 1",
        "two: packed order 2",
        "two: packed order 3",
        "two: 3 orders, 0 pending",
    ]


def test_pubsub(server: RedisServer) -> None:
    assert run("pubsub", server.url) == ["ada: hello", "bob: hi, and bye"]


# What the classes promise beyond what their programs show. ----------------------------------------------------------


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    return __import__


def test_many_who_miss_ask_the_source_once(server: RedisServer, examples: Any) -> None:
    asked: list[str] = []

    def source(name: str) -> dict[str, str]:
        asked.append(name)
        return {"name": name}

    with carmine.connect(server.url, serializer=True) as client:
        cache = examples("cache_aside").Cache(client, source)
        jobs = [spawn(lambda: cache.get("x")) for _ in range(8)]
        assert [job.join(20) for job in jobs] == [{"name": "x"}] * 8
        assert asked == ["x"]
        cache.forget("x")
        assert cache.get("x") == {"name": "x"}
        assert asked == ["x", "x"]


def test_the_limit_holds_for_many_at_once(server: RedisServer, examples: Any) -> None:
    with carmine.connect(server.url) as client:
        limiter = examples("rate_limiter").RateLimiter(client, calls=20, seconds=60)
        jobs = [spawn(lambda: [limiter.ask("ada").allowed for _ in range(10)]) for _ in range(8)]
        assert sum(sum(job.join(20)) for job in jobs) == 20
        verdict = limiter.ask("ada")
        assert not verdict.allowed
        assert 0 < verdict.retry_after <= 60
        assert limiter.ask("bob").allowed
        assert 0 < client.ttl("rate:ada") <= 60


@pytest.mark.skipif(not current_leg().at_least_7, reason="XAUTOCLAIM of Redis 6.2 also gives what was deleted")
def test_an_entry_at_which_a_consumer_fails_stays(server: RedisServer, examples: Any) -> None:
    with carmine.connect(server.url) as client:
        consumer = examples("stream_consumer").Consumer(client, "s", "g", "one", takeover=0)
        client.xadd("s", {"n": 1})
        with pytest.raises(ZeroDivisionError):
            consumer.run_once(lambda *_: 1 // 0, wait=0.01)
        seen: list[dict[str, str]] = []
        assert consumer.run_once(lambda _, fields: seen.append(fields), wait=0.01) == 1
        assert seen == [{"n": "1"}]
        assert consumer.run_once(lambda *_: None, wait=0.01) == 0
