"""The pure half of a client's serializer: words out, replies in; no connection here."""

from __future__ import annotations

import json
import math
import sys
from typing import TYPE_CHECKING, Any

import pytest

import carmine
from carmine.client.serializing import Serializing
from carmine.commands._sync import Commands
from carmine.commands.specs import lookup
from carmine.errors import DecodeError, ServerError, ThawError, UsageError
from carmine.freezing import Raw
from carmine.protocol import Parser
from carmine.protocol.values import Attributed, Members, Pairs, Verbatim
from carmine.types import RepeatedFields, ScoredMember, StreamEntry
from tests.unit.command_tables import typed
from tests.unit.commands_record import FILE
from tests.unit.commands_scenario import STEPS
from tests.unit.test_commands_replies import Replayed

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine.commands.command import Spec, Words

TEXT = Serializing(True, True)
BYTES = Serializing(True, False)
RECORDED: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))


def sent(*words: Any, by: Serializing = TEXT) -> Words:
    return by.outgoing(lookup(words), words)


def is_kept(words: Any) -> bool:
    """Whether words go out as they are, nothing copied."""
    return TEXT.outgoing(lookup(words), words) is words


class TestOutgoing:
    @pytest.mark.parametrize(
        "word", ["text", "", "é", 5, -(2**63), 2**64 - 1, 1.5, -0.0, math.inf, Raw(b"\0j1"), Raw(b"")]
    )
    def test_what_goes_out_as_it_is(self, word: Any) -> None:
        assert is_kept(("SET", "k", word, "EX", 5))

    @pytest.mark.parametrize(
        ("value", "data"),
        [
            (None, b"\0_"),
            (b"NX", b"\0<NX"),
            (bytearray(b"x"), b"\0<x"),
            (memoryview(b"\0"), b"\0<\0"),
            (True, b"\0jtrue"),
            ([1, "a"], b'\0j[1,"a"]'),
            (math.nan, b'\0j{"!float":"nan"}'),
            (2**64, b'\0j{"!int":"10000000000000000"}'),
            ({}, b"\0j{}"),
        ],
        ids=repr,
    )
    def test_what_is_frozen(self, value: Any, data: bytes) -> None:
        words = sent("SET", "k", value, b"NX")
        assert words == ("SET", "k", data, b"NX")
        assert type(words[2]) is Raw
        assert sent("HSET", b"\0k", value, value, "f", value) == ("HSET", b"\0k", data, data, "f", data)

    def test_keys_numbers_and_options_stay(self) -> None:
        assert is_kept((b"SET", b"\0_", "v", b"IFEQ", "w", b"GET", b"PX", 5))
        assert is_kept((b"APPEND", b"k", b"\0_"))
        assert is_kept((b"RESTORE", b"k", 0, b"\0dump"))

    @pytest.mark.parametrize("second", [chr(n) for n in range(256)])
    def test_a_text_that_begins_with_nul_is_refused(self, second: str) -> None:  # SECURITY S-14
        for value in ("\0" + second, "\0", "\0" + second + "canary"):
            with pytest.raises(UsageError, match="a str given to SET begins with NUL") as caught:
                sent("SET", "k", value)
            assert "canary" not in str(caught.value)
            assert TEXT.incoming("GET", bytes(sent("SET", "k", carmine.freeze(value))[2])) == value  # type: ignore[arg-type]
        assert sent("SET", "k", "x\0" + second)[2] == "x\0" + second
        assert sent("SET", "\0" + second, "v")[1] == "\0" + second  # a key is nobody's to read back as a value

    @pytest.mark.parametrize(
        ("words", "kind"),
        [
            (("GET", None), "NoneType"),
            (("SET", ["k"], "v"), "list"),
            (("SET", "k", "v", "EX", True), "bool"),
            (("EXPIRE", "k", {}), "dict"),
            (("APPEND", "k", None), "NoneType"),
            (("JSON.SET", "k", "$", {"a": 1}), "dict"),
            (("EVAL", "return 1", None, "k"), "NoneType"),
        ],
    )
    def test_elsewhere_a_value_is_an_error_that_says_so(self, words: Any, kind: str) -> None:
        with pytest.raises(UsageError, match=f"{words[0]} has no place for a {kind} there: only values are frozen"):
            sent(*words)

    def test_a_secret_is_sent_and_never_frozen(self) -> None:
        secret = carmine.Secret("canary")
        assert is_kept(("SET", "k", secret))
        assert is_kept(("AUTH", secret))
        with pytest.raises(UsageError, match=r"a Secret .* cannot be frozen"):
            sent("SET", "k", [secret])

    def test_what_cannot_be_frozen_is_refused(self) -> None:
        class Text(str):
            __slots__ = ()

        for value in (object(), Text("canary"), {"a": Text("canary")}, carmine):
            with pytest.raises(UsageError, match="cannot be frozen") as caught:
                sent("LPUSH", "k", "v", value)
            assert "canary" not in str(caught.value)


