"""Commands of the group "server" that every program meets: what the server is, holds, remembers, and is told to do.

What a server says about itself comes as str, on Client[bytes] too; the slow log comes as bytes, since it holds
pieces of other clients' arguments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from carmine.commands import decoders
from carmine.commands.command import Command
from carmine.commands.specs import spec
from carmine.commands.words import only_one
from carmine.errors import UsageError

if TYPE_CHECKING:
    from carmine.types import Arg, Key


class SlowCommand(NamedTuple):
    """An entry of the slow log.

    Attributes:
        number: Its number, growing.
        when: When the command ended, in seconds since the epoch.
        micros: How long it ran, in microseconds, waiting left out.
        words: The command; the server shortens long ones.
        address: Who sent it, "host:port".
        client_name: The name of that connection, empty where it has none.
    """

    number: int
    when: int
    micros: int
    words: list[bytes]
    address: str
    client_name: str


def _is_number(text: str) -> bool:
    """Whether a text is digits alone, as a server writes a number: no sign, no zero in front."""
    return text.isascii() and text.isdigit() and (text[0] != "0" or text == "0") and len(text) < 20


def _info_value(name: str, text: str) -> Any:
    """A field of INFO: a whole or decimal number, `a=1,b=2` as a dict, or the text itself. A version stays text."""
    if name.endswith("_version"):
        return text
    whole, point, part = text.removeprefix("-").partition(".")
    if _is_number(whole):
        if not point:
            return int(text)
        if part.isascii() and part.isdigit():
            return float(text)
    pairs = [each.partition("=") for each in text.split(",")]
    if all(equals and key.replace("_", "").replace("-", "").isalnum() for key, equals, _ in pairs):
        return {key: _info_value(key, value) for key, _, value in pairs}
    return text


def _info(raw: Any) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for line in decoders.document(raw).splitlines():
        name, colon, text = line.partition(":")
        if not colon or name.startswith("#"):
            continue
        if name == "module":  # the one name that comes several times
            told.setdefault("modules", []).append(_info_value(name, text))
        else:
            told[name] = _info_value(name, text)
    return told


def _role(raw: Any) -> dict[str, Any]:
    role, *rest = raw
    if role == "master":
        offset, replicas = rest
        return {
            "role": role,
            "offset": offset,
            "replicas": [(host, int(port), int(offset)) for host, port, offset in replicas],
        }
    if role == "sentinel":
        return {"role": role, "services": rest[0]}
    return dict(zip(("role", "host", "port", "state", "offset"), raw, strict=True))


def _time(raw: Any) -> tuple[int, int]:
    seconds, micros = raw
    return int(seconds), int(micros)


def _slow_commands(raw: Any) -> list[SlowCommand]:
    return [
        SlowCommand(number, when, micros, words, address.decode(), name.decode(errors="replace"))
        for number, when, micros, words, address, name in raw
    ]


_BGREWRITEAOF = spec("BGREWRITEAOF", decoders.ok)
_BGSAVE = spec("BGSAVE", decoders.ok)
_CONFIG_GET = spec("CONFIG GET", decoders.mapping, text=True)
_CONFIG_RESETSTAT = spec("CONFIG RESETSTAT", decoders.ok)
_CONFIG_REWRITE = spec("CONFIG REWRITE", decoders.ok)
_CONFIG_SET = spec("CONFIG SET", decoders.ok)
_DBSIZE = spec("DBSIZE")
_FLUSHALL = spec("FLUSHALL", decoders.ok)
_FLUSHDB = spec("FLUSHDB", decoders.ok)
_INFO = spec("INFO", _info, text=True)
_LASTSAVE = spec("LASTSAVE")
_LOLWUT = spec("LOLWUT", decoders.document, text=True)
_MEMORY_USAGE = spec("MEMORY USAGE")
_ROLE = spec("ROLE", _role, text=True)
_SAVE = spec("SAVE", decoders.ok)
_SLOWLOG_GET = spec("SLOWLOG GET", _slow_commands, text=False)
_SLOWLOG_LEN = spec("SLOWLOG LEN")
_SLOWLOG_RESET = spec("SLOWLOG RESET", decoders.ok)
_SWAPDB = spec("SWAPDB", decoders.ok)
_TIME = spec("TIME", _time, text=True)


def bgrewriteaof() -> Command[bool]:
    """BGREWRITEAOF: begin to write the append-only file anew.

    Returns:
        True: it has begun, or will when a running save is done.

    Since: 1.0.0. Cost: O(1). Source: redis.io/commands/bgrewriteaof
    """
    return Command(_BGREWRITEAOF, (b"BGREWRITEAOF",))


def bgsave(schedule: bool = False, cancel: bool = False) -> Command[bool]:
    """BGSAVE: begin to save all data to disk.

    Args:
        schedule: While the append-only file is being written, wait for its end instead of failing.
        cancel: Instead stop a save that runs or is to begin (from Valkey 8.1).

    Returns:
        True: it has begun, or will, or was stopped.

    Raises:
        UsageError: Both options.
        ServerError: One runs already, or there is none to stop.

    Since: 1.0.0. Cost: O(1). Source: redis.io/commands/bgsave
    """
    if cancel:
        only_one("BGSAVE", schedule=schedule, cancel=cancel)
        return Command(_BGSAVE, (b"BGSAVE", b"CANCEL"))
    if schedule:
        return Command(_BGSAVE, (b"BGSAVE", b"SCHEDULE"))
    return Command(_BGSAVE, (b"BGSAVE",))


def config_get(*patterns: str) -> Command[dict[str, str]]:
    """CONFIG GET: read configuration parameters.

    Args:
        *patterns: Names, or patterns of names (several from 7.0).

    Returns:
        Values by name, all of them text.

    Wire: A map on RESP3, a flat list on RESP2.

    Since: 2.0.0. Cost: O(parameters). Source: redis.io/commands/config-get
    """
    return Command(_CONFIG_GET, (b"CONFIG", b"GET", *patterns))


def config_resetstat() -> Command[bool]:
    """CONFIG RESETSTAT: set the counters of INFO back.

    Returns:
        True.

    Since: 2.0.0. Cost: O(1). Source: redis.io/commands/config-resetstat
    """
    return Command(_CONFIG_RESETSTAT, (b"CONFIG", b"RESETSTAT"))


def config_rewrite() -> Command[bool]:
    """CONFIG REWRITE: write the configuration in force to the file that the server began with.

    Returns:
        True.

    Raises:
        ServerError: It began without one, or cannot write it.

    Since: 2.8.0. Cost: O(parameters). Source: redis.io/commands/config-rewrite
    """
    return Command(_CONFIG_REWRITE, (b"CONFIG", b"REWRITE"))


def config_set(parameter: str, value: Arg, *more: Arg) -> Command[bool]:
    """CONFIG SET: change configuration parameters, all or none.

    Args:
        parameter: A name.
        value: Its value.
        *more: More names and values, in turn (from 7.0).

    Returns:
        True.

    Raises:
        UsageError: A name without a value.
        ServerError: A name is unknown, or a value is not fit.

    Since: 2.0.0. Cost: O(parameters). Source: redis.io/commands/config-set
    """
    if len(more) % 2:
        raise UsageError("CONFIG SET takes names and values in turn; the last name has no value")
    return Command(_CONFIG_SET, (b"CONFIG", b"SET", parameter, value, *more))


def dbsize() -> Command[int]:
    """DBSIZE: count the keys of the database.

    Since: 1.0.0. Cost: O(1). Source: redis.io/commands/dbsize
    """
    return Command(_DBSIZE, (b"DBSIZE",))


def flushall(asynchronous: bool = False) -> Command[bool]:
    """FLUSHALL: delete all keys of all databases.

    Args:
        asynchronous: Free the memory afterwards, beside other work.

    Returns:
        True.

    Since: 1.0.0. Cost: O(keys). Source: redis.io/commands/flushall
    """
    if asynchronous:
        return Command(_FLUSHALL, (b"FLUSHALL", b"ASYNC"))
    return Command(_FLUSHALL, (b"FLUSHALL",))


def flushdb(asynchronous: bool = False) -> Command[bool]:
    """FLUSHDB: delete all keys of the database.

    Args:
        asynchronous: Free the memory afterwards, beside other work.

    Returns:
        True.

    Since: 1.0.0. Cost: O(keys). Source: redis.io/commands/flushdb
    """
    if asynchronous:
        return Command(_FLUSHDB, (b"FLUSHDB", b"ASYNC"))
    return Command(_FLUSHDB, (b"FLUSHDB",))


def info(*sections: str) -> Command[dict[str, Any]]:
    """INFO: read what the server tells of itself.

    Args:
        *sections: Such as "memory" (several from 7.0); none asks for the usual ones.

    Returns:
        Values by name: whole numbers as int, numbers with a point as float, `a=1,b=2` as a dict, all else and all
        versions as text; `modules` is a list.

    Wire: A verbatim string on RESP3, a bulk string on RESP2.

    Since: 1.0.0. Cost: O(1). Source: redis.io/commands/info
    """
    return Command(_INFO, (b"INFO", *sections))


def lastsave() -> Command[int]:
    """LASTSAVE: read when the data was last saved, in seconds since the epoch.

    Since: 1.0.0. Cost: O(1). Source: redis.io/commands/lastsave
    """
    return Command(_LASTSAVE, (b"LASTSAVE",))


def lolwut(version: int | None = None, *numbers: int) -> Command[str]:
    """LOLWUT: have the server draw a picture, and tell its version.

    Args:
        version: Of which version; None is its own.
        *numbers: Measures of the picture; need `version`.

    Since: 5.0.0. Cost: O(picture). Source: redis.io/commands/lolwut
    """
    if version is None:
        return Command(_LOLWUT, (b"LOLWUT",))
    return Command(_LOLWUT, (b"LOLWUT", b"VERSION", version, *numbers))


def memory_usage(key: Key, samples: int | None = None) -> Command[int | None]:
    """MEMORY USAGE: estimate the bytes that a key and its value take.

    Args:
        key: The key.
        samples: How many elements to look at; 0 is all, 5 when not given.

    Returns:
        Bytes; None where there is no such key.

    Since: 4.0.0. Cost: O(samples). Source: redis.io/commands/memory-usage
    """
    if samples is None:
        return Command(_MEMORY_USAGE, (b"MEMORY", b"USAGE", key))
    return Command(_MEMORY_USAGE, (b"MEMORY", b"USAGE", key, b"SAMPLES", samples))


def role() -> Command[dict[str, Any]]:
    """ROLE: read what part the server plays in replication.

    Returns:
        `role` is "master" (with `offset`, and `replicas` as `(host, port, offset)`), "slave" (with `host`, `port`,
        `state`, `offset` of its primary) or "sentinel" (with `services`).

    Since: 2.8.12. Cost: O(1). Source: redis.io/commands/role
    """
    return Command(_ROLE, (b"ROLE",))


def save() -> Command[bool]:
    """SAVE: save all data to disk; it holds the server up, `bgsave` does not.

    Returns:
        True.

    Since: 1.0.0. Cost: O(keys). Source: redis.io/commands/save
    """
    return Command(_SAVE, (b"SAVE",))


def slowlog_get(count: int | None = None) -> Command[list[SlowCommand]]:
    """SLOWLOG GET: read the commands that took long, the newest first.

    Args:
        count: How many at most; -1 is all (from 7.0), 10 when not given.

    Returns:
        The entries; their words are always bytes.

    Since: 2.2.12. Cost: O(count). Source: redis.io/commands/slowlog-get
    """
    if count is None:
        return Command(_SLOWLOG_GET, (b"SLOWLOG", b"GET"))
    return Command(_SLOWLOG_GET, (b"SLOWLOG", b"GET", count))


def slowlog_len() -> Command[int]:
    """SLOWLOG LEN: count the entries of the slow log.

    Since: 2.2.12. Cost: O(1). Source: redis.io/commands/slowlog-len
    """
    return Command(_SLOWLOG_LEN, (b"SLOWLOG", b"LEN"))


def slowlog_reset() -> Command[bool]:
    """SLOWLOG RESET: empty the slow log.

    Returns:
        True.

    Since: 2.2.12. Cost: O(entries). Source: redis.io/commands/slowlog-reset
    """
    return Command(_SLOWLOG_RESET, (b"SLOWLOG", b"RESET"))


def swapdb(first: int, second: int) -> Command[bool]:
    """SWAPDB: exchange the keys of two databases at once, for every client.

    Args:
        first: One database.
        second: The other.

    Returns:
        True.

    Since: 4.0.0. Cost: O(clients that watch or block). Source: redis.io/commands/swapdb
    """
    return Command(_SWAPDB, (b"SWAPDB", first, second))


def time() -> Command[tuple[int, int]]:
    """TIME: read the server's clock.

    Returns:
        Seconds since the epoch, and microseconds of the current second.

    Since: 2.6.0. Cost: O(1). Source: redis.io/commands/time
    """
    return Command(_TIME, (b"TIME",))
