"""Folders of the disk datastore: files by name inside one folder, and nowhere else.

On POSIX a folder is an open descriptor: names are looked up in the folder that was opened, wherever its path points
later, and a symbolic link in the place of a file or a folder is refused. Elsewhere (Windows) it is a path, looked at
before it is used. Invariants: a name has no separator; files are 0600, folders 0700; the methods raise OSError alone.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Folder", "PathFolder", "open_folder", "sync", "try_lock"]

_HAS_DESCRIPTORS: Final = os.open in os.supports_dir_fd and os.rename in os.supports_dir_fd
_CLOEXEC: Final = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOINHERIT", 0) | getattr(os, "O_BINARY", 0)
_NOFOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)
# a FIFO in the place of a file must not make the reader wait
_READ: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _NOFOLLOW | _CLOEXEC
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _CLOEXEC


class Folder:
    """A folder that stays open until the last user drops it."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __del__(self) -> None:
        os.close(self._fd)

    def folder(self, name: str) -> Folder:
        """Open a folder in this one."""
        return Folder(os.open(name, _READ | os.O_DIRECTORY, dir_fd=self._fd))

    def make_folder(self, name: str) -> None:
        """Make a folder in this one."""
        os.mkdir(name, 0o700, dir_fd=self._fd)

    def create(self, name: str) -> int:
        """Create a file that must not be there, and return its descriptor for writing."""
        return os.open(name, _CREATE, 0o600, dir_fd=self._fd)

    def open(self, name: str) -> int:
        """Return the descriptor of a regular file for reading."""
        return _regular(os.open(name, _READ, dir_fd=self._fd))

    def stat(self, name: str) -> os.stat_result:
        """Tell about a file; a link is not followed."""
        return os.stat(name, dir_fd=self._fd, follow_symlinks=False)

    def remove(self, name: str) -> None:
        """Remove a file."""
        os.unlink(name, dir_fd=self._fd)

    def move(self, name: str, target: Folder, new: str) -> None:
        """Move a file into another folder, in the place of what is there, in one step."""
        os.replace(name, new, src_dir_fd=self._fd, dst_dir_fd=target._fd)

    def names(self) -> list[str]:
        """List what is in it."""
        fresh = os.open(".", _READ | os.O_DIRECTORY, dir_fd=self._fd)  # listing moves a descriptor's offset
        try:
            return os.listdir(fresh)
        finally:
            os.close(fresh)

    def sync(self) -> None:
        """Make its names durable."""
        sync(self._fd)

    def about(self) -> os.stat_result:
        """Tell about the folder itself."""
        return os.fstat(self._fd)


class PathFolder(Folder):
    """A folder by its path, for systems that look up names in no other way."""

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        self._path = path

    def __del__(self) -> None:
        pass

    def folder(self, name: str) -> PathFolder:
        """Open a folder in this one."""
        return PathFolder(self._at(name))

    def make_folder(self, name: str) -> None:
        """Make a folder in this one."""
        os.mkdir(self._at(name), 0o700)

    def create(self, name: str) -> int:
        """Create a file that must not be there."""
        return os.open(self._at(name), _CREATE, 0o600)

    def open(self, name: str) -> int:
        """Return the descriptor of a regular file for reading."""
        if stat.S_ISLNK(self.stat(name).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        return _regular(os.open(self._at(name), _READ))

    def stat(self, name: str) -> os.stat_result:
        """Tell about a file; a link is not followed."""
        return os.lstat(self._at(name))

    def remove(self, name: str) -> None:
        """Remove a file."""
        os.unlink(self._at(name))

    def move(self, name: str, target: Folder, new: str) -> None:
        """Move a file into another folder."""
        if not isinstance(target, PathFolder):
            raise TypeError("folders of one store are of one kind")
        os.replace(self._at(name), target._at(new))

    def names(self) -> list[str]:
        """List what is in it."""
        return os.listdir(self._path)

    def sync(self) -> None:
        """Do nothing: such a system has no descriptor of a folder that could be synchronized."""

    def about(self) -> os.stat_result:
        """Tell about the folder itself."""
        return os.lstat(self._path)

    def _at(self, name: str) -> str:
        return os.path.join(self._path, name)


def open_folder(path: Path) -> Folder:
    """Open the folder at a path, which may be a link: it is the caller's own."""
    if _HAS_DESCRIPTORS:
        return Folder(os.open(path, os.O_RDONLY | os.O_DIRECTORY | _CLOEXEC))
    return PathFolder(os.path.realpath(path))


def _regular(fd: int) -> int:
    """Return the descriptor if it is a regular file's; close it otherwise."""
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(errno.EINVAL, "not a regular file")


if sys.platform == "win32":

    def sync(fd: int) -> None:
        """Make a file durable."""
        os.fsync(fd)

    def try_lock(fd: int) -> bool:
        """Do nothing: an open file cannot be removed there, which is what the lock is for."""
        return True

else:
    import fcntl

    def sync(fd: int) -> None:
        """Make a file durable: written to the medium, and not only to its cache."""
        if sys.platform == "darwin":
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)  # there fsync() leaves it in the drive's cache
        else:
            os.fsync(fd)

    def try_lock(fd: int) -> bool:
        """Lock a file for as long as its descriptor is open; False where another has it, or locks are not known."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
