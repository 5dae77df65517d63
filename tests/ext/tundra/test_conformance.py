"""The public checks of datastores: sound ones pass, whatever runs them, and each broken one is found."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from carmine.ext.tundra.conformance import HOSTILE_KEYS, DataStoreSuite, NotConforming, check_datastore
from carmine.ext.tundra.datastore import AsyncDataStore, DataStore
from carmine.ext.tundra.errors import DataStoreError
from tests.ext.tundra.broken_stores import BROKEN, NamesInLatin, RefusesToDeleteNothing, Sound

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.one_twin

CHECKS = sorted(name for name in dir(DataStoreSuite) if name.startswith("test_"))


def place_of(kind: type[Sound]) -> Callable[[], DataStore]:
    place: dict[Any, bytes] = {}
    return lambda: kind(place)


class TestInMemory(DataStoreSuite):
    """Under pytest, as docs/datastores.md shows it."""

    @pytest.fixture(autouse=True)
    def _place(self) -> None:
        self.place: dict[Any, bytes] = {}

    def make_store(self) -> DataStore:
        return Sound(self.place)


def test_a_sound_store_passes_every_check() -> None:
    assert check_datastore(lambda: place_of(Sound)) == CHECKS


def test_every_check_has_a_store_that_it_finds() -> None:
    assert sorted(set(BROKEN.values())) == CHECKS


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
def test_a_broken_store_is_found(kind: type[Sound]) -> None:
    def look() -> str | None:
        suite: Any = DataStoreSuite()
        suite.make_store = place_of(kind)
        try:
            getattr(suite, BROKEN[kind])()
        except (NotConforming, DataStoreError) as exc:
            return str(exc)
        return None

    # those that break their rule when threads meet may keep it once
    told = next(filter(None, (look() for _ in range(20))), None)
    assert told, f"{BROKEN[kind]} lets {kind.__name__} pass"
    assert len(told) < 300


def test_a_broken_store_fails_the_whole() -> None:
    for kind in (NamesInLatin, RefusesToDeleteNothing):
        with pytest.raises(NotConforming, match=f"{BROKEN[kind]}: "):
            check_datastore(lambda kind=kind: place_of(kind))  # type: ignore[misc]  # a lambda with a default


def test_hostile_keys_are_many_and_different() -> None:
    assert len(HOSTILE_KEYS) == len(set(HOSTILE_KEYS)) > 80
    assert all(HOSTILE_KEYS)


def test_the_checks_run_under_unittest(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(
        textwrap.dedent(
            """
            import sys, unittest
            from carmine.ext.tundra.conformance import DataStoreSuite
            from tests.ext.tundra.broken_stores import CannotStoreNothing, Sound

            class Mine(DataStoreSuite, unittest.TestCase):
                kind = Sound

                def setUp(self):
                    self.place = {}

                def make_store(self):
                    return self.kind(self.place)

            class Broken(Mine):
                kind = CannotStoreNothing

            assert "pytest" not in sys.modules
            """
        )
    )
    done = subprocess.run(
        [sys.executable, "-m", "unittest", "discover", "-v", "-s", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"Ran {2 * len(CHECKS)} tests" in done.stderr
    assert "NotConforming: 0 bytes put under b'k' came back as NotStored" in done.stderr
    assert "(test_mine.Mine" not in done.stderr.partition("=====")[2]


def test_a_suite_without_a_store_says_so() -> None:
    with pytest.raises(NotImplementedError, match="make_store"):
        DataStoreSuite().test_scan()


def test_the_protocols_can_be_asked_for() -> None:
    class Awaited:
        async def aput(self, key: bytes, blob: bytes) -> None: ...
        async def afetch(self, keys: Any) -> Any: ...
        async def adelete(self, keys: Any) -> None: ...
        def ascan(self) -> Any: ...

    assert isinstance(Sound({}), DataStore)
    assert not isinstance(Sound({}), AsyncDataStore)
    assert isinstance(Awaited(), AsyncDataStore)
    assert not isinstance(Awaited(), DataStore)


def test_places_are_made_for_each_check() -> None:
    made = count()

    def make_place() -> Callable[[], DataStore]:
        next(made)
        return place_of(Sound)

    check_datastore(make_place)
    assert next(made) == len(CHECKS)
