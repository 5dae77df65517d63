"""Ids and processes: chance that is not shared with a child, and threads that race (S-42, S-43)."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import carmine
from carmine.ext.sessions import SessionGone, SessionStore
from carmine.ext.sessions.keys import is_id
from tests.lab.matrix import scaled

if TYPE_CHECKING:
    from tests.lab.servers import RedisServer

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("module", ["carmine.ext.sessions", "carmine.ext.sessions.wsgi"])
def test_the_blocking_half_loads_no_asyncio(module: str) -> None:
    code = f"import sys, {module}; print(*{{'asyncio', 'pickle', 'ssl', 'flask', 'django'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_s42_no_id_comes_twice() -> None:
    store = SessionStore(carmine.Client())
    count = scaled(1_000_000)
    ids = {store._make_id() for _ in range(count)}
    assert len(ids) == count
    assert all(map(is_id, ids))
    letters = [set(column) for column in zip(*ids, strict=True)]
    assert all(len(some) == 64 for some in letters[:-1]), "no place of an id is fixed or counts up"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_s42_forked_children_make_other_ids(server: RedisServer) -> None:
    with carmine.Client(server.url) as client:
        store = SessionStore(client)
        store.create({"who": "parent"})
        children = []
        for number in (1, 2):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    id = store.create({"who": number})
                    status = 0 if store.read(id) == {"who": number} and store.update(id, {"who": [number]}) else 2
                    client.rpush("ids", id)
                finally:
                    os._exit(status)
            children.append(child)
        for child in children:
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        ids = client.lrange("ids", 0, -1)
        assert len({*ids, store.create({"who": "parent"})}) == 3
        assert sorted(map(str, (store.read(id) for id in ids))) == ["{'who': [1]}", "{'who': [2]}"]


def test_s43_w03_logout_wins_whoever_races_it(server: RedisServer) -> None:
    """Slow requests write, move and extend a session while it is deleted: afterwards nothing is there."""
    with carmine.Client(server.url) as client:
        store = SessionStore(client, rolling=True)
        for _ in range(scaled(400)):
            id = store.create({"user": "ada"})
            start = threading.Barrier(4)
            moved: list[str] = []

            def writes(id: str = id, start: threading.Barrier = start) -> None:
                start.wait()
                for _ in range(5):
                    store.update(id, {"user": "ada", "late": 1})
                    store.touch(id)

            def moves(id: str = id, start: threading.Barrier = start, moved: list[str] = moved) -> None:
                start.wait()
                with contextlib.suppress(SessionGone):
                    moved.append(store.regenerate(id))

            threads = [threading.Thread(target=work) for work in (writes, writes, moves)]
            for thread in threads:
                thread.start()
            start.wait()
            was_there = store.delete(id)
            for thread in threads:
                thread.join()
            assert store.read(id) is None
            assert was_there is not bool(moved), "either it was deleted, or it had moved before"
            for new in moved:
                assert store.delete(new)
        assert server.call("DBSIZE") == 0
