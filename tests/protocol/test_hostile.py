"""What a hostile peer may send: bounded time, bounded memory.

It proves SECURITY S-01, S-02, S-03, S-04, S-05 and FAULTS C06, C12, G04, G06.
"""

from __future__ import annotations

import contextlib
import gc
import locale
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from carmine.errors import ProtocolError
from carmine.protocol import NEED_DATA, Members, Pairs
from carmine.protocol.limits import MAX_NUMBER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.protocol.twins import Twin

ROOT = Path(__file__).parents[2]
MODULUS = sys.hash_info.modulus


def run(parser: Callable[..., Any], data: bytes, size: int = 1 << 16) -> list[Any]:
    """Return the values of a stream that comes in pieces."""
    one = parser(3)
    seen = []
    for at in range(0, len(data), size):
        one.feed(data[at : at + size])
        while (value := one.next_reply()) is not NEED_DATA:
            seen.append(value)
    return seen


def seconds(parser: Callable[..., Any], data: bytes, size: int = 1 << 16) -> float:
    """Return the best of three times to parse a stream."""
    best = 1e9
    gc.disable()  # it counts what the values are, not what parsing them took
    try:
        for _ in range(3):
            start = time.process_time()
            assert run(parser, data, size)
            best = min(best, time.process_time() - start)
    finally:
        gc.enable()
    return best


def colliding(count: int) -> Iterator[int]:
    """Return numbers that all have the same hash."""
    return (n * MODULUS for n in range(1, count + 1))


# ---- time


