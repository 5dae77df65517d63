"""TLS contexts, proved by whole handshakes in memory, and the sentences that its errors become."""

from __future__ import annotations

import ipaddress
import pathlib
import shutil
import ssl
import subprocess
import warnings
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from carmine.errors import ConnectFailed, ConnectTimeout, NetworkError, Outcome, UsageError
from carmine.retry import Retry
from carmine.transport import credentials
from carmine.transport.address import Address
from carmine.transport.credentials import InsecureConnectionWarning
from carmine.transport.options import Options
from carmine.transport.tls import build_context, server_name, tls_error

if TYPE_CHECKING:
    from collections.abc import Callable

DAY = timedelta(days=1)
NOW = datetime.now(UTC)


class Files(NamedTuple):
    """Where the certificates lie."""

    ca: str
    client: str
    client_key: str
    other_key: str
    encrypted_key: str
    nonsense: str


class Lab(NamedTuple):
    """Certificates of servers by what is wrong with them, and files for the client."""

    servers: dict[str, trustme.LeafCert]
    ca: trustme.CA
    files: Files


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    folder = tmp_path_factory.mktemp("tls")
    ca, stranger = trustme.CA(), trustme.CA()
    client, other = ca.issue_cert("client@example.org"), ca.issue_cert("other@example.org")

    def write(name: str, data: bytes) -> str:
        (folder / name).write_bytes(data)
        return str(folder / name)

    key = load_pem_private_key(client.private_key_pem.bytes(), None)
    encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    return Lab(
        servers={
            "good": ca.issue_cert("db.example.org", "10.0.0.7", "::1"),
            "wronghost": ca.issue_cert("other.example.org"),
            "expired": ca.issue_cert("db.example.org", not_before=NOW - 9 * DAY, not_after=NOW - DAY),
            "future": ca.issue_cert("db.example.org", not_before=NOW + DAY, not_after=NOW + 9 * DAY),
            "stranger": stranger.issue_cert("db.example.org"),
        },
        ca=ca,
        files=Files(
            ca=write("ca.pem", ca.cert_pem.bytes()),
            client=write("client.pem", b"".join(blob.bytes() for blob in client.cert_chain_pems)),
            client_key=write("client.key", client.private_key_pem.bytes()),
            other_key=write("other.key", other.private_key_pem.bytes()),
            encrypted_key=write("encrypted.key", encrypted),
            nonsense=write("nonsense.pem", b"no PEM at all"),
        ),
    )


@pytest.fixture(autouse=True)
def nobody_was_warned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "_warned", set())


def options(url: str = "rediss://db.example.org", **given: Any) -> Options:
    return Options.build(url, **given)


