"""Folders for the tests of the disk datastore: in memory where the system has such a place, for fsync takes time."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from carmine.ext.tundra import entry, folder

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["drafts", "file_of", "files", "paths_only", "place"]

_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@pytest.fixture
def place() -> Iterator[Path]:
    """Give an empty folder."""
    made = tempfile.mkdtemp(dir=_MEMORY)
    try:
        yield Path(made)
    finally:
        shutil.rmtree(made)


@pytest.fixture(params=["descriptors", "paths"])
def paths_only(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Run a test on both kinds of folders; the second is that of systems such as Windows."""
    if request.param == "paths":
        monkeypatch.setattr(folder, "_HAS_DESCRIPTORS", False)
    elif not folder._HAS_DESCRIPTORS:
        pytest.skip("this system looks up names by their paths only")
    return bool(request.param == "paths")


def files(path: Path) -> list[Path]:
    """List the files of a store's keys."""
    return sorted(one for one in (path / "keys").rglob("*") if not one.is_dir())


def drafts(path: Path) -> list[str]:
    """List what is half written."""
    return sorted(os.listdir(path / "tmp"))


def file_of(path: Path, key: bytes) -> Path:
    """Return the file of a key, found by what is in it."""
    [found] = [one for one in files(path) if not one.is_symlink() and _key_in(one.read_bytes()) == key]
    return found


def _key_in(data: bytes) -> bytes:
    head = entry.parse_head(data)
    return data[entry.HEAD : entry.HEAD + head.key_size] if head else b""
