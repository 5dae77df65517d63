"""The DynamoDB datastore between the steps of a put: blobs over several items, writers that die, readers amid them.

FAULTS D04, D05, D06, D10; SECURITY S-65.
"""

from __future__ import annotations

import time
from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import EndpointConnectionError  # type: ignore[import-untyped]  # it has no types of its own

from carmine.errors import UsageError
from carmine.ext.tundra import dynamodb
from carmine.ext.tundra.dynamodb import HEAD, DynamoDBDataStore
from carmine.ext.tundra.errors import DataStoreError, NotStored
from tests.ext.tundra.cloud import HASTY, Naps, Sent, naps, quick, wire
from tests.ext.tundra.tables import LARGE, TABLE, client, error, items, shared, size_of, space

if TYPE_CHECKING:
    from tests.lab.proxy import FaultProxy

__all__ = ["client", "naps", "shared", "space", "wire"]

pytestmark = pytest.mark.one_twin


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

    def test_exchanged_items_are_noticed(self, shared: Any, space: str) -> None:
        """D05."""
        store = DynamoDBDataStore(TABLE, space, client=shared)
        for key in (b"k", b"other", b"third"):
            store.put(key, key)
        heads = {item["key"]["B"]: item for item in items(shared, space)}
        shared.put_item(TableName=TABLE, Item={**heads[b"other"], "id": heads[b"k"]["id"]})
        found, other = store.fetch([b"k", b"other"])
        error(found, "another key's", is_transient=False)
        assert other == b"other"
        met = []
        with pytest.raises(DataStoreError, match="1 items"):  # noqa: PT012
            for key in store.scan():
                met.append(key)  # noqa: PERF402 - the list is wanted when the loop ends in an error
        assert sorted(met) == [b"other", b"third"]

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
