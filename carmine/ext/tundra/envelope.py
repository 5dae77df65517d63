r"""The envelope: what a key's DUMP travels in, so that nothing but itself comes back to RESTORE.

A pure room: bytes and values. docs/datastores.md tells the layout byte by byte. Invariants: every byte of an envelope
is covered by its last 32, a MAC where there is a key for one and else a checksum; they are compared before anything
else is believed. The key's name is in the header, and the header's digest is frozen together with the payload, so that
an encrypting freezer binds the two even without a MAC. Reading an envelope allocates nothing that its own length does
not pay for; what fails is an EnvelopeError with the key in `.key`, never another exception.
"""

from __future__ import annotations

import hashlib
import struct
from hmac import compare_digest
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from carmine import _checks
from carmine.errors import CarmineError, UsageError
from carmine.ext.tundra.datastore import key_of
from carmine.ext.tundra.errors import DamagedEnvelope, EnvelopeError, ForeignEnvelope, FreezerError
from carmine.ext.tundra.freezers import freezer_name
from carmine.ext.tundra.mac import ID_SIZE, MacKey, checksum, mac_keys_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from carmine.ext.tundra.freezers import Freezer

__all__ = ["MAGIC", "VERSION", "Sealed", "seal", "unseal", "rdb_version_of"]

MAGIC: Final = b"\x89Tundra\n"
VERSION: Final = 1

CHECKSUM: Final = 0
MAC: Final = 1

_DIGEST: Final = 32
# version of the envelope, kind of seal, id of the MAC key, RDB version, generation, expiry + 1 (0: none),
# bytes of the payload, of the freezer's name, of the server's version, of the key
_FIXED: Final = struct.Struct(f">8sBB{ID_SIZE}sHQQQBBI")
_TRAILER: Final = 10
"""Bytes at the end of a DUMP: the RDB version in two, little-endian, and a CRC in eight."""

_NO_KEY: Final = bytes(ID_SIZE)
LONGEST_SERVER: Final = 255
_MOST: Final = (1 << 63) - 1
_INSTEAD: Final = "bring it back from a backup of the datastore, or forget the key"


class Sealed(NamedTuple):
    """What was in an envelope."""

    payload: bytes
    """What DUMP gave."""
    generation: int
    """Which archive of this key it is: a greater number is a later one."""
    server: str
    """The server that it came from, such as "valkey 9.1.0"."""
    rdb_version: int
    """The RDB version of the payload; a server restores what its own version is no lower than."""
    expires_at_ms: int | None
    """The key's own expiry, as milliseconds since 1970; None where it has none."""
    has_mac: bool
    """Whether a MAC, and not only a checksum, has vouched for it."""


def rdb_version_of(payload: bytes) -> int:
    """Return the RDB version of what DUMP gave.

    Raises:
        UsageError: It is too short to have come from DUMP.
    """
    if len(payload) <= _TRAILER:
        raise UsageError(f"a payload of {len(payload)} bytes did not come from DUMP")
    return int.from_bytes(payload[-_TRAILER : 2 - _TRAILER], "little")


def seal(
    key: bytes,
    payload: bytes,
    *,
    generation: int,
    server: str,
    freezer: Freezer | None = None,
    mac_key: MacKey | bytes | None = None,
    expires_at_ms: int | None = None,
) -> bytes:
    """Return the envelope of a key's DUMP.

    Args:
        key: The key's name, which the envelope is good for and no other.
        payload: What DUMP gave.
        generation: Which archive of the key it is, from 0 on.
        server: The server's name and version, to be shown when another one cannot restore it.
        freezer: Makes the payload smaller or secret.
        mac_key: Vouches for all of it. Make a MacKey once: it is faster, and not shown by error reporters.
        expires_at_ms: The key's own expiry, as milliseconds since 1970.

    Raises:
        FreezerError: The freezer failed.
        UsageError: A value is not what it should be.
    """
    key = key_of(key)
    name = freezer_name(freezer).encode()
    origin = _checks.text("server", server).encode()[:LONGEST_SERVER]
    origin = origin.decode(errors="ignore").encode()  # no half character at the cut
    vouching = MacKey(mac_key) if isinstance(mac_key, bytes) else mac_key
    until = 0 if expires_at_ms is None else _checks.whole("expires_at_ms", expires_at_ms, most=_MOST - 1) + 1
    fixed = _FIXED.pack(
        MAGIC,
        VERSION,
        CHECKSUM if vouching is None else MAC,
        _NO_KEY if vouching is None else vouching.id,
        rdb_version_of(payload),
        _checks.whole("generation", generation, most=_MOST),
        until,
        len(payload),
        len(name),
        len(origin),
        len(key),
    )
    header = fixed + name + origin + key
    body = _digest(header) + payload
    if freezer is not None:
        body = _freeze(freezer, body, key)
    seal_of = checksum if vouching is None else vouching.mac
    return b"".join((header, body, seal_of(header, body)))


