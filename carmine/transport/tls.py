"""TLS: contexts made from options, and what its errors mean in plain words.

The one room that imports `ssl`; connections import it at the first TLS connection and not before. It opens no socket.
Invariants: unless the caller's own context or `insecure_skip_verify` says otherwise, chain and host name are verified
and TLS is 1.2 or newer; no message quotes what the peer sent.
"""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING

from carmine.errors import ConnectFailed, ConnectTimeout, NetworkError, Outcome, UsageError
from carmine.transport.credentials import warn_once

if TYPE_CHECKING:
    from carmine.transport.address import Address
    from carmine.transport.options import Options

__all__ = ["build_context", "server_name", "tls_error"]

_NO_TLS = frozenset({
    "WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE",
    "INVALID_CONTENT_TYPE", "UNEXPECTED_MESSAGE", "BAD_RECORD_TYPE",
})  # fmt: skip
"""What the versions of OpenSSL say of an answer that is no TLS record."""

_SELF_SIGNED = frozenset({18, 19})  # X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN
_UNKNOWN_ISSUER = frozenset({2, 20, 21})  # X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, .._LOCALLY, .._VERIFY_LEAF_SIGNATURE
_NOT_YET_VALID, _EXPIRED = 9, 10
_WRONG_NAME = frozenset({62, 64})  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH


def build_context(options: Options) -> ssl.SSLContext:
    """Return the context for connections with these options; make it once and keep it, it reads files.

    A context that the caller gave is returned as it is. Otherwise: the system's authorities, or those of `ca_certs`
    (a PEM file or a directory hashed for OpenSSL) in their place; a client certificate if there is one.

    Raises:
        UsageError: TLS is off, or a file cannot be read or is not what it should be; the message names the option.
    """
    if isinstance(options.tls, ssl.SSLContext):
        return options.tls
    if options.tls is None:
        raise UsageError("TLS is off in these options: use rediss:// or tls=True")
    try:
        context = _trusting(options.ca_certs)
    except OSError as exc:  # ssl.SSLError is one
        raise _unreadable("ca_certs", options.ca_certs or "", exc) from exc
    # Python's own default is the same today; said here so that no build or configuration of OpenSSL lowers it.
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
    if options.certfile is not None:
        try:
            context.load_cert_chain(options.certfile, options.keyfile, password=_no_passphrase)
        except OSError as exc:
            raise _unreadable("certfile or keyfile", options.certfile, exc) from exc
    if options.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        warn_once(
            "insecure_skip_verify=True: the server's certificate is not verified, so anybody on the way can read and "
            "change what is sent, the password included",
            options.address,
        )
    return context


def server_name(address: Address) -> str:
    """Return the name to announce (SNI) and to look for in the certificate: the host without an IPv6 zone."""
    if address.host is None:
        raise UsageError("a unix socket takes no TLS")
    return address.host.partition("%")[0].rstrip(".")


def tls_error(exc: OSError, address: Address) -> NetworkError:
    """Return the error for a TLS handshake that failed; raise it `from exc`. Nothing of a command was sent.

    Args:
        exc: An ssl.SSLError, or the OSError or TimeoutError that ended the handshake.
        address: Where the connection goes.
    """
    where = str(address)
    if isinstance(exc, TimeoutError):
        return ConnectTimeout(
            "the server did not answer the TLS handshake in time; perhaps it does not speak TLS on this port: "
            "then use redis:// or its TLS port",
            outcome=Outcome.NOT_SENT,
            address=where,
        )
    return ConnectFailed(_explain(exc, address), outcome=Outcome.NOT_SENT, address=where)


def _trusting(ca_certs: str | None) -> ssl.SSLContext:
    if ca_certs is None:
        return ssl.create_default_context()
    if os.path.isdir(ca_certs):
        return ssl.create_default_context(capath=ca_certs)
    return ssl.create_default_context(cafile=ca_certs)


def _no_passphrase() -> str:
    # Without this OpenSSL would ask on the terminal, and a service would hang there.
    raise UsageError("keyfile is encrypted: give an SSLContext that has loaded it")


def _unreadable(name: str, path: str, exc: OSError) -> UsageError:
    if isinstance(exc, ssl.SSLError):
        why = "the key does not belong to the certificate" if "MISMATCH" in _reason(exc) else "it is not PEM"
    else:
        why = exc.strerror or type(exc).__name__
    return UsageError(f"{name} {path!r} cannot be used for TLS: {why}")


def _reason(exc: OSError) -> str:
    """Return OpenSSL's name of what failed; the attribute is missing on errors that Python's side raised."""
    return getattr(exc, "reason", None) or ""


def _explain(exc: OSError, address: Address) -> str:
    """Return one sentence: what failed, and what to do."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"the server's certificate is not accepted: {_explain_certificate(exc, address)}"
    if isinstance(exc, ssl.SSLEOFError | ssl.SSLZeroReturnError | ConnectionError):
        return (
            "the server closed the connection during the TLS handshake; perhaps it does not speak TLS on this port, "
            "or wants a client certificate (certfile=, keyfile=)"
        )
    reason = _reason(exc)
    if reason in _NO_TLS:
        return "the server does not speak TLS on this port: use redis:// or its TLS port"
    if "PROTOCOL_VERSION" in reason or reason == "UNSUPPORTED_PROTOCOL":
        return "the server offers no TLS version that is allowed (1.2 or newer)"
    if "CERTIFICATE" in reason or reason in {"TLSV1_ALERT_UNKNOWN_CA", "SSLV3_ALERT_HANDSHAKE_FAILURE"}:
        return (
            f"the server refused the TLS handshake ({reason}); it may want a client certificate, or another one: "
            "see certfile= and keyfile="
        )
    return f"the TLS handshake failed ({reason or exc.strerror or type(exc).__name__})"


def _explain_certificate(exc: ssl.SSLCertVerificationError, address: Address) -> str:
    code = exc.verify_code
    if code in _WRONG_NAME:
        return f"it was not issued for {server_name(address)!r}; connect by a name that stands in it"
    if code == _EXPIRED:
        return "it has expired; renew it on the server"
    if code == _NOT_YET_VALID:
        return "it is not valid yet; compare the clocks of both machines"
    if code in _SELF_SIGNED:
        return "it is self-signed; give the authority (or the certificate itself) as ca_certs="
    if code in _UNKNOWN_ISSUER:
        return "its issuer is not known here; give the authority's certificate as ca_certs="
    return exc.verify_message
