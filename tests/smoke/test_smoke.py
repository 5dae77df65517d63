"""One client against one real server, on every Python: does the whole stand together?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest

import carmine
from carmine.embedded import EmbeddedRedis

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis() as running:
        yield running


@pytest.mark.parametrize("protocol", [2, 3])
def test_set_get_and_a_pipeline(server: EmbeddedRedis, protocol: Literal[2, 3]) -> None:
    with carmine.connect(server.url, protocol=protocol) as client:
        assert client.set("greeting", "hello") is True
        assert client.get("greeting") == "hello"
        assert client.binary.get("greeting") == b"hello"
        with client.pipeline() as pipe:
            count = pipe.incr(f"count:{protocol}")
            gone = pipe.get("nothing")
        assert (count.value, gone.value) == (1, None)
