"""Fixtures of the integration tests: those of the laboratory, and clients of its server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import carmine
from tests.integration.loops import LOOPS
from tests.lab.fixtures import certs, impl, make_server, module_server, protocol, proxy, server, stack, url

if TYPE_CHECKING:
    import asyncio
    import contextlib
    from collections.abc import Callable

__all__ = ["certs", "impl", "make", "make_server", "module_server", "protocol", "proxy", "server", "stack", "url"]


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run the tests of the shared connection on every kind of event loop, all others on asyncio's own."""
    return LOOPS if item.path.name.startswith("test_shared_") else {"asyncio": LOOPS["asyncio"]}


@pytest.fixture
def make(url: str, protocol: int, stack: contextlib.ExitStack) -> Callable[..., carmine.Client[str]]:
    """Give a function that makes a client of the server, closed with the test."""

    def client(**options: Any) -> carmine.Client[str]:
        options.setdefault("protocol", protocol)
        made: carmine.Client[str] = stack.enter_context(carmine.Client(url, **options))
        return made

    return client
