"""Commands of the group "generic": keys of any kind, and the walk through all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from carmine.commands import decoders
from carmine.commands.arguments import some_args
from carmine.commands.command import Command, Text
from carmine.commands.specs import spec
from carmine.commands.words import milliseconds, wait_ms
from carmine.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from carmine.commands.words import Milliseconds
    from carmine.types import Arg, Key, ScanPage, Seconds


def _is_moved(raw: Any) -> bool:
    return bool(raw == "OK")


def _both(raw: Any) -> tuple[int, int]:
    local, replicas = raw
    return local, replicas


_COPY = spec("COPY", decoders.flag)
_DEL = spec("DEL")
_DUMP = spec("DUMP", text=False)
_EXISTS = spec("EXISTS")
_KEYS = spec("KEYS")
_MIGRATE = spec("MIGRATE", _is_moved, text=True)
_MOVE = spec("MOVE", decoders.flag)
_OBJECT_ENCODING = spec("OBJECT ENCODING", text=True)
_OBJECT_FREQ = spec("OBJECT FREQ")
_OBJECT_HELP = spec("OBJECT HELP", text=True)
_OBJECT_IDLETIME = spec("OBJECT IDLETIME")
_OBJECT_REFCOUNT = spec("OBJECT REFCOUNT")
_RANDOMKEY = spec("RANDOMKEY")
_RENAME = spec("RENAME", decoders.ok)
_RENAMENX = spec("RENAMENX", decoders.flag)
_RESTORE = spec("RESTORE", decoders.ok)
_SCAN = spec("SCAN", decoders.plain_page)
_TOUCH = spec("TOUCH")
_TYPE = spec("TYPE", text=True)
_UNLINK = spec("UNLINK")
_WAIT = spec("WAIT")
_WAITAOF = spec("WAITAOF", _both)


def copy(source: Key, destination: Key, destination_db: int | None = None, replace: bool = False) -> Command[bool]:
    """COPY: copy a key's value and time to live to another key.

    Args:
        source: The key to copy.
        destination: The key to make.
        destination_db: The database of the new key; None is the same one.
        replace: Overwrite the destination if it exists.

    Returns:
        Whether it was copied.

    Since: 6.2.0. Cost: O(elements of the value). Source: redis.io/commands/copy
    """
    words: list[Arg] = [b"COPY", source, destination]
    if destination_db is not None:
        words += (b"DB", destination_db)
    if replace:
        words.append(b"REPLACE")
    return Command(_COPY, tuple(words))


def delete(*keys: Key) -> Command[int]:
    """DEL: delete keys.

    Args:
        *keys: The keys.

    Returns:
        How many there were.

    Since: 1.0.0. Cost: O(keys, and elements of their values). Source: redis.io/commands/del
    """
    return Command(_DEL, (b"DEL", *keys))


def dump(key: Key) -> Command[bytes | None]:
    """DUMP: read a value in the server's own form, for `restore`.

    Args:
        key: The key.

    Returns:
        Always bytes; None where there is no such key.

    Since: 2.6.0. Cost: O(elements of the value). Source: redis.io/commands/dump
    """
    return Command(_DUMP, (b"DUMP", key))


def exists(*keys: Key) -> Command[int]:
    """EXISTS: count how many of the keys exist; one that is named twice counts twice.

    Args:
        *keys: The keys.

    Since: 1.0.0. Cost: O(keys). Source: redis.io/commands/exists
    """
    return Command(_EXISTS, (b"EXISTS", *keys))


def keys(pattern: Arg = "*") -> Command[list[Text]]:
    """KEYS: read the names of all keys that match; it holds the server up, `scan` does not.

    Args:
        pattern: What the names must look like.

    Since: 1.0.0. Cost: O(all keys). Source: redis.io/commands/keys
    """
    return Command(_KEYS, (b"KEYS", pattern))


def migrate(
    host: str,
    port: int,
    keys: Key | Iterable[Key],
    destination_db: int = 0,
    timeout: Seconds = 1,
    *,
    copy: bool = False,
    replace: bool = False,
    username: str | None = None,
    password: str | None = None,
) -> Command[bool]:
    """MIGRATE: move keys to another server.

    Args:
        host: The other server.
        port: Its port.
        keys: One key, or several.
        destination_db: The database over there.
        timeout: How long the servers' talk may stand still, in seconds.
        copy: Keep the keys here too.
        replace: Overwrite keys over there.
        username: The user over there; needs `password`.
        password: The password over there.

    Returns:
        Whether anything was moved: False where none of the keys exists.

    Raises:
        UsageError: No key, or a user without a password.

    Since: 2.6.0. Cost: O(elements of the values), and the network's. Source: redis.io/commands/migrate
    """
    names = some_args("MIGRATE", keys)
    if not names:
        raise UsageError("MIGRATE needs at least one key")
    if username is not None and password is None:
        raise UsageError("MIGRATE takes username only with password")
    one = names[0] if len(names) == 1 else b""
    words: list[Arg] = [b"MIGRATE", host, port, one, destination_db, wait_ms("timeout", timeout)]
    if copy:
        words.append(b"COPY")
    if replace:
        words.append(b"REPLACE")
    if username is not None and password is not None:
        words += (b"AUTH2", username, password)
    elif password is not None:
        words += (b"AUTH", password)
    if len(names) > 1:
        words += (b"KEYS", *names)
    return Command(_MIGRATE, tuple(words))


def move(key: Key, db: int) -> Command[bool]:
    """MOVE: move a key to another database.

    Args:
        key: The key.
        db: The other database.

    Returns:
        Whether it was moved: False where there is no such key here, or one there.

    Since: 1.0.0. Cost: O(1). Source: redis.io/commands/move
    """
    return Command(_MOVE, (b"MOVE", key, db))


def object_encoding(key: Key) -> Command[str | None]:
    """OBJECT ENCODING: read how the server stores a value.

    Args:
        key: The key.

    Returns:
        A name such as "listpack"; None where there is no such key.

    Since: 2.2.3. Cost: O(1). Source: redis.io/commands/object-encoding
    """
    return Command(_OBJECT_ENCODING, (b"OBJECT", b"ENCODING", key))


def object_freq(key: Key) -> Command[int | None]:
    """OBJECT FREQ: read how often a key is used, on a logarithmic scale; only with an LFU eviction policy.

    Args:
        key: The key.

    Returns:
        The counter; None where there is no such key.

    Since: 4.0.0. Cost: O(1). Source: redis.io/commands/object-freq
    """
    return Command(_OBJECT_FREQ, (b"OBJECT", b"FREQ", key))


def object_help() -> Command[list[str]]:
    """OBJECT HELP: read the server's help on OBJECT, line by line.

    Since: 6.2.0. Cost: O(1). Source: redis.io/commands/object-help
    """
    return Command(_OBJECT_HELP, (b"OBJECT", b"HELP"))


def object_idletime(key: Key) -> Command[int | None]:
    """OBJECT IDLETIME: read for how many seconds nobody has used a key; not with an LFU eviction policy.

    Args:
        key: The key.

    Returns:
        Seconds; None where there is no such key.

    Since: 2.2.3. Cost: O(1). Source: redis.io/commands/object-idletime
    """
    return Command(_OBJECT_IDLETIME, (b"OBJECT", b"IDLETIME", key))


def object_refcount(key: Key) -> Command[int | None]:
    """OBJECT REFCOUNT: read how many references the server holds to a value.

    Args:
        key: The key.

    Returns:
        The count; None where there is no such key.

    Since: 2.2.3. Cost: O(1). Source: redis.io/commands/object-refcount
    """
    return Command(_OBJECT_REFCOUNT, (b"OBJECT", b"REFCOUNT", key))


def randomkey() -> Command[Text | None]:
    """RANDOMKEY: choose a key by chance; None where the database is empty.

    Since: 1.0.0. Cost: O(1). Source: redis.io/commands/randomkey
    """
    return Command(_RANDOMKEY, (b"RANDOMKEY",))


def rename(source: Key, destination: Key) -> Command[bool]:
    """RENAME: give a key another name; a key of that name is overwritten.

    Args:
        source: The key.
        destination: Its new name.

    Returns:
        True.

    Raises:
        ServerError: There is no such key.

    Since: 1.0.0. Cost: O(1). Source: redis.io/commands/rename
    """
    return Command(_RENAME, (b"RENAME", source, destination))


def renamenx(source: Key, destination: Key) -> Command[bool]:
    """RENAMENX: give a key another name only if no key has it.

    Args:
        source: The key.
        destination: Its new name.

    Returns:
        Whether it was renamed.

    Raises:
        ServerError: There is no such key.

    Since: 1.0.0. Cost: O(1). Source: redis.io/commands/renamenx
    """
    return Command(_RENAMENX, (b"RENAMENX", source, destination))


def restore(
    key: Key,
    ttl: Milliseconds,
    value: bytes,
    *,
    replace: bool = False,
    absttl: bool = False,
    idletime: int | None = None,
    freq: int | None = None,
) -> Command[bool]:
    """RESTORE: make a key from what `dump` gave.

    Args:
        key: The key to make.
        ttl: Time to live in milliseconds; 0 is none.
        value: What `dump` returned.
        replace: Overwrite a key of that name.
        absttl: Read `ttl` as milliseconds since the epoch.
        idletime: For how many seconds the key shall count as unused.
        freq: The counter of its use, for LFU eviction.

    Returns:
        True.

    Raises:
        BusyKeyError: The key exists, and `replace` was not given.
        ServerError: The value is damaged, or of another version.

    Since: 2.6.0. Cost: O(elements of the value). Source: redis.io/commands/restore
    """
    words: list[Arg] = [b"RESTORE", key, milliseconds("ttl", ttl), value]
    if replace:
        words.append(b"REPLACE")
    if absttl:
        words.append(b"ABSTTL")
    if idletime is not None:
        words += (b"IDLETIME", idletime)
    if freq is not None:
        words += (b"FREQ", freq)
    return Command(_RESTORE, tuple(words))


def scan(
    cursor: int = 0, match: Arg | None = None, count: int | None = None, type: str | None = None
) -> Command[ScanPage[list[Text]]]:
    """SCAN: walk through all keys, a page a call.

    A key that stays from beginning to end is given at least once, another one perhaps.

    Args:
        cursor: 0 to begin, then the cursor of the page before.
        match: A pattern for the names.
        count: About how many keys to look at; 10 when not given.
        type: Only keys of this kind, named as by `type` (from 6.0).

    Returns:
        The next cursor, 0 at the end, and the keys; a page may be empty before the end.

    Since: 2.8.0. Cost: O(count) a call. Source: redis.io/commands/scan
    """
    words: list[Arg] = [b"SCAN", cursor]
    if match is not None:
        words += (b"MATCH", match)
    if count is not None:
        words += (b"COUNT", count)
    if type is not None:
        words += (b"TYPE", type)
    return Command(_SCAN, tuple(words))


def touch(*keys: Key) -> Command[int]:
    """TOUCH: let keys count as just used.

    Args:
        *keys: The keys.

    Returns:
        How many of them exist.

    Since: 3.2.1. Cost: O(keys). Source: redis.io/commands/touch
    """
    return Command(_TOUCH, (b"TOUCH", *keys))


def type(key: Key) -> Command[str]:
    """TYPE: read what kind of value a key holds.

    Args:
        key: The key.

    Returns:
        "string", "list", "set", "zset", "hash", "stream", a module's name, or "none" where there is no such key.

    Since: 1.0.0. Cost: O(1). Source: redis.io/commands/type
    """
    return Command(_TYPE, (b"TYPE", key))


def unlink(*keys: Key) -> Command[int]:
    """UNLINK: delete keys; the server frees large values afterwards, beside its work.

    Args:
        *keys: The keys.

    Returns:
        How many there were.

    Since: 4.0.0. Cost: O(keys). Source: redis.io/commands/unlink
    """
    return Command(_UNLINK, (b"UNLINK", *keys))


def wait(numreplicas: int, timeout: Seconds) -> Command[int]:
    """WAIT: wait until replicas have received the writes that this connection sent before.

    On a pooled client that means nothing: use `client.connection()`, or the end of a pipeline.

    Args:
        numreplicas: How many replicas to wait for.
        timeout: How long to wait at most, in seconds; 0 is for ever.

    Returns:
        How many replicas have them, be it fewer than asked for.

    Since: 3.0.0. Cost: O(1). Source: redis.io/commands/wait
    """
    return Command(_WAIT, (b"WAIT", numreplicas, wait_ms("timeout", timeout)))


def waitaof(numlocal: int, numreplicas: int, timeout: Seconds) -> Command[tuple[int, int]]:
    """WAITAOF: wait until the writes that this connection sent before are on disk, here and on replicas.

    On a pooled client that means nothing: use `client.connection()`, or the end of a pipeline.

    Args:
        numlocal: 1 to wait for this server, else 0.
        numreplicas: How many replicas to wait for.
        timeout: How long to wait at most, in seconds; 0 is for ever.

    Returns:
        How many of each have them on disk, be it fewer than asked for.

    Since: 7.2.0. Cost: O(1). Source: redis.io/commands/waitaof
    """
    return Command(_WAITAOF, (b"WAITAOF", numlocal, numreplicas, wait_ms("timeout", timeout)))
