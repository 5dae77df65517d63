"""What a process with a serializer has loaded afterwards (SECURITY S-30), and what one without has not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import counts

if TYPE_CHECKING:
    from tests.lab.servers import RedisServer

USE = """
import carmine
value = {{1: (None, b"x", {{"a"}}), "n": 2**70}}
with carmine.connect({url!r}, serializer=True) as client:
    client.set("k", value)
    client.hset("h", mapping={{"f": value}})
    assert client.get("k") == value and client.hgetall("h") == {{"f": value}}
    client.binary.set("bad", b"\\0j[")
    try:
        client.get("bad")
    except carmine.ThawError:
        pass
    else:
        raise AssertionError("it was thawed")
    with client.pipeline() as pipe:
        pipe.get("k")
    assert client.eval("return ARGV", [], [value]) == [value]
"""
PLAIN = """
import carmine
with carmine.connect({url!r}) as client:
    client.set("k", "v")
    client.get("k")
"""


def test_no_pickle_and_nothing_that_runs_code(server: RedisServer) -> None:
    loaded = counts.modules_imported(USE.format(url=server.url))
    assert "carmine.freezing" in loaded
    unwanted = {"pickle", "_pickle", "dill", "shelve", "yaml", "dataclasses", "inspect", "zoneinfo", "asyncio", "ssl"}
    assert loaded & unwanted == set()


def test_a_client_without_one_pays_nothing(server: RedisServer) -> None:
    loaded = counts.modules_imported(PLAIN.format(url=server.url))
    assert "carmine.client._sync.client" in loaded
    costly = {"carmine.freezing", "carmine.client.serializing", "carmine.commands.values", "json", "decimal", "uuid"}
    assert loaded & costly == set()
