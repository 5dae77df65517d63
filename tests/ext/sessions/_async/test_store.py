"""The store in both worlds: what is kept, under which key, in how many round trips, and what never comes back.

Of the catalogues: W02, W03, W04, W05, W07; S-20, S-30, S-40, S-41, S-43, S-44, S-45.
"""

from __future__ import annotations

import hashlib
import pickle
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from carmine.client._async.client import AsyncClient
from carmine.errors import UsageError
from carmine.ext.sessions._async.store import AsyncSessionStore
from carmine.ext.sessions.core.session import Act, Session
from carmine.ext.sessions.errors import SessionError, SessionGone, SessionTooLarge
from carmine.ext.sessions.keys import is_id
from tests.ext.sessions.planting import HOSTILE, age, key_in, left_of

if TYPE_CHECKING:
    from tests.ext.sessions.traffic import Traffic
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.asyncio

DAY_MS = 24 * 60 * 60 * 1000
UNKNOWN = "u" * 43
"""Of the right form, and nobody's."""


async def test_contents_come_back_as_they_were(store: AsyncSessionStore) -> None:
    data = {"n": 2**80, "when": timedelta(3), "price": Decimal("1.50"), "path": ("a", b"b"), "seen": {1, 2}, "": None}
    id = await store.create(data)
    assert await store.read(id) == data
    assert is_id(id)


async def test_s40_the_key_is_the_hash_of_the_id(server: RedisServer, store: AsyncSessionStore) -> None:
    id = await store.create({"a": 1})
    assert key_in(server) == b"carmine:session:" + hashlib.sha256(id.encode()).hexdigest().encode()
    assert id.encode() not in server.text("GET", key_in(server))


async def test_s40_w07_what_is_no_id_reaches_no_command(
    server: RedisServer, store: AsyncSessionStore, traffic: Traffic
) -> None:
    server.call("SET", "admin:secret", "kept")
    for hostile in (*HOSTILE, None, 7, b"a" * 43, ["a" * 43]):
        assert await store.read(hostile) is None  # type: ignore[arg-type]
        assert await store.exists(hostile) is False  # type: ignore[arg-type]
        assert await store.touch(hostile) is False  # type: ignore[arg-type]
        assert await store.delete(hostile) is False  # type: ignore[arg-type]
        assert await store.update(hostile, {"a": 1}) is False  # type: ignore[arg-type]
        with pytest.raises(SessionGone):
            await store.regenerate(hostile)  # type: ignore[arg-type]
    assert traffic.take() == []
    assert server.call("GET", "admin:secret") == b"kept"


async def test_s41_an_unknown_id_is_never_adopted(server: RedisServer, store: AsyncSessionStore) -> None:
    assert await store.read(UNKNOWN) is None
    with pytest.raises(SessionGone):
        await store.write(UNKNOWN, {"user": "ada"})
    with pytest.raises(SessionGone):
        await store.regenerate(UNKNOWN, {"user": "ada"})
    assert await store.update(UNKNOWN, {"user": "ada"}) is False
    assert server.call("DBSIZE") == 0
    made = await store.write("chosen by the visitor", {"user": "ada"})
    assert is_id(made)
    assert await store.read(made) == {"user": "ada"}


async def test_w03_s43_what_was_deleted_stays_deleted(server: RedisServer, store: AsyncSessionStore) -> None:
    """A loads, B deletes, A saves."""
    id = await store.create({"user": "ada"})
    loaded = await store.read(id)
    assert await store.delete(id) is True
    assert loaded is not None
    assert await store.update(id, loaded) is False
    assert await store.touch(id) is False
    with pytest.raises(SessionGone):
        await store.write(id, loaded)
    with pytest.raises(SessionGone):
        await store.regenerate(id)
    assert await store.delete(id) is False
    assert server.call("DBSIZE") == 0


async def test_w04_the_last_write_wins_and_is_whole(store: AsyncSessionStore) -> None:
    id = await store.create({"a": 0, "b": 0})
    one, other = await store.read(id), await store.read(id)
    assert one is not None
    assert other is not None
    assert await store.update(id, {**one, "a": 1})
    assert await store.update(id, {**other, "b": 1})
    assert await store.read(id) == {"a": 0, "b": 1}


