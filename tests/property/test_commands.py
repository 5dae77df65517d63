"""Properties of the encoders (SECURITY S-10, S-11): the peer sees exactly the words, or nothing is sent."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carmine.errors import UsageError
from carmine.protocol import NEED_DATA
from tests.lab.wire import parse_commands
from tests.protocol.twins import TWINS, Twin

TWIN = pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.name)
common = settings(deadline=None, max_examples=300)

evil = st.lists(
    st.one_of(st.sampled_from([b"\r\n", b"*1", b"$4", b"\x00", b"QUIT", b" ", b"\n", b"$-1"]), st.binary(max_size=5)),
    max_size=8,
).map(b"".join)
text = st.text(st.characters(codec="utf-8"), max_size=40)
words = st.one_of(
    evil,
    text,
    evil.map(bytearray),
    evil.map(lambda raw: memoryview(raw)),  # mypy cannot see through the class
    st.integers(-(1 << 63), (1 << 64) - 1),
    st.floats(allow_nan=False),
)
commands = st.lists(words, min_size=1, max_size=6).map(tuple)
refused = st.one_of(
    st.none(),
    st.booleans(),
    st.just(float("nan")),
    st.integers(min_value=1 << 64),
    st.integers(max_value=-(1 << 63) - 1),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(text, text, max_size=2),
    st.text(st.characters(categories=["Cs"]), min_size=1, max_size=3),
)


def plain(word: Any) -> bytes:
    """Return the bytes that a word stands for."""
    if isinstance(word, str):
        return word.encode()
    return repr(word).encode() if isinstance(word, (int, float)) else bytes(word)


@TWIN
@common
@given(command=commands)
def test_the_peer_sees_exactly_the_words(twin: Twin, command: tuple[Any, ...]) -> None:
    data = twin.encode(*command)
    seen, end = parse_commands(data)
    assert end == len(data)
    assert seen == [[plain(word) for word in command]]


@TWIN
@common
@given(many=st.lists(commands, max_size=5))
def test_many_commands_are_the_commands_one_after_another(twin: Twin, many: list[tuple[Any, ...]]) -> None:
    assert twin.encode_many(many) == b"".join(twin.encode(*command) for command in many)


@TWIN
@common
@given(command=commands, wrong=refused, data=st.data())
def test_one_bad_word_refuses_all(twin: Twin, command: tuple[Any, ...], wrong: Any, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(command)))
    bad = (*command[:at], wrong, *command[at:])
    many = [command, bad, command]
    with pytest.raises(UsageError):
        twin.encode(*bad)
    with pytest.raises(UsageError):
        twin.encode_many(many)


@TWIN
@common
@given(command=commands)
def test_a_command_reads_back_as_a_reply(twin: Twin, command: tuple[Any, ...]) -> None:
    parser = twin.parser(2)
    parser.feed(twin.encode(*command))
    assert parser.next_reply() == [plain(word) for word in command]
    assert parser.next_reply() is NEED_DATA
    assert parser.is_idle


@TWIN
@common
@given(value=st.floats(allow_nan=False))
def test_floats_read_back_the_same(twin: Twin, value: float) -> None:
    ((word,),), _ = parse_commands(twin.encode(value))
    assert repr(float(word)) == repr(value)


@pytest.mark.skipif(len(TWINS) < 2, reason="the Cython twin was not built")
@common
@given(command=st.lists(st.one_of(words, refused, st.binary(), st.complex_numbers(), st.uuids()), max_size=5))
def test_the_twins_agree(command: list[Any]) -> None:
    seen: list[object] = []
    for twin in TWINS:
        outcome: object = None
        with contextlib.suppress(UsageError):
            outcome = twin.encode(*command)
        seen.append(outcome)
    assert seen[0] == seen[1]


@pytest.mark.skipif(len(TWINS) < 2, reason="the Cython twin was not built")
@common
@given(key=st.one_of(text, evil, st.lists(st.sampled_from([b"{", b"}", b"a", b"\xff"]), max_size=9).map(b"".join)))
def test_slots_agree(key: str | bytes) -> None:
    first, second = (twin.key_slot(key) for twin in TWINS)
    assert first == second
    assert 0 <= first < 16384