def unseal(
    key: bytes,
    blob: bytes,
    *,
    freezer: Freezer | None = None,
    mac_keys: MacKey | bytes | Sequence[MacKey | bytes] | None = None,
    older: Sequence[Freezer | None] = (),
    allow_unsealed: bool = False,
) -> Sealed:
    """Return what is in a key's envelope, if it is that key's and nothing in it has changed.

    Args:
        key: The key that is to be restored.
        blob: What the datastore gave.
        freezer: The store's freezer.
        mac_keys: The store's MAC key, and those it had before.
        older: Freezers that the store had before.
        allow_unsealed: Take one without a MAC although there are MAC keys: for as long as archives are left from the
            time before there was a key.

    Raises:
        DamagedEnvelope: It was changed, or cut.
        ForeignEnvelope: It is another key's, of a MAC key or a freezer that the store does not have, or no envelope.
    """
    if len(blob) < _FIXED.size + _DIGEST:
        raise DamagedEnvelope(f"the archive is too short to be one; {_INSTEAD}", key=key)
    magic, version, kind, key_id, rdb, generation, until, size, *lengths = _FIXED.unpack_from(blob)
    if magic != MAGIC:
        raise ForeignEnvelope("these bytes are no archive of Tundra's; does another program use this place?", key=key)
    if version != VERSION:
        raise ForeignEnvelope(f"the archive is of version {version}; read it with a newer carmine", key=key)
    sealed, digest = blob[:-_DIGEST], blob[-_DIGEST:]
    known = mac_keys_of(mac_keys)
    if not compare_digest(_expected(key, sealed, kind, key_id, known, allow_unsealed=allow_unsealed), digest):
        what = "MAC" if kind == MAC else "checksum"
        raise DamagedEnvelope(f"the archive was changed since it was sealed, its {what} differs; {_INSTEAD}", key=key)
    # From here on the bytes are as somebody sealed them; without a MAC that may be anybody.
    ends = list(accumulate(lengths, initial=_FIXED.size))
    if ends[-1] > len(sealed):
        raise DamagedEnvelope(f"the archive's header claims more than there is; {_INSTEAD}", key=key)
    name, origin, owner = (sealed[start:end] for start, end in pairwise(ends))
    if owner != key:
        raise ForeignEnvelope(f"the archive is another key's, put in this one's place; {_INSTEAD}", key=key)
    body = _thawed(key, sealed[ends[-1] :], name, (freezer, *older))
    payload = body[_DIGEST:]
    if not compare_digest(_digest(sealed[: ends[-1]]), body[:_DIGEST]):
        raise ForeignEnvelope(f"the frozen bytes belong to another archive; {_INSTEAD}", key=key)
    if len(payload) != size or size <= _TRAILER or rdb_version_of(payload) != rdb:
        raise DamagedEnvelope(f"the archive's header does not fit what is in it; {_INSTEAD}", key=key)
    return Sealed(payload, generation, origin.decode(errors="replace"), rdb, until - 1 if until else None, kind == MAC)


def _digest(header: bytes) -> bytes:
    return hashlib.sha256(header).digest()


def _expected(
    key: bytes, sealed: bytes, kind: int, key_id: bytes, known: tuple[MacKey, ...], *, allow_unsealed: bool
) -> bytes:
    """Return what the last bytes must be."""
    if kind == MAC:
        for candidate in known:
            if candidate.id == key_id:
                return candidate.mac(sealed)
        raise ForeignEnvelope(
            "the archive was sealed with a MAC key that this store does not have; give it as one of mac_keys", key=key
        )
    if kind != CHECKSUM:
        raise DamagedEnvelope(f"the archive has a seal of no known kind; {_INSTEAD}", key=key)
    if known and not allow_unsealed:
        raise ForeignEnvelope(
            "the archive has a checksum and no MAC, and this store has a MAC key; "
            "if it is from the time before the key, read it with allow_unsealed=True and archive it again",
            key=key,
        )
    return checksum(sealed)


def _freeze(freezer: Freezer, body: bytes, key: bytes) -> bytes:
    try:
        frozen = freezer.freeze(body)
    except FreezerError as exc:
        raise FreezerError(str(exc), key=key) from exc
    except (CarmineError, MemoryError):
        raise
    except Exception as exc:
        raise FreezerError(f"the freezer could not freeze a value: it raised {type(exc).__name__}", key=key) from exc
    if not isinstance(frozen, bytes):
        raise UsageError(f"a freezer's freeze must return bytes, not {_checks.kind(frozen)}")
    return frozen


def _thawed(key: bytes, body: bytes, name: bytes, freezers: Sequence[Freezer | None]) -> bytes:
    for freezer in freezers:
        if freezer_name(freezer).encode() == name:
            break
    else:
        mine = ", ".join(freezer_name(one) or "none" for one in freezers)
        raise ForeignEnvelope(
            f"the archive was frozen by {_shown(name)}, and this store's freezer is {mine}; give that freezer too",
            key=key,
        )
    if freezer is None:
        return body
    try:
        thawed = freezer.thaw(body)
    except EnvelopeError:
        raise
    except FreezerError as exc:
        raise DamagedEnvelope(f"the archive cannot be thawed: {exc}", key=key) from exc
    except Exception as exc:
        raise DamagedEnvelope(
            f"the archive cannot be thawed: the freezer raised {type(exc).__name__}", key=key
        ) from exc
    if not isinstance(thawed, bytes):
        raise UsageError(f"a freezer's thaw must return bytes, not {_checks.kind(thawed)}")
    return thawed


def _shown(name: bytes) -> str:
    text = name.decode("ascii", errors="replace")
    return (text if text.isprintable() else ascii(text)) or "none"
