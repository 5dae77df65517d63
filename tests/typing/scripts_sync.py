"""What type checkers must say of scripts and walks.

Checked by mypy --strict and basedpyright, never run. An ignored line must be an error: one that is none is reported.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from collections.abc import Iterator
from typing import Any, assert_type

from carmine import Client, PinnedConnection, Pipeline, Reply, ScoredMember, Script, Transaction, glob_escape


def number(raw: Any) -> int:
    return int(raw)


def scripts(c: Client[str], b: Client[bytes], k: PinnedConnection[str], p: Pipeline[str], t: Transaction[str]) -> None:
    assert_type(c.script("x"), Script[Any])
    assert_type(c.script(b"x", readonly=True), Script[Any])
    counted = c.script("x", decode=number)
    assert_type(counted, Script[int])
    assert_type(counted(), int)
    assert_type(counted(["k", b"k"], [1, 2.5, "x", b"x"]), int)
    assert_type(counted("k", 1, on=b), int)
    assert_type(counted(on=k), int)
    assert_type(counted(on=t.now), int)
    assert_type(counted.queue(p, ["k"]), Reply[int])
    assert_type(counted.queue(t, args=[1]), Reply[int])
    assert_type(counted.sha, str)
    assert_type(k.script("x", decode=number), Script[int])
    c.lua("x", {"k": "a"}, {"v": 1})
    c.lua("x", ["a"], {"v": b"x", "w": 1.5}, readonly=True)
    k.lua("x", "a", 1)
    assert_type(p.lua("x", {"k": b"a"}), Reply[Any])
    counted(on=p)  # type: ignore[arg-type]  # a pipeline is queued into
    counted.queue(c)  # type: ignore[arg-type]
    counted([1])  # type: ignore[list-item]  # a key is text or bytes
    c.lua("x", {1: "a"})  # type: ignore[dict-item]


def walks(c: Client[str], b: Client[bytes], k: PinnedConnection[str], flag: bool) -> None:
    assert_type(c.scan_iter("x*", 10, type="hash"), Iterator[str])
    assert_type(b.scan_iter(), Iterator[bytes])
    assert_type(k.scan_iter(match=b"x"), Iterator[str])
    assert_type(c.hscan_iter("k"), Iterator[tuple[str, str]])
    assert_type(b.hscan_iter("k", "x*", 10), Iterator[tuple[bytes, bytes]])
    assert_type(c.hscan_iter("k", no_values=True), Iterator[str])
    assert_type(c.hscan_iter("k", no_values=flag), Iterator[tuple[str, str]] | Iterator[str])
    assert_type(c.sscan_iter("k"), Iterator[str])
    assert_type(c.zscan_iter("k"), Iterator[ScoredMember[str]])
    assert_type(b.zscan_iter("k", noscores=True), Iterator[bytes])
    assert_type(b.zscan_iter("k", noscores=flag), Iterator[ScoredMember[bytes]] | Iterator[bytes])
    for member, score in c.zscan_iter("k"):
        assert_type((member, score), tuple[str, float])


def patterns() -> None:
    assert_type(glob_escape("x"), str)
    assert_type(glob_escape(b"x"), bytes)
    glob_escape(1)  # type: ignore[type-var]
