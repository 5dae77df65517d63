"""The disk datastore when disks fill up or fail, and when processes die while they write (FAULTS D02, D03; S-62)."""

from __future__ import annotations

import errno
import os
import random
import stat
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING, Any

import pytest

from carmine.ext.tundra import folder
from carmine.ext.tundra.disk import DiskDataStore
from carmine.ext.tundra.errors import DataStoreError, NotStored
from tests.ext.tundra.disk_writer import KEYS, is_whole
from tests.ext.tundra.disks import drafts, files, paths_only, place
from tests.lab.matrix import scaled

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["paths_only", "place"]

pytestmark = [
    pytest.mark.one_twin,
    pytest.mark.skipif(sys.platform == "win32", reason="limits and signals are POSIX's here"),
]


class Calls:
    """Notes what is asked of the system, and lets one kind of call fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[str] = []
        self.fails: dict[str, int] = {}
        for name in ("write", "fsync", "replace", "mkdir", "open", "close", "unlink"):
            monkeypatch.setattr(os, name, self._noted(name, getattr(os, name)))

    def _noted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*args: Any, **options: Any) -> Any:
            what = name
            if name == "fsync":
                what = "fsync folder" if stat.S_ISDIR(os.fstat(args[0]).st_mode) else "fsync file"
            elif name == "open":
                what = "create" if args[1] & os.O_CREAT else "open"
            self.made.append(what)
            if what in self.fails:
                raise OSError(self.fails[what], os.strerror(self.fails[what]))
            return call(*args, **options)

        return noted

    def since(self, *kinds: str) -> list[str]:
        """Return the calls of some kinds since the last time, and forget all."""
        found = [one for one in self.made if one in kinds]
        self.made.clear()
        return found


STEPS = ("create", "write", "fsync file", "fsync folder", "replace", "mkdir")


class TestDurability:
    def test_every_put_is_durable_before_it_returns(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """D02: the file before it is moved, the folder after; a new folder for itself."""
        calls = Calls(monkeypatch)
        store = DiskDataStore(place / "store")
        assert calls.since(*STEPS) == ["mkdir", "fsync folder"] * 3  # the store's own folder, keys and tmp
        store.put(b"k", b"first")
        assert calls.since(*STEPS) == [
            *("create", "write", "write", "fsync file"),
            *("mkdir", "fsync folder", "replace", "fsync folder"),
        ]
        store.put(b"k", b"second")
        assert calls.since(*STEPS) == ["create", "write", "write", "fsync file", "replace", "fsync folder"]
        store.fetch([b"k", b"never"])
        list(store.scan())
        assert calls.since(*STEPS) == []
        store.delete([b"k", b"k", b"never"])
        assert calls.since("unlink", *STEPS)[0] == "unlink"
        store.put(b"k", b"third")
        calls.since()
        store.delete([b"k"])
        assert calls.since(*STEPS) == ["fsync folder"]

    def test_short_writes_are_finished(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """D03: write() may take less than it was given."""
        write = os.write
        monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:7]))
        store = DiskDataStore(place)
        store.put(b"key", bytes(range(256)))
        assert store.fetch([b"key"]) == [bytes(range(256))]


class TestFailures:
    @pytest.mark.usefixtures("paths_only")
    @pytest.mark.parametrize(
        ("step", "code", "is_transient"),
        [
            ("create", "EMFILE", True),
            ("create", "ENFILE", True),
            ("create", "EROFS", False),
            ("create", "EACCES", False),
            ("create", "ENOSPC", True),
            ("write", "ENOSPC", True),
            ("write", "EDQUOT", True),
            ("write", "EIO", True),
            ("write", "EFBIG", False),
            ("fsync file", "EIO", True),
            ("fsync file", "ENOSPC", True),
            ("replace", "EIO", True),
            ("replace", "EROFS", False),
            ("replace", "ESTALE", True),
        ],
    )
    @pytest.mark.parametrize("before", [b"before", None], ids=["replaces", "new"])
    def test_a_put_that_fails_changes_nothing(
        self,
        place: Path,
        monkeypatch: pytest.MonkeyPatch,
        step: str,
        code: str,
        is_transient: bool,
        before: bytes | None,
    ) -> None:
        """D03: an error that says whether to try again; what was there stays, nothing half written is left."""
        store = DiskDataStore(place)
        if before is not None:
            store.put(b"k", before)
        store.put(b"other", b"whole")
        with monkeypatch.context() as patch:
            Calls(patch).fails[step] = getattr(errno, code)
            with pytest.raises(DataStoreError, match=code) as caught:
                store.put(b"k", b"after")
        assert caught.value.is_transient is is_transient
        assert caught.value.key == b"k"
        assert drafts(place) == []
        found, other = store.fetch([b"k", b"other"])
        assert found == before if before is not None else isinstance(found, NotStored)
        assert other == b"whole"
        store.put(b"k", b"after")
        assert store.fetch([b"k"]) == [b"after"]

    def test_a_folder_that_cannot_be_made_durable_is_an_error(
        self, place: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """D03: the new file may be there, or not, after a crash; so the caller must not rely on it."""
        store = DiskDataStore(place)
        store.put(b"k", b"before")
        with monkeypatch.context() as patch:
            Calls(patch).fails["fsync folder"] = errno.EIO
            with pytest.raises(DataStoreError, match="EIO"):
                store.put(b"k", b"after")
            with pytest.raises(DataStoreError, match="EIO"):
                store.delete([b"k"])
        assert drafts(place) == []

    def test_fetch_and_scan_tell_a_failure_from_nothing(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        store = DiskDataStore(place)
        store.put(b"k", b"1")
        with monkeypatch.context() as patch:
            Calls(patch).fails["open"] = errno.EMFILE
            [found] = store.fetch([b"k"])
            assert isinstance(found, DataStoreError)
            assert not isinstance(found, NotStored)
            assert found.is_transient
            with pytest.raises(DataStoreError, match="EMFILE"):
                list(store.scan())
            with pytest.raises(DataStoreError, match="EMFILE"):
                store.delete([b"k"])
        assert store.fetch([b"k"]) == [b"1"]

    def test_delete_goes_on_past_a_failure(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        store = DiskDataStore(place)
        for n in range(10):
            store.put(b"k%d" % n, b"x")
        unlink, turn = os.unlink, iter(range(10))
        with monkeypatch.context() as patch:

            def some(*args: Any, **options: Any) -> None:
                if next(turn) == 3:
                    raise OSError(errno.EBUSY, "busy")
                unlink(*args, **options)

            patch.setattr(os, "unlink", some)
            with pytest.raises(DataStoreError, match="EBUSY") as caught:
                store.delete([b"k%d" % n for n in range(10)])
        assert caught.value.key == b"k3"
        assert list(store.scan()) == [b"k3"]


def child(place: Path, before: str, after: str = "") -> str:
    """Run a store in a process of its own, whose limits hold for nobody else, and return what it prints."""
    script = f"""
