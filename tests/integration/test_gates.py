"""Gates that no machine's speed moves: frames and system calls of a call, modules and cost of the import.

A count above its gate is a slower client, found without a stopwatch (bench/counts.py says how each is counted).
"""

from __future__ import annotations

import functools
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

import carmine
from bench import counts, probes
from tests.lab.matrix import missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.one_server

cython_only = pytest.mark.skipif(carmine.protocol.__impl__ != "cython", reason="a gate of the Cython twin")


@pytest.fixture
def client(url: str) -> Iterator[carmine.Client[str]]:
    with carmine.connect(url) as made:
        yield made


# (the call, the most frames it may enter)
FRAMES: list[tuple[str, tuple[str, ...], int]] = [
    ("get", ("k",), 2),
    ("set", ("k", "v"), 3),
    ("incr", ("n",), 2),
    ("exists", ("k",), 3),
    ("hget", ("h", "f"), 2),
    ("hset", ("h", "f", "v"), 4),
    ("hgetall", ("h",), 4),
    ("lpush", ("l", "v"), 4),
]


class TestFrames:
    """TARGETS: a GET or a SET enters at most four Python functions; the counts of today stand here, and only fall."""

    @cython_only
    @pytest.mark.parametrize(("name", "args", "most"), FRAMES, ids=[row[0] for row in FRAMES])
    def test_a_warm_call(self, client: carmine.Client[str], name: str, args: tuple[str, ...], most: int) -> None:
        entered = counts.frames_per_call(functools.partial(getattr(client, name), *args))
        assert 1 <= len(entered) <= most, entered

    @cython_only
    def test_a_queued_command(self, client: carmine.Client[str]) -> None:
        with client.pipeline() as pipe:
            entered = counts.frames_per_call(functools.partial(pipe.get, "k"))
        assert entered == ("carmine.commands._pipeline.PipelineCommands.get",)

    def test_the_count_counts(self) -> None:
        """A gate that sees nothing would hold for ever."""
        assert len(counts.frames_per_call(functools.partial(outer, 3))) == 4


def outer(depth: int) -> int:
    return outer(depth - 1) if depth else 0


def calls(setup: str, call: str, times: int = 100) -> dict[str, float]:
    """Count system calls; without strace the test is skipped, or fails where everything must be there."""
    if sys.platform != "linux":
        pytest.skip("strace is a program for Linux")
    if shutil.which("strace") is None:
        missing("strace is not installed: apt-get install strace")
    return counts.system_calls(setup, call, times=times)


def connected(url: str, options: str = ", check=()") -> str:
    """Return the set-up; without a look at connections idle for more than 1 ms, which under strace are many."""
    return f"import carmine\nclient = carmine.connect({url!r}{options})\nclient.set('k', 'v')"


class TestSystemCalls:
    @cython_only
    @pytest.mark.parametrize("call", ["client.get('k')", "client.set('k', 'v')", "client.hgetall('h')"])
    def test_a_warm_call_writes_once_and_reads_once(self, url: str, call: str) -> None:
        found = calls(connected(url), call)
        assert sorted(found.values()) == [1, 1], found

    @cython_only
    def test_the_look_at_an_idle_connection_is_one_call_more_at_most(self, url: str) -> None:
        found = calls(connected(url, ""), "client.get('k')")
        assert 2 <= sum(found.values()) <= 3, found

    @cython_only
    def test_on_a_unix_socket_too(self, server: RedisServer) -> None:
        found = calls(connected(f"unix://{server.unix_path}"), "client.get('k')")
        assert sorted(found.values()) == [1, 1], found

    @cython_only
    def test_a_pipeline_of_a_hundred_is_one_write(self, url: str) -> None:
        found = calls(connected(url), "with client.pipeline() as pipe:\n for _ in range(100): pipe.get('k')", 20)
        assert found.pop("sendto", found.pop("sendmsg", found.pop("write", 0))) == 1
        assert sum(found.values()) < 5  # reads: as many as the kernel's pieces, which the server's writes decide

    def test_the_pure_twin_does_no_more_than_twice_as_much(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CARMINE_IMPL", "python")
        found = calls(connected(url), "client.get('k')")
        assert 2 <= sum(found.values()) <= 4, found

    def test_the_count_counts(self, url: str) -> None:
        found = calls(connected(url), "client.get('k')\nclient.get('k')")
        assert sum(found.values()) >= 4


@pytest.fixture(scope="module")
def loaded() -> frozenset[str]:
    return counts.modules_imported("import carmine")


class TestImport:
    @pytest.mark.parametrize(
        "name", ["asyncio", "ssl", "logging", "inspect", "dataclasses", "subprocess", "tempfile", "json", "argparse"]
    )
    def test_what_is_not_loaded(self, loaded: frozenset[str], name: str) -> None:
        assert "carmine" in loaded
        assert name not in loaded

    def test_no_module_of_anybody_else(self, loaded: frozenset[str]) -> None:
        roots = {name.split(".")[0] for name in loaded if not name.startswith(("_cython_", "cython_runtime"))}
        assert roots - set(sys.stdlib_module_names) == {"carmine"}

    @pytest.mark.parametrize("layer", ["carmine.cli", "carmine.embedded", "carmine.transport.tls", "carmine.ext"])
    def test_no_layer_above_and_nothing_for_later(self, loaded: frozenset[str], layer: str) -> None:
        assert {name for name in loaded if f"{name}.".startswith(f"{layer}.")} == set()

    def test_not_the_async_world(self, loaded: frozenset[str]) -> None:
        assert {name for name in loaded if "async" in name} == set()

    def test_an_async_name_loads_it(self) -> None:
        assert "asyncio" in counts.modules_imported("import carmine; carmine.AsyncClient")

    def test_time_and_memory_are_reported(
        self,
        record_property: Callable[[str, object], None],
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        """No gate: a busy machine would decide it. `make bench` judges them."""
        monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)  # a user's second import has bytecode
        monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path))
        seconds, grown = probes.import_cost("carmine", sys.executable, 5)
        record_property("import_ms", min(seconds) * 1e3)
        record_property("import_mib", min(grown) / probes.MIB)
        with capsys.disabled():
            sys.stdout.write(f"\nimport carmine: {min(seconds) * 1e3:.0f} ms, {min(grown) / probes.MIB:.2f} MiB\n")
        assert min(seconds) > 0
        assert min(grown) > 0
