"""What `CARMINE_SESSIONS` may hold, and the clients that are made of it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from django.views.debug import SafeExceptionReporterFilter

import carmine
from carmine.ext.sessions.django import SessionStore, config
from carmine.ext.sessions.django.config import Config, current
from tests.ext.sessions.django_kit.site import Visitor, cookie_of
from tests.ext.sessions.planting import key_in

if TYPE_CHECKING:
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.one_twin

HERE = "tests.ext.sessions.test_django_config"

# What a project may have somewhere in its own modules.
shared: carmine.Client[Any] | None = None
ashared: carmine.AsyncClient[Any] | None = None


def make() -> carmine.Client[Any]:
    assert shared is not None
    return shared


def make_async() -> carmine.AsyncClient[Any]:
    assert ashared is not None
    return ashared


WRONG: list[tuple[Any, str]] = [
    ("redis://127.0.0.1", "must be a dict, not str"),
    ({"ur": "redis://127.0.0.1"}, "perhaps url"),
    ({"zzz": 1}, "there are absolute_ttl, async_client"),
    ({"url": "http://secret@x"}, "CARMINE_SESSIONS: "),
    ({"url": 7}, "CARMINE_SESSIONS: "),
    ({"options": {"no_such": 1}}, "CARMINE_SESSIONS: "),
    ({"options": []}, "options must be a dict, not list"),
    ({"prefix": ""}, "prefix"),
    ({"timeout": 0}, "timeout"),
    ({"max_size": "64k"}, "max_size"),
    ({"absolute_ttl": -1}, "absolute_ttl"),
    ({"on_error": "ignore"}, 'on_error must be "raise" or "anonymous"'),
    ({"client": make, "url": "redis://127.0.0.1"}, "leave these two away"),
    ({"async_client": make_async}, "async_client stands beside client"),
    ({"client": 7}, r"must be a carmine\.Client, a function"),
    ({"client": f"{HERE}.WRONG"}, r"must be a carmine\.Client, a function"),
]


@pytest.mark.parametrize(("words", "said"), WRONG, ids=lambda one: one if isinstance(one, str) else None)
def test_what_is_wrong_is_said_in_one_sentence(words: Any, said: str) -> None:
    with override_settings(CARMINE_SESSIONS=words), pytest.raises(ImproperlyConfigured, match=said) as caught:
        SessionStore()
    assert "secret" not in str(caught.value)


def test_s20_a_password_among_the_options_is_hidden_by_django_and_used_by_the_client() -> None:
    words = {"url": "redis://127.0.0.1:1", "options": {"password": "canary-password"}}
    with override_settings(CARMINE_SESSIONS=words):
        assert "canary" not in repr(SafeExceptionReporterFilter().get_safe_settings()["CARMINE_SESSIONS"])
        assert current().clients.of_threads().options.password is not None
        assert "canary" not in repr(current().clients.of_threads())


def test_without_the_setting_the_defaults_of_a_client_count() -> None:
    assert repr(current().clients.of_threads()) == repr(carmine.Client())


@pytest.mark.parametrize("way", ["path of a function", "path of a client", "function", "client"])
def test_a_project_may_give_its_own_clients(server: RedisServer, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with carmine.Client(server.url) as client:
        monkeypatch.setitem(globals(), "shared", client)
        given = {
            "path of a function": f"{HERE}.make",
            "path of a client": f"{HERE}.shared",
            "function": make,
            "client": client,
        }[way]
        words = {"client": given, "async_client": f"{HERE}.make_async", "prefix": "mine"}
        with override_settings(CARMINE_SESSIONS=words):
            assert current().clients.of_threads() is client
            id, _ = cookie_of(Visitor("threads").ask("/write/a/1"))
            assert key_in(server).startswith(b"mine:")

            async def read() -> dict[str, Any]:
                async with carmine.AsyncClient(server.url) as aclient:
                    monkeypatch.setitem(globals(), "ashared", aclient)
                    return await SessionStore(id).aload()

            assert asyncio.run(read()) == {"a": "1"}
            assert current().clients.count() == 0  # it is the project's to keep
        current()
        assert client.ping()  # and to close


def test_a_client_alone_serves_no_loop(server: RedisServer) -> None:
    with carmine.Client(server.url) as client, override_settings(CARMINE_SESSIONS={"client": client}):
        with pytest.raises(ImproperlyConfigured, match=r"async_client must be a carmine\.AsyncClient.*not NoneType"):
            asyncio.run(SessionStore("u" * 43).aload())
        current()


def test_threads_that_come_first_at_once_share_one_client(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process has one client, though many threads want it before the first of them has made it."""
    made = []
    second = threading.Event()

    def slowly(source: Any) -> config.Config:
        made.append(source)
        if len(made) > 1:
            second.set()
        second.wait(0.1)  # for whoever else might come to make one
        return Config(source)

    monkeypatch.setattr(config, "Config", slowly)
    with override_settings(CARMINE_SESSIONS={"url": server.url}):
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: current(), range(4)))
        assert len(made) == 1
        assert len(set(map(id, found))) == 1
    monkeypatch.undo()
    current()
