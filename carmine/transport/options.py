"""Every option of a client, in one frozen value, made from a URL and keyword arguments.

This room opens nothing and loads neither `ssl` nor any file. Invariants: an Options value is valid or does not exist;
its secrets show as `***`; a URL can ask for more safety than a keyword, never for less; an error names options and
types, never values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, TypedDict, Unpack

from carmine._checks import kind
from carmine._frozen import Frozen
from carmine.errors import UsageError
from carmine.retry import Retry
from carmine.transport.address import Address
from carmine.transport.credentials import Credentials, Secret, ask, ask_async, warn_if_cleartext
from carmine.transport.option_table import TABLE, unknown
from carmine.transport.url import ParsedUrl, parse_url

if TYPE_CHECKING:
    import os
    import socket
    from collections.abc import Awaitable, Callable, Collection
    from ssl import SSLContext

    from carmine.transport.credentials import AnyProvider
    from carmine.transport.option_table import CheckMoment
    from carmine.types import Seconds, SerializerArg

__all__ = ["DEFAULT_URL", "ClientArgs", "OptionArgs", "Options"]

DEFAULT_URL: Final = "redis://127.0.0.1:6379/0"


class ClientArgs(TypedDict, total=False):
    """The keyword arguments of every client but `decode` and `serializer`, which decide its type; see `Options`."""

    username: str | None
    password: str | Secret | None
    credentials: Credentials | AnyProvider | None
    db: int
    client_name: str | None
    protocol: Literal[2, 3] | None
    tls: SSLContext | bool | None
    insecure_skip_verify: bool
    ca_certs: str | os.PathLike[str] | None
    certfile: str | os.PathLike[str] | None
    keyfile: str | os.PathLike[str] | None
    connect_timeout: Seconds
    read_timeout: Seconds | None
    keepalive: bool
    connections: int
    pool_size: int
    pool_timeout: Seconds | None
    min_idle: int
    max_idle: int | None
    max_idle_time: Seconds | None
    max_lifetime: Seconds | None
    check: tuple[CheckMoment, ...] | Collection[CheckMoment]  # mypy takes a tuple's display for no Collection
    retry: Retry
    hooks: object
    socket_factory: Callable[..., socket.socket] | None
    on_connect: Callable[[Any], Awaitable[object] | object] | None


class OptionArgs(ClientArgs, total=False):
    """The keyword arguments that every client takes; what they mean stands at `Options`."""

    decode: bool
    serializer: SerializerArg | None


class Options(Frozen):
    """Where to connect, and how; frozen, checked when it is made.

    Attributes:
        address: Where the server listens.
        username: For AUTH; None is the server's default user.
        password: For AUTH, wrapped. An empty one without a user name counts as none.
        credentials: Instead of the two: Credentials, or a function asked for them at each new connection.
        db: The database number.
        client_name: For CLIENT SETNAME; printable ASCII without spaces.
        protocol: 3 or 2; None takes 3 and falls back to 2 where the server has no HELLO.
        decode: Whether replies are str; False gives bytes.
        serializer: What freezes and thaws values: True for carmine's own format (data only; docs/freezing.md), or an
            object, or a pair, of `dumps(value) -> bytes` and `loads(bytes) -> value`. None and False: nothing does.
            It is never pickle, which runs whatever code the stored bytes say.
        tls: True or an SSLContext, which is used as it is; None for plain connections.
        insecure_skip_verify: True accepts any certificate, and warns. Never from a URL.
        ca_certs: A PEM file or a directory of authorities, trusted instead of the system's.
        certfile: A PEM file with the client's certificate.
        keyfile: A PEM file with its key, if `certfile` does not hold it.
        connect_timeout: Seconds for look-up, TCP, TLS and handshake together.
        read_timeout: Seconds for one reply, from sending to its last byte; None waits for ever. Blocking commands
            have their own.
        keepalive: Whether TCP keepalive is on.
        connections: Multiplexed connections of an async client to one node.
        pool_size: Connections at most; 0 pools nothing, each use opens and closes one.
        pool_timeout: Seconds to wait for a connection of an exhausted pool; None waits for ever.
        min_idle: Connections kept open while unused.
        max_idle: Unused connections kept at most; None keeps all.
        max_idle_time: Seconds after which an unused connection is closed; None never does.
        max_lifetime: Seconds after which a connection is replaced; None never does.
        check: When a pooled connection is tested: any of "idle", "borrow", "return".
        retry: Which failures are tried again, and when.
        hooks: One object whose methods are called at the client's events.
        socket_factory: Opens the socket in the library's stead.
        on_connect: Called with each new connection, after the handshake.
    """

    __slots__ = ("address", *TABLE)

    address: Address
    username: str | None
    password: Secret | None
    credentials: Credentials | AnyProvider | None
    db: int
    client_name: str | None
    protocol: Literal[2, 3] | None
    decode: bool
    serializer: Any
    tls: SSLContext | Literal[True] | None
    insecure_skip_verify: bool
    ca_certs: str | None
    certfile: str | None
    keyfile: str | None
    connect_timeout: float
    read_timeout: float | None
    keepalive: bool
    connections: int
    pool_size: int
    pool_timeout: float | None
    min_idle: int
    max_idle: int | None
    max_idle_time: float | None
    max_lifetime: float | None
    check: tuple[CheckMoment, ...]
    retry: Retry
    hooks: Any
    socket_factory: Callable[..., socket.socket] | None
    on_connect: Callable[[Any], Awaitable[object] | object] | None

    @classmethod
    def build(cls, url: str = DEFAULT_URL, **given: Unpack[OptionArgs]) -> Options:
        """Make the options from a URL and keyword arguments.

        A keyword wins over the URL, with two limits. A keyword of None, where None means "not set", leaves what the
        URL says. And where the URL asks for TLS, `tls=False` is an error instead of a plain connection.

        Raises:
            UsageError: An unknown option (the nearest name is suggested), a wrong type or range, options that
                contradict each other, or a URL that cannot be read.
        """
        try:
            parsed = parse_url(url)
            values = _from_url(parsed)
            _override(values, dict(given))
            return cls(parsed.address, **values)
        except UsageError as exc:
            refusal = str(exc)
        # Raised anew, with everything that holds a secret gone: error reporters print the locals of all frames.
        url, given, parsed, values = "", {}, None, None  # type: ignore[assignment]  # on the way out
        raise UsageError(refusal)

    def __init__(self, address: Address, **values: Unpack[OptionArgs]) -> None:
        """Check and keep the options of one address.

        Raises:
            UsageError: As `build`.
        """
        try:
            self._fill(address, dict(values))
            return
        except UsageError as exc:
            refusal = str(exc)
        values = {}  # as in build
        raise UsageError(refusal)

    def _fill(self, address: object, values: dict[str, Any]) -> None:
        if not isinstance(address, Address):
            raise UsageError(f"Options need an Address, not {kind(address)}")
        for name in values:
            if name not in TABLE:
                raise unknown(name)
        self._put(address=address)
        for name, option in TABLE.items():
            value = values.get(name, option.default)
            if value is not None:
                value = option.check(name, value)
            elif option.none == "refused":
                raise UsageError(f"{name} must not be None")
            object.__setattr__(self, name, value)
        if not self.username:
            self._put(username=None)
            if self.password == _NOTHING:  # what ":@" and an unset environment variable give
                self._put(password=None)
        self._check_together()

    def _check_together(self) -> None:
        if self.credentials is not None and not (self.username is None and self.password is None):
            raise UsageError("give either credentials or username and password, not both")
        if self.username is not None and self.password is None:
            raise UsageError("a username needs a password; a URL with a password alone is redis://:password@host")
        if self.min_idle > self.pool_size:
            raise UsageError("min_idle must not be above pool_size")
        if self.max_idle is not None and self.max_idle < self.min_idle:
            raise UsageError("max_idle must not be below min_idle")
        if self.keyfile is not None and self.certfile is None:
            raise UsageError("keyfile needs certfile, the certificate that the key belongs to")
        if self.tls is not None and self.address.is_unix:
            raise UsageError("a unix socket takes no TLS: leave tls out, or connect to a host")
        for name in ("insecure_skip_verify", "ca_certs", "certfile", "keyfile"):
            if getattr(self, name) and self.tls is None:
                raise UsageError(f"{name} is for TLS, which is off: use rediss:// or tls=True")
            if getattr(self, name) and self.tls is not True:
                raise UsageError(f"{name} does not go together with an SSLContext, which is used as it is")

    @property
    def uses_tls(self) -> bool:
        """Whether connections are made over TLS."""
        return self.tls is not None

    @property
    def has_login(self) -> bool:
        """Whether a new connection authenticates."""
        return self.password is not None or self.credentials is not None

    def login(self) -> Credentials | None:
        """Return the credentials for one new connection, asking the provider; None where none are used.

        Warns once per address when they are about to cross a network in the clear (a `socket_factory` knows better
        what it opened, and is trusted).

        Raises:
            HandshakeFailed: The provider raised.
            UsageError: The provider gave no pair, or has to be awaited.
        """
        self._warn_if_cleartext()
        given = self.credentials
        return ask(given, self.address) if callable(given) else self._fixed_login()

    async def login_async(self) -> Credentials | None:
        """Return the credentials as `login` does; the provider may be one that has to be awaited."""
        self._warn_if_cleartext()
        given = self.credentials
        return await ask_async(given, self.address) if callable(given) else self._fixed_login()

    def _fixed_login(self) -> Credentials | None:
        if isinstance(self.credentials, Credentials):
            return self.credentials
        return None if self.password is None else Credentials(self.username, self.password)

    def _warn_if_cleartext(self) -> None:
        if self.has_login and self.socket_factory is None:
            warn_if_cleartext(self.address, tls=self.uses_tls)

    def with_(self, address: Address | None = None, **changes: Unpack[OptionArgs]) -> Options:
        """Return these options with another address or other values, checked anew.

        Raises:
            UsageError: As `build`.
        """
        values: dict[str, Any] = {name: getattr(self, name) for name in TABLE}
        values.update(changes)
        changes = {}  # __init__ empties its own frame; this one travels with its error too
        try:
            return type(self)(address or self.address, **values)
        finally:
            values = {}

    def _show(self) -> str:
        """Show the address and what differs from the defaults; secrets as ***, live objects by their type."""
        shown = [repr(str(self.address))]
        for name, option in TABLE.items():
            value = getattr(self, name)
            if value != option.default:
                plain = isinstance(value, str | int | float | tuple | Secret | Credentials | Retry) or value is None
                shown.append(f"{name}={value!r}" if plain else f"{name}=<{kind(value)}>")
        return f"Options({', '.join(shown)})"

    def __hash__(self) -> int:
        return hash((self.address, self.db))  # which equal options share; the rest may not be hashable

    def __reduce__(self) -> NoReturn:
        raise TypeError("Options cannot be pickled: they hold secrets; make the client anew in the other process")


_NOTHING: Final = Secret("")


def _from_url(parsed: ParsedUrl) -> dict[str, Any]:
    """Return the options that a URL gives, by name."""
    said = (("username", parsed.username), ("password", parsed.password), ("db", parsed.db))
    found: dict[str, Any] = {name: value for name, value in said if value is not None}
    for name, text in parsed.query.items():
        option = TABLE.get(name)
        if option is None:
            raise unknown(name)
        if option.read is None:
            raise UsageError(f"{name} cannot stand in a URL: give it as a keyword argument")
        if name in found:
            raise UsageError(f"the URL gives the option {name!r} twice")
        found[name] = option.read(name, text)
    if parsed.tls and found.setdefault("tls", True) is False:
        raise UsageError("the URL contradicts itself: its scheme asks for TLS and its tls option switches it off")
    return found


def _override(values: dict[str, Any], given: dict[str, Any]) -> None:
    """Let keywords win over the URL's values, in place."""
    if values.get("tls") and given.get("tls") is False:
        raise UsageError("tls=False contradicts the URL, which asks for TLS: use a redis:// URL for a plain connection")
    if given.get("credentials") is not None:  # stands in for the URL's pair
        values.pop("username", None)
        values.pop("password", None)
    for name, value in given.items():
        option = TABLE.get(name)
        if value is not None or option is None or option.none != "unset":
            values[name] = value
