"""Trends of the smallest pieces: ``pytest bench/micro --benchmark-autosave``, then ``--benchmark-compare``.

For looking at one's own changes on one's own machine. Nothing here is compared with another client, and no claim is
made from it: that is what the interleaved runs of ``python -m bench`` are for.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from bench import blobs, data
from carmine.commands._sync import Commands
from carmine.protocol import _encoder, _parser, _slots

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture


@pytest.fixture(params=["cython", "python"])
def twin(request: pytest.FixtureRequest) -> Any:
    """The codec's names from one twin; both are timed in one process."""
    if request.param == "python":
        return SimpleNamespace(
            Parser=_parser.Parser, encode=_encoder.encode, encode_many=_encoder.encode_many, key_slot=_slots.key_slot
        )
    return pytest.importorskip("carmine._resp", reason="the Cython twin is not built")


@pytest.mark.parametrize(
    ("blob", "replies", "decode"),
    [
        pytest.param(blobs.SMALL, blobs.SMALL_COUNT, False, id="100-small"),
        pytest.param(blobs.MAP, 1, False, id="map-1000"),
        pytest.param(blobs.ARRAY, 1, False, id="array-1000"),
        pytest.param(blobs.TEXT, 1, True, id="text-1000"),
    ],
)
def test_parse(benchmark: BenchmarkFixture, twin: Any, blob: bytes, replies: int, decode: bool) -> None:
    """Replies of one chunk, fed and taken."""
    parser = twin.Parser(decode=decode)

    def parse() -> object:
        parser.feed(blob)
        for _ in range(replies - 1):
            parser.next_reply()
        return parser.next_reply()

    last = benchmark(parse)
    assert last is None or len(last) == 1000  # the hundredth small reply is a null


def test_encode(benchmark: BenchmarkFixture, twin: Any) -> None:
    """SET of 64 bytes."""
    assert benchmark(twin.encode, *blobs.COMMAND) == blobs.ENCODED["encode"]


def test_encode_wide(benchmark: BenchmarkFixture, twin: Any) -> None:
    """HSET of 100 pairs."""
    assert benchmark(twin.encode, *blobs.WIDE_COMMAND) == blobs.ENCODED["encode_wide"]


def test_encode_many(benchmark: BenchmarkFixture, twin: Any) -> None:
    """100 times SET of 64 bytes."""
    assert benchmark(twin.encode_many, [blobs.COMMAND] * 100) == blobs.ENCODED["encode"] * 100


@pytest.mark.parametrize("key", [data.KEY, "session:{user:1000}:state"], ids=["plain", "tagged"])
def test_key_slot(benchmark: BenchmarkFixture, twin: Any, key: str) -> None:
    """CRC16, with and without a hash tag."""
    assert benchmark(twin.key_slot, key) == _slots.key_slot(key)


class Unconnected(Commands[bytes]):
    """A facade over nothing: what is left is the method and its words."""

    __slots__ = ()

    def _execute(self, spec: object, words: Any) -> Any:
        return words


@pytest.mark.parametrize(("method", "words"), [("get", ("k",)), ("set", ("k", "v"))])
def test_facade_call(benchmark: BenchmarkFixture, method: str, words: tuple[str, ...]) -> None:
    """A method of the facade, up to where a connection would begin."""
    assert benchmark(getattr(Unconnected(), method), *words)[1:] == words
