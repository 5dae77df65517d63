"""A table of DynamoDB as rows of plain values: batches, pages, and what the service leaves unprocessed.

An adapter below dynamodb.py, which decides what the rows mean. Invariants: bytes, str and int go in and come out; reads
are consistent; what is left unprocessed is sent again after a pause, as long as some of it is done or attempts are
left, and is an error then, never forgotten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from carmine.errors import UsageError
from carmine.ext.tundra.aws import Attempts, BotoCoreError, ClientError, batches, code_of, in_parallel, problem
from carmine.ext.tundra.errors import DataStoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["Place", "Row", "Table"]

Row = dict[str, Any]
"""Names of attributes to bytes, str or int."""

Place = tuple[bytes, bytes]
"""The two keys of a row."""

_READ_AT_ONCE: Final = 100
_WRITTEN_AT_ONCE: Final = 25
_NOT_DONE: Final = "DynamoDB is too busy: it left items unprocessed each time they were sent"
_KEYS: Final = [{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "part", "KeyType": "RANGE"}]


class Table:
    """A table whose keys are `id` and `part`, both bytes.

    Args:
        client: A client of boto3.
        name: The table's name.
        attempts: How often in a row nothing may be processed.
        parallel: Batches at once.
    """

    def __init__(self, client: Any, name: str, attempts: int, parallel: int) -> None:
        self.name: Final = name
        self._client: Final = client
        self._attempts: Final = Attempts(attempts)
        self._parallel: Final = parallel

    def ensure(self, throughput: tuple[int, int] | None, *, block: bool) -> bool:
        """Make the table if it is not there; return whether it was made.

        Raises:
            DataStoreError: DynamoDB refused.
            UsageError: There is a table of this name with other keys.
        """
        try:
            is_new = self._create(throughput)
            if block:
                waiter = self._client.get_waiter("table_exists")
                waiter.wait(TableName=self.name, WaiterConfig={"Delay": 1, "MaxAttempts": 300})
            told = self._client.describe_table(TableName=self.name)["Table"]
        except (ClientError, BotoCoreError) as exc:
            raise problem("DynamoDB could not make the table", exc) from exc
        types = {one["AttributeName"]: one["AttributeType"] for one in told["AttributeDefinitions"]}
        if told["KeySchema"] != _KEYS or (types.get("id"), types.get("part")) != ("B", "B"):
            raise UsageError("there is a table of this name with other keys than a datastore has; name another one")
        return is_new

    def _create(self, throughput: tuple[int, int] | None) -> bool:
        billing: dict[str, Any] = {"BillingMode": "PAY_PER_REQUEST"}
        if throughput is not None:
            reading, writing = throughput
            units = {"ReadCapacityUnits": reading, "WriteCapacityUnits": writing}
            billing = {"BillingMode": "PROVISIONED", "ProvisionedThroughput": units}
        try:
            self._client.create_table(
                TableName=self.name,
                KeySchema=_KEYS,
                AttributeDefinitions=[{"AttributeName": key["AttributeName"], "AttributeType": "B"} for key in _KEYS],
                **billing,
            )
        except ClientError as exc:
            if code_of(exc) == "ResourceInUseException":
                return False
            raise
        return True

    # One row; these raise what boto3 raises. -------------------------------------------------------------------------

    def get(self, row: bytes, part: bytes, names: Sequence[str] = ()) -> Row | None:
        """Return one row, or those attributes of it; None where there is none."""
        told = self._client.get_item(
            TableName=self.name, Key=_key((row, part)), ConsistentRead=True, **_projection(names)
        )
        return _plain(told["Item"]) if told.get("Item") else None

    def put_if(self, row: Row, name: str, value: bytes | None) -> None:
        """Write a row if the one it replaces has this value, or if there is none where `value` is None."""
        options: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(#n)"}
        if value is not None:
            options = {"ConditionExpression": "#n = :v", "ExpressionAttributeValues": {":v": _typed(value)}}
        self._client.put_item(TableName=self.name, Item=_wire(row), ExpressionAttributeNames={"#n": name}, **options)

    # Many rows; these raise DataStoreError. --------------------------------------------------------------------------

    def get_many(self, places: Sequence[Place], names: Sequence[str] = ()) -> dict[bytes, Row | DataStoreError]:
        """Return rows by their `id`, or those attributes; an error for each that could not be had.

        Args:
            places: The rows, no two with the same `id`.
            names: Attributes, `id` among them; none for all.
        """
        found: dict[bytes, Row | DataStoreError] = {}
        for some in in_parallel(
            lambda batch: self._get_batch(batch, names), batches(places, _READ_AT_ONCE), self._parallel
        ):
            found.update(some)
        return found

    def _get_batch(self, places: Sequence[Place], names: Sequence[str]) -> dict[bytes, Row | DataStoreError]:
        found: dict[bytes, Row | DataStoreError] = {}
        left: Any = {"Keys": [_key(place) for place in places], "ConsistentRead": True, **_projection(names)}
        attempt = 0
        failure: DataStoreError | None = None
        while left and left["Keys"]:
            try:
                told = self._client.batch_get_item(RequestItems={self.name: left})
            except (ClientError, BotoCoreError) as exc:
                failure = problem("DynamoDB could not give items", exc)
                break
            rows = told.get("Responses", {}).get(self.name, ())
            found.update((row["id"], row) for row in map(_plain, rows))
            left = told.get("UnprocessedKeys", {}).get(self.name)
            attempt = 1 if rows else attempt + 1
            if left and not self._attempts.pause(attempt):
                failure = DataStoreError(_NOT_DONE, is_transient=True)
                break
        if failure is not None:
            found.update((key["id"]["B"], failure) for key in left["Keys"])
        return found

    def write(self, rows: Iterable[Row]) -> None:
        """Write rows."""
        self._change([{"PutRequest": {"Item": _wire(row)}} for row in rows])

    def delete(self, places: Iterable[Place]) -> None:
        """Delete rows, which need not be there."""
        self._change([{"DeleteRequest": {"Key": _key(place)}} for place in places])

    def _change(self, changes: Sequence[Any]) -> None:
        problems = in_parallel(self._change_batch, batches(changes, _WRITTEN_AT_ONCE), self._parallel)
        for failure in problems:
            if failure is not None:
                raise failure

    def _change_batch(self, changes: Sequence[Any]) -> DataStoreError | None:
        left = list(changes)
        attempt = 0
        while left:
            try:
                told = self._client.batch_write_item(RequestItems={self.name: left})
            except (ClientError, BotoCoreError) as exc:
                return problem("DynamoDB could not change items", exc)
            before, left = len(left), told.get("UnprocessedItems", {}).get(self.name, [])
            attempt = 1 if len(left) < before else attempt + 1
            if left and not self._attempts.pause(attempt):
                return DataStoreError(_NOT_DONE, is_transient=True)
        return None

    def query(self, row: bytes, first: bytes, last: bytes, names: Sequence[str] = ()) -> Iterator[Row]:
        """Yield the rows of one `id` between two parts, or those attributes of them; raises what boto3 raises."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self.name,
            ConsistentRead=True,
            KeyConditionExpression="id = :i AND part BETWEEN :a AND :z",
            ExpressionAttributeValues={":i": _typed(row), ":a": _typed(first), ":z": _typed(last)},
            **_projection(names),
        )
        for page in pages:
            yield from map(_plain, page["Items"])

    def scan(self, where: dict[str, tuple[str, Any]], names: Sequence[str]) -> Iterator[Row]:
        """Yield those attributes of all rows that fulfil every comparison.

        Raises:
            DataStoreError: The table cannot be read.
        """
        marks = [f"#w{index} {sign} :w{index}" for index, (sign, _) in enumerate(where.values())]
        options = _projection(names)
        options["ExpressionAttributeNames"].update({f"#w{index}": name for index, name in enumerate(where)})
        values = {f":w{index}": _typed(value) for index, (_, value) in enumerate(where.values())}
        pages = self._client.get_paginator("scan").paginate(
            TableName=self.name,
            ConsistentRead=True,
            FilterExpression=" AND ".join(marks),
            ExpressionAttributeValues=values,
            **options,
        )
        try:
            for page in pages:
                yield from map(_plain, page["Items"])
        except (ClientError, BotoCoreError) as exc:
            raise problem("DynamoDB could not read the table", exc) from exc


def _projection(names: Sequence[str]) -> dict[str, Any]:
    """Return the options that ask for some attributes; their names may be words of DynamoDB's own."""
    if not names:
        return {}
    marks = {f"#p{index}": name for index, name in enumerate(names)}
    return {"ProjectionExpression": ", ".join(marks), "ExpressionAttributeNames": marks}


def _key(place: Place) -> dict[str, Any]:
    return {"id": {"B": place[0]}, "part": {"B": place[1]}}


def _typed(value: bytes | str | int) -> dict[str, Any]:
    if isinstance(value, bytes):
        return {"B": value}
    return {"S": value} if isinstance(value, str) else {"N": str(value)}


def _wire(row: Row) -> dict[str, Any]:
    return {name: _typed(value) for name, value in row.items()}


def _plain(item: dict[str, Any]) -> Row:
    made: Row = {}
    for name, typed in item.items():
        [(kind, value)] = typed.items()
        made[name] = bytes(value) if kind == "B" else int(value) if kind == "N" else value
    return made
