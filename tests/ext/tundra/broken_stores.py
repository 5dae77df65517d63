"""A datastore in memory that does all it must, and stores that each break one rule of a datastore."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

from carmine.ext.tundra.datastore import blob_of, key_of, keys_of
from carmine.ext.tundra.errors import DataStoreError, NotStored

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["BROKEN", "Sound"]

Found = list[bytes | DataStoreError]
S = TypeVar("S", bound="type[Sound]")


class Sound:
    """Keeps all rules. Stores on one place share its dict."""

    def __init__(self, place: dict[Any, bytes]) -> None:
        self.place = place

    def put(self, key: bytes, blob: bytes) -> None:
        self.place[key_of(key)] = blob_of(blob)

    def fetch(self, keys: Sequence[bytes]) -> Found:
        return [self.one(key) for key in keys_of(keys)]

    def one(self, key: bytes) -> bytes | DataStoreError:
        found = self.place.get(key)
        return NotStored(key=key) if found is None else found

    def delete(self, keys: Sequence[bytes]) -> None:
        for key in keys_of(keys):
            self.place.pop(key, None)

    def scan(self) -> Iterator[bytes]:
        yield from list(self.place)


BROKEN: dict[type[Sound], str] = {}
"""Broken store -> the check that must find it."""


def found_by(check: str) -> Any:
    def note(store: S) -> S:
        BROKEN[store] = check
        return store

    return note


@found_by("test_what_was_put_is_fetched")
class GivesViews(Sound):
    def one(self, key: bytes) -> Any:
        found = super().one(key)
        return bytearray(found) if isinstance(found, bytes) else found


@found_by("test_what_was_put_is_fetched")
class CannotStoreNothing(Sound):
    def one(self, key: bytes) -> bytes | DataStoreError:
        return self.place.get(key) or NotStored(key=key)


@found_by("test_what_was_put_is_fetched")
class TranslatesLines(Sound):
    def put(self, key: bytes, blob: bytes) -> None:
        super().put(key, blob_of(blob).replace(b"\r\n", b"\n"))


@found_by("test_the_latest_put_counts")
class KeepsTheFirst(Sound):
    def put(self, key: bytes, blob: bytes) -> None:
        self.place.setdefault(key_of(key), blob_of(blob))


@found_by("test_the_latest_put_counts")
class WritesOver(Sound):
    """As a file that is opened without being made empty."""

    def put(self, key: bytes, blob: bytes) -> None:
        super().put(key, blob_of(blob) + self.place.get(key_of(key), b"")[len(blob) :])


@found_by("test_sizes")
class CutsAtTheLimitOfAnItem(Sound):
    def put(self, key: bytes, blob: bytes) -> None:
        super().put(key, blob_of(blob)[:409_600])


@found_by("test_sizes")
class LeavesOldParts(Sound):
    """Splits into parts, and counts all that are there."""

    def put(self, key: bytes, blob: bytes) -> None:
        for at in range(0, len(blob_of(blob)) or 1, 300_000):
            self.place[key_of(key), at] = blob[at : at + 300_000]

    def one(self, key: bytes) -> bytes | DataStoreError:
        parts = [self.place[at] for at in sorted(place for place in self.place if place[0] == key)]
        return b"".join(parts) if parts else NotStored(key=key)

    def scan(self) -> Iterator[bytes]:
        yield from {key for key, _ in self.place}


@found_by("test_what_is_not_there_is_an_error_value")
class RaisesForOne(Sound):
    def one(self, key: bytes) -> bytes | DataStoreError:
        found = super().one(key)
        if isinstance(found, DataStoreError):
            raise found
        return found


@found_by("test_what_is_not_there_is_an_error_value")
class GivesNone(Sound):
    def one(self, key: bytes) -> Any:
        return self.place.get(key)


@found_by("test_what_is_not_there_is_an_error_value")
class NamesNoKey(Sound):
    def one(self, key: bytes) -> bytes | DataStoreError:
        return self.place.get(key, NotStored())


@found_by("test_what_is_not_there_is_an_error_value")
class LeavesOutWhatIsNotThere(Sound):
    def fetch(self, keys: Sequence[bytes]) -> Found:
        return [found for found in super().fetch(keys) if isinstance(found, bytes)]


@found_by("test_fetch_keeps_order_and_number")
class FetchesAHundred(Sound):
    """As one request that takes no more, whose rest is forgotten."""

    def fetch(self, keys: Sequence[bytes]) -> Found:
        wanted = keys_of(keys)
        return super().fetch(wanted[:100]) + [NotStored(key=key) for key in wanted[100:]]


@found_by("test_fetch_keeps_order_and_number")
class FetchesInItsOwnOrder(Sound):
    def fetch(self, keys: Sequence[bytes]) -> Found:
        return super().fetch(sorted(keys_of(keys)))


@found_by("test_fetch_keeps_order_and_number")
class FetchesEachOnce(Sound):
    def fetch(self, keys: Sequence[bytes]) -> Found:
        return super().fetch(list(dict.fromkeys(keys_of(keys))))


class Renamed(Sound):
    """Keeps a blob under a name made of its key."""

    def name(self, key: bytes) -> Any:
        raise NotImplementedError

    def put(self, key: bytes, blob: bytes) -> None:
        self.place[self.name(key_of(key))] = blob_of(blob)

    def one(self, key: bytes) -> bytes | DataStoreError:
        return self.place.get(self.name(key), NotStored(key=key))

    def delete(self, keys: Sequence[bytes]) -> None:
        for key in keys_of(keys):
            self.place.pop(self.name(key), None)


@found_by("test_keys_share_nothing")
class NamesInLatin(Renamed):
    """As the ancestor's disk store: what Latin-1 cannot write is a question mark."""

    def name(self, key: bytes) -> Any:
        return key.decode(errors="surrogateescape").encode("latin-1", "replace")


