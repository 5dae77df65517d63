"""The chapters on what stands on the client: sessions, and the archive. See tour.py for how they are read."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Final

from carmine.ext.sessions import SessionStore
from carmine.ext.tundra import TundraStore
from carmine.ext.tundra.disk import DiskDataStore

if TYPE_CHECKING:
    import carmine

__all__ = ["TOUR_LAYERS"]


def sessions(client: carmine.Client[str]) -> None:
    """A session: nothing that a visitor sends becomes a key, and what was ended stays ended.

    Middlewares for WSGI and ASGI and adapters for Flask and Django stand on this store.
    """
    store = SessionStore(client, ttl=30 * 60, absolute_ttl=12 * 60 * 60)
    visitor = store.create({"cart": ["tea"]})
    assert store.read(visitor) == {"cart": ["tea"]}
    assert store.read("carmine:mq:emails:messages") is None
    assert store.update("x" * 43, {"user": "mallory"}) is False
    ada = store.regenerate(visitor, {"user": "ada", "cart": ["tea"]}, begin_anew=True)  # at the login
    assert (store.read(visitor), store.read(ada)) == (None, {"user": "ada", "cart": ["tea"]})
    assert store.delete(ada) is True  # at the logout
    assert store.update(ada, {"user": "ada"}) is False


def tundra(client: carmine.Client[str]) -> None:
    """Tundra: keys leave memory for a disk, sealed, and come back when they are asked for.

    A key expires from memory only when its copy was read back and found whole. S3, DynamoDB and a second server work
    alike.
    """
    folder = tempfile.TemporaryDirectory()
    disk = DiskDataStore(folder.name)
    store = TundraStore(client, disk, mac_keys=b"a secret of at least 32 bytes, please")
    names = [f"reader:{number}" for number in range(500)]
    for name in names:
        client.hset(name, mapping={"name": name, "born": 1815})
    store.dirty(*names)
    assert store.worker(auto_start=False).run_until_empty() == 500
    assert store.evict(*names) == 500
    assert client.exists(*names) == 0
    assert store.read("reader:7", lambda data: data.hget("reader:7", "born")) == "1815"
    store.ensure_keys(*names)
    assert client.exists(*names) == 500
    disk.close()
    folder.cleanup()


TOUR_LAYERS: Final = (sessions, tundra)
