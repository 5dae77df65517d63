"""What can be known about a server by connecting to it: versions, latency, what it refuses, and its TLS.

Nothing is written to the data set: PING, INFO, CLIENT, CONFIG GET and an empty script, on one pinned connection that is
closed afterwards.
"""

from __future__ import annotations

import socket
import ssl
import statistics
import time
import warnings
from typing import TYPE_CHECKING, Any, Final

import carmine
from carmine.errors import ServerError
from carmine.transport.tls import build_context, server_name

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["probe"]

_PINGS: Final = 100
_ASKED: Final = (
    ("CLIENT", "SETINFO", "LIB-NAME", "carmine"),
    ("CLIENT", "SETNAME", "carmine-doctor"),
    ("CLIENT", "NO-EVICT", "OFF"),
    ("CLIENT", "TRACKING", "OFF"),
    ("CONFIG", "GET", "maxmemory-policy"),
    ("INFO", "server"),
    ("EVAL", "return 1", "0"),
)
"""What carmine or its layers use where they can, and managed or older servers may refuse."""


def probe(url: str) -> dict[str, Any]:
    """Connect and ask.

    Raises:
        CarmineError: The URL cannot be used, or no connection could be made; one sentence says why.
    """
    with warnings.catch_warnings(record=True) as warned, carmine.connect(url, retry=carmine.Retry(1)) as client:
        warnings.simplefilter("always")
        began = time.perf_counter()
        with client.connection() as connection:
            opened = time.perf_counter() - began
            found: dict[str, Any] = {
                "address": str(client.options.address),
                "protocol": f"RESP{connection.protocol}",
                "server": _server(connection),
                "connect_ms": round(opened * 1000, 3),
                "ping_us": _latency(connection),
                "refused": dict(_refusals(connection)),
            }
        if client.options.uses_tls:
            found["tls"] = _tls(client.options)
        found["warnings"] = [str(warning.message) for warning in warned]
    return found


def _server(connection: carmine.PinnedConnection[str]) -> str:
    """Return name, version and mode, from HELLO or else from INFO."""
    told = connection.server_info
    if told:
        return (
            f"{told.get('server', 'unknown')} {told.get('version', '')}, {told.get('mode', '')}, {told.get('role', '')}"
        )
    try:
        info = connection.info("server")
    except ServerError:
        return "unknown: it refuses both HELLO and INFO"
    version = info.get("valkey_version") or info.get("redis_version", "")
    return f"{info.get('server_name', 'redis')} {version}, {info.get('redis_mode', info.get('server_mode', ''))}"


def _latency(connection: carmine.PinnedConnection[str]) -> dict[str, float]:
    """Return the least and the middle time of a PING, in microseconds."""
    times = []
    for _ in range(_PINGS):
        began = time.perf_counter()
        connection.ping()
        times.append((time.perf_counter() - began) * 1e6)
    return {"least": round(min(times), 1), "median": round(statistics.median(times), 1)}


def _refusals(connection: carmine.PinnedConnection[str]) -> Iterator[tuple[str, str]]:
    for words in _ASKED:
        try:
            connection.execute(*words)
        except ServerError as refusal:
            name = " ".join(words[:2]) if words[0] in ("CLIENT", "CONFIG") else words[0]
            yield name, refusal.message.partition(", with args beginning with:")[0]


def _tls(options: carmine.Options) -> dict[str, Any]:
    """Return what a second connection finds out about the server's TLS."""
    host, port = options.address.host or "", options.address.port
    context = build_context(options)
    with (
        socket.create_connection((host, port), timeout=options.connect_timeout) as plain,
        context.wrap_socket(plain, server_hostname=server_name(options.address)) as sock,
    ):
        certificate: dict[str, Any] = sock.getpeercert() or {}
        cipher = sock.cipher()
        ends = certificate.get("notAfter")
        days = (ssl.cert_time_to_seconds(str(ends)) - time.time()) / 86400 if ends else None
        return {
            "version": sock.version(),
            "cipher": cipher[0] if cipher else None,
            "names": [name for _, name in certificate.get("subjectAltName", ())],
            "days_left": None if days is None else round(days, 1),
        }