import errno, os, resource, sys
from carmine.ext.tundra.disk import DiskDataStore
from carmine.ext.tundra.errors import DataStoreError
store = DiskDataStore({str(place)!r})
store.put(b"k", b"before")
{textwrap.dedent(before)}
try:
    store.put(b"k", bytes(300_000))
except DataStoreError as exc:
    print(exc.is_transient, exc)
else:
    print("stored")
{textwrap.dedent(after)}
print(os.listdir({str(place / "tmp")!r}), store.fetch([b"k"]) == [b"before"])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


class TestLimits:
    def test_files_may_not_grow(self, place: Path) -> None:
        """D03: RLIMIT_FSIZE, which cuts a write short and refuses the next."""
        told = child(place, "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))")
        assert "(EFBIG)" in told
        assert told.startswith("False ")
        assert told.endswith("[] True\n")

    def test_no_descriptor_is_left(self, place: Path) -> None:
        """D03: RLIMIT_NOFILE; when files are closed again, it goes on."""
        before = """
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        held = []
        try:
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        except OSError as exc:
            assert exc.errno == errno.EMFILE
        """
        told = child(place, before, "for fd in held: os.close(fd)")
        assert told == f"True the disk datastore could not store: {os.strerror(errno.EMFILE)} (EMFILE)\n[] True\n"

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can mount a small disk")
    def test_a_disk_that_is_full_or_read_only(self, place: Path) -> None:
        """D03: a file system of 200 KB."""
        small = place / "small"
        small.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(small)],
            capture_output=True,
            text=True,
            check=False,
        )
        if mounted.returncode:
            pytest.skip(f"this machine mounts nothing: {mounted.stderr.strip()}")
        try:
            told = child(small, "")
            assert told == f"True the disk datastore could not store: {os.strerror(errno.ENOSPC)} (ENOSPC)\n[] True\n"
            store = DiskDataStore(small)
            store.put(b"other", b"there is room for a small one")
            subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
            with pytest.raises(DataStoreError, match="EROFS") as caught:
                store.put(b"k", b"after")
            assert not caught.value.is_transient
            with pytest.raises(DataStoreError, match="EROFS"):
                store.delete([b"k"])
            assert store.fetch([b"k"]) == [b"before"]
            assert DiskDataStore(small).fetch([b"k"]) == [b"before"]
            store.close()
        finally:
            subprocess.run(["umount", "-l", str(small)], check=True)