@found_by("test_keys_share_nothing")
class IgnoresCase(Renamed):
    def name(self, key: bytes) -> Any:
        return key.lower()


@found_by("test_keys_share_nothing")
class StopsAtNul(Renamed):
    def name(self, key: bytes) -> Any:
        return key.partition(b"\0")[0] or b"\0"


@found_by("test_keys_share_nothing")
class CutsLongNames(Renamed):
    def name(self, key: bytes) -> Any:
        return key[:255]


@found_by("test_delete")
class DeletesTwentyFive(Sound):
    """As one request that takes no more."""

    def delete(self, keys: Sequence[bytes]) -> None:
        super().delete(keys_of(keys)[:25])


@found_by("test_delete")
class RefusesToDeleteNothing(Sound):
    def delete(self, keys: Sequence[bytes]) -> None:
        for key in keys_of(keys):
            if key not in self.place:
                raise DataStoreError("nothing to delete", key=key)
            del self.place[key]


@found_by("test_delete")
class LeavesAMark(Sound):
    def delete(self, keys: Sequence[bytes]) -> None:
        for key in keys_of(keys):
            self.place[key] = b""


@found_by("test_scan")
class ListsAtOnce(Sound):
    def scan(self) -> Any:
        return list(self.place)


@found_by("test_scan")
class LosesItsPlace(Sound):
    """As a listing by number while things are deleted."""

    def scan(self) -> Iterator[bytes]:
        at = 0
        while at < len(self.place):
            yield list(self.place)[at]
            at += 1


@found_by("test_scan")
class ScansTwice(Sound):
    def scan(self) -> Iterator[bytes]:
        yield from [*self.place, *list(self.place)[:1]]


@found_by("test_another_store_sees_it")
class RemembersWhatItFetched(Sound):
    """As the ancestor's, which memoizes for five seconds."""

    def __init__(self, place: dict[Any, bytes]) -> None:
        super().__init__(place)
        self.known: dict[bytes, bytes] = {}

    def put(self, key: bytes, blob: bytes) -> None:
        super().put(key, blob)
        self.known[key] = blob

    def one(self, key: bytes) -> bytes | DataStoreError:
        if key not in self.known:
            found = super().one(key)
            if isinstance(found, DataStoreError):
                return found
            self.known[key] = found
        return self.known[key]

    def delete(self, keys: Sequence[bytes]) -> None:
        super().delete(keys)
        for key in keys_of(keys):
            self.known.pop(key, None)


@found_by("test_another_store_sees_it")
class WritesLater(Sound):
    """Keeps what was put for itself."""

    def __init__(self, place: dict[Any, bytes]) -> None:
        super().__init__({})


@found_by("test_wrong_arguments_are_refused")
class TakesText(Sound):
    def put(self, key: Any, blob: bytes) -> None:
        super().put(key.encode() if isinstance(key, str) else key, blob)


@found_by("test_wrong_arguments_are_refused")
class TakesOneKey(Sound):
    def fetch(self, keys: Any) -> Found:
        return super().fetch([keys] if isinstance(keys, bytes) else keys)


@found_by("test_wrong_arguments_are_refused")
class RaisesWhatItLikes(Sound):
    def put(self, key: bytes, blob: bytes) -> None:
        if not isinstance(key, bytes):
            raise TypeError("bytes, please")
        super().put(key, blob)


@found_by("test_threads_share_a_store")
class HasOneScratchPad(Sound):
    """Keeps what it is doing in itself, for one thread at a time."""

    def put(self, key: bytes, blob: bytes) -> None:
        self.pad = (key_of(key), blob_of(blob))
        time.sleep(0.001)
        self.place[self.pad[0]] = self.pad[1]


@found_by("test_a_reader_never_sees_a_mixture")
class WritesByParts(Sound):
    """Writes into the place itself, part by part."""

    def put(self, key: bytes, blob: bytes) -> None:
        self.place[key_of(key)] = b""
        blob_of(blob)
        for at in range(0, len(blob), 50_000):
            time.sleep(0.0005)
            self.place[key] = blob[: at + 50_000]


@found_by("test_writers_of_one_key")
class MixesWriters(Sound):
    """Several writers fill one place together."""

    guard = threading.Lock()

    def put(self, key: bytes, blob: bytes) -> None:
        with self.guard:
            self.place[key_of(key)] = b""
        blob_of(blob)
        for at in range(0, len(blob), 100_000):
            with self.guard:
                self.place[key] += blob[at : at + 100_000]
            time.sleep(0.0005)
