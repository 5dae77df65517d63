"""The grammar of connection URLs: redis, rediss, valkey, valkeys and unix.

    redis://[[username]:password@]host[:port][/db][?option=value&...]      (rediss, valkeys: over TLS)
    unix://[[username]:password@]/path/to/socket[?db=0&option=value&...]

This room knows what the parts of a URL are, not what an option means (options.py does). Invariants: everything is
percent-decoded once; user name and password part at the first ":", both end at the last "@"; what the grammar leaves
open is refused, never guessed, so that no other parser can read another host out of the same text; no message repeats
a user name, a password or a query value, and the text itself is kept nowhere, not even in the frames of an error.
"""

from __future__ import annotations

from typing import Final

from carmine import _checks
from carmine.errors import UsageError
from carmine.transport.address import DEFAULT_PORT, Address, is_host
from carmine.transport.credentials import Secret

__all__ = ["ParsedUrl", "parse_url"]

_TLS: Final = {"redis": False, "rediss": True, "valkey": False, "valkeys": True, "unix": False}
_LATER: Final = ("+sentinel", "+cluster")
_KNOWN: Final = "redis, rediss, valkey, valkeys and unix"
_HEX: Final = frozenset("0123456789abcdefABCDEF")
_ESCAPE: Final = "inside a user name, a password or a value write @ as %40, / as %2F, ? as %3F, # as %23 and % as %25"


class ParsedUrl:
    """What a URL says. Its repr is object's own: some parts are secret.

    Attributes:
        address: Where the server listens.
        tls: Whether the scheme asks for TLS.
        username: The decoded user name, None when empty.
        password: The decoded password; None when there is none, or an empty one without a user name.
        db: The database number of the path, None when the path names none.
        query: The query's options, decoded texts by name.
    """

    __slots__ = ("address", "db", "password", "query", "tls", "username")

    def __init__(
        self,
        address: Address,
        *,
        tls: bool,
        username: str | None,
        password: Secret | None,
        db: int | None,
        query: dict[str, str],
    ) -> None:
        self.address: Address = address
        self.tls: bool = tls
        self.username: str | None = username
        self.password: Secret | None = password
        self.db: int | None = db
        self.query: dict[str, str] = query


def parse_url(url: str) -> ParsedUrl:
    """Take a URL apart.

    Raises:
        UsageError: The URL is not of the grammar above; the message names the part that is wrong.
    """
    try:
        return _parse(url)
    except UsageError as exc:
        refusal = str(exc)
    # Raised anew, outside the handler and with the text gone: error reporters print the locals of every frame that an
    # exception or its context has passed.
    url = ""
    raise UsageError(refusal)


def _parse(url: str) -> ParsedUrl:
    scheme, rest = _split_scheme(url)
    for letter in rest:
        if letter <= " " or letter == "\x7f":
            raise UsageError("the URL holds a space or a control character; write it percent-encoded")
    if "#" in rest:
        raise UsageError(f"the URL holds a '#', which has no meaning here; {_ESCAPE}")
    before, _, query = rest.partition("?")
    authority, slash, path = before.partition("/")
    if "@" in query or ("@" in path and scheme != "unix"):
        raise UsageError(f"the URL holds an '@' behind the host; {_ESCAPE}")
    userinfo, at, place = authority.rpartition("@")
    username, password = _read_userinfo(userinfo)
    if scheme == "unix":
        address, db = _unix_address(place, slash + path, has_userinfo=bool(at)), None
    else:
        address, db = _tcp_address(place), _read_db(path)
    return ParsedUrl(address, tls=_TLS[scheme], username=username, password=password, db=db, query=_read_query(query))


def _split_scheme(url: object) -> tuple[str, str]:
    scheme, mark, rest = _checks.text("a URL", url).partition("://")
    scheme = scheme.lower()
    if not mark or not _is_scheme(scheme):
        raise UsageError(
            f"a URL begins with its scheme, as in redis://127.0.0.1:6379/0 or unix:///run/redis.sock ({_KNOWN} exist)"
        )
    if scheme.endswith(_LATER):
        raise UsageError(f"URLs of the scheme {scheme} come with a later version; {_KNOWN} exist today")
    if scheme not in _TLS:
        raise UsageError(f"the URL's scheme {scheme!r} is not known; {_KNOWN} exist")
    return scheme, rest


