"""The DynamoDB datastore over HTTP: its table, what is left unprocessed or refused (FAULTS D10; SECURITY S-20)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from carmine.errors import UsageError
from carmine.ext.tundra.conformance import DataStoreSuite
from carmine.ext.tundra.dynamodb import DynamoDBDataStore
from carmine.ext.tundra.errors import DataStoreError, NotStored
from tests.ext.tundra.cloud import HASTY, Answers, Naps, naps, options, quick, wire
from tests.ext.tundra.tables import LARGE, TABLE, Lazy, client, error, items, shared, space
from tests.ext.tundra.test_freezers import shown

if TYPE_CHECKING:
    from carmine.ext.tundra.datastore import DataStore
    from tests.lab.proxy import FaultProxy

__all__ = ["client", "naps", "shared", "space", "wire"]

pytestmark = pytest.mark.one_twin


class TestConformance(DataStoreSuite):
    """One table, a namespace for each check: so that namespaces know nothing of each other is checked too."""

    @pytest.fixture(autouse=True)
    def _place(self, shared: Any, space: str) -> None:
        self.client, self.space = shared, space

    def make_store(self) -> DataStore:
        return DynamoDBDataStore(TABLE, self.space, client=self.client)


class TestTable:
    def test_it_is_made_once(self, shared: Any) -> None:
        store = DynamoDBDataStore("made", client=shared)
        assert [store.ensure_table(), store.ensure_table((5, 5)), store.ensure_table(block=False)] == [
            True,
            False,
            False,
        ]
        told = shared.describe_table(TableName="made")["Table"]
        assert told["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"

    def test_throughput(self, shared: Any) -> None:
        DynamoDBDataStore("provisioned", client=shared).ensure_table((3, 7))
        told = shared.describe_table(TableName="provisioned")["Table"]["ProvisionedThroughput"]
        assert (told["ReadCapacityUnits"], told["WriteCapacityUnits"]) == (3, 7)
        for wrong in ((0, 1), (1, 0), (1, True)):
            with pytest.raises(UsageError, match="throughput"):
                DynamoDBDataStore("other", client=shared).ensure_table(wrong)
        assert "other" not in shared.list_tables()["TableNames"]

    def test_a_table_with_other_keys_is_refused(self, shared: Any) -> None:
        shared.create_table(
            TableName="strange",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        with pytest.raises(UsageError, match="other keys"):
            DynamoDBDataStore("strange", client=shared).ensure_table()

    def test_a_table_that_is_not_there_is_not_made(self, shared: Any) -> None:
        store = DynamoDBDataStore("no-such-table", client=shared)
        error(store.fetch([b"k"])[0], "ResourceNotFoundException", is_transient=False)
        for call in (
            lambda: store.put(b"k", b"1"),
            lambda: store.delete([b"k"]),
            lambda: list(store.scan()),
            store.sweep,
        ):
            with pytest.raises(DataStoreError, match="ResourceNotFoundException"):
                call()
        assert "no-such-table" not in shared.list_tables()["TableNames"]


class TestUnprocessed:
    def test_keys_are_asked_for_again(self, shared: Any, space: str, naps: Naps) -> None:
        """D10: UnprocessedKeys, again and again, until all are there; with pauses in between."""
        plain = DynamoDBDataStore(TABLE, space, client=shared)
        for n in range(6):
            plain.put(b"k%d" % n, b"%d" % n)
        lazy = Lazy(shared, 1)
        wanted = [b"k%d" % n for n in range(8)]
        found = DynamoDBDataStore(TABLE, space, client=lazy).fetch(wanted)
        assert [one for one in found if isinstance(one, bytes)] == [b"%d" % n for n in range(6)]
        assert [isinstance(one, NotStored) for one in found] == [False] * 6 + [True] * 2
        assert lazy.batches == 8
        assert len(naps) == 7
        assert all(0 <= nap <= 5 for nap in naps)

    def test_keys_that_are_never_processed_are_errors(self, shared: Any, space: str, naps: Naps) -> None:
        """D10: an error that may pass, for each; not a key that is not there."""
        lazy = Lazy(shared, 0)
        store = DynamoDBDataStore(TABLE, space, client=lazy, attempts=4)
        error(store.fetch([b"k"])[0], "unprocessed", is_transient=True)
        assert lazy.batches == 4
        assert [round(most, 9) for most in (0.1, 0.2, 0.4)] == [round(most, 9) for most in bounds(naps)]

    def test_items_are_sent_again(self, shared: Any, space: str, naps: Naps) -> None:
        """D10: UnprocessedItems."""
        lazy = Lazy(shared, 1)
        store = DynamoDBDataStore(TABLE, space, client=lazy)
        store.put(b"k", LARGE)
        assert DynamoDBDataStore(TABLE, space, client=shared).fetch([b"k"]) == [LARGE]
        assert lazy.batches == 2
        store.delete([b"k"])
        assert items(shared, space) == []

    def test_items_that_are_never_processed_are_an_error(self, shared: Any, space: str, naps: Naps) -> None:
        """D10: what was there stays, and nothing is left behind."""
        plain = DynamoDBDataStore(TABLE, space, client=shared)
        plain.put(b"k", b"before")
        lazy = Lazy(shared, 0)
        store = DynamoDBDataStore(TABLE, space, client=lazy, attempts=3)
        with pytest.raises(DataStoreError, match="unprocessed") as caught:
            store.put(b"k", LARGE)
        assert (caught.value.is_transient, caught.value.key) == (True, b"k")
        with pytest.raises(DataStoreError, match="unprocessed"):
            store.delete([b"k"])
        assert plain.fetch([b"k"]) == [b"before"]


def bounds(naps: Naps) -> list[float]:
    """Return the bound that each pause was drawn below, if all were."""
    made = [0.1 * 2**n for n in range(len(naps))]
    assert all(0 <= nap <= bound for nap, bound in zip(naps, made, strict=True))
    return made


class TestRefusals:
    @pytest.mark.parametrize(
        ("status", "code", "is_transient", "requests"),
        [
            (400, "ProvisionedThroughputExceededException", True, 5),
            (400, "ThrottlingException", True, 5),
            (500, "InternalServerError", True, 5),
            (400, "AccessDeniedException", False, 1),
            (400, "ValidationException", False, 1),
        ],
    )
    def test_what_the_service_refuses(
        self, client: Any, space: str, naps: Naps, status: int, code: str, is_transient: bool, requests: int
    ) -> None:
        """D10: what passes is tried five times, what does not once; errors say which, and quote nothing."""
        refused = Answers(client, "dynamodb", status, code)
        store = DynamoDBDataStore(TABLE, space, client=client)
        error(store.fetch([b"k"])[0], code, is_transient=is_transient)
        assert refused.given == requests
        for call in (
            lambda: store.put(b"k", b"1"),
            lambda: store.delete([b"k"]),
            lambda: list(store.scan()),
            store.sweep,
            store.ensure_table,
        ):
            with pytest.raises(DataStoreError, match=code) as caught:
                call()
            assert caught.value.is_transient is is_transient
            assert "CANARY" not in str(caught.value)

    def test_a_refusal_that_passes_is_not_noticed(self, client: Any, space: str, naps: Naps) -> None:
        """D10."""
        store = DynamoDBDataStore(TABLE, space, client=client)
        for event in ("GetItem", "PutItem", "BatchGetItem"):
            Answers(client, f"dynamodb.{event}", 400, "ThrottlingException", times=4)
        store.put(b"k", b"1")
        assert store.fetch([b"k"]) == [b"1"]

    def test_silence_is_an_error_and_no_hang(self, wire: FaultProxy, space: str, naps: Naps) -> None:
        """D10."""
        store = DynamoDBDataStore(TABLE, space, client=quick("dynamodb", wire.port, **{**HASTY, "read_timeout": 0.1}))
        wire.blackhole = True
        error(store.fetch([b"k"])[0], "ReadTimeoutError", is_transient=True)
        with pytest.raises(DataStoreError, match="ReadTimeoutError"):
            store.put(b"k", b"1")


def test_credentials_are_shown_nowhere() -> None:
    """S-20."""
    secret = {**options(), "aws_secret_access_key": "CANARY-9f3b"}
    store = DynamoDBDataStore(TABLE, "space", secret)
    assert repr(store) == "DynamoDBDataStore(table='archive', key_ns='space')"
    with pytest.raises(UsageError, match="client_options") as caught:
        DynamoDBDataStore(TABLE, "", {**secret, "no_such_option": 1})
    assert "CANARY" not in shown(caught.value, below="test_credentials_are_shown_nowhere")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"table": ""}, "table"),
        ({"table": b"t"}, "table"),
        ({"key_ns": None}, "key_ns"),
        ({"parallel": 0}, "parallel"),
        ({"attempts": 0}, "attempts"),
        ({"limit": 0}, "limit"),
        ({"client_options": {}}, "not both"),
    ],
)
def test_wrong_options(given: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        DynamoDBDataStore(**{"table": TABLE, "client": object(), **given})
    assert "DynamoDBDataStore(" in shown(caught.value, below="test_wrong_options")
