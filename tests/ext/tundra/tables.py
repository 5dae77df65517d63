"""Tables of DynamoDB for tests: clients, what is in a table, and a client that leaves work unprocessed."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from carmine.ext.tundra.aws import make_client
from carmine.ext.tundra.dynamodb import DynamoDBDataStore
from carmine.ext.tundra.errors import DataStoreError, NotStored
from tests.ext.tundra.cloud import options, quick

__all__ = ["LARGE", "TABLE", "Lazy", "client", "error", "items", "shared", "size_of", "space"]

TABLE = "archive"
LARGE = bytes(range(256)) * 1540
"""A head and two parts."""
_SPACES = count()


@pytest.fixture(scope="module")
def shared() -> Any:
    """Give a client for all tests that do not hurt theirs; the table is there."""
    client = make_client("dynamodb", options(), 8)
    DynamoDBDataStore(TABLE, client=client).ensure_table()
    return client


@pytest.fixture
def space(shared: Any) -> str:
    return f"test{next(_SPACES)}"


@pytest.fixture
def client(shared: Any) -> Any:
    """Give a client of a test's own, which may be hurt."""
    return quick("dynamodb")


def items(client: Any, space: str) -> list[Any]:
    """List all items of a namespace, as they are."""
    pages = client.get_paginator("scan").paginate(TableName=TABLE)
    return [item for page in pages for item in page["Items"] if item.get("ns") == {"S": space}]


def error(found: bytes | DataStoreError, words: str, *, is_transient: bool) -> None:
    """Assert that a fetch gave this error for key k."""
    assert isinstance(found, DataStoreError)
    assert not isinstance(found, NotStored)
    assert words in str(found)
    assert "CANARY" not in str(found)
    assert found.is_transient is is_transient
    assert found.key == b"k"


class Lazy:
    """A client whose batches process some of what they get and give the rest back, as the service does when it is busy.

    Args:
        client: The client that does them.
        most: How many a batch processes.
    """

    def __init__(self, client: Any, most: int) -> None:
        self.client, self.most, self.batches = client, most, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def batch_get_item(self, RequestItems: Any) -> Any:
        """Process the first keys."""
        self.batches += 1
        [(table, asked)] = RequestItems.items()
        left = asked["Keys"][self.most :]
        told: Any = {"Responses": {table: []}}
        if self.most:
            told = self.client.batch_get_item(RequestItems={table: {**asked, "Keys": asked["Keys"][: self.most]}})
        return {**told, "UnprocessedKeys": {table: {**asked, "Keys": left}} if left else {}}

    def batch_write_item(self, RequestItems: Any) -> Any:
        """Process the first changes."""
        self.batches += 1
        [(table, asked)] = RequestItems.items()
        if self.most:
            self.client.batch_write_item(RequestItems={table: asked[: self.most]})
        left = asked[self.most :]
        return {"UnprocessedItems": {table: left} if left else {}}


def size_of(value: dict[str, Any]) -> int:
    """Return a value's size as DynamoDB counts it, numbers at their most."""
    [(kind, inner)] = value.items()
    return 21 if kind == "N" else len(inner.encode() if isinstance(inner, str) else inner)
