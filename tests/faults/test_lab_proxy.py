"""The proxy hurts the bytes it was told to and no others, shown over raw sockets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.lab import leaks
from tests.lab.proxy import FaultProxy, Faults
from tests.lab.scripted import RESET, Scripted
from tests.lab.servers import RedisServer, wait_until
from tests.lab.wire import RawClient, encode_command, read_to_end

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.proxy import Direction

pytestmark = pytest.mark.faults

VALUE = b"0123456789" * 5
REPLY = b"$50\r\n" + VALUE + b"\r\n"
GET = encode_command("GET", "k")


def through(proxy: FaultProxy, timeout: float = 10.0) -> RawClient:
    return RawClient(("127.0.0.1", proxy.port), timeout)


@pytest.fixture
def echo() -> Iterator[Scripted]:
    """Give a server that sends every byte back."""
    with Scripted(lambda number, block: block) as server:
        yield server
        server.check()


@pytest.fixture
def echo_proxy(echo: Scripted) -> Iterator[FaultProxy]:
    """Give a recording proxy in front of the echo."""
    with FaultProxy("127.0.0.1", echo.port, record=True) as proxy:
        yield proxy


class TestProxyCuts:
    @pytest.mark.parametrize("mode", ["fin", "rst"])
    def test_cut_after_every_byte_of_a_reply(self, server: RedisServer, proxy: FaultProxy, mode: str) -> None:
        """C01: exactly n bytes come, and then the end that was asked for; the whole reply, too, if n is its length."""
        server.call("SET", "k", VALUE)
        proxy.cut_mode = "fin" if mode == "fin" else "rst"
        for n in range(len(REPLY) + 1):
            proxy.cut_after["s2c"] = n
            with through(proxy) as client:
                client.send("GET", "k")
                assert read_to_end(client) == (REPLY[:n], mode)
        server.wait_clients(0)
        proxy.wait_open(0)
        proxy.heal()
        with through(proxy) as client:
            assert client.call("GET", "k") == VALUE
            assert client.call("GET", "k") == VALUE

    @pytest.mark.parametrize("mode", ["fin", "rst"])
    def test_cut_of_a_request(self, server: RedisServer, proxy: FaultProxy, mode: str) -> None:
        """C02: the server sees the first n bytes and an end, and never executes the command."""
        proxy.cut_mode = "fin" if mode == "fin" else "rst"
        request = encode_command("SET", "k", b"x" * 3_000_000)
        proxy.cut_after["c2s"] = 1_000_000
        with through(proxy) as client:
            if mode == "fin":
                client.sock.sendall(request)  # what comes behind the cut is taken and dropped
                assert read_to_end(client) == (b"", "fin")
            else:
                with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                    client.sock.sendall(request)
                assert read_to_end(client)[0] == b""
        assert proxy.passed["c2s"] == 1_000_000
        server.wait_clients(0)
        assert server.call("EXISTS", "k") == 0

    def test_the_upstream_gets_exactly_the_bytes_before_the_cut(self) -> None:
        with Scripted(lambda number, block: b"") as sink, FaultProxy("127.0.0.1", sink.port) as proxy:
            for n in range(1, 20):
                proxy.cut_after["c2s"] = n
                with through(proxy) as client:
                    client.sock.sendall(bytes(range(40)))
                    assert read_to_end(client) == (b"", "fin")
                sink.wait_until(lambda n=n: sink.closed == n, "the end of the connection")  # type: ignore[misc]
                assert bytes(sink.received[n]) == bytes(range(n))

    def test_offsets_begin_anew_on_each_connection_and_at_a_mark(self, echo_proxy: FaultProxy) -> None:
        with through(echo_proxy) as client:
            client.sock.sendall(b"hello")
            assert client.exactly(5) == b"hello"
            echo_proxy.mark()
            assert echo_proxy.passed == {"c2s": 0, "s2c": 0}
            echo_proxy.cut_after["s2c"] = 3
            client.sock.sendall(b"again")
            assert read_to_end(client) == (b"aga", "fin")
        with through(echo_proxy) as client:
            client.sock.sendall(b"third")
            assert read_to_end(client) == (b"thi", "fin")

    @pytest.mark.parametrize("mode", ["fin", "rst"])
    def test_kill_ends_every_connection_or_one(self, echo_proxy: FaultProxy, mode: str) -> None:
        with through(echo_proxy) as first, through(echo_proxy) as second:
            for client in (first, second):
                client.sock.sendall(b"x")
                assert client.sock.recv(1) == b"x"
            assert echo_proxy.numbers == [1, 2]
            assert echo_proxy.kill("fin" if mode == "fin" else "rst", number=1) == 1
            assert read_to_end(first) == (b"", mode)
            second.sock.sendall(b"y")
            assert second.sock.recv(1) == b"y"
            assert echo_proxy.kill("fin" if mode == "fin" else "rst", number=2) == 1
            assert read_to_end(second) == (b"", mode)
        echo_proxy.wait_open(0)
        assert echo_proxy.accepted == 2

    def test_an_orderly_end_and_a_half_close_pass_through(self) -> None:
        """The client says FIN, the server answers what it owes, and then ends."""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            with FaultProxy(*listener.getsockname()) as proxy, through(proxy) as client:
                upstream, _ = listener.accept()
                with upstream:
                    client.sock.sendall(b"question")
                    client.sock.shutdown(socket.SHUT_WR)
                    received = b""
                    while block := upstream.recv(100):
                        received += block
                    assert received == b"question"
                    upstream.sendall(b"answer")
                assert read_to_end(client) == (b"answer", "fin")
                proxy.wait_open(0)

    def test_a_reset_passes_through(self) -> None:
        with (
            Scripted(lambda number, block: RESET) as server,
            FaultProxy("127.0.0.1", server.port) as proxy,
            through(proxy) as client,
        ):
            client.sock.sendall(b"x")
            assert read_to_end(client) == (b"", "rst")


class TestProxyBytes:
    @pytest.mark.parametrize("size", [1, 2, 3, 7])
    def test_chunks(self, server: RedisServer, proxy: FaultProxy, size: int) -> None:
        """C05: nothing changes but the size of each send."""
        server.call("SET", "k", VALUE)
        proxy.chunk.update({"s2c": size, "c2s": size})
        with through(proxy) as client:
            client.sock.sendall(GET)
            client.sock.shutdown(socket.SHUT_WR)
            data, ended = read_to_end(client)
        assert (data, ended) == (REPLY, "fin")

    def test_a_slow_drip_comes_byte_by_byte(self, echo_proxy: FaultProxy) -> None:
        """C20: with pace, a reader that keeps up sees single bytes, that far apart."""
        echo_proxy.chunk["s2c"] = 1
        echo_proxy.pace["s2c"] = 0.02
        with through(echo_proxy) as client:
            began = time.monotonic()
            client.sock.sendall(b"abcde")
            assert [client.sock.recv(10) for _ in range(5)] == [b"a", b"b", b"c", b"d", b"e"]
            assert time.monotonic() - began >= 4 * 0.02

    def test_delay_is_latency_not_throughput(self, echo_proxy: FaultProxy) -> None:
        """C04: the late reply comes late, and whole."""
        echo_proxy.delay["s2c"] = 0.1
        with through(echo_proxy) as client:
            began = time.monotonic()
            client.sock.sendall(b"first")
            echo_proxy.wait_passed("c2s", 5)
            assert time.monotonic() - began < 0.1
            assert client.sock.recv(100) == b"first"
            assert 0.1 <= time.monotonic() - began < 5
            echo_proxy.delay.clear()
            client.sock.sendall(b"second")
            assert client.sock.recv(100) == b"second"

    def test_truncate_swallows_the_rest_and_stays_open(self, server: RedisServer, proxy: FaultProxy) -> None:
        """C03: seven bytes, then silence on an open connection."""
        server.call("SET", "k", VALUE)
        proxy.truncate["s2c"] = 7
        with through(proxy, timeout=0.1) as client:
            client.send("GET", "k")
            client.sock.settimeout(10)
            assert client.exactly(7) == REPLY[:7]
            proxy.wait_until(lambda: len(proxy.log("s2c")) == len(REPLY), "the whole reply at the proxy")
            client.send("GET", "k")
            proxy.wait_until(lambda: len(proxy.log("s2c")) == 2 * len(REPLY), "the second reply at the proxy")
            client.sock.settimeout(0.05)
            with pytest.raises(TimeoutError):
                client.sock.recv(1)
            assert proxy.open == 1

    def test_hold_and_release_lose_nothing(self, echo_proxy: FaultProxy) -> None:
        for direction in ("c2s", "s2c"):
            with through(echo_proxy) as client:
                echo_proxy.mark()
                echo_proxy.hold("c2s" if direction == "c2s" else "s2c")
                client.sock.sendall(b"one")
                client.sock.sendall(b"two")
                if direction == "s2c":
                    echo_proxy.wait_passed("c2s", 6)
                client.sock.settimeout(0.05)
                with pytest.raises(TimeoutError):
                    client.sock.recv(1)
                assert echo_proxy.passed["s2c"] == 0
                echo_proxy.release()
                client.sock.settimeout(10)
                assert client.exactly(6) == b"onetwo"

    def test_hold_without_a_reader_keeps_memory_bounded(self, echo_proxy: FaultProxy) -> None:
        """A writer is stopped by backpressure, and afterwards every byte comes."""
        data = os.urandom(1 << 20) * 24
        echo_proxy.record = False
        echo_proxy.hold("c2s")
        with through(echo_proxy) as client:
            writer = threading.Thread(target=client.sock.sendall, args=(data,))
            writer.start()
            writer.join(0.2)
            assert writer.is_alive()
            echo_proxy.release()
            got = bytearray()
            while len(got) < len(data):
                got += client.sock.recv(1 << 20)
            writer.join()
            assert got == data

    def test_corrupt_flips_the_bit_and_no_other(self, echo_proxy: FaultProxy) -> None:
        """C06: each single bit of eight bytes."""
        sent = b"ABCDEFGH"
        for bit in range(64):
            echo_proxy.corrupt["s2c"] = {bit // 8: 1 << bit % 8}
            with through(echo_proxy) as client:
                client.sock.sendall(sent)
                got = client.exactly(8)
                assert int.from_bytes(got, "little") ^ int.from_bytes(sent, "little") == 1 << bit
                client.sock.sendall(sent)
                assert client.exactly(8) == sent

    def test_dup_sends_a_range_twice(self, server: RedisServer, proxy: FaultProxy) -> None:
        """C07: the second reply comes twice, although it arrived in the same block as the others."""
        proxy.dup["s2c"] = (4, 8)
        with through(proxy) as client:
            client.sock.sendall(b"".join(encode_command("INCR", "n") for _ in range(3)))
            assert [client.read() for _ in range(4)] == [1, 2, 2, 3]

    def test_dup_of_a_range_that_arrives_in_pieces(self, echo_proxy: FaultProxy) -> None:
        echo_proxy.dup["c2s"] = (1, 4)
        with through(echo_proxy) as client:
            for byte in (b"a", b"b", b"c", b"d", b"e"):
                client.sock.sendall(byte)
                echo_proxy.wait_until(lambda byte=byte: echo_proxy.log("c2s").endswith(byte), "the byte")  # type: ignore[misc]
            assert client.exactly(8) == b"abcdbcde"

    def test_inject_at_an_offset_happens_once_a_connection(self, echo_proxy: FaultProxy) -> None:
        echo_proxy.inject["s2c"] = {0: b"<", 3: b"|", 6: b">"}
        for _ in range(2):
            with through(echo_proxy) as client:
                client.sock.sendall(b"abcdef")
                assert client.exactly(9) == b"<abc|def>"
                client.sock.sendall(b"ghi")
                assert client.exactly(3) == b"ghi"

    def test_inject_now_reaches_an_idle_connection(self, server: RedisServer, proxy: FaultProxy) -> None:
        """C07: a stale reply lies in the socket before the next request is sent."""
        with through(proxy) as client:
            assert client.call("ECHO", "a") == b"a"
            proxy.inject_now("s2c", b"+STALE\r\n")
            wait_until(lambda: client.sock.recv(8, socket.MSG_PEEK) == b"+STALE\r\n", "the stale reply")
            assert client.call("ECHO", "b") == b"STALE"
            assert client.read() == b"b"

    def test_a_plan_gives_faults_to_single_connections(self, echo: Scripted) -> None:
        bad = Faults()
        bad.cut_after["s2c"] = 1
        with FaultProxy("127.0.0.1", echo.port, plan=lambda number: bad if number == 2 else None) as proxy:
            for expected in (b"abc", b"a", b"abc"):
                with through(proxy) as client:
                    client.sock.sendall(b"abc")
                    if expected == b"a":
                        assert read_to_end(client) == (b"a", "fin")
                    else:
                        assert client.exactly(3) == expected


class TestProxyConnections:
    def test_refuse_and_accept_again(self, echo_proxy: FaultProxy) -> None:
        with through(echo_proxy) as old:
            old.sock.sendall(b"x")
            assert old.sock.recv(1) == b"x"
            echo_proxy.refuse()
            echo_proxy.refuse()  # twice is once
            for _ in range(3):
                with pytest.raises(ConnectionRefusedError):
                    through(echo_proxy)
            old.sock.sendall(b"y")  # those that were open go on
            assert old.sock.recv(1) == b"y"
            echo_proxy.refuse(False)
            with through(echo_proxy) as new:
                new.sock.sendall(b"z")
                assert new.sock.recv(1) == b"z"
        assert echo_proxy.accepted == 2

    def test_blackhole_accepts_and_says_nothing(self, echo: Scripted, echo_proxy: FaultProxy) -> None:
        """C09: old and new connections alike; the server never hears of the new one."""
        with through(echo_proxy) as old:
            old.sock.sendall(b"x")
            assert old.sock.recv(1) == b"x"
            echo_proxy.blackhole = True
            with through(echo_proxy) as new:
                for client in (old, new):
                    client.sock.sendall(b"lost")
                    client.sock.settimeout(0.05)
                    with pytest.raises(TimeoutError):
                        client.sock.recv(1)
                assert echo.accepted == 1
                assert bytes(echo.received[1]) == b"x"
                echo_proxy.heal()
                with through(echo_proxy) as healed:
                    healed.sock.sendall(b"y")
                    assert healed.sock.recv(1) == b"y"

    def test_a_dead_upstream_is_a_reset(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # bound, never listening
            with FaultProxy(*taken.getsockname()) as proxy:
                with pytest.raises(ConnectionResetError), through(proxy) as client:  # while connecting, or reading
                    client.sock.recv(1)
                assert proxy.open == 0
                assert proxy.accepted == 1

    def test_record_counts_commands_on_the_wire(self, server: RedisServer, proxy: FaultProxy) -> None:
        """I2: what was sent, by connection, and nothing else."""
        with through(proxy) as first, through(proxy) as second:
            first.call("SET", "k", b"\r\n*1\r\n$4\r\nPING\r\n")
            second.call("GET", "k")
            second.call("DEL", "k")
            second.sock.sendall(b"*2\r\n$3\r\nGET\r\n$1")  # not complete
            proxy.wait_until(lambda: proxy.log("c2s").endswith(b"$1"), "the last bytes")
        expected = [[b"SET", b"k", b"\r\n*1\r\n$4\r\nPING\r\n"], [b"GET", b"k"], [b"DEL", b"k"]]
        assert proxy.commands() == expected
        assert proxy.commands(1) == expected[:1]
        proxy.wait_commands(3)
        with pytest.raises(AssertionError, match="4 commands did not come true within"):
            proxy.wait_commands(4, timeout=0.01)

    def test_in_front_of_a_unix_socket(self, server: RedisServer) -> None:
        with FaultProxy(server.unix_path, record=True) as proxy, through(proxy) as client:
            assert client.call("PING") == b"PONG"
            assert proxy.commands() == [[b"PING"]]
            proxy.kill()
            assert read_to_end(client) == (b"", "rst")

    @pytest.mark.parametrize(
        ("like", "expected"),
        [
            ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:{}/0"),
            ("rediss://u:p%40@[::1]:1/3?protocol=2", "rediss://u:p%40@127.0.0.1:{}/3?protocol=2"),
            ("redis://:p@h", "redis://:p@127.0.0.1:{}"),
            ("unix://:p@/tmp/x.sock", "redis://:p@127.0.0.1:{}/0"),
            ("unix:///tmp/x.sock", "redis://127.0.0.1:{}/0"),
        ],
    )
    def test_url(self, echo_proxy: FaultProxy, like: str, expected: str) -> None:
        assert echo_proxy.url(like) == expected.format(echo_proxy.port)

    def test_many_connections_with_much_data_stay_apart(self, echo: Scripted, echo_proxy: FaultProxy) -> None:
        echo_proxy.record = False
        failures: list[str] = []

        def run(seed: int) -> None:
            data = bytes([seed]) * 300_000
            with through(echo_proxy) as client:
                writer = threading.Thread(target=client.sock.sendall, args=(data,))
                writer.start()
                got = bytearray()
                while len(got) < len(data):
                    got += client.sock.recv(65536)
                writer.join()
                if got != data:
                    failures.append(f"connection {seed} got other bytes")

        threads = [threading.Thread(target=run, args=(seed,)) for seed in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []

    def test_stopping_frees_everything(self, echo: Scripted) -> None:
        before = leaks.snapshot()
        with FaultProxy("127.0.0.1", echo.port) as proxy:
            client = through(proxy)
            client.sock.sendall(b"x")
            assert client.sock.recv(1) == b"x"
        assert read_to_end(client) == (b"", "rst")
        client.close()
        with pytest.raises(ConnectionRefusedError):
            through(proxy)
        proxy.stop()
        with pytest.raises(RuntimeError, match="stopped"):
            proxy.kill()
        leaks.assert_no_leaks(before)

    @pytest.mark.asyncio
    async def test_a_coroutine_can_wait_for_it(self, server: RedisServer, proxy: FaultProxy) -> None:
        proxy.hold("s2c")
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(encode_command("INCR", "n"))
        await asyncio.to_thread(proxy.wait_commands, 1)
        proxy.release()
        assert await reader.readline() == b":1\r\n"
        writer.close()
        await writer.wait_closed()


def test_both_directions_are_named_alike() -> None:
    directions: tuple[Direction, ...] = ("c2s", "s2c")
    with FaultProxy("127.0.0.1", 1) as proxy:
        assert set(proxy.passed) == set(directions)
