"""The code of docs/tundra.md does what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import carmine
from carmine.ext import tundra
from tests.ext.tundra.stores import MAC_KEY
from tests.integration.test_readme import blocks, play

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.servers import RedisServer

pytestmark = [pytest.mark.one_server, pytest.mark.one_twin]

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGE = (DOCS / "tundra.md").read_text(encoding="utf-8")


def test_the_code_of_the_page(url: str, tmp_path: Path, make_server: Callable[..., RedisServer]) -> None:
    second = make_server()
    names: dict[str, Any] = {
        "url": url, "second_url": second.url, "path": tmp_path / "archive", "secret": MAC_KEY, "__name__": "tundra",
    }  # fmt: skip
    try:
        compared = sum(play(code, names) for code in blocks("python", PAGE))
    finally:
        for name in ("client", "second"):
            if isinstance(names.get(name), carmine.Client):
                names[name].close()
    assert compared == PAGE.count("  # -> ") > 15


def test_every_public_name_is_on_a_page_or_an_error() -> None:
    text = PAGE + (DOCS / "datastores.md").read_text(encoding="utf-8")
    told = {name for name in tundra.__all__ if re.search(rf"\b{name}\b", text)}
    left = set(tundra.__all__) - told
    errors = {name for name in left if issubclass(getattr(tundra, name), Exception)}
    assert left - errors <= {"AsyncDataStore", "AsyncTundraWorker", "Freezer", "Restored", "TundraStats"}
