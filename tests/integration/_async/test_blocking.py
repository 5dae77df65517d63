"""Blocking commands: their own deadlines, on top of the connection's."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import pytest

from carmine._bridge import aio
from carmine.errors import ReadTimeout
from carmine.retry import Retry
from tests.integration._async.helpers import alone, until
from tests.lab.clock import within

if TYPE_CHECKING:
    from tests.integration._async.conftest import Open
    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.asyncio


async def test_waits_for_its_own_timeout_and_not_for_the_connections(open_client: Open) -> None:
    client = open_client(read_timeout=0.4)
    began = time.monotonic()
    assert await client.blpop("list", timeout=0.5) is None
    assert 0.4 < time.monotonic() - began < 2
    assert client.pool.stats().opened == 1


async def test_gets_what_another_pushes(open_client: Open, server: RedisServer) -> None:
    client = open_client(read_timeout=0.5, pool_size=2)
    job = aio.spawn(lambda: client.blpop("list", timeout=0))
    await until(lambda: server.info("clients")["blocked_clients"] == "1", "BLPOP at the server")
    assert await client.rpush("list", "v") == 1
    assert await job.join(10) == ("list", "v")


async def test_a_server_that_falls_silent_is_noticed(open_client: Open, proxy: FaultProxy, server: RedisServer) -> None:
    client = open_client(proxy.url(server.url), read_timeout=0.2, retry=Retry(1))
    await alone(client, "ECHO", "warm")
    proxy.hold("s2c")
    with within(0.3, 0.3), pytest.raises(ReadTimeout):
        await client.blpop("list", timeout=0.1)
    proxy.heal()


async def test_in_a_pipeline_the_timeouts_add_up(open_client: Open) -> None:
    client = open_client(read_timeout=0.5)  # a server looks ten times a second whose time is over
    began = time.monotonic()
    async with client.pipeline() as pipeline:
        pipeline.blpop("list", timeout=0.4)
        pipeline.blpop("list", timeout=0.4)
        pipeline.echo("x")
    assert pipeline.replies == [None, None, "x"]
    assert time.monotonic() - began > 0.7
    assert math.isfinite(began)
