"""What type checkers must say of clients with a serializer: replies and values are Any, and nothing else changes.

Checked by mypy --strict and basedpyright, never run. An ignored line must be an error: one that is none is reported.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

import json
from typing import Any, NamedTuple, assert_type

import carmine
from carmine import AsyncClient, Client, Pool
from carmine.freezing import Raw


def made(pool: Pool, flag: bool) -> None:
    assert_type(Client(), Client[str])
    assert_type(Client(serializer=None), Client[str])
    assert_type(Client(serializer=False), Client[str])
    assert_type(Client(decode=False), Client[bytes])
    assert_type(Client(serializer=True), Client[Any])
    assert_type(Client(serializer=flag), Client[Any])
    assert_type(Client(decode=False, serializer=True), Client[Any])
    assert_type(Client(decode=flag), Client[Any])
    assert_type(Client(serializer=(repr_bytes, json.loads)), Client[Any])
    assert_type(Client(pool=pool), Client[str])
    assert_type(Client(pool=pool, serializer=True), Client[Any])
    assert_type(AsyncClient(serializer=True), AsyncClient[Any])
    assert_type(carmine.connect("redis://h"), Client[str])
    assert_type(carmine.connect("redis://h", serializer=True), Client[Any])
    assert_type(carmine.connect_async("redis://h", decode=False), AsyncClient[bytes])
    assert_type(carmine.connect_async("redis://h", serializer=True), AsyncClient[Any])
    Client(serializer="json")  # type: ignore[call-overload]


def repr_bytes(value: object) -> bytes:
    return repr(value).encode()


def views(text: Client[str], frozen: Client[Any]) -> None:
    assert_type(text.with_serializer(True), Client[Any])
    assert_type(text.with_serializer(None), Client[str])
    assert_type(frozen.binary, Client[bytes])


def values(text: Client[str], frozen: Client[Any]) -> None:
    frozen.set("k", {"a": [1]})
    frozen.rpush("k", None, (1, 2), b"x")
    frozen.hset("k", mapping={None: [1]})
    frozen.eval("return 1", ["k"], [None, {}])
    frozen.execute("SET", "k", [1])
    text.set("k", carmine.freeze({"a": [1]}))
    text.set("k", {"a": [1]})  # type: ignore[call-overload]
    text.rpush("k", None)  # type: ignore[arg-type]
    frozen.get(None)  # type: ignore[arg-type]
    frozen.append("k", [1])  # type: ignore[arg-type]


def replies(frozen: Client[Any]) -> None:
    assert_type(frozen.get("k"), Any | None)
    assert_type(frozen.lrange("k", 0, -1), list[Any])
    assert_type(frozen.incr("k"), int)
    with frozen.pipeline() as pipe:
        assert_type(pipe.get("k").value, Any | None)
        pipe.set("k", [1])


class Row(NamedTuple):
    x: int


def functions() -> None:
    assert_type(carmine.thaw(carmine.freeze([1])), Any)
    assert_type(carmine.freezable("x")(Row), type[Row])
    assert_type(carmine.freeze(Row(1)), Raw)
