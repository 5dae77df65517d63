"""What every datastore must do, as tests for whoever writes one.

Works under unittest and pytest alike, and imports neither. Each check raises `NotConforming`, an AssertionError that
says in a sentence what the store did:

    class TestMyStore(DataStoreSuite):  # with unittest: class TestMyStore(DataStoreSuite, unittest.TestCase)
        def make_store(self):
            return MyStore(self.place)  # a place that is empty when a check begins

`check_datastore(make_place)` runs all of them without a framework. Invariants: a check depends on no other; no check
takes longer than some seconds on a store that does; none passes on a store that breaks its rule (tests show that).
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, Protocol

from carmine.errors import UsageError
from carmine.ext.tundra.datastore import LONGEST_KEY
from carmine.ext.tundra.errors import DataStoreError, NotStored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from carmine.ext.tundra.datastore import DataStore

__all__ = ["HOSTILE_KEYS", "DataStoreSuite", "NotConforming", "check_datastore"]


def _hostile() -> tuple[bytes, ...]:
    text = [
        *(
            "../../etc/passwd",
            "/etc/passwd",
            "..",
            ".",
            "a/b",
            "a//b",
            "a/../b",
            "./a",
            "a/.",
            "a\\b",
            "C:\\a",
            "//h/s",
        ),
        *("CON", "con", "NUL", "COM1.txt", "a.", "a ", " a", "a. ", "~", "~root", "-rf", "$HOME", "`id`", "%2e%2e%2f"),
        *(
            "a",
            "A",
            "aa",
            "a:b",
            "a%3Ab",
            "a?b#c&d=e",
            "*",
            "a*",
            "[ab]",
            "{a}",
            "{}",
            "'",
            '"',
            "<b>",
            "\n",
            "\r\n",
            "\t",
        ),
        *("tmp", "tmp-1", "keys", "head", "index", "%", "%00", "a\0", "\0", "\0a", "a\0b", "0", "00", "None", "null"),
        *(
            "user:\u4e2d",
            "user:\u6587",
            "user:?",
            "user:\ufffd",
            "\u00e9",
            "e\u0301",
            "\ufb01",
            "fi",
            "\u0130",
            "i",
            "\u2028",
        ),
        *(
            "\U0001f600",
            "\u200b",
            "a\u200b",
            "\u202e",
            "\uff0e\uff0e\uff0f",
            "k" * 255,
            "k" * 256,
            "k" * 1025,
            "k" * 2049,
        ),
    ]
    raw = [bytes([n]) for n in (1, 7, 26, 27, 32, 37, 42, 46, 47, 58, 63, 92, 124, 126, 127, 128, 160, 254, 255)]
    raw += [b"\xff\xfe", b"\xc0\xae\xc0\xae\xc0\xaf", b"\xed\xa0\x80", b"x" * LONGEST_KEY]
    return tuple(dict.fromkeys([each.encode() for each in text] + raw))


HOSTILE_KEYS: Final = _hostile()
"""Names that stores have confused with each other, or with places outside: each is a key like any other."""

_SIZES: Final = (0, 1, 255, 4096, 65_536, 399_000, 400_000, 409_600, 1_048_577)
"""Bytes of blobs: around the limits of items, pages and parts that stores are made of."""


class NotConforming(AssertionError):
    """A datastore broke a rule; the message says which, and what it did."""


class DataStoreSuite:
    """The checks, as methods `test_...`. Give `make_store`; everything else is here."""

    def make_store(self) -> DataStore:
        """Return a store; called again within one check, another one on the same place, which was empty at first."""
        raise NotImplementedError("a DataStoreSuite needs make_store()")

    def test_what_was_put_is_fetched(self) -> None:
        """The same bytes come back, whatever they are."""
        store = self.make_store()
        for blob in (b"", b"\0", bytes(range(256)), b"\r\n", b"a" * 1000, b"\xff" * 3):
            store.put(b"k", blob)
            _same(store, {b"k": blob})
        [found] = store.fetch([b"k"])
        _require(type(found) is bytes, f"fetch gave a {type(found).__name__}, not bytes")

    def test_the_latest_put_counts(self) -> None:
        """A put replaces what was there: longer, shorter or as long."""
        store = self.make_store()
        for blob in (b"first", b"a longer second", b"x", b"", b"y" * 5000, b"last"):
            store.put(b"k", blob)
            _same(store, {b"k": blob})
        _scanned(store, {b"k"})

    def test_sizes(self) -> None:
        """Blobs of every size come back, also in the place of larger and smaller ones."""
        store = self.make_store()
        dice = random.Random(1)
        for key in (b"grows", b"changes"):
            for size in _SIZES if key == b"grows" else (1_048_577, 3, 900_001, 400_000, 0, 450_000):
                blob = dice.randbytes(size)
                store.put(key, blob)
                _same(store, {key: blob})
        _scanned(store, {b"grows", b"changes"})

    def test_what_is_not_there_is_an_error_value(self) -> None:
        """A key that is not there has NotStored in its place; the others are there, and nothing is raised."""
        store = self.make_store()
        store.put(b"here", b"1")
        found = _fetched(store, [b"gone", b"here", b"lost"])
        _require(found[1] == b"1", "a key beside one that is not there was not fetched")
        for place, key in ((0, b"gone"), (2, b"lost")):
            _require(isinstance(found[place], NotStored), f"a key that is not there gave {_kind(found[place])}")
            _require(getattr(found[place], "key", None) == key, "the error of a key that is not there has another .key")

    def test_fetch_keeps_order_and_number(self) -> None:
        """One answer for each key, in the order of the keys, also for one that is named twice."""
        store = self.make_store()
        blobs = {b"k%d" % n: b"%d" % n * (n % 7) for n in range(0, 110, 10)}
        for key, blob in blobs.items():
            store.put(key, blob)
        wanted = [b"k%d" % n for n in (*range(109, -1, -1), 7, 50, 50, 100)]  # more than any one request takes
        found = [None if isinstance(one, NotStored) else one for one in _fetched(store, wanted)]
        _require(found == [blobs.get(key) for key in wanted], "fetch gave other blobs, or another order")
        _require(_fetched(store, []) == [], "fetch of no keys gave something")
        _require(_fetched(store, (b"k20", b"k0")) == [blobs[b"k20"], blobs[b"k0"]], "fetch takes no tuple of keys")

    def test_keys_share_nothing(self) -> None:
        """Two keys never share a place, whatever they look like, and no key is a place outside."""
        store = self.make_store()
        blobs = {key: b"%d:" % n + key[:20] for n, key in enumerate(HOSTILE_KEYS)}
        for key, blob in blobs.items():
            store.put(key, blob)
        _same(store, blobs)
        _scanned(store, set(blobs))
        store.delete(HOSTILE_KEYS[::2])
        for key, found in zip(HOSTILE_KEYS, _fetched(store, HOSTILE_KEYS), strict=True):
            if key in HOSTILE_KEYS[::2]:
                _require(isinstance(found, NotStored), f"a key that was deleted gave {_kind(found)}")
            else:
                _require(found == blobs[key], f"when others were deleted, a key gave {_kind(found)}")

    def test_delete(self) -> None:
        """What was deleted is gone, and what was not is there; a key that is not there is deleted already."""
        store = self.make_store()
        blobs = {b"k%d" % n: b"v" * n for n in range(0, 40, 5)}
        blobs[b"large"] = b"L" * 900_000
        for key, blob in blobs.items():
            store.put(key, blob)
        store.delete([])
        many = [b"k%d" % n for n in range(8, 39)]  # more than one request takes
        store.delete([b"never", b"large", b"k5", b"k5", *many])
        kept = {b"k0": blobs[b"k0"]}
        _same(store, kept)
        _scanned(store, set(kept))
        _absent(store, [b"never", b"large", b"k5", b"k10", b"k35", b"k38"])
        store.delete([b"k5"])
        store.put(b"k5", b"again")
        _same(store, {b"k5": b"again"})

    def test_scan(self) -> None:
        """Each key once, as an iterator; nothing where nothing is; keys may be deleted on the way."""
        store = self.make_store()
        _scanned(store, set())
        keys = {b"k%d" % n for n in range(20)}
        for key in keys:
            store.put(key, b"x")
        _scanned(store, keys)
        found = store.scan()
        _require(iter(found) is found, f"scan gave a {type(found).__name__}, not an iterator")
        met = set()
        for key in found:
            met.add(key)
            store.delete([key])
        _require(met == keys, "scan lost keys when those it gave were deleted")
        _scanned(store, set())

    def test_another_store_sees_it(self) -> None:
        """What one store put, another one on the same place has at once; nothing is kept aside."""
        one, other = self.make_store(), self.make_store()
        _absent(other, [b"k"])
        one.put(b"k", b"1")
        _same(other, {b"k": b"1"})
        other.put(b"k", b"22")
        _same(one, {b"k": b"22"})
        _scanned(other, {b"k"})
        one.delete([b"k"])
        _absent(other, [b"k"])

    def test_wrong_arguments_are_refused(self) -> None:
        """Keys and blobs are bytes; anything else is a UsageError, and nothing is stored."""
        store: Any = self.make_store()
        calls: list[tuple[str, Callable[[], object]]] = [
            ("put of a str key", lambda: store.put("k", b"")),
            ("put of an empty key", lambda: store.put(b"", b"")),
            ("put of a key that is too long", lambda: store.put(b"x" * (LONGEST_KEY + 1), b"")),
            ("put of a str", lambda: store.put(b"k", "text")),
            ("put of None", lambda: store.put(b"k", None)),
            ("fetch of one key instead of a list", lambda: store.fetch(b"k")),
            ("fetch of str keys", lambda: store.fetch(["k"])),
            ("delete of one key instead of a list", lambda: store.delete(b"k")),
            ("delete of None", lambda: store.delete([None])),
        ]
        for what, call in calls:
            try:
                call()
            except UsageError:
                continue
            except Exception as exc:
                raise NotConforming(f"{what} raised {type(exc).__name__}, not UsageError") from exc
            raise NotConforming(f"{what} was taken")
        _scanned(store, set())

    def test_threads_share_a_store(self) -> None:
        """Several threads may put and fetch at once."""
        store = self.make_store()

        def work(number: int) -> None:
            for turn in range(3):
                keys = [b"%d:%d" % (number, n) for n in range(2)]
                for key in keys:
                    store.put(key, key * (turn + 1))
                _same(store, {key: key * (turn + 1) for key in keys})

        _together([lambda n=n: work(n) for n in range(4)])  # type: ignore[misc]  # a lambda with a default
        _scanned(store, {b"%d:%d" % (number, n) for number in range(4) for n in range(2)})

    def test_a_reader_never_sees_a_mixture(self) -> None:
        """While blobs replace each other, a reader has one of them whole: never a part, a mixture or nothing."""
        store, reader = self.make_store(), self.make_store()
        blobs = [letter * size for letter, size in ((b"a", 1_000_000), (b"b", 10), (b"c", 999_999), (b"d", 850_000))]
        store.put(b"k", blobs[0])
        is_over = threading.Event()

        def write() -> None:
            try:
                for turn in range(8):
                    store.put(b"k", blobs[turn % len(blobs)])
            finally:
                is_over.set()

        def read() -> None:
            while not is_over.is_set():
                [found] = _fetched(reader, [b"k"])
                is_busy = isinstance(found, DataStoreError) and found.is_transient
                _require(found in blobs or is_busy, f"while it was replaced, a key gave {_kind(found)}")

        _together([write, read, read])
        _same(reader, {b"k": blobs[7 % len(blobs)]})

    def test_writers_of_one_key(self) -> None:
        """Of several who put one key at once, one wins whole; the others may be told to try again."""
        store = self.make_store()
        blobs = [bytes([65 + n]) * (450_000 * (n % 2) + 10) for n in range(4)]
        done: list[bytes] = []

        def write(blob: bytes) -> None:
            for _ in range(3):
                try:
                    store.put(b"k", blob)
                except DataStoreError as exc:
                    _require(exc.is_transient, f"putting one key at once is a lasting error: {exc}")
                else:
                    done.append(blob)

        _together([lambda blob=blob: write(blob) for blob in blobs])  # type: ignore[misc]  # a lambda with a default
        _require(bool(done), "of several who put one key at once, nobody could")
        [found] = _fetched(store, [b"k"])
        _require(found in done, f"after several had put one key at once, it gave {_kind(found)}")
        _scanned(store, {b"k"})


class _Place(Protocol):
    """Makes stores on one empty place."""

    def __call__(self) -> DataStore: ...


def check_datastore(make_place: Callable[[], _Place]) -> list[str]:
    """Run every check, and return their names.

    Args:
        make_place: Gives, for each check, a function that makes stores on one place, empty at first.

    Raises:
        NotConforming: A check failed; the message tells which.
    """
    names = [name for name in dir(DataStoreSuite) if name.startswith("test_")]
    for name in names:
        suite = DataStoreSuite()
        suite.make_store = make_place()  # type: ignore[method-assign]  # what a subclass would define
        try:
            getattr(suite, name)()
        except NotConforming as exc:
            raise NotConforming(f"{name}: {exc}") from exc
        except DataStoreError as exc:
            raise NotConforming(f"{name}: a call failed: {exc}") from exc
    return names


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise NotConforming(otherwise)


def _kind(found: object) -> str:
    if isinstance(found, bytes):
        return f"{len(found)} bytes that were never put"
    return f"{type(found).__name__} ({found})" if isinstance(found, Exception) else type(found).__name__


def _fetched(store: DataStore, keys: Iterable[bytes]) -> list[bytes | DataStoreError]:
    keys = keys if isinstance(keys, tuple) else list(keys)
    try:
        found = store.fetch(keys)
    except DataStoreError as exc:
        raise NotConforming(f"fetch raised {type(exc).__name__} instead of returning it in its key's place") from exc
    _require(isinstance(found, list), f"fetch gave a {type(found).__name__}, not a list")
    _require(len(found) == len(keys), f"fetch of {len(keys)} keys gave {len(found)} answers")
    return found


def _same(store: DataStore, blobs: dict[bytes, bytes]) -> None:
    for (key, blob), found in zip(blobs.items(), _fetched(store, blobs), strict=True):
        _require(found == blob, f"{len(blob)} bytes put under {key[:40]!r} came back as {_kind(found)}")


def _absent(store: DataStore, keys: Iterable[bytes]) -> None:
    for found in _fetched(store, keys):
        _require(isinstance(found, NotStored), f"a key that is not there gave {_kind(found)}")


def _scanned(store: DataStore, keys: set[bytes]) -> None:
    met = Counter(store.scan())
    _require(not [key for key, times in met.items() if times > 1], "scan gave a key twice")
    lost, strange = keys - set(met), set(met) - keys
    _require(not lost, f"scan did not give {len(lost)} of {len(keys)} keys, such as {min(lost, default=b'')[:40]!r}")
    _require(
        not strange, f"scan gave {len(strange)} keys that are not there, such as {min(strange, default=b'')[:40]!r}"
    )


def _together(calls: list[Callable[[], None]]) -> None:
    """Run calls in threads, and raise what the first of them raised."""
    problems: list[BaseException] = []

    def run(call: Callable[[], None]) -> None:
        try:
            call()
        except BaseException as exc:  # noqa: BLE001 - it is raised in the thread of the check
            problems.append(exc)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]