async def test_s41_regenerate_leaves_the_old_id_dead(server: RedisServer, store: AsyncSessionStore) -> None:
    old = await store.create({"cart": [1]})
    new = await store.regenerate(old)
    assert await store.read(old) is None
    assert await store.read(new) == {"cart": [1]}
    last = await store.regenerate(new, {"cart": [1], "user": "ada"})
    assert await store.read(last) == {"cart": [1], "user": "ada"}
    assert len({old, new, last}) == 3
    assert server.call("DBSIZE") == 1


async def test_an_id_that_is_taken_is_not_written_over(store: AsyncSessionStore, monkeypatch: Any) -> None:
    taken = await store.create({"user": "ada"})
    mine = await store.create({"user": "grace"})
    made = iter([taken, "n" * 43, taken, "m" * 43, *[taken] * 6])
    monkeypatch.setattr(store, "_make_id", lambda: next(made))
    assert await store.create({"a": 1}) == "n" * 43
    assert await store.regenerate(mine) == "m" * 43
    with pytest.raises(SessionError, match="random numbers are broken"):
        await store.create({"a": 1})
    with pytest.raises(SessionError, match="random numbers are broken"):
        await store.regenerate("m" * 43)
    assert await store.read(taken) == {"user": "ada"}
    assert await store.read("m" * 43) == {"user": "grace"}


# Lifetimes. ----------------------------------------------------------------------------------------------------------


async def test_a_session_ends_after_its_idle_time(server: RedisServer, client: AsyncClient[Any]) -> None:
    store = AsyncSessionStore(client, ttl=timedelta(days=2))
    id = await store.create({"a": 1})
    key = key_in(server)
    for call, *data in ((store.touch,), (store.update, {"a": 2}), (store.write, {"a": 3})):
        server.call("PEXPIRE", key, DAY_MS)
        await store.read(id)
        assert left_of(server, key) <= DAY_MS, "a read extends nothing unless it is to"
        await call(id, *data)
        assert DAY_MS < left_of(server, key) <= 2 * DAY_MS
    server.call("PEXPIRE", key, 1)
    while left_of(server, key) != -2:
        pass
    assert await store.read(id) is None
    assert await store.update(id, {"a": 4}) is False


async def test_rolling_reads_extend_in_one_round_trip(
    server: RedisServer, client: AsyncClient[Any], traffic: Traffic
) -> None:
    store = AsyncSessionStore(client, ttl=DAY_MS / 1000, rolling=True)
    id = await store.create({"a": 1})
    key = key_in(server)
    server.call("PEXPIRE", key, 5000)
    traffic.take()
    assert await store.read(id) == {"a": 1}
    assert traffic.names() == ["EVALSHA"]
    assert 5000 < left_of(server, key) <= DAY_MS
    assert await store.read(UNKNOWN) is None


async def test_w05_a_key_that_goes_while_it_is_read_is_gone(server: RedisServer, client: AsyncClient[Any]) -> None:
    """Extending and reading are one step of the server: there is no moment between the two."""
    store = AsyncSessionStore(client, rolling=True)
    id = await store.create({"a": 1})
    server.call("DEL", key_in(server))
    assert await store.read(id) is None
    assert await store.touch(id) is False
    assert server.call("DBSIZE") == 0


async def test_none_keeps_for_ever(server: RedisServer, client: AsyncClient[Any]) -> None:
    store = AsyncSessionStore(client, ttl=None, rolling=True)
    id = await store.create({"a": 1})
    key = key_in(server)
    assert left_of(server, key) == -1
    server.call("PEXPIRE", key, 5000)
    assert await store.read(id) == {"a": 1}
    assert left_of(server, key) == -1
    assert store.cookie_age == 400 * 24 * 60 * 60


