"""The disk datastore: names that cannot leave the folder, files that are whole, and what it refuses.

FAULTS D04, D05, D11, D14; SECURITY S-60, S-61, S-62.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carmine.errors import UsageError
from carmine.ext.tundra import disk, entry, folder
from carmine.ext.tundra.conformance import HOSTILE_KEYS, DataStoreSuite
from carmine.ext.tundra.disk import DiskDataStore
from carmine.ext.tundra.errors import DataStoreError, NotStored
from tests.ext.tundra.disks import drafts, file_of, files, paths_only, place

if TYPE_CHECKING:
    from carmine.ext.tundra.datastore import DataStore

__all__ = ["paths_only", "place"]

pytestmark = [
    pytest.mark.one_twin,
    pytest.mark.skipif(sys.platform == "win32", reason="modes and links are POSIX's here"),
]


@pytest.mark.usefixtures("paths_only")
class TestConformance(DataStoreSuite):
    """D11, D14, S-61 among its checks."""

    @pytest.fixture(autouse=True)
    def _place(self, place: Path) -> None:
        self.path = place / "store"

    def make_store(self) -> DataStore:
        return DiskDataStore(self.path)


class TestPlaces:
    @pytest.mark.usefixtures("paths_only")
    def test_nothing_outside_is_touched(self, place: Path) -> None:
        """D14, S-60: every file is where it belongs, and readable by its owner alone."""
        mask = os.umask(0)
        try:
            store = DiskDataStore(place / "a" / "store")
            for key in HOSTILE_KEYS:
                store.put(key, key)
        finally:
            os.umask(mask)
        assert os.listdir(place) == ["a"]
        assert os.listdir(place / "a") == ["store"]
        assert sorted(os.listdir(place / "a" / "store")) == ["keys", "tmp"]
        assert drafts(place / "a" / "store") == []
        found = files(place / "a" / "store")
        assert len(found) == len(HOSTILE_KEYS)
        for path in found:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert entry.is_name(path.name)
            assert path.parent.name == path.name[:2]
        for path in (place / "a" / "store").rglob("*"):
            if path.is_dir():
                assert stat.S_IMODE(path.stat().st_mode) == 0o700

    @given(
        st.one_of(st.text(min_size=1).map(lambda text: text.encode("utf-8", "surrogatepass")), st.binary(min_size=1))
    )
    @settings(max_examples=200, deadline=None)
    def test_two_keys_never_share_a_file(self, key: bytes) -> None:
        """S-61: changed by a byte, a letter's case, a normal form or an encoding."""
        text = key.decode("utf-8", "replace")
        others = {
            key + b"\0",
            key[1:],
            key.upper(),
            key.lower(),
            text.encode(),
            text.encode("latin-1", "replace"),
            b"?",
        }
        names = {entry.name_of(other) for other in others - {key}}
        assert entry.name_of(key) not in names
        assert len(names) == len(others - {key})
        assert entry.is_name(entry.name_of(key))

    @pytest.mark.usefixtures("paths_only")
    def test_links_are_refused(self, place: Path) -> None:
        """S-60: in the place of a file, of a folder below, and of the store's own folders."""
        store = DiskDataStore(place / "store")
        store.put(b"k", b"ours")
        path = file_of(place / "store", b"k")
        outside = place / "outside"
        outside.mkdir()
        (outside / path.name).write_bytes(path.read_bytes())

        path.unlink()
        path.symlink_to(outside / path.name)
        [found] = store.fetch([b"k"])
        assert isinstance(found, DataStoreError)
        assert not isinstance(found, NotStored)
        assert "ELOOP" in str(found)
        with pytest.raises(DataStoreError, match="1 files"):
            list(store.scan())
        store.put(b"k", b"new")  # replaces the link, and not what it points to
        assert store.fetch([b"k"]) == [b"new"]
        assert not path.is_symlink()
        assert (outside / path.name).read_bytes().endswith(b"ours")

        path.unlink()
        path.parent.rmdir()
        path.parent.symlink_to(outside)
        assert isinstance(store.fetch([b"k"])[0], DataStoreError)
        with pytest.raises(DataStoreError, match=r"ENOTDIR|ELOOP"):
            store.put(b"k", b"escaped")
        with pytest.raises(DataStoreError, match=r"ENOTDIR|ELOOP"):
            store.delete([b"k"])
        assert (outside / path.name).read_bytes().endswith(b"ours")
        assert drafts(place / "store") == []

        for name in ("keys", "tmp"):
            (place / name).mkdir()
            (place / name / name).symlink_to(outside)
            with pytest.raises(DataStoreError, match=r"ENOTDIR|ELOOP"):
                DiskDataStore(place / name)

    @pytest.mark.usefixtures("paths_only")
    def test_what_is_no_file_is_refused(self, place: Path) -> None:
        store = DiskDataStore(place)
        store.put(b"k", b"1")
        path = file_of(place, b"k")
        for make in (os.mkfifo, os.mkdir):
            path.unlink()
            make(path)
            [found] = store.fetch([b"k"])  # and does not wait for who would write into a FIFO
            assert isinstance(found, DataStoreError)
            assert not isinstance(found, NotStored)
            with pytest.raises(DataStoreError):
                list(store.scan())
            if make is os.mkfifo:
                continue
            with pytest.raises(DataStoreError, match="EISDIR"):
                store.put(b"k", b"2")
        assert drafts(place) == []

    def test_the_folder_that_was_opened_is_used(self, place: Path) -> None:
        """S-60: a path that is exchanged under a running store leads nowhere else."""
        store = DiskDataStore(place / "store")
        store.put(b"k", b"1")
        (place / "store").rename(place / "moved")
        (place / "store").mkdir()
        store.put(b"k", b"2")
        assert store.fetch([b"k"]) == [b"2"]
        assert os.listdir(place / "store") == []
        assert DiskDataStore(place / "moved").fetch([b"k"]) == [b"2"]

    def test_the_root_may_be_a_link_and_others_may_not_write_below(self, place: Path) -> None:
        (place / "real").mkdir()
        (place / "link").symlink_to(place / "real")
        DiskDataStore(place / "link").put(b"k", b"1")
        assert DiskDataStore(place / "real").fetch([b"k"]) == [b"1"]
        os.chmod(place / "real" / "keys", 0o720)
        with pytest.raises(UsageError, match="others may write"):
            DiskDataStore(place / "real")

    @pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give folders away")
    def test_a_folder_of_somebody_else_is_refused(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        DiskDataStore(place)
        os.chown(place / "keys", 12345, 12345)
        DiskDataStore(place)  # root may look after it
        monkeypatch.setattr(os, "geteuid", lambda: 54321)
        with pytest.raises(UsageError, match="another user"):
            DiskDataStore(place)

    def test_a_file_system_that_is_not_mounted_is_not_filled(self, place: Path) -> None:
        for path in (place, place / "not-there"):
            with pytest.raises((UsageError, DataStoreError)) as caught:
                DiskDataStore(path, create=False)
            assert "mounted" in str(caught.value) or "ENOENT" in str(caught.value)
        assert os.listdir(place) == []
        DiskDataStore(place)
        DiskDataStore(place, create=False)

    def test_a_path_that_is_a_file(self, place: Path) -> None:
        (place / "file").write_bytes(b"")
        with pytest.raises(DataStoreError, match="ENOTDIR") as caught:
            DiskDataStore(place / "file")
        assert caught.value.key is None
        assert not caught.value.is_transient

    @pytest.mark.parametrize(
        ("options", "words"),
        [({"path": ""}, "path"), ({"limit": 0}, "limit"), ({"limit": True}, "limit"), ({"create": 1}, "create")],
    )
    def test_wrong_options(self, place: Path, options: dict[str, Any], words: str) -> None:
        with pytest.raises(UsageError, match=words):
            DiskDataStore(**{"path": place, **options})
        assert os.listdir(place) == []


class TestContents:
    def test_every_flipped_byte_is_noticed(self, place: Path) -> None:
        """D04: an error for that key, never other bytes; the other keys are given."""
        store = DiskDataStore(place)
        store.put(b"key", b"a value of some bytes")
        store.put(b"other", b"whole")
        path = file_of(place, b"key")
        sound = path.read_bytes()
        bad = [sound[:at] + bytes([sound[at] ^ 0x40]) + sound[at + 1 :] for at in range(len(sound))]
        bad += [sound[:at] for at in range(len(sound))] + [sound + b"\0", sound * 2, b"", bytes(len(sound))]
        for data in bad:
            path.write_bytes(data)
            found, other = store.fetch([b"key", b"other"])
            assert isinstance(found, DataStoreError)
            assert not isinstance(found, NotStored)
            assert found.key == b"key"
            assert other == b"whole"
        path.write_bytes(sound)
        assert store.fetch([b"key"]) == [b"a value of some bytes"]

    def test_exchanged_files_are_noticed(self, place: Path) -> None:
        """D05."""
        store = DiskDataStore(place)
        for key in (b"one", b"two"):
            store.put(key, key)
        one, two = (file_of(place, key) for key in (b"one", b"two"))
        first, second = one.read_bytes(), two.read_bytes()
        one.write_bytes(second)
        two.write_bytes(first)
        for found, key in zip(store.fetch([b"one", b"two"]), (b"one", b"two"), strict=True):
            assert isinstance(found, DataStoreError)
            assert "another key's" in str(found)
            assert found.key == key
        with pytest.raises(DataStoreError, match="2 files"):
            list(store.scan())

    def test_no_more_is_read_than_the_limit(self, place: Path) -> None:
        store = DiskDataStore(place, limit=100)
        store.put(b"k", b"x" * 100)
        assert store.fetch([b"k"]) == [b"x" * 100]
        with pytest.raises(UsageError, match="limit="):
            store.put(b"k", b"x" * 101)
        os.truncate(file_of(place, b"k"), 1 << 40)  # a file with a hole: to read it would take a terabyte
        [found] = store.fetch([b"k"])
        assert isinstance(found, DataStoreError)
        assert "longer than 100 bytes" in str(found)

    def test_scan_gives_all_that_can_be_read_and_then_tells_of_the_rest(self, place: Path) -> None:
        store = DiskDataStore(place)
        keys = {b"k%d" % n for n in range(50)}
        for key in keys:
            store.put(key, b"x")
        file_of(place, b"k7").write_bytes(b"not an entry")
        fan = file_of(place, b"k8").parent
        (fan / "README").write_text("left by somebody")
        (fan / ("0" * 64)).write_bytes(b"in the wrong folder")
        (place / "keys" / "zz").mkdir()
        met = []
        with pytest.raises(DataStoreError, match="1 files or folders"):  # noqa: PT012
            for key in store.scan():
                met.append(key)  # noqa: PERF402 - the list is wanted when the loop ends in an error
        assert set(met) == keys - {b"k7"}
        assert len(met) == len(keys) - 1

    def test_scan_reads_one_folder_after_the_other(self, place: Path) -> None:
        store = DiskDataStore(place)
        for n in range(40):
            store.put(b"k%d" % n, b"x")
        listing = store.scan()
        first = next(listing)
        left = [one for one in files(place) if one.parent != file_of(place, first).parent]
        for path in left:
            path.unlink()
        assert len(list(listing)) == 40 - 1 - len(left)

    def test_names_and_values_stay_out_of_errors(self, place: Path) -> None:
        """S-24."""
        store = DiskDataStore(place)
        store.put(b"CANARY", b"CANARY")
        file_of(place, b"CANARY").write_bytes(b"CANARY")
        [found] = store.fetch([b"CANARY"])
        assert isinstance(found, DataStoreError)
        assert "CANARY" not in str(found) + repr(store)
        assert found.key == b"CANARY"

    def test_a_closed_store_is_closed(self, place: Path) -> None:
        with DiskDataStore(place) as store:
            store.put(b"k", b"1")
            listing = store.scan()
        assert list(listing) == [b"k"]
        for call in (
            lambda: store.put(b"k", b"2"),
            lambda: store.fetch([b"k"]),
            lambda: store.delete([b"k"]),
            store.scan,
            store.sweep,
        ):
            with pytest.raises(UsageError, match="closed"):
                call()
        store.close()

    def test_descriptors_do_not_pile_up(self, place: Path) -> None:
        if not Path("/proc/self/fd").exists():
            pytest.skip("only Linux lists a process's descriptors")
        before = len(os.listdir("/proc/self/fd"))
        store = DiskDataStore(place)
        held = len(os.listdir("/proc/self/fd"))
        for n in range(20):
            store.put(b"k%d" % n, b"x")
        store.fetch([b"k1", b"never"])
        list(store.scan())
        store.delete([b"k1", b"never"])
        assert len(os.listdir("/proc/self/fd")) == held
        store.close()
        assert len(os.listdir("/proc/self/fd")) == before


class TestOvertaken:
    def test_who_was_overtaken_does_not_write(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """D06: a worker that was paused while it wrote does not put its old archive over a newer one."""
        slow, quick = DiskDataStore(place), DiskDataStore(place)
        slow.put(b"k", b"first")
        sync, is_paused = folder.sync, True

        def pause(fd: int) -> None:
            nonlocal is_paused
            if is_paused:
                is_paused = False
                quick.put(b"k", b"newer")
            sync(fd)

        monkeypatch.setattr(disk, "sync", pause)
        with pytest.raises(DataStoreError, match="meanwhile") as caught:
            slow.put(b"k", b"older")
        assert caught.value.is_transient
        assert caught.value.key == b"k"
        assert slow.fetch([b"k"]) == [b"newer"]
        assert drafts(place) == []


def test_what_may_pass_is_transient() -> None:
    for code, is_transient in ((errno.ENOSPC, True), (errno.EMFILE, True), (errno.EIO, True), (errno.EROFS, False)):
        assert disk._is_transient(OSError(code, "")) is is_transient
