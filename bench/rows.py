"""What is measured, and what is aimed at: the table of targets, row by row.

Data only. A row names its seats (label, kind of worker, work, units in one turn), the seat that all are compared
with, and the targets as ratios of times: ``("redis-py", "carmine", >= 2)`` means that redis-py takes at least twice
carmine's time.
"""

from __future__ import annotations

from typing import NamedTuple

from bench.stats import Bound, at_least, at_most


class Place(NamedTuple):
    """One seat of a row before it is taken."""

    label: str
    kind: str
    work: str
    unit: int = 1


class Target(NamedTuple):
    """A bound on the ratio of two seats' times."""

    of: str
    to: str
    bound: Bound


class Row(NamedTuple):
    """One line of the result."""

    name: str
    title: str
    reference: str
    places: tuple[Place, ...]
    targets: tuple[Target, ...] = ()
    # Further launches of this row alone, where processes and connections differ more than rounds do.
    again: int = 0


def _row(name: str, title: str, work: str, kinds: dict[str, str], targets: tuple[Target, ...], unit: int = 1) -> Row:
    places = tuple(Place(label, kind, work, unit) for label, kind in kinds.items())
    return Row(name, title, places[0].label, places, targets)


_SYNC = {"W": "wire", "carmine": "carmine", "redis-py": "redis-py", "glide": "glide"}
_TEXT = {"W": "wire", "carmine": "carmine-text", "redis-py": "redis-py-text"}
_ASYNC = {
    "R": "wire-async",
    "carmine": "carmine-async",
    "redis.asyncio": "redis.asyncio",
    "coredis": "coredis",
    "glide": "glide-async",
}
_CODEC = {"hiredis": "codec-hiredis", "carmine": "codec"}
_PURE = {"redis-py": "codec-redis-py", "carmine": "codec-pure"}


def _near(wire: float, peer: float | None = None, reference: str = "W", rival: str = "redis-py") -> tuple[Target, ...]:
    near = Target("carmine", reference, at_most(wire))
    return (near,) if peer is None else (near, Target(rival, "carmine", at_least(peer)))


def _faster(peer: str, factor: float) -> tuple[Target, ...]:
    return (Target(peer, "carmine", at_least(factor)),)


def _linear(name: str, title: str, kind: str, small: tuple[str, int], large: tuple[str, int]) -> Row:
    # A bound of ours: caches cost a large batch something, a quadratic step would cost it a factor of its size.
    few, many = Place("small", kind, *small), Place("large", kind, *large)
    return Row(name, title, "small", (few, many), (Target("large", "small", at_most(1.3)),))


_BATCHES = ("pipeline_1k", 1000), ("pipeline_100k", 100_000)
_DRIPS = ("drip_64k", 64), ("drip_1m", 1024)

ROWS: tuple[Row, ...] = (
    _row("sync/get", "GET of 64 B", "get", _SYNC, _near(1.05, 2)),
    _row("sync/set", "SET of 64 B", "set", _SYNC, _near(1.05, 2)),
    _row("sync/pipeline-1k", "pipeline of 1,000 GET", "pipeline_1k", _SYNC, _near(1.8, 7), 1000),
    _row("sync/pipeline-100k", "pipeline of 100,000 GET", "pipeline_100k", _SYNC, (), 100_000),
    _linear("sync/pipeline-linear", "time per command, 100,000 against 1,000 in one pipeline", "carmine", *_BATCHES),
    _row("sync/hgetall", "HGETALL of 1,000 fields", "hgetall", _SYNC, _near(1.6, 3)),
    _row("sync/lrange", "LRANGE of 10,000 items", "lrange", _SYNC, _near(1.6, 3)),
    _row("sync/mget", "MGET of 1,000 keys", "mget", _SYNC, _near(1.6, 3)),
    _row("sync/zrange", "ZRANGE WITHSCORES of 1,000 members", "zrange", _SYNC, _near(1.6, 3)),
    _row("sync/get-10mb", "GET of 10 MiB, bytes", "get_big", _SYNC, _near(1.05))._replace(again=2),
    _row("sync/set-10mb", "SET of 10 MiB, bytes", "set_big", _SYNC, _near(1.05))._replace(again=2),
    _row("sync/threads", "GET from 8 threads, one client", "threads", _SYNC, _near(1.0, 8), 8),
    _row("text/get", "GET of 64 B, decoded", "get", _TEXT, ()),
    _row("text/hgetall", "HGETALL of 1,000 fields, decoded", "hgetall", _TEXT, ()),
    _row("async/get-1", "asyncio GET, 1 at once", "get_1", _ASYNC, _near(1.3, None, "R")),
    _row(
        "async/get-50",
        "asyncio GET, 50 at once",
        "get_50",
        _ASYNC,
        (*_near(1.1, 5, "R", "redis.asyncio"), *_faster("glide", 2.5)),
        50,
    ),
    _row("async/get-5000", "asyncio GET, 5,000 at once", "get_5000", _ASYNC, (), 5000),
    _row("codec/parse-small", "parse 100 small replies", "parse_small", _CODEC, _faster("hiredis", 1.5), 100),
    _row("codec/parse-map", "parse a map of 1,000", "parse_map", _CODEC, _faster("hiredis", 1.5)),
    _row("codec/parse-array", "parse an array of 1,000", "parse_array", _CODEC, _faster("hiredis", 1.2)),
    _row("codec/parse-text", "parse an array of 1,000, decoded", "parse_text", _CODEC, _faster("hiredis", 1.4)),
    _row("codec/encode", "encode SET of 64 B", "encode", _CODEC, _faster("hiredis", 3)),
    _row("codec/encode-wide", "encode HSET of 100 pairs", "encode_wide", _CODEC, _faster("hiredis", 3)),
    _linear("codec/drip", "time per KiB fed byte by byte, 1 MiB against 64 KiB", "codec", *_DRIPS),
    _row("pure/parse-small", "parse 100 small replies, pure", "parse_small", _PURE, _faster("redis-py", 2), 100),
    _row("pure/parse-map", "parse a map of 1,000, pure", "parse_map", _PURE, _faster("redis-py", 2)),
    _row("pure/parse-array", "parse an array of 1,000, pure", "parse_array", _PURE, _faster("redis-py", 2)),
    _row("pure/parse-text", "parse an array of 1,000, decoded, pure", "parse_text", _PURE, _faster("redis-py", 2)),
    _row("pure/encode", "encode SET of 64 B, pure", "encode", _PURE, ()),
    _row("pure/encode-wide", "encode HSET of 100 pairs, pure", "encode_wide", _PURE, ()),
    _linear("pure/drip", "time per KiB fed byte by byte, 1 MiB against 64 KiB, pure", "codec-pure", *_DRIPS),
)
