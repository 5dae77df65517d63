"""The DynamoDB datastore: one item per key, and parts beside it where a blob is larger than an item may be.

The table has a hash key `id`, the SHA-256 of namespace and key, and a range key `part`. The head (part 0x00) has the
key, the put's own random number and the blob, if it fits; else the number of parts, which were written before it under
that number. So the head alone decides what a reader sees, and changes in one step: he finds all parts of one put, or
looks again. A put is conditional on the head that it replaces, so that a worker that was paused cannot put its old
archive over a newer one. Invariants: an item is below 400,000 bytes; nothing is read beyond the limit; parts that no
head names are never read, and `sweep` removes them.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import time
from typing import TYPE_CHECKING, Any, Final

from carmine import _checks
from carmine.errors import UsageError
from carmine.ext.tundra import entry
from carmine.ext.tundra.aws import BotoCoreError, ClientError, batches, code_of, in_parallel, make_client, problem
from carmine.ext.tundra.datastore import LARGEST, blob_of, key_of, keys_of
from carmine.ext.tundra.errors import DataStoreError, NotStored
from carmine.ext.tundra.table import Place, Row, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["DynamoDBDataStore"]

HEAD: Final = b"\0"
_PART: Final = b"\1"
_GENERATION: Final = 16
PART_SIZE: Final = 390_000
"""Bytes of a blob in one item: with names and numbers it stays below 400,000, DynamoDB's limit being 409,600."""

LONGEST_PUT: Final = 15 * 60.0
"""Seconds after which a put gives up before its last step: `sweep` takes parts that are much older for left behind."""

_LOOKS: Final = 5


