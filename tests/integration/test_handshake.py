"""The handshake (D9): one flight, its fallbacks, what a server may refuse, and what is remembered.

Writes are counted by a socket that a `socket_factory` gives: whatever the twin, every write then goes through it.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

import carmine
from carmine.errors import HandshakeFailed
from carmine.retry import Retry
from tests.lab.scripted import HELLO_3, Scripted
from tests.lab.servers import wait_until
from tests.lab.wire import parse_commands

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

NO_HELLO = b"-ERR unknown command `HELLO`, with args beginning with: `3`, \r\n"
ALL = {"username": "ann", "password": "pw", "client_name": "me", "db": 3}


class Counted(socket.socket):
    """A socket that counts the bytes of each write."""

    writes: list[int]

    def send(self, data: Any, flags: int = 0) -> int:
        count = super().send(data, flags)
        self.writes.append(count)
        return count


@pytest.fixture
def sockets() -> list[Counted]:
    return []


@pytest.fixture
def factory(sockets: list[Counted]) -> Callable[..., socket.socket]:
    """Give a socket_factory whose sockets are counted ones, kept in `sockets`."""

    def make(address: Any, timeout: float) -> socket.socket:
        sock = Counted(socket.AF_INET, socket.SOCK_STREAM)
        sock.writes = []
        sock.settimeout(timeout)
        sock.connect((address.host, address.port))
        sockets.append(sock)
        return sock

    return make


def names(commands: list[list[bytes]]) -> list[str]:
    """Name commands, those of CLIENT by two words."""
    return [b" ".join(words[: 2 if words[0] == b"CLIENT" else 1]).decode() for words in commands]


# One flight. ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "flight"),
    [
        ({}, ["HELLO", "CLIENT SETINFO", "CLIENT SETINFO"]),
        ({"db": 3}, ["HELLO", "CLIENT SETINFO", "CLIENT SETINFO", "SELECT"]),
        (ALL, ["HELLO", "CLIENT SETINFO", "CLIENT SETINFO", "SELECT"]),
        ({"protocol": 2}, ["CLIENT SETINFO", "CLIENT SETINFO"]),
        ({**ALL, "protocol": 2}, ["AUTH", "CLIENT SETNAME", "CLIENT SETINFO", "CLIENT SETINFO", "SELECT"]),
    ],
)
def test_everything_goes_out_in_one_write_before_anything_comes_back(
    factory: Any, sockets: list[Counted], options: dict[str, Any], flight: list[str]
) -> None:
    """The server answers nothing until it has the last command: whoever waited for HELLO would wait in vain."""

    def play(number: int, block: bytes) -> bytes:
        commands = parse_commands(scripted.received[number])[0]
        if names(commands) == flight:
            return b"".join(HELLO_3 if name == "HELLO" else b"+OK\r\n" for name in flight)
        return b"+PONG\r\n" if names(commands) == [*flight, "PING"] else b""

    with Scripted(play) as scripted:
        with carmine.Client(scripted.url, socket_factory=factory, connect_timeout=2, **{"db": 0, **options}) as client:
            assert client.ping() is True
        (sock,) = sockets
        assert len(sock.writes) == 2  # the handshake and PING
        assert sock.writes[0] == len(scripted.received[1]) - sock.writes[1]
        scripted.check()


def test_what_is_said(protocol: Any) -> None:
    seen: dict[bytes, list[list[bytes]]] = {}

    def note(words: list[bytes]) -> bytes:
        seen.setdefault(words[0], []).append(words[1:])
        return HELLO_3 if words[0] == b"HELLO" else b"+OK\r\n"

    table: dict[bytes, Any] = dict.fromkeys((b"AUTH", b"CLIENT", b"SELECT"), note)
    with Scripted.replies({**table, b"PING": b"+PONG\r\n"}, hello=note) as scripted:
        options: dict[str, Any] = ALL
        with carmine.Client(scripted.url.replace("/0", ""), protocol=protocol, **options) as client:
            client.ping()
    info = [[b"SETINFO", b"LIB-NAME", b"carmine"], [b"SETINFO", b"LIB-VER", carmine.__version__.encode()]]
    if protocol == 3:
        assert seen == {
            b"HELLO": [[b"3", b"AUTH", b"ann", b"pw", b"SETNAME", b"me"]],
            b"CLIENT": info,
            b"SELECT": [[b"3"]],
        }
    else:
        assert seen == {b"AUTH": [[b"ann", b"pw"]], b"CLIENT": [[b"SETNAME", b"me"], *info], b"SELECT": [[b"3"]]}


def test_on_a_real_server(server: RedisServer, protocol: Any, factory: Any, sockets: list[Counted]) -> None:
    server.call("ACL", "SETUSER", "ann", "on", ">pw", "~*", "+@all")
    options: dict[str, Any] = {**ALL, "protocol": protocol, "socket_factory": factory}
    with carmine.Client(server.url.removesuffix("/0"), **options) as client, client.connection() as connection:
        assert connection.protocol == protocol
        assert connection.execute("ACL", "WHOAMI") == "ann"
        assert connection.execute("CLIENT", "GETNAME") == "me"
        connection.set("k", "in database 3")
        (seen,) = server.clients()
        assert (seen["db"], seen["name"], seen["user"]) == ("3", "me", "ann")
        if "resp" in seen:
            assert seen["resp"] == str(protocol)
        if "lib-name" in seen:
            assert (seen["lib-name"], seen["lib-ver"]) == ("carmine", carmine.__version__)
        info = connection.server_info
        assert info.get("proto") == (3 if protocol == 3 else None)
        assert (info.get("role") == "master") is (protocol == 3)
    assert server.call("EXISTS", "k") == 0
    assert sockets[0].writes[0] > 100


# What a managed server refuses. --------------------------------------------------------------------------------------

REFUSALS = [
    b"-ERR unknown command 'CLIENT'\r\n",
    b"-ERR unknown subcommand 'SETINFO'. Try CLIENT HELP.\r\n",
    b"-ERR Unknown subcommand or wrong number of arguments for 'SETNAME'. Try CLIENT HELP.\r\n",
    b"-NOPERM this user has no permissions to run the 'client|setinfo' command\r\n",
    b"-ERR unsupported command\r\n",
]


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refused_name_or_library_is_no_error(protocol: Any, refusal: bytes) -> None:
    table: dict[bytes, Any] = {b"CLIENT": refusal, b"CONFIG": refusal, b"GET": b"$1\r\nv\r\n"}
    with Scripted.replies(table) as scripted:
        with carmine.Client(scripted.url, protocol=protocol, client_name="me") as client:
            assert [client.get("k") for _ in range(3)] == ["v"] * 3
            assert client.pool.stats().opened == 1
        assert b"CONFIG" not in [words[0] for _, words in scripted.commands]


def test_a_user_that_may_do_nothing_about_connections(server: RedisServer, protocol: Any) -> None:
    """A real server that refuses CLIENT and CONFIG to this user."""
    server.call("ACL", "SETUSER", "managed", "on", ">pw", "~*", "+@all", "-client", "-config")
    with carmine.Client(server.url, protocol=protocol, username="managed", password="pw", client_name="me") as client:
        assert client.set("k", "v") is True
        assert client.get("k") == "v"
        with pytest.raises(carmine.NoPermissionError):
            client.config_get("maxmemory")


def test_a_hello_that_refuses_the_name_is_told(protocol: Any) -> None:
    """SETNAME stands inside HELLO: a server that dislikes it refuses the whole, and the error says so."""
    hello = b"-ERR Client names cannot contain spaces, newlines or special characters.\r\n"
    with Scripted.replies({}, hello=hello) as scripted:
        refused = pytest.raises(HandshakeFailed, match=r"^the server refused HELLO: ERR Client names")
        with carmine.Client(scripted.url, client_name="me") as client, refused as caught:
            client.ping()
        assert str(caught.value).count(f"[127.0.0.1:{scripted.port}]") == 1
        assert scripted.accepted == 1


# Fallback and memory. ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hello", [NO_HELLO, b"-NOPROTO unsupported protocol version\r\n"])
def test_the_fallback_costs_one_round_trip_once(factory: Any, sockets: list[Counted], hello: bytes) -> None:
    """The first connection asks for HELLO and is told no; those that follow know."""
    with Scripted.replies({b"GET": b"$1\r\nv\r\n"}, hello=hello) as scripted:
        with carmine.Client(scripted.url, socket_factory=factory, retry=Retry(1)) as client:
            assert client.get("k") == "v"
            assert len(sockets[0].writes) == 3  # HELLO's flight, AUTH's, GET
            with client.connection() as one, client.connection() as two:
                assert (one.protocol, two.protocol) == (2, 2)
            assert scripted.accepted == 2
            assert [words[0] for number, words in scripted.commands if number == 1].count(b"HELLO") == 1
            assert [words[0] for number, words in scripted.commands if number == 2].count(b"HELLO") == 0
        with carmine.Client(scripted.url) as another:  # what one client learned is its own
            another.get("k")
        assert [words[0] for number, words in scripted.commands if number == 3].count(b"HELLO") == 1


def test_resp2_that_was_asked_for_never_says_hello(url: str, proxy: FaultProxy) -> None:
    with carmine.Client(proxy.url(url), protocol=2) as client:
        client.ping()
        assert "HELLO" not in names(proxy.commands())


def test_replies_are_the_same_after_a_fallback(server: RedisServer) -> None:
    """RESP2's shapes, RESP3's values."""
    with carmine.Client(server.url, protocol=3) as new, carmine.Client(server.url, protocol=2) as old:
        new.hset("h", mapping={"a": "1", "b": "2"})
        new.zadd("z", {"m": 1.5})
        new.sadd("s", "x")
        for call in (
            lambda client: client.hgetall("h"),
            lambda client: client.zscore("z", "m"),
            lambda client: client.smembers("s"),
            lambda client: client.get("none"),
            lambda client: client.config_get("maxmemory"),
        ):
            assert call(new) == call(old)  # type: ignore[no-untyped-call]


# After a reconnect. --------------------------------------------------------------------------------------------------


def test_each_new_connection_says_it_all_again(server: RedisServer, proxy: FaultProxy, protocol: Any) -> None:
    """C25 as the handshake sees it: database, user and name are those of the options after every loss."""
    server.call("ACL", "SETUSER", "ann", "on", ">pw", "~*", "+@all")
    options: dict[str, Any] = {**ALL, "protocol": protocol}
    with carmine.Client(proxy.url(server.url).removesuffix("/0"), **options) as client:
        for number in range(1, 6):
            with client.connection() as connection:
                assert connection.execute("ACL", "WHOAMI") == "ann"
                assert connection.execute("CLIENT", "GETNAME") == "me"
                assert connection.incr("n") == number
            proxy.kill("rst")
            proxy.wait_open(0)
            idle = client.pool.idle[0]
            wait_until(lambda idle=idle: idle.idle_for > 0.002, "idleness")  # type: ignore[misc]
        assert proxy.accepted >= 5
    assert server.call("EXISTS", "n") == 0  # nothing reached database 0


def test_a_push_in_the_middle_of_the_handshake(protocol: Any) -> None:
    """Pushes are no replies, not even before the first one."""
    hello = b">2\r\n+invalidate\r\n*1\r\n$1\r\nx\r\n" + HELLO_3
    with Scripted.replies({b"GET": b"$1\r\nv\r\n"}, hello=hello) as scripted, carmine.Client(scripted.url) as client:
        assert client.get("k") == "v"
        assert client.pool.stats().opened == 1


@pytest.mark.parametrize("extra", [b"+STALE\r\n", b"$5\r\nSTALE\r\n", b":1\r\n"])
def test_a_reply_too_many_ends_the_connection(protocol: Any, extra: bytes) -> None:
    """Whatever follows the handshake's last reply would answer the first command: that connection is not used."""
    count = {"n": 0}

    def play(number: int, block: bytes) -> bytes:
        commands = names(parse_commands(scripted.received[number])[0])
        if commands[-1] == "CLIENT SETINFO":
            head = b"" if protocol == 2 else HELLO_3
            count["n"] += 1
            return head + b"+OK\r\n+OK\r\n" + (extra if count["n"] == 1 else b"")
        return b"$5\r\nright\r\n"

    with Scripted(play) as scripted:
        with carmine.Client(scripted.url, protocol=protocol, retry=Retry(3, base=0.001)) as client:
            assert client.get("k") == "right"
        assert scripted.accepted == 2
