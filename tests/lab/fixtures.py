"""The fixtures of integration and fault tests; their conftests import them from here, so that each exists once.

`server` is one process per test module, made new again before each test; a test that needs another kind of server, or
hurts one beyond repair, makes its own (`make_server`, or `stack.enter_context(RedisServer(...))`).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

import carmine.protocol
from tests.lab.certs import Certificates
from tests.lab.proxy import FaultProxy
from tests.lab.servers import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["certs", "impl", "make_server", "module_server", "protocol", "proxy", "server", "stack", "url"]


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def protocol(request: pytest.FixtureRequest) -> int:
    """Give the RESP version, each in turn."""
    version: int = request.param
    return version


@pytest.fixture
def impl() -> str:
    """Name the twin of the protocol engine that this run uses: "cython" or "python"."""
    return carmine.protocol.__impl__


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    """Give a stack of contexts that end with the test: `stack.enter_context(FaultProxy(...))`."""
    with contextlib.ExitStack() as contexts:
        yield contexts


@pytest.fixture(scope="module")
def module_server() -> Iterator[RedisServer]:
    """Give the server of this test module, of the leg CARMINE_TEST_SERVER; use `server`, which is clean."""
    with RedisServer() as started:
        yield started


@pytest.fixture
def server(module_server: RedisServer) -> RedisServer:
    """Give the module's server: running, empty, with its first settings."""
    module_server.reset()
    return module_server


@pytest.fixture
def url(server: RedisServer) -> str:
    """Give the URL of the clean server's TCP port."""
    return server.url


@pytest.fixture
def make_server(stack: contextlib.ExitStack) -> Callable[..., RedisServer]:
    """Give a function that starts a server with the arguments of RedisServer, and stops it with the test."""

    def make(*args: object, **options: object) -> RedisServer:
        return stack.enter_context(RedisServer(*args, **options))  # type: ignore[arg-type]  # RedisServer checks them

    return make


@pytest.fixture
def proxy(server: RedisServer, stack: contextlib.ExitStack) -> FaultProxy:
    """Give a recording fault proxy in front of the clean server; `proxy.url(server.url)` is where clients connect."""
    assert server.port is not None
    return stack.enter_context(FaultProxy("127.0.0.1", server.port, record=True))


@pytest.fixture(scope="session")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Give the certificates of this run."""
    return Certificates(tmp_path_factory.mktemp("certificates"))
