"""A store against a plain model: what an application does to keys, archived and evicted in between, changes nothing.

The application keeps to the rules of docs/tundra.md: it ensures a key before it changes a part of it, and deletes by
`forget`; it notes what it changes, though not always at once.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

import carmine
from carmine.ext.tundra import KeysMissing, NotEvicted, TundraStore
from tests.ext.tundra.stores import MAC_KEY, MemoryStore
from tests.lab.matrix import scaled

if TYPE_CHECKING:
    from tests.lab.servers import RedisServer

KEYS: Final = ("a", "b", "ü")
keys = st.sampled_from(KEYS)


class Copy(NamedTuple):
    """A value and the ms at which its own time ends."""

    value: str
    end: int | None


class Key:
    """One key of the model.

    Attributes:
        now: What an application without Tundra would have; None where there is no such key.
        archive: The confirmed archive.
        is_here: Whether it is in memory.
        waits: Whether it is noted and not archived yet.
        noted: The end of its own time when it was noted last.
        is_clean: Whether it is what the archive holds.
    """

    def __init__(self) -> None:
        self.now: Copy | None = None
        self.archive: Copy | None = None
        self.is_here = self.waits = self.is_clean = False
        self.noted: int | None = None


class StoreMachine(RuleBasedStateMachine):
    """Random operations on both."""

    client: carmine.Client[Any]
    ttl: float | None

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.memory = MemoryStore()
        self.store = TundraStore(
            self.client, self.memory, mac_keys=MAC_KEY, redis_ttl=self.ttl, allow_short_ttl=True, queue="model"
        )
        self.model = {name: Key() for name in KEYS}
        self.count = 0

    def _changed(self, name: str, now: Copy) -> None:
        key = self.model[name]
        key.now, key.is_here, key.is_clean = now, True, False

    @rule(name=keys)
    def overwrite(self, name: str) -> None:
        """SET takes an expiry away; that which `dirty` took away before comes back with the archive."""
        self.count += 1
        key = self.model[name]
        self.client.set(name, f"v{self.count}")
        kept = key.noted if key.waits else None
        self._changed(name, Copy(f"v{self.count}", kept))

    @rule(name=keys)
    def change_a_part(self, name: str) -> None:
        self.count += 1
        self.store.ensure_keys(name)
        key = self.model[name]
        self.client.append(name, f"+{self.count}")
        before = key.now or Copy("", None)
        self._changed(name, Copy(f"{before.value}+{self.count}", before.end))

    @rule(name=keys, seconds=st.integers(1_000, 5_000))
    def expire(self, name: str, seconds: int) -> None:
        self.store.ensure_keys(name)
        key = self.model[name]
        end = self.now() + seconds * 1000
        assert self.client.pexpireat(name, end) == (key.now is not None)
        if key.now is not None:
            self._changed(name, Copy(key.now.value, end))

    @rule(name=keys)
    def dirty(self, name: str) -> None:
        key = self.model[name]
        if not key.is_here:
            with pytest.raises(KeysMissing):
                self.store.dirty(name)
            return
        self.store.dirty(name)
        assert key.now is not None
        key.waits, key.noted = True, key.now.end

    @rule()
    def archive(self) -> None:
        self.store.worker().run_until_empty(20.0)
        for key in self.model.values():
            if key.waits:
                key.archive, key.waits, key.is_clean = key.now, False, True

    @rule(name=keys)
    def evict(self, name: str) -> None:
        key = self.model[name]
        may_fail = contextlib.nullcontext() if key.is_clean and not key.waits else pytest.raises(NotEvicted)
        if key.archive is not None and not key.is_here:
            may_fail = contextlib.nullcontext()
        with may_fail:
            assert self.store.evict(name) == int(key.is_here)
            key.is_here = False

    @precondition(lambda self: any(key.is_clean and key.is_here and not key.waits for key in self.model.values()))
    @rule()
    def time_lent_is_over(self) -> None:
        """The server lets go of what it may."""
        for name, key in self.model.items():
            if key.is_clean and key.is_here and not key.waits:
                self.client.unlink(name)
                key.is_here = False

    @rule(names=st.lists(keys, min_size=1))
    def ensure(self, names: list[str]) -> None:
        self.store.ensure_keys(*names)
        for name in names:
            key = self.model[name]
            key.is_here = key.now is not None

    @rule(name=keys)
    def forget(self, name: str) -> None:
        key = self.model[name]
        assert self.store.forget(name) == int(key.is_here or key.archive is not None)
        self.model[name] = Key()

    @rule()
    def disaster(self) -> None:
        """The server loses everything; what was archived comes back as it was archived."""
        self.client.flushall()
        report = self.store.restore_all()
        assert report.failures == {}
        archives = {name: key.archive for name, key in self.model.items()}
        assert report.restored == sum(copy is not None for copy in archives.values())
        for name, copy in archives.items():
            key = self.model[name] = Key()
            key.now = key.archive = copy
            key.is_here = key.is_clean = copy is not None

    def now(self) -> int:
        seconds, microseconds = self.client.time()
        return seconds * 1000 + microseconds // 1000

    @invariant()
    def nothing_is_lost_and_nothing_invented(self) -> None:
        for name, key in self.model.items():
            value, left, now = self.client.get(name), self.client.pttl(name), self.now()
            if not key.is_here:
                # what is not here was never there, or has an archive of just that
                assert value is None
                assert key.now is None or (key.archive == key.now and name.encode() in self.memory.blobs)
                continue
            assert key.now is not None
            assert value == key.now.value
            if key.waits and key.now.end is not None and left == -1:
                assert key.now.end == key.noted
                continue  # it was taken away until the archive is confirmed
            end = None if left == -1 else now + left
            if key.is_clean and self.ttl is not None and not key.waits:
                assert end is not None
                assert end <= now + self.ttl * 1000 + 50
                noted = self.client.zscore(self.store._marks.own, name)
                assert noted == key.now.end or (noted is not None and abs(noted - (key.now.end or 0)) < 50)
            elif key.now.end is None:
                assert end is None or self.ttl is not None
            else:
                assert end is not None
                assert end <= key.now.end + 50
                assert self.ttl is not None or abs(end - key.now.end) < 50

    def teardown(self) -> None:
        """Everything that there should be can be had, with its own time, from a store that lends none."""
        plain = TundraStore(self.client, self.memory, mac_keys=MAC_KEY, queue="model")
        self.archive()
        there = [name for name, key in self.model.items() if key.now is not None and key.is_clean]
        plain.evict(*[name for name in there if self.model[name].is_here])
        plain.ensure_keys(*there)
        for name in there:
            wanted = self.model[name].now
            assert wanted is not None
            assert self.client.get(name) == wanted.value
            left = self.client.pttl(name)
            assert (left == -1) == (wanted.end is None)
            assert wanted.end is None or abs(self.now() + left - wanted.end) < 50
        assert plain.verify(*there).failures == {} if there else True


@pytest.mark.parametrize("ttl", [None, 600.0], ids=["kept", "lent"])
def test_a_store_is_as_if_it_were_not_there(server: RedisServer, ttl: float | None) -> None:
    with carmine.Client(server.url) as client:
        machine = type("Machine", (StoreMachine,), {"client": client, "ttl": ttl})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=scaled(400),
                stateful_step_count=20,
                deadline=None,
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
            ),
        )
