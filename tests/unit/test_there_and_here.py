"""The page for those who come from the ancestor: a row for every public name there, and what it names exists here."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any, Final

import pytest

import carmine
from carmine.client._sync.wcar import Wcar

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "there-and-here.md"
ROW: Final = re.compile(r"^\| (`[^`]+`|the commands) \| (`[^`]+`|-) \|(.*)\|$")

THERE: Final[dict[str, str]] = {
    "taoensso.carmine": """
        wcar :as-pipeline with-replies return parse parser-comp parse-int parse-float parse-bool parse-keyword
        parse-map parse-suppress parse-raw parse-nippy as-int as-float as-bool as-map redis-call key raw freeze
        thaw eval* evalsha* script-hash lua lua-local hmset* info* zinterstore* zunionstore* sort*
        with-new-listener with-new-pubsub-listener with-open-listener close-listener parse-listener-msg atomic
        atomic* compare-and-set compare-and-hset :cas/delete swap hswap swapped :swap/abort :swap/delete hmsetnx
        reduce-scan reduce-hscan scan-keys issue-83-workaround? as-long as-double parse-long parse-double
        with-parser make-dequeue-worker
    """,
    "taoensso.carmine.connections": """
        conn-pool conn-spec :uri :host :port :username :password :db :conn-timeout-ms :read-timeout-ms :ssl-fn
        :conn-setup-fn :instrument :max-total-per-key :max-idle-per-key :min-idle-per-key :max-wait-ms
        :test-on-borrow :test-on-return :test-while-idle :lifo :none
    """,
    "taoensso.carmine.locks": "acquire-lock release-lock have-lock? with-lock",
    "taoensso.carmine.message-queue": """
        enqueue message-status queue-status queue-size queue-content queue-names queues-clear!!
        queues-clear-all!!! worker start stop monitor-fn exp-backoff
    """,
    "taoensso.carmine.ring": "carmine-store",
    "taoensso.carmine.tundra": "tundra-store ensure-ks dirty worker IDataStore IFreezer disk s3 faraday carmine",
}


def rows() -> dict[str, list[tuple[str, str, str]]]:
    """Return the rows of each table: there, here, what differs."""
    told: dict[str, list[tuple[str, str, str]]] = {}
    section = ""
    for line in PAGE.read_text().splitlines():
        if line.startswith("## "):
            section = line[3:]
            told[section] = []
        elif found := ROW.match(line):
            told[section].append((found[1].strip("`"), found[2].strip("`"), found[3]))
    return told


def resolved(name: str) -> Any:
    """Return what a name of the page stands for."""
    root, _, rest = name.partition(".")
    if root in ("client", "p"):
        return getattr(carmine.Client if root == "client" else Wcar, rest)
    if not rest.startswith("ext."):
        return getattr(carmine, rest)
    module, _, last = name.rpartition(".")
    return getattr(importlib.import_module(module), last)


def test_every_public_name_has_a_row() -> None:
    told = rows()
    assert list(told) == list(THERE)
    for section, names in THERE.items():
        assert sorted(there for there, _, _ in told[section] if there != "the commands") == sorted(names.split())


@pytest.mark.parametrize("here", sorted({here for table in rows().values() for _, here, _ in table} - {"-"}))
def test_what_is_named_exists(here: str) -> None:
    if here.rpartition(".")[0] in ("carmine.ext.tundra.s3", "carmine.ext.tundra.dynamodb"):
        pytest.importorskip("boto3", reason="the environments of the other Pythons have no boto3")
    assert callable(resolved(here)) or resolved(here) is carmine.DELETE or resolved(here) is carmine.ABORT


def test_what_is_not_carried_says_why() -> None:
    for table in rows().values():
        for there, here, differs in table:
            assert here != "-" or len(differs.strip()) > 5, there


def test_other_names_in_the_text_exist() -> None:
    named = {
        name
        for table in rows().values()
        for *_, text in table
        for name in re.findall(r"`((?:carmine|client)\.[\w.]+)`", text)
    }
    assert len(named) > 8
    for name in named:
        assert resolved(name) is not None
