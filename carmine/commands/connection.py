"""Commands of the group "connection": who is connected, and the state of one connection.

What sets state on its connection (SELECT, AUTH, CLIENT TRACKING, ...) is for `client.connection()` alone: its Spec
carries the flag STATE, by which a pooled client refuses it. CLIENT REPLY and QUIT have no method: they would end the
pairing of commands and replies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from carmine.commands import decoders
from carmine.commands.arguments import hidden, some_args
from carmine.commands.command import Command, Text
from carmine.commands.specs import spec
from carmine.commands.words import only_one, switch, wait_ms
from carmine.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from carmine.commands.arguments import Password
    from carmine.types import Arg, Items, Seconds, Value


def _client(line: str) -> dict[str, str]:
    """`name=value name=value ...` -> dict; a value never holds a space."""
    return {name: value for name, _, value in (part.partition("=") for part in line.split())}


def _client_info(raw: Any) -> dict[str, str]:
    return _client(decoders.document(raw))


def _client_list(raw: Any) -> list[dict[str, str]]:
    return [_client(line) for line in decoders.document(raw).splitlines()]


def _hello(raw: Any) -> dict[str, Any]:
    told = decoders.mapping(raw)
    return {**told, "modules": [decoders.mapping(module) for module in told.get("modules", ())]}


def _filter_words(command: str, filters: Items[str, Arg | Iterable[Arg]] | None) -> list[Arg]:
    """Return `[name, value..., name, value..., ...]` of conditions, those with several values too."""
    words: list[Arg] = []
    for name, value in filters.items() if filters is not None else ():
        values: Any = (value,) if isinstance(value, int | float) else value
        words += (name, *some_args(command, values))
    return words


_AUTH = spec("AUTH", decoders.ok)
_CLIENT_CAPA = spec("CLIENT CAPA", decoders.ok)
_CLIENT_GETNAME = spec("CLIENT GETNAME", text=True)
_CLIENT_HELP = spec("CLIENT HELP", text=True)
_CLIENT_ID = spec("CLIENT ID")
_CLIENT_IMPORT_SOURCE = spec("CLIENT IMPORT-SOURCE", decoders.ok)
_CLIENT_INFO = spec("CLIENT INFO", _client_info, text=True)
_CLIENT_KILL = spec("CLIENT KILL")
_CLIENT_LIST = spec("CLIENT LIST", _client_list, text=True)
_CLIENT_NO_EVICT = spec("CLIENT NO-EVICT", decoders.ok)
_CLIENT_NO_TOUCH = spec("CLIENT NO-TOUCH", decoders.ok)
_CLIENT_PAUSE = spec("CLIENT PAUSE", decoders.ok)
_CLIENT_SETINFO = spec("CLIENT SETINFO", decoders.ok)
_CLIENT_SETNAME = spec("CLIENT SETNAME", decoders.ok)
_CLIENT_UNBLOCK = spec("CLIENT UNBLOCK", decoders.flag)
_CLIENT_UNPAUSE = spec("CLIENT UNPAUSE", decoders.ok)
_ECHO = spec("ECHO")
_HELLO = spec("HELLO", _hello, text=True)
_PING = spec("PING", decoders.ok)
_PING_MESSAGE = spec("PING")
_RESET = spec("RESET", decoders.ok)
_SELECT = spec("SELECT", decoders.ok)


def auth(password: Password, username: str | None = None) -> Command[bool]:
    """AUTH: make this connection another user's.

    Args:
        password: The password; as a `carmine.Secret` it stays out of what reporters print of frames.
        username: The user; None is the default one.

    Returns:
        True.

    Raises:
        AuthError: Wrong user or password.

    Since: 1.0.0 (`username` 6.0.0). Cost: O(1). Source: redis.io/commands/auth
    """
    if username is None:
        return Command(_AUTH, (b"AUTH", hidden(password)))
    return Command(_AUTH, (b"AUTH", username, hidden(password)))


def client_capa(*capabilities: str) -> Command[bool]:
    """CLIENT CAPA: tell the server what this connection understands, such as "redirect"; only Valkey has it.

    Args:
        *capabilities: Names; unknown ones are ignored.

    Returns:
        True.

    Since: Valkey 8.0.0. Cost: O(1). Source: valkey.io/commands/client-capa
    """
    return Command(_CLIENT_CAPA, (b"CLIENT", b"CAPA", *capabilities))


def client_getname() -> Command[str | None]:
    """CLIENT GETNAME: read this connection's name; None where it has none.

    Since: 2.6.9. Cost: O(1). Source: redis.io/commands/client-getname
    """
    return Command(_CLIENT_GETNAME, (b"CLIENT", b"GETNAME"))


def client_help() -> Command[list[str]]:
    """CLIENT HELP: read the server's help on CLIENT, line by line.

    Since: 5.0.0. Cost: O(1). Source: redis.io/commands/client-help
    """
    return Command(_CLIENT_HELP, (b"CLIENT", b"HELP"))


def client_id() -> Command[int]:
    """CLIENT ID: read the number that the server gave this connection.

    Since: 5.0.0. Cost: O(1). Source: redis.io/commands/client-id
    """
    return Command(_CLIENT_ID, (b"CLIENT", b"ID"))


def client_import_source(on: bool) -> Command[bool]:
    """CLIENT IMPORT-SOURCE: let this connection touch expired keys while the server imports; only Valkey has it.

    Args:
        on: Whether it may.

    Returns:
        True.

    Since: Valkey 8.1.0. Cost: O(1). Source: valkey.io/commands/client-import-source
    """
    return Command(_CLIENT_IMPORT_SOURCE, (b"CLIENT", b"IMPORT-SOURCE", switch(on)))


def client_info() -> Command[dict[str, str]]:
    """CLIENT INFO: read what the server knows of this connection.

    Returns:
        Values by name, all of them text, such as `{"id": "7", "addr": "127.0.0.1:50000", ...}`.

    Since: 6.2.0. Cost: O(1). Source: redis.io/commands/client-info
    """
    return Command(_CLIENT_INFO, (b"CLIENT", b"INFO"))


def client_kill(
    *,
    client_id: int | None = None,
    type: str | None = None,
    user: str | None = None,
    addr: str | None = None,
    laddr: str | None = None,
    skipme: bool | None = None,
    maxage: int | None = None,
    filters: Items[str, Arg | Iterable[Arg]] | None = None,
) -> Command[int]:
    """CLIENT KILL: close connections of the server's clients; all conditions must hold.

    Args:
        client_id: The connection's number.
        type: "normal", "replica", "pubsub" or "primary".
        user: The user it belongs to (from 6.0).
        addr: Its "host:port".
        laddr: The "host:port" of the server that it reached (from 6.2).
        skipme: Whether this connection is spared; the server's default is yes.
        maxage: At least so many seconds old (from 7.4).
        filters: More conditions by their names (from Valkey 9.0), such as `{"NAME": "me", "NOT-TYPE": "pubsub"}`.

    Returns:
        How many were closed.

    Raises:
        UsageError: No condition.

    Since: 2.4.0 (conditions 2.8.12). Cost: O(connections). Source: redis.io/commands/client-kill
    """
    told = {b"ID": client_id, b"TYPE": type, b"USER": user, b"ADDR": addr, b"LADDR": laddr, b"MAXAGE": maxage}
    words: list[Arg] = [b"CLIENT", b"KILL"]
    for token, value in told.items():
        if value is not None:
            words += (token, value)
    words += _filter_words("CLIENT KILL", filters)
    if len(words) == 2:
        raise UsageError("CLIENT KILL needs at least one condition besides skipme")
    if skipme is not None:
        words += (b"SKIPME", b"YES" if skipme else b"NO")
    return Command(_CLIENT_KILL, tuple(words))


def client_list(
    type: str | None = None,
    client_ids: Iterable[int] | None = None,
    *,
    filters: Items[str, Arg | Iterable[Arg]] | None = None,
) -> Command[list[dict[str, str]]]:
    """CLIENT LIST: read what the server knows of its connections.

    Args:
        type: Only "normal", "replica", "pubsub" or "master" ones.
        client_ids: Only those with these numbers (from 6.2).
        filters: More conditions by their names (from Valkey 9.0), such as `{"DB": 0, "NOT-ID": [7, 8]}`.

    Returns:
        One dict for each connection, all values text.

    Raises:
        UsageError: Both conditions, or an empty list of numbers.

    Since: 2.4.0. Cost: O(connections). Source: redis.io/commands/client-list
    """
    only_one("CLIENT LIST", type=type is not None, client_ids=client_ids is not None)
    words: list[Arg] = [b"CLIENT", b"LIST"]
    if type is not None:
        words += (b"TYPE", type)
    if client_ids is not None:
        numbers = some_args("CLIENT LIST", client_ids)
        if not numbers:
            raise UsageError("CLIENT LIST needs at least one of client_ids")
        words += (b"ID", *numbers)
    return Command(_CLIENT_LIST, (*words, *_filter_words("CLIENT LIST", filters)))


def client_no_evict(on: bool) -> Command[bool]:
    """CLIENT NO-EVICT: keep this connection when the server closes connections to save memory, or not.

    Args:
        on: Whether it is kept.

    Returns:
        True.

    Since: 7.0.0. Cost: O(1). Source: redis.io/commands/client-no-evict
    """
    return Command(_CLIENT_NO_EVICT, (b"CLIENT", b"NO-EVICT", switch(on)))


def client_no_touch(on: bool) -> Command[bool]:
    """CLIENT NO-TOUCH: let this connection's commands leave it unnoticed when a key was last used, or not.

    Args:
        on: Whether its commands go unnoticed.

    Returns:
        True.

    Since: 7.2.0. Cost: O(1). Source: redis.io/commands/client-no-touch
    """
    return Command(_CLIENT_NO_TOUCH, (b"CLIENT", b"NO-TOUCH", switch(on)))


def client_pause(timeout: Seconds, mode: Literal["ALL", "WRITE"] | None = None) -> Command[bool]:
    """CLIENT PAUSE: let all clients' commands wait.

    Args:
        timeout: For how long, in seconds.
        mode: "WRITE" stops writes alone (from 6.2); the server's default is "ALL".

    Returns:
        True.

    Since: 3.0.0. Cost: O(1). Source: redis.io/commands/client-pause
    """
    words = (b"CLIENT", b"PAUSE", wait_ms("timeout", timeout))
    return Command(_CLIENT_PAUSE, words if mode is None else (*words, mode))


def client_setinfo(attribute: Literal["LIB-NAME", "LIB-VER"], value: str) -> Command[bool]:
    """CLIENT SETINFO: tell the server which library this connection uses.

    Args:
        attribute: What is told.
        value: Its value, without spaces.

    Returns:
        True.

    Since: 7.2.0. Cost: O(1). Source: redis.io/commands/client-setinfo
    """
    return Command(_CLIENT_SETINFO, (b"CLIENT", b"SETINFO", attribute, value))


def client_setname(name: str) -> Command[bool]:
    """CLIENT SETNAME: give this connection a name; the option `client_name` does it for all of a client.

    Args:
        name: The name, without spaces; empty takes it away.

    Returns:
        True.

    Since: 2.6.9. Cost: O(1). Source: redis.io/commands/client-setname
    """
    return Command(_CLIENT_SETNAME, (b"CLIENT", b"SETNAME", name))


def client_unblock(client_id: int, error: bool = False) -> Command[bool]:
    """CLIENT UNBLOCK: end the waiting of another connection's blocking command.

    Args:
        client_id: The connection's number.
        error: Whether that command ends with an error instead of as if its time were up.

    Returns:
        Whether it was waiting.

    Since: 5.0.0. Cost: O(log connections). Source: redis.io/commands/client-unblock
    """
    return Command(_CLIENT_UNBLOCK, (b"CLIENT", b"UNBLOCK", client_id, b"ERROR" if error else b"TIMEOUT"))


def client_unpause() -> Command[bool]:
    """CLIENT UNPAUSE: end what `client_pause` began.

    Returns:
        True.

    Since: 6.2.0. Cost: O(paused connections). Source: redis.io/commands/client-unpause
    """
    return Command(_CLIENT_UNPAUSE, (b"CLIENT", b"UNPAUSE"))


def echo(message: Value) -> Command[Text]:
    """ECHO: have the server say what it was told.

    Args:
        message: Anything.

    Since: 1.0.0. Cost: O(1). Source: redis.io/commands/echo
    """
    return Command(_ECHO, (b"ECHO", message))


def hello(
    protover: Literal[2, 3] | None = None,
    *,
    username: str = "default",
    password: Password | None = None,
    setname: str | None = None,
) -> Command[dict[str, Any]]:
    """HELLO: read what the server says of itself, and agree with it on a protocol, a user and a name.

    Args:
        protover: The protocol from here on; None keeps it.
        username: The user, with `password`.
        password: The password; as a `carmine.Secret` it stays out of what reporters print of frames.
        setname: This connection's name.

    Returns:
        `server`, `version`, `proto`, `id`, `mode`, `role`, `modules`.

    Raises:
        UsageError: `password` or `setname` without `protover`.
        AuthError: Wrong user or password.

    Wire: A map on RESP3, a flat list on RESP2.

    Since: 6.0.0. Cost: O(1). Source: redis.io/commands/hello
    """
    if protover is None:
        if password is not None or setname is not None:
            raise UsageError("HELLO takes password and setname only with protover")
        return Command(_HELLO, (b"HELLO",))
    words: list[Arg] = [b"HELLO", protover]
    if password is not None:
        words += (b"AUTH", username, hidden(password))
    if setname is not None:
        words += (b"SETNAME", setname)
    return Command(_HELLO, tuple(words))


@overload
def ping(message: None = None) -> Command[bool]: ...
@overload
def ping(message: Arg) -> Command[Text]: ...
def ping(message: Arg | None = None) -> Command[Any]:
    """PING: ask whether the server answers.

    Args:
        message: What it shall say; None lets it say PONG.

    Returns:
        True, or the message.

    Since: 1.0.0. Cost: O(1). Source: redis.io/commands/ping
    """
    if message is None:
        return Command(_PING, (b"PING",))
    return Command(_PING_MESSAGE, (b"PING", message))


def reset() -> Command[bool]:
    """RESET: take all state from this connection: user, database, name, transaction, subscriptions, protocol.

    Returns:
        True.

    Since: 6.2.0. Cost: O(1). Source: redis.io/commands/reset
    """
    return Command(_RESET, (b"RESET",))


def select(db: int) -> Command[bool]:
    """SELECT: change the database of this connection; the option `db` does it for all of a client.

    Args:
        db: The database's number.

    Returns:
        True.

    Since: 1.0.0. Cost: O(1). Source: redis.io/commands/select
    """
    return Command(_SELECT, (b"SELECT", db))