class DynamoDBDataStore:
    """Keep archives in a table of DynamoDB; `ensure_table` makes one.

    Args:
        table: The table's name.
        key_ns: A namespace: stores with different ones share a table and do not know of each other.
        client_options: Arguments for boto3's client: region_name, endpoint_url, credentials, config.
        client: A ready client of boto3 instead.
        parallel: Requests at once.
        attempts: How often items are asked for or sent again that DynamoDB has left unprocessed. Refused requests are
            sent again by boto3 itself (5 times in all, where `client_options` have no config of their own).
        limit: Bytes of a blob at most, stored and read.

    Raises:
        UsageError: An argument is not what it should be.
    """

    def __init__(
        self,
        table: str,
        key_ns: str = "",
        client_options: Mapping[str, Any] | None = None,
        client: Any = None,
        *,
        parallel: int = 8,
        attempts: int = 8,
        limit: int = LARGEST,
    ) -> None:
        self._name: Final = table
        self._key_ns: Final = key_ns
        self._parallel: Final = _checks.whole("parallel", parallel, least=1, most=256)
        self._limit: Final = _checks.whole("limit", limit, least=1)
        _checks.text("key_ns", key_ns)
        if not _checks.text("table", table):
            raise UsageError("table must be the name of a table")
        if client is not None and client_options is not None:
            client_options = None  # this frame travels with the error, and reporters print locals
            raise UsageError("give client_options or a client, not both")
        if client is None:
            try:
                client = make_client("dynamodb", client_options, parallel)
            except UsageError:
                client_options = None
                raise
        self._table: Final = Table(client, table, attempts, parallel)

    def __repr__(self) -> str:
        return f"DynamoDBDataStore(table={self._name!r}, key_ns={self._key_ns!r})"

    def ensure_table(self, throughput: tuple[int, int] | None = None, *, block: bool = True) -> bool:
        """Make the table if it is not there; return whether it was made.

        Args:
            throughput: Capacity units for reading and for writing; None pays per request.
            block: Wait until it can be used.

        Raises:
            DataStoreError: DynamoDB refused.
            UsageError: There is a table of this name with other keys.
        """
        if throughput is not None:
            reading, writing = throughput
            throughput = (_checks.whole("throughput", reading, least=1), _checks.whole("throughput", writing, least=1))
        return self._table.ensure(throughput, block=_checks.flag("block", block))

    def put(self, key: bytes, blob: bytes) -> None:
        """Store bytes under a key; see `DataStore.put`.

        Raises:
            DataStoreError: DynamoDB refused, or somebody else stored under this key meanwhile.
        """
        key, blob = key_of(key), blob_of(blob, self._limit)
        started = time.monotonic()
        row = self._id(key)
        data = entry.pack(key, blob) + blob
        generation = secrets.token_bytes(_GENERATION)
        fits = len(data) + len(key) <= PART_SIZE
        parts = [] if fits else [data[at : at + PART_SIZE] for at in range(0, len(data), PART_SIZE)]
        head: Row = {
            "id": row,
            "part": HEAD,
            "key": key,
            "ns": self._key_ns,
            "generation": generation,
            "parts": len(parts),
            "size": len(data),
        }
        if fits:
            head["data"] = data
        try:
            before = self._table.get(row, HEAD, ("generation", "parts", "size"))
            try:
                self._write_parts(row, generation, parts)
                if time.monotonic() - started > LONGEST_PUT:
                    raise DataStoreError("storing the parts took too long", key=key, is_transient=True)
            except Exception:
                self._drop(row, generation, len(parts))
                raise
            if not self._replace(head, before):
                self._drop(row, generation, len(parts))
                raise DataStoreError("somebody else stored under this key meanwhile", key=key, is_transient=True)
        except (ClientError, BotoCoreError) as exc:
            raise problem("DynamoDB could not store items", exc, key) from exc
        except DataStoreError as exc:
            raise DataStoreError(str(exc), key=key, is_transient=exc.is_transient) from exc
        if before is not None and _is_head(before):
            self._drop(row, before["generation"], before["parts"])

    def fetch(self, keys: Sequence[bytes]) -> list[bytes | DataStoreError]:
        """Return what is stored under each key, a hundred in one request; see `DataStore.fetch`."""
        wanted = keys_of(keys)
        rows = {key: self._id(key) for key in wanted}
        heads: dict[bytes, Row | DataStoreError] = self._table.get_many([(row, HEAD) for row in set(rows.values())])

        def whole(key: bytes) -> bytes | DataStoreError:
            try:
                return self._fetched(key, rows[key], heads.get(rows[key]))
            except (ClientError, BotoCoreError) as exc:
                return problem("DynamoDB could not give an item", exc, key)
            except DataStoreError as exc:
                return exc

        is_large = {key for key, row in rows.items() if isinstance(head := heads.get(row), dict) and head.get("parts")}
        large = dict(zip(is_large, in_parallel(whole, is_large, self._parallel), strict=True))
        return [large[key] if key in large else whole(key) for key in wanted]

    def delete(self, keys: Sequence[bytes]) -> None:
        """Delete what is stored under each key; see `DataStore.delete`.

        Raises:
            DataStoreError: Some could not be deleted; the others are.
        """
        rows = list(dict.fromkeys(self._id(key) for key in keys_of(keys)))
        problems: list[DataStoreError] = []
        parts: list[Place] = []
        for found in in_parallel(self._parts_of, rows, self._parallel):
            if isinstance(found, DataStoreError):
                problems.append(found)
            else:
                parts += found
        for places in ([(row, HEAD) for row in rows], parts):  # a head without its parts would look damaged
            try:
                self._table.delete(places)
            except DataStoreError as exc:
                problems.append(exc)
        if problems:
            raise problems[0]

    def scan(self) -> Iterator[bytes]:
        """Yield every stored key once; see `DataStore.scan`. DynamoDB reads, and charges for, the whole table.

        Raises:
            DataStoreError: The table cannot be read, or some items are not what was stored; all other keys came before.
        """
        unreadable = 0
        for item in self._table.scan({"part": ("=", HEAD), "ns": ("=", self._key_ns)}, ("id", "key")):
            key = item.get("key")
            if isinstance(key, bytes) and self._id(key) == item["id"]:
                yield key
            else:
                unreadable += 1
        if unreadable:
            raise DataStoreError(f"{unreadable} items in DynamoDB are not what was stored")

    def sweep(self, older_than: float = 24 * 60 * 60) -> int:
        """Remove parts that writers which died have left behind; return how many. Reads the whole table.

        Args:
            older_than: Seconds since they were written, by the clock of who wrote them; an hour at least.

        Raises:
            DataStoreError: The table cannot be read or written.
        """
        age = _checks.seconds("older_than", older_than, least=3600.0)
        found = self._table.scan(
            {"part": (">", HEAD), "ns": ("=", self._key_ns), "at": ("<", int(time.time() - age))}, ("id", "part")
        )
        removed = 0
        for some in _gathered(found, 100):
            heads = self._table.get_many(
                [(row, HEAD) for row in {one["id"] for one in some}], ("id", "part", "generation")
            )
            left: list[Place] = []
            for one in some:
                head = heads.get(one["id"])
                if isinstance(head, DataStoreError):
                    raise head
                if head is None or head.get("generation") != one["part"][1 : 1 + _GENERATION]:
                    left.append((one["id"], one["part"]))
            self._table.delete(left)
            removed += len(left)
        return removed

    # Steps. ----------------------------------------------------------------------------------------------------------

    def _id(self, key: bytes) -> bytes:
        space = self._key_ns.encode()
        return hashlib.sha256(len(space).to_bytes(4, "big") + space + key).digest()

    def _write_parts(self, row: bytes, generation: bytes, parts: Iterable[bytes]) -> None:
        now = int(time.time())
        self._table.write(
            {"id": row, "part": _part(generation, index), "ns": self._key_ns, "at": now, "data": data}
            for index, data in enumerate(parts)
        )

    def _replace(self, head: Row, before: Row | None) -> bool:
        """Write the head in the place of the one there was; False where that is another by now."""
        try:
            self._table.put_if(head, "generation", None if before is None else before.get("generation"))
        except ClientError as exc:
            if code_of(exc) != "ConditionalCheckFailedException":
                raise
            after = self._table.get(head["id"], HEAD, ("generation",))
            # boto3 sends again what was not answered, and the first may have come
            return after is not None and after.get("generation") == head["generation"]
        return True

    def _parts_of(self, row: bytes) -> list[Place] | DataStoreError:
        """Return all parts of a key, also those that no head names."""
        try:
            return [(row, one["part"]) for one in self._table.query(row, _PART, _PART + b"\xff" * 32, ("part",))]
        except (ClientError, BotoCoreError) as exc:
            return problem("DynamoDB could not list items", exc)

    def _drop(self, row: bytes, generation: bytes, parts: int) -> None:
        """Remove parts that no head names; what stays is for `sweep`."""
        with contextlib.suppress(DataStoreError):
            self._table.delete([(row, _part(generation, index)) for index in range(parts)])

    def _fetched(self, key: bytes, row: bytes, head: Row | DataStoreError | None) -> bytes | DataStoreError:
        for _ in range(_LOOKS):
            if head is None:
                return NotStored(key=key)
            if isinstance(head, DataStoreError):
                return DataStoreError(str(head), key=key, is_transient=head.is_transient)
            if not _is_head(head):
                return DataStoreError("what is stored in this key's place was not stored by carmine", key=key)
            if head["size"] > self._limit + entry.MOST:
                return DataStoreError(f"what is stored is longer than {self._limit} bytes; give it a limit=", key=key)
            data = self._parts(row, head) if head["parts"] else head.get("data", b"")
            if data is not None:
                return entry.unpack(key, data)
            last = head["generation"]
            head = self._table.get(row, HEAD)
            if head is not None and head.get("generation") == last:
                return DataStoreError("parts of what is stored for this key are not there", key=key)
        return DataStoreError("what is stored for this key is replaced all the time", key=key, is_transient=True)

    def _parts(self, row: bytes, head: Row) -> bytes | None:
        """Return what the parts hold together; None where they are not all there."""
        places = [(row, _part(head["generation"], index)) for index in range(head["parts"])]
        data: list[bytes] = []
        for some in batches(places, 40):  # a reply has 16 MB
            found = {one["part"]: one["data"] for one in self._table.query(row, some[0][1], some[-1][1])}
            if len(found) != len(some):
                return None
            data += [found[part] for _, part in some]
        return b"".join(data)


def _is_head(row: Row) -> bool:
    """Tell whether a row is a head as it was written here: another program may have put anything there."""
    generation, parts, size = row.get("generation"), row.get("parts"), row.get("size")
    if not isinstance(generation, bytes) or len(generation) != _GENERATION:
        return False
    return isinstance(size, int) and isinstance(parts, int) and parts in (0, -(-size // PART_SIZE))


def _part(generation: bytes, index: int) -> bytes:
    return _PART + generation + index.to_bytes(4, "big")


def _gathered(items: Iterable[Row], size: int) -> Iterator[list[Row]]:
    some: list[Row] = []
    for item in items:
        some.append(item)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some
