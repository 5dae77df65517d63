"""What a newcomer gets wrong, each answered at once by one clear sentence: what happened, where, what to do.

The sentences are asserted whole, with the address put in: a change of wording is a decision, not an accident.
"""

from __future__ import annotations

import re
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest

import carmine
from carmine.errors import (
    AuthError,
    ConnectFailed,
    ConnectionLost,
    DecodeError,
    NetworkError,
    Outcome,
    PoolClosed,
    PoolTimeout,
    ProtocolError,
    UsageError,
)
from tests.lab.clock import within
from tests.lab.scripted import Scripted

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Iterator

    from tests.lab.certs import Certificates
    from tests.lab.servers import RedisServer

ESCAPE = "inside a user name, a password or a value write @ as %40, / as %2F, ? as %3F, # as %23 and % as %25"
KINDS = "redis, rediss, valkey, valkeys and unix"


@pytest.fixture
def client(url: str, protocol: Any) -> Iterator[carmine.Client[str]]:
    with carmine.Client(url, protocol=protocol) as made:
        yield made


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("", f"a URL begins with its scheme, as in redis://127.0.0.1:6379/0 or unix:///run/redis.sock ({KINDS} exist)"),
        ("localhost:6379",
         f"a URL begins with its scheme, as in redis://127.0.0.1:6379/0 or unix:///run/redis.sock ({KINDS} exist)"),
        ("http://127.0.0.1:6379", f"the URL's scheme 'http' is not known; {KINDS} exist"),
        ("redis://", "the URL names no host; write one, as in redis://127.0.0.1:6379/0"),
        ("redis://h:0", f"the URL's port must be a number between 1 and 65535; {ESCAPE}"),
        ("redis://h:70000", f"the URL's port must be a number between 1 and 65535; {ESCAPE}"),
        ("redis://h/first", f"the URL's path must be the number of a database, as in /0; {ESCAPE}"),
        ("redis://h/0?pol_size=3", "unknown option 'pol_size'; did you mean pool_size?"),
        ("redis://h/0?pool_size=many", "pool_size in the URL must be a whole number of 0 or more"),
        ("redis://h/0?insecure_skip_verify=true",
         "insecure_skip_verify cannot stand in a URL: give it as a keyword argument"),
        ("unix://run/redis.sock",
         "a unix URL has three slashes and an absolute path, as in unix:///run/redis.sock"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("make", [carmine.connect, carmine.Client])
def test_a_wrong_url(make: Callable[[str], object], url: str, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        make(url)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("url", [None, 6379, b"redis://127.0.0.1", ("127.0.0.1", 6379)])
def test_a_url_that_is_no_text(url: Any) -> None:
    with pytest.raises(UsageError, match=r"^a URL must be a str, not \w+$"):
        carmine.connect(url)


def test_a_misspelt_option() -> None:
    with pytest.raises(UsageError) as caught:
        carmine.connect("redis://127.0.0.1", read_timeot=3)  # type: ignore[call-overload]  # the mistake under test
    assert str(caught.value) == "unknown option 'read_timeot'; did you mean read_timeout?"


@pytest.mark.parametrize("userinfo", [":wrong@", "nobody:wrong@", ""])
def test_a_wrong_password(make_server: Callable[..., RedisServer], protocol: Any, userinfo: str) -> None:
    server = make_server(password="right")
    url = f"redis://{userinfo}127.0.0.1:{server.port}/0"
    with carmine.connect(url, protocol=protocol) as client, pytest.raises(AuthError) as caught:
        client.ping()
    message = str(caught.value)
    if userinfo:
        command = "HELLO" if protocol == 3 else "AUTH"
        assert message.startswith("WRONGPASS ")
        assert message.endswith(f" ({command}) [127.0.0.1:{server.port}]")
    else:
        command = "HELLO" if protocol == 3 else "PING"
        assert message.startswith("NOAUTH ")
        assert message.endswith(f"; give user:password@ in the URL, or password= ({command}) [127.0.0.1:{server.port}]")
    assert "wrong" not in message.lower().replace("wrongpass", "")


def test_a_wrong_port() -> None:
    port = free_port()
    with (
        carmine.connect(f"redis://127.0.0.1:{port}", retry=carmine.Retry(1)) as client,
        pytest.raises(ConnectFailed) as caught,
    ):
        client.get("k")
    assert str(caught.value) == (
        f"no connection: Connection refused; is the server running, and is this its port? [127.0.0.1:{port}] (not sent)"
    )
    assert caught.value.outcome is Outcome.NOT_SENT


def test_a_wrong_socket_path(tmp_path: Any) -> None:
    path = f"{tmp_path}/none.sock"
    with carmine.connect(f"unix://{path}") as client, pytest.raises(ConnectFailed) as caught:
        client.get("k")
    assert str(caught.value) == f"no connection: No such file or directory [unix:{path}] (not sent)"


def test_a_wrong_host(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: object, **kwargs: object) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with (
        carmine.connect("redis://nowhere.example", retry=carmine.Retry(1)) as client,
        pytest.raises(ConnectFailed) as caught,
    ):
        client.get("k")
    assert str(caught.value) == (
        "the host name could not be looked up: Name or service not known [nowhere.example:6379] (not sent)"
    )


def test_tls_to_a_plain_port(server: RedisServer) -> None:
    """A real server says nothing to a TLS greeting: the time allowed for connecting ends it (C11)."""
    url = f"rediss://127.0.0.1:{server.port}/0"
    with (
        carmine.connect(url, connect_timeout=0.3, retry=carmine.Retry(1)) as client,
        within(0.3, at_least=0.3),
        pytest.raises(NetworkError) as caught,
    ):
        client.ping()
    assert "does not speak TLS on this port" in str(caught.value)
    assert str(caught.value).endswith(f"[127.0.0.1:{server.port}] (not sent)")


def test_tls_to_a_server_that_answers_in_plain_text() -> None:
    with (
        Scripted(lambda number, block: b"-ERR Protocol error\r\n") as server,
        carmine.connect(f"rediss://127.0.0.1:{server.port}", retry=carmine.Retry(1)) as client,
        pytest.raises(ConnectFailed) as caught,
    ):
        client.ping()
    assert str(caught.value) == (
        f"the server does not speak TLS on this port: use redis:// or its TLS port [127.0.0.1:{server.port}] (not sent)"
    )


@pytest.mark.tls
def test_a_plain_client_on_a_tls_port(certs: Certificates, protocol: Any) -> None:
    context = certs.server_context(certs.good)
    with (
        Scripted(lambda number, block: b"", tls=context) as server,
        carmine.connect(f"redis://127.0.0.1:{server.port}", protocol=protocol, retry=carmine.Retry(1)) as client,
        pytest.raises((ConnectionLost, ProtocolError)) as caught,
    ):
        client.ping()
    assert "use rediss://" in str(caught.value)
    assert f"127.0.0.1:{server.port}" in str(caught.value)
    assert isinstance(server.errors[0], ssl.SSLError)


@pytest.mark.parametrize(
    ("greeting", "sentence"),
    [
        (b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n", "this is a web server; "),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "this is an SSH server; "),
        (b"\x15\x03\x01\x00\x02\x02\x46", "the server speaks TLS on this port: use rediss://; "),
        (b"220 mail.example ESMTP\r\n", "this is no Redis server; "),
        (b"\0" * 4096, "this is no Redis server; "),
    ],
)
def test_a_server_that_is_no_redis(greeting: bytes, sentence: str, protocol: Any) -> None:
    with (
        Scripted(lambda number, block: b"", greeting=greeting) as server,
        carmine.connect(f"redis://127.0.0.1:{server.port}", protocol=protocol, retry=carmine.Retry(1)) as client,
        pytest.raises(ProtocolError) as caught,
    ):
        client.ping()
    message = str(caught.value)
    assert message.startswith(sentence)
    assert f"from 127.0.0.1:{server.port}" in message
    assert len(caught.value.excerpt) <= 40
    assert message.isprintable()


NONE = "None is no command argument; send the string or number that it shall stand for"
BOOL = "True is no command argument; send the string or number that it shall stand for"
OTHER = "a {} is no command argument; send str, bytes, int or float, or give the client a serializer"
SEVERAL = "a {} is no command argument; pass several as separate arguments (*values), or give the client a serializer"


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (None, NONE),
        (True, BOOL),
        ({"a": 1}, OTHER.format("dict")),
        ([1, 2], SEVERAL.format("list")),
        ((1, 2), SEVERAL.format("tuple")),
        ({1, 2}, SEVERAL.format("set")),
        (object(), OTHER.format("object")),
        (float("nan"), "nan is no command argument; Redis stores no such number"),
        (1 << 64, "an int of more than 64 bits is no command argument; send str(...) of it"),
        ("\ud800", "a str with a lone surrogate is no command argument; it has no UTF-8 form"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_that_cannot_be_sent(client: carmine.Client[str], value: Any, sentence: str) -> None:
    for refused in (
        lambda: client.set("k", value),
        lambda: client.get(value),
        lambda: client.execute("SET", "k", value),
        lambda: client.rpush("list", "first", value),
        lambda: client.mget(value),
    ):
        with pytest.raises(UsageError) as caught:
            refused()
        assert str(caught.value) == sentence

    def in_a_pipeline() -> None:
        with client.pipeline() as pipe:
            pipe.set("before", "x")
            pipe.set("k", value)

    with pytest.raises(UsageError) as caught:
        in_a_pipeline()
    assert str(caught.value) == sentence
    assert client.dbsize() == 0, "nothing of a pipeline with a bad word may be sent"


def test_a_closed_client(url: str) -> None:
    client = carmine.connect(url)
    assert client.ping() is True
    client.close()
    client.close()
    where = f"127.0.0.1:{url.rpartition(':')[2].partition('/')[0]}"

    def in_a_pipeline() -> None:
        with client.pipeline() as pipe:
            pipe.ping()

    def in_a_transaction() -> None:
        with client.transaction() as tx:
            tx.set("k", 1)

    def on_a_connection() -> None:
        with client.connection() as connection:
            connection.ping()

    calls: list[Callable[[], object]] = [
        client.ping,
        lambda: client.execute("PING"),
        lambda: client.blpop("k", timeout=1),
        in_a_pipeline,
        in_a_transaction,
        on_a_connection,
    ]
    for call in calls:
        with pytest.raises(PoolClosed) as caught:
            call()
        assert str(caught.value) == f"this client of {where} is closed; make a new one"


def test_a_closed_client_of_a_shared_pool(url: str, server: RedisServer) -> None:
    """Closing one of two clients closes that one alone, and all of it."""
    with carmine.connect(url) as first:
        second = carmine.Client(pool=first.pool)
        assert second.ping() is True
        second.close()
        assert first.ping() is True

        def in_a_pipeline() -> None:
            with second.pipeline() as pipe:
                pipe.set("k", "v")

        for call in (second.ping, in_a_pipeline, lambda: second.connection().__enter__()):
            with pytest.raises(PoolClosed, match=r"^this client of .* is closed; make a new one$"):
                call()
        assert server.call("EXISTS", "k") == 0


def test_an_exhausted_pool(url: str, stack: contextlib.ExitStack) -> None:
    client = stack.enter_context(carmine.connect(url, pool_size=2, pool_timeout=0.5))
    stack.enter_context(client.connection())
    stack.enter_context(client.connection())
    with pytest.raises(PoolTimeout) as caught:
        client.ping()
    where = client.options.address
    held = "a pinned connection in thread 'MainThread'"
    assert re.fullmatch(
        rf"no connection to {where} became free within 0\.5\d* s: 2 of 2 are in use, 0 callers wait; "
        rf"held by: {held}, {held}; give connections back sooner or raise pool_size",
        str(caught.value),
    )
    assert isinstance(caught.value, TimeoutError)


@pytest.mark.parametrize(
    "words",
    [("SELECT", 3), ("select", b"3"), (b"Select", "3"), (bytearray(b"SELECT"), 3)],
)
def test_select_on_a_client(client: carmine.Client[str], words: tuple[Any, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        client.execute(*words)
    assert str(caught.value) == (
        "SELECT changes the state of one connection, and a client has many; use it on "
        "`with client.connection() as connection:`, or set what you need as an option of the client"
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), 'a command begins with its name, as str or bytes, such as execute("GET", key)'),
        ((None,), 'a command begins with its name, as str or bytes, such as execute("GET", key)'),
        (("CONFIG GET", "maxmemory"),
         "a command's name is one word without spaces; give a name of two words as two: "
         'execute("CONFIG", "GET", "maxmemory")'),
        (("GET\r\nQUIT", "k"),
         "a command's name is one word without spaces; give a name of two words as two: "
         'execute("CONFIG", "GET", "maxmemory")'),
        (("MONITOR",), "MONITOR is refused: it turns the connection into a stream; use client.monitor()"),
        (("SUBSCRIBE", "c"),
         "SUBSCRIBE turns its connection into a stream of messages; use client.pubsub()"),
    ],
)  # fmt: skip
def test_words_that_are_no_command_for_a_client(
    client: carmine.Client[str], words: tuple[Any, ...], sentence: str
) -> None:
    with pytest.raises(UsageError) as caught:
        client.execute(*words)
    assert str(caught.value) == sentence


def test_a_value_that_is_not_utf8(client: carmine.Client[str]) -> None:
    client.set("k", b"\xff\xfe")
    client.set("text", "plain")
    with pytest.raises(DecodeError) as caught:
        client.get("k")
    assert str(caught.value) == (
        "a string of 2 bytes in this reply is not UTF-8; read it through client.binary, "
        "or make the client with decode=False"
    )
    assert caught.value.data == b"\xff\xfe"
    assert client.get("text") == "plain"  # of that reply alone
    assert client.binary.get("k") == b"\xff\xfe"
    with client.pipeline(raise_errors=False) as pipe:
        replies = [pipe.get("text"), pipe.get("k"), pipe.get("text")]
    assert (replies[0].value, replies[2].value) == ("plain", "plain")
    assert isinstance(replies[1].error, DecodeError)
    assert client.pool.stats().opened == 1


def test_blocks_used_outside_and_twice(client: carmine.Client[str]) -> None:
    connection = client.connection()
    with pytest.raises(UsageError, match=r"^a pinned connection lives in its block: "):
        connection.ping()
    with connection, pytest.raises(UsageError, match=r"^this pinned connection is in use already; "):
        connection.__enter__()
    with pytest.raises(UsageError, match=r"^a pinned connection lives in its block: "):
        connection.ping()
    pipe = client.pipeline()
    with pipe, pytest.raises(UsageError, match=r"^this pipeline is in use already; "):
        pipe.__enter__()
    with client.pipeline() as pipe:
        reply = pipe.ping()
        with pytest.raises(UsageError) as caught:
            _ = reply.value
    assert str(caught.value) == "the reply of PING is not here yet; it comes when the pipeline is sent"
    assert reply.value is True
    with client.transaction("k") as tx:
        pass
    with pytest.raises(UsageError, match=r"^a transaction lives in its block: "):
        tx.now.get("k")
    assert client.pool.stats().in_use == 0