LINEAR: dict[str, tuple[Callable[[int], bytes], int]] = {
    "bulk in single bytes": (lambda n: b"$%d\r\n" % n + b"x" * n + b"\r\n", 1),
    "line in single bytes": (lambda n: b"+" + b"x" * n + b"\r\n", 1),
    "array in single bytes": (lambda n: b"*%d\r\n" % (n // 7) + b"$1\r\nx\r\n" * (n // 7), 1),
    "bulk in small pieces": (lambda n: b"$%d\r\n" % (n * 8) + b"x" * (n * 8) + b"\r\n", 7),
    "chunks": (lambda n: b"$?\r\n" + b";1\r\nx\r\n" * (n // 7) + b";0\r\n", 1 << 16),
    "streamed array": (lambda n: b"*?\r\n" + b":1\r\n" * (n // 4) + b".\r\n", 1 << 16),
    "replies in one piece": (lambda n: b"+OK\r\n" * n, 1 << 30),
    "attributes": (lambda n: (b"|1\r\n+a\r\n:1\r\n" * 500 + b"+v\r\n") * (n // 6500 + 1), 1 << 16),
    "depth": (lambda n: (b"*1\r\n" * 1023 + b"+v\r\n") * (n // 4096 + 1), 1 << 16),
    "big numbers": (lambda n: (b"(" + b"9" * MAX_NUMBER + b"\r\n") * (n // MAX_NUMBER + 1), 1 << 16),
    "colliding keys": (
        lambda n: b"%%%d\r\n" % (n // 25) + b"".join(b"(%d\r\n:1\r\n" % k for k in colliding(n // 25)), 1 << 16,
    ),
    "colliding members": (
        lambda n: b"~%d\r\n" % (n // 25) + b"".join(b"(%d\r\n" % k for k in colliding(n // 25)), 1 << 16,
    ),
    "colliding maps": (
        lambda n: (b"%1024\r\n" + b"".join(b"(%d\r\n:1\r\n" % k for k in colliding(1024))) * (n // 25_000 + 1), 1 << 16,
    ),
    "pushes within": (lambda n: b"*%d\r\n" % (n // 12) + b">1\r\n+x\r\n:1\r\n" * (n // 12), 1 << 16),
    "bad text": (lambda n: b"*%d\r\n" % (n // 7) + b"$1\r\n\xff\r\n" * (n // 7), 1 << 16),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", LINEAR)
def test_twice_the_bytes_take_about_twice_the_time(twin: Twin, name: str) -> None:
    """1.3, 6.5 (S-03): quadratic work would take sixteen times as long for four times the bytes."""
    make, size = LINEAR[name]
    small = 100_000
    ratios = []
    for _ in range(4):  # a busy machine may spoil one measurement, not all
        one, four = (seconds(twin.parser, make(n), size) for n in (small, 4 * small))
        ratios.append(four / max(one, 1e-4))
        if ratios[-1] < 8:
            break
    assert min(ratios) < 8, ratios


def test_an_endless_line_ends(twin: Twin) -> None:
    """2.5 (C12)."""
    for first, limit in ((b":", 33), (b"$", 33), (b"*", 33), (b"_", 33), (b",", 65_537), (b"(", 65_537)):
        parser = twin.parser(3)
        with pytest.raises(ProtocolError, match="a line is longer than the limit"):  # noqa: PT012
            parser.feed(first)
            for _ in range(limit // 11 + 1):
                parser.feed(b"00000000000")
                parser.next_reply()


@pytest.mark.parametrize(
    "greeting",
    [
        b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n",
        b"SSH-2.0-OpenSSH_9\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"\x00" * 4096,
        b"x" * 5000,
    ],
    ids=["http", "ssh", "tls", "nul", "endless"],
)
def test_another_service(twin: Twin, greeting: bytes) -> None:
    """12.1 (C12): at most 40 bytes are quoted, escaped."""
    with pytest.raises(ProtocolError) as caught:
        run(twin.parser, greeting)
    assert caught.value.excerpt == greeting[:40]
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_flipped_bits(twin: Twin) -> None:
    """12.3 (C06): every single flip gives a value, an error or waits; framing is never silently wrong."""
    reply = b"*3\r\n$5\r\nhello\r\n:1234\r\n%1\r\n+key\r\n$10\r\n0123456789\r\n"
    follow = b"$6\r\ncanary\r\n"
    payload = {i for word in (b"hello", b"1234", b"key", b"0123456789") for i in span(reply, word)}
    crossed = 0
    for bit in range(len(reply) * 8):
        data = bytearray(reply)
        data[bit // 8] ^= 1 << bit % 8
        try:
            seen = run(twin.parser, bytes(data) + follow)
        except ProtocolError:
            continue
        if bit // 8 in payload and len(seen) == 2:
            assert seen[1] == b"canary"
            crossed += 1
        else:
            assert seen != [[b"hello", 1234, {b"key": b"0123456789"}], b"canary"]
    assert crossed > 100


def span(data: bytes, word: bytes) -> range:
    """Return where a word lies."""
    return range(data.index(word), data.index(word) + len(word))


def test_numbers_do_not_depend_on_the_locale(twin: Twin) -> None:
    """2.4 (G06)."""
    before = locale.setlocale(locale.LC_NUMERIC)
    for name in ("de_DE.UTF-8", "de_DE", "fr_FR.UTF-8", "C.UTF-8"):
        try:
            locale.setlocale(locale.LC_NUMERIC, name)
        except locale.Error:
            continue
        try:
            assert run(twin.parser, b",1.5\r\n") == [1.5]
            assert twin.encode(1.5) == b"*1\r\n$3\r\n1.5\r\n"
            with pytest.raises(ProtocolError):
                run(twin.parser, b",1,5\r\n")
        finally:
            locale.setlocale(locale.LC_NUMERIC, before)


# ---- values


def test_a_deep_value_can_be_dropped_and_shown(twin: Twin) -> None:
    """4.4 (S-02): as deep as the limit allows, of every kind."""
    kinds = [b"*1\r\n", b"%1\r\n+k\r\n", b"~1\r\n", b"|1\r\n+a\r\n:1\r\n", b"*?\r\n"]
    for kind in kinds:
        end = b".\r\n" * 1024 if b"?" in kind else b""
        parser = twin.parser(3, attributes=True)
        parser.feed(kind * 1024 + b":1\r\n" + end)
        value = parser.next_reply()
        assert value is not NEED_DATA
        depth = 0
        inner = value
        while not isinstance(inner, int):
            inner = (
                inner.value
                if hasattr(inner, "value")
                else next(iter(inner.values()))
                if isinstance(inner, dict)
                else next(iter(inner))
            )
            depth += 1
        assert depth == 1024
        for look in (repr, lambda one: one == one):
            with contextlib.suppress(RecursionError):
                look(value)
        del value, inner


def test_deep_values_as_keys_and_members(twin: Twin) -> None:
    """4.4: hashing never recurses, though each of these is asked for its hash."""
    for inner in (b"|1\r\n+a\r\n:1\r\n", b"~1\r\n", b"%1\r\n+k\r\n", b"*1\r\n"):
        for outer, kind in ((b"~1\r\n", Members), (b"%1\r\n", Pairs)):
            parser = twin.parser(3, attributes=True)
            parser.feed(outer + inner * 1000 + b":1\r\n" + (b":2\r\n" if kind is Pairs else b""))
            assert type(parser.next_reply()) is kind


def test_garbage_collection_in_the_middle(twin: Twin) -> None:
    """A collection at any allocation finds nothing half made."""
    data = b"*3\r\n%2\r\n+a\r\n*1\r\n:1\r\n+b\r\n~1\r\n:1\r\n|1\r\n+a\r\n*0\r\n=5\r\ntxt:x\r\n-ERR x\r\n"
    before = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        for _ in range(50):
            assert len(run(twin.parser, data * 3, 5)) == 3
    finally:
        gc.set_threshold(*before)


# ---- memory


def in_a_child(code: str, twin: Twin) -> str:
    """Run code in a process of its own; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "CARMINE_IMPL": twin.name, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_memory_that_runs_out(twin: Twin) -> None:
    """1.7 (G04): MemoryError comes out, the parser is dead, the process lives."""
    told = in_a_child(
        """
        import resource
        from carmine.errors import ProtocolError
        from carmine.protocol import NEED_DATA, Parser

        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (48 << 20), resource.RLIM_INFINITY))
        chunk = b"x" * (1 << 20)
        many = b"*1\\r\\n" + b"$9\\r\\nabcdefghi\\r\\n" * 70_000
        for head, body in ((b"$1000000000\\r\\n", chunk), (b"*100000000\\r\\n", many), (b"+", chunk)):
            parser = Parser(3)
            parser.feed(head)
            for _ in range(200):
                try:
                    parser.feed(body)
                    assert parser.next_reply() is NEED_DATA
                except MemoryError:
                    break
            else:
                raise SystemExit("no MemoryError")
            for call in (parser.next_reply, parser.next_reply, parser.feed_eof):
                try:
                    call()
                except ProtocolError as error:
                    assert "interrupted" in error.reason, error
                else:
                    raise SystemExit("it went on")
            parser.feed(b"+OK\\r\\n")
            del parser
            other = Parser(3)
            other.feed(b"+OK\\r\\n")
            assert other.next_reply() == b"OK"
            print("died well")
        """,
        twin,
    )
    assert told.split() == ["died", "well"] * 3


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("size", [10_000_000, 64 << 20])
def test_a_large_bulk_takes_its_own_size(both: tuple[Twin, Twin], size: int) -> None:
    """11.9: in bytes mode the compiled twin holds the value and little else, however it grows."""
    told = in_a_child(
        f"""
        import re
        from carmine.protocol import NEED_DATA, Parser

        def peak():
            return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024

        size = {size}
        parser = Parser(3)
        parser.feed(b"$%d\\r\\n" % size)
        assert parser.next_reply() is NEED_DATA
        before = peak()
        left = size
        while left:
            view = parser.get_buffer(1 << 16)
            assert len(view) <= max(size - left, 1 << 16), "more memory than has come"
            count = min(len(view), left, 1 << 16)
            view[:count] = b"x" * count
            del view
            parser.received(count)
            left -= count
            assert parser.next_reply() is NEED_DATA
        parser.feed(b"\\r\\n")
        value = parser.next_reply()
        assert len(value) == size and value.count(b"x") == size
        print((peak() - before) / size)
        """,
        both[0],
    )
    assert 0.9 < float(told) < 1.1


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 131_071, 131_072, 131_073, 200_000, 262_144, 1_000_000])
@pytest.mark.parametrize("step", [1000, 65_536, 1 << 20])
def test_large_bulks_at_every_edge(twin: Twin, size: int, step: int) -> None:
    """11.9: cut before, within and after the CRLF as well."""
    body = bytes(range(256)) * (size // 256 + 1)
    data = b"$%d\r\n" % size + body[:size] + b"\r\n"
    for cut in (0, 1, 2, 3):
        parser = twin.parser(3)
        parser.feed(b"*2\r\n")
        seen = []
        for at in range(0, len(data) - cut, step):
            parser.feed(data[at : min(at + step, len(data) - cut)])
            seen.append(parser.next_reply())
        for byte in data[len(data) - cut :] if cut else b"":
            parser.feed(bytes([byte]))
            seen.append(parser.next_reply())
        parser.feed(b":1\r\n+OK\r\n")
        seen.append(parser.next_reply())
        assert [value for value in seen if value is not NEED_DATA] == [[body[:size], 1]]
        assert parser.next_reply() == b"OK"


@pytest.mark.parametrize("wrong", [b"\rX", b"X\n", b"\n\r", b"XX"])
def test_a_large_bulk_with_a_wrong_end(twin: Twin, wrong: bytes) -> None:
    """3.22."""
    for cut in (0, 1, 2):
        parser = twin.parser(3)
        data = b"$200000\r\n" + b"x" * 200_000 + wrong
        parser.feed(data[: len(data) - cut])
        with pytest.raises(ProtocolError) as caught:  # noqa: PT012
            parser.next_reply()
            parser.feed(data[len(data) - cut :])
            parser.next_reply()
        assert caught.value.offset == 9 + 200_000


@pytest.mark.parametrize(("head", "value"), [(b"=", "verbatim"), (b"!", "error"), (b"$?\r\n;", "chunk")])
def test_other_large_bulks(twin: Twin, head: bytes, value: str) -> None:
    body = b"txt:" + b"y" * 300_000
    data = head + b"%d\r\n" % len(body) + body + b"\r\n" + (b";0\r\n" if value == "chunk" else b"")
    (seen,) = run(twin.parser, data, 10_000)
    got = {"verbatim": lambda: b"txt:" + seen.data, "error": lambda: seen.message.encode(), "chunk": lambda: seen}[
        value
    ]()
    assert got == body
    with pytest.raises(ProtocolError) as caught:
        run(twin.parser, b"=300000\r\n" + b"z" * 300_000 + b"\r\n", 10_000)
    assert (caught.value.offset, caught.value.excerpt) == (9, b"z" * 40)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_buffer_shrinks(twin: Twin) -> None:
    """11.10: after 50 MB in one piece, an idle parser holds little."""
    told = in_a_child(
        """
        import re
        from carmine.protocol import NEED_DATA, Parser

        def resident():
            return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024

        parser = Parser(3)
        parser.feed(b"+OK\\r\\n")
        assert parser.next_reply() == b"OK"
        before = resident()
        parser.feed(b"$1000\\r\\n" + b"x" * 1000 + b"\\r\\n" + b"+OK\\r\\n" * 10_000_000)
        assert len(parser.next_reply()) == 1000
        for _ in range(10_000_000):
            parser.next_reply()
        for size in (1, 65_536):
            parser.feed(b"+" + b"x" * size + b"\\r\\n")
            assert len(parser.next_reply()) == size
        print(resident() - before)
        """,
        twin,
    )
    assert int(told) < 8 << 20
