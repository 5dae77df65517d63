"""Which twin is loaded, and that each offers the whole contract; references that must not leak."""

from __future__ import annotations

import gc
import importlib.machinery
import inspect
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import carmine.protocol
from carmine.errors import ProtocolError, UsageError
from carmine.protocol import NEED_DATA, abc
from tests.lab.matrix import scaled
from tests.protocol.twins import CYTHON, PYTHON, TWINS, Twin

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
SAY = "import carmine.protocol as p; print(p.__impl__, p.Parser.__module__, p.encode.__module__, p.key_slot.__module__)"


def imported(choice: str | None, *, hide: bool = False) -> subprocess.CompletedProcess[str]:
    """Import the codec in a process of its own, with CARMINE_IMPL, and perhaps with the compiled twin out of reach."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CARMINE_")}
    environment["PYTHONPATH"] = str(ROOT)
    if choice is not None:
        environment["CARMINE_IMPL"] = choice
    code = f"import sys; sys.modules['carmine._resp'] = None; {SAY}" if hide else SAY
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_compiled_twin_is_compiled() -> None:
    """Where it is expected it must come from an extension, not from a module that calls itself one."""
    if os.environ.get("CARMINE_EXPECT_IMPL") == "cython":
        assert CYTHON is not None
        assert carmine.protocol.__impl__ == "cython"
    if CYTHON is None:
        pytest.skip("the Cython twin was not built")
    module = sys.modules["carmine._resp"]
    assert isinstance(module.__spec__, importlib.machinery.ModuleSpec)
    assert isinstance(module.__spec__.loader, importlib.machinery.ExtensionFileLoader)
    assert str(module.__file__).endswith(tuple(importlib.machinery.EXTENSION_SUFFIXES))
    assert not inspect.isfunction(CYTHON.encode)
    assert inspect.isfunction(PYTHON.encode)


def test_each_choice_is_honoured() -> None:
    pure = "python carmine.protocol._parser carmine.protocol._encoder carmine.protocol._slots"
    compiled = "cython carmine._resp carmine._resp carmine._resp"
    assert imported("python").stdout.strip() == pure
    assert imported(None, hide=True).stdout.strip() == pure
    assert imported("", hide=True).stdout.strip() == pure
    if CYTHON is not None:
        assert imported("cython").stdout.strip() == compiled
        assert imported(None).stdout.strip() == compiled


def test_a_missing_twin_is_an_error() -> None:
    done = imported("cython", hide=True)
    assert done.returncode == 1
    assert "ImportError: CARMINE_IMPL=cython, but the Cython twin was not built; reinstall" in done.stderr


@pytest.mark.parametrize("choice", ["junk", "Cython", "c", " python"])
def test_an_unknown_choice_is_an_error(choice: str) -> None:
    done = imported(choice)
    assert done.returncode == 1
    assert f"ImportError: CARMINE_IMPL is {choice!r}; it must be 'cython' or 'python'" in done.stderr


def test_the_twins_offer_the_contract(twin: Twin) -> None:
    parser = twin.parser(3)
    assert isinstance(parser, abc.Parser)
    for name in dir(abc.Parser):
        if not name.startswith("_"):
            assert hasattr(parser, name), name
    public = {name for name in dir(parser) if not name.startswith("_")}
    assert public == {name for name in dir(abc.Parser) if not name.startswith("_")} | set(abc.Parser.__annotations__)


def test_the_twins_are_documented_alike(both: tuple[Twin, Twin]) -> None:
    cython, python = both
    pairs: list[tuple[Any, Any]] = [(cython.encode, python.encode), (cython.encode_many, python.encode_many)]
    pairs += [(cython.key_slot, python.key_slot), (cython.parser, python.parser)]
    for name in ("feed", "next_reply", "get_buffer", "received", "feed_eof", "is_idle", "limits", "protocol"):
        pairs.append((getattr(cython.parser, name), getattr(python.parser, name)))
    for one, other in pairs:
        assert inspect.getdoc(one) == inspect.getdoc(other)


@pytest.mark.parametrize("name", ["encode", "encode_many", "key_slot"])
def test_signatures_agree(both: tuple[Twin, Twin], name: str) -> None:
    first, second = (inspect.signature(getattr(twin, name)) for twin in both)
    assert [(one.name, one.kind) for one in first.parameters.values()] == [
        (one.name, one.kind) for one in second.parameters.values()
    ]


def test_constructor_keywords(twin: Twin) -> None:
    """A stub check sees no compiled constructor, so it is called."""
    limits = carmine.protocol.Limits()
    parser = twin.parser(protocol=2, decode=True, limits=limits, attributes=True)
    assert (parser.protocol, parser.decode, parser.limits, parser.attributes) == (2, True, limits, True)
    for wrong in ({"protocols": 3}, {"decode": True, "x": 1}):
        with pytest.raises(TypeError):
            twin.parser(**wrong)
    with pytest.raises(TypeError):
        twin.parser(3, True, limits, True, None)


# ---- leaks


def whole(parser: Any) -> None:
    parser.feed(
        b"*4\r\n%1\r\n+marker\r\n*1\r\n$3\r\nabc\r\n~2\r\n:1000000\r\n,1.5\r\n=5\r\ntxt:x\r\n-ERR x\r\n"
        b">1\r\n+push\r\n|1\r\n+a\r\n:100000\r\n$?\r\n;2\r\nab\r\n;0\r\n%2\r\n:1\r\n:1\r\n#t\r\n:2\r\n~1\r\n*0\r\n"
    )
    while parser.next_reply() is not NEED_DATA:
        pass
    assert parser.is_idle


def partial(parser: Any) -> None:
    parser.feed(
        b"*4\r\n%1\r\n+marker\r\n|1\r\n:100000\r\n$3\r\nabc\r\n>2\r\n$1\r\n\xff\r\n*2\r\n$?\r\n;2\r\nab\r\n;9\r\nxy"
    )
    assert parser.next_reply() is NEED_DATA


def broken(parser: Any) -> None:
    partial(parser)
    parser.feed(b"not the end of a chunk\r\n")
    for _ in range(2):
        with pytest.raises(ProtocolError):
            parser.next_reply()


def refused(parser: Any) -> None:
    parser.feed(b"%1\r\n+k\r\n*1\r\n+v\r\n?")
    assert parser.next_reply() == {b"k": [b"v"]}
    with pytest.raises(ProtocolError):
        parser.next_reply()


def ended(parser: Any) -> None:
    parser.feed(b"*2\r\n$3\r\nabc\r\n$100000\r\nxyz")
    parser.next_reply()
    with pytest.raises(ProtocolError):
        parser.feed_eof()


def large(parser: Any) -> None:
    parser.feed(b"*2\r\n$200000\r\n" + b"x" * 70_000)
    parser.next_reply()
    view = parser.get_buffer(1)
    parser.received(len(view))
    parser.next_reply()


def spoilt(parser: Any) -> None:
    parser.decode = True
    parser.feed(b"*2\r\n$1\r\n\xff\r\n*1\r\n$2\r\n\xfe\xff\r\n|1\r\n$1\r\n\xff\r\n+v\r\n>1\r\n+\xff\r\n+w\r\n")
    while parser.next_reply() is not NEED_DATA:
        pass
    parser.feed(b"*2\r\n$1\r\n\xff\r\n>1\r\n$1\r\n\xff\r\n|1\r\n$1\r\n\xff\r\n")


@pytest.mark.parametrize("use", [whole, partial, broken, refused, ended, large, spoilt], ids=lambda use: use.__name__)
def test_parsers_leak_nothing(twin: Twin, use: Callable[[Any], None]) -> None:
    """However a stream ends, memory and objects return to what they were."""
    rounds = scaled(4000)

    def some(count: int) -> tuple[int, int]:
        for _ in range(count):
            use(twin.parser(3, attributes=True))
        gc.collect()
        return tracemalloc.get_traced_memory()[0], len(gc.get_objects())

    tracemalloc.start()
    try:
        some(50)
        memory, objects = some(50)
        more_memory, more_objects = some(rounds)
    finally:
        tracemalloc.stop()
    assert more_objects - objects < 10
    assert more_memory - memory < 2000 + rounds  # a byte a round would be a leak already


def test_encoding_leaks_nothing(twin: Twin) -> None:
    words: list[Any] = ["SET", "é" * 2000, b"x" * 100_000, bytearray(b"y" * 70_000), 12345678901, 1.5]
    bad = [*words, None]
    before = [sys.getrefcount(word) for word in bad[:4]]
    rounds = scaled(4000)

    def some(count: int) -> int:
        for _ in range(count):
            twin.encode(*words)
            with pytest.raises(UsageError):
                twin.encode_many([words, bad])
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        some(20)
        memory = some(20)
        assert some(rounds) - memory < 2000 + rounds
    finally:
        tracemalloc.stop()
    assert [sys.getrefcount(word) for word in bad[:4]] == before


def test_shared_objects_keep_their_references(twin: Twin) -> None:
    """None, booleans, b"OK", small ints and NEED_DATA are handed out again and again."""
    data = b"_\r\n#t\r\n#f\r\n+OK\r\n:0\r\n$0\r\n\r\n*7\r\n_\r\n#t\r\n#f\r\n+OK\r\n:1\r\n$-1\r\n:300\r\n"
    shared = [True, False, b"OK", "OK", NEED_DATA, b""]
    parser = twin.parser(3)

    def counts() -> list[int]:
        # immortal objects (3.12) never change; elsewhere a few come and go
        return [sys.getrefcount(one) for one in shared] + [sys.getrefcount(None)]

    def use(count: int) -> None:
        for n in range(count):
            parser.decode = n % 2 == 0
            parser.feed(data)
            while parser.next_reply() is not NEED_DATA:
                pass

    use(10)
    before = counts()
    use(10_000)
    assert max(abs(one - other) for one, other in zip(before, counts(), strict=True)) < 200


def test_the_twins_are_two(both: tuple[Twin, Twin]) -> None:
    assert [twin.name for twin in TWINS] == ["cython", "python"]
    assert both[0].parser is not both[1].parser
