"""Envelopes: only what was sealed for a key comes out under it (FAULTS D04, D05, D06; SECURITY S-33, S-63, S-64)."""

from __future__ import annotations

import hashlib
import hmac
import pickle
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carmine.errors import UsageError
from carmine.ext.tundra import envelope
from carmine.ext.tundra.aesgcm import AesGcm
from carmine.ext.tundra.envelope import Sealed, rdb_version_of, seal, unseal
from carmine.ext.tundra.errors import DamagedEnvelope, EnvelopeError, ForeignEnvelope, FreezerError
from carmine.ext.tundra.freezers import Chain, Freezer, Zlib
from carmine.ext.tundra.mac import MacKey, checksum
from carmine.ext.tundra.zstd import Zstd
from tests.ext.tundra.test_freezers import CANARY, shown

pytestmark = pytest.mark.one_twin

PAYLOAD = b"\x00\x05hello\x0b\x00\x11\x22\x33\x44\x55\x66\x77\x88"
SECRET, OLD = b"m" * 32, b"o" * 32
AES = AesGcm(b"\x11" * 32)
WAYS: tuple[tuple[Freezer | None, bytes | None], ...] = (
    (None, None),
    (None, SECRET),
    (Zlib(), None),
    (Zstd(), SECRET),
    (AES, None),
    (Chain(Zlib(), AES), SECRET),
)
IDS = [f"{freezer} {'MAC' if key else 'checksum'}" for freezer, key in WAYS]
ways = pytest.mark.parametrize(("freezer", "secret"), WAYS, ids=IDS)


def made(key: bytes = b"key", payload: bytes = PAYLOAD, **options: Any) -> bytes:
    return seal(key, payload, **{"generation": 7, "server": "valkey 9.1.0", **options})


@ways
@given(key=st.binary(min_size=1, max_size=100), value=st.binary(max_size=300), generation=st.integers(0, 2**63 - 1))
@settings(max_examples=25, deadline=None)
def test_what_was_sealed_comes_out(
    freezer: Freezer | None, secret: bytes | None, key: bytes, value: bytes, generation: int
) -> None:
    payload = b"\0" + value + PAYLOAD[-10:]
    blob = seal(
        key, payload, generation=generation, server="redis 7.0.15", freezer=freezer, mac_key=secret, expires_at_ms=5
    )
    expected = Sealed(payload, generation, "redis 7.0.15", 11, 5, secret is not None)
    assert unseal(key, blob, freezer=freezer, mac_keys=secret) == expected


@ways
def test_every_single_change_is_refused(freezer: Freezer | None, secret: bytes | None) -> None:
    """D04, S-63: each bit flipped, each byte removed, doubled or put in; cut at each place, from both sides."""
    blob = made(b"zebra", freezer=freezer, mac_key=secret)
    changed = []
    for place in range(len(blob)):
        changed += [blob[:place] + bytes([blob[place] ^ 1 << bit]) + blob[place + 1 :] for bit in range(8)]
        changed += [blob[:place] + blob[place + 1 :], blob[:place] + blob[place : place + 1] + blob[place:]]
        changed += [blob[:place], blob[place + 1 :], blob[:place] + b"\0" + blob[place:]]
    changed += [blob + b"\0", blob + blob, blob[::-1]]
    for bad in changed:
        with pytest.raises(EnvelopeError) as caught:
            unseal(b"zebra", bad, freezer=freezer, mac_keys=secret)
        assert caught.value.key == b"zebra"
        assert "zebra" not in str(caught.value)


@ways
@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_changes_of_any_kind_are_refused(freezer: Freezer | None, secret: bytes | None, data: st.DataObject) -> None:
    """D04: the reader gives data or an EnvelopeError, whatever it is given."""
    blob = made(freezer=freezer, mac_key=secret)
    start = data.draw(st.integers(0, len(blob)))
    end = data.draw(st.integers(start, len(blob)))
    bad = blob[:start] + data.draw(st.binary(max_size=40)) + blob[end:]
    for given_bytes in (bad, data.draw(st.binary(max_size=400)), blob[:8] + data.draw(st.binary(max_size=200))):
        if given_bytes == blob:
            continue
        with pytest.raises(EnvelopeError):
            unseal(b"key", given_bytes, freezer=freezer, mac_keys=secret)


@given(st.binary(max_size=250), st.sampled_from([None, SECRET]))
@settings(max_examples=300, deadline=None)
def test_whoever_can_make_a_seal_gets_no_further(header: bytes, secret: bytes | None) -> None:
    """S-63: a reader that believes its checksum must still not be led astray by the header: a fuzz behind the seal."""
    vouching = MacKey(secret) if secret else None
    start = envelope.MAGIC + bytes([1, 1]) + vouching.id if vouching else envelope.MAGIC + bytes([1, 0]) + bytes(8)
    sealed = start + header
    blob = sealed + (vouching.mac(sealed) if vouching else checksum(sealed))
    with pytest.raises(EnvelopeError):
        unseal(b"key", blob, mac_keys=secret, freezer=Zlib(), older=(None,))