class TestIncoming:
    def test_strings_with_a_marker_are_values_and_the_others_are_not(self) -> None:
        reply = [b"\0_", b"\0<\0_", b"\0j{}", b"text", b"", b"\0", b"\0x", None, 5, 1.5, True]
        assert TEXT.incoming("X", reply) == [None, b"\0_", {}, "text", "", "\0", "\0x", None, 5, 1.5, True]
        assert BYTES.incoming("X", reply) == [None, b"\0_", {}, b"text", b"", b"\0", b"\0x", None, 5, 1.5, True]

    def test_every_kind_of_aggregate(self) -> None:
        error = ServerError("ERR x")
        told = [
            [b"\0j1", [b"a"], error],
            {b"f": b"\0j[1]", b"\0jtrue": b"v"},
            {b"m", b"\0jtrue"},
            Pairs([(b"k", b"\0_")]),
            Members([b"\0_", b"\0_"]),
            (b"\0_", 5),
            ScoredMember(b"\0jtrue", 1.5),
            Verbatim("txt", b"\0_text"),
            Attributed(b"\0_", {b"a": 1}),
        ]
        assert typed(TEXT.incoming("X", told)) == typed(
            [
                [1, ["a"], error],
                {"f": [1], True: "v"},
                {"m", True},
                Pairs([("k", None)]),
                Members([None, None]),
                (None, 5),
                ScoredMember(True, 1.5),
                Verbatim("txt", "\0_text"),
                Attributed(None, {"a": 1}),
            ]
        )

    def test_keys_that_no_dict_can_hold_come_as_pairs(self) -> None:
        assert typed(TEXT.incoming("X", {b"\0j[]": b"1", b"b": b"2"})) == typed(Pairs([([], "1"), ("b", "2")]))
        assert typed(TEXT.incoming("X", {b'\0j"a"': b"1", b"a": b"2"})) == typed(Pairs([("a", "1"), ("a", "2")]))
        assert typed(TEXT.incoming("X", {b"\0jtrue": b"1", b"\0j1": b"2"})) == typed(Pairs([(True, "1"), (1, "2")]))
        assert typed(TEXT.incoming("X", {b"\0j{}"})) == typed(Members([{}]))
        two = TEXT.incoming("X", {b"\0j1", b"\0j1.0"})
        assert type(two) is Members
        assert sorted(map(repr, two)) == ["1", "1.0"]

    def test_members_chosen_to_collide_come_as_a_list(self) -> None:
        alike = {b'\0j{"!int":"%x"}' % (n * ((1 << 61) - 1)) for n in range(1, 5000)}
        assert type(TEXT.incoming("SMEMBERS", alike)) is Members
        assert type(TEXT.incoming("HGETALL", dict.fromkeys(alike, b"v"))) is Pairs

    def test_repeated_fields_keep_all_pairs(self) -> None:
        fields: RepeatedFields[Any] = RepeatedFields({b"a": b"\0j2", b"b": b"3"})
        fields.pairs = [(b"a", b"\0j1"), (b"b", b"3"), (b"a", b"\0j2")]
        entry = TEXT.incoming("XRANGE", StreamEntry[Any](b"1-1", fields))
        assert type(entry) is StreamEntry
        assert type(entry[1]) is RepeatedFields
        assert entry == ("1-1", {"a": 2, "b": "3"})
        assert entry[1].pairs == [("a", 1), ("b", "3"), ("a", 2)]

    @pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [b"a", x], lambda x: {b"a": x}, lambda x: [[(x,)]]])
    def test_one_that_cannot_be_thawed_is_the_error_of_the_whole_reply(self, wrap: Callable[[bytes], Any]) -> None:
        for data, reason in ((b"\0j[", "no JSON"), (b"\0>NPY", "Nippy"), (b"\0_x", "behind"), (b"\0sx", "of its own")):
            with pytest.raises(
                ThawError, match=f"a value in the reply to LRANGE cannot be thawed: .*{reason}"
            ) as caught:
                TEXT.incoming("LRANGE", wrap(data))
            assert caught.value.command == "LRANGE"

    def test_a_text_that_is_none(self) -> None:
        with pytest.raises(DecodeError) as caught:
            TEXT.incoming("GET", [b"\0j1", b"\xff"])
        assert caught.value.data == b"\xff"
        assert BYTES.incoming("GET", b"\xff") == b"\xff"

    def test_the_replies_of_exec_are_each_for_themselves(self) -> None:
        first, second, third, fourth = TEXT.each("EXEC", [b"\0j1", b"\0j[", b"\xff", [b"a"]])
        assert (first, fourth) == (1, ["a"])
        assert isinstance(second, ThawError)
        assert isinstance(third, DecodeError)
        assert TEXT.each("EXEC", None) is None

    def test_a_deep_reply_is_no_recursion_error(self) -> None:
        reply: Any = b"\0j1"
        for _ in range(2 * sys.getrecursionlimit()):
            reply = [reply]
        with pytest.raises(ThawError, match="deeper than the calling thread's stack allows"):
            TEXT.incoming("EVAL", reply)


