"""What type checkers must say of the ancestor's idioms. Checked by mypy --strict and basedpyright, never run."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from typing import Any, assert_type

import carmine
from carmine import (
    ABORT,
    DELETE,
    MISSING,
    AsyncClient,
    AsyncWcar,
    Atomic,
    Client,
    Pipeline,
    Reply,
    Transaction,
    Wcar,
    as_float,
    as_int,
    wcar,
)


def contexts(text: Client[str], data: Client[bytes], frozen: Client[Any], later: AsyncClient[str]) -> None:
    assert_type(wcar(text), Wcar[str])
    assert_type(wcar(data, as_list=True), Wcar[bytes])
    assert_type(wcar(frozen), Wcar[Any])
    assert_type(wcar(later), AsyncWcar[str])
    with wcar(text) as p:
        assert_type(p.get("k"), Reply[str | None])
        assert_type(p.execute("GET", "k"), Reply[Any])
        assert_type(p.execute(["GET", "k"], ["PING"]), list[Reply[Any]])
        assert_type(p.compare_and_set("k", "a", "b"), Reply[bool])
        assert_type(p.replies, Any)
    wcar("redis://")  # type: ignore[call-overload]


def swaps(text: Client[str], data: Client[bytes]) -> None:
    assert_type(text.compare_and_set("k", MISSING, "v"), bool)
    assert_type(text.compare_and_hset("k", "f", "v", DELETE), bool)
    assert_type(text.hmsetnx("k", {"f": 1}), bool)
    assert_type(text.scan_keys("k*"), set[str])
    assert_type(data.scan_keys(), set[bytes])

    def counted(value: str | None, missing: bool) -> object:
        return ABORT if missing or value is None else int(value) + 1

    text.swap("k", counted)
    data.swap("k", counted)  # type: ignore[arg-type]
    text.compare_and_set("k", object(), "v")  # type: ignore[arg-type]


def queued(pipeline: Pipeline[str], transaction: Transaction[bytes]) -> None:
    assert_type(pipeline.compare_and_set("k", MISSING, "v"), Reply[bool])
    assert_type(transaction.hmsetnx("k", {"f": 1}), Reply[bool])


def tried(text: Client[str]) -> None:
    def fn(tx: Transaction[str]) -> None:
        tx.incr("k")

    assert_type(text.atomic(fn, "k"), Atomic)
    assert_type(text.atomic(fn, "k", on_failure=lambda: 7), Atomic | int)


def coerced() -> None:
    assert_type(as_int("1"), int)
    assert_type(as_float(None), None)
    assert_type(carmine.reduced(1).value, Any)


async def later(text: AsyncClient[str]) -> None:
    assert_type(await text.compare_and_set("k", MISSING, "v"), bool)
    assert_type(await text.scan_keys(), set[str])
    async with wcar(text) as p:
        assert_type(p.get("k"), Reply[str | None])