@ways
def test_archives_that_change_places_are_refused(freezer: Freezer | None, secret: bytes | None) -> None:
    """D05, S-64: of two keys, also where one is the beginning of the other."""
    for other in (b"other", b"ke", b"key2", b"KEY", b"key\0"):
        blob = made(freezer=freezer, mac_key=secret)
        with pytest.raises(ForeignEnvelope, match="another key's") as caught:
            unseal(other, blob, freezer=freezer, mac_keys=secret)
        assert caught.value.key == other


@pytest.mark.parametrize("freezer", [None, AES, Chain(Zlib(), AES)], ids=repr)
def test_frozen_bytes_belong_to_their_header(freezer: Freezer | None) -> None:
    """S-33: where there is no MAC, an encrypting freezer still binds what it froze to key and generation."""
    blob, other = (made(key, freezer=freezer) for key in (b"key", b"yek"))
    fixed = envelope._FIXED.size
    head = fixed + len("valkey 9.1.0") + 3 + (len(freezer.name) if isinstance(freezer, AesGcm | Chain) else 0)
    assert head < len(blob) - 32
    mixed = blob[:head] + other[head:-32]
    forged = mixed + checksum(mixed)
    with pytest.raises(ForeignEnvelope, match="another archive"):
        unseal(b"key", forged, freezer=freezer)
    renamed = other[: head - 3] + b"key" + other[head:-32]
    with pytest.raises(ForeignEnvelope, match="another archive"):
        unseal(b"key", renamed + checksum(renamed), freezer=freezer)
    if freezer is None:  # a checksum stops nobody, and the documentation says so
        body = hashlib.sha256(blob[:head]).digest() + PAYLOAD.replace(b"hello", b"jello")
        assert unseal(b"key", blob[:head] + body + checksum(blob[:head] + body)).payload != PAYLOAD


def test_a_later_archive_is_told_from_an_earlier_one() -> None:
    """D06: the generation is under the seal; who puts an older archive back puts back its number too."""
    older, newer = made(generation=6, mac_key=SECRET), made(generation=7, mac_key=SECRET)
    assert [unseal(b"key", blob, mac_keys=SECRET).generation for blob in (older, newer)] == [6, 7]
    place = envelope._FIXED.size
    mixed = newer[:place] + older[place:]
    with pytest.raises(DamagedEnvelope, match="MAC differs"):
        unseal(b"key", mixed, mac_keys=SECRET)


class TestMacKeys:
    def test_keys_are_rotated(self) -> None:
        old = made(mac_key=OLD)
        assert unseal(b"key", old, mac_keys=(SECRET, OLD)).has_mac
        assert unseal(b"key", old, mac_keys=[MacKey(SECRET), MacKey(OLD)]).has_mac
        with pytest.raises(ForeignEnvelope, match="MAC key that this store does not have"):
            unseal(b"key", old, mac_keys=SECRET)
        with pytest.raises(ForeignEnvelope, match="MAC key that this store does not have"):
            unseal(b"key", old)

    def test_a_checksum_does_not_pass_for_a_mac(self) -> None:
        """S-63: who cannot make a MAC cannot leave it out."""
        bare = made()
        with pytest.raises(ForeignEnvelope, match="no MAC"):
            unseal(b"key", bare, mac_keys=SECRET)
        found = unseal(b"key", bare, mac_keys=SECRET, allow_unsealed=True)
        assert not found.has_mac
        with pytest.raises(DamagedEnvelope):
            unseal(b"key", bare[:-1] + b"x", mac_keys=SECRET, allow_unsealed=True)

    def test_a_checksum_says_that_it_is_one(self) -> None:
        assert not unseal(b"key", made()).has_mac

    def test_the_mac_is_for_this_purpose_only(self) -> None:
        """S-63: the same secret used elsewhere gives no seal here."""
        blob = made(mac_key=SECRET)
        plain = hmac.digest(SECRET, blob[:-32], "sha256")
        assert plain != blob[-32:]
        with pytest.raises(DamagedEnvelope):
            unseal(b"key", blob[:-32] + plain, mac_keys=SECRET)

    @pytest.mark.parametrize("secret", [b"", b"short", "text" * 8, None, 5])
    def test_a_key_is_random_bytes(self, secret: Any) -> None:
        with pytest.raises(UsageError, match="MAC key"):
            MacKey(secret)

    def test_it_shows_nothing(self) -> None:
        """S-20."""
        key = MacKey(CANARY)
        told = repr(key) + " ".join(repr(getattr(key, name)) for name in MacKey.__slots__)
        assert "CANARY" not in told
        assert repr(key) == "MacKey(***)"
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(key)
        with pytest.raises(UsageError) as caught:
            MacKey(CANARY[:15])
        assert "CANARY" not in shown(caught.value, below="test_it_shows_nothing")
        with pytest.raises(EnvelopeError) as refused:
            unseal(b"key", made(mac_key=SECRET), mac_keys=key)
        assert "CANARY" not in shown(refused.value, below="test_it_shows_nothing")


