"""The data every rival works on, and the answers it must give.

Used by workers in every environment: standard library only, no rival, no clock. Invariant: the same bytes on every
run and machine, so that two result files differ by what was measured and not by what was stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

KIB = 1024
BIG = 10 * KIB * KIB

KEY = "bench:string"
SET_KEY = "bench:set"
HASH_KEY = "bench:hash"
LIST_KEY = "bench:list"
ZSET_KEY = "bench:zset"
BIG_KEY = "bench:big"
BIG_SET_KEY = "bench:big:set"


def text(seed: str, size: int) -> str:
    """Return printable text of the given length, different for each seed."""
    word = hashlib.sha256(seed.encode()).hexdigest()
    return (word * (size // len(word) + 1))[:size]


VALUE = text("value", 64)
KEYS = [f"bench:key:{number:04d}" for number in range(1000)]
VALUES = {key: text(key, 64) for key in KEYS}
HASH = {f"field:{number:04d}": text(f"hash:{number}", 16) for number in range(1000)}
LIST = [text(f"list:{number}", 16) for number in range(10_000)]
# Scores that a double holds exactly: the comparison must not depend on how a client prints floats.
ZSET = {f"member:{number:04d}": number + 0.5 for number in range(1000)}


def big_value() -> bytes:
    """Return the 10 MiB value; made on demand, so that memory rows can start small."""
    return (bytes(range(256)) * (BIG // 256))[:BIG]


def canonical(value: object) -> object:
    """Bring an answer into one shape: text as bytes, sequences as lists, maps as sorted pairs.

    Clients differ in text or bytes, tuple or list, dict or list of pairs; whether the *content* is equal is what
    counts.
    """
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, Mapping):
        pairs = [[canonical(name), canonical(item)] for name, item in value.items()]
        return sorted(pairs, key=repr)
    if isinstance(value, Iterable):
        return [canonical(item) for item in value]
    return value


def digest(value: object) -> str:
    """Return a fingerprint of the canonical answer, short enough for a pipe."""
    return hashlib.sha256(repr(canonical(value)).encode()).hexdigest()[:16]


def expected() -> dict[str, str]:
    """Return the fingerprint of the right answer for every work that has one."""
    answers: dict[str, object] = {
        "get": VALUE,
        "set": VALUE,
        "pipeline_1k": [VALUES[key] for key in KEYS],
        "pipeline_100k": [VALUES[key] for key in KEYS] * 100,
        "hgetall": HASH,
        "lrange": LIST,
        "mget": [VALUES[key] for key in KEYS],
        "zrange": [[member, score] for member, score in ZSET.items()],
        "get_big": big_value(),
        "set_big": big_value(),
        "threads": [VALUE] * 8,
    }
    return {work: digest(answer) for work, answer in answers.items()}


def load_commands() -> Iterable[list[str | bytes]]:
    """Yield the commands that store the data, in the order they are sent."""
    yield ["SET", KEY, VALUE]
    for key, value in VALUES.items():
        yield ["SET", key, value]
    yield ["DEL", HASH_KEY, LIST_KEY, ZSET_KEY]
    yield ["HSET", HASH_KEY, *(word for pair in HASH.items() for word in pair)]
    yield ["RPUSH", LIST_KEY, *LIST]
    yield ["ZADD", ZSET_KEY, *(word for member, score in ZSET.items() for word in (repr(score), member))]
    yield ["SET", BIG_KEY, big_value()]
