"""The laboratory's tools do what they say, shown over raw sockets before any client is judged by them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import threading
import time
from itertools import repeat
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab import leaks, matrix
from tests.lab.matrix import LEGS, scaled
from tests.lab.proxy import FaultProxy, Faults
from tests.lab.scripted import HELLO_3, RESET, Scripted
from tests.lab.servers import RedisServer, wait_until
from tests.lab.wire import RawClient, ReplyError, WireError, encode_command, parse_commands

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from carmine.embedded import TLSFiles
    from tests.lab.certs import Certificates
    from tests.lab.proxy import Direction
    from tests.lab.scripted import Answer

pytestmark = pytest.mark.faults

VALUE = b"0123456789" * 5
REPLY = b"$50\r\n" + VALUE + b"\r\n"
GET = encode_command("GET", "k")


def through(proxy: FaultProxy, timeout: float = 10.0) -> RawClient:
    return RawClient(("127.0.0.1", proxy.port), timeout)


def everything(client: RawClient) -> tuple[bytes, str]:
    """Read to the end; return the bytes and how the connection ended."""
    data = b""
    while True:
        try:
            block = client.sock.recv(65536)
        except ConnectionResetError:
            return data, "rst"
        if not block:
            return data, "fin"
        data += block


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
                assert everything(client) == (REPLY[:n], mode)
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
                assert everything(client) == (b"", "fin")
            else:
                with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                    client.sock.sendall(request)
                assert everything(client)[0] == b""
        assert proxy.passed["c2s"] == 1_000_000
        server.wait_clients(0)
        assert server.call("EXISTS", "k") == 0

    def test_the_upstream_gets_exactly_the_bytes_before_the_cut(self) -> None:
        with Scripted(lambda number, block: b"") as sink, FaultProxy("127.0.0.1", sink.port) as proxy:
            for n in range(1, 20):
                proxy.cut_after["c2s"] = n
                with through(proxy) as client:
                    client.sock.sendall(bytes(range(40)))
                    assert everything(client) == (b"", "fin")
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
            assert everything(client) == (b"aga", "fin")
        with through(echo_proxy) as client:
            client.sock.sendall(b"third")
            assert everything(client) == (b"thi", "fin")

    @pytest.mark.parametrize("mode", ["fin", "rst"])
    def test_kill_ends_every_connection_or_one(self, echo_proxy: FaultProxy, mode: str) -> None:
        with through(echo_proxy) as first, through(echo_proxy) as second:
            for client in (first, second):
                client.sock.sendall(b"x")
                assert client.sock.recv(1) == b"x"
            assert echo_proxy.numbers == [1, 2]
            assert echo_proxy.kill("fin" if mode == "fin" else "rst", number=1) == 1
            assert everything(first) == (b"", mode)
            second.sock.sendall(b"y")
            assert second.sock.recv(1) == b"y"
            assert echo_proxy.kill("fin" if mode == "fin" else "rst", number=2) == 1
            assert everything(second) == (b"", mode)
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
                assert everything(client) == (b"answer", "fin")
                proxy.wait_open(0)

    def test_a_reset_passes_through(self) -> None:
        with (
            Scripted(lambda number, block: RESET) as server,
            FaultProxy("127.0.0.1", server.port) as proxy,
            through(proxy) as client,
        ):
            client.sock.sendall(b"x")
            assert everything(client) == (b"", "rst")


class TestProxyBytes:
    @pytest.mark.parametrize("size", [1, 2, 3, 7])
    def test_chunks(self, server: RedisServer, proxy: FaultProxy, size: int) -> None:
        """C05: nothing changes but the size of each send."""
        server.call("SET", "k", VALUE)
        proxy.chunk.update({"s2c": size, "c2s": size})
        with through(proxy) as client:
            client.sock.sendall(GET)
            client.sock.shutdown(socket.SHUT_WR)
            data, ended = everything(client)
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
                        assert everything(client) == (b"a", "fin")
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
            assert everything(client) == (b"", "rst")

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
        assert everything(client) == (b"", "rst")
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


class TestScripted:
    def test_plays_bytes_by_connection_and_block(self) -> None:
        seen: list[tuple[int, bytes]] = []

        def play(number: int, block: bytes) -> bytes:
            seen.append((number, block))
            return b"" if block == b"quiet" else b"%d:" % number + block

        with Scripted(play) as server:
            with RawClient(("127.0.0.1", server.port)) as first, RawClient(("127.0.0.1", server.port)) as second:
                second.sock.sendall(b"x")
                assert second.sock.recv(10) in (b"1:x", b"2:x")
                first.sock.sendall(b"quiet")
                server.wait_received(6)
            server.check()
        assert sorted(block for _, block in seen) == [b"quiet", b"x"]

    @pytest.mark.parametrize(("answer", "expected"), [(None, "fin"), (RESET, "rst")])
    def test_close_and_reset(self, answer: Answer, expected: str) -> None:
        with (
            Scripted(lambda number, block: answer) as server,
            RawClient(("127.0.0.1", server.port)) as client,
        ):
            client.sock.sendall(b"x" * 100_000)
            assert everything(client) == (b"", expected)

    @pytest.mark.parametrize(
        "greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0" * 4096, b"\x15\x03\x01\x00\x02\x02\x28"]
    )
    def test_greeting_comes_before_any_request(self, greeting: bytes) -> None:
        """C12, C17."""
        with (
            Scripted(lambda number, block: None, greeting=[greeting, None]) as server,
            RawClient(("127.0.0.1", server.port)) as client,
        ):
            assert everything(client) == (greeting, "fin")

    def test_an_endless_greeting_ends_with_the_client(self) -> None:
        with Scripted(lambda number, block: b"", greeting=repeat(b"x" * 1000)) as server:
            with RawClient(("127.0.0.1", server.port)) as client:
                assert client.exactly(1_000_000) == b"x" * 1_000_000
            server.wait_until(lambda: server.closed == 1, "the end of the connection")
            server.check()

    def test_replies_from_a_table(self) -> None:
        table: dict[bytes, bytes | list[bytes] | Callable[[list[bytes]], bytes] | None] = {
            b"PING": b"+PONG\r\n",
            b"INCR": [b":1\r\n", b":2\r\n"],
            b"ECHO": lambda words: b"$%d\r\n%b\r\n" % (len(words[1]), words[1]),
            b"QUIT": None,
        }
        with Scripted.replies(table) as server, RawClient(("127.0.0.1", server.port)) as client:
            hello = client.call("HELLO", "3", "AUTH", "u", "p", "SETNAME", "n")
            assert isinstance(hello, dict)
            assert hello[b"proto"] == 3
            assert client.call("client", "setinfo", "lib-name", "x") == b"OK"
            assert client.call("ping") == b"PONG"
            assert [client.call("INCR", "n") for _ in range(3)] == [1, 2, 2]
            assert client.call("ECHO", "canary") == b"canary"
            with pytest.raises(ReplyError, match="unknown command"):
                client.call("NOPE")
            client.send("QUIT")
            assert client.read_bytes() == b""
            assert server.commands[0] == (1, [b"HELLO", b"3", b"AUTH", b"u", b"p", b"SETNAME", b"n"])
            assert [words[0] for _, words in server.commands[-2:]] == [b"NOPE", b"QUIT"]
            server.check()
            assert server.url == f"redis://127.0.0.1:{server.port}/0"

    def test_hello_can_be_unknown(self) -> None:
        """T06."""
        refusal = b"-ERR unknown command 'HELLO'\r\n"
        with (
            Scripted.replies({}, hello=refusal) as server,
            RawClient(("127.0.0.1", server.port)) as client,
            pytest.raises(ReplyError, match="unknown command 'HELLO'"),
        ):
            client.call("HELLO", "3")

    def test_hello_3_is_what_a_real_server_says(self) -> None:
        assert parse_fields(HELLO_3) == [b"server", b"version", b"proto", b"id", b"mode", b"role", b"modules"]

    def test_it_reads_nothing_while_it_sends(self) -> None:
        """C19: the second command is not looked at before the first reply has been taken."""
        big = b"$4000000\r\n" + b"x" * 4_000_000 + b"\r\n"
        with (
            Scripted.replies({b"GET": big}, buffers=65_536) as server,
            RawClient(("127.0.0.1", server.port)) as client,
        ):
            client.sock.sendall(GET + GET)
            server.wait_commands(1)
            with pytest.raises(AssertionError, match="did not come true"):
                server.wait_commands(2, timeout=0.1)
            assert client.read() == b"x" * 4_000_000
            server.wait_commands(2)
            assert client.read() == b"x" * 4_000_000

    def test_what_is_no_command_is_kept_as_an_error(self) -> None:
        with Scripted.replies({}) as server, RawClient(("127.0.0.1", server.port)) as client:
            client.sock.sendall(b"PING\r\n")
            assert client.read_bytes() == b""
            server.wait_until(lambda: server.closed == 1, "the end of the connection")
            with pytest.raises(WireError):
                server.check()

    def test_send_now(self) -> None:
        with Scripted(lambda number, block: block) as server, RawClient(("127.0.0.1", server.port)) as client:
            client.sock.sendall(b"x")
            assert client.sock.recv(1) == b"x"
            server.send_now(b"+STALE\r\n")
            assert client.read() == b"STALE"

    def test_unix_socket(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        path = str(tmp_path_factory.mktemp("s") / "s.sock")
        with Scripted.replies({b"PING": b"+PONG\r\n"}, unix_path=path) as server, RawClient(path) as client:
            assert client.call("PING") == b"PONG"
            assert server.url == f"unix://{path}"

    @pytest.mark.tls
    def test_tls_and_a_cut_without_close_notify(self, certs: Certificates) -> None:
        """T08: the reply ends in its middle, and TLS says that this was no orderly end."""
        context = certs.server_context(certs.good)
        with Scripted(lambda number, block: [b"$5\r\nhel", None], tls=context) as server:
            assert server.url.startswith("rediss://")
            with (
                socket.create_connection(("127.0.0.1", server.port), 10) as plain,
                certs.client_context().wrap_socket(
                    plain, server_hostname="127.0.0.1", suppress_ragged_eofs=False
                ) as tls,
            ):
                tls.sendall(GET)
                assert tls.recv(100) == b"$5\r\nhel"
                with pytest.raises(ssl.SSLEOFError):
                    tls.recv(100)
            server.wait_until(lambda: server.closed == 1, "the end of the connection")
            server.check()
            assert bytes(server.received[1]) == GET

    @pytest.mark.tls
    def test_stopping_during_a_tls_handshake(self, certs: Certificates) -> None:
        before = leaks.snapshot()
        with Scripted(lambda number, block: b"", tls=certs.server_context(certs.good)) as server:
            client = RawClient(("127.0.0.1", server.port))
            server.wait_until(lambda: server.accepted == 1, "the connection")
        client.close()
        leaks.assert_no_leaks(before)


def parse_fields(reply: bytes) -> list[bytes]:
    """Return the keys of an encoded map by way of a socket pair and the laboratory's own reader."""
    with Scripted(lambda number, block: reply) as server, RawClient(("127.0.0.1", server.port)) as client:
        value = client.call("x")
        assert isinstance(value, dict)
        return list(value)


