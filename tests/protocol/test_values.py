"""Values that Python cannot hold (docs/protocol.md 6): never mangled; and how the value classes behave."""

from __future__ import annotations

import copy
import itertools
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from carmine.protocol import NEED_DATA, Attributed, Members, Pairs, Push, Verbatim
from carmine.protocol.limits import NUMBER_KEYS
from carmine.protocol.values import map_of, set_of
from tests.protocol.streams import told

if TYPE_CHECKING:
    from tests.protocol.twins import Twin

KEYS = [
    b":0\r\n",
    b":1\r\n",
    b"(1\r\n",
    b"#t\r\n",
    b"#f\r\n",
    b",1\r\n",
    b",0\r\n",
    b",-0\r\n",
    b"+1\r\n",
    b"_\r\n",
    b"*0\r\n",
]
VALUES = [0, 1, 1, True, False, 1.0, 0.0, -0.0, b"1", None, []]


def parse(twin: Twin, data: bytes) -> Any:
    """Return the one value of a stream."""
    parser = twin.parser(3)
    parser.feed(data)
    value = parser.next_reply()
    assert value is not NEED_DATA
    assert parser.is_idle
    return value


def same(one: object, other: object) -> bool:
    """Whether two values are the same on the wire."""
    return bool(told(one) == told(other))


def test_no_key_and_no_member_is_lost(twin: Twin) -> None:
    """6.1, 6.2, 6.3, 6.4: three keys of every kind."""
    for picked in itertools.product(range(len(KEYS)), repeat=3):
        check_keys(twin, picked)


def check_keys(twin: Twin, picked: tuple[int, ...]) -> None:
    """Parse a map and a set of these keys, and see that all are there."""
    keys = [VALUES[i] for i in picked]
    reply = parse(twin, b"%3\r\n" + b"".join(KEYS[i] + b"+%d\r\n" % n for n, i in enumerate(picked)))
    kept = reply.items() if isinstance(reply, dict) else reply
    expected: list[tuple[object, bytes]] = []
    for n, key in enumerate(keys):
        known = [at for at, (other, _) in enumerate(expected) if same(key, other)]
        if isinstance(reply, dict) and known:
            expected[known[0]] = key, b"%d" % n
        else:
            expected.append((key, b"%d" % n))
    assert told(list(kept)) == told(expected)
    distinct = [key for n, key in enumerate(keys) if not any(same(key, other) for other in keys[:n])]
    confusable = any(a == b and not same(a, b) for a, b in itertools.combinations(keys, 2))
    assert isinstance(reply, Pairs) == (confusable or [] in keys)
    members = parse(twin, b"~3\r\n" + b"".join(KEYS[i] for i in picked))
    assert isinstance(members, Members) == isinstance(reply, Pairs)
    assert told(members) == told(set(distinct) if isinstance(members, set) else Members(keys))


@pytest.mark.parametrize("kind", [b":%d\r\n", b",%d.5\r\n", b"(%d00000000000000000000\r\n"])
def test_many_numbers(twin: Twin, kind: bytes) -> None:
    """6.5."""
    for count, fits in ((NUMBER_KEYS, True), (NUMBER_KEYS + 1, False)):
        lines = [kind % n for n in range(count)]
        reply = parse(twin, b"%%%d\r\n" % count + b"".join(line + b":1\r\n" for line in lines))
        members = parse(twin, b"~%d\r\n" % count + b"".join(lines))
        assert (type(reply), type(members)) == ((dict, set) if fits else (Pairs, Members))
        assert len(reply) == len(members) == count


def test_many_strings_among_few_numbers(twin: Twin) -> None:
    """6.5: only numbers count, and only as keys."""
    count = NUMBER_KEYS * 3
    lines = [(b":%d\r\n" if n % 3 == 0 else b"+%d\r\n") % n for n in range(count)]
    reply = parse(twin, b"%%%d\r\n" % count + b"".join(line + b":1\r\n" for line in lines))
    assert type(reply) is dict
    assert len(reply) == count
    assert type(parse(twin, b"~%d\r\n" % count + b"".join(lines))) is set


def test_nan_is_no_repetition(twin: Twin) -> None:
    """6.6."""
    reply = parse(twin, b"%2\r\n,nan\r\n+a\r\n,nan\r\n+b\r\n")
    assert type(reply) is dict
    assert list(reply.values()) == [b"a", b"b"]
    assert len(parse(twin, b"~2\r\n,nan\r\n,nan\r\n")) == 2


def test_the_rules_are_functions() -> None:
    assert map_of([]) == {}
    assert set_of([]) == set()
    assert map_of(["a", 1, "b", 2, "a", 3]) == {"a": 3, "b": 2}
    assert list(map_of(["a", 1, "b", 2, "a", 3])) == ["a", "b"]
    assert type(map_of([1, "a", True, "b"])) is Pairs
    assert type(set_of([0.0, -0.0])) is Members


# ---- the classes


SAMPLES = [
    Push([b"a", 1]),
    Pairs([(1, 2), (True, 3)]),
    Members([1, True]),
    Verbatim("txt", b"data"),
    Verbatim("txt", "text"),
    Attributed([1], {b"a": 1}),
    Attributed(None, Pairs([([], 1)])),
]


@pytest.mark.parametrize("value", SAMPLES, ids=repr)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))  # __slots__ need 2
def test_values_survive_pickling_and_copying(value: object, protocol: int) -> None:
    for back in (pickle.loads(pickle.dumps(value, protocol)), copy.copy(value), copy.deepcopy(value)):
        assert type(back) is type(value)
        assert back == value
        assert back is not value


def test_equality_and_hash() -> None:
    assert Verbatim("txt", b"a") == Verbatim("txt", b"a")
    assert Verbatim("txt", b"a") != Verbatim("mkd", b"a")
    assert Verbatim("txt", b"a") != Verbatim("txt", "a")
    assert Verbatim("txt", b"a") != b"a"
    assert len({Verbatim("txt", b"a"), Verbatim("txt", b"a"), Verbatim("txt", b"b")}) == 2
    assert Attributed(1, {}) == Attributed(1, {})
    assert Attributed(1, {}) != Attributed(1, {b"a": 1})
    assert Attributed(1, {}) != 1
    with pytest.raises(TypeError, match="unhashable"):
        hash(Attributed(1, {}))
    assert Push([1]) == [1]


def test_repr_says_all() -> None:
    assert repr(Verbatim("txt", b"a")) == "Verbatim(format='txt', data=b'a')"
    assert repr(Attributed(1, {b"a": 2})) == "Attributed(value=1, attributes={b'a': 2})"
    assert repr(Push([1])) == "Push([1])"
    assert repr(Pairs([(1, 2)])) == "Pairs([(1, 2)])"
    assert repr(Members([1])) == "Members([1])"


@pytest.mark.parametrize("value", SAMPLES, ids=repr)
def test_values_hold_nothing_else(value: Any) -> None:
    with pytest.raises(AttributeError):
        value.surprise = 1
