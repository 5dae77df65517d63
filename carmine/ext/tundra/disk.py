"""The disk datastore: one file per key, in a folder of its own.

`<path>/keys/<two digits>/<64 digits>` holds a key's entry (entry.py), named by the SHA-256 of the key, so that no key
can name anything else; `<path>/tmp/` holds files that are being written. A file is written there, made durable, and
moved into its place in one step; then its folder is made durable. So a process that is killed, or a disk that is full,
leaves what was there before. A file that is being written is locked by who writes it: one that nobody has locked was
left behind, and is removed when a store is opened. Invariant: nothing outside `<path>` is read or written, whatever a
key is called and whatever links somebody has put there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, Self

from carmine import _checks
from carmine.errors import UsageError
from carmine.ext.tundra import entry
from carmine.ext.tundra.datastore import LARGEST, blob_of, key_of, keys_of
from carmine.ext.tundra.errors import DataStoreError, NotStored
from carmine.ext.tundra.folder import Folder, open_folder, sync, try_lock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

__all__ = ["DiskDataStore"]

KEYS: Final = "keys"
TEMPORARY: Final = "tmp"
_FAN: Final = 2

_TRANSIENT: Final = frozenset(
    getattr(errno, name, errno.EAGAIN)  # Windows does not know all
    for name in (
        *("EAGAIN", "EBUSY", "EDQUOT", "EINTR", "EIO", "EMFILE", "ENFILE", "ENOBUFS"),
        *("ENOENT", "ENOMEM", "ENOSPC", "ESTALE", "ETIMEDOUT"),
    )
)
"""What may be over at the next attempt: somebody makes room, files are closed, a mount comes back."""


class DiskDataStore:
    """Keep archives in a folder.

    Args:
        path: The folder; it is made where it is not there, readable by its owner alone.
        create: False to refuse a folder that no store was made in before: the file system that it is on is not mounted.
        limit: Bytes of a blob at most, stored and read.

    Raises:
        DataStoreError: The folder cannot be made or opened.
        UsageError: The path holds no store and `create` is False, or others may write into it.
    """

    def __init__(self, path: str | os.PathLike[str], *, create: bool = True, limit: int = LARGEST) -> None:
        self._path: Final = Path(path)
        if not os.fspath(path):
            raise UsageError("path must be the path of a folder, not empty")
        self._limit: Final = _checks.whole("limit", limit, least=1)
        self._folders: tuple[Folder, Folder] | None = None
        try:
            self._folders = self._opened(create=_checks.flag("create", create))
        except OSError as exc:
            raise DataStoreError(
                f"the disk datastore cannot be opened in {self._path}: {_told(exc)}", is_transient=_is_transient(exc)
            ) from exc
        self.sweep()

    def __repr__(self) -> str:
        return f"DiskDataStore({str(self._path)!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the folder. Calls that are under way end as they would."""
        self._folders = None

    def put(self, key: bytes, blob: bytes) -> None:
        """Store bytes under a key, durably; see `DataStore.put`.

        Raises:
            DataStoreError: The disk refused, or somebody else stored under this key meanwhile.
        """
        key, blob = key_of(key), blob_of(blob, self._limit)
        keys, temporary = self._open()
        name = entry.name_of(key)
        try:
            before = _identity(keys, name)
            with _draft(temporary, entry.pack(key, blob), blob) as draft:
                place = _fan(keys, name)
                if _identity(keys, name) != before:
                    raise DataStoreError("somebody else stored under this key meanwhile", key=key, is_transient=True)
                temporary.move(draft, place, name)
            place.sync()
        except OSError as exc:
            _refuse("store", exc, key)

    def fetch(self, keys: Sequence[bytes]) -> list[bytes | DataStoreError]:
        """Return what is stored under each key; see `DataStore.fetch`."""
        wanted = keys_of(keys)
        folder, _ = self._open()
        return [self._fetched(folder, key) for key in wanted]

    def delete(self, keys: Sequence[bytes]) -> None:
        """Delete what is stored under each key; see `DataStore.delete`.

        Raises:
            DataStoreError: One could not be deleted; the others are.
        """
        wanted = keys_of(keys)
        folder, _ = self._open()
        problem: tuple[OSError, bytes] | None = None
        touched: dict[str, Folder] = {}
        for key in wanted:
            name = entry.name_of(key)
            fan = name[:_FAN]
            try:
                if fan not in touched:
                    touched[fan] = folder.folder(fan)
                touched[fan].remove(name)
            except FileNotFoundError:
                continue
            except OSError as exc:
                problem = problem or (exc, key)
        for place in touched.values():
            try:
                place.sync()
            except OSError as exc:
                problem = problem or (exc, wanted[0])
        if problem is not None:
            _refuse("delete", *problem)

    def scan(self) -> Iterator[bytes]:
        """Yield every stored key once, one folder of 256 after the other; see `DataStore.scan`.

        Raises:
            DataStoreError: Files cannot be read, or are not what was stored; all other keys came before it.
        """
        folder, _ = self._open()
        return self._scanned(folder)

    def sweep(self) -> int:
        """Remove files that a process which died has left half written; return how many."""
        _, temporary = self._open()
        removed = 0
        with contextlib.suppress(OSError):  # what cannot be removed now is removed another day
            for name in temporary.names():
                removed += _swept(temporary, name)
        return removed

    # Steps. ----------------------------------------------------------------------------------------------------------

    def _opened(self, *, create: bool) -> tuple[Folder, Folder]:
        if create and not self._path.exists():
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(PermissionError):  # a parent may be entered and not read
                open_folder(self._path.parent).sync()
        root = open_folder(self._path)
        made = [_subfolder(root, name, create=create) for name in (KEYS, TEMPORARY)]
        return made[0], made[1]

    def _open(self) -> tuple[Folder, Folder]:
        folders = self._folders
        if folders is None:
            raise UsageError("this disk datastore is closed")
        return folders

    def _fetched(self, folder: Folder, key: bytes) -> bytes | DataStoreError:
        name = entry.name_of(key)
        try:
            data = _read(folder.folder(name[:_FAN]).open(name), self._limit + entry.MOST)
        except FileNotFoundError:
            return NotStored(key=key)
        except OSError as exc:
            return DataStoreError(
                f"the disk datastore could not read: {_told(exc)}", key=key, is_transient=_is_transient(exc)
            )
        if data is None:
            return DataStoreError(f"what is stored is longer than {self._limit} bytes; give it a limit=", key=key)
        try:
            return entry.unpack(key, data)
        except DataStoreError as exc:
            return exc

    def _scanned(self, folder: Folder) -> Iterator[bytes]:
        unreadable = 0
        problem: OSError | None = None
        try:
            fans = sorted(folder.names())
        except OSError as exc:
            _refuse("list", exc, None)
        for fan in fans:
            try:
                place = folder.folder(fan)
                names = sorted({name for name in place.names() if entry.is_name(name) and name[:_FAN] == fan})
            except OSError as exc:
                unreadable, problem = unreadable + 1, exc
                continue
            for name in names:
                try:
                    key = _key_of(place, name)
                except FileNotFoundError:
                    continue  # deleted meanwhile
                except OSError as exc:
                    unreadable, problem = unreadable + 1, exc
                    continue
                if key is None:
                    unreadable += 1
                else:
                    yield key
        if unreadable:
            why = f"; the last: {_told(problem)}" if problem else ""
            raise DataStoreError(
                f"{unreadable} files or folders of the disk datastore in {self._path} are not what was stored, "
                f"or cannot be read{why}"
            )