class TestCertificates:
    def handshake(self, certs: Certificates, files: TLSFiles, *, client: TLSFiles | None = None) -> bytes:
        """Connect with full verification; return what an echo gives back."""
        context = certs.server_context(files, client_required=client is not None)
        with (
            Scripted(lambda number, block: block, tls=context) as server,
            socket.create_connection(("127.0.0.1", server.port), 10) as plain,
            certs.client_context(client).wrap_socket(plain, server_hostname="127.0.0.1") as tls,
        ):
            tls.sendall(b"x")
            return tls.recv(1)

    @pytest.mark.tls
    def test_good(self, certs: Certificates) -> None:
        assert self.handshake(certs, certs.good) == b"x"
        assert self.handshake(certs, certs.good, client=certs.client) == b"x"

    @pytest.mark.tls
    @pytest.mark.parametrize(
        ("kind", "reason"),
        [
            ("wronghost", "IP address mismatch"),
            ("expired", "certificate has expired"),
            ("selfsigned", "self-signed certificate"),
            ("stranger", "unable to get local issuer certificate"),
        ],
    )
    def test_each_bad_one_fails_for_its_own_reason(self, certs: Certificates, kind: str, reason: str) -> None:
        with pytest.raises(ssl.SSLCertVerificationError, match=reason):
            self.handshake(certs, getattr(certs, kind))

    @pytest.mark.tls
    def test_a_client_of_a_stranger_is_refused(self, certs: Certificates) -> None:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            self.handshake(certs, certs.good, client=certs.strange_client)


