"""TLS: certificates that must be refused, cuts without a farewell, handshakes that break off (FAULTS.md T07 to T09).

The server is the leg's own where it has TLS, else the real server behind `TLSFront`; scripted servers play the rest.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any, Self, cast

import pytest

import carmine
from carmine.errors import ConnectFailed, ConnectionLost, ConnectTimeout, NetworkError, Outcome
from carmine.retry import Retry
from carmine.transport.credentials import InsecureConnectionWarning
from tests.integration.crew import Crew
from tests.lab import leaks
from tests.lab.clock import within
from tests.lab.matrix import current_leg
from tests.lab.proxy import FaultProxy
from tests.lab.scripted import HELLO_3, Scripted
from tests.lab.servers import RedisServer, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from carmine.client._sync.pinned import PinnedConnection
    from carmine.embedded import TLSFiles
    from carmine.transport.socket_io import SocketIO
    from tests.faults.invariants import MakeClient
    from tests.lab.certs import Certificates

pytest_plugins = ["tests.faults.invariants"]
pytestmark = [pytest.mark.faults, pytest.mark.tls]

ONCE = Retry(1)


class TLSFront:
    """A TLS server on a free port of 127.0.0.1 that hands everything on to a plain one; two threads a connection."""

    def __init__(self, context: ssl.SSLContext, port: int) -> None:
        self._context = context
        self._behind = port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._stopping = False
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def _start(self, function: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=function, args=args, name="tls-front", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            plain, _ = self._listener.accept()
            if self._stopping:
                plain.close()
                return
            self._start(self._serve, plain)

    def _serve(self, plain: socket.socket) -> None:
        with contextlib.suppress(OSError), plain:  # a handshake that failed, or a side that left
            sock = self._context.wrap_socket(plain, server_side=True)
            with sock, socket.create_connection(("127.0.0.1", self._behind)) as server:
                for side in (sock, server):
                    side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                back = threading.Thread(target=self._pump, args=(server, sock), daemon=True)
                back.start()
                self._pump(sock, server)
                back.join()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while block := source.recv(65_536):
                sink.sendall(block)
        with contextlib.suppress(OSError):
            socket.socket.shutdown(sink, socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            socket.socket.shutdown(source, socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stopping = True
        socket.create_connection(("127.0.0.1", self.port)).close()
        for thread in self._threads:
            thread.join(10)
        self._listener.close()


@pytest.fixture
def tls_port(stack: contextlib.ExitStack, certs: Certificates) -> Callable[[TLSFiles], int]:
    """Give a function that serves TLS with these files and returns the port: the leg's own TLS, or a front's."""

    def serve(files: TLSFiles) -> int:
        if current_leg().has_tls:
            port = stack.enter_context(RedisServer(tls=files)).port
        else:
            behind = stack.enter_context(RedisServer()).port
            assert behind is not None
            port = stack.enter_context(TLSFront(certs.server_context(files), behind)).port
        assert port is not None
        return port

    return serve


@pytest.fixture
def connect(
    stack: contextlib.ExitStack, certs: Certificates, protocol: Any, make_client: MakeClient
) -> Callable[..., Any]:
    """Give a function that makes a TLS client of a port, which trusts the tests' authority."""

    def make(port: int, host: str = "127.0.0.1", **options: Any) -> Any:
        given = {"ca_certs": certs.ca, "protocol": protocol, "retry": ONCE, **options}
        made: Any = stack.enter_context(make_client(f"rediss://{host}:{port}/0", **given))
        return made

    return make


# T07, S-22. ----------------------------------------------------------------------------------------------------------


def test_t07_a_good_certificate(tls_port: Any, connect: Any, certs: Certificates) -> None:
    port = tls_port(certs.good)
    for host in ("127.0.0.1", "localhost"):
        client = connect(port, host)
        for index in range(50):
            assert client.echo(f"canary-{index}") == f"canary-{index}"
        large = "x" * 3_000_000
        assert client.set("large", large) is True
        assert client.get("large") == large
        with client.pipeline() as pipe:
            for index in range(300):
                pipe.echo(f"canary-{index}")
        assert pipe.replies == [f"canary-{index}" for index in range(300)]
        with client.transaction("k") as tx:
            reply = tx.incr("k")
        assert reply.value >= 1
        assert client.blpop("none", 0.01) is None


