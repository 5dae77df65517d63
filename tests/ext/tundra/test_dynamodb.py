"""The DynamoDB datastore over HTTP: what is left unprocessed, blobs over several items, and what it must never do.

FAULTS D04, D06, D10; SECURITY S-20, S-65.
"""

from __future__ import annotations

import time
from itertools import count, pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import EndpointConnectionError  # type: ignore[import-untyped]  # it has no types of its own

from carmine.errors import UsageError
from carmine.ext.tundra import dynamodb
from carmine.ext.tundra.aws import make_client
from carmine.ext.tundra.conformance import DataStoreSuite
from carmine.ext.tundra.dynamodb import HEAD, DynamoDBDataStore
from carmine.ext.tundra.errors import DataStoreError, NotStored
from tests.ext.tundra.cloud import HASTY, Answers, Naps, Sent, naps, options, quick, wire
from tests.ext.tundra.once import once
from tests.ext.tundra.test_freezers import shown

if TYPE_CHECKING:
    from carmine.ext.tundra.datastore import DataStore
    from tests.lab.proxy import FaultProxy

__all__ = ["naps", "wire"]

pytestmark = once

TABLE = "archive"
LARGE = bytes(range(256)) * 1540
"""A head and two parts."""
SPACES = count()


@pytest.fixture(scope="module")
def shared() -> Any:
    """Give a client for all tests that do not hurt theirs; the table is there."""
    client = make_client("dynamodb", options(), 8)
    assert DynamoDBDataStore(TABLE, client=client).ensure_table()
    return client


@pytest.fixture
def space(shared: Any) -> str:
    return f"test{next(SPACES)}"


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


