"""W, the wire: a plain loop on a raw socket that sends encoded bytes and reads exactly as many bytes as the reply has.

No parsing, no client: what is left is the system calls, the server, and the least Python that can drive them. The
reply's length is learned once, outside the timed loop, from a reply that was parsed and compared like any rival's
answer.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Sequence

from bench import data, resp
from bench.rivals.work import Crew, Work

Words = Sequence[str] | Sequence[bytes]


class Rival:
    """Plain sockets that speak RESP3."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address

    def versions(self) -> dict[str, str]:
        """Return nothing: there is no package."""
        return {}

    def get(self) -> Work:
        """GET of 64 bytes."""
        return self._work([["GET", data.KEY]])

    def set(self) -> Work:
        """SET of 64 bytes."""
        return self._work([["SET", data.SET_KEY, data.VALUE]], then_get=data.SET_KEY)

    def pipeline_1k(self) -> Work:
        """1,000 GETs in one send."""
        return self._work([["GET", key] for key in data.KEYS])

    def pipeline_100k(self) -> Work:
        """100,000 GETs in one send."""
        return self._work([["GET", key] for key in data.KEYS] * 100)

    def hgetall(self) -> Work:
        """HGETALL of 1,000 fields."""
        return self._work([["HGETALL", data.HASH_KEY]])

    def lrange(self) -> Work:
        """LRANGE of 10,000 items."""
        return self._work([["LRANGE", data.LIST_KEY, "0", "-1"]])

    def mget(self) -> Work:
        """MGET of 1,000 keys."""
        return self._work([["MGET", *data.KEYS]])

    def zrange(self) -> Work:
        """ZRANGE WITHSCORES of 1,000 members."""
        return self._work([["ZRANGE", data.ZSET_KEY, "0", "-1", "WITHSCORES"]])

    def get_big(self) -> Work:
        """GET of 10 MiB into one new bytes object of the reply's size."""
        # The length is known, and reading the reply once to learn it would be counted as its peak memory.
        return self._work([["GET", data.BIG_KEY]], size=len(b"$%d\r\n" % data.BIG) + data.BIG + 2)

    def set_big(self) -> Work:
        """SET of 10 MiB: the value goes out as it lies in memory."""
        sock = resp.connect(self._address)
        value = data.big_value()
        head = resp.pack(["SET", data.BIG_SET_KEY, b""]).removesuffix(b"$0\r\n\r\n") + b"$%d\r\n" % len(value)

        def run(count: int) -> None:
            for _ in range(count):
                _send_all(sock, [head, value, b"\r\n"])
                sock.recv(5, socket.MSG_WAITALL)

        def answer() -> object:
            run(1)
            return self._answer(sock, [["GET", data.BIG_SET_KEY]])[1]

        return Work(run, answer, sock.close)

    def threads(self) -> Work:
        """GET from 8 threads, each on a socket of its own."""
        works = [self.get() for _ in range(8)]
        crew = Crew([work.run for work in works])

        def close() -> None:
            crew.close()
            for work in works:
                work.close()

        return Work(crew.run, lambda: [work.answer() for work in works], close)

    def idle(self, count: int) -> Callable[[], None]:
        """Open idle connections; return what closes them."""
        socks = contextlib.ExitStack()
        for _ in range(count):
            socks.enter_context(resp.connect(self._address))
        return socks.close

    def close(self) -> None:
        """Close nothing: every work closes its own sockets."""

    def _work(self, commands: Sequence[Words], *, then_get: str | None = None, size: int = 0) -> Work:
        sock = resp.connect(self._address)
        request = b"".join(resp.pack(words) for words in commands)
        length = size or len(self._answer(sock, commands)[0])

        def answer() -> object:
            return self._answer(sock, [["GET", then_get]] if then_get else commands)[1]

        # MSG_WAITALL hands the loop to the kernel: tried against recv_into a new bytearray, no slower, and it gives a
        # bytes object.
        return Work(_exchange(sock, request, length, socket.MSG_WAITALL if size else 0), answer, sock.close)

    @staticmethod
    def _answer(sock: socket.socket, commands: Sequence[Words]) -> tuple[bytes, object]:
        sock.sendall(b"".join(resp.pack(words) for words in commands))
        reader = resp.Reader(sock)
        replies = [reader.read() for _ in commands]
        reader.close()
        values = [value for _, value in replies]
        return b"".join(raw for raw, _ in replies), values if len(values) > 1 else values[0]


def _exchange(sock: socket.socket, request: bytes, size: int, flags: int) -> Callable[[int], None]:
    send, recv = sock.sendall, sock.recv

    def run(count: int) -> None:
        for _ in range(count):
            send(request)
            missing = size - len(recv(size, flags))
            while missing:
                missing -= len(recv(missing))

    return run


def _send_all(sock: socket.socket, parts: list[bytes]) -> None:
    sent = sock.sendmsg(parts)
    for part in parts:
        if sent >= len(part):
            sent -= len(part)
            continue
        sock.sendall(memoryview(part)[sent:])
        sent = 0
