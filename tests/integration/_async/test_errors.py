"""Failures of opening and of the wire, each as one error that says what, where and what to do."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import carmine
from carmine.errors import (
    ConnectFailed,
    ConnectionLost,
    ConnectTimeout,
    HandshakeFailed,
    MaxClientsError,
    Outcome,
    ProtocolError,
    ReadTimeout,
    UsageError,
    WriteTimeout,
)
from carmine.retry import Retry
from tests.integration._async.helpers import alone
from tests.lab.clock import within
from tests.lab.scripted import HELLO_3, RESET, Scripted

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration._async.conftest import Open
    from tests.lab.certs import Certificates
    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.asyncio

ONCE = Retry(1)


async def test_a_server_that_never_answers(open_client: Open) -> None:
    with Scripted(lambda number, block: b"") as server:
        client = open_client(server.url, connect_timeout=0.15, retry=ONCE)
        with within(0.15, 0.1), pytest.raises(ConnectTimeout, match="did not answer HELLO in time") as caught:
            await client.get("key")
        assert caught.value.outcome is Outcome.NOT_SENT
        assert client.pool.stats().open == 0


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "this is a web server"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "this is an SSH server"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "the server speaks TLS on this port: use rediss://"),
        (bytes(4096), "this is no Redis server"),
    ],
)
@pytest.mark.parametrize("unasked", [True, False])
async def test_what_listens_there_is_no_redis(open_client: Open, said: bytes, told: str, unasked: bool) -> None:
    greeting = said if unasked else b""
    with Scripted(lambda number, block: said, greeting=greeting) as server:
        client = open_client(server.url, connect_timeout=5, retry=ONCE)
        with pytest.raises(ProtocolError) as caught:
            await client.get("key")
        assert str(caught.value).startswith(told)
        assert str(client.options.address) in str(caught.value)
        assert len(caught.value.excerpt) <= 40


async def test_too_many_clients(open_client: Open) -> None:
    with Scripted(lambda number, block: None, greeting=[b"-ERR max number of clients reached\r\n", None]) as server:
        client = open_client(server.url, retry=ONCE)
        with pytest.raises(MaxClientsError):
            await client.get("key")
        assert client.pool.stats().open == 0


async def test_a_port_that_hangs_up(open_client: Open) -> None:
    with Scripted(lambda number, block: None) as server:
        client = open_client(server.url, retry=ONCE)
        with pytest.raises(ConnectionLost, match="rediss://"):
            await client.get("key")


async def test_a_name_that_does_not_exist(open_client: Open) -> None:
    client = open_client("redis://no-such-host.invalid", retry=ONCE)
    with pytest.raises(ConnectFailed, match=r"could not be looked up.*no-such-host\.invalid"):
        await client.get("key")


def resolver(*targets: tuple[str, int]) -> Any:
    """Return a getaddrinfo that knows these addresses for every name."""

    def look_up(host: Any, port: Any, *args: Any, **options: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", target) for target in targets]

    return look_up


async def test_every_address_of_a_name_is_tried(
    open_client: Open, server: RedisServer, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.refuse()
    assert server.port is not None
    dead, live = ("127.0.0.1", proxy.port), ("127.0.0.1", server.port)
    client = open_client("redis://a-name:1", retry=ONCE)
    monkeypatch.setattr(socket, "getaddrinfo", resolver(dead, live))
    assert await client.echo("x") == "x"
    await alone(client, "SELECT", 0)  # so that it is closed at the end
    monkeypatch.setattr(socket, "getaddrinfo", resolver(dead))  # asked anew for each connection
    with pytest.raises(ConnectFailed, match="Connection refused"):
        await alone(client, "ECHO", "x")
    monkeypatch.setattr(socket, "getaddrinfo", resolver())
    with pytest.raises(ConnectFailed, match="no address"):
        await alone(client, "ECHO", "x")


async def test_a_resolver_that_hangs(open_client: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    may_go_on = threading.Event()

    def hang(*args: Any, **options: Any) -> list[Any]:
        may_go_on.wait(20)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    client = open_client("redis://a-name:1", connect_timeout=0.1, retry=ONCE)
    try:
        with within(0.1), pytest.raises(ConnectTimeout, match="looked up in time"):
            await client.echo("x")
        assert client.pool.stats().open == 0
    finally:
        may_go_on.set()


async def test_a_unix_socket_that_does_not_exist(open_client: Open, tmp_path: Path) -> None:
    client = open_client(f"unix://{tmp_path}/none.sock", retry=ONCE)
    with pytest.raises(ConnectFailed, match="No such file"):
        await client.get("key")


async def test_a_server_of_resp2_alone(open_client: Open) -> None:
    table = {b"HELLO": b"-ERR unknown command 'HELLO'\r\n", b"GET": b"$1\r\nv\r\n"}
    with Scripted.replies(table, hello=table[b"HELLO"]) as server:
        client = open_client(server.url, protocol=None, pool_size=1)
        assert await client.get("key") == "v"
        async with client.connection() as connection:
            assert connection.protocol == 2
            connection_closed = connection._held()
            connection_closed.close()
        assert await client.get("key") == "v"
        assert sum(words[0] == b"HELLO" for _, words in server.commands) == 1, "what it does not know was asked again"
        strict = open_client(server.url, protocol=3, retry=ONCE)
        with pytest.raises(HandshakeFailed, match="no HELLO 3"):
            await strict.get("key")


async def test_a_connection_cut_in_a_reply(open_client: Open, proxy: FaultProxy, server: RedisServer) -> None:
    client = open_client(proxy.url(server.url), retry=ONCE)
    await client.set("key", "v" * 1000)
    for mode in ("fin", "rst"):
        await client.echo("warm")
        proxy.mark()
        proxy.cut_mode = mode
        proxy.cut_after["s2c"] = 500
        with pytest.raises(ConnectionLost) as caught:
            await client.get("key")
        assert caught.value.outcome is Outcome.UNKNOWN
        assert caught.value.address == str(client.options.address)
        proxy.heal()
        assert await client.get("key") == "v" * 1000


async def test_a_reset(open_client: Open) -> None:
    with Scripted.replies({b"GET": RESET}) as server:
        client = open_client(server.url, protocol=3, retry=ONCE)
        with pytest.raises(ConnectionLost, match="reset"):
            await client.get("key")


async def test_a_reply_in_drips_is_ended_by_the_whole_deadline(
    open_client: Open, proxy: FaultProxy, server: RedisServer
) -> None:
    client = open_client(proxy.url(server.url), read_timeout=0.3, retry=ONCE)
    await client.set("key", "v" * 1000)
    proxy.chunk["s2c"], proxy.pace["s2c"] = 1, 0.05
    began = time.monotonic()
    with pytest.raises(ReadTimeout, match="received"):
        await client.get("key")
    assert time.monotonic() - began < 0.55


async def test_a_peer_that_takes_nothing(open_client: Open, proxy: FaultProxy, server: RedisServer) -> None:
    client = open_client(proxy.url(server.url), read_timeout=0.3, retry=ONCE)
    await client.echo("warm")
    proxy.hold("c2s")
    with pytest.raises(WriteTimeout) as caught:
        await client.set("key", b"x" * 50_000_000)
    assert caught.value.outcome is Outcome.UNKNOWN
    proxy.heal()
    assert await client.exists("key") == 0


@pytest.mark.parametrize("when", ["idle", "with the reply"])
async def test_a_reply_nobody_asked_for(open_client: Open, when: str) -> None:
    answers = {b"GET": b"$1\r\nv\r\n" + (b"+STALE\r\n" if when == "with the reply" else b""), b"ECHO": b"+echo\r\n"}
    with Scripted.replies(answers) as server:
        client = open_client(server.url, protocol=3, retry=ONCE)
        if when == "idle":
            assert await client.get("key") == "v"
            server.send_now(b"+STALE\r\n")
            time.sleep(0.02)  # noqa: ASYNC251 - the loop is to be taken by surprise, with the bytes in the kernel
        else:
            with pytest.raises(ConnectionLost, match="out of step"):
                await client.get("key")
        assert await client.echo("echo") == "echo"
        assert server.accepted == 2, "the connection was kept"


async def test_a_push_is_no_reply(open_client: Open) -> None:
    push = b">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n"
    with Scripted.replies({b"GET": push + b"$1\r\nv\r\n" + push + push[:7]}) as server:
        client = open_client(server.url, protocol=3, retry=ONCE)
        for _ in range(3):
            async with client.connection() as connection:
                held = connection._held()
                assert await connection.get("key") == "v"
                assert await held.next_push(0.01) == ["invalidate", ["k"]]
                assert await held.next_push(0.01) == ["invalidate", ["k"]]
                server.send_now(push[7:])
                assert await held.next_push(5) == ["invalidate", ["k"]]
        assert server.accepted == 1


async def test_credentials_are_asked_for_each_connection(make_server: Any, open_client: Open) -> None:
    server = make_server(password="p1")
    asked: list[int] = []

    def provide() -> tuple[str, str]:
        asked.append(1)
        return "default", "p1"

    client = open_client(f"redis://127.0.0.1:{server.port}", credentials=provide)
    async with client.connection(), client.connection():
        assert len(asked) == 2

    def fails() -> tuple[str, str]:
        raise KeyError("vault-canary")

    client = open_client(f"redis://127.0.0.1:{server.port}", credentials=fails, retry=ONCE)
    with pytest.raises(HandshakeFailed) as caught:
        await client.get("key")
    assert "canary" not in str(caught.value)
    assert isinstance(caught.value.__cause__, KeyError)


async def test_on_connect_is_called_with_each_connection(open_client: Open) -> None:
    seen: list[str] = []
    client = open_client(on_connect=lambda connection: seen.append(str(connection.address)))
    async with client.connection(), client.connection():
        assert seen == [str(client.options.address)] * 2

    def fails(connection: object) -> None:
        raise ZeroDivisionError

    client = open_client(on_connect=fails)
    with pytest.raises(ZeroDivisionError):
        await client.get("key")
    assert client.pool.stats().open == 0


@pytest.mark.tls
async def test_tls(open_client: Open, certs: Certificates) -> None:
    with Scripted.replies(
        {b"GET": b"$100000\r\n" + b"v" * 100_000 + b"\r\n"}, tls=certs.server_context(certs.good)
    ) as server:
        client = open_client(server.url, protocol=3, ca_certs=certs.ca)
        for _ in range(3):
            assert await client.get("key") == "v" * 100_000
        async with client.pipeline() as pipeline:
            for _ in range(20):
                pipeline.get("key")
        assert set(pipeline.replies) == {"v" * 100_000}
        assert server.accepted == 1


@pytest.mark.tls
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("wronghost", "was not issued for '127.0.0.1'"),
        ("expired", "it has expired"),
        ("selfsigned", "it is self-signed"),
        ("stranger", "its issuer is not known here"),
    ],
)
async def test_certificates_that_are_not_accepted(open_client: Open, certs: Certificates, name: str, told: str) -> None:
    with Scripted.replies({}, tls=certs.server_context(getattr(certs, name))) as server:
        client = open_client(server.url, ca_certs=certs.ca, retry=ONCE)
        with pytest.raises(ConnectFailed, match=told):
            await client.get("key")
        assert server.commands == []


@pytest.mark.tls
async def test_tls_to_a_plain_port(open_client: Open, server: RedisServer, certs: Certificates) -> None:
    client = open_client(f"rediss://127.0.0.1:{server.port}", ca_certs=certs.ca, connect_timeout=0.3, retry=ONCE)
    began = time.monotonic()
    with pytest.raises((ConnectTimeout, ConnectFailed), match="does not speak TLS"):
        await client.get("key")
    assert time.monotonic() - began < 0.55


@pytest.mark.tls
async def test_plain_to_a_tls_port(open_client: Open, certs: Certificates) -> None:
    with Scripted(lambda number, block: b"", tls=certs.server_context(certs.good)) as server:
        client = open_client(f"redis://127.0.0.1:{server.port}", retry=ONCE)
        with pytest.raises((ConnectionLost, ProtocolError), match="rediss://"):
            await client.get("key")


async def test_a_socket_factory(open_client: Open, server: RedisServer) -> None:
    def dial(address: carmine.Address, timeout: float) -> socket.socket:
        return socket.create_connection((address.host, address.port), timeout)

    client = open_client(socket_factory=dial)
    assert await client.echo("x") == "x"

    def fails(address: carmine.Address, timeout: float) -> socket.socket:
        raise ConnectionRefusedError

    client = open_client(socket_factory=fails, retry=ONCE)
    with pytest.raises(ConnectFailed, match="socket_factory raised ConnectionRefusedError"):
        await client.get("key")


async def test_wrong_options_are_refused_at_once(url: str) -> None:
    with pytest.raises(UsageError, match="did you mean pool_size"):
        carmine.Options.build(url, pool_sise=1)  # type: ignore[call-arg]  # which is the point
    assert HELLO_3.startswith(b"%7")