class TestWire:
    @given(st.lists(st.lists(st.binary(max_size=30), min_size=1, max_size=5), max_size=5), st.data())
    def test_commands_come_back_word_for_word(self, commands: list[list[bytes]], data: st.DataObject) -> None:
        wire = b"".join(encode_command(*words) for words in commands)
        assert parse_commands(wire) == (commands, len(wire))
        cut = data.draw(st.integers(0, len(wire)))
        first, done = parse_commands(wire[:cut])
        rest, end = parse_commands(wire, done)
        assert first + rest == commands
        assert end == len(wire)

    @pytest.mark.parametrize(
        "wire",
        [
            b"PING\r\n",
            b"*0\r\n",
            b"*-1\r\n",
            b"*1\r\n+PING\r\n",
            b"*1\r\n$4\r\nPINGX\r\n",
            b"*1\r\n$5\r\nPING\r\n*1\r\n",
            b"*01\r\n$4\r\nPING\r\n",
            b"*1\r\n$-1\r\n",
            b"* 1\r\n$4\r\nPING\r\n",
            b"*1\n$4\nPING\n" + b"x" * 30,
            b"*1\r\n$4\r\nPING\r\n\r\n",
        ],
    )
    def test_what_is_no_command_is_refused(self, wire: bytes) -> None:
        with pytest.raises(WireError):
            parse_commands(wire)

    @pytest.mark.parametrize("version", ["2", "3"])
    def test_the_raw_client_reads_both_protocols(self, server: RedisServer, version: str) -> None:
        assert server.port is not None
        with RawClient(("127.0.0.1", server.port)) as client:
            client.call("HELLO", version)
            client.call("HSET", "h", "f", "v")
            assert client.call("HGETALL", "h") == ({b"f": b"v"} if version == "3" else [b"f", b"v"])
            assert client.call("GET", "none") is None
            assert client.call("ZADD", "z", 1.5, "m") == 1
            assert client.call("ZSCORE", "z", "m") == (1.5 if version == "3" else b"1.5")
            assert client.is_open
            server.call("CLIENT", "KILL", "TYPE", "normal")
            assert not client.is_open


