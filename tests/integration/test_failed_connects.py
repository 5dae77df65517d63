"""A server that is away costs the pool nothing: the place of a failed connection is free at once."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

import carmine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.lab.servers import RedisServer


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("call", [lambda client: client.get("k"), lambda client: client.set("k", "v")])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_places_are_free_after_a_failed_call(
    make_server: Callable[..., RedisServer], host: str, call: Callable[[carmine.Client[str]], object]
) -> None:
    server = make_server()
    url = server.url.replace("127.0.0.1", host)
    with carmine.connect(url, pool_size=2, pool_timeout=0.2, retry=carmine.Retry(2, base=0.001)) as client:
        client.ping()
        server.kill()
        for _ in range(5):
            with pytest.raises(carmine.NetworkError):
                call(client)
            assert client.pool.stats().open == 0
        server.start()
        assert client.ping() is True
        assert client.pool.stats().open == 1