def test_t07_the_version_of_tls(tls_port: Any, connect: Any, certs: Certificates) -> None:
    with connect(tls_port(certs.good)).connection() as connection:
        assert _tls_version(connection) in ("TLSv1.2", "TLSv1.3")


def _tls_version(connection: PinnedConnection[str]) -> str:
    io = cast("SocketIO", connection._held()._io)
    return cast("ssl.SSLSocket", io._socket).version() or ""


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("wronghost", "it was not issued for '127.0.0.1'; connect by a name that stands in it"),
        ("expired", "it has expired; renew it on the server"),
        ("selfsigned", "it is self-signed; give the authority (or the certificate itself) as ca_certs="),
        ("stranger", "its issuer is not known here; give the authority's certificate as ca_certs="),
    ],
)
@pytest.mark.parametrize("own_context", [False, True])
def test_t07_a_bad_certificate_is_refused_before_a_password_is_sent(
    certs: Certificates, connect: Any, kind: str, sentence: str, own_context: bool
) -> None:
    files: TLSFiles = getattr(certs, kind)
    with Scripted.replies({}, tls=certs.server_context(files)) as server:
        options: dict[str, Any] = {"password": "secret-9f36", "retry": Retry(3, base=0.001)}
        if own_context:
            options |= {"tls": certs.client_context(), "ca_certs": None}
        client = connect(server.port, **options)
        with pytest.raises(ConnectFailed) as caught:
            client.ping()
        assert str(caught.value) == (
            f"the server's certificate is not accepted: {sentence} [127.0.0.1:{server.port}] (not sent)"
        )
        server.wait_until(lambda: server.closed == server.accepted)
        assert server.accepted == 1  # final: trying again would change nothing
        assert server.commands == []
        assert all(isinstance(error, ssl.SSLError) for error in server.errors)
    assert client.pool.stats().open == 0


def test_t07_without_ca_certs_the_systems_authorities_decide(certs: Certificates, connect: Any) -> None:
    with Scripted.replies({}, tls=certs.server_context(certs.good)) as server:
        with pytest.raises(ConnectFailed, match="its issuer is not known here"):
            connect(server.port, ca_certs=None).ping()
        assert server.commands == []


@pytest.mark.parametrize("kind", ["wronghost", "expired", "selfsigned", "stranger"])
def test_t07_verification_can_be_switched_off_by_name_and_warns(certs: Certificates, connect: Any, kind: str) -> None:
    with Scripted.replies({b"PING": b"+PONG\r\n"}, tls=certs.server_context(getattr(certs, kind))) as server:
        client = connect(server.port, ca_certs=None, insecure_skip_verify=True)
        with pytest.warns(InsecureConnectionWarning, match="the server's certificate is not verified"):
            assert client.ping() is True
        assert client.ping() is True  # once is enough


@pytest.mark.parametrize("name", ["ssl_cert_reqs=none", "insecure_skip_verify=true", "ssl_check_hostname=false"])
def test_t07_a_url_cannot_weaken_it(name: str) -> None:
    """S-21: options from a URL ask for more safety, never for less."""
    with pytest.raises(carmine.UsageError) as caught:
        carmine.connect(f"rediss://127.0.0.1/0?{name}")
    assert "insecure_skip_verify" in str(caught.value)


def test_t07_old_versions_of_tls_are_refused(certs: Certificates, connect: Any) -> None:
    context = certs.server_context(certs.good)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")
    with Scripted.replies({}, tls=context) as server, pytest.raises(ConnectFailed, match="TLS"):
        connect(server.port).ping()