class TestLargeBlobs:
    def test_no_item_reaches_the_limit(self, client: Any, space: str) -> None:
        """DynamoDB counts names and values; 400 KB are 409,600 bytes, and we stay below 400,000."""
        store = DynamoDBDataStore(TABLE, space, client=client)
        for key in (b"k", b"x" * 65_536):
            for size in (300_000, 389_900, 390_000, 1_000_000):
                store.put(key, bytes(size))
        sizes = [sum(len(name) + size_of(value) for name, value in item.items()) for item in items(client, space)]
        assert len(sizes) == 8
        assert max(sizes) < 400_000

    def test_a_reader_between_the_steps_sees_what_was_there(self, client: Any, shared: Any, space: str) -> None:
        """D10: parts are written before the head names them, and removed after it names others."""
        store, reader = (DynamoDBDataStore(TABLE, space, client=one) for one in (client, shared))
        blobs = [LARGE, b"small", LARGE[::-1], LARGE]
        store.put(b"k", blobs[0])
        seen: list[bytes | DataStoreError] = []

        def look(request: Any, **_: Any) -> None:
            seen.extend(reader.fetch([b"k"]))

        client.meta.events.register("before-send", look)
        for before, after in pairwise(blobs):
            seen.clear()
            store.put(b"k", after)
            seen += reader.fetch([b"k"])
            turn = seen.index(after)
            assert seen == [before] * turn + [after] * (len(seen) - turn)
            assert turn > 0
        assert len(items(shared, space)) == 1 + 2

    def test_a_reader_that_is_overtaken_looks_again(self, client: Any, shared: Any, space: str) -> None:
        """D10: it has read the head, and the parts are gone when it comes for them."""
        store, writer = (DynamoDBDataStore(TABLE, space, client=one) for one in (client, shared))
        newer = iter([LARGE[::-1], b"small"])
        writer.put(b"k", LARGE)

        def replace(**_: Any) -> None:
            blob = next(newer, None)
            if blob is not None:
                writer.put(b"k", blob)

        client.meta.events.register("before-send.dynamodb.Query", replace)
        assert store.fetch([b"k"]) == [b"small"]

    def test_a_reader_that_is_always_overtaken_gives_up(self, client: Any, shared: Any, space: str) -> None:
        store, writer = (DynamoDBDataStore(TABLE, space, client=one) for one in (client, shared))
        writer.put(b"k", LARGE)
        client.meta.events.register("before-send.dynamodb.Query", lambda **_: writer.put(b"k", LARGE))
        error(store.fetch([b"k"])[0], "replaced all the time", is_transient=True)

    def test_a_part_that_is_lost_or_changed_is_an_error(self, shared: Any, space: str) -> None:
        """D04."""
        store = DynamoDBDataStore(TABLE, space, client=shared)
        store.put(b"k", LARGE)
        part = next(item for item in items(shared, space) if item["part"]["B"] != HEAD)
        shared.put_item(TableName=TABLE, Item={**part, "data": {"B": part["data"]["B"][:-1] + b"\0"}})
        error(store.fetch([b"k"])[0], "checksum differs", is_transient=False)
        shared.put_item(TableName=TABLE, Item={**part, "data": {"B": part["data"]["B"][:-1]}})
        error(store.fetch([b"k"])[0], "cut short", is_transient=False)
        shared.delete_item(TableName=TABLE, Key={"id": part["id"], "part": part["part"]})
        error(store.fetch([b"k"])[0], "are not there", is_transient=False)
        store.put(b"k", LARGE)
        assert store.fetch([b"k"]) == [LARGE]

    def test_no_more_is_read_than_the_limit(self, client: Any, shared: Any, space: str) -> None:
        DynamoDBDataStore(TABLE, space, client=shared).put(b"k", LARGE)
        sent = Sent(client)
        error(
            DynamoDBDataStore(TABLE, space, client=client, limit=1000).fetch([b"k"])[0],
            "longer than 1000 bytes",
            is_transient=False,
        )
        assert sent.count("Query") == 0

    @pytest.mark.parametrize(
        "head",
        [
            {},
            {"generation": {"S": "text"}},
            {"generation": {"B": b"g" * 16}, "parts": {"N": "1000000000"}, "size": {"N": "5"}},
            {"generation": {"B": b"g" * 16}, "parts": {"N": "1"}},
            {"generation": {"L": []}, "parts": {"M": {}}, "size": {"BOOL": True}},
        ],
    )
    def test_another_programs_item_is_an_error(self, shared: Any, space: str, head: dict[str, Any]) -> None:
        store = DynamoDBDataStore(TABLE, space, client=shared)
        row = {"id": {"B": store._id(b"k")}, "part": {"B": HEAD}}
        shared.put_item(TableName=TABLE, Item={**row, **head})
        error(store.fetch([b"k"])[0], "not stored by carmine", is_transient=False)
        store.delete([b"k"])
        assert isinstance(store.fetch([b"k"])[0], NotStored)


def size_of(value: dict[str, Any]) -> int:
    """Return a value's size as DynamoDB counts it, numbers at their most."""
    [(kind, inner)] = value.items()
    return 21 if kind == "N" else len(inner.encode() if isinstance(inner, str) else inner)