class TestServers:
    def test_reset_gives_the_first_state_back(self, server: RedisServer) -> None:
        server.call("SET", "k", "v")
        server.call("CONFIG", "SET", "maxmemory", "7777777")
        server.call("CONFIG", "SET", "requirepass", "secret")
        server.call("ACL", "SETUSER", "eve", "on", "nopass", "~*", "+@all")
        server.call("SCRIPT", "LOAD", "return 1")
        server.call("REPLICAOF", "127.0.0.1", "1")
        server.pause()
        server.reset()
        assert server.call("DBSIZE") == 0
        assert server.call("CONFIG", "GET", "maxmemory") == [b"maxmemory", b"0"]
        assert server.call("CONFIG", "GET", "requirepass") == [b"requirepass", b""]
        assert server.call("ACL", "USERS") == [b"default"]
        assert server.info("replication")["role"] == "master"
        server.kill()
        server.reset()
        assert server.call("PING") == b"PONG"

    def test_debug_is_allowed(self, server: RedisServer) -> None:
        assert server.call("DEBUG", "SLEEP", "0") == b"OK"

    def test_users(self) -> None:
        with RedisServer(users={"reader": "on >s3cret ~* +@read"}) as server, RawClient(server.unix_path) as client:
            assert client.call("AUTH", "reader", "s3cret") == b"OK"
            with pytest.raises(ReplyError, match="NOPERM"):
                client.call("SET", "k", "v")
            server.reset()
            assert server.call("ACL", "USERS") == [b"default", b"reader"]

    def test_replica(self) -> None:
        with RedisServer() as primary, RedisServer(replica_of=primary) as replica:
            primary.call("SET", "k", "v")
            assert primary.call("WAIT", 1, 10_000) == 1
            assert replica.call("GET", "k") == b"v"
            with pytest.raises(ReplyError, match="READONLY"):
                replica.call("SET", "k", "w")

    @pytest.mark.cluster
    def test_cluster_of_one_owns_all_slots(self) -> None:
        with RedisServer(cluster=True) as server:
            assert server.call("SET", "k", "v") == b"OK"
            with pytest.raises(ReplyError, match="CROSSSLOT"):
                server.call("MGET", "a", "b")

    def test_clients_leaves_out_its_own(self, server: RedisServer) -> None:
        server.wait_clients(0)
        with RawClient(server.unix_path) as client:
            client.call("CLIENT", "SETNAME", "me")
            assert [c["name"] for c in server.clients()] == ["me"]
        server.wait_clients(0)

    def test_make_server(self, make_server: Callable[..., RedisServer]) -> None:
        assert make_server(unix=True).call("PING") == b"PONG"

    def test_the_leg_is_the_one_asked_for(self, server: RedisServer) -> None:
        assert server.version.startswith(matrix.current_leg().version)


