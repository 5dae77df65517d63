"""The conformance vectors over both twins: whole, in pieces, after an error, within time and memory.

`make asan` runs these and the fuzzers over a twin built with ASan and UBSan (SECURITY S-70).
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.protocol import check_vectors
from tests.protocol.adapter import Adapter, Outcome
from tests.protocol.streams import FILE, VECTORS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.protocol.twins import Twin

CAPS: dict[str, Any] = {**check_vectors.DEFAULT_CAPS, **Adapter.CAPS}
ROUNDS = 5
KIT = Path(check_vectors.__file__)
LIGHT = [one for one in VECTORS if not one.get("max_rss_mb")]
HEAVY = [one for one in VECTORS if one.get("max_rss_mb")]


@pytest.fixture(autouse=True)
def deep() -> Iterator[None]:
    """Let the kit walk deep values, which it does by recursion."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    yield
    sys.setrecursionlimit(before)


def peeled(vector: dict[str, Any], got: list[Outcome]) -> tuple[dict[str, Any], list[Outcome]]:
    """Take the same wrapping off what is wanted and what came: CPython 3.12 lets nobody recurse that deep in C."""
    wanted = vector.get("value", {})
    if wanted.get("t") != "nest" or len(got) != 1:
        return vector, got
    inner, depth = got[0]["value"], 0
    while depth < wanted["depth"] and inner["t"] == wanted["open"] and len(inner["v"]) == 1:
        (inner,) = inner["v"]
        if wanted["open"] == "map":
            key, inner = inner
            assert check_vectors.canon(key, CAPS) == check_vectors.canon(wanted["key"], CAPS)
        depth += 1
    return (
        {**vector, "value": {**wanted, "depth": wanted["depth"] - depth}},
        [{**got[0], "value": inner}],
    )


def test_all_vectors_are_here() -> None:
    assert len(VECTORS) == 362
    assert len({one["name"] for one in VECTORS}) == 362
    assert {one["group"] for one in HEAVY} >= {"memory"}


@pytest.mark.parametrize("vector", LIGHT, ids=lambda one: one["name"])
def test_vector(twin: Twin, vector: dict[str, Any]) -> None:
    adapter = Adapter(twin.parser)
    rng = random.Random(vector["name"])
    outcomes = {}
    for mode, data in check_vectors.modes(vector, rng, ROUNDS):
        start = time.perf_counter()
        got = check_vectors.call(adapter, data, vector["protocol"])
        took = time.perf_counter() - start
        assert check_vectors.judge(*peeled(vector, got), CAPS) == "pass", (mode, check_vectors.short(got))
        assert took < vector.get("time_limit_s", 5), mode
        outcomes[mode] = got
    assert set(outcomes) == {"whole", "bytes", "random"}
    if outcomes["whole"][-1].get("outcome") == "protocol_error":
        chunks = [check_vectors.data_of(vector), b"+OK\r\n", b"$2\r\nhi\r\n"]
        after = check_vectors.call(adapter, chunks, vector["protocol"])
        assert check_vectors.flat(after, CAPS) == check_vectors.flat(outcomes["whole"], CAPS)


@pytest.mark.slow  # a process for each: and the sanitizers' address space is no measure of ours
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and limits the address space")
@pytest.mark.parametrize("vector", HEAVY, ids=lambda one: one["name"])
def test_vector_in_little_memory(twin: Twin, vector: dict[str, Any]) -> None:
    words = [str(KIT), str(KIT.with_name("adapter.py")), "--vectors", str(FILE), "--child", vector["name"]]
    root = KIT.parent.parent.parent
    environment = {**os.environ, "CARMINE_IMPL": twin.name, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["verdict"] == "pass", report
    assert report["grown_mb"] <= vector["max_rss_mb"]
    assert report["s"] < vector.get("time_limit_s", 5)


def test_generated_replies_in_any_chunks(twin: Twin) -> None:
    """The kit's own fuzzing: random trees decode to what they say, mutations alike however they are cut."""
    adapter = Adapter(twin.parser)
    assert check_vectors.fuzz(adapter, CAPS, VECTORS, random.Random(20230320), 400) == []


def test_the_kit_notices_a_wrong_decoder() -> None:
    """A decoder that loses a reply must fail: the checks above can."""

    class Forgetful:
        CAPS = Adapter.CAPS

        def feed_all(self, data: object, protocol: int) -> list[object]:
            return []

    judged = [
        check_vectors.judge(one, check_vectors.call(Forgetful(), check_vectors.data_of(one), 3), CAPS) for one in LIGHT
    ]
    assert judged.count("pass") <= 1  # the empty input
