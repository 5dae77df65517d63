"""A store under random calls is a dict that forgets, of ids that nobody chooses (W03, S-41, S-43)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test

import carmine
from carmine.ext.sessions import Session, SessionGone, SessionStore
from carmine.ext.sessions.core.session import Act
from carmine.ext.sessions.keys import is_id
from tests.lab.matrix import scaled

if TYPE_CHECKING:
    from tests.lab.servers import RedisServer

DATA = st.dictionaries(st.sampled_from("abc"), st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=2), max_size=3)


class Opened:
    """A request's session, what it knows of what is stored, and whether it is to have another id."""

    def __init__(self, session: Session, known: dict[str, Any]) -> None:
        self.session = session
        self.known = known
        self.moves = False


class Machine(RuleBasedStateMachine):
    """Every call against the same call on a dict."""

    client: carmine.Client[str]
    store: SessionStore
    ids = Bundle("ids")
    sessions = Bundle("sessions")

    def __init__(self) -> None:
        super().__init__()
        self.client.flushdb()
        self.model: dict[str, dict[str, Any]] = {}
        self.ended: set[str] = set()

    def _born(self, id: str, data: dict[str, Any]) -> str:
        assert is_id(id)
        assert id not in self.model
        assert id not in self.ended, "an id is never given twice"
        self.model[id] = data
        return id

    def _end(self, id: str) -> None:
        del self.model[id]
        self.ended.add(id)

    @rule(target=ids, data=DATA)
    def create(self, data: dict[str, Any]) -> str:
        return self._born(self.store.create(data), data)

    @rule(target=ids, data=DATA, id=st.sampled_from([None, "", "planted", "x" * 42]))
    def write_without(self, id: str | None, data: dict[str, Any]) -> str:
        return self._born(self.store.write(id, data), data)

    @rule(id=ids, data=DATA)
    def write(self, id: str, data: dict[str, Any]) -> None:
        if id in self.model:
            assert self.store.write(id, data) == id
            self.model[id] = data
        else:
            with pytest.raises(SessionGone):
                self.store.write(id, data)

    @rule(id=ids, data=DATA)
    def update(self, id: str, data: dict[str, Any]) -> None:
        assert self.store.update(id, data) is (id in self.model)
        if id in self.model:
            self.model[id] = data

    @rule(id=ids)
    def look(self, id: str) -> None:
        assert self.store.read(id) == self.model.get(id)
        assert self.store.exists(id) is self.store.touch(id) is (id in self.model)

    @rule(id=ids)
    def delete(self, id: str) -> None:
        assert self.store.delete(id) is (id in self.model)
        if id in self.model:
            self._end(id)

    @rule(target=ids, id=ids, data=st.none() | DATA, begin_anew=st.booleans())
    def regenerate(self, id: str, data: dict[str, Any] | None, begin_anew: bool) -> Any:
        if id not in self.model:
            with pytest.raises(SessionGone):
                self.store.regenerate(id, data, begin_anew=begin_anew)
            return multiple()
        kept = self.model[id] if data is None else data
        self._end(id)
        return self._born(self.store.regenerate(id, data, begin_anew=begin_anew), kept)

    @rule(target=sessions, id=ids)
    def open(self, id: str) -> Opened:
        frozen = self.store.fetch(id)
        known = dict(self.model.get(id, {}))
        return Opened(Session(self.store.contents, id, lambda: frozen), known)

    @rule(target=ids, opened=sessions, change=DATA, how=st.sampled_from(["update", "regenerate", "invalidate"]))
    def save(self, opened: Opened, change: dict[str, Any], how: str) -> Any:
        """A request that began some time ago: others may have been faster."""
        session = opened.session
        was = session.id  # it may have been saved before, under another id
        is_there = was in self.model
        if how != "update":
            getattr(session, how)()
        session.update(change)
        after = dict(session)
        opened.moves |= how == "regenerate"
        is_changed = after != opened.known  # a change that could not be saved waits for the next time
        if was is not None and not is_there and how != "invalidate" and (is_changed or opened.moves):
            with pytest.raises(SessionGone):
                self.store.save(session)
            return multiple()
        if self.store.save(session).act is not Act.NOTHING:
            opened.known, opened.moves = after, False
        if session.id == was:
            if was is not None and is_changed:
                self.model[was] = after
            return multiple()
        kept = after
        if was is not None and is_there:
            kept = after if is_changed or how == "invalidate" else self.model[was]
            self._end(was)
        return multiple() if session.id is None else self._born(session.id, kept)

    @invariant()
    def nothing_else_is_stored(self) -> None:
        assert self.client.dbsize() == len(self.model)

    def teardown(self) -> None:
        for id in (*self.model, *self.ended):
            assert self.store.read(id) == self.model.get(id)


@pytest.mark.parametrize("options", [{}, {"rolling": True, "absolute_ttl": 3600}], ids=["plain", "rolling"])
def test_the_store_is_a_dict_that_forgets(server: RedisServer, options: dict[str, Any]) -> None:
    with carmine.Client(server.url) as client:
        case = type("Case", (Machine,), {"client": client, "store": SessionStore(client, **options)})
        run_state_machine_as_test(
            case, settings=settings(max_examples=scaled(400), stateful_step_count=30, deadline=None)
        )