class TestMatrix:
    def test_an_unknown_leg_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CARMINE_TEST_SERVER", "redis99")
        with pytest.raises(pytest.UsageError, match="redis99"):
            matrix.current_leg()

    @pytest.mark.parametrize("name", ["CI", "CARMINE_TEST_REQUIRE"])
    def test_a_missing_server_skips_here_and_fails_there(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        gone = LEGS["redis62"]._replace(places=("/no/such/server",))
        monkeypatch.delenv("CI", raising=False)
        monkeypatch.delenv("CARMINE_TEST_REQUIRE", raising=False)
        with pytest.raises(pytest.skip.Exception, match="no server for the leg redis62"):
            matrix.find_leg(gone)
        monkeypatch.setenv(name, "true" if name == "CI" else "1")
        with pytest.raises(pytest.fail.Exception, match="every leg must run"):
            matrix.find_leg(gone)

    def test_scaled(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("CARMINE_TEST_SCALE", raising=False)
        assert [scaled(n) for n in (1, 20, 4000)] == [1, 1, 200]
        monkeypatch.setenv("CARMINE_TEST_SCALE", "1")
        assert scaled(4000) == 4000


class TestLeaks:
    def test_a_file_a_thread_and_a_client_are_named(self, server: RedisServer) -> None:
        before = leaks.snapshot(server)
        stop = threading.Event()
        thread = threading.Thread(target=stop.wait, name="lingering")
        thread.start()
        client = RawClient(server.unix_path)
        client.call("PING")
        with pytest.raises(AssertionError, match=r"file \d+.*thread lingering.*1 clients at the server"):
            leaks.assert_no_leaks(before, server, within=0.05)
        client.close()
        stop.set()
        thread.join()
        leaks.assert_no_leaks(before, server)

    def test_it_waits_for_what_is_about_to_end(self) -> None:
        before = leaks.snapshot()
        thread = threading.Timer(0.05, lambda: None)
        thread.start()
        leaks.assert_no_leaks(before)
        assert not thread.is_alive()

    @pytest.mark.asyncio
    async def test_a_task_is_named(self) -> None:
        before = leaks.snapshot()
        task = asyncio.create_task(asyncio.Event().wait(), name="forgotten")
        with pytest.raises(AssertionError, match="task forgotten"):
            await leaks.assert_no_leaks_async(before, within=0.05)
        task.cancel()
        await leaks.assert_no_leaks_async(before)

    @pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="Linux tells the peak of memory")
    def test_peak_memory(self) -> None:
        leaks.reset_peak_memory()
        before = leaks.peak_memory()
        big = bytearray(64 << 20)
        big[::4096] = b"x" * len(big[::4096])
        del big
        assert leaks.peak_memory() - before >= 60 << 20
        leaks.reset_peak_memory()
        assert leaks.peak_memory() - before < 32 << 20


def test_both_directions_are_named_alike() -> None:
    directions: tuple[Direction, ...] = ("c2s", "s2c")
    with FaultProxy("127.0.0.1", 1) as proxy:
        assert set(proxy.passed) == set(directions)
