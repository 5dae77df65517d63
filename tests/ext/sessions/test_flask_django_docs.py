"""The page about Flask and Django does what it says, and names every setting there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.test import override_settings

from carmine.ext.sessions import flask as ours
from carmine.ext.sessions.django.config import KEYS, Config
from tests.ext.sessions.django_kit.site import Visitor, cookie_of
from tests.ext.sessions.planting import left_of
from tests.integration.test_readme import blocks, play

if TYPE_CHECKING:
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.one_twin

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "sessions_frameworks.md").read_text(encoding="utf-8")
FLASK, DJANGO = blocks("python", PAGE)


def test_the_code_for_flask(server: RedisServer) -> None:
    names: dict[str, Any] = {"url": server.url, "__name__": "shop"}
    try:
        assert play(FLASK, names) == FLASK.count("  # -> ") > 3
        names["visitor"].post("/login/ada")
        assert server.call("DBSIZE") == 1
    finally:
        names["client"].close()


def test_the_settings_for_django(server: RedisServer) -> None:
    settings: dict[str, Any] = {}
    exec(DJANGO, settings)
    del settings["__builtins__"]
    Config(settings["CARMINE_SESSIONS"])  # takes them as they are
    settings["CARMINE_SESSIONS"]["url"] = server.url
    settings["MIDDLEWARE"] = settings["MIDDLEWARE"][:1]  # this site has no users
    with override_settings(**settings):
        visitor = Visitor("threads")
        id, _ = cookie_of(visitor.ask("/login/ada"))
        assert visitor.ask("/read", id).json() == {"user": "ada"}
        keys = server.call("KEYS", "*")
        assert isinstance(keys, list)
        assert [0 < left_of(server, key) <= 12 * 3_600_000 for key in keys if isinstance(key, bytes)] == [True]


def test_every_key_and_every_name_is_on_the_page() -> None:
    table = PAGE[PAGE.index("| key of `CARMINE_SESSIONS`") : PAGE.index("`SESSION_COOKIE_*`, `SESSION_COOKIE_AGE`")]
    assert set(re.findall(r"`(\w+)`", re.sub(r"(?m)^(\|[^|]*\|).*", r"\1", table))) - {"CARMINE_SESSIONS"} == set(KEYS)
    assert {name for name in ours.__all__ if name not in PAGE} == {"FlaskSession"}
