"""What a datastore is: bytes under the names of keys, in a place that is cheaper than memory.

A pure room: the contract, and the checks that every datastore makes of its arguments. It knows nothing of Redis, of
envelopes or of what the bytes mean. Invariants of every datastore, which `conformance` checks:

* A key is any non-empty bytes, and two keys never share anything: not a file, not an object, not an item.
* What `put` returned from is durable, and is what every later `fetch` gives. A `put` that failed, or was killed,
  leaves what was there before, or has stored the new value; a reader never sees a mixture, nor a part.
* Methods may be called from several threads at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from carmine import _checks
from carmine.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from carmine.ext.tundra.errors import DataStoreError

__all__ = ["LARGEST", "LONGEST_KEY", "AsyncDataStore", "DataStore", "key_of", "keys_of", "blob_of"]

LONGEST_KEY: Final = 1 << 16
"""Bytes of a key's name. Redis allows more; a name that long is a value in the wrong place."""

LARGEST: Final = 1 << 30
"""Bytes of one blob that a datastore stores and reads, unless it was given another limit."""


@runtime_checkable
class DataStore(Protocol):
    """Blocking datastore. Whoever writes one checks it with `carmine.ext.tundra.conformance`."""

    def put(self, key: bytes, blob: bytes) -> None:
        """Store bytes under a key, durably, in place of what was there.

        Raises:
            DataStoreError: It could not; `.is_transient` tells whether to try again. What was there is still there.
        """
        ...

    def fetch(self, keys: Sequence[bytes]) -> list[bytes | DataStoreError]:
        """Return what is stored under each key, in their order; an error in the place of what cannot be had.

        A key that is not there has `NotStored`, one whose bytes cannot be trusted or read another DataStoreError; each
        with its `.key`. It never raises one: what goes wrong for all keys is the error of each.
        """
        ...

    def delete(self, keys: Sequence[bytes]) -> None:
        """Delete what is stored under each key; a key that is not there is deleted already.

        Raises:
            DataStoreError: Some could not be deleted; the others are.
        """
        ...

    def scan(self) -> Iterator[bytes]:
        """Yield every stored key once, in no order, without holding them all.

        A key that is stored or deleted meanwhile may be missing or not.

        Raises:
            DataStoreError: The datastore cannot be read.
        """
        ...


@runtime_checkable
class AsyncDataStore(Protocol):
    """Datastore for asyncio, with the same promises; a blocking one is called in threads instead."""

    async def aput(self, key: bytes, blob: bytes) -> None:
        """Store bytes under a key; see `DataStore.put`."""
        ...

    async def afetch(self, keys: Sequence[bytes]) -> list[bytes | DataStoreError]:
        """Return what is stored under each key; see `DataStore.fetch`."""
        ...

    async def adelete(self, keys: Sequence[bytes]) -> None:
        """Delete what is stored under each key; see `DataStore.delete`."""
        ...

    def ascan(self) -> AsyncIterator[bytes]:
        """Yield every stored key; see `DataStore.scan`."""
        ...


def key_of(key: object) -> bytes:
    """Return a key's name as bytes.

    Raises:
        UsageError: It is no bytes, or empty, or longer than `LONGEST_KEY`.
    """
    if not isinstance(key, bytes):
        raise UsageError(f"a datastore's keys are bytes, not {_checks.kind(key)}")
    if not 0 < len(key) <= LONGEST_KEY:
        raise UsageError(f"a datastore's keys have 1 to {LONGEST_KEY} bytes, not {len(key)}")
    return bytes(key)


def keys_of(keys: object) -> list[bytes]:
    """Return keys' names as a list of bytes; one key alone is a mistake, for bytes are a sequence too."""
    if isinstance(keys, bytes | bytearray | memoryview | str) or not isinstance(keys, Iterable):
        raise UsageError(f"a datastore takes a list of keys, not {_checks.kind(keys)}")
    return [key_of(key) for key in keys]


def blob_of(blob: object, limit: int = LARGEST) -> bytes:
    """Return what is to be stored.

    Raises:
        UsageError: It is no bytes, or longer than `limit`.
    """
    if not isinstance(blob, bytes):
        raise UsageError(f"a datastore stores bytes, not {_checks.kind(blob)}")
    if len(blob) > limit:
        raise UsageError(f"the blob has {len(blob)} bytes and this datastore takes {limit} at most; give it a limit=")
    return bytes(blob)
