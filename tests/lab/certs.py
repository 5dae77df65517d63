"""Certificates for tests, made when asked for: good ones and every kind that a client must refuse.

A `Certificates` directory holds two authorities (`ca`, and `stranger` that nobody trusts) and the files below.
Everything lies under the directory given; nothing here knows carmine's TLS settings.
"""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from carmine.embedded import TLSFiles

if TYPE_CHECKING:
    import os

__all__ = ["Certificates"]

_HERE = ("127.0.0.1", "::1", "localhost")


class Certificates:
    """Certificate files of an authority made for this run.

    Attributes:
        ca: the path of the authority's certificate, what a client passes as ca_certs.
        good: a server's, for 127.0.0.1, ::1 and localhost.
        wronghost: a server's, from the same authority, for another host.
        expired: a server's, from the same authority, past its end.
        selfsigned: a server's for 127.0.0.1 that no authority signed.
        stranger: a server's for 127.0.0.1 from an authority nobody trusts.
        client: a client's, from the authority.
        strange_client: a client's, from the authority nobody trusts.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._directory = Path(directory)
        self._directory.mkdir(parents=True, exist_ok=True)
        authority, stranger = trustme.CA(), trustme.CA()
        self.ca = str(self._directory / "ca.pem")
        authority.cert_pem.write_to_path(self.ca)
        yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        self.good = self._write("good", authority.issue_cert(*_HERE))
        self.wronghost = self._write("wronghost", authority.issue_cert("elsewhere.example"))
        self.expired = self._write(
            "expired",
            authority.issue_cert(*_HERE, not_before=yesterday - datetime.timedelta(days=2), not_after=yesterday),
        )
        self.stranger = self._write("stranger", stranger.issue_cert(*_HERE))
        self.client = self._write("client", authority.issue_cert("client@example.org"))
        self.strange_client = self._write("strange_client", stranger.issue_cert("client@example.org"))
        self.selfsigned = self._self_signed(yesterday)

    def server_context(self, files: TLSFiles, *, client_required: bool = False) -> ssl.SSLContext:
        """Return the context of a scripted TLS server that shows these files, and may demand a client's certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.certificate, files.key)
        if client_required:
            context.load_verify_locations(self.ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client_context(self, files: TLSFiles | None = None) -> ssl.SSLContext:
        """Return a context that trusts the authority alone and verifies chain and host name, for self-tests."""
        context = ssl.create_default_context(cafile=self.ca)
        if files is not None:
            context.load_cert_chain(files.certificate, files.key)
        return context

    def _write(self, name: str, leaf: trustme.LeafCert) -> TLSFiles:
        chain = b"".join(pem.bytes() for pem in leaf.cert_chain_pems)
        return self._files(name, chain, leaf.private_key_pem.bytes())

    def _files(self, name: str, certificate: bytes, key: bytes) -> TLSFiles:
        paths = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        paths[0].write_bytes(certificate)
        paths[1].touch(mode=0o600)
        paths[1].write_bytes(key)
        return TLSFiles(str(paths[0]), str(paths[1]), self.ca)

    def _self_signed(self, since: datetime.datetime) -> TLSFiles:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
        hosts = x509.SubjectAlternativeName(
            [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        )
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(since)
            .not_valid_after(since + datetime.timedelta(days=365))
            .add_extension(hosts, critical=False)
            .sign(key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        return self._files(
            "selfsigned",
            certificate.public_bytes(pem),
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        )