class TestPut:
    def test_who_was_overtaken_does_not_write(self, client: Any, shared: Any, space: str) -> None:
        """D06: a worker that was paused before its last step does not put its old archive over a newer one."""
        slow, quick_one = (DynamoDBDataStore(TABLE, space, client=one) for one in (client, shared))
        for blob in (b"older", LARGE):
            for newer in (b"newer", b"newest"):
                is_paused = iter([True])

                def pause(**_: Any) -> None:
                    if next(is_paused, False):  # noqa: B023 - called in this turn
                        quick_one.put(b"k", newer)  # noqa: B023

                client.meta.events.register("before-send.dynamodb.PutItem", pause)
                with pytest.raises(DataStoreError, match="meanwhile") as caught:
                    slow.put(b"k", blob)
                client.meta.events.unregister("before-send.dynamodb.PutItem", pause)
                assert (caught.value.is_transient, caught.value.key) == (True, b"k")
                assert slow.fetch([b"k"]) == [newer]
                assert len(items(shared, space)) == 1

    def test_a_put_whose_answer_was_lost_is_known_again(
        self, wire: FaultProxy, shared: Any, space: str, naps: Naps
    ) -> None:
        """D10: it came, the answer did not; boto3 sends it again and the condition refuses the second for the first."""
        client = quick("dynamodb", wire.port, **HASTY)
        store, other = (DynamoDBDataStore(TABLE, space, client=one) for one in (client, shared))
        store.put(b"k", b"before")
        sent, is_first = Sent(client), iter([True])

        def silence(**_: Any) -> None:
            if next(is_first, False):
                wire.mark()
                wire.truncate["s2c"] = 0

        def hear(**_: Any) -> None:
            until = time.monotonic() + 30
            while other.fetch([b"k"]) != [LARGE]:  # moto may be slow; what is asked here is what follows
                assert time.monotonic() < until
            wire.heal()

        client.meta.events.register("before-send.dynamodb.PutItem", silence)
        client.meta.events.register_first("needs-retry.dynamodb.PutItem", hear)
        store.put(b"k", LARGE)
        assert sent.count("PutItem") == 2
        assert store.fetch([b"k"]) == [LARGE]

    def test_a_put_that_may_have_come_keeps_its_parts(self, client: Any, shared: Any, space: str) -> None:
        """D10: when the last step's outcome is not known, the parts that it may name stay."""
        store, other = (DynamoDBDataStore(TABLE, space, client=one) for one in (client, shared))

        def lose(http_response: Any, **_: Any) -> None:
            raise EndpointConnectionError(endpoint_url="CANARY")

        client.meta.events.register("after-call.dynamodb.PutItem", lose)
        with pytest.raises(DataStoreError, match="EndpointConnectionError") as caught:
            store.put(b"k", LARGE)
        assert caught.value.is_transient
        assert other.fetch([b"k"]) == [LARGE]

    def test_a_writer_that_dies_leaves_what_was_there(
        self, client: Any, shared: Any, space: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """D02's like: between parts and head; `sweep` removes the parts when they are old, and no others."""
        store, other = (DynamoDBDataStore(TABLE, space, client=one) for one in (client, shared))
        store.put(b"k", b"before")
        other.put(b"large", LARGE)

        def die(**_: Any) -> None:
            raise KeyboardInterrupt

        client.meta.events.register("before-send.dynamodb.PutItem", die)
        with pytest.raises(KeyboardInterrupt):
            store.put(b"k", LARGE)
        assert other.fetch([b"k", b"large"]) == [b"before", LARGE]
        assert sorted(other.scan()) == [b"k", b"large"]
        assert len(items(shared, space)) == 2 + 2 + 2
        assert other.sweep() == 0
        later = time.time() + 25 * 3600
        monkeypatch.setattr(dynamodb, "time", SimpleNamespace(time=lambda: later, monotonic=time.monotonic))
        assert other.sweep() == 2
        assert other.sweep() == 0
        assert other.fetch([b"k", b"large"]) == [b"before", LARGE]
        with pytest.raises(UsageError, match="older_than"):
            other.sweep(60)

    def test_a_put_that_takes_too_long_gives_up(self, shared: Any, space: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Or `sweep` could take its parts for left behind."""
        store = DynamoDBDataStore(TABLE, space, client=shared)
        clock = iter([0.0, dynamodb.LONGEST_PUT + 1])
        monkeypatch.setattr(dynamodb, "time", SimpleNamespace(time=time.time, monotonic=lambda: next(clock)))
        with pytest.raises(DataStoreError, match="too long") as caught:
            store.put(b"k", LARGE)
        assert caught.value.is_transient
        assert items(shared, space) == []


class TestDelete:
    def test_nothing_stays(self, client: Any, shared: Any, space: str) -> None:
        """S-65: neither parts of what was stored, nor those that a writer who died has left."""
        store, other = (DynamoDBDataStore(TABLE, space, client=one) for one in (client, shared))

        def die(**_: Any) -> None:
            raise KeyboardInterrupt

        client.meta.events.register("before-send.dynamodb.PutItem", die)
        for key in (b"a", b"b"):
            other.put(key, LARGE)
            with pytest.raises(KeyboardInterrupt):
                store.put(key, LARGE)
        assert len(items(shared, space)) == 2 * (1 + 2 + 2)
        other.delete([b"a", b"b", b"never"])
        assert items(shared, space) == []


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
