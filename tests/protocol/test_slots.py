"""Key slots (docs/protocol.md 14)."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from carmine.errors import UsageError

if TYPE_CHECKING:
    from tests.protocol.twins import Twin

# key, the bytes that count; the first three from the cluster specification
KEYS: list[tuple[Any, bytes]] = [
    ("{user1000}.following", b"user1000"),
    ("foo{}{bar}", b"foo{}{bar}"),
    ("foo{{bar}}zap", b"{bar"),
    ("foo{bar}{zap}", b"bar"),
    ("", b""),
    ("{}", b"{}"),
    ("{a", b"{a"),
    ("a}", b"a}"),
    ("}{", b"}{"),
    ("}{a}", b"a"),
    ("{a}", b"a"),
    ("{\x00}", b"\x00"),
    ("é{ü}", "ü".encode()),
    (b"\xff{\xfe}", b"\xfe"),
    (bytearray(b"{a}b"), b"a"),
    (memoryview(b"xx{a}b")[2:], b"a"),
]


def slot(data: bytes) -> int:
    """CRC16 (XMODEM) bit by bit, as the specification of the polynomial says it."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021) & 0xFFFF if crc & 0x8000 else crc << 1
    return crc % 16384


def test_the_published_check_value(twin: Twin) -> None:
    """14.1."""
    assert slot(b"123456789") == 0x31C3
    assert twin.key_slot("123456789") == 0x31C3
    assert twin.key_slot("foo") == 12182
    assert twin.key_slot("{user1000}.following") == twin.key_slot("{user1000}.followers") == 3443


@pytest.mark.parametrize(("key", "counts"), KEYS, ids=repr)
def test_hash_tags(twin: Twin, key: Any, counts: bytes) -> None:
    """14.2, 14.3."""
    assert twin.key_slot(key) == slot(counts)


def test_random_keys(twin: Twin) -> None:
    """14.1: every byte value, many lengths, and every slot within range."""
    rng = random.Random(1)
    for _ in range(3000):
        key = rng.randbytes(rng.randint(0, 40)).replace(b"{", b"")
        assert twin.key_slot(key) == slot(key)
        assert twin.key_slot(b"x{" + key + b"y}z") == slot((key + b"y").partition(b"}")[0] or b"x{" + key + b"y}z")


@pytest.mark.parametrize("key", [None, 1, 1.5, True, ["a"], "\ud800", object()])
def test_what_is_no_key(twin: Twin, key: Any) -> None:
    """14.3."""
    with pytest.raises(UsageError, match="is no key"):
        twin.key_slot(key)
