"""The queue against a model in plain Python: random operations on the real scripts, both worlds (FAULTS Q02, Q03, Q20).

The model knows statuses, contents, fences and counts, nothing of lists, indexes and scripts. After every operation all
statuses and counts must be what it says, and the circle and its index must agree; in the end everything drains.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

import carmine
from carmine.ext.mq import AsyncQueue, Entry, Queue, Result
from tests.ext.mq.ancestor import T0
from tests.lab.blocking import LoopThread
from tests.lab.fixtures import module_server, protocol, server
from tests.lab.matrix import scaled

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.servers import RedisServer

__all__ = ["module_server", "protocol", "server"]

MIDS = ("a", "b", "c")
LEASE = 10
ENDS = ("success", "success", "retry", "error", "back", "dead")
mids = st.sampled_from(["a", "a", "a", "b", "c"])
backoffs = st.sampled_from([0, 0, 5, 20])
leases = st.sampled_from([None, None, 30])


class Known:
    """What the model knows of a message; times in ms since T0, as the scripts count."""

    def __init__(self, content: str, backoff: int, lease: int | None) -> None:
        self.content = content
        self.rests_until = backoff
        self.lease = lease
        self.locked_until = 0
        self.is_done = False
        self.attempts = 0
        self.holder: int | None = None
        self.waiting: tuple[str, int | None] | None = None

    def status(self, now: int) -> str:
        if self.is_done:
            if self.waiting:
                return "done-with-requeue"
            return "done-with-backoff" if now < self.rests_until else "done-awaiting-gc"
        if now < self.locked_until:
            return "locked-with-requeue" if self.waiting else "locked"
        return "queued-with-backoff" if now < self.rests_until else "queued"


class Model:
    """The statuses of one queue."""

    def __init__(self) -> None:
        self.now = 0
        self.known: dict[str, Known] = {}
        self.dead: dict[str, str] = {}

    def status(self, mid: str) -> str | None:
        return self.known[mid].status(self.now) if mid in self.known else None

    def enqueue(
        self, mid: str, content: str, backoff: int, lease: int | None, update: bool, requeue: bool, reset: bool
    ) -> tuple[str | None, str | None]:
        rests_until = self.now + backoff * 1000 if backoff else 0
        status = self.status(mid)
        if status is None:
            self.known[mid] = Known(content, rests_until, lease)
            return "added", None
        known = self.known[mid]
        if status in ("queued", "queued-with-backoff"):
            if update:
                known.content, known.lease, known.waiting, known.holder = content, lease, None, None
            if reset:
                known.rests_until = rests_until
            return ("updated", None) if update or reset else (None, "already-queued")
        is_locked = not known.is_done
        if not requeue and (is_locked or self.now < known.rests_until):
            return None, "locked" if is_locked else "backoff"
        if known.waiting and not update:
            return None, "already-queued"
        action = "updated" if known.waiting else "added"
        known.waiting = (content, lease)
        return action, None

    def sweep(self) -> None:
        """What every poll does first: the end of what is done, or its next life."""
        for mid in [mid for mid in self.known if self.status(mid) in ("done-awaiting-gc", "done-with-requeue")]:
            known = self.known[mid]
            if self.now < known.rests_until:
                continue
            del self.known[mid]
            if known.waiting:
                self.known[mid] = Known(known.waiting[0], 0, known.waiting[1])

    def claimable(self) -> set[str]:
        return {mid for mid in self.known if self.status(mid) == "queued"}

    def claim(self, mid: str, fence: int) -> Known:
        known = self.known[mid]
        known.attempts += 1
        known.locked_until = self.now + (known.lease or LEASE) * 1000
        known.rests_until = 0
        known.holder = fence
        return known

    def end(self, mid: str, fence: int, how: str, backoff: int) -> bool:
        known = self.known.get(mid)
        if known is None or known.holder != fence:
            return False
        known.holder, known.locked_until = None, 0
        known.rests_until = self.now + backoff * 1000 if backoff else 0
        known.is_done = how in ("success", "error", "dead")
        if how == "back":
            known.attempts -= 1
        if how == "dead":
            self.dead[mid] = known.content
        return True

    def counts(self) -> tuple[int, ...]:
        found = Counter(self.status(mid) for mid in self.known)
        done = sum(count for status, count in found.items() if status and status.startswith("done"))
        locked = found["locked"] + found["locked-with-requeue"]
        return found["queued"], locked, found["queued-with-backoff"], done, len(self.dead), len(self.known)


class Machine(RuleBasedStateMachine):
    """Does the same to the queue and to the model."""

    server: RedisServer
    queue: Any
    run: Callable[..., Any]

    def __init__(self) -> None:
        super().__init__()
        self.server.call("FLUSHALL")
        self.model = Model()
        self.held: list[Any] = []
        self.fences = [0]
        self.versions = 0
        self.queue._now = T0

    def content(self) -> str:
        self.versions += 1
        return f"v{self.versions}"

    @rule(
        mid=mids,
        backoff=backoffs,
        lease=leases,
        can_update=st.booleans(),
        can_requeue=st.booleans(),
        reset_backoff=st.booleans(),
    )
    def enqueue(
        self, mid: str, backoff: int, lease: int | None, can_update: bool, can_requeue: bool, reset_backoff: bool
    ) -> None:
        content = self.content()
        expected = self.model.enqueue(mid, content, backoff, lease, can_update, can_requeue, reset_backoff)
        got = self.run(
            self.queue.enqueue,
            content,
            mid=mid,
            backoff=backoff,
            lease=lease,
            can_update=can_update,
            can_requeue=can_requeue,
            reset_backoff=reset_backoff,
        )
        assert (got.action, got.error) == expected
        assert got.success == (got.action is not None)

    @rule(some=st.lists(st.tuples(mids, backoffs, leases, st.booleans(), st.booleans()), max_size=6))
    def enqueue_many(self, some: list[tuple[str, int, int | None, bool, bool]]) -> None:
        entries = [Entry(self.content(), *options) for options in some]
        # those that are new go in before the others, as the script does it
        order: dict[int, tuple[str | None, str | None]] = {}
        for at, entry in enumerate(entries):
            is_new = self.model.status(str(entry.mid)) is None and entry.mid not in {entries[i].mid for i in order}
            if is_new:
                order[at] = self.expected(entry)
        for at, entry in enumerate(entries):
            if at not in order:
                order[at] = self.expected(entry)
        got = self.run(self.queue.enqueue_many, entries)
        assert [(one.action, one.error) for one in got] == [order[at] for at in range(len(entries))]

    def expected(self, entry: Entry) -> tuple[str | None, str | None]:
        return self.model.enqueue(str(entry.mid), entry.msg, entry.backoff, entry.lease, *entry[4:])

    def take(self, messages: list[Any]) -> None:
        for message in messages:
            assert message.mid in self.model.claimable(), message
            known = self.model.claim(message.mid, message.fence)
            assert (message.content, message.attempt) == (known.content, known.attempts)
            assert message.lease == (known.lease or LEASE)
            assert message.fence > max(self.fences)
            self.fences.append(message.fence)
            self.held.append(message)

    @rule(count=st.integers(1, 4))
    def poll(self, count: int) -> None:
        found = self.run(self.queue.poll, count, default_lease=LEASE)
        self.model.sweep()
        for _ in range(20):
            if found.kind != "skip":
                break
            found = self.run(self.queue.poll, count, default_lease=LEASE)
        assert found.kind == ("handle" if self.model.claimable() else "sleep")
        assert len(found.messages) <= count
        self.take(found.messages)

    @rule()
    def step(self) -> None:
        """One step may collect a message that is done, begin another life of one, claim one, or do nothing."""
        found = self.run(self.queue.poll, 1, scan=1, default_lease=LEASE)
        for message in found.messages:
            if self.model.status(message.mid) == "done-with-requeue":
                known = self.model.known[message.mid]
                assert known.waiting
                assert self.model.now >= known.rests_until
                self.model.known[message.mid] = Known(known.waiting[0], 0, known.waiting[1])
        self.take(found.messages)
        if found.kind == "skip":
            over = [mid for mid in MIDS if self.model.status(mid) == "done-awaiting-gc"]
            gone = [mid for mid in over if self.run(self.queue.message_status, mid) is None]
            assert len(gone) <= 1
            for mid in gone:
                del self.model.known[mid]

    @precondition(lambda self: self.held)
    @rule(
        data=st.data(), how=st.sampled_from(["success", "success", "retry", "error", "back", "dead"]), backoff=backoffs
    )
    def end(self, data: st.DataObject, how: str, backoff: int) -> None:
        """By whom it was claimed last or long ago, and by the same twice."""
        self.end_of(self.held[data.draw(st.integers(0, len(self.held) - 1))], how, backoff)

    def end_of(self, message: Any, how: str, backoff: int) -> None:
        if how == "dead":
            backoff = 0
        expected = self.model.end(message.mid, message.fence, how, backoff)
        match how:
            case "back":
                got = self.run(self.queue.nack, message, backoff)
            case "dead":
                got = self.run(self.queue.bury, message, "why")
            case _:
                got = self.run(self.queue.finish, message, Result(how, backoff))  # type: ignore[arg-type]
        assert got == expected

    @precondition(lambda self: self.held)
    @rule(data=st.data(), lease=st.sampled_from([1, 30]))
    def extend(self, data: st.DataObject, lease: int) -> None:
        message = self.held[data.draw(st.integers(0, len(self.held) - 1))]
        known = self.model.known.get(message.mid)
        is_holder = known is not None and known.holder == message.fence
        assert self.run(self.queue.extend, message, lease) == is_holder
        if known is not None and is_holder:
            known.locked_until = self.model.now + lease * 1000

    @rule(passed=st.sampled_from([1, 1_000, 5_000, 10_000, 10_000, 20_000, 30_000]))
    def advance(self, passed: int) -> None:
        self.model.now += passed
        self.queue._now = T0 + self.model.now

    @rule(count=st.integers(1, 3))
    def lapse(self, count: int) -> None:
        """All leases run out, and others claim."""
        self.advance(30_000)
        self.poll(count)

    @rule()
    def pause(self) -> None:
        """A paused queue hands out nothing, and changes nothing."""
        self.run(self.queue.pause)
        found = self.run(self.queue.poll, 5)
        assert (found.kind, found.reason) == ("sleep", "paused")
        assert self.run(self.queue.resume)

    @rule(backoff=backoffs, how=st.sampled_from(ENDS))
    def handle(self, backoff: int, how: str) -> None:
        """What a worker does."""
        self.poll(1)
        if self.held:
            self.end_of(self.held[-1], how, backoff)

    @rule(mid=st.one_of(st.none(), mids))
    def replay(self, mid: str | None) -> None:
        count = 0
        for dead in [mid] if mid else list(self.model.dead):
            known = self.model.known.get(dead)
            is_over = known is None or (self.model.status(dead) == "done-awaiting-gc")
            if dead in self.model.dead and is_over:
                self.model.known[dead] = Known(self.model.dead.pop(dead), 0, known.lease if known else None)
                self.model.known[dead].lease = self.lease_of_dead(dead)
                count += 1
        assert self.run(self.queue.replay, mid) == count

    def lease_of_dead(self, mid: str) -> int | None:
        """A dead letter keeps its lease; the model asks the server for it."""
        note = self.server.call("HGET", f"carmine:mq:{self.queue.name}:dead-notes", mid)
        assert isinstance(note, bytes)
        return int(note.split()[2]) // 1000 or None

    @rule()
    def purge(self) -> None:
        assert self.run(self.queue.purge_dead) == len(self.model.dead)
        self.model.dead.clear()

    @rule(really=st.integers(0, 15))
    def clear(self, really: int) -> None:
        if really == 7:  # seldom, and nothing to shrink to
            self.run(self.queue.clear)
            self.model.known.clear()
            self.model.dead.clear()

    @invariant()
    def statuses_agree(self) -> None:
        assert {mid: self.run(self.queue.message_status, mid) for mid in MIDS} == {
            mid: self.model.status(mid) for mid in MIDS
        }
        assert tuple(self.run(self.queue.status)) == self.model.counts()

    @invariant()
    def the_index_agrees_with_the_circle(self) -> None:
        def call(command: str, suffix: str, *words: int) -> Any:
            return self.server.call(command, f"carmine:mq:{self.queue.name}:{suffix}", *words)

        circle = call("LRANGE", "mid-circle", 0, -1)
        entries = [mid for mid in circle if mid != b"end-of-circle"]
        indexed = call("ZRANGE", "due", 0, -1) + call("ZRANGE", "gc", 0, -1)
        assert sorted(entries) == sorted(indexed)
        assert circle.count(b"end-of-circle") == bool(circle)
        ready = set(call("LRANGE", "mids-ready", 0, -1))
        assert {mid.encode() for mid in self.model.known} <= ready | set(entries), "one that nobody would find"

    def teardown(self) -> None:
        """All that is left drains, by large polls or by single steps, and leaves nothing."""
        scan = 1 if self.versions % 2 else 256
        for _ in range(500):
            self.queue._now += 100_000
            for message in self.run(self.queue.poll, 4, scan=scan).messages:
                assert self.run(self.queue.finish, message)
            if not self.run(self.queue.size):
                break
        assert self.run(self.queue.size) == 0
        for _ in range(20):
            self.run(self.queue.poll, 4, scan=256)
        left = {bytes(key).decode().rpartition(":")[2] for key in self.server.call("KEYS", "carmine:mq:*")}  # type: ignore[union-attr, arg-type]
        few = {"mid-circle", "ndry-runs", "isleep-a", "isleep-b", "fence", "stats", "queues"}
        assert left - few <= {"dead", "dead-messages", "dead-notes"}
        assert self.server.call("LRANGE", f"carmine:mq:{self.queue.name}:mid-circle", 0, -1) in ([], [b"end-of-circle"])


def check(queue: Any, run: Callable[..., Any], server: RedisServer) -> None:
    machine = type("QueueMachine", (Machine,), {"queue": queue, "run": staticmethod(run), "server": server})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=scaled(3000),
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )


@pytest.mark.slow
def test_the_blocking_world(server: RedisServer, protocol: int) -> None:
    with carmine.Client(server.url, protocol=2 if protocol == 2 else 3) as client:
        check(Queue(client, "model"), lambda call, *args, **named: call(*args, **named), server)


@pytest.mark.slow
def test_the_asyncio_world(server: RedisServer, protocol: int) -> None:
    thread = LoopThread()
    client = carmine.AsyncClient(server.url, protocol=2 if protocol == 2 else 3)
    try:
        check(AsyncQueue(client, "model"), thread.run, server)
    finally:
        thread.run(client.aclose)
        thread.stop()
    assert thread.problems == []