def test_t07_a_client_certificate(certs: Certificates, connect: Any) -> None:
    context = certs.server_context(certs.good, client_required=True)
    with Scripted.replies({b"PING": b"+PONG\r\n"}, tls=context) as server:
        good, strange = certs.client, certs.strange_client
        client = connect(server.port, certfile=good.certificate, keyfile=good.key)
        assert client.ping() is True
        client.close()
        for options in ({}, {"certfile": strange.certificate, "keyfile": strange.key}):
            with pytest.raises((ConnectFailed, ConnectionLost)) as caught:
                connect(server.port, **options).ping()
            assert caught.value.outcome is Outcome.NOT_SENT
            assert "certfile" in str(caught.value), str(caught.value)
        assert len({number for number, _ in server.commands}) == 1


# T08. ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", [b"$10\r\n01234", b"$10\r\n0123456789", b"$1", b"*2\r\n$1\r\na\r\n", b""])
@pytest.mark.parametrize("end", ["fin", "close_notify"])
def test_t08_a_reply_that_ends_without_a_farewell_is_no_value(
    certs: Certificates, connect: Any, part: bytes, end: str
) -> None:
    """Not even the polite end of TLS makes part of a reply a reply."""
    context = certs.server_context(certs.good)

    def reply(words: list[bytes]) -> Any:
        if end == "close_notify":
            tls = cast("ssl.SSLSocket", next(iter(server._sockets.values())))
            tls.sendall(part)
            tls.setblocking(False)
            with contextlib.suppress(ssl.SSLError, OSError):
                tls.unwrap()  # sends close_notify
            return None
        return [part, None]

    with Scripted.replies({b"GET": reply}, tls=context) as server:
        client = connect(server.port)
        with pytest.raises(ConnectionLost) as caught:
            client.get("k")
        assert caught.value.outcome is Outcome.UNKNOWN
        assert client.pool.stats().open == 0


def test_t08_records_that_are_cut_at_every_byte(tls_port: Any, connect: Any, certs: Certificates) -> None:
    """A cut anywhere inside TLS records is an error; the next call gets its own reply over a new connection."""
    with FaultProxy("127.0.0.1", tls_port(certs.good)) as proxy:
        client = connect(proxy.port)
        client.set("k", "0123456789" * 50)
        for cut in (0, 1, 4, 5, 6, 20, 100, 300, 500, 520):
            client.ping()
            proxy.mark()
            proxy.cut_after["s2c"] = cut
            with pytest.raises(ConnectionLost):
                client.get("k")
            proxy.heal()
            assert client.get("k") == "0123456789" * 50


def test_t08_a_flipped_bit_is_noticed(tls_port: Any, connect: Any, certs: Certificates) -> None:
    """In the type, the version, the length (then bytes are missing until the deadline) or the text of a record."""
    with FaultProxy("127.0.0.1", tls_port(certs.good)) as proxy:
        client = connect(proxy.port, read_timeout=0.2)
        client.set("k", "value")
        for at in (0, 1, 3, 4, 5, 9, 20):
            client.ping()
            proxy.mark()
            proxy.corrupt["s2c"] = {at: 0x04}
            with pytest.raises(NetworkError):
                client.get("k")
            proxy.heal()
            assert client.get("k") == "value"


# T09. ----------------------------------------------------------------------------------------------------------------


# Python's wrap_socket() drops the server's side unclosed when its peer is gone already; the leak check below stands.
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
@pytest.mark.parametrize("mode", ["fin", "rst"])
def test_t09_a_handshake_that_is_cut(tls_port: Any, connect: Any, certs: Certificates, mode: Any) -> None:
    """After 0 to 500 bytes and more, in both directions: in time (I3), one honest error, nothing left (I5)."""
    with FaultProxy("127.0.0.1", tls_port(certs.good)) as proxy:
        client = connect(proxy.port, connect_timeout=2)
        before = leaks.snapshot()
        proxy.cut_mode = mode
        for direction in ("s2c", "c2s"):
            for cut in [*range(12), *range(20, 501, 60)]:
                proxy.cut_after[direction] = cut
                began = time.monotonic()
                with pytest.raises((ConnectFailed, ConnectionLost)) as caught:
                    client.ping()
                assert time.monotonic() - began < 2.25
                assert caught.value.outcome is Outcome.NOT_SENT
                proxy.cut_after.clear()
                assert client.pool.stats().open == 0
                del caught
        assert client.ping() is True
        client.close()
        leaks.assert_no_leaks(before)


