"""What type checkers must say of scripts and walks.

Checked by mypy --strict and basedpyright, never run. An ignored line must be an error: one that is none is reported.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from collections.abc import AsyncIterator
from typing import Any, assert_type

from carmine import (
    AsyncClient,
    AsyncPinnedConnection,
    AsyncPipeline,
    AsyncScript,
    AsyncTransaction,
    Reply,
    ScoredMember,
)


def number(raw: Any) -> int:
    return int(raw)


async def scripts(
    c: AsyncClient[str],
    b: AsyncClient[bytes],
    k: AsyncPinnedConnection[str],
    p: AsyncPipeline[str],
    t: AsyncTransaction[str],
) -> None:
    assert_type(c.script("x"), AsyncScript[Any])
    assert_type(c.script(b"x", readonly=True), AsyncScript[Any])
    counted = c.script("x", decode=number)
    assert_type(counted, AsyncScript[int])
    assert_type(await counted(), int)
    assert_type(await counted(["k", b"k"], [1, 2.5, "x", b"x"]), int)
    assert_type(await counted("k", 1, on=b), int)
    assert_type(await counted(on=k), int)
    assert_type(await counted(on=t.now), int)
    assert_type(counted.queue(p, ["k"]), Reply[int])
    assert_type(counted.queue(t, args=[1]), Reply[int])
    assert_type(counted.sha, str)
    assert_type(k.script("x", decode=number), AsyncScript[int])
    await c.lua("x", {"k": "a"}, {"v": 1})
    await c.lua("x", ["a"], {"v": b"x", "w": 1.5}, readonly=True)
    await k.lua("x", "a", 1)
    assert_type(p.lua("x", {"k": b"a"}), Reply[Any])
    await counted(on=p)  # type: ignore[arg-type]  # a pipeline is queued into
    counted.queue(c)  # type: ignore[arg-type]
    await counted([1])  # type: ignore[list-item]  # a key is text or bytes
    await c.lua("x", {1: "a"})  # type: ignore[dict-item]


async def walks(c: AsyncClient[str], b: AsyncClient[bytes], k: AsyncPinnedConnection[str], flag: bool) -> None:
    assert_type(c.scan_iter("x*", 10, type="hash"), AsyncIterator[str])
    assert_type(b.scan_iter(), AsyncIterator[bytes])
    assert_type(k.scan_iter(match=b"x"), AsyncIterator[str])
    assert_type(c.hscan_iter("k"), AsyncIterator[tuple[str, str]])
    assert_type(b.hscan_iter("k", "x*", 10), AsyncIterator[tuple[bytes, bytes]])
    assert_type(c.hscan_iter("k", no_values=True), AsyncIterator[str])
    assert_type(c.hscan_iter("k", no_values=flag), AsyncIterator[tuple[str, str]] | AsyncIterator[str])
    assert_type(c.sscan_iter("k"), AsyncIterator[str])
    assert_type(c.zscan_iter("k"), AsyncIterator[ScoredMember[str]])
    assert_type(b.zscan_iter("k", noscores=True), AsyncIterator[bytes])
    assert_type(b.zscan_iter("k", noscores=flag), AsyncIterator[ScoredMember[bytes]] | AsyncIterator[bytes])
    async for member, score in c.zscan_iter("k"):
        assert_type((member, score), tuple[str, float])
