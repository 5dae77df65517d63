"""Where values stand among words: against every command function, and row by row for what only the raw door sends."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from carmine.commands import _table
from carmine.commands.values import VALUES, value_places
from tools.gen_facades import GROUPS

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine.commands.command import Command

    Function = Callable[..., Command[Any]]


def values_of(function: Function) -> list[inspect.Parameter]:
    """Return the parameters that take data: those whose type is, or holds, Value."""
    return [p for p in inspect.signature(function).parameters.values() if "Value" in str(p.annotation)]


def functions() -> list[tuple[str, Function]]:
    modules = [import_module(f"carmine.commands.{group}") for group in GROUPS]
    every = [
        (name, function)
        for module in modules
        for name, function in vars(module).items()
        if inspect.isfunction(function) and function.__module__ == module.__name__ and not name.startswith("_")
    ]
    return [(name, function) for name, function in every if values_of(function)]


MORE = {name: {"radius": 5} for name in ("geosearch", "geosearchstore")}
"""What a function needs besides."""


class Caller:
    """Calls a command function with values that read like `word`, each an object of its own."""

    def __init__(self, word: bytes) -> None:
        self.word = word
        self.given: list[bytes] = []

    def value(self) -> bytes:
        self.given.append(bytes(bytearray(self.word)))
        return self.given[-1]

    def call(self, name: str, function: Function) -> Command[Any]:
        positional: list[Any] = []
        named: dict[str, Any] = dict(MORE.get(name, {}))
        data = {parameter.name for parameter in values_of(function)} - ({"mapping"} if name == "hset" else set())
        for parameter in inspect.signature(function).parameters.values():
            if parameter.name in data and parameter.kind is parameter.VAR_POSITIONAL:
                positional += [self.value(), self.value()]
            elif parameter.name in data:
                made = self.data(str(parameter.annotation))
                if parameter.default is parameter.empty and parameter.kind is not parameter.KEYWORD_ONLY:
                    positional.append(made)
                else:
                    named[parameter.name] = made
            elif parameter.default is parameter.empty:
                positional.append(plain(str(parameter.annotation)))
        return function(*positional, **named)

    def data(self, told: str) -> Any:
        if "Items[Key, Value]" in told:
            return {"k1": self.value(), "k2": self.value()}
        if "Items[Value, Value]" in told:
            return {self.value(): self.value()}
        if "Items[Value, tuple[float, float]]" in told:
            return {self.value(): (1.5, 2.5)}
        if "Items[Value, float]" in told:
            return {self.value(): 1.5}
        return [self.value(), self.value()] if "Iterable[Value]" in told else self.value()


def plain(told: str) -> Any:
    """Return something for a parameter that takes no data."""
    if told.startswith("Literal["):
        return told[len("Literal[") :].split(",")[0].strip("]'\"")
    is_number = any(kind in told for kind in ("Seconds", "Milliseconds", "Instant", "int", "float"))
    return 5 if is_number and "Key" not in told else "k"


TOKENS = [b"x", b"NX", b"FIELDS", b"IFEQ", b"LIMIT", b"MAXLEN", b"FROMMEMBER", b"=", b"~", b"5", b""]


@pytest.mark.parametrize("word", TOKENS, ids=repr)
@pytest.mark.parametrize(("name", "function"), functions(), ids=lambda part: part if isinstance(part, str) else "")
def test_exactly_the_arguments_that_are_data_are_values(name: str, function: Function, word: bytes) -> None:
    caller = Caller(word)
    command = caller.call(name, function)
    found = [command.words[at] for at in value_places(command.spec.name, command.words)]
    # a new command that takes data wants a row in carmine/commands/values.py
    assert len(found) == len(caller.given) > 0, command.words
    unseen = {id(value) for value in caller.given} if word else set()  # there is one empty bytes object only
    assert not unseen - {id(value) for value in found}, command.words


def test_the_functions_are_found() -> None:
    names = {name for name, _ in functions()}
    assert {"set", "hset", "zadd", "xadd", "evalsha", "hsetex", "msetex", "echo"} <= names
    assert len(names) > 50


# What the functions do not send: (words, the values among them).
RAW: list[tuple[tuple[Any, ...], list[int]]] = [
    (("SET", "k", "v", "EX", 5, "NX"), [2]),
    (("SET", "k", "IFEQ", "ifeq", "IFEQ", "NX"), [2, 4]),
    (("SET", "IFEQ"), []),
    (("SET",), []),
    (("set", "k", b"EX"), [2]),
    (("MSETEX", 2, "a", 1, "b", 2, "EX", 5), [3, 5]),
    (("MSETEX", "2", "a", 1, "b", 2), [3, 5]),
    (("MSETEX", b"1", "a", 1, "NX"), [3]),
    (("MSETEX", memoryview(b"1"), "a", 1, "NX"), [3]),
    (("MSETEX", "many", "a", 1), [3]),
    (("MSETEX",), []),
    (("EVAL", "return 1", 1, "k", "a", b"b"), [4, 5]),
    (("EVAL", "return 1", 0), []),
    (("EVAL", "return 1"), []),
    (("FCALL_RO", "f", 2, "k", "k2", None), [5]),
    (("ZADD", "NX", "nx", "CH", 1, "XX", 2, "CH"), [5, 7]),
    (("ZADD", "k", 1), []),
    (("GEOADD", "k", "XX", 1.0, 2.0, "NX", 1.0, 2.0, "CH"), [5, 8]),
    (("GEOSEARCH", "FROMMEMBER", "FROMMEMBER", "m", "BYRADIUS", 1, "m"), [3]),
    (("GEOSEARCH", "k", "FROMLONLAT", 1, 2, "BYRADIUS", 1, "m"), []),
    (("GEOSEARCHSTORE", "d", "FROMMEMBER", "FROMMEMBER", "m"), [4]),
    (("GEODIST", "k", "a", "b", "km"), [2, 3]),
    (("GEORADIUSBYMEMBER", "k", "m", 1, "km"), [2]),
    (("XADD", "MAXLEN", "nomkstream", "KEEPREF", "MAXLEN", "~", 100, "LIMIT", 5, "1-1", "MAXLEN", "LIMIT"), [10, 11]),
    (("XADD", "k", "MINID", "1-1", "*", "a", 1, "b", 2), [5, 6, 7, 8]),
    (("XADD", "k", "*", "=", "~"), [3, 4]),
    (("XADD", "k", "MAXLEN"), []),
    (("HSETEX", "FIELDS", "FXX", "EX", 5, "FIELDS", 1, "FIELDS", b"FIELDS"), [7, 8]),
    (("HGETEX", "k", "FIELDS", 1, "f"), [4]),
    (("HGETEX", "k", "PERSIST"), []),
    (("HEXPIRE", "k", 5, bytearray(b"fields"), 1, "f"), [5]),
    (("LINSERT", "k", "BEFORE", "p", "v"), [3, 4]),
    (("LPOS", "k", "v", "RANK", 1), [2]),
    (("PFADD", "k", "a", "b"), [2, 3]),
    (("APPEND", "k", b"v"), []),
    (("GET", "k"), []),
    (("JSON.SET", "k", "$", None), []),
]


@pytest.mark.parametrize(("words", "places"), RAW, ids=lambda part: " ".join(map(str, part))[:50])
def test_words_of_the_raw_door(words: tuple[Any, ...], places: list[int]) -> None:
    assert list(value_places(words[0].upper(), words)) == places


def test_every_row_is_of_a_known_command_and_shown_here() -> None:
    assert set(VALUES) <= set(_table.COMMANDS)
    shown = {words[0].upper() for words, _ in RAW}
    for name, function in functions():
        shown.add(Caller(b"x").call(name, function).spec.name)
    # GEOHASH and its kin have no function yet; their rows are plain slices like the others of the group
    assert set(VALUES) - shown == {"GEOHASH", "GEOPOS", "GEORADIUSBYMEMBER_RO", "HMSET"} - shown
