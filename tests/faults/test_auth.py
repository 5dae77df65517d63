"""Passwords, their rotation, permissions, databases, servers without HELLO (FAULTS.md T01 to T06, SECURITY.md S-07)."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

import pytest

from carmine.errors import (
    AuthError,
    ConnectionLost,
    ConnectTimeout,
    ExecAbortError,
    HandshakeFailed,
    LoadingError,
    NetworkError,
    NoPermissionError,
    Outcome,
    PipelineError,
    ServerError,
)
from carmine.retry import Retry
from tests.lab.proxy import FaultProxy
from tests.lab.scripted import HELLO_3, Scripted

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable

    from tests.faults.invariants import MakeClient
    from tests.lab.servers import RedisServer

pytest_plugins = ["tests.faults.invariants"]
pytestmark = pytest.mark.faults

QUICK: Final = Retry(5, base=0.001)
RIGHT, WRONG, NEW = "right-9f31", "wrong-9f32", "new-9f33"


@pytest.fixture
def guarded(make_server: Callable[..., RedisServer]) -> RedisServer:
    return make_server(password=RIGHT, users={"ann": f"on >{RIGHT} ~* &* +@all"})


def _front(server: RedisServer, stack: contextlib.ExitStack) -> FaultProxy:
    assert server.port is not None
    return stack.enter_context(FaultProxy("127.0.0.1", server.port, record=True))


def _url(proxy: FaultProxy) -> str:
    return f"redis://127.0.0.1:{proxy.port}/0"


# T01. ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("login", "code"),
    [
        ({"password": WRONG}, "WRONGPASS"),
        ({"username": "ann", "password": WRONG}, "WRONGPASS"),
        ({"username": "nobody", "password": RIGHT}, "WRONGPASS"),
    ],
)
def test_t01_a_refused_login_is_final(
    guarded: RedisServer,
    stack: contextlib.ExitStack,
    protocol: Any,
    login: dict[str, Any],
    code: str,
    make_client: MakeClient,
) -> None:
    """Every call raises AuthError at once, by exactly one connection and one login: no storm can lock the account."""
    proxy = _front(guarded, stack)

    def pipeline() -> None:
        with client.pipeline() as pipe:
            pipe.get("k")

    def transaction() -> None:
        with client.transaction("k") as tx:
            tx.get("k")

    def pinned() -> None:
        with client.connection() as connection:
            connection.get("k")

    with make_client(_url(proxy), protocol=protocol, retry=QUICK, **login) as client:
        calls: list[Callable[[], object]] = [lambda: client.get("k"), pipeline, transaction, pinned]
        for number, call in enumerate(calls, 1):
            with pytest.raises(AuthError) as caught:
                call()
            error = caught.value
            assert error.code == code
            assert WRONG not in f"{error} {error!r} {error.args} {vars(error)}"
            assert proxy.accepted == number
        logins = [words for words in proxy.commands() if b"AUTH" in words]
        assert len(logins) == len(calls)
        assert client.pool.stats()[1:5] == (0, 0, 0, 0)
    proxy.wait_open(0)


def test_t01_no_login_where_one_is_needed(
    guarded: RedisServer, stack: contextlib.ExitStack, protocol: Any, make_client: MakeClient
) -> None:
    proxy = _front(guarded, stack)
    with make_client(_url(proxy), protocol=protocol, retry=QUICK) as client:
        with pytest.raises(AuthError, match=r"^NOAUTH "):
            client.get("k")
        assert proxy.accepted == 1
        assert [words[0] for words in proxy.commands()].count(b"GET") == (1 if protocol == 2 else 0)
        assert not any(b"AUTH" in words for words in proxy.commands())


@pytest.mark.parametrize("username", [None, "ann", "default"])
def test_t01_the_right_login_works(
    guarded: RedisServer, protocol: Any, username: str | None, make_client: MakeClient
) -> None:
    url = f"redis://127.0.0.1:{guarded.port}/0"
    with make_client(url, protocol=protocol, username=username, password=RIGHT) as client:
        assert client.execute("ACL", "WHOAMI") == (username or "default")


def test_t01_a_login_that_a_running_connection_loses_is_final_too(
    server: RedisServer, protocol: Any, make_client: MakeClient
) -> None:
    """NOAUTH as the reply of a command: raised, not tried again."""
    table: dict[bytes, Any] = {b"GET": b"-NOAUTH Authentication required.\r\n"}
    hello = HELLO_3 if protocol == 3 else b"-ERR unknown command 'HELLO'\r\n"
    with Scripted.replies(table, hello=hello) as scripted, make_client(scripted.url, retry=QUICK) as client:
        with pytest.raises(AuthError) as caught:
            client.get("k")
        assert caught.value.command == "GET"
        assert [words[0] for _, words in scripted.commands].count(b"GET") == 1


# T02. ----------------------------------------------------------------------------------------------------------------


def test_t02_a_provider_is_asked_at_each_new_connection(
    guarded: RedisServer, protocol: Any, make_client: MakeClient
) -> None:
    asked: list[str] = []
    password = RIGHT

    def provider() -> tuple[str | None, str]:
        asked.append(password)
        return None, password

    url = f"redis://127.0.0.1:{guarded.port}/0"
    with make_client(url, protocol=protocol, credentials=provider, retry=QUICK) as client:
        assert client.ping() is True
        assert client.ping() is True
        assert asked == [RIGHT]
        with client.connection() as held:
            assert held.ping() is True
        known = len(asked)
        guarded.call("CONFIG", "SET", "requirepass", NEW)
        assert client.ping() is True  # the connections that are there go on
        with client.connection() as held:
            assert held.ping() is True
            with pytest.raises(AuthError), client.connection():
                raise AssertionError("another one still brings the old password")
        assert asked == [RIGHT] * (known + 1)
        password = NEW
        with client.connection() as held, client.connection() as another:
            assert held.ping() is True
            assert another.ping() is True
        assert asked == [*[RIGHT] * (known + 1), NEW]
        guarded.call("CONFIG", "SET", "requirepass", RIGHT)  # for the laboratory's own


def test_t02_a_deleted_user_is_cut_off_and_comes_back(
    guarded: RedisServer, protocol: Any, make_client: MakeClient
) -> None:
    """ACL DELUSER closes the user's connections; the next call learns it from its own login."""
    login = ("bob", "first-9f34")
    guarded.call("ACL", "SETUSER", "bob", "on", ">first-9f34", "~*", "+@all")
    url = f"redis://127.0.0.1:{guarded.port}/0"
    with make_client(url, protocol=protocol, credentials=lambda: login, retry=QUICK) as client:
        assert client.execute("ACL", "WHOAMI") == "bob"
        guarded.call("ACL", "DELUSER", "bob")
        guarded.wait_clients(0)
        with pytest.raises(AuthError):
            client.get("k")
        guarded.call("ACL", "SETUSER", "bob", "on", ">second-9f35", "~*", "+@all")
        login = ("bob", "second-9f35")
        assert client.execute("ACL", "WHOAMI") == "bob"