class TestDeath:
    def test_killed_while_writing(self, place: Path) -> None:
        """D02: SIGKILL at random moments; every file is whole or not there, and what is left behind is removed."""
        dice, kills, left, read = random.Random(), scaled(200), 0, 0
        for _ in range(kills):
            writer = subprocess.Popen(
                [sys.executable, "-m", "tests.ext.tundra.disk_writer", str(place)], stdout=subprocess.PIPE
            )
            try:
                assert writer.stdout is not None
                assert writer.stdout.read(1) == b"."
                spin = time.perf_counter() + dice.random() * 0.05
                while time.perf_counter() < spin:  # writes go on: to wait is the point
                    pass
            finally:
                writer.kill()
                writer.wait()
            writer.stdout.close()
            left += len(drafts(place))
            store = DiskDataStore(place)
            assert drafts(place) == []
            for n, found in enumerate(store.fetch([b"k%d" % n for n in range(KEYS)])):
                if not isinstance(found, NotStored):
                    assert isinstance(found, bytes)
                    assert is_whole(b"k%d" % n, found)
                    read += 1
            assert len(list(store.scan())) == len(files(place))
            store.close()
        print(f"COUNT disk: {kills} kills, {left} half written files swept, {read} values whole")  # noqa: T201
        assert read > 0

    def test_who_still_writes_is_not_swept(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """S-62: a file that is being written belongs to its writer; one that nobody writes any more does not."""
        store = DiskDataStore(place)
        (place / "tmp" / "4711-0123456789abcdef").write_bytes(b"left behind")
        seen: list[tuple[int, int]] = []
        sync = folder.sync

        def look(fd: int) -> None:
            if len(seen) < 1:
                seen.append((DiskDataStore(place).sweep(), len(drafts(place))))
            sync(fd)

        monkeypatch.setattr("carmine.ext.tundra.disk.sync", look)
        store.put(b"k", b"1")
        assert seen == [(0, 1)]  # the one left behind went when the other store was opened
        assert store.fetch([b"k"]) == [b"1"]
        assert drafts(place) == []

    def test_drafts_have_names_that_nobody_knows(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """S-62: random, in a folder of their own, and a file that is there is not taken."""
        store = DiskDataStore(place)
        names: list[str] = []
        sync = folder.sync

        def look(fd: int) -> None:
            names.extend(drafts(place))
            sync(fd)

        monkeypatch.setattr("carmine.ext.tundra.disk.sync", look)
        for n in range(20):
            store.put(b"tmp-%d" % n, b"x")
        assert len(set(names)) == 20
        assert all(len(name.partition("-")[2]) == 32 for name in names)
        monkeypatch.setattr("secrets.token_hex", lambda size: "same")
        (place / "tmp" / f"{os.getpid()}-same").symlink_to(place / "victim")
        with pytest.raises(DataStoreError, match="EEXIST"):
            store.put(b"k", b"1")
        assert not (place / "victim").exists()
