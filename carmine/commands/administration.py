"""Commands of the group "server" for those who run one: modules, replication, the command log, its end.

What a server says comes as str, on Client[bytes] too; the command log comes as bytes, since it holds pieces of other
clients' arguments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from carmine.commands import decoders
from carmine.commands.arguments import some_args
from carmine.commands.command import Command
from carmine.commands.specs import spec
from carmine.commands.words import flattened, only_one, wait_ms
from carmine.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from carmine.types import Arg, Items, Seconds

LogKind: TypeAlias = "Literal['slow', 'large-request', 'large-reply']"
"""The commands that took long, those with large arguments, or those with large replies."""


class LoggedCommand(NamedTuple):
    """An entry of the command log.

    Attributes:
        number: Its number, growing.
        when: When it was written, in seconds since the epoch.
        size: How long the command ran, in microseconds, or how many bytes its arguments or its reply had.
        words: The command; the server shortens long ones.
        address: Who sent it, "host:port".
        client_name: The name of that connection, empty where it has none.
    """

    number: int
    when: int
    size: int
    words: list[bytes]
    address: str
    client_name: str


def _logged(raw: Any) -> list[LoggedCommand]:
    return [
        LoggedCommand(number, when, size, words, address.decode(), name.decode(errors="replace"))
        for number, when, size, words, address, name in raw
    ]


def _modules(raw: Any) -> list[dict[str, Any]]:
    return [decoders.mapping(each) for each in raw]


_COMMANDLOG_GET = spec("COMMANDLOG GET", _logged, text=False)
_COMMANDLOG_LEN = spec("COMMANDLOG LEN")
_COMMANDLOG_RESET = spec("COMMANDLOG RESET", decoders.ok)
_DEBUG = spec("DEBUG", text=True)
_FAILOVER = spec("FAILOVER", decoders.ok)
_MODULE_LIST = spec("MODULE LIST", _modules, text=True)
_MODULE_LOAD = spec("MODULE LOAD", decoders.ok)
_MODULE_LOADEX = spec("MODULE LOADEX", decoders.ok)
_MODULE_UNLOAD = spec("MODULE UNLOAD", decoders.ok)
_REPLICAOF = spec("REPLICAOF", decoders.ok)
_SHUTDOWN = spec("SHUTDOWN", decoders.ok)
_SLAVEOF = spec("SLAVEOF", decoders.ok)


def _primary(host: str | None, port: int) -> tuple[Arg, ...]:
    return (b"NO", b"ONE") if host is None else (host, port)


def commandlog_get(count: int, kind: LogKind = "slow") -> Command[list[LoggedCommand]]:
    """COMMANDLOG GET: read the newest entries of a log, `count` at most; -1 is all.

    Since: Valkey 8.1.0. Cost: O(count). Source: valkey.io/commands/commandlog-get
    """
    return Command(_COMMANDLOG_GET, (b"COMMANDLOG", b"GET", count, kind))


def commandlog_len(kind: LogKind = "slow") -> Command[int]:
    """COMMANDLOG LEN: count the entries of a log.

    Since: Valkey 8.1.0. Cost: O(1). Source: valkey.io/commands/commandlog-len
    """
    return Command(_COMMANDLOG_LEN, (b"COMMANDLOG", b"LEN", kind))


def commandlog_reset(kind: LogKind = "slow") -> Command[bool]:
    """COMMANDLOG RESET: empty a log.

    Since: Valkey 8.1.0. Cost: O(entries). Source: valkey.io/commands/commandlog-reset
    """
    return Command(_COMMANDLOG_RESET, (b"COMMANDLOG", b"RESET", kind))


def debug(subcommand: str, *args: Arg) -> Command[Any]:
    """DEBUG: do what only tests of servers should, and may crash it; the reply comes as the protocol gave it.

    Since: 1.0.0. Cost: As it may be. Source: redis.io/commands/debug
    """
    return Command(_DEBUG, (b"DEBUG", subcommand, *args))


def failover(
    host: str | None = None,
    port: int | None = None,
    *,
    force: bool = False,
    abort: bool = False,
    timeout: Seconds | None = None,
) -> Command[bool]:
    """FAILOVER: have a primary change places with one of its replicas.

    Args:
        host: This replica; otherwise the first one that has everything.
        port: Its port.
        force: Give up waiting for it when the time is up, and change all the same.
        abort: Give up a change that has begun.
        timeout: How long to wait for the replica; without end when not given.

    Returns:
        True: it has begun, or was given up.

    Raises:
        UsageError: A host without a port, `force` without a host and a timeout, or `abort` with anything.

    Since: 6.2.0. Cost: O(1). Source: redis.io/commands/failover
    """
    if abort:
        only_one("FAILOVER", abort=abort, host=host is not None, force=force, timeout=timeout is not None)
        return Command(_FAILOVER, (b"FAILOVER", b"ABORT"))
    words: list[Arg] = [b"FAILOVER"]
    if host is not None and port is not None:
        words += (b"TO", host, port)
    elif host is not None or port is not None:
        raise UsageError("FAILOVER takes host and port together")
    if force:
        if host is None or timeout is None:
            raise UsageError("FAILOVER takes force only with host, port and timeout")
        words.append(b"FORCE")
    if timeout is not None:
        words += (b"TIMEOUT", wait_ms("timeout", timeout))
    return Command(_FAILOVER, tuple(words))


def module_list() -> Command[list[dict[str, Any]]]:
    """MODULE LIST: read which modules the server has, each by the server's names, such as "name" and "ver".

    Since: 4.0.0. Cost: O(modules). Source: redis.io/commands/module-list
    """
    return Command(_MODULE_LIST, (b"MODULE", b"LIST"))


def module_load(path: str, *args: Arg) -> Command[bool]:
    """MODULE LOAD: load a module from a file on the server, which runs with all the server may do.

    Since: 4.0.0. Cost: O(1). Source: redis.io/commands/module-load
    """
    return Command(_MODULE_LOAD, (b"MODULE", b"LOAD", path, *args))


def module_loadex(path: str, *, config: Items[str, Arg] | None = None, args: Arg | Iterable[Arg] = ()) -> Command[bool]:
    """MODULE LOADEX: load a module with settings.

    Args:
        path: The file on the server.
        config: The settings.
        args: Its arguments.

    Since: 7.0.0. Cost: O(1). Source: redis.io/commands/module-loadex
    """
    words: list[Arg] = [b"MODULE", b"LOADEX", path]
    settings = flattened("MODULE LOADEX", config) if config is not None else []
    for name, value in zip(settings[::2], settings[1::2], strict=True):
        words += (b"CONFIG", name, value)
    given = some_args("MODULE LOADEX", args)
    return Command(_MODULE_LOADEX, (*words, b"ARGS", *given) if given else tuple(words))


def module_unload(name: str) -> Command[bool]:
    """MODULE UNLOAD: unload a module.

    Since: 4.0.0. Cost: O(1). Source: redis.io/commands/module-unload
    """
    return Command(_MODULE_UNLOAD, (b"MODULE", b"UNLOAD", name))


def replicaof(host: str | None, port: int = 6379) -> Command[bool]:
    """REPLICAOF: make the server a replica of another, whose data replaces its own; None makes it a primary.

    Since: 5.0.0. Cost: O(1). Source: redis.io/commands/replicaof
    """
    return Command(_REPLICAOF, (b"REPLICAOF", *_primary(host, port)))


def shutdown(
    save: bool | None = None,
    *,
    now: bool = False,
    force: bool = False,
    safe: bool = False,
    failover: bool = False,
    abort: bool = False,
) -> Command[bool]:
    """SHUTDOWN: end the server.

    Args:
        save: Save before, or do not; None does as the server is configured.
        now: Do not wait for replicas (from 7.0).
        force: Even where saving fails (from 7.0).
        safe: Only where that harms no cluster (Valkey 9.0).
        failover: Hand over to a replica of the cluster before (Valkey 9.0).
        abort: Give up an end that has begun (from 7.0).

    Returns:
        True for `abort`. Otherwise nothing comes back.

    Raises:
        ConnectionLost: The server has ended, as it should.
        UsageError: `abort` with anything.

    Since: 1.0.0. Cost: O(keys) where it saves. Source: redis.io/commands/shutdown
    """
    told = {b"NOW": now, b"FORCE": force, b"SAFE": safe, b"FAILOVER": failover, b"ABORT": abort}
    if abort and (save is not None or sum(told.values()) > 1):
        raise UsageError("SHUTDOWN takes abort alone")
    saving = () if save is None else (b"SAVE" if save else b"NOSAVE",)
    return Command(_SHUTDOWN, (b"SHUTDOWN", *saving, *(word for word, given in told.items() if given)))


def slaveof(host: str | None, port: int = 6379) -> Command[bool]:
    """SLAVEOF: as `replicaof`, which has replaced it.

    Since: 1.0.0. Cost: O(1). Source: redis.io/commands/slaveof
    """
    return Command(_SLAVEOF, (b"SLAVEOF", *_primary(host, port)))