def test_t02_a_provider_that_raises_is_the_cause(guarded: RedisServer, make_client: MakeClient) -> None:
    asked = 0

    def provider() -> tuple[str | None, str]:
        nonlocal asked
        asked += 1
        raise LookupError("the vault is sealed")

    with make_client(f"redis://127.0.0.1:{guarded.port}/0", credentials=provider, retry=QUICK) as client:
        with pytest.raises(HandshakeFailed, match=r"^the credentials provider raised") as caught:
            client.ping()
        assert isinstance(caught.value.__cause__, LookupError)
        assert caught.value.outcome is Outcome.NOT_SENT
        assert asked == 1
        assert client.pool.stats().open == 0


def test_t02_a_provider_is_asked_by_one_thread_per_connection(
    guarded: RedisServer, protocol: Any, make_client: MakeClient
) -> None:
    asked: list[str] = []

    def provider() -> tuple[str | None, str]:
        asked.append(threading.current_thread().name)
        return "ann", RIGHT

    url = f"redis://127.0.0.1:{guarded.port}/0"
    with make_client(url, protocol=protocol, credentials=provider, pool_size=4) as client:
        threads = [threading.Thread(target=client.ping, name=f"t{n}") for n in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert len(asked) == client.pool.stats().opened <= 4


# T03. ----------------------------------------------------------------------------------------------------------------


def test_t03_a_password_for_a_server_without_one(server: RedisServer, make_client: MakeClient) -> None:
    """AUTH with a password alone is refused by such a server; with a user name, and so in HELLO, it proves nothing."""
    url = f"redis://127.0.0.1:{server.port}/0"
    with make_client(url, protocol=2, password=WRONG, retry=QUICK) as client:
        with pytest.raises(HandshakeFailed, match="without any password configured") as caught:
            client.ping()
        assert WRONG not in str(caught.value)
        assert "the server refused AUTH" in str(caught.value)
    with make_client(url, protocol=2, username="default", password=WRONG) as client:
        assert client.ping() is True
    with make_client(url, protocol=3, password=WRONG) as client:
        assert client.ping() is True


# T04. ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def reader(server: RedisServer, protocol: Any, stack: contextlib.ExitStack, make_client: MakeClient) -> Any:
    """Give a client that may not SET, and may read k* only."""
    server.call("ACL", "SETUSER", "reader", "on", f">{RIGHT}", "~k*", "+@all", "-set")
    server.call("SET", "k1", "v1")
    return stack.enter_context(make_client(server.url, protocol=protocol, username="reader", password=RIGHT))


def test_t04_a_denied_command_of_a_pipeline_fails_alone(reader: Any) -> None:
    with pytest.raises(NoPermissionError, match=r"^NOPERM .*'set' command"):
        reader.set("k1", "x")
    with reader.pipeline(raise_errors=False) as pipe:
        replies = [pipe.get("k1"), pipe.set("k1", "x"), pipe.get("other"), pipe.incr("k2"), pipe.get("k1")]
    assert [reply.error is None for reply in replies] == [True, False, False, True, True]
    assert [replies[0].value, replies[3].value, replies[4].value] == ["v1", 1, "v1"]
    for reply, text in ((replies[1], "'set' command"), (replies[2], "one of the keys")):
        assert isinstance(reply.error, NoPermissionError)
        assert text in str(reply.error) or "key" in str(reply.error)
    with pytest.raises(PipelineError) as caught, reader.pipeline() as pipe:
        pipe.set("k1", "x")
    assert isinstance(caught.value.__cause__, NoPermissionError)
    assert reader.pool.stats().opened == 1


def test_t04_a_denied_command_aborts_its_transaction(reader: Any, server: RedisServer) -> None:
    def run() -> None:
        with reader.transaction() as tx:
            tx.incr("k2")
            tx.set("k1", "x")

    with pytest.raises(ExecAbortError) as caught:
        run()
    assert [(index, type(cause)) for index, cause in caught.value.causes] == [(1, NoPermissionError)]
    assert caught.value.causes[0][1].command == "SET"
    assert isinstance(caught.value.__cause__, NoPermissionError)
    assert server.call("EXISTS", "k2") == 0
    assert reader.get("k1") == "v1"
    assert reader.pool.stats().opened == 1


def test_t04_a_denied_command_inside_a_script(reader: Any, server: RedisServer) -> None:
    with pytest.raises(ServerError) as caught:
        reader.execute("EVAL", "return redis.call('set', KEYS[1], 'x')", 1, "k1")
    assert "permission" in str(caught.value).lower() or "can't run this command" in str(caught.value)
    assert server.call("GET", "k1") == b"v1"
    assert reader.pool.stats().opened == 1


# T05. ----------------------------------------------------------------------------------------------------------------


def test_t05_a_database_that_does_not_exist(server: RedisServer, protocol: Any, make_client: MakeClient) -> None:
    with make_client(server.url, protocol=protocol, db=4711, retry=QUICK) as client:
        for _ in range(2):
            with pytest.raises(HandshakeFailed) as caught:
                client.set("k", "v")
            assert str(caught.value).startswith("the server refused SELECT 4711: ERR DB index is out of range")
            assert caught.value.outcome is Outcome.NOT_SENT
        assert client.pool.stats().open == 0
    assert server.call("EXISTS", "k") == 0


@pytest.mark.parametrize("hello", [HELLO_3, b"-ERR unknown command 'HELLO'\r\n"])
def test_t05_a_refused_select_sends_nothing_to_database_0(hello: bytes, make_client: MakeClient) -> None:
    table: dict[bytes, Any] = {b"SELECT": b"-NOPERM no select for you\r\n", b"SET": b"+OK\r\n"}
    with Scripted.replies(table, hello=hello) as scripted:
        url = scripted.url.replace("/0", "/5")
        refused = pytest.raises(HandshakeFailed, match=r"^the server refused SELECT 5: NOPERM")
        with make_client(url, password="x", retry=QUICK) as client, refused:
            client.set("k", "v")
        names = [words[0] for _, words in scripted.commands]
        assert b"SET" not in names
        assert scripted.accepted == 1  # and that is final


# T06, S-07. ----------------------------------------------------------------------------------------------------------

WITHOUT_HELLO: Final = [
    b"-ERR unknown command 'HELLO'\r\n",
    b"-ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `default`, \r\n",
    b"-NOPROTO unsupported protocol version\r\n",
    b"-ERR Unknown Command 'hello'\r\n",
]


@pytest.mark.parametrize("hello", WITHOUT_HELLO)
@pytest.mark.parametrize("username", [None, "ann"])
def test_t06_without_hello_auth_goes_separately(hello: bytes, username: str | None, make_client: MakeClient) -> None:
    seen: list[list[bytes]] = []

    def auth(words: list[bytes]) -> bytes:
        seen.append(words[1:])
        return b"+OK\r\n"

    with Scripted.replies({b"AUTH": auth, b"GET": b"$1\r\nv\r\n"}, hello=hello) as scripted:
        url = scripted.url.replace("/0", "/3")
        with make_client(url, username=username, password=RIGHT, client_name="me") as client:
            assert client.get("k") == "v"
            with client.connection() as connection:
                assert connection.protocol == 2
        names = [
            b" ".join(words[:2]) if words[0] == b"CLIENT" else words[0]
            for number, words in scripted.commands
            if number == 1
        ]
    expected = [RIGHT.encode()] if username is None else [username.encode(), RIGHT.encode()]
    assert seen == [expected] * scripted.accepted
    after = names[names.index(b"AUTH") :]
    assert after == [b"AUTH", b"CLIENT SETNAME", b"CLIENT SETINFO", b"CLIENT SETINFO", b"SELECT", b"GET"]


def test_t06_a_wrong_password_without_hello(make_client: MakeClient) -> None:
    table: dict[bytes, Any] = {b"AUTH": b"-WRONGPASS invalid username-password pair\r\n", b"GET": b"$1\r\nv\r\n"}
    with Scripted.replies(table, hello=WITHOUT_HELLO[0]) as scripted:
        with make_client(scripted.url, password=WRONG, retry=QUICK) as client, pytest.raises(AuthError):
            client.get("k")
        assert scripted.accepted == 1
        assert b"GET" not in [words[0] for _, words in scripted.commands]


@pytest.mark.parametrize(
    ("hello", "kind", "times"),
    [
        (b"-WRONGPASS invalid username-password pair or user is disabled.\r\n", AuthError, 1),
        (b"-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH "
         b"<user> <pass> option can be used to authenticate the client and select the RESP protocol version at the "
         b"same time\r\n", AuthError, 1),
        (b"-NOPERM this user has no permissions to run the 'hello' command\r\n", HandshakeFailed, 1),
        (b"-ERR syntax error\r\n", HandshakeFailed, 1),
        (b"-DENIED Redis is running in protected mode\r\n", HandshakeFailed, 1),
        (b"-LOADING Redis is loading the dataset in memory\r\n", HandshakeFailed, 3),
        (b"+OK\r\n", HandshakeFailed, 1),
        (b"*0\r\n", HandshakeFailed, 1),
        (b"%1\r\n$5\r\nproto\r\n:2\r\n", HandshakeFailed, 1),
        (b"$-1\r\n", HandshakeFailed, 1),
    ],
)  # fmt: skip
def test_t06_nothing_else_makes_it_fall_back(
    hello: bytes, kind: type[Exception], times: int, make_client: MakeClient
) -> None:
    """S-07: what is no "unknown command" and no NOPROTO ends the connection; AUTH is never sent alone after it."""
    with Scripted.replies({b"GET": b"$1\r\nv\r\n"}, hello=hello) as scripted:
        with make_client(scripted.url, password=RIGHT, retry=Retry(3, base=0.001)) as client:
            with pytest.raises(kind) as caught:
                client.get("k")
            if b"LOADING" in hello:
                assert isinstance(caught.value.__cause__, LoadingError)
        names = [words[0] for _, words in scripted.commands]
        assert set(names) <= {b"HELLO", b"CLIENT"}
        assert scripted.accepted == names.count(b"HELLO") == times


@pytest.mark.parametrize("answer", [b"", None])
def test_t06_silence_and_hanging_up_make_no_fallback(answer: bytes | None, make_client: MakeClient) -> None:
    with Scripted(lambda number, block: answer) as scripted:
        with make_client(scripted.url, password=RIGHT, connect_timeout=0.1, retry=Retry(2, base=0.001)) as client:
            expected: type[NetworkError] = ConnectTimeout if answer == b"" else ConnectionLost
            with pytest.raises(expected) as caught:
                client.get("k")
            assert caught.value.outcome is Outcome.NOT_SENT
        for received in scripted.received.values():
            assert received.startswith(b"*")
            assert b"$5\r\nHELLO\r\n" in received
            assert received.count(b"AUTH") == 1  # inside HELLO


def test_t06_the_fallback_keeps_tls_and_login(certs: Any, make_client: MakeClient, world: str) -> None:
    """S-07: a server (or somebody on the way) that denies HELLO gets the same login over the same TLS, or nothing."""
    context = certs.server_context(certs.good)
    with Scripted.replies({b"GET": b"$1\r\nv\r\n"}, hello=WITHOUT_HELLO[0], tls=context) as scripted:
        with make_client(scripted.url, password=RIGHT, ca_certs=certs.ca, pool_size=2) as client:
            assert client.get("k") == "v"
            with client.connection(), client.connection():
                pass
        scripted.check()
        assert scripted.accepted == (2 if world == "sync" else 3)  # no further one was tried in the clear
        for number in range(1, scripted.accepted + 1):
            assert [b"AUTH", RIGHT.encode()] in [words for n, words in scripted.commands if n == number]


def test_t06_with_protocol_3_asked_for_there_is_no_fallback(make_client: MakeClient) -> None:
    with Scripted.replies({b"GET": b"$1\r\nv\r\n"}, hello=WITHOUT_HELLO[1]) as scripted:
        refused = pytest.raises(HandshakeFailed, match=r"^this server has no HELLO 3, so RESP3 cannot be spoken")
        with make_client(scripted.url, password=RIGHT, protocol=3, retry=QUICK) as client, refused:
            client.get("k")
        assert scripted.accepted == 1
        assert b"AUTH" not in [words[0] for _, words in scripted.commands]
