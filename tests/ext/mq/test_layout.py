"""The keys, the scripts and their versions: what is declared is what is touched, on a cluster too."""

from __future__ import annotations

import re
import string
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carmine import Client
from carmine.client._sync.script import Script
from carmine.client.lua import Program
from carmine.errors import ServerError, UsageError
from carmine.ext.mq import Entry, Queue, Result
from carmine.ext.mq import keys as keys_room
from carmine.ext.mq import programs as programs_room
from carmine.ext.mq._sync import base
from carmine.ext.mq.keys import ANCESTORS, LAYOUT, OURS, REGISTRY, SUFFIXES, key_of, tagged
from carmine.ext.mq.programs import names, source
from carmine.protocol import key_slot
from tests.ext.mq.ancestor import T0, Ancestor
from tests.lab.matrix import current_leg
from tests.lab.servers import RedisServer

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Iterator

FOLDER = Path(programs_room.__file__).parent / "scripts"


@pytest.mark.parametrize("name", names())
def test_a_script_begins_with_its_contract(name: str) -> None:
    text = (FOLDER / f"{name}.lua").read_text(encoding="utf-8")
    head = text.partition("local ")[0]
    assert re.match(r"-- [A-Z].*\.", head)
    assert "-- KEYS: as named below.\n" in head
    assert ("ARGV" in source(name).text) == ("-- ARGV: " in head)
    assert "-- Returns" in head


@pytest.mark.parametrize("name", names())
def test_what_goes_out_has_no_comment_and_no_other_keys(name: str) -> None:
    script = source(name)
    assert "--" not in script.text
    assert "include" not in script.text
    assert set(script.suffixes) <= SUFFIXES
    assert len(set(script.suffixes)) == len(script.suffixes)
    assert len(re.findall(r"\bKEYS\b", script.text)) == 1, "a key is named but by its declaration"
    assert "carmine:" not in script.text, "a key's name is built inside the script"
    assert not re.search(r"'KEYS'|\bSCAN\b|'EVAL", script.text)
    for suffix in script.suffixes:  # what is declared is used
        assert len(re.findall(rf"\b{suffix.replace('-', '_')}\b", script.text)) > 1, suffix


def test_the_room_of_keys_tells_all_of_them() -> None:
    told = re.findall(r"^([a-z][\w-]*)  +(?:hash|set|list|string|zset) ", str(keys_room.__doc__), re.MULTILINE)
    assert tuple(told) == ANCESTORS + OURS
    assert not any(":" in suffix for suffix in SUFFIXES)
    assert f"'layout', {LAYOUT})" in source("poll").text


@given(st.sets(st.text("ab:{}", min_size=1, max_size=6), min_size=2, max_size=5), st.booleans())
def test_no_two_queues_share_a_key(some: set[str], is_cluster: bool) -> None:
    """S-17. On a cluster `a` and `{a}` are the same queue: a name that has a tag is used as it is."""
    if is_cluster:
        some = {tagged(name) for name in some if not name.startswith("}")}
    made = [key_of(name, suffix) for name in some for suffix in SUFFIXES]
    assert len({*made, REGISTRY}) == len(made) + 1


@given(st.text("ab:{}é", min_size=1, max_size=8))
def test_all_keys_of_a_queue_have_one_slot(name: str) -> None:
    """FAULTS Q21."""
    try:
        tagged(name)
    except UsageError:
        assert name.startswith("}")
        return
    assert len({key_slot(key_of(tagged(name), suffix).encode()) for suffix in SUFFIXES}) == 1


