"""The reply tables again, through the whole client in both worlds: pool, connection, facade and decoder together.

`test_replies.py` proves commands and decoders over a raw socket; here every case runs on a pinned connection, since
some cases set state.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

import carmine
from tests.integration.reply_cases import run_case
from tests.integration.test_replies import HERE, bytes_expected, invoke_on, prepare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.reply_cases import Case
    from tests.lab.servers import RedisServer

    Open = Callable[[str, bool, int], Any]


@pytest.fixture
def open_blocking() -> Iterator[Open]:
    """Give a function that opens a client and pins one of its connections."""
    with contextlib.ExitStack() as stack:

        def opener(url: str, decode: bool, protocol: int) -> Any:
            options: Any = {"protocol": protocol, "decode": decode}
            client = stack.enter_context(carmine.Client(url, **options))
            return invoke_on(stack.enter_context(client.connection()))

        yield opener


@pytest.fixture
def open_async() -> Iterator[Open]:
    """Give a function that does the same on an event loop, which runs only while a call does."""
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()

        async def pin(url: str, options: Any) -> Any:
            client = await stack.enter_async_context(carmine.AsyncClient(url, **options))
            return await stack.enter_async_context(client.connection())

        def opener(url: str, decode: bool, protocol: int) -> Any:
            connection = runner.run(pin(url, {"protocol": protocol, "decode": decode}))
            invoke = invoke_on(connection)
            return lambda name, args, options: runner.run(invoke(name, args, options))

        try:
            yield opener
        finally:
            runner.run(stack.aclose())


@pytest.mark.parametrize("decode", [True, False], ids=["text", "bytes"])
@pytest.mark.parametrize("world", ["open_blocking", "open_async"])
@pytest.mark.parametrize("tried", HERE, ids=repr)
def test_a_case(
    tried: Case, world: str, decode: bool, protocol: int, server: RedisServer, request: pytest.FixtureRequest
) -> None:
    opener: Open = request.getfixturevalue(world)
    prepare(server, tried)
    invoke = opener(server.url, decode, protocol)
    if decode:
        run_case(tried, invoke)
    else:
        run_case(tried, invoke, bytes_expected)