def _is_scheme(text: str) -> bool:
    """Tell whether a text may be shown as a scheme: short, and of no letters that passwords and hosts are made of."""
    return 0 < len(text) <= 20 and text.isascii() and text.replace("+", "").isalpha()


def _read_userinfo(userinfo: str) -> tuple[str | None, Secret | None]:
    name, colon, secret = userinfo.partition(":")
    username = _unquote(name, "user name") or None
    if not colon or not (secret or username):
        return username, None
    return username, Secret(_unquote(secret, "password"))


def _tcp_address(place: str) -> Address:
    if place.startswith("["):
        inside, bracket, tail = place[1:].partition("]")
        host = _unquote(inside, "host")
        if not bracket or ":" not in host or not is_host(host):
            raise UsageError("the URL's [...] must hold an IPv6 address, as in redis://[::1]:6379/0")
        if tail and not tail.startswith(":"):
            raise UsageError("after the URL's [IPv6 address] only :port may follow")
        return Address(host, _read_port(tail))
    host, colon, port = place.partition(":")
    if ":" in port:
        raise UsageError("the URL's host holds more than one ':'; an IPv6 address goes into brackets, as in [::1]:6379")
    if not host:
        raise UsageError("the URL names no host; write one, as in redis://127.0.0.1:6379/0")
    if not is_host(host):
        raise UsageError(
            "the URL's host may hold ASCII letters, digits, '-', '.' and '_' only, other letters in their xn-- form; "
            + _ESCAPE
        )
    return Address(host, _read_port(colon + port))


def _read_port(text: str) -> int:
    """Read ":6379", or nothing, which is the default port."""
    if not text:
        return DEFAULT_PORT
    port = _digits(text[1:])
    if port is None or not 1 <= port <= 65535:
        raise UsageError(f"the URL's port must be a number between 1 and 65535; {_ESCAPE}")
    return port


def _read_db(path: str) -> int | None:
    db = _digits(path)
    if path and db is None:
        raise UsageError(f"the URL's path must be the number of a database, as in /0; {_ESCAPE}")
    return db


def _unix_address(place: str, path: str, *, has_userinfo: bool) -> Address:
    if place:
        raise UsageError(
            f"a unix URL holds a password, '@' and an absolute path, and no host; {_ESCAPE}"
            if has_userinfo or ":" in place
            else "a unix URL has three slashes and an absolute path, as in unix:///run/redis.sock"
        )
    path = _unquote(path, "path")
    if len(path) < 2 or "\0" in path:
        raise UsageError("a unix URL needs the absolute path of a socket without NUL, as in unix:///run/redis.sock")
    return Address(path=path)


def _read_query(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in query.split("&") if query else ():
        name, equals, value = part.partition("=")
        if not equals or not _is_name(name):
            raise UsageError(f"each option in the URL is written name=value, and they are joined by '&'; {_ESCAPE}")
        if name in options:
            raise UsageError(f"the URL gives the option {name!r} twice")
        options[name] = _unquote(value, f"value of {name!r}")
    return options


def _is_name(text: str) -> bool:
    """Tell whether a text may be shown as the name of an option."""
    return 0 < len(text) <= 40 and text.isascii() and text.replace("_", "").replace("-", "").isalnum()


def _digits(text: str) -> int | None:
    """Read a short decimal number; int() alone would take "1_0", " 1", "+1" and digits of other scripts."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 9 else None


def _unquote(text: str, what: str) -> str:
    """Percent-decode once; "+" stays "+", since this is a URL and no form."""
    if "%" not in text:
        return text
    head, *pieces = text.split("%")
    decoded = bytearray(head.encode())
    for piece in pieces:
        if len(piece) < 2 or not _HEX.issuperset(piece[:2]):
            raise UsageError(f"the URL's {what} holds a '%' without two hexadecimal digits; write % itself as %25")
        decoded.append(int(piece[:2], 16))
        decoded += piece[2:].encode()
    try:
        return decoded.decode()
    except UnicodeDecodeError:
        pass
    raise UsageError(f"the URL's {what} is not UTF-8 once it is percent-decoded")
