"""The page for those who come from redis-py: every row is run against both libraries."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

import carmine
from carmine.ext import locks
from tests.lab.matrix import current_leg

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.servers import RedisServer

redis = pytest.importorskip("redis", reason="redis-py is installed in .venv only")

pytestmark = [pytest.mark.one_server, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

PAGE: Final = (Path(__file__).resolve().parents[2] / "docs" / "coming-from-redis-py.md").read_text()
MADE, BOTH = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def table(title: str) -> list[list[str]]:
    """Return the cells of the rows below a title."""
    text = PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split(" | ")] for line in lines]


def test_the_page_has_its_tables() -> None:
    assert [len(table(title)) > least for title, least in (("Calls", 25), ("Options", 10), ("Errors", 15))] == [
        True
    ] * 3
    assert {len(row) for row in table("Calls")} == {4}
    assert {len(row) for row in table("Options") + table("Errors")} == {2}


@pytest.fixture
def names(server: RedisServer) -> Iterator[dict[str, Any]]:
    server.call("FLUSHALL")
    r = redis.Redis.from_url(server.url, decode_responses=True)
    with carmine.connect(server.url) as c:
        made: dict[str, Any] = {"r": r, "c": c}
        exec(BOTH, made)
        yield made
    r.close()


@pytest.mark.skipif(current_leg().name != "valkey91", reason="the rows show the replies of one server")
@pytest.mark.parametrize("library", ["redis-py", "carmine"])
def test_calls(names: dict[str, Any], library: str) -> None:
    """In the order of the page, on what its first lines have made."""
    at = 0 if library == "redis-py" else 2
    exec(MADE, {"db": names["r" if at == 0 else "c"]})
    for row in table("Calls"):
        assert repr(eval(row[at], names)) == row[at + 1], row[at]


def test_every_row_differs() -> None:
    for call, reply, ours, answer in table("Calls"):
        assert (call[1:], reply) != (ours[1:], answer), call


def test_options() -> None:
    theirs = inspect.signature(redis.Redis.__init__).parameters
    ours = carmine.OptionArgs.__annotations__
    for there, here in table("Options"):
        assert there in theirs
        assert here in ours


def test_errors() -> None:
    for there, here in table("Errors"):
        assert issubclass(getattr(redis.exceptions, there), Exception)
        owner = locks if here.startswith("ext.locks.") else carmine
        assert issubclass(getattr(owner, here.rpartition(".")[2]), carmine.CarmineError)