# Files. --------------------------------------------------------------------------------------------------------------


def _subfolder(root: Folder, name: str, *, create: bool) -> Folder:
    try:
        found = root.folder(name)
    except FileNotFoundError:
        if not create:
            raise UsageError(
                "the folder holds no datastore; is its file system mounted? create=True makes one"
            ) from None
        with contextlib.suppress(FileExistsError):
            root.make_folder(name)
        root.sync()
        found = root.folder(name)
    about = found.about()
    if sys.platform != "win32":
        if about.st_mode & 0o022:
            mode = stat.S_IMODE(about.st_mode)
            raise UsageError(f"others may write into the datastore's folder {name} (mode {mode:o}); make it 700")
        if os.geteuid() not in (0, about.st_uid):
            raise UsageError(f"the datastore's folder {name} belongs to another user, who may change what is in it")
    return found


def _fan(keys: Folder, name: str) -> Folder:
    """Return the folder that a file belongs into, durable."""
    try:
        return keys.folder(name[:_FAN])
    except FileNotFoundError:
        with contextlib.suppress(FileExistsError):
            keys.make_folder(name[:_FAN])
        keys.sync()
        return keys.folder(name[:_FAN])


def _identity(keys: Folder, name: str) -> tuple[int, int] | None:
    """Return what tells a key's file from the one that replaces it; None where there is none."""
    try:
        found = keys.folder(name[:_FAN]).stat(name)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


@contextlib.contextmanager
def _draft(temporary: Folder, *parts: bytes) -> Iterator[str]:
    """Write a durable file for the block to move away, locked until it has; what stays is removed."""
    name = f"{os.getpid()}-{secrets.token_hex(16)}"
    fd = temporary.create(name)
    try:
        try:
            try_lock(fd)
            for part in parts:
                _write(fd, part)
            sync(fd)
            if os.name == "posix":
                yield name
        finally:
            os.close(fd)
        if os.name != "posix":  # an open file cannot be moved there
            yield name
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.remove(name)
        raise


def _write(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _read(fd: int, limit: int) -> bytes | None:
    """Return what a file holds, and close it; None if that is more than the limit."""
    with open(fd, "rb", buffering=0) as file:
        size = os.fstat(fd).st_size
        if size > limit:
            return None
        parts = []
        left = size + 1
        while left and (part := file.read(min(left, 1 << 24))):
            parts.append(part)
            left -= len(part)
        return b"".join(parts)


def _key_of(place: Folder, name: str) -> bytes | None:
    """Return the key inside a file; None where it is not what belongs there."""
    with open(place.open(name), "rb", buffering=0) as file:
        head = entry.parse_head(file.read(entry.HEAD))
        key = file.read(head.key_size) if head else b""
    return key if key and entry.name_of(key) == name else None


def _swept(temporary: Folder, name: str) -> bool:
    try:
        fd = temporary.open(name)
        try:
            if not try_lock(fd):
                return False
            if os.name == "posix":
                temporary.remove(name)
        finally:
            os.close(fd)
        if os.name != "posix":
            temporary.remove(name)
    except OSError:
        return False
    return True


# Errors. -------------------------------------------------------------------------------------------------------------


def _is_transient(exc: OSError) -> bool:
    return exc.errno in _TRANSIENT


def _told(exc: OSError) -> str:
    """Return the system's words without the name of a file."""
    code = errno.errorcode.get(exc.errno or 0, "?")
    return f"{exc.strerror or type(exc).__name__} ({code})"


def _refuse(what: str, exc: OSError, key: bytes | None) -> NoReturn:
    raise DataStoreError(
        f"the disk datastore could not {what}: {_told(exc)}", key=key, is_transient=_is_transient(exc)
    ) from exc
