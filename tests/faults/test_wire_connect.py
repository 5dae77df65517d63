"""Connecting to what does not answer, is something else, or is full (FAULTS.md C09-C13, C17)."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest

import carmine
from carmine.embedded import find_server
from carmine.errors import (
    CarmineError,
    ConnectFailed,
    ConnectionLost,
    ConnectTimeout,
    MaxClientsError,
    NetworkError,
    Outcome,
    ProtocolError,
    ReadTimeout,
    UsageError,
)
from carmine.transport.options import Options
from tests.faults.drivers import ONCE
from tests.lab.matrix import LEGS
from tests.lab.proxy import FaultProxy
from tests.lab.scripted import HELLO_3, Scripted
from tests.lab.servers import RedisServer, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.faults.drivers import Driver
    from tests.faults.invariants import Lab
    from tests.lab.certs import Certificates
    from tests.lab.scripted import Answer

pytest_plugins = ["tests.faults.invariants"]
pytestmark = pytest.mark.faults

SHORT: Final = 0.1


def _stranger(lab: Lab, url: str, **options: Any) -> Driver:
    """Return a client of something that is no clean server: it sends no canaries at the end unless told to."""
    return lab.client(url, warm=False, connect_timeout=SHORT, **{"retry": ONCE, **options})


# C09: the peer is there and says nothing. ----------------------------------------------------------------------------

SILENCES: Final[dict[str, tuple[Callable[[Lab], object], Callable[[Lab], object]]]] = {
    "both directions held": (lambda lab: lab.proxy.hold(), lambda lab: lab.proxy.release()),
    "replies held": (lambda lab: lab.proxy.hold("s2c"), lambda lab: lab.proxy.release()),
    "server stopped": (lambda lab: lab.server.pause(), lambda lab: lab.server.resume()),
    "black hole": (lambda lab: setattr(lab.proxy, "blackhole", True), lambda lab: lab.proxy.heal()),
}
"""What falls silent, and how it speaks again."""


@pytest.mark.parametrize("silence", SILENCES)
def test_c09_a_half_open_peer(lab: Lab, silence: str) -> None:
    """Calls end at read_timeout, connects at connect_timeout; another client is not disturbed; then all is well."""
    begin, end = SILENCES[silence]
    driver = lab.client(retry=ONCE, read_timeout=SHORT, connect_timeout=SHORT)
    other = lab.client(lab.server.url)
    begin(lab)
    for _ in range(driver.lines):
        lab.fails(ReadTimeout, driver.call, "ECHO", "x", outcome=Outcome.UNKNOWN, within=SHORT)
    for _ in range(driver.open()):  # those of the pool, where plain commands use another
        lab.fails(ReadTimeout, driver.alone, "ECHO", "x", outcome=Outcome.UNKNOWN, within=SHORT)
    lab.fails(ConnectTimeout, driver.call, "ECHO", "x", outcome=Outcome.NOT_SENT, within=SHORT)
    if silence != "server stopped":
        lab.canaries(other, 8, "meanwhile")
    end(lab)
    assert driver.open() == 0
    lab.canaries(driver)


@pytest.mark.parametrize("check", ["borrow", "return"])
def test_c09_a_check_takes_no_longer_than_a_connect(lab: Lab, check: str) -> None:
    """Whether an idle connection still leads somewhere is asked for connect_timeout, not for that of a long reply."""
    driver = lab.client(retry=ONCE, read_timeout=30, connect_timeout=SHORT, check=(check,))
    if check == "borrow":
        lab.proxy.hold()
        idle = driver.stats().idle
        lab.fails(ConnectTimeout, driver.alone, "ECHO", "x", outcome=Outcome.NOT_SENT, within=SHORT * (idle + 1))
        assert driver.stats().open == 0
    else:
        with driver.holding(1) as [pinned], lab.within(SHORT):
            assert pinned.execute("ECHO", "x") == "x"
            lab.proxy.hold()
        assert driver.stats().open == lab.pool_size - 1
    lab.proxy.release()
    lab.canaries(driver)


def test_c09_there_are_defaults_for_who_sets_no_timeout() -> None:
    """Connecting and every reply end by themselves unless somebody says otherwise."""
    options = Options.build("redis://127.0.0.1")
    assert (options.connect_timeout, options.read_timeout, options.keepalive) == (5.0, 30.0, True)
    with pytest.raises(UsageError):
        Options.build("redis://127.0.0.1", connect_timeout=None)  # type: ignore[arg-type]  # the point


def test_c09_keepalive_is_on(lab: Lab) -> None:
    """A peer that vanished without a word is noticed by the system on an idle connection."""
    made: list[socket.socket] = []

    def factory(address: Any, timeout: float) -> socket.socket:
        made.append(socket.create_connection((address.host, address.port), timeout))
        return made[0].dup()

    driver = lab.client(warm=False, socket_factory=factory, pool_size=1)
    driver.call("PING")
    assert made[0].getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    if hasattr(socket, "TCP_KEEPIDLE"):
        idle, interval, probes = (
            made[0].getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        )
        assert idle + interval * probes <= 180
    made[0].close()


# C10, C12, C20: what answers the handshake is silent, slow or no Redis. ----------------------------------------------


class Peer(NamedTuple):
    """Something that listens, and what a client must say of it."""

    greeting: Callable[[], Answer]
    error: type[CarmineError]
    hint: str
    within: float = 0.0


def _endless(block: bytes) -> Iterable[bytes]:
    return itertools.repeat(block)


def _dripping(blocks: Iterable[bytes]) -> Iterator[bytes]:
    pause = threading.Event()
    for block in blocks:
        yield block
        pause.wait(0.8 * SHORT)


PEERS: Final[dict[str, Peer]] = {
    "silent": Peer(lambda: b"", ConnectTimeout, "did not answer", SHORT),
    "dripping a HELLO": Peer(
        lambda: _dripping(bytes([byte]) for byte in HELLO_3), ConnectTimeout, "did not answer", SHORT
    ),
    "HTTP": Peer(lambda: b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n", ProtocolError, "web server"),
    "SSH": Peer(lambda: b"SSH-2.0-OpenSSH_9.2p1\r\n", ProtocolError, "SSH server"),
    "TLS alert": Peer(lambda: b"\x15\x03\x01\x00\x02\x02\x46", ProtocolError, "rediss://"),
    "NULs": Peer(lambda: b"\0" * 4096, ProtocolError, "no Redis server"),
    "SMTP": Peer(lambda: b"220 mail.example.org ESMTP\r\n", ProtocolError, "no Redis server"),
    "an endless line": Peer(lambda: _endless(b"x" * 4096), ProtocolError, "no Redis server"),
    "an endless simple string": Peer(
        lambda: itertools.chain([b"+"], _endless(b"x" * 65_536)), CarmineError, "", 5.0 - SHORT
    ),
    "an endless number": Peer(lambda: itertools.chain([b":"], _endless(b"1" * 4096)), ProtocolError, "no Redis"),
    "a huge array": Peer(lambda: b"*4294967295\r\n" + b":1\r\n" * 1000, ConnectTimeout, "did not answer", SHORT),
    "a huge bulk": Peer(lambda: b"$1099511627776\r\nxxxx", ConnectTimeout, "did not answer", SHORT),
    "closing at once": Peer(lambda: None, ConnectionLost, "closed"),
    "another protocol's OK": Peer(lambda: b"+OK\r\n" * 20, NetworkError, ""),
}


@pytest.mark.parametrize("name", PEERS)
def test_c10_c12_a_peer_that_is_no_redis(lab: Lab, name: str) -> None:
    """One clear error within connect_timeout, quoting at most 40 bytes; nothing is kept, nothing grows."""
    if name == "another protocol's OK" and lab.protocol == 2:
        return  # +OK is what RESP2's handshake expects: who answers so to everything is found out by the next command
    peer = PEERS[name]
    lab.memory = 200 << 20 if "endless simple" in name else lab.memory
    with Scripted(lambda number, block: b"", greeting=_Greeting(peer.greeting)) as server:
        driver = _stranger(lab, server.url)
        error = lab.fails(peer.error, driver.call, "GET", "k", within=max(peer.within, SHORT))
        assert peer.hint in str(error)
        assert f"127.0.0.1:{server.port}" in str(error)
        if isinstance(error, ProtocolError):
            assert len(error.excerpt) <= 40
        assert len(str(error)) < 500
        if isinstance(error, NetworkError):
            assert error.outcome is Outcome.NOT_SENT
        assert driver.stats().open == 0
        lab.forget(driver)


class _Greeting:
    """A greeting made anew for each connection."""

    def __init__(self, make: Callable[[], Answer]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[Any]:
        made = self._make()
        return iter((made,)) if made is None or isinstance(made, bytes) else iter(made)  # type: ignore[arg-type]


@pytest.mark.parametrize("has_hello", [True, False], ids=["hello", "fallback"])
def test_c10_every_step_of_the_handshake_shares_one_deadline(lab: Lab, has_hello: bool) -> None:
    """Each answer comes after 0.6 of the time: only together are they too late."""
    pause = threading.Event()

    def slowly(reply: bytes) -> Callable[[list[bytes]], bytes]:
        def answer(words: list[bytes]) -> bytes:
            pause.wait(0.6 * SHORT)
            return reply

        return answer

    late = slowly(b"+OK\r\n")
    hello: Any = slowly(HELLO_3 if has_hello else b"-ERR unknown command 'HELLO'\r\n")
    table: dict[bytes, Any] = {b"AUTH": late, b"SELECT": late, b"CLIENT": late}
    with Scripted.replies(table, hello=hello) as server:
        driver = _stranger(lab, server.url, db=3, client_name="me", protocol=lab.protocol if has_hello else None)
        error = lab.fails(ConnectTimeout, driver.call, "GET", "k", outcome=Outcome.NOT_SENT, within=SHORT)
        assert f"{SHORT:g} s" in str(error)
        lab.forget(driver)
        server.check()


@pytest.mark.parametrize("what", ["TLS handshake", "HELLO over TLS"])
@pytest.mark.tls
def test_c10_c11_a_tls_server_that_falls_silent(lab: Lab, certs: Certificates, what: str) -> None:
    """The same deadline covers the TLS handshake and what follows it."""
    tls = certs.server_context(certs.good) if what == "HELLO over TLS" else None
    with Scripted(lambda number, block: b"", tls=tls) as server:
        url = f"rediss://127.0.0.1:{server.port}"
        driver = _stranger(lab, url, ca_certs=certs.ca)
        error = lab.fails(ConnectTimeout, driver.call, "GET", "k", outcome=Outcome.NOT_SENT, within=SHORT)
        assert ("does not speak TLS" in str(error)) == (what == "TLS handshake")
        lab.forget(driver)


# C11: TLS meets plain. -----------------------------------------------------------------------------------------------


@pytest.mark.tls
def test_c11_a_tls_client_on_a_plain_port(lab: Lab, certs: Certificates) -> None:
    """A Redis says nothing to a TLS hello, or closes: either way the message names what may be wrong, in time."""
    url = f"rediss://127.0.0.1:{lab.server.port}"
    driver = _stranger(lab, url, ca_certs=certs.ca)
    error = lab.fails((ConnectTimeout, ConnectFailed), driver.call, "GET", "k", outcome=Outcome.NOT_SENT, within=SHORT)
    assert "speak TLS on this port" in str(error)
    lab.forget(driver)


@pytest.mark.tls
@pytest.mark.parametrize("server_kind", ["scripted", "redis"])
def test_c11_a_plain_client_on_a_tls_port(lab: Lab, certs: Certificates, server_kind: str) -> None:
    """An alert, a reset or an orderly end: the message suggests TLS."""
    with contextlib.ExitStack() as stack:
        if server_kind == "redis":
            leg = LEGS["redis70"]
            if not any(os.path.exists(place) for place in leg.places):
                pytest.skip(f"no server with TLS here: {find_server().path} has none")
            port = stack.enter_context(RedisServer(leg, tls=certs.good)).port
        else:
            port = stack.enter_context(Scripted(lambda n, b: b"", tls=certs.server_context(certs.good))).port
        driver = _stranger(lab, f"redis://127.0.0.1:{port}")
        error = lab.fails((ConnectionLost, ProtocolError), driver.call, "GET", "k", within=SHORT)
        assert "rediss://" in str(error)
        lab.forget(driver)


# C13: the resolver. --------------------------------------------------------------------------------------------------


ANONYMOUS: Final[dict[str, Any]] = {"username": None, "password": None}
"""Without a password: to send one to a host that is not this machine, unencrypted, gives a warning."""


_real_getaddrinfo: Final = socket.getaddrinfo


class Resolver:
    """What stands in for getaddrinfo: the answers of each call, in turn, the last one for ever."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.may_answer = threading.Event()
        self.may_answer.set()

    def __call__(self, host: str, port: int, *args: Any, **options: Any) -> list[Any]:
        """Answer, or raise, or wait; the laboratory's own questions go to the real one."""
        if host != "redis.test":
            return _real_getaddrinfo(host, port, *args, **options)
        self.asked += 1
        self.may_answer.wait(30)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", found)) for found in answer]


