"""Commands of the group "scripting": Lua scripts, and libraries of functions.

What a script returns comes as the protocol gave it, without shaping: only its author knows the shape. It is the same
on both protocols unless the script calls `redis.setresp(3)` or returns a RESP3 type. Strings of the caller's data are
read as the client does; names, hashes and code always as text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from carmine.commands import decoders
from carmine.commands.arguments import some_args
from carmine.commands.command import Command, Text
from carmine.commands.specs import spec
from carmine.script_types import EngineStats, FunctionStats, Library, LibraryFunction, RunningFunction

if TYPE_CHECKING:
    from collections.abc import Iterable

    from carmine.commands.command import Spec
    from carmine.types import Arg, Key, Value


def _library(raw: Any) -> Library:
    told = decoders.mapping(raw)
    functions = map(decoders.mapping, told["functions"])
    return Library(
        told["library_name"],
        told["engine"],
        [LibraryFunction(each["name"], each["description"], set(each["flags"])) for each in functions],
        told.get("library_code"),
    )


def _libraries(raw: Any) -> list[Library]:
    return list(map(_library, raw))


def _function_stats(raw: Any) -> FunctionStats:
    # Read as bytes: the running command's arguments may be anything.
    told = decoders.mapping(raw)
    running = None
    if told[b"running_script"] is not None:
        script = decoders.mapping(told[b"running_script"])
        running = RunningFunction(script[b"name"].decode(), script[b"command"], script[b"duration_ms"] / 1000)
    engines = {}
    for name, counts in decoders.mapping(told[b"engines"]).items():
        count = decoders.mapping(counts)
        engines[name.decode()] = EngineStats(count[b"libraries_count"], count[b"functions_count"])
    return FunctionStats(running, engines)


_EVAL = spec("EVAL")
_EVAL_RO = spec("EVAL_RO")
_EVALSHA = spec("EVALSHA")
_EVALSHA_RO = spec("EVALSHA_RO")
_FCALL = spec("FCALL")
_FCALL_RO = spec("FCALL_RO")
_FUNCTION_DELETE = spec("FUNCTION DELETE", decoders.ok)
_FUNCTION_DUMP = spec("FUNCTION DUMP", text=False)
_FUNCTION_FLUSH = spec("FUNCTION FLUSH", decoders.ok)
_FUNCTION_KILL = spec("FUNCTION KILL", decoders.ok)
_FUNCTION_LIST = spec("FUNCTION LIST", _libraries, text=True)
_FUNCTION_LOAD = spec("FUNCTION LOAD", text=True)
_FUNCTION_RESTORE = spec("FUNCTION RESTORE", decoders.ok)
_FUNCTION_STATS = spec("FUNCTION STATS", _function_stats, text=False)
_SCRIPT_EXISTS = spec("SCRIPT EXISTS", decoders.flags)
_SCRIPT_FLUSH = spec("SCRIPT FLUSH", decoders.ok)
_SCRIPT_KILL = spec("SCRIPT KILL", decoders.ok)
_SCRIPT_LOAD = spec("SCRIPT LOAD", text=True)
_SCRIPT_SHOW = spec("SCRIPT SHOW")


def _call(
    command: Spec, name: bytes, program: Arg, keys: Key | Iterable[Key], args: Arg | Iterable[Arg]
) -> Command[Any]:
    names = some_args(command.name, keys)
    return Command(command, (name, program, len(names), *names, *some_args(command.name, args)))


def eval(script: str | bytes, keys: Key | Iterable[Key] = (), args: Value | Iterable[Value] = ()) -> Command[Any]:
    """EVAL: run a Lua script on the server.

    Args:
        script: Its text.
        keys: Every key that it touches, KEYS in the script; their number is counted here.
        args: What else it needs, ARGV in the script.

    Returns:
        What the script returned.

    Raises:
        ServerError: The script failed.

    Since: 2.6.0. Cost: that of the script, and of sending its text. Source: redis.io/commands/eval
    """
    return _call(_EVAL, b"EVAL", script, keys, args)


def eval_ro(script: str | bytes, keys: Key | Iterable[Key] = (), args: Value | Iterable[Value] = ()) -> Command[Any]:
    """EVAL_RO: run a Lua script that may not write, on a replica too.

    Args:
        script: Its text.
        keys: Every key that it touches, KEYS in the script; their number is counted here.
        args: What else it needs, ARGV in the script.

    Returns:
        What the script returned.

    Raises:
        ServerError: The script failed, or tried to write.

    Since: 7.0.0. Cost: that of the script, and of sending its text. Source: redis.io/commands/eval_ro
    """
    return _call(_EVAL_RO, b"EVAL_RO", script, keys, args)


def evalsha(sha: str | bytes, keys: Key | Iterable[Key] = (), args: Value | Iterable[Value] = ()) -> Command[Any]:
    """EVALSHA: run a Lua script that the server knows, named by its hash.

    Args:
        sha: The SHA1 of its text, as 40 hexadecimal digits.
        keys: Every key that it touches, KEYS in the script; their number is counted here.
        args: What else it needs, ARGV in the script.

    Returns:
        What the script returned.

    Raises:
        NoScriptError: The server does not know it (any more).
        ServerError: The script failed.

    Since: 2.6.0. Cost: that of the script. Source: redis.io/commands/evalsha
    """
    return _call(_EVALSHA, b"EVALSHA", sha, keys, args)


def evalsha_ro(sha: str | bytes, keys: Key | Iterable[Key] = (), args: Value | Iterable[Value] = ()) -> Command[Any]:
    """EVALSHA_RO: run a Lua script that the server knows and that may not write, on a replica too.

    Args:
        sha: The SHA1 of its text, as 40 hexadecimal digits.
        keys: Every key that it touches, KEYS in the script; their number is counted here.
        args: What else it needs, ARGV in the script.

    Returns:
        What the script returned.

    Raises:
        NoScriptError: The server does not know it (any more).
        ServerError: The script failed, or tried to write.

    Since: 7.0.0. Cost: that of the script. Source: redis.io/commands/evalsha_ro
    """
    return _call(_EVALSHA_RO, b"EVALSHA_RO", sha, keys, args)


def fcall(function: str | bytes, keys: Key | Iterable[Key] = (), args: Value | Iterable[Value] = ()) -> Command[Any]:
    """FCALL: call a function of a library on the server.

    Args:
        function: Its name.
        keys: Every key that it touches; their number is counted here.
        args: What else it needs.

    Returns:
        What the function returned.

    Raises:
        ServerError: There is no such function, or it failed.

    Since: 7.0.0. Cost: that of the function. Source: redis.io/commands/fcall
    """
    return _call(_FCALL, b"FCALL", function, keys, args)


def fcall_ro(function: str | bytes, keys: Key | Iterable[Key] = (), args: Value | Iterable[Value] = ()) -> Command[Any]:
    """FCALL_RO: call a function that is marked `no-writes`, on a replica too.

    Args:
        function: Its name.
        keys: Every key that it touches; their number is counted here.
        args: What else it needs.

    Returns:
        What the function returned.

    Raises:
        ServerError: There is no such function, it may write, or it failed.

    Since: 7.0.0. Cost: that of the function. Source: redis.io/commands/fcall_ro
    """
    return _call(_FCALL_RO, b"FCALL_RO", function, keys, args)


def function_delete(library: str | bytes) -> Command[bool]:
    """FUNCTION DELETE: remove a library with all its functions.

    Raises:
        ServerError: There is no such library.

    Since: 7.0.0. Cost: O(1). Source: redis.io/commands/function-delete
    """
    return Command(_FUNCTION_DELETE, (b"FUNCTION", b"DELETE", library))


def function_dump() -> Command[bytes]:
    """FUNCTION DUMP: get all libraries as bytes for FUNCTION RESTORE, whatever the client reads strings as.

    Since: 7.0.0. Cost: O(libraries). Source: redis.io/commands/function-dump
    """
    return Command(_FUNCTION_DUMP, (b"FUNCTION", b"DUMP"))


def function_flush(mode: Literal["SYNC", "ASYNC"] | None = None) -> Command[bool]:
    """FUNCTION FLUSH: remove all libraries.

    Args:
        mode: Whether the reply waits until the memory is free; without it the server's configuration says.

    Since: 7.0.0. Cost: O(functions). Source: redis.io/commands/function-flush
    """
    return Command(_FUNCTION_FLUSH, (b"FUNCTION", b"FLUSH") if mode is None else (b"FUNCTION", b"FLUSH", mode))


def function_kill() -> Command[bool]:
    """FUNCTION KILL: stop the function that runs, if it has not written yet.

    Raises:
        NotBusyError: None runs.
        UnkillableError: It has written.

    Since: 7.0.0. Cost: O(1). Source: redis.io/commands/function-kill
    """
    return Command(_FUNCTION_KILL, (b"FUNCTION", b"KILL"))


def function_list(library: str | bytes | None = None, withcode: bool = False) -> Command[list[Library]]:
    """FUNCTION LIST: tell of the libraries and their functions.

    Args:
        library: A glob pattern that their names must match.
        withcode: Give the code of each too; without it `.code` is None.

    Wire: flat arrays on RESP2, maps on RESP3.

    Since: 7.0.0. Cost: O(functions). Source: redis.io/commands/function-list
    """
    words: list[Arg] = [b"FUNCTION", b"LIST"]
    if library is not None:
        words += (b"LIBRARYNAME", library)
    if withcode:
        words.append(b"WITHCODE")
    return Command(_FUNCTION_LIST, tuple(words))


def function_load(code: str | bytes, replace: bool = False) -> Command[str]:
    """FUNCTION LOAD: add a library.

    Args:
        code: Its text, which begins as `#!lua name=mylib`.
        replace: Put it in place of the one of this name.

    Returns:
        The library's name.

    Raises:
        ServerError: The code is wrong, or the library exists.

    Since: 7.0.0. Cost: O(1), that of compiling apart. Source: redis.io/commands/function-load
    """
    if replace:
        return Command(_FUNCTION_LOAD, (b"FUNCTION", b"LOAD", b"REPLACE", code))
    return Command(_FUNCTION_LOAD, (b"FUNCTION", b"LOAD", code))


def function_restore(payload: bytes, policy: Literal["APPEND", "REPLACE", "FLUSH"] | None = None) -> Command[bool]:
    """FUNCTION RESTORE: add the libraries of a FUNCTION DUMP.

    Args:
        payload: What FUNCTION DUMP gave.
        policy: APPEND, as without it, fails on a library that exists; REPLACE replaces it; FLUSH empties first.

    Raises:
        ServerError: The payload is wrong, or a library exists.

    Since: 7.0.0. Cost: O(functions). Source: redis.io/commands/function-restore
    """
    if policy is None:
        return Command(_FUNCTION_RESTORE, (b"FUNCTION", b"RESTORE", payload))
    return Command(_FUNCTION_RESTORE, (b"FUNCTION", b"RESTORE", payload, policy))


def function_stats() -> Command[FunctionStats]:
    """FUNCTION STATS: tell which function runs, and how much each engine holds.

    The server answers it while a function blocks everything else.

    Wire: flat arrays on RESP2, maps on RESP3.

    Since: 7.0.0. Cost: O(1). Source: redis.io/commands/function-stats
    """
    return Command(_FUNCTION_STATS, (b"FUNCTION", b"STATS"))


def script_exists(*shas: str | bytes) -> Command[list[bool]]:
    """SCRIPT EXISTS: tell of each hash, in the order given, whether the server knows the script.

    Since: 2.6.0. Cost: O(hashes). Source: redis.io/commands/script-exists
    """
    return Command(_SCRIPT_EXISTS, (b"SCRIPT", b"EXISTS", *shas))


def script_flush(mode: Literal["SYNC", "ASYNC"] | None = None) -> Command[bool]:
    """SCRIPT FLUSH: let the server forget all scripts.

    Args:
        mode: Whether the reply waits until the memory is free; without it the server's configuration says.

    Since: 2.6.0 (`mode` 6.2.0). Cost: O(scripts). Source: redis.io/commands/script-flush
    """
    return Command(_SCRIPT_FLUSH, (b"SCRIPT", b"FLUSH") if mode is None else (b"SCRIPT", b"FLUSH", mode))


def script_kill() -> Command[bool]:
    """SCRIPT KILL: stop the script that runs, if it has not written yet.

    Raises:
        NotBusyError: None runs.
        UnkillableError: It has written.

    Since: 2.6.0. Cost: O(1). Source: redis.io/commands/script-kill
    """
    return Command(_SCRIPT_KILL, (b"SCRIPT", b"KILL"))


def script_load(script: str | bytes) -> Command[str]:
    """SCRIPT LOAD: let the server know a script without running it.

    Returns:
        Its hash, for EVALSHA.

    Since: 2.6.0. Cost: O(length of the text). Source: redis.io/commands/script-load
    """
    return Command(_SCRIPT_LOAD, (b"SCRIPT", b"LOAD", script))


def script_show(sha: str | bytes) -> Command[Text]:
    """SCRIPT SHOW: read the text of a script that the server knows; only Valkey has it.

    Raises:
        NoScriptError: The server does not know it.

    Since: Valkey 8.0.0. Cost: O(1). Source: valkey.io/commands/script-show
    """
    return Command(_SCRIPT_SHOW, (b"SCRIPT", b"SHOW", sha))