class TestSpecs:
    def test_the_shape_is_read_before_a_value_can_be_taken_for_it(self) -> None:
        """On RESP2 a list as the first item would say that scores come in pairs."""
        spec, _ = TEXT(_spec_of("zrange", "k", 0, -1, withscores=True), ())
        assert spec.text is False
        raw = [b"\0j[1,2]", b"1.5", b"\0j[]", b"2"]
        assert spec.decode is not None
        assert spec.decode(raw) == [ScoredMember([1, 2], 1.5), ScoredMember([], 2.0)]

    def test_facts_are_kept_and_specs_made_once(self) -> None:
        spec = lookup(("BLPOP", "k", 1))
        made, words = TEXT(spec, ("BLPOP", "k", 1))
        assert (made.name, made.flags, made.block, made.keys) == (spec.name, spec.flags, spec.block, spec.keys)
        assert TEXT(spec, words)[0] is made
        assert BYTES(spec, words)[0] is not made

    def test_what_has_strings_of_its_own_is_left_alone(self) -> None:
        for call in (("dump", "k"), ("info",)):
            spec = _spec_of(*call)
            assert spec.text is not None
            assert TEXT(spec, ())[0] is spec

    def test_memory_is_bounded(self) -> None:
        one = Serializing(True, True)
        for n in range(5000):
            words = (f"NOBODY.{n}", "k")
            one(lookup(words), words)
        assert len(one._specs) == 0
        for n in range(10_000):
            one(carmine.commands.command.Spec(f"X{n}"), ("X",))
        assert 0 < len(one._specs) <= 4096


