"""What a request sees of its session, with nobody behind it: when it is read, what has changed, when it is shut.

Of the catalogues: W01, W02; S-20, S-24.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carmine.errors import ConnectionLost, UsageError
from carmine.ext.sessions.core.contents import Contents
from carmine.ext.sessions.core.session import Act, Plan, Session
from carmine.ext.sessions.errors import SessionSealed, SessionTooLarge, SessionUnavailable
from carmine.freezing import freeze
from tests.lab.matrix import scaled

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.one_twin

CONTENTS = Contents(None, 1000)
ID = "i" * 43


class Stored:
    """A stored session, and how often it was read."""

    def __init__(self, data: dict[str, Any] | None) -> None:
        self.frozen = None if data is None else CONTENTS.write(data)
        self.reads = 0

    def load(self) -> bytes | None:
        self.reads += 1
        return self.frozen

    def session(self) -> Session:
        return Session(CONTENTS, ID, self.load)


def test_it_is_read_at_the_first_touch_and_once() -> None:
    stored = Stored({"a": 1})
    session = stored.session()
    assert repr(session) == "<Session, not read yet>"
    assert session.plan() == Plan(Act.NOTHING)
    assert (stored.reads, session.accessed) == (0, False)
    assert (session["a"], dict(session), len(session), "b" in session, session.get("b")) == (
        1,
        {"a": 1},
        1,
        False,
        None,
    )
    assert (stored.reads, session.accessed, session.is_new, session.id) == (1, True, False, ID)
    assert session.plan() == Plan(Act.NOTHING)


def test_what_is_not_there_is_not_adopted() -> None:
    session = Stored(None).session()
    assert (session.id, session.is_new, dict(session)) == (None, True, {})
    session["a"] = 1
    assert session.plan() == Plan(Act.CREATE, None, freeze({"a": 1}))


def test_what_cannot_be_read_is_no_session(caplog: pytest.LogCaptureFixture) -> None:
    stored = Stored({})
    stored.frozen = b"\0>canary"
    session = stored.session()
    with caplog.at_level(logging.WARNING, "carmine.sessions"):
        assert session.is_new
    assert "Nippy" in caplog.text
    assert "canary" not in caplog.text


CHANGES: dict[str, tuple[Act, list[Callable[[Session], object]]]] = {
    "nothing": (Act.NOTHING, [lambda s: s["list"]]),
    "the same again": (Act.NOTHING, [lambda s: s.update(n=1)]),
    "there and back": (Act.NOTHING, [lambda s: s.update(x=1), lambda s: s.pop("x")]),
    "setdefault of what is there": (Act.NOTHING, [lambda s: s.setdefault("n", 1)]),
    "a new entry": (Act.UPDATE, [lambda s: s.__setitem__("x", None)]),
    "another value": (Act.UPDATE, [lambda s: s.__setitem__("n", 2)]),
    "another type": (Act.UPDATE, [lambda s: s.__setitem__("n", True)]),
    "less": (Act.UPDATE, [lambda s: s.__delitem__("n")]),
    "update": (Act.UPDATE, [lambda s: s.update(n=2)]),
    "or": (Act.UPDATE, [lambda s: s.__ior__({"n": 2})]),
    "inside a list": (Act.UPDATE, [lambda s: s["list"].append(1)]),
    "deep inside": (Act.UPDATE, [lambda s: s["deep"]["er"][0].add("x")]),
    "cleared": (Act.DELETE, [lambda s: s.clear()]),
    "cleared and filled": (Act.UPDATE, [lambda s: s.clear(), lambda s: s.update(x=1)]),
    "emptied": (Act.DELETE, [lambda s: [s.popitem() for _ in range(len(s))]]),
    "invalidated": (Act.DELETE, [lambda s: s.invalidate()]),
    "invalidated and filled": (Act.REPLACE, [lambda s: s.invalidate(), lambda s: s.update(x=1)]),
    "invalidated and filled as it was": (Act.REPLACE, [lambda s: s.invalidate(), lambda s: s.update(WAS)]),
    "regenerated": (Act.MOVE, [lambda s: s.regenerate()]),
    "regenerated and changed": (Act.MOVE, [lambda s: s.regenerate(), lambda s: s.update(x=1)]),
    "regenerated and ended": (Act.DELETE, [lambda s: s.regenerate(), lambda s: s.invalidate()]),
    "detached": (Act.NOTHING, [lambda s: s.update(x=1), lambda s: s.detach()]),
}
OF_OLD = {"nothing", "less", "inside a list", "deep inside"}
"""Changes of what was there before."""
WAS: dict[str, Any] = {"n": 1, "list": [], "deep": {"er": ({"y"},)}}


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_change_asks_for(name: str) -> None:
    act, steps = CHANGES[name]
    session = Stored(WAS).session()
    for step in steps:
        step(session)
    assert session.plan().act is act
    assert session.modified is (act is not Act.NOTHING)
    if act in {Act.UPDATE, Act.REPLACE}:
        assert session.plan() == Plan(act, ID, freeze(dict(session)))
    if act is Act.DELETE:
        assert session.plan() == Plan(act, ID)


@pytest.mark.parametrize("name", sorted(CHANGES.keys() - OF_OLD))
def test_the_same_changes_of_a_new_session(name: str) -> None:
    """It is stored only if something is in it, and there is nothing to delete."""
    session = Session(CONTENTS)
    for step in CHANGES[name][1]:
        step(session)
    assert session.plan().act is (Act.CREATE if session and name != "detached" else Act.NOTHING)


def test_regenerate_keeps_what_is_stored_or_writes_what_is_new() -> None:
    session = Stored({"a": 1}).session()
    session.regenerate()
    assert session.plan() == Plan(Act.MOVE, ID, None, False)
    session.regenerate(begin_anew=True)
    session.regenerate()
    session["a"] = 2
    assert session.plan() == Plan(Act.MOVE, ID, freeze({"a": 2}), True)
    plan = session.plan()
    session.settle(plan, "n" * 43)
    assert session.plan() == Plan(Act.NOTHING)
    assert session.id == "n" * 43


def test_an_empty_session_that_is_stored_stays() -> None:
    session = Stored({}).session()
    assert not session
    assert session.plan() == Plan(Act.NOTHING)
    session.regenerate()
    assert session.plan() == Plan(Act.MOVE, ID, None, False)


def test_an_end_needs_no_reading() -> None:
    stored = Stored({"a": 1})
    session = stored.session()
    session.invalidate()
    assert session.plan() == Plan(Act.DELETE, ID)
    assert stored.reads == 0


def test_sealed_it_can_be_read_and_not_changed() -> None:
    session = Stored({"a": 1, "list": []}).session()
    session.seal()
    assert session["a"] == 1
    for change in (
        lambda: session.__setitem__("a", 2),
        lambda: session.__delitem__("a"),
        lambda: session.update(a=2),
        lambda: session.__ior__({"a": 2}),
        session.clear,
        session.popitem,
        session.regenerate,
        session.invalidate,
    ):
        with pytest.raises(SessionSealed, match="before the response begins"):
            change()
    assert dict(session) == {"a": 1, "list": []}
    assert not session.was_changed_late()
    session["list"].append(1)
    assert session.was_changed_late()
    session["list"].append(object())
    assert session.was_changed_late()


def test_who_does_not_know_what_is_stored_cannot_end_it() -> None:
    for end in (Session.clear, Session.regenerate, Session.invalidate):
        session = Session(CONTENTS, ID, lambda: None)
        session["a"] = 1
        session.detach()
        with pytest.raises(SessionUnavailable, match="was not ended"):
            end(session)
        assert session.plan() == Plan(Act.NOTHING)


def test_who_could_not_read_is_not_asked_again() -> None:
    asked = []

    def load() -> bytes | None:
        asked.append(1)
        raise ConnectionLost("the connection was lost")

    session = Session(CONTENTS, ID, load)
    for _ in range(3):
        with pytest.raises(ConnectionLost):
            session["a"] = 1
    assert len(asked) == 1
    assert session.plan() == Plan(Act.NOTHING), "nothing known, nothing written"


def test_what_cannot_be_kept_is_told_when_it_is_saved() -> None:
    session = Session(CONTENTS)
    session["a"] = object()
    with pytest.raises(UsageError, match="object"):
        session.plan()
    session["a"] = "x" * 1000
    with pytest.raises(SessionTooLarge):
        _ = session.modified


def test_a_repr_tells_no_contents() -> None:
    session = Stored({"canary": "canary"}).session()
    assert session["canary"]
    assert repr(session) == "<Session, stored, of 1 entries>"
    assert repr(Session(CONTENTS)) == "<Session, new, of 0 entries>"
    assert "canary" not in repr(session.plan())


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
DICTS = st.dictionaries(st.text(max_size=3), VALUES, max_size=4)


@settings(max_examples=scaled(1000))
@given(was=DICTS, becomes=DICTS)
def test_a_change_is_noticed_if_and_only_if_there_is_one(was: dict[str, Any], becomes: dict[str, Any]) -> None:
    session = Session(Contents(None, 1 << 20), ID, lambda: freeze(was))
    for key in list(session):
        if key not in becomes:
            del session[key]
    session.update(becomes)
    assert dict(session) == becomes
    act = session.plan().act
    if freeze(dict(session)) == freeze(was):
        assert act is Act.NOTHING
    else:
        assert act is (Act.UPDATE if becomes else Act.DELETE)