async def test_s44_nothing_outlives_the_absolute_end(server: RedisServer, client: AsyncClient[Any]) -> None:
    """Both times are kept by the server; neither reads nor writes nor another id move the end."""
    store = AsyncSessionStore(client, ttl=3600, rolling=True, absolute_ttl=2 * 3600)
    id = await store.create({"a": 1})
    key = key_in(server)
    assert 3_590_000 < left_of(server, key) <= 3_600_000
    age(server, key, 1.5 * 3600)
    for call, *data in ((store.read,), (store.touch,), (store.update, {"a": 2})):
        server.call("PERSIST", key)
        await call(id, *data)
        assert 1_790_000 < left_of(server, key) <= 1_800_000
    id = await store.regenerate(id)
    key = key_in(server)
    assert 1_790_000 < left_of(server, key) <= 1_800_000
    id = await store.regenerate(id, begin_anew=True)
    key = key_in(server)
    assert 3_590_000 < left_of(server, key) <= 3_600_000
    age(server, key, 2 * 3600)  # its end has come, and a moment more
    assert await store.update(id, {"a": 3}) is False
    assert server.call("DBSIZE") == 0
    assert store.cookie_age == 3600


@pytest.mark.parametrize("call", ["read", "touch", "regenerate"])
async def test_s44_who_comes_after_the_end_finds_nothing(
    server: RedisServer, client: AsyncClient[Any], call: str
) -> None:
    store = AsyncSessionStore(client, ttl=None, rolling=True, absolute_ttl=3600)
    id = await store.create({"a": 1})
    age(server, key_in(server), 3600)
    try:
        assert not await getattr(store, call)(id)
    except SessionGone:
        assert call == "regenerate"
    assert server.call("DBSIZE") == 0


async def test_a_limit_that_comes_later_counts_for_older_sessions(
    server: RedisServer, client: AsyncClient[Any]
) -> None:
    id = await AsyncSessionStore(client, ttl=None).create({"a": 1})
    strict = AsyncSessionStore(client, ttl=None, absolute_ttl=3600)
    age(server, key_in(server), 1800)
    assert await strict.update(id, {"a": 2})
    assert 1_790_000 < left_of(server, key_in(server)) <= 1_800_000
    assert await AsyncSessionStore(client, ttl=None).touch(id)
    assert left_of(server, key_in(server)) == -1, "what another store says is not kept"
    id = await strict.regenerate(id, begin_anew=True)
    assert await AsyncSessionStore(client, ttl=None).touch(id)
    assert 3_590_000 < left_of(server, key_in(server)) <= 3_600_000, "its own end is kept, whoever writes"


async def test_a_session_may_have_an_idle_time_of_its_own(server: RedisServer, client: AsyncClient[Any]) -> None:
    store = AsyncSessionStore(client, rolling=True)
    id = await store.create({"a": 1}, ttl=60)
    key = key_in(server)
    for call, *data in ((store.read,), (store.update, {"a": 2}), (store.touch,)):
        server.call("PERSIST", key)
        await call(id, *data)
        assert 59_000 < left_of(server, key) <= 60_000
    assert await store.update(id, {"a": 3}, ttl=None)
    assert await store.read(id) == {"a": 3}
    assert left_of(server, key) == -1
    assert await store.update(id, {"a": 3}, ttl=timedelta(minutes=2))
    key = key_in(server)
    assert 119_000 < left_of(server, key) <= 120_000
    await store.regenerate(id, begin_anew=True)
    assert 119_000 < left_of(server, key_in(server)) <= 120_000


# Contents. -----------------------------------------------------------------------------------------------------------


async def test_s45_too_large_is_refused_before_it_is_sent(
    server: RedisServer, client: AsyncClient[Any], traffic: Traffic
) -> None:
    store = AsyncSessionStore(client, max_size=100)
    id = await store.create({"a": "x" * 90})
    traffic.take()
    for call in (store.create, lambda data: store.update(id, data), lambda data: store.regenerate(id, data)):
        with pytest.raises(SessionTooLarge) as caught:
            await call({"a": "x" * 91})
        assert (caught.value.size, caught.value.limit) == (101, 100)
        assert "xxx" not in str(caught.value)
        again = pickle.loads(pickle.dumps(caught.value))
        assert (type(again), again.size, str(again)) == (SessionTooLarge, 101, str(caught.value))
    assert traffic.take() == []


@pytest.mark.parametrize("data", [None, [], "text", 7, {"a": object()}, {"a": {"b": [print]}}])
async def test_what_cannot_be_stored_is_refused_before_it_is_sent(
    store: AsyncSessionStore, traffic: Traffic, data: Any
) -> None:
    with pytest.raises(UsageError):
        await store.create(data)
    assert traffic.take() == []