def server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def handshake(made: Options, server: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Join a client of these options and a server through memory, and speak until both are content."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = server.wrap_bio(up, down, server_side=True)
    ours = build_context(made).wrap_bio(down, up, server_hostname=server_name(made.address))
    waiting = [ours, theirs]
    for _ in range(20):
        for side in tuple(waiting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(side)
        if not waiting:
            return ours, theirs
    raise AssertionError("the handshake did not end")


def failure(act: Callable[[], object], made: Options) -> NetworkError:
    """Fail as a connection does: the error of the handshake, translated."""
    try:
        act()
    except OSError as exc:
        error = tls_error(exc, made.address)
        error.__cause__ = exc
    else:
        raise AssertionError("the handshake did not fail")
    assert error.outcome is Outcome.NOT_SENT
    assert error.address == str(made.address)
    return error


class TestVerification:
    @pytest.mark.parametrize(
        "url", ["rediss://db.example.org", "rediss://10.0.0.7", "rediss://[::1]", "rediss://DB.example.org."]
    )
    def test_accepts_a_good_certificate(self, lab: Lab, url: str) -> None:
        ours, _ = handshake(options(url, ca_certs=lab.files.ca), server_context(lab.servers["good"]))
        assert ours.version() in {"TLSv1.2", "TLSv1.3"}
        assert ours.getpeercert()

    @pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to hash an authority's name")
    def test_accepts_a_directory_of_authorities(self, lab: Lab, tmp_path: pathlib.Path) -> None:
        hashing = ["openssl", "x509", "-hash", "-noout", "-in", lab.files.ca]
        found = subprocess.run(hashing, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
        (tmp_path / f"{found}.0").write_bytes(lab.ca.cert_pem.bytes())
        ours, _ = handshake(options(ca_certs=tmp_path), server_context(lab.servers["good"]))
        assert ours.getpeercert()

    @pytest.mark.parametrize(
        ("server", "url", "reason"),
        [
            ("wronghost", "rediss://db.example.org", "it was not issued for 'db.example.org'"),
            ("good", "rediss://10.0.0.8", "it was not issued for '10.0.0.8'"),
            ("good", "rediss://example.org", "it was not issued for 'example.org'"),
            ("expired", "rediss://db.example.org", "it has expired"),
            ("future", "rediss://db.example.org", "it is not valid yet"),
            ("stranger", "rediss://db.example.org", "ca_certs="),
        ],
    )
    def test_refuses_any_other(self, lab: Lab, server: str, url: str, reason: str) -> None:
        made = options(url, ca_certs=lab.files.ca)
        error = failure(lambda: handshake(made, server_context(lab.servers[server])), made)
        assert isinstance(error, ConnectFailed)
        assert "the server's certificate is not accepted" in str(error)
        assert reason in str(error)
        assert Retry().decide(error, attempt=1, chance=0.0, readonly=True) is None

    def test_trusts_the_system_alone_by_default(self, lab: Lab) -> None:
        made = options()
        error = failure(lambda: handshake(made, server_context(lab.servers["good"])), made)
        assert "ca_certs=" in str(error)
        context = build_context(made)
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)

    def test_own_authorities_replace_those_of_the_system(self, lab: Lab) -> None:
        subjects = [entry["subject"] for entry in build_context(options(ca_certs=lab.files.ca)).get_ca_certs()]
        assert len(subjects) == 1

    def test_speaks_tls_1_2_or_newer(self, lab: Lab) -> None:
        made = options(ca_certs=lab.files.ca)
        assert build_context(made).minimum_version >= ssl.TLSVersion.TLSv1_2
        old = server_context(lab.servers["good"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            old.minimum_version = ssl.TLSVersion.TLSv1
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.raises(ssl.SSLError):
            handshake(made, old)

    def test_announces_the_name(self, lab: Lab) -> None:
        heard: list[str | None] = []
        server = server_context(lab.servers["good"])
        server.sni_callback = lambda _socket, name, _context: heard.append(name)
        handshake(options(ca_certs=lab.files.ca), server)
        assert heard == ["db.example.org"]

    def test_of_a_server_s_bytes_that_are_no_tls(self) -> None:
        for said in (b"-ERR unknown command\r\n" * 3, b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0" * 64):
            down = ssl.MemoryBIO()
            down.write(said)
            made = options()
            wrapped = build_context(made).wrap_bio(down, ssl.MemoryBIO(), server_hostname="db.example.org")
            error = failure(wrapped.do_handshake, made)
            assert "does not speak TLS on this port: use redis://" in str(error)

    def test_of_a_connection_that_ends(self) -> None:
        down = ssl.MemoryBIO()
        down.write_eof()
        made = options()
        wrapped = build_context(made).wrap_bio(down, ssl.MemoryBIO(), server_hostname="db.example.org")
        assert "closed the connection during the TLS handshake" in str(failure(wrapped.do_handshake, made))


class TestSwitchedOff:
    @pytest.mark.parametrize("server", ["wronghost", "expired", "stranger"])
    def test_accepts_anything_and_warns(self, lab: Lab, server: str) -> None:
        with pytest.warns(InsecureConnectionWarning, match="insecure_skip_verify=True: .* not verified") as caught:
            handshake(options(insecure_skip_verify=True), server_context(lab.servers[server]))
        assert "[db.example.org:6379]" in str(caught[0].message)

    def test_warns_once_per_address(self) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for url in ("rediss://a", "rediss://a", "rediss://b"):
                build_context(options(url, insecure_skip_verify=True))
        assert len(caught) == 2

    def test_is_never_the_default(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            context = build_context(options())
        assert context.check_hostname


class TestClientCertificate:
    def demanding(self, lab: Lab) -> ssl.SSLContext:
        server = server_context(lab.servers["good"])
        server.verify_mode = ssl.CERT_REQUIRED
        lab.ca.configure_trust(server)
        server.maximum_version = ssl.TLSVersion.TLSv1_2  # in 1.3 the refusal comes after the client's handshake
        return server

    def test_is_shown(self, lab: Lab) -> None:
        made = options(ca_certs=lab.files.ca, certfile=lab.files.client, keyfile=lab.files.client_key)
        _, theirs = handshake(made, self.demanding(lab))
        assert theirs.getpeercert()

    def test_may_hold_its_key(self, lab: Lab, tmp_path: pathlib.Path) -> None:
        both = tmp_path / "both.pem"
        both.write_bytes(pathlib.Path(lab.files.client).read_bytes() + pathlib.Path(lab.files.client_key).read_bytes())
        _, theirs = handshake(options(ca_certs=lab.files.ca, certfile=both), self.demanding(lab))
        assert theirs.getpeercert()

    def test_that_is_missing_is_named(self, lab: Lab) -> None:
        made = options(ca_certs=lab.files.ca)
        up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
        theirs = self.demanding(lab).wrap_bio(up, down, server_side=True)
        ours = build_context(made).wrap_bio(down, up, server_hostname="db.example.org")

        def talk() -> None:
            for _ in range(20):
                for side in (ours, theirs):
                    try:
                        side.do_handshake()
                    except ssl.SSLWantReadError:
                        continue
                    except ssl.SSLError:
                        if side is ours:
                            raise

        assert "certfile=" in str(failure(talk, made))


class TestFiles:
    @pytest.mark.parametrize(
        ("given", "reason"),
        [
            ({"ca_certs": "/nowhere/ca.pem"}, "ca_certs '/nowhere/ca.pem' cannot be used for TLS: No such file"),
            ({"ca_certs": "nonsense"}, "ca_certs .*nonsense.pem' cannot be used for TLS: it is not PEM"),
            ({"certfile": "/nowhere/c.pem"}, "certfile or keyfile '/nowhere/c.pem' .*: No such file"),
            ({"certfile": "nonsense"}, "certfile or keyfile .* it is not PEM"),
            ({"certfile": "client", "keyfile": "/nowhere/k"}, "certfile or keyfile .* No such file"),
            ({"certfile": "client", "keyfile": "nonsense"}, "certfile or keyfile .* it is not PEM"),
            ({"certfile": "client", "keyfile": "other_key"}, "the key does not belong to the certificate"),
            ({"certfile": "client"}, "certfile or keyfile .* it is not PEM"),
            ({"certfile": "client", "keyfile": "encrypted_key"}, "keyfile is encrypted"),
        ],
    )
    def test_that_cannot_be_used_are_named(self, lab: Lab, given: dict[str, str], reason: str) -> None:
        paths = lab.files._asdict()
        made = options(**{name: paths.get(value, value) for name, value in given.items()})
        with pytest.raises(UsageError, match=reason):
            build_context(made)


class TestContext:
    def test_of_the_caller_is_used_as_it_is(self) -> None:
        own = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        own.check_hostname = False
        own.verify_mode = ssl.CERT_NONE
        assert build_context(options("redis://h", tls=own)) is own
        assert own.verify_mode is ssl.CERT_NONE

    def test_is_not_made_where_tls_is_off(self) -> None:
        with pytest.raises(UsageError, match="TLS is off"):
            build_context(options("redis://h"))


class TestServerName:
    @pytest.mark.parametrize(
        ("host", "name"),
        [("h", "h"), ("db.example.org.", "db.example.org"), ("10.0.0.7", "10.0.0.7"), ("fe80::1%eth0", "fe80::1")],
    )
    def test_is_the_host(self, host: str, name: str) -> None:
        assert server_name(Address(host)) == name
        if ":" in name or name[0].isdigit():
            ipaddress.ip_address(name)  # as ssl does, which raises where it is none

    def test_of_a_unix_socket_does_not_exist(self) -> None:
        with pytest.raises(UsageError, match="a unix socket takes no TLS"):
            server_name(Address(path="/x"))


def alert(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}] text of the library")
    error.reason = reason
    return error


class TestSentences:
    @pytest.mark.parametrize(
        ("exc", "sentence"),
        [
            (ConnectionResetError(104, "reset"), "closed the connection during the TLS handshake"),
            (BrokenPipeError(32, "pipe"), "closed the connection during the TLS handshake"),
            (ssl.SSLEOFError(8, "eof"), "closed the connection during the TLS handshake"),
            (alert("WRONG_VERSION_NUMBER"), "does not speak TLS on this port"),
            (alert("RECORD_LAYER_FAILURE"), "does not speak TLS on this port"),
            (alert("TLSV1_ALERT_PROTOCOL_VERSION"), "no TLS version that is allowed"),
            (alert("UNSUPPORTED_PROTOCOL"), "no TLS version that is allowed"),
            (alert("TLSV13_ALERT_CERTIFICATE_REQUIRED"), "certfile="),
            (alert("TLSV1_ALERT_UNKNOWN_CA"), "certfile="),
            (alert("SSLV3_ALERT_HANDSHAKE_FAILURE"), "certfile="),
            (alert("DH_KEY_TOO_SMALL"), "the TLS handshake failed (DH_KEY_TOO_SMALL)"),
            (OSError(113, "No route to host"), "the TLS handshake failed (No route to host)"),
            (ssl.SSLError("Cannot create a client socket"), "the TLS handshake failed (SSLError)"),
        ],
    )
    def test_say_what_failed(self, exc: OSError, sentence: str) -> None:
        error = tls_error(exc, Address("h", 7))
        assert type(error) is ConnectFailed
        assert sentence in str(error)
        assert str(error).endswith("[h:7] (not sent)")

    def test_of_silence_suggest_a_plain_port(self) -> None:
        error = tls_error(TimeoutError("timed out"), Address("h", 7))
        assert type(error) is ConnectTimeout
        assert "perhaps it does not speak TLS on this port" in str(error)