class TestFreezersOfAnEnvelope:
    def test_the_freezer_of_before_can_be_given(self) -> None:
        blob = made(freezer=Zlib())
        assert unseal(b"key", blob, freezer=Zstd(), older=(Zlib(), None)).payload == PAYLOAD
        assert unseal(b"key", made(), freezer=Zstd(), older=(Zlib(), None)).payload == PAYLOAD
        with pytest.raises(ForeignEnvelope, match="frozen by zlib, and this store's freezer is zstd"):
            unseal(b"key", blob, freezer=Zstd())
        with pytest.raises(ForeignEnvelope, match="frozen by none, and this store's freezer is zstd"):
            unseal(b"key", made(), freezer=Zstd())

    def test_another_key_of_the_same_freezer_is_refused(self) -> None:
        blob = made(freezer=AES, mac_key=SECRET)
        with pytest.raises(DamagedEnvelope, match="an older one") as caught:
            unseal(b"key", blob, freezer=AesGcm(b"\x33" * 32), mac_keys=SECRET)
        assert caught.value.key == b"key"

    def test_a_bomb_in_an_envelope_is_refused(self) -> None:
        """D04, S-32."""
        blob = made(payload=bytes(1 << 20) + PAYLOAD, freezer=Zlib(), mac_key=SECRET)
        assert len(blob) < 3000
        with pytest.raises(DamagedEnvelope, match="more than 65536 bytes"):
            unseal(b"key", blob, freezer=Zlib(limit=1 << 16), mac_keys=SECRET)

    def test_what_a_freezer_of_ones_own_raises_is_told(self) -> None:
        class Broken:
            name = "broken"

            def freeze(self, data: bytes) -> bytes:
                if data.endswith(b"!" * 10):
                    raise KeyError("secret")
                return data

            def thaw(self, data: bytes) -> bytes:
                raise ValueError("secret")

        with pytest.raises(FreezerError, match="raised KeyError") as caught:
            made(payload=b"\0\0!!!!!!!!!!!", freezer=Broken())
        with pytest.raises(DamagedEnvelope, match="raised ValueError") as refused:
            unseal(b"key", made(freezer=Broken()), freezer=Broken())
        for error in (caught.value, refused.value):
            assert error.key == b"key"
            assert "secret" not in str(error)

    def test_a_freezer_gives_bytes(self) -> None:
        class Text:
            def freeze(self, data: bytes) -> Any:
                return "text"

            def thaw(self, data: bytes) -> Any:
                return None

        class Mute(Text):
            name = "Text"

            def freeze(self, data: bytes) -> bytes:
                return data

        with pytest.raises(UsageError, match="freeze must return bytes, not str"):
            made(freezer=Text())
        with pytest.raises(UsageError, match="thaw must return bytes, not NoneType"):
            unseal(b"key", made(freezer=Mute()), freezer=Text())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"key": "text"}, "bytes"),
        ({"key": b""}, "1 to"),
        ({"key": b"x" * 65_537}, "1 to"),
        ({"payload": b"0123456789"}, "DUMP"),
        ({"payload": b""}, "DUMP"),
        ({"generation": -1}, "generation"),
        ({"generation": 2**63}, "generation"),
        ({"generation": True}, "generation"),
        ({"server": None}, "server"),
        ({"server": "\ud800"}, "server"),
        ({"expires_at_ms": -1}, "expires_at_ms"),
        ({"freezer": b"key"}, "freezer"),
        ({"mac_key": b"short"}, "MAC key"),
    ],
)
def test_what_cannot_be_sealed_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        made(**change)


def test_the_header_says_where_it_came_from() -> None:
    for version in (9, 10, 12, 80, 0xFFFF):
        payload = PAYLOAD[:-10] + struct.pack("<H", version) + PAYLOAD[-8:]
        assert rdb_version_of(payload) == version
        assert unseal(b"key", made(payload=payload)).rdb_version == version
    for until in (None, 0, 1, 1_900_000_000_000):
        assert unseal(b"key", made(expires_at_ms=until)).expires_at_ms == until
    long = "é" * 200
    assert unseal(b"key", made(server=long)).server == "é" * 127


def test_a_header_that_does_not_fit_its_payload_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """S-63: the RDB version is compared with the target's before RESTORE, so it must be the payload's own."""
    with monkeypatch.context() as patch:
        patch.setattr(envelope, "rdb_version_of", lambda payload: 5)
        lying = made(mac_key=SECRET)
    with pytest.raises(DamagedEnvelope, match="does not fit") as caught:
        unseal(b"key", lying, mac_keys=SECRET)
    assert caught.value.key == b"key"


def test_other_programs_bytes_and_later_versions_are_told_apart() -> None:
    blob = made()
    with pytest.raises(ForeignEnvelope, match="no archive of Tundra's"):
        unseal(b"key", b"REDIS0011" + blob[9:])
    with pytest.raises(ForeignEnvelope, match="version 2; read it with a newer carmine"):
        unseal(b"key", blob[:8] + b"\x02" + blob[9:])
    with pytest.raises(DamagedEnvelope, match="too short"):
        unseal(b"key", b"")
