"""Lua programs without a server: templates (S-15), hashes, what goes out, the bound of what is remembered; patterns."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tracemalloc
from importlib.util import find_spec
from typing import Any

import pytest

import carmine
from carmine.client import lua
from carmine.client.lua import Program, ScriptQueue, fill, is_unknown, words_of
from carmine.commands.command import Reply, Spec, Words
from carmine.errors import NoScriptError, UsageError


def text_of(template: str, keys: Any = (), args: Any = ()) -> str | bytes:
    return fill(template, keys, args)[0].text


class TestTemplates:
    @pytest.mark.parametrize(
        ("template", "keys", "args", "text"),
        [
            ("return 1", {}, {}, "return 1"),
            ("_:k", {"k": "a"}, {}, "KEYS[1]"),
            ("_:v", {}, {"v": "a"}, "ARGV[1]"),
            ("_:b _:a _:b", {"a": "x", "b": "y"}, {}, "KEYS[2] KEYS[1] KEYS[2]"),
            ("_:k _:key _:k-1", {"k": 1, "key": 2, "k-1": 3}, {}, "KEYS[1] KEYS[2] KEYS[3]"),
            ("_:k-1 _:key _:k", {"k-1": 1, "k": 2}, {"key": 3}, "KEYS[1] ARGV[1] KEYS[2]"),
            ("_:n - 1", {}, {"n": 1}, "ARGV[1] - 1"),
            ("_:n+1, _:n/2, (_:n)", {}, {"n": 1}, "ARGV[1]+1, ARGV[1]/2, (ARGV[1])"),
            ("_:nx? _:go! _:all* _:a_b _:A1", {"nx?": 1}, {"go!": 1, "all*": 2, "a_b": 3, "A1": 4},
             "KEYS[1] ARGV[1] ARGV[2] ARGV[3] ARGV[4]"),
            ("object_:method(_:k)", {"k": 1}, {}, "object_:method(KEYS[1])"),
            ("'_:k'..[[_:k]]", {"k": 1}, {}, "'KEYS[1]'..[[KEYS[1]]]"),
            ("_: k _:1 __:k", {"k": 1}, {}, "_: k _:1 __:k"),
            ("_:a_:b", {"a_": 1}, {}, "KEYS[1]:b"),
            ("_:größe", {}, {"größe": 1}, "ARGV[1]"),
            ("KEYS[2] _:b", {"a": 1, "b": 2}, {}, "KEYS[2] KEYS[2]"),
            ("KEYS[1] _:v", ["a"], {"v": 1}, "KEYS[1] ARGV[1]"),
            ("_:k ARGV[2]", {"k": "a"}, ("x", "y"), "KEYS[1] ARGV[2]"),
        ],
    )  # fmt: skip
    def test_variables_become_places(self, template: str, keys: Any, args: Any, text: str) -> None:
        """S-15: one pass, the longest name, and what was put in is not looked at again."""
        assert text_of(template, keys, args) == text

    def test_no_value_ever_becomes_text(self) -> None:
        """S-15: values that look like variables, like places, like Lua."""
        evil = {"a": "_:b", "b": "KEYS[1]", "c": '"]] redis.call("FLUSHALL") --', "d": "\\1", "e": b"_:a\0\xff"}
        program, keys, args = fill("return {_:a, _:b, _:c, _:d, _:e, _:v}", evil, {"v": "_:a"})
        assert program.text == "return {KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], ARGV[1]}"
        assert keys == tuple(evil.values())
        assert args == ("_:a",)

    @pytest.mark.parametrize(
        ("template", "shown"),
        [
            ("_:key", "_:key"),
            ("_:k-1", "_:k-1"),
            ("_:K", "_:K"),
            ("_:kü", "_:kü"),
            ("-- _:todo", "_:todo"),
            ("_:" + "x" * 10_000, "x" * 40 + "`"),
        ],
    )
    def test_a_variable_without_a_name_is_an_error(self, template: str, shown: str) -> None:
        """S-15: `_:k` inside `_:key` is no `_:k`."""
        with pytest.raises(UsageError) as caught:
            text_of(f"return _:k {template}", {"k": "value-canary"})
        assert shown in str(caught.value)
        assert "canary" not in str(caught.value)
        assert len(str(caught.value)) < 300

    @pytest.mark.parametrize(
        "name", ["", "1", "-k", "_k", "k ", "k\n", "k]", "a.b", "a'b", "KEYS[1]", "x) call('FLUSHALL'", 1, b"k", None]
    )  # fmt: skip
    def test_a_name_that_cannot_be_one_is_an_error(self, name: Any) -> None:
        """S-15: names may come from input too."""
        for keys, args in (({name: 1}, {}), ({}, {name: 1})):
            with pytest.raises(UsageError, match="name 1 for") as caught:
                text_of("return 1", keys, args)
            assert "FLUSHALL" not in str(caught.value)

    def test_a_name_is_a_key_or_an_argument(self) -> None:
        with pytest.raises(UsageError, match=r"name 2 for ARGV .* is the name of a key already"):
            text_of("_:a", {"a": 1}, {"b": 1, "a": 2})

    def test_a_name_may_go_unused(self) -> None:
        program, keys, args = fill("return 1", {"declared": "a"}, {"spare": "b"})
        assert (program.text, keys, args) == ("return 1", ("a",), ("b",))

    @pytest.mark.parametrize("template", [b"return 1", None, 1])
    def test_a_template_is_text(self, template: Any) -> None:
        with pytest.raises(UsageError, match="a Lua template is a str"):
            text_of(template)

    def test_one_value_stands_for_itself(self) -> None:
        assert fill("", "key", b"abc")[1:] == (("key",), (b"abc",))
        assert fill("", (), 7)[1:] == ((), (7,))
        key: Any = 5
        with pytest.raises(UsageError, match="a Lua template takes several of these"):
            fill("", key, ())


class TestWhatIsRemembered:
    def test_the_same_template_and_names_are_the_same_program(self) -> None:
        first = fill("return _:remembered", {"remembered": "a"}, ())[0]
        assert fill("return _:remembered", {"remembered": "b"}, ())[0] is first
        assert fill("return _:remembered", (), {"remembered": "a"})[0] is not first
        assert fill("return _:remembered", {"remembered": "b"}, (), readonly=True)[0] is not first

    def test_the_order_of_names_counts(self) -> None:
        assert text_of("_:a", {"a": 1, "b": 2}) == "KEYS[1]"
        assert text_of("_:a", {"b": 2, "a": 1}) == "KEYS[2]"

    def test_ten_thousand_templates_do_not_grow_memory(self) -> None:
        """S-15, S-52: bounded in number, and a large one is not kept at all."""
        for number in range(1000):
            text_of(f"return {number} .. _:k", {"k": 1})
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for number in range(10_000):
                text_of(f"return -{number} .. _:k", {"k": 1})
            for number in range(20):
                text_of(f"return {number} --" + "x" * lua._LONGEST, {})
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        assert lua._program.cache_info().currsize == lua._TEMPLATES
        assert grown < 512 * 1024

    def test_an_error_is_not_remembered(self) -> None:
        size = lua._program.cache_info().currsize
        for number in range(10):
            with pytest.raises(UsageError):
                text_of(f"_:unknown{number}")
        assert lua._program.cache_info().currsize == size


class TestPrograms:
    @pytest.mark.parametrize("text", ["return 1", b"return 1", "return 'ä'", b"return '\xff'", ""])
    def test_the_hash_is_the_servers(self, text: str | bytes) -> None:
        data = text.encode() if isinstance(text, str) else text
        assert Program[Any](text).sha == hashlib.sha1(data).hexdigest()

    @pytest.mark.parametrize("text", [None, 1, bytearray(b"x"), ["return 1"], "\ud800"])
    def test_what_is_no_text_is_refused(self, text: Any) -> None:
        with pytest.raises(UsageError, match="script"):
            Program(text)

    def test_what_goes_out(self) -> None:
        program = Program[Any]("return 1")
        spec, words = program.by_hash(("a", b"b"), (1, 2.5))
        assert (spec.name, words) == ("EVALSHA", ("EVALSHA", program.sha, 2, "a", b"b", 1, 2.5))
        spec, words = program.by_text((), ("x",))
        assert (spec.name, words) == ("EVAL", ("EVAL", "return 1", 0, "x"))

    def test_what_goes_out_for_a_program_that_only_reads(self) -> None:
        program = Program("return 1", readonly=True, decode=int)
        for (spec, words), name in ((program.by_hash((), ()), "EVALSHA_RO"), (program.by_text((), ()), "EVAL_RO")):
            assert (spec.name, words[0], spec.decode) == (name, name, int)

    def test_only_the_servers_own_words_prove_that_nothing_ran(self) -> None:
        assert is_unknown(NoScriptError("NOSCRIPT No matching script. Please use EVAL."))
        assert not is_unknown(NoScriptError("NOSCRIPT of mine"))

    @pytest.mark.skipif(find_spec("_sha1") is None, reason="this Python has no SHA1 of its own")
    def test_openssl_is_not_loaded_for_a_hash(self) -> None:
        code = "import sys, carmine.client.lua as lua; lua.Program('x').sha; print('_hashlib' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "False"

    def test_hashlib_does_where_its_fallback_is_missing(self) -> None:
        code = "import sys; sys.modules['_sha1'] = None; import carmine.client.lua as lua; print(lua.Program('x').sha)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "11f6ad8ec52a2984abaafd7c3b516503785c2072"


class TestWords:
    def test_one_stands_for_itself(self) -> None:
        assert words_of("key", 7) == (("key",), (7,))
        assert words_of(b"key", "arg") == ((b"key",), ("arg",))
        assert words_of(["a", "b"], iter((1, 2.5))) == (("a", "b"), (1, 2.5))

    @pytest.mark.parametrize(("keys", "args"), [({"k": "a"}, ()), ((), {"v": 1})])
    def test_names_are_for_templates(self, keys: Any, args: Any) -> None:
        """Gone through as a row, a dict would send its names in place of its values."""
        with pytest.raises(UsageError, match=r"a script .* lua\(\)"):
            words_of(keys, args)


class Batch(ScriptQueue):
    """A queue that keeps what it was given."""

    def __init__(self) -> None:
        self.words: list[Words] = []
        self._carried = set()

    def _queue(self, spec: Spec, words: Words) -> Reply[Any]:
        self.words.append(words)
        return Reply(spec, words)


class TestBatches:
    def test_each_program_goes_out_in_full_once(self) -> None:
        batch, one, other = Batch(), Program[Any]("return 1"), Program[Any]("return 2")
        for program in (one, one, other, one, other):
            batch._queue_program(program, (), ())
        assert [words[:2] for words in batch.words] == [
            ("EVAL", "return 1"),
            ("EVALSHA", one.sha),
            ("EVAL", "return 2"),
            ("EVALSHA", one.sha),
            ("EVALSHA", other.sha),
        ]

    def test_the_text_in_one_kind_of_call_serves_the_other(self) -> None:
        batch = Batch()
        batch._queue_program(Program("return 1", readonly=True), (), ())
        batch._queue_program(Program("return 1"), (), ())
        assert [words[0] for words in batch.words] == ["EVAL_RO", "EVALSHA"]

    def test_a_template_of_a_batch(self) -> None:
        batch = Batch()
        for value in ("_:k", "x"):
            batch.lua("return _:v", {"k": "a"}, {"v": value})
        assert [words[0] for words in batch.words] == ["EVAL", "EVALSHA"]
        assert [words[2:] for words in batch.words] == [(1, "a", "_:k"), (1, "a", "x")]
        with pytest.raises(UsageError):
            batch.lua("return _:w", {"k": "a"})
        assert len(batch.words) == 2


class TestPatterns:
    @pytest.mark.parametrize(
        ("name", "pattern"),
        [
            ("plain:name-1", "plain:name-1"),
            ("a*", "a\\*"),
            ("?[ab]^-]", "\\?\\[ab]^-]"),
            ("a\\*", "a\\\\\\*"),
            ("ä*\n", "ä\\*\n"),
            ("", ""),
            (b"\xff*\\", b"\xff\\*\\\\"),
        ],
    )
    def test_special_letters_lose_their_meaning(self, name: Any, pattern: Any) -> None:
        assert carmine.glob_escape(name) == pattern

    @pytest.mark.parametrize("name", [None, 1, bytearray(b"x")])
    def test_what_is_no_name_is_refused(self, name: Any) -> None:
        with pytest.raises(UsageError, match="glob_escape takes"):
            carmine.glob_escape(name)
