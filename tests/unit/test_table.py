"""The table of commands, what is read out of it, and the generators' checks."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from carmine.commands import _table, flags
from carmine.commands.flags import (
    ABSOLUTE,
    BLOCKING,
    CONTAINER,
    FORBIDDEN,
    NO_MULTI,
    READONLY,
    SECRET,
    STATE,
    SUBSCRIBE,
    UNKNOWN,
    WRITE,
    block_seconds,
    command_keys,
)
from carmine.commands.specs import is_absolute, lookup, refusal, route
from carmine.errors import UsageError
from tools import gen_table

if TYPE_CHECKING:
    from carmine.commands.command import Words

ROOT = Path(__file__).resolve().parents[2]
DUMPS = [json.loads((ROOT / "tools" / "commands" / name).read_text())["commands"] for name in gen_table.SOURCES]
FACTS = tomllib.loads((ROOT / "tools" / "commands" / "facts.toml").read_text())


def words(line: str) -> Words:
    return tuple(line.split())


def names_with(bit: int) -> set[str]:
    return {name for name, (bits, _keys) in _table.COMMANDS.items() if bits & bit}


def test_the_committed_table_is_what_the_generator_writes() -> None:
    done = subprocess.run(
        [sys.executable, "tools/gen_table.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_check_sees_a_table_that_differs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = gen_table.build()
    stale = tmp_path / "_table.py"
    stale.write_text(text.replace(",GET,", ","))
    assert stale.read_text() != text
    monkeypatch.setattr(gen_table, "TARGET", stale)
    monkeypatch.setattr(gen_table, "ROOT", tmp_path)
    monkeypatch.setattr(gen_table, "build", lambda: text)
    monkeypatch.setattr(sys, "argv", ["gen_table.py", "--check"])
    assert gen_table.main() == 1
    monkeypatch.setattr(sys, "argv", ["gen_table.py"])
    assert gen_table.main() == 0
    monkeypatch.setattr(sys, "argv", ["gen_table.py", "--check"])
    assert gen_table.main() == 0


def test_every_command_of_both_servers_is_there() -> None:
    assert set(_table.COMMANDS) == set(DUMPS[0]) | set(DUMPS[1])
    assert len(_table.COMMANDS) > 400


def test_the_stricter_word_holds() -> None:
    for name, (bits, _keys) in _table.COMMANDS.items():
        told = [dump[name]["flags"] for dump in DUMPS if name in dump]
        if any("write" in each for each in told):
            assert bits & WRITE, name
            assert not bits & READONLY, name
        if bits & READONLY:
            assert all("readonly" in each for each in told) or name in FACTS["repeatable"]["names"], name
        assert bool(bits & NO_MULTI) is any("no_multi" in each for each in told), name


@pytest.mark.parametrize(
    ("section", "bit"),
    [
        ("absolute", ABSOLUTE),
        ("blocking", BLOCKING),
        ("state", STATE),
        ("subscribe", SUBSCRIBE),
        ("forbidden", FORBIDDEN),
        ("secret", SECRET),
    ],
)
def test_facts_become_bits(section: str, bit: int) -> None:
    facts = FACTS[section]
    assert names_with(bit) == set(facts.get("names", facts))
    assert names_with(bit)


def test_every_absolute_write_is_a_write_with_an_argument_for_it() -> None:
    for name, fact in FACTS["absolute"].items():
        assert len(fact["why"]) > 20, name
        assert not _table.COMMANDS[name][0] & READONLY, name


def test_what_the_design_forbids_or_pins_is_so() -> None:
    assert names_with(FORBIDDEN) >= {"CLIENT REPLY", "SYNC", "PSYNC", "SCRIPT DEBUG", "MONITOR"}
    assert names_with(STATE) >= {
        "SELECT", "AUTH", "HELLO", "RESET", "CLIENT TRACKING", "CLIENT NO-EVICT", "READONLY", "WATCH", "MULTI", "EXEC",
        "DISCARD", "UNWATCH", "ASKING", "CLIENT CACHING", "CLIENT SETNAME",
    }  # fmt: skip
    assert names_with(SECRET) >= {"AUTH", "HELLO", "ACL SETUSER", "CONFIG SET", "MIGRATE"}
    assert not names_with(READONLY) & names_with(BLOCKING) - {"XREAD"}
    for name in ("DEL", "INCR", "LPUSH", "EVAL", "FCALL", "BLPOP", "GETDEL", "PUBLISH", "EXEC"):
        assert not _table.COMMANDS[name][0] & (READONLY | ABSOLUTE), name


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"state": {"names": ["NOSUCH"]}}, "[state] names no command: NOSUCH"),
        ({"repeatable": {"names": ["DEL"]}}, "DEL writes; facts.toml may not call it repeatable"),
        ({"blocking": {}}, "BLMOVE: a server's word on blocking and facts.toml differ"),
    ],
)
def test_facts_that_contradict_the_servers_are_refused(
    change: dict[str, Any], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tomllib.loads", lambda _text: FACTS | change)
    with pytest.raises(gen_table.TableError) as caught:
        gen_table.build()
    assert sentence in str(caught.value)


def test_servers_that_put_keys_in_different_places_are_refused() -> None:
    at_1 = {"begin": ["index", 1], "find": ["range", 0, 1, 0], "flags": []}
    at_2 = {"begin": ["index", 2], "find": ["range", 0, 1, 0], "flags": []}
    with pytest.raises(gen_table.TableError, match="X: the servers put its keys in different places"):
        gen_table.keys_of("X", [{"keys": [at_1]}, {"keys": [at_2]}], {"keys": {}})
    assert gen_table.keys_of("X", [{"keys": [at_1]}, {"keys": [at_1]}], {"keys": {}}) == (("range", 1, 0, 1, 0),)


@pytest.mark.parametrize(
    "spelled",
    [
        ("GET", "k"),
        ("get", "k"),
        (b"gEt", "k"),
        (bytearray(b"get"), "k"),
        (memoryview(b"GET"), "k"),
    ],
    ids=repr,
)
def test_lookup_finds_a_name_however_it_is_spelled(spelled: Words) -> None:
    assert (lookup(spelled).name, lookup(spelled).flags) == ("GET", READONLY)
    assert command_keys(lookup(spelled), spelled) == ["k"]


def test_lookup_finds_names_of_two_words_and_gives_the_same_spec_again() -> None:
    found = lookup(("config", b"Get", "maxmemory"))
    assert (found.name, found.flags) == ("CONFIG GET", READONLY)
    assert lookup((b"CONFIG", "GET", "x")) is found
    assert lookup(("GET", "k")) is lookup(("GET", "other"))
    assert lookup(("COMMAND",)).name == "COMMAND"
    assert lookup(("CONFIG",)).flags & CONTAINER


@pytest.mark.parametrize(
    "spelled",
    [("NOSUCH", "x"), (b"\xff\xfe",), ("CONFIG", "NOSUCH"), ("CONFIG", 7), ("CONFIG", b"\xff"), ("JSON.SET", "k")],
    ids=repr,
)
def test_what_the_table_does_not_know_is_a_secret_write_without_keys(spelled: Words) -> None:
    found = lookup(spelled)
    assert found.flags == UNKNOWN | WRITE | SECRET
    assert command_keys(found, spelled) == []
    assert not is_absolute(found, spelled)


@pytest.mark.parametrize("spelled", [("CLIENT", "NOSUCH"), (b"client", b"new-thing", 1), ("CLIENT", 7)], ids=repr)
def test_what_nobody_knows_of_client_counts_as_state_of_its_connection(spelled: Words) -> None:
    found = lookup(spelled)
    assert (found.name, found.flags) == ("CLIENT", UNKNOWN | WRITE | SECRET | STATE)
    assert not lookup(("CLIENT", "GETNAME")).flags & STATE


@pytest.mark.parametrize(
    "spelled",
    [
        (),
        ("",),
        (b"",),
        ("CONFIG GET", "x"),
        ("GET CANARY",),
        ("GET\r\nFLUSHALL",),
        ("GET\n",),
        ("GET\0",),
        (" GET",),
        (7, "x"),
        (1.5,),
    ],
    ids=repr,
)
def test_a_first_word_that_is_no_name_is_refused(spelled: Words) -> None:
    lookup(("CONFIG", "GET", "x"))  # a name of two words that was seen must not let one word through
    with pytest.raises(UsageError) as caught:
        lookup(spelled)
    assert "CANARY" not in str(caught.value)


def test_lookup_remembers_a_bounded_number_of_spellings() -> None:
    for number in range(1 << 12):
        spelled = "".join(c.upper() if number >> i & 1 else c for i, c in enumerate("incrbyfloat"))
        assert lookup((spelled, "k", 1)).name == "INCRBYFLOAT"
        assert lookup((f"made-up-{number}",)).flags & UNKNOWN
    assert lookup(("GET", "k")).name == "GET"


KEYS = [
    ("GET k", ["k"]),
    ("PING", []),
    ("DEL a b c", ["a", "b", "c"]),
    ("MSET a 1 b 2", ["a", "b"]),
    ("BLPOP a b 0", ["a", "b"]),
    ("BITOP AND d a b", ["d", "a", "b"]),
    ("EVAL script 2 a b arg", ["a", "b"]),
    ("EVAL script 0 arg", []),
    ("EVAL script 9 a", ["a"]),
    ("EVAL script x a", []),
    ("EVAL script -1 a", []),
    ("FCALL f 1 a arg", ["a"]),
    ("ZUNIONSTORE d 2 a b WEIGHTS 1 2", ["d", "a", "b"]),
    ("ZMPOP 2 a b MIN", ["a", "b"]),
    ("BLMPOP 1.5 2 a b LEFT", ["a", "b"]),
    ("SINTERCARD 2 a b LIMIT 1", ["a", "b"]),
    ("XREAD COUNT 2 STREAMS a b 0 0", ["a", "b"]),
    ("XREAD BLOCK 0 streams a 0", ["a"]),
    ("XREADGROUP GROUP g c STREAMS a b > >", ["a", "b"]),
    ("XREAD COUNT 2", []),
    ("SORT a BY w_* STORE d", ["a", "d"]),
    ("SORT a", ["a"]),
    ("GEORADIUS a 1 2 3 m STOREDIST d", ["a", "d"]),
    ("OBJECT ENCODING a", ["a"]),
    ("MEMORY USAGE a", ["a"]),
    ("XGROUP CREATE a g $", ["a"]),
    ("MIGRATE h 1 a 0 10", ["a"]),
    ("MIGRATE h 1 a 0 10 COPY AUTH KEYS", ["a"]),
    ("LMOVE a b LEFT RIGHT", ["a", "b"]),
    ("LCS a b LEN", ["a", "b"]),
    ("SPUBLISH channel x", ["channel"]),
    ("SSUBSCRIBE a b", ["a", "b"]),
    ("SUNSUBSCRIBE", []),
    ("PUBLISH channel x", []),
    ("SUBSCRIBE a b", []),
    ("GET", []),
    ("MSETEX 2 a 1 b 2 EX 5", ["a", "b"]),
]


@pytest.mark.parametrize(("line", "keys"), KEYS, ids=[line for line, _keys in KEYS])
def test_keys_are_found_in_words(line: str, keys: list[str]) -> None:
    assert command_keys(lookup(words(line)), words(line)) == keys
    as_bytes = tuple(word.encode() for word in line.split())
    assert command_keys(lookup(as_bytes), as_bytes) == [key.encode() for key in keys]


def test_the_empty_key_of_migrate_is_none() -> None:
    command = ("MIGRATE", "h", 1, "", 0, 10, "KEYS", "a", "b")
    assert command_keys(lookup(command), command) == ["a", "b"]


BLOCKS = [
    ("BLPOP a 0", math.inf),
    ("BLPOP a 1.5", 1.5),
    ("BLPOP a x", None),
    ("BLPOP a -1", None),
    ("BLPOP a nan", None),
    ("BLPOP a inf", None),
    ("BRPOPLPUSH a b 3", 3.0),
    ("BLMOVE a b LEFT RIGHT 2", 2.0),
    ("BLMPOP 4 1 a LEFT", 4.0),
    ("BZMPOP 0 1 a MIN", math.inf),
    ("BZPOPMIN a 0.25", 0.25),
    ("WAIT 1 500", 0.5),
    ("WAIT 1", None),
    ("WAITAOF 1 1 0", math.inf),
    ("XREAD BLOCK 250 STREAMS a $", 0.25),
    ("XREAD COUNT 1 block 0 STREAMS a $", math.inf),
    ("XREAD STREAMS block 5", None),
    ("XREAD STREAMS a $", None),
    ("XREADGROUP GROUP g c BLOCK 1000 STREAMS a >", 1.0),
    ("GET a", None),
]


@pytest.mark.parametrize(("line", "seconds"), BLOCKS, ids=[line for line, _seconds in BLOCKS])
def test_blocking_commands_say_how_long(line: str, seconds: float | None) -> None:
    assert block_seconds(lookup(words(line)), words(line)) == seconds
    as_bytes = tuple(word.encode() for word in line.split())
    assert block_seconds(lookup(as_bytes), as_bytes) == seconds


def test_a_number_tells_the_time_as_well_as_its_text() -> None:
    assert block_seconds(lookup(("BLPOP",)), ("BLPOP", "a", 2)) == 2.0
    assert block_seconds(lookup(("WAIT",)), ("WAIT", 1, 2000)) == 2.0
    assert block_seconds(lookup(("BLPOP",)), ("BLPOP", "a", memoryview(b"2"))) == 2.0
    assert block_seconds(lookup(("BLPOP",)), ("BLPOP",)) is None


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("SET k v", True),
        ("SET k v EX 5", True),
        ("SET k v nx", False),
        ("SET k v XX", False),
        ("SET k v GET", False),
        ("SET k v IFEQ old", False),
        ("HSETEX h FIELDS 1 f v", True),
        ("HSETEX h fnx FIELDS 1 f v", False),
        ("MSET a 1 b 2", True),
        ("CONFIG SET a 1", True),
        ("INCR k", False),
        ("GET k", False),
        ("DEL k", False),
    ],
)
def test_only_unconditional_absolute_writes_are_absolute(line: str, expected: bool) -> None:
    assert is_absolute(lookup(words(line)), words(line)) is expected
    as_bytes = tuple(word.encode() for word in line.split())
    assert is_absolute(lookup(as_bytes), as_bytes) is expected


def test_numbers_and_long_values_do_not_hide_an_absolute_write() -> None:
    assert is_absolute(lookup(("SET",)), ("SET", "k", 1.5))
    assert is_absolute(lookup(("SET",)), ("SET", "k", b"x" * 100_000, b"EX", 5))
    assert not is_absolute(lookup(("SET",)), ("SET", "k", 1.5, bytearray(b"nx")))


def test_every_refusal_says_what_to_do() -> None:
    for name in names_with(FORBIDDEN):
        told = refusal(lookup(tuple(name.split())))
        assert told.startswith(f"{name} is refused: ")
        assert len(told) > len(name) + 30


def test_routes_are_the_servers_words() -> None:
    assert route(lookup(("DBSIZE",))) == ("all_shards", "agg_sum")
    assert route(lookup(("MSET", "a", 1))) == ("multi_shard", "all_succeeded")
    assert route(lookup(("GET", "a"))) == ("", "")


def test_bits_are_distinct() -> None:
    bits = [getattr(flags, name) for name in flags.__all__ if name.isupper()]
    assert all(bit.bit_count() == 1 for bit in bits)
    assert len(set(bits)) == len(bits) == 11