def test_names_spread_over_the_slots() -> None:
    slots = {key_slot(key_of(tagged(f"queue {n}"), "messages").encode()) for n in range(200)}
    assert len(slots) > 190


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every script under `#!lua`, where a key outside the slot of those declared is an error."""

    def program(name: str) -> Program[Any]:
        return Program("#!lua\n" + source(name).text)

    monkeypatch.setattr(base, "program", program)


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisServer]:
    """Give a cluster of one node, which takes two seconds to start."""
    with RedisServer(cluster=True) as started:
        yield started


@pytest.mark.cluster
@pytest.mark.skipif(not current_leg().at_least_7, reason="#!lua came with Redis 7.0")
@pytest.mark.parametrize("name", ["orders", "{tag}:orders"])
def test_on_a_cluster(cluster: RedisServer, strict: None, name: str) -> None:
    """Every script, every branch: one slot, every key declared."""
    server = cluster
    server.call("FLUSHALL")
    client = Client(server.url)
    client.is_cluster = True  # type: ignore[attr-defined]  # as the cluster client will say of itself
    with client:
        queue = Queue(client, name)
        walk(queue)
        found = {key.decode() for key in cast("list[bytes]", server.call("KEYS", "*"))}
        assert {key for key in found if not key.startswith(f"carmine:mq:{tagged(name)}:")} == {REGISTRY}


def test_without_a_cluster_names_are_the_ancestors(server: RedisServer) -> None:
    with Client(server.url) as client:
        walk(Queue(client, "orders"))
    found = {key.decode() for key in cast("list[bytes]", server.call("KEYS", "*"))}
    assert {key for key in found if not key.startswith("carmine:mq:orders:")} == {REGISTRY}


@pytest.mark.skipif(not current_leg().at_least_7, reason="#!lua came with Redis 7.0")
def test_a_key_of_another_slot_would_be_seen(cluster: RedisServer) -> None:
    with Client(cluster.url) as client:
        stray: Script[Any] = Script(client, Program("#!lua\nreturn redis.call('GET', ARGV[1])"))
        with pytest.raises(ServerError, match="do not hash to the same slot"):
            stray("{a}", "{b}")


def walk(queue: Queue) -> None:
    """Go through all that the scripts can do."""
    queue._now = T0
    assert queue.enqueue("v", mid="a").success
    told = queue.enqueue_many([Entry("d", mid="b", backoff=5, lease=9), Entry("w", mid="a", can_update=True)])
    assert [one.action for one in told] == ["added", "updated"]
    assert queue.enqueue("d", mid="b", backoff=1, reset_backoff=True).action == "updated"
    [a] = queue.poll(3).messages
    assert queue.enqueue("again", mid="a", can_requeue=True).action == "added"
    assert queue.enqueue("again", mid="a", can_requeue=True, can_update=True).action == "updated"
    assert a.extend(7)
    assert queue.finish(a, Result(backoff=1))
    assert queue.message_status("a") == "done-with-requeue"
    queue._now += 1000
    held = {message.mid: message for message in queue.poll(3).messages}
    assert queue.nack(held["b"])
    assert queue.finish(held["a"], "retry")
    assert queue.poll(scan=1).kind in ("skip", "sleep", "handle")
    queue._now += 60_000
    for message in queue.poll(5).messages:
        assert queue.bury(message, "why")
    assert queue.status()[4] == 2
    assert [letter.mid for letter in queue.dead()] in (["a", "b"], ["b", "a"])
    assert queue.replay("a") == 1
    assert queue.purge_dead() == 1
    assert set(queue.content()) >= {"a"}
    queue.pause()
    assert queue.poll().reason == "paused"
    assert queue.resume()
    assert queue.wait(1.0)
    while messages := queue.poll(5).messages:
        assert queue.finish_many([(message, "success") for message in messages]) == [True] * len(messages)
    assert queue.poll(5).kind == "sleep"
    assert queue.size() == 0
    queue.clear()


OLDER = {
    # as if they had been written before fences were kept for a day and counters were counted
    "poll": [("'EX', 86400", "'EX', 3600"), ("redis.call('HINCRBY', stats, 'claimed', #held)", "")],
    "finish": [("redis.call('HINCRBY', stats, what, count)", "")],
    "enqueue": [("redis.call('HINCRBY', stats, 'added', #fresh)", "")],
}
NEWER = {
    # as if a later version had added a field for each message, and a counter
    "poll": [("local held, until_", "redis.call('HSET', stats, 'newest', now) local held, until_")],
    "finish": [("local mids, replies", "redis.call('HINCRBY', stats, 'finishes', 1) local mids, replies")],
    "enqueue": [("local most =", "redis.call('HSET', stats, 'enqueued-at', now) local most =")],
}


def of_version(client: Client[str], changes: dict[str, list[tuple[str, str]]], stack: contextlib.ExitStack) -> Queue:
    """Return a queue whose scripts are those of another version."""

    class Other(Queue):
        def _run(self, name: str, args: Any) -> Any:
            text = source(name).text
            for old, new in changes.get(name, ()):
                assert old in text
                text = text.replace(old, new)
            return Script(self._client, Program(text))(self._keys_of(name), args)

    queue = Other(client, "orders")
    queue._now = T0
    return queue


def test_old_and_new_scripts_work_on_one_queue(server: RedisServer, stack: contextlib.ExitStack) -> None:
    """D13: a rolling deploy; each message is handled once, whoever adds, claims and ends it."""
    client = stack.enter_context(Client(server.url))
    versions = [of_version(client, changes, stack) for changes in (OLDER, {}, NEWER)]
    handled: list[str] = []
    for n in range(30):
        for at, queue in enumerate(versions):
            queue._now = T0 + n * 1000
            assert queue.enqueue("v", mid=f"{n}.{at}", backoff=n % 2 or None).success
        claimer, ender = versions[n % 3], versions[(n // 3 + 1) % 3]
        for message in claimer.poll(4).messages:
            if message.attempt == 1 and n % 4 == 0:
                assert ender.finish(message, "retry")
            else:
                assert ender.extend(message)
                assert ender.finish(message)
                assert not claimer.finish(message)
                handled.append(message.mid)
    for n in range(30, 70):
        queue = versions[n % 3]
        queue._now = T0 + n * 1000
        for message in queue.poll(9).messages:
            assert queue.finish(message)
            handled.append(message.mid)
    assert sorted(handled) == sorted(f"{n}.{at}" for n in range(30) for at in range(3))
    assert versions[1].status() == (0, 0, 0, 0, 0, 0)
    assert Ancestor(server, "orders").members()["mid-circle"] == 1


def test_mids_have_no_reserved_letters(server: RedisServer) -> None:
    with Client(server.url) as client:
        queue = Queue(client, "orders")
        some = [Entry("v", mid=letter * 3) for letter in string.printable]
        assert all(one.success for one in queue.enqueue_many(some))
        assert len(queue.mids()) == len(some)
