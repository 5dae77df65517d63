"""The scripted server plays what it was given, and the raw client reads it, shown without a client of ours."""

from __future__ import annotations

import socket
import ssl
from itertools import repeat
from typing import TYPE_CHECKING

import pytest

from tests.lab import leaks
from tests.lab.scripted import HELLO_3, RESET, Scripted
from tests.lab.wire import RawClient, ReplyError, WireError, encode_command, read_to_end

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.certs import Certificates
    from tests.lab.scripted import Answer

pytestmark = pytest.mark.faults

GET = encode_command("GET", "k")


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
            assert read_to_end(client) == (b"", expected)

    @pytest.mark.parametrize(
        "greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0" * 4096, b"\x15\x03\x01\x00\x02\x02\x28"]
    )
    def test_greeting_comes_before_any_request(self, greeting: bytes) -> None:
        """C12, C17."""
        with (
            Scripted(lambda number, block: None, greeting=[greeting, None]) as server,
            RawClient(("127.0.0.1", server.port)) as client,
        ):
            assert read_to_end(client) == (greeting, "fin")

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