class Bomb:
    """Whoever unpickles it writes a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path), "w")

    path = ""


async def test_w02_s30_what_cannot_be_read_is_no_session(
    server: RedisServer, client: AsyncClient[Any], tmp_path: Any, caplog: Any
) -> None:
    """Told in the log, without contents; never unpickled; left where it is."""
    bomb = Bomb()
    bomb.path = str(tmp_path / "exploded")
    header = b"1 1 1700000000000 0 -\n"
    planted = [
        pickle.dumps(bomb), header + pickle.dumps(bomb), header + b"\0s" + pickle.dumps(bomb), header, b"",
        header + b'\0j{"a":', header + b"\0j[1]", header + b"\0<canary", header + b"\0>NPY", b"2 new header\n\0j{}",
        header + b"\0j" + b"[" * 100_000, b"1 1 1 1 -1\n\0j{}",
    ]  # fmt: skip
    for rolling in (False, True):
        store = AsyncSessionStore(client, rolling=rolling)
        for bytes_ in planted:
            id = await store.create({"canary": "canary"})
            key = key_in(server)
            server.call("SET", key, bytes_)
            caplog.clear()
            assert await store.read(id) is None, bytes_[:40]
            if bytes_ or not rolling:  # an empty value has no header to be extended, and is as good as none
                assert [record.name for record in caplog.records] == ["carmine.sessions"]
                assert "canary" not in caplog.text
                assert id not in caplog.text
            assert server.call("GET", key) == bytes_
            server.call("DEL", key)
    assert not (tmp_path / "exploded").exists()


async def test_a_later_layout_is_neither_written_nor_extended(server: RedisServer, store: AsyncSessionStore) -> None:
    id = await store.create({"a": 1})
    key = key_in(server)
    later = b"2 whatever comes\n\0j{}"
    server.call("SET", key, later, "PX", 5000)
    assert await store.update(id, {"a": 2}) is False
    assert await store.touch(id) is False
    with pytest.raises(SessionGone):
        await store.regenerate(id, {"a": 2})
    assert server.call("GET", key) == later
    assert left_of(server, key) <= 5000


async def test_a_serializer_of_the_users(server: RedisServer, client: AsyncClient[Any]) -> None:
    store = AsyncSessionStore(client, serializer=(lambda value: repr(value).encode(), lambda data: {"was": data}))
    id = await store.create({"a": 1})
    assert server.text("GET", key_in(server)).endswith(b"\n\0s{'a': 1}")
    assert await store.read(id) == {"was": b"{'a': 1}"}


async def test_s30_pickle_is_no_serializer(client: AsyncClient[Any]) -> None:
    for serializer in (pickle, (pickle.dumps, pickle.loads), (repr, pickle.loads)):
        with pytest.raises(UsageError, match="not to be pickle"):
            AsyncSessionStore(client, serializer=serializer)  # type: ignore[arg-type]


@pytest.mark.parametrize("problem", ["raise", "text"])
async def test_a_serializer_that_fails(
    server: RedisServer, client: AsyncClient[Any], traffic: Traffic, problem: str
) -> None:
    def dumps(value: Any) -> Any:
        if problem == "raise":
            raise KeyError("canary")
        return "canary"

    def loads(data: bytes) -> Any:
        raise KeyError("canary")

    store = AsyncSessionStore(client, serializer=(dumps, loads))
    with pytest.raises(UsageError) as caught:
        await store.create({"a": 1})
    assert "canary" not in str(caught.value)
    assert traffic.take() == []
    id = await AsyncSessionStore(client, serializer=(repr_bytes, loads)).create({})
    assert await store.read(id) is None


def repr_bytes(value: Any) -> bytes:
    return repr(value).encode()


# A request's session. ------------------------------------------------------------------------------------------------


async def opened(store: AsyncSessionStore, id: str | None) -> Session:
    frozen = await store.fetch(id)
    return Session(store.contents, id if is_id(id) else None, lambda: frozen)


async def test_a_read_costs_one_round_trip_and_a_change_one_more(store: AsyncSessionStore, traffic: Traffic) -> None:
    new = await opened(store, None)
    new["n"] = [1]
    assert (await store.save(new)).act is Act.CREATE
    assert traffic.names() == ["EVALSHA"]
    read = await opened(store, new.id)
    assert read["n"] == [1]
    assert (await store.save(read)).act is Act.NOTHING
    assert traffic.names() == ["GET"]
    read["n"].append(2)
    assert (await store.save(read)).act is Act.UPDATE
    assert (await store.save(read)).act is Act.NOTHING, "what is saved is saved"
    assert traffic.names() == ["EVALSHA"]
    read.regenerate()
    assert (await store.save(read)).act is Act.MOVE
    assert traffic.names() == ["EVALSHA"]
    assert await store.read(read.id) == {"n": [1, 2]}
    traffic.take()
    read.invalidate()
    assert (await store.save(read)).act is Act.DELETE
    assert traffic.names() == ["DEL"]
    assert read.id is None


async def test_what_follows_an_end_is_another_session(
    server: RedisServer, client: AsyncClient[Any], traffic: Traffic
) -> None:
    store = AsyncSessionStore(client, absolute_ttl=3600)
    old = await store.create({"user": "ada"})
    age(server, key_in(server), 1800)
    session = await opened(store, old)
    session.invalidate()
    session["told"] = "good bye"
    traffic.take()
    assert (await store.save(session)).act is Act.REPLACE
    assert traffic.names() == ["DEL", "EVALSHA"]
    assert await store.read(old) is None
    assert await store.read(session.id) == {"told": "good bye"}
    assert left_of(server, key_in(server)) > 3_590_000, "it begins anew"


async def test_w03_a_session_that_goes_meanwhile_is_not_saved(server: RedisServer, store: AsyncSessionStore) -> None:
    for change in ("update", "regenerate"):
        id = await store.create({"user": "ada"})
        session = await opened(store, id)
        session["user"] = "grace"
        if change == "regenerate":
            session.regenerate()
        await store.delete(id)
        with pytest.raises(SessionGone):
            await store.save(session)
    assert server.call("DBSIZE") == 0


# The store itself. ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"prefix": ""}, {"prefix": b"bytes"}, {"prefix": "\ud800"}, {"ttl": 0}, {"ttl": -1}, {"ttl": "60"},
        {"ttl": True}, {"ttl": float("nan")}, {"absolute_ttl": 0}, {"rolling": 1}, {"max_size": 0},
        {"max_size": 1.5}, {"timeout": 0}, {"timeout": "1"}, {"serializer": object()},
    ],
    ids=str,
)  # fmt: skip
async def test_bad_arguments_are_refused(client: AsyncClient[Any], options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        AsyncSessionStore(client, **options)


async def test_bad_words_for_a_session_are_refused(store: AsyncSessionStore, traffic: Traffic) -> None:
    with pytest.raises(UsageError, match="ttl"):
        await store.create({}, ttl=0)
    with pytest.raises(UsageError, match="begin_anew"):
        await store.regenerate(UNKNOWN, begin_anew=1)  # type: ignore[arg-type]
    assert traffic.take() == []


async def test_prefixes_are_apart(client: AsyncClient[Any]) -> None:
    one, other = AsyncSessionStore(client, "shop"), AsyncSessionStore(client, "shop:a")
    id = await one.create({"a": 1})
    assert await other.read(id) is None
    assert await other.delete(id) is False
    assert await one.exists(id)


async def test_a_client_with_a_serializer_or_bytes_does_as_well(url: str) -> None:
    every: list[dict[str, Any]] = [{"serializer": True}, {"decode": False}, {"protocol": 2}]
    for options in every:
        async with AsyncClient(url, **options) as made:
            store = AsyncSessionStore(made)
            id = await store.create({"a": b"\0j1"})
            assert await store.read(id) == {"a": b"\0j1"}


async def test_s20_a_repr_tells_no_secret(store: AsyncSessionStore) -> None:
    session = Session(store.contents)
    session["password"] = "canary"
    plan = await store.save(session)
    assert session.id is not None
    for shown in (repr(session), repr(plan), repr(store), str(plan)):
        assert session.id not in shown
        assert "canary" not in shown
