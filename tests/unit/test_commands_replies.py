"""Replies that real servers gave, on both protocols, read for Client[str] and Client[bytes]: one Python result."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from carmine.commands._sync import Commands
from carmine.commands.specs import lookup
from carmine.protocol import Parser
from tests.unit.command_tables import typed
from tests.unit.commands_record import FILE
from tests.unit.commands_scenario import STEPS, Step

if TYPE_CHECKING:
    from carmine.commands.command import Spec, Words

RECORDED: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))

ONLY_VALKEY = {"msetex", "delifeq", "client_capa", "client_import_source"}
FROM_7_0 = {
    "expiretime",
    "pexpiretime",
    "lcs",
    "sort_ro",
    "client_no_evict",
    "command_docs",
    "command_list",
    "command_getkeysandflags",
}
FROM_7_2 = {"waitaof", "client_setinfo", "client_no_touch"}
FROM_8_0 = {
    "hsetex",
    "hgetex",
    "hexpire",
    "hpexpire",
    "httl",
    "hpttl",
    "hexpireat",
    "hpexpireat",
    "hexpiretime",
    "hpexpiretime",
    "hpersist",
    "hgetdel",
}
OPTIONS_FROM_7_0 = {
    "set('k', 'v', ifeq='v')",
    "set('k', 'v', ifeq='other')",
    "expire('k', 100, nx=True)",
    "client_pause(0.001, 'WRITE')",
    "hscan('h', no_values=True)",
    "slowlog_get(1)",
}


class Replayed(Commands[Any]):
    """A facade over the one reply that was recorded."""

    def __init__(self, wire: bytes, protocol: int, *, decode: bool) -> None:
        self.wire = wire
        self.protocol = protocol
        self.decode = decode

    def _execute(self, spec: Spec, words: Words) -> Any:
        parser = Parser(protocol=self.protocol, decode=self.decode if spec.text is None else spec.text)
        parser.feed(self.wire)
        raw = parser.next_reply()
        return spec.decode(raw) if spec.decode else raw

    def execute_raw(self, *words: str) -> Any:
        return self._execute(lookup(words), words)


def as_bytes(value: Any) -> Any:
    """Return an expected result as Client[bytes] must give it."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict):
        return {as_bytes(key): as_bytes(item) for key, item in value.items()}
    if isinstance(value, set):
        return {as_bytes(item) for item in value}
    if isinstance(value, list):
        return [as_bytes(item) for item in value]
    if isinstance(value, tuple):
        return type(value)(*map(as_bytes, value)) if hasattr(value, "_fields") else tuple(map(as_bytes, value))
    return value


def judge(step: Step, result: Any, *, decode: bool) -> None:
    if step.is_judged:
        assert step.expected(result), result
    else:
        expected = step.expected if decode or step.always is not None else as_bytes(step.expected)
        assert typed(result) == typed(expected)


@pytest.mark.parametrize("decode", [True, False], ids=["text", "bytes"])
@pytest.mark.parametrize("walk", RECORDED, ids=lambda walk: f"{walk['server']} RESP{walk['protocol']}")
def test_every_recorded_reply_gives_the_same_result(walk: dict[str, Any], decode: bool) -> None:
    replies = dict(walk["replies"])
    for index, step in enumerate(STEPS):
        wire = replies.pop(f"{index} {step.name}", None)
        if wire is None:
            assert step.name in walk["refused"]
            continue
        replayed = Replayed(wire.encode("latin-1"), walk["protocol"], decode=decode)
        judge(step, getattr(replayed, step.method)(*step.args, **step.kwargs), decode=decode)
    assert not replies, "the recording does not fit the scenario: run tests.unit.commands_record again"


@pytest.mark.parametrize("walk", RECORDED, ids=lambda walk: f"{walk['server']} RESP{walk['protocol']}")
def test_servers_refuse_what_is_younger_than_they(walk: dict[str, Any]) -> None:
    refused = {name for name in walk["refused"] if name not in OPTIONS_FROM_7_0}
    methods = {name.partition("(")[0] for name in refused}
    expected = {
        "valkey 9": set(),
        "redis 8.": ONLY_VALKEY,
        "redis 7.": ONLY_VALKEY | FROM_7_2 | FROM_8_0,
        "redis 6.": ONLY_VALKEY | FROM_7_0 | FROM_7_2 | FROM_8_0,
    }
    assert methods == expected[walk["server"][:8]]


def test_the_walk_is_recorded_on_both_protocols_of_old_and_new_servers() -> None:
    servers = {(walk["server"].split(".")[0], walk["protocol"]) for walk in RECORDED}
    names = ("redis 6", "redis 7", "redis 8", "valkey 9")
    assert servers == {(name, protocol) for name in names for protocol in (2, 3)}
    assert sum(len(walk["replies"]) for walk in RECORDED) > 1000
