"""The groups "scripting" and "pubsub": what goes out, what is refused, and the shape of what comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from carmine.commands import pubsub, scripting
from carmine.commands.flags import READONLY, WRITE
from carmine.errors import UsageError
from carmine.types import EngineStats, FunctionStats, Library, LibraryFunction, RunningFunction
from tests.unit.command_tables import check_goes_out, check_shape, named, public_functions

if TYPE_CHECKING:
    from carmine.commands.command import Command

GOES_OUT = [
    (scripting.eval("return 1"), (b"EVAL", "return 1", 0), []),
    (scripting.eval("return 1", ["a", b"b"], [1, "x"]), (b"EVAL", "return 1", 2, "a", b"b", 1, "x"), ["a", b"b"]),
    (scripting.eval("return 1", "key", "arg"), (b"EVAL", "return 1", 1, "key", "arg"), ["key"]),
    (scripting.eval_ro("return 1", ["a"]), (b"EVAL_RO", "return 1", 1, "a"), ["a"]),
    (scripting.evalsha("f" * 40, ["a"], [1]), (b"EVALSHA", "f" * 40, 1, "a", 1), ["a"]),
    (scripting.evalsha_ro("f" * 40, (), (1, 2)), (b"EVALSHA_RO", "f" * 40, 0, 1, 2), []),
    (scripting.fcall("f", ["a"], [1]), (b"FCALL", "f", 1, "a", 1), ["a"]),
    (scripting.fcall_ro("f"), (b"FCALL_RO", "f", 0), []),
    (scripting.function_delete("lib"), (b"FUNCTION", b"DELETE", "lib"), []),
    (scripting.function_dump(), (b"FUNCTION", b"DUMP"), []),
    (scripting.function_flush(), (b"FUNCTION", b"FLUSH"), []),
    (scripting.function_flush("ASYNC"), (b"FUNCTION", b"FLUSH", "ASYNC"), []),
    (scripting.function_kill(), (b"FUNCTION", b"KILL"), []),
    (scripting.function_list(), (b"FUNCTION", b"LIST"), []),
    (
        scripting.function_list("l*", withcode=True),
        (b"FUNCTION", b"LIST", b"LIBRARYNAME", "l*", b"WITHCODE"),
        [],
    ),
    (scripting.function_load("#!lua"), (b"FUNCTION", b"LOAD", "#!lua"), []),
    (scripting.function_load("#!lua", replace=True), (b"FUNCTION", b"LOAD", b"REPLACE", "#!lua"), []),
    (scripting.function_restore(b"\xf5"), (b"FUNCTION", b"RESTORE", b"\xf5"), []),
    (scripting.function_restore(b"\xf5", "FLUSH"), (b"FUNCTION", b"RESTORE", b"\xf5", "FLUSH"), []),
    (scripting.function_stats(), (b"FUNCTION", b"STATS"), []),
    (scripting.script_exists("a", "b"), (b"SCRIPT", b"EXISTS", "a", "b"), []),
    (scripting.script_flush(), (b"SCRIPT", b"FLUSH"), []),
    (scripting.script_flush("SYNC"), (b"SCRIPT", b"FLUSH", "SYNC"), []),
    (scripting.script_kill(), (b"SCRIPT", b"KILL"), []),
    (scripting.script_show("f" * 40), (b"SCRIPT", b"SHOW", "f" * 40), []),
    (scripting.script_load("return 1"), (b"SCRIPT", b"LOAD", "return 1"), []),
    (pubsub.publish("c", "m"), (b"PUBLISH", "c", "m"), []),
    (pubsub.pubsub_channels(), (b"PUBSUB", b"CHANNELS"), []),
    (pubsub.pubsub_channels("c*"), (b"PUBSUB", b"CHANNELS", "c*"), []),
    (pubsub.pubsub_numpat(), (b"PUBSUB", b"NUMPAT"), []),
    (pubsub.pubsub_numsub("a", "b"), (b"PUBSUB", b"NUMSUB", "a", "b"), []),
    (pubsub.pubsub_shardchannels(), (b"PUBSUB", b"SHARDCHANNELS"), []),
    (pubsub.pubsub_shardchannels("c*"), (b"PUBSUB", b"SHARDCHANNELS", "c*"), []),
    (pubsub.pubsub_shardnumsub("a"), (b"PUBSUB", b"SHARDNUMSUB", "a"), []),
    (pubsub.spublish("c", "m"), (b"SPUBLISH", "c", "m"), ["c"]),
]


@pytest.mark.parametrize(("command", "words", "keys"), GOES_OUT, ids=lambda value: getattr(value, "words", ""))
def test_goes_out(command: Command[Any], words: tuple[Any, ...], keys: list[Any]) -> None:
    check_goes_out(command, words, keys)


def test_every_function_has_a_case() -> None:
    assert named(command for command, *_ in GOES_OUT) == public_functions(scripting, pubsub)


@pytest.mark.parametrize("read", [scripting.eval_ro, scripting.evalsha_ro, scripting.fcall_ro])
def test_only_the_ro_form_may_be_repeated(read: Any) -> None:
    assert read("x").spec.flags & (READONLY | WRITE) == READONLY


@pytest.mark.parametrize("write", [scripting.eval, scripting.evalsha, scripting.fcall])
def test_a_script_counts_as_a_write(write: Any) -> None:
    assert write("x").spec.flags & (READONLY | WRITE) == WRITE


@pytest.mark.parametrize("bad", [1, 1.5, None, True])
def test_keys_and_arguments_that_are_no_list(bad: Any) -> None:
    with pytest.raises(UsageError, match="as a list or a tuple"):
        scripting.eval("return 1", bad)
    with pytest.raises(UsageError, match="as a list or a tuple"):
        scripting.fcall("f", (), bad)


def test_names_and_hashes_are_always_text_and_dumps_always_bytes() -> None:
    for command in (scripting.script_load("x"), scripting.function_load("x"), scripting.function_list()):
        assert command.spec.text is True
    assert scripting.function_dump().spec.text is False
    for command in (scripting.eval("x"), scripting.fcall("x"), pubsub.pubsub_channels()):
        assert command.spec.text is None


LIBRARY_2 = [
    "library_name",
    "lib",
    "engine",
    "LUA",
    "functions",
    [["name", "f", "description", None, "flags", []], ["name", "g", "description", "d", "flags", ["no-writes"]]],
]
LIBRARY_3 = {
    "library_name": "lib",
    "engine": "LUA",
    "functions": [
        {"name": "f", "description": None, "flags": set()},
        {"name": "g", "description": "d", "flags": {"no-writes"}},
    ],
}
FUNCTIONS = [LibraryFunction("f", None, set()), LibraryFunction("g", "d", {"no-writes"})]
ENGINES_2 = [b"LUA", [b"libraries_count", 1, b"functions_count", 2]]
ENGINES_3 = {b"LUA": {b"libraries_count": 1, b"functions_count": 2}}
RUNNING_2 = [b"name", b"f", b"command", [b"FCALL", b"f", b"\xff"], b"duration_ms", 1500]
RUNNING_3 = {b"name": b"f", b"command": [b"FCALL", b"f", b"\xff"], b"duration_ms": 1500}


@pytest.mark.parametrize(
    ("command", "resp2", "resp3", "result"),
    [
        (scripting.eval("x"), [1, None, ["a"]], [1, None, ["a"]], [1, None, ["a"]]),
        (scripting.script_exists("a", "b"), [1, 0], [1, 0], [True, False]),
        (scripting.script_flush(), "OK", "OK", True),
        (scripting.function_list(), [LIBRARY_2], [LIBRARY_3], [Library("lib", "LUA", FUNCTIONS, None)]),
        (
            scripting.function_list(withcode=True),
            [[*LIBRARY_2, "library_code", "#!lua"]],
            [{**LIBRARY_3, "library_code": "#!lua"}],
            [Library("lib", "LUA", FUNCTIONS, "#!lua")],
        ),
        (
            scripting.function_stats(),
            [b"running_script", None, b"engines", ENGINES_2],
            {b"running_script": None, b"engines": ENGINES_3},
            FunctionStats(None, {"LUA": EngineStats(1, 2)}),
        ),
        (
            scripting.function_stats(),
            [b"running_script", RUNNING_2, b"engines", ENGINES_2],
            {b"running_script": RUNNING_3, b"engines": ENGINES_3},
            FunctionStats(RunningFunction("f", [b"FCALL", b"f", b"\xff"], 1.5), {"LUA": EngineStats(1, 2)}),
        ),
        (pubsub.pubsub_numsub("a", "b"), ["a", 1, "b", 0], ["a", 1, "b", 0], {"a": 1, "b": 0}),
        (pubsub.pubsub_shardnumsub(), [], [], {}),
    ],
)
def test_shape(command: Command[Any], resp2: Any, resp3: Any, result: Any) -> None:
    check_shape(command, resp2, resp3, result)
