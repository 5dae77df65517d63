"""The table of cluster commands on a node in cluster mode: over a raw socket, and through the client in both worlds."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.replies_of_administration import CLUSTERS
from tests.integration.reply_cases import fits, run_case
from tests.integration.test_replies import WireClient, bytes_expected, invoke_on
from tests.integration.test_replies_of_clients import open_async, open_blocking
from tests.lab.matrix import current_leg
from tests.lab.servers import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.reply_cases import Case

__all__ = ["open_async", "open_blocking"]

HERE = fits(CLUSTERS, current_leg())


@pytest.fixture(scope="module")
def module_server() -> Iterator[RedisServer]:
    """Give a node that serves all slots, in place of the server that the laboratory gives."""
    with RedisServer(cluster=True) as running:
        yield running


@pytest.fixture
def server(module_server: RedisServer) -> RedisServer:
    """Give the node, empty."""
    module_server.call("FLUSHALL")
    return module_server


def prepare(server: RedisServer, tried: Case) -> None:
    """Do what a case wants done before."""
    for line in tried.setup:
        server.call(*line.split())


@pytest.mark.parametrize("tried", HERE, ids=repr)
def test_text_and_bytes(tried: Case, protocol: int, server: RedisServer) -> None:
    for decode in (True, False):
        prepare(server, tried)
        with contextlib.closing(WireClient(str(server.unix_path), protocol, decode)) as client:
            expect = () if decode else (bytes_expected,)
            run_case(tried, invoke_on(client), *expect)


@pytest.mark.parametrize("world", ["open_blocking", "open_async"])
def test_through_the_client(world: str, protocol: int, server: RedisServer, request: pytest.FixtureRequest) -> None:
    """All of them one after the other on one pinned connection."""
    opener: Callable[[str, bool, int], Any] = request.getfixturevalue(world)
    invoke = opener(server.url, True, protocol)
    for tried in HERE:
        server.call("FLUSHALL")
        prepare(server, tried)
        run_case(tried, invoke)