@pytest.fixture
def dead_port() -> Iterator[int]:
    """Give a port that refuses."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """Give a port whose queue is full: connecting to it hangs."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(listener.getsockname())
        yield listener.getsockname()[1]


def test_c13_the_resolver_fails(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unknown, temporarily unknown, no address at all: ConnectFailed that names the host."""
    answers: list[Any] = [
        socket.gaierror(-2, "Name or service not known"),
        socket.gaierror(-3, "Temporary failure"),
        [],
    ]
    for answer in answers:
        monkeypatch.setattr(socket, "getaddrinfo", Resolver(answer))
        driver = _stranger(lab, "redis://redis.test:6379", **ANONYMOUS)
        error = lab.fails(ConnectFailed, driver.call, "GET", "k", outcome=Outcome.NOT_SENT, within=SHORT)
        assert "redis.test:6379" in str(error)
        lab.forget(driver)


def test_c13_the_resolver_blocks(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """I3 holds although nothing can interrupt getaddrinfo: it is left behind, and ends when the resolver does."""
    resolver = Resolver([lab.proxy.port])
    resolver.may_answer.clear()
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    driver = lab.client(
        f"redis://redis.test:{lab.proxy.port}", warm=False, connect_timeout=SHORT, retry=ONCE, **ANONYMOUS
    )
    for _ in range(3):
        error = lab.fails(ConnectTimeout, driver.call, "GET", "k", outcome=Outcome.NOT_SENT, within=SHORT)
        assert "redis.test" in str(error)
    resolver.may_answer.set()
    wait_until(lambda: not [t for t in threading.enumerate() if t.name == "carmine-resolver"], "the resolvers' end")
    lab.canaries(driver)


def test_c13_every_address_is_tried(lab: Lab, monkeypatch: pytest.MonkeyPatch, dead_port: int, deaf_port: int) -> None:
    """Refusing or hanging ones come before the living one: each has its share of the time."""
    for ports in ([dead_port, lab.proxy.port], [dead_port, dead_port, lab.proxy.port], [deaf_port, lab.proxy.port]):
        monkeypatch.setattr(socket, "getaddrinfo", Resolver(ports))
        driver = lab.client("redis://redis.test:1", warm=False, connect_timeout=0.5, **ANONYMOUS)
        with lab.within(0.5):
            lab.canaries(driver, 1)
        lab.forget(driver)
    monkeypatch.setattr(socket, "getaddrinfo", Resolver([dead_port, deaf_port]))
    driver = _stranger(lab, "redis://redis.test:1", **ANONYMOUS)
    lab.fails((ConnectTimeout, ConnectFailed), driver.call, "GET", "k", outcome=Outcome.NOT_SENT, within=SHORT)
    lab.forget(driver)


def test_c13_a_name_is_resolved_anew_for_each_connection(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server moves: its name gives another address, and nothing remembers the old one."""
    assert lab.server.port is not None
    with FaultProxy("127.0.0.1", lab.server.port) as second:
        resolver = Resolver([lab.proxy.port])
        monkeypatch.setattr(socket, "getaddrinfo", resolver)
        driver = lab.client("redis://redis.test:1", warm=False, pool_size=1, **ANONYMOUS)
        lab.canaries(driver, 4)
        assert (lab.proxy.accepted, second.accepted, resolver.asked) == (driver.most, 0, driver.most)
        resolver.answers = [[second.port]]
        lab.kill()
        lab.proxy.refuse()
        lab.canaries(driver, 4)
        assert (lab.proxy.accepted, second.accepted, resolver.asked) == (driver.most, driver.most, 2 * driver.most)
        lab.forget(driver)


# C17: the server is full. --------------------------------------------------------------------------------------------


def test_c17_too_many_clients(lab: Lab) -> None:
    """Its own error, tried again with a growing wait and an end, and never a reason to speak RESP2."""
    driver = lab.client(warm=False, protocol=None)
    full = len(lab.server.clients()) + 1  # and the laboratory's own
    lab.server.call("CONFIG", "SET", "maxclients", full)
    before = lab.proxy.accepted
    error = lab.fails(MaxClientsError, driver.call, "ECHO", "x", within=1.5)
    assert "max number of clients" in str(error)
    assert lab.proxy.accepted - before == 3  # Retry(3)
    lab.fails(MaxClientsError, driver.pipeline, [("ECHO", "x")], within=1.5)
    lab.fails(MaxClientsError, driver.transaction, [("ECHO", "x")], within=1.5)
    assert lab.proxy.accepted - before <= 9
    lab.server.call("CONFIG", "SET", "maxclients", 10_000)
    with driver.holding(1) as [pinned]:
        assert pinned.protocol == 3
    lab.counts["refused connections"] += lab.proxy.accepted - before - 1


def test_c17_a_full_server_does_not_disturb_who_is_in(lab: Lab) -> None:
    """Callers of one client share the connections it has; when one is lost meanwhile, the error is the server's."""
    driver = lab.client()
    lab.server.call("CONFIG", "SET", "maxclients", lab.pool_size + 1)
    lab.canaries(driver)
    stranger = lab.client(warm=False, retry=ONCE)
    lab.fails(MaxClientsError, stranger.call, "ECHO", "x")
    lab.server.call("CONFIG", "SET", "maxclients", 10_000)
    lab.canaries(stranger, 1)


def test_the_module_says_what_it_needs() -> None:
    """`carmine.errors` has every class named here among its public names."""
    for kind in (ConnectFailed, ConnectTimeout, ConnectionLost, MaxClientsError, ProtocolError, ReadTimeout):
        assert getattr(carmine.errors, kind.__name__) is kind