@pytest.mark.parametrize("stage", ["silent", "truncated", "dripping"])
def test_t09_a_handshake_that_never_ends(tls_port: Any, connect: Any, certs: Certificates, stage: str) -> None:
    with FaultProxy("127.0.0.1", tls_port(certs.good)) as proxy:
        if stage == "silent":
            proxy.blackhole = True
        elif stage == "truncated":
            proxy.truncate["s2c"] = 200
        else:
            proxy.chunk["s2c"], proxy.pace["s2c"] = 1, 0.02
        client = connect(proxy.port, connect_timeout=0.2)
        before = leaks.snapshot()
        with within(0.2, 0.2), pytest.raises(ConnectTimeout) as caught:
            client.ping()
        assert "in time" in str(caught.value)
        proxy.heal()
        assert client.pool.stats().open == 0
        leaks.assert_no_leaks(before)


def test_t09_hello_that_is_never_answered_over_tls(certs: Certificates, connect: Any) -> None:
    """C10 over TLS: the handshake of Redis shares the deadline with that of TLS."""
    with Scripted(lambda number, block: b"", tls=certs.server_context(certs.good)) as server:
        client = connect(server.port, connect_timeout=0.3)
        with within(0.3, 0.3), pytest.raises(ConnectTimeout):
            client.ping()


# Calls over TLS. -----------------------------------------------------------------------------------------------------


def test_a_deadline_holds_inside_records(tls_port: Any, connect: Any, certs: Certificates) -> None:
    """C20 over TLS: one byte at a time does not make the time longer."""
    with FaultProxy("127.0.0.1", tls_port(certs.good)) as proxy:
        client = connect(proxy.port, read_timeout=0.3)
        client.set("k", "v" * 400)
        proxy.chunk["s2c"], proxy.pace["s2c"] = 1, 0.01
        with within(0.3), pytest.raises(carmine.ReadTimeout):
            client.get("k")
        proxy.heal()
        assert client.get("k") == "v" * 400


def test_closing_during_a_call_never_goes_on_in_plain_text(tls_port: Any, connect: Any, certs: Certificates) -> None:
    """close() must not take the TLS away under a thread that is about to write (SSLSocket.shutdown would)."""
    client = connect(tls_port(certs.good))
    with Crew() as crew:
        with client.connection() as connection:
            io = cast("SocketIO", connection._held()._io)
            tls = cast("ssl.SSLSocket", io._socket)
            crew.start(connection.blpop, "none", 20)
            wait_until(lambda: not connection._held().is_usable, "a call")
            io.interrupt()
            crew.join()
            assert tls.fileno() == -1  # its own thread closed it
            assert isinstance(crew.errors[0], ConnectionLost)
            crew.errors.clear()
        with client.connection() as connection:
            io = cast("SocketIO", connection._held()._io)
            tls = cast("ssl.SSLSocket", io._socket)
            io.interrupt()
            assert tls.cipher() is not None
            with pytest.raises(OSError, match=r".+"):
                tls.send(b"PING\r\n")


def test_the_fallback_of_hello_3_bytes(certs: Certificates, connect: Any) -> None:
    """Replies in one record, in many, and with a record boundary inside each line."""
    hello = [HELLO_3[index : index + 1] for index in range(len(HELLO_3))]
    table: dict[bytes, Any] = {b"GET": lambda words: [b"$", b"5\r", b"\nva", b"lue", b"\r", b"\n"]}
    with Scripted.replies(table, hello=lambda words: hello, tls=certs.server_context(certs.good)) as server:
        assert connect(server.port).get("k") == "value"


@pytest.fixture(autouse=True)
def no_warning_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test's warning hide another's."""
    monkeypatch.setattr("carmine.transport.credentials._warned", set())