def _spec_of(method: str, *args: Any, **kwargs: Any) -> Spec:
    found: list[Spec] = []

    class Catcher(Commands[Any]):
        def _execute(self, spec: Spec, words: Words) -> Any:
            found.append(spec)

    getattr(Catcher(), method)(*args, **kwargs)
    return found[0]


class Thawing(Replayed):
    """A recorded reply, read by a client with a serializer."""

    def _execute(self, spec: Spec, words: Words) -> Any:
        made, _ = (TEXT if self.decode else BYTES)(spec, words)
        parser = Parser(protocol=self.protocol, decode=self.decode if made.text is None else made.text)
        parser.feed(self.wire)
        raw = parser.next_reply()
        return made.decode(raw) if made.decode else raw


@pytest.mark.parametrize("decode", [True, False], ids=["text", "bytes"])
@pytest.mark.parametrize("walk", RECORDED, ids=lambda walk: f"{walk['server']} RESP{walk['protocol']}")
def test_without_markers_every_reply_is_what_it_is_without_a_serializer(walk: dict[str, Any], decode: bool) -> None:
    compared = 0
    for index, step in enumerate(STEPS):
        wire = walk["replies"].get(f"{index} {step.name}")
        if wire is None:
            continue
        plain, thawed = (
            getattr(cls(wire.encode("latin-1"), walk["protocol"], decode=decode), step.method)(
                *step.args, **step.kwargs
            )
            for cls in (Replayed, Thawing)
        )
        assert typed(thawed) == typed(plain), step.name
        compared += 1
    assert compared > 100


class Shout:
    """A serializer of the user's: text in capitals, and nothing else."""

    def dumps(self, value: Any) -> bytes:
        return str(value).upper().encode()

    def loads(self, data: bytes) -> Any:
        if data == b"BAD":
            raise KeyError("canary")
        return ("loaded", data.decode())


class TestAnother:
    shout = Serializing(Shout(), True)
    pair = Serializing((Shout().dumps, Shout().loads), True)

    @pytest.mark.parametrize("which", ["shout", "pair"])
    def test_it_writes_under_a_marker_of_its_own(self, which: str) -> None:  # docs/freezing.md 1.4
        by: Serializing = getattr(self, which)
        assert sent("RPUSH", "k", "text", 5, [1], None, b"b", True, by=by) == (
            *("RPUSH", "k", "text", 5, b"\0s[1]", b"\0_", b"\0<b", b"\0sTRUE"),
        )
        assert by.incoming("X", [b"\0sA", b"\0_", b"\0<b", b"\0j[1]", b"t"]) == [("loaded", "A"), None, b"b", [1], "t"]

    def test_a_forced_value_is_in_carmine_s_own_format(self) -> None:
        assert sent("SET", "k", carmine.freeze([1]), by=self.shout) == ("SET", "k", b"\0j[1]")

    def test_its_errors_are_told_by_type(self) -> None:
        with pytest.raises(
            ThawError, match=r"reply to GET .* the serializer could not read it: it raised KeyError"
        ) as bad:
            self.shout.incoming("GET", b"\0sBAD")
        assert "canary" not in str(bad.value)
        assert isinstance(bad.value.__cause__, KeyError)

        def fail(value: object) -> bytes:
            raise ZeroDivisionError("canary")

        with pytest.raises(
            UsageError, match="could not write the list given to SET: it raised ZeroDivisionError"
        ) as out:
            sent("SET", "k", ["canary"], by=Serializing((fail, bytes.decode), True))
        assert "canary" not in str(out.value)

    def test_dumps_must_give_bytes(self) -> None:
        with pytest.raises(UsageError, match=r"dumps\(\) of a serializer must return bytes, not str"):
            sent("SET", "k", [1], by=Serializing(json, True))
        assert sent("SET", "k", [1], by=Serializing((lambda _: bytearray(b"x"), repr), True))[2] == b"\0sx"
