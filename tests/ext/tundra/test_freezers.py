"""Freezers: what they froze comes back, nothing else does, and nothing makes more than it may (SECURITY S-32, S-33)."""

from __future__ import annotations

import pickle
import subprocess
import sys
import traceback
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carmine.errors import CarmineError, UsageError
from carmine.ext.tundra.aesgcm import AesGcm
from carmine.ext.tundra.errors import FreezerError
from carmine.ext.tundra.freezers import Chain, Freezer, Zlib, freezer_name
from carmine.ext.tundra.zstd import Zstd

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

pytestmark = pytest.mark.one_twin

KEY, OTHER = b"\x11" * 32, b"\x22" * 32
ALL: tuple[Freezer, ...] = (
    Zlib(),
    Zlib(1),
    Zstd(),
    Zstd(19),
    AesGcm(KEY),
    Chain(Zlib(), AesGcm(KEY)),
    Chain(Zstd(), AesGcm(KEY), AesGcm(OTHER)),
)
CANARY = b"CANARY-9f3b2a7c!CANARY-9f3b2a7c!"


@pytest.mark.parametrize("freezer", ALL, ids=repr)
@given(data=st.binary(max_size=2000))
@settings(max_examples=20, deadline=None)
def test_what_was_frozen_comes_back(freezer: Freezer, data: bytes) -> None:
    assert freezer.thaw(freezer.freeze(data)) == data


@pytest.mark.parametrize("freezer", ALL, ids=repr)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_anything_else_is_refused_or_data(freezer: Freezer, data: st.DataObject) -> None:
    """S-32: bytes of any kind are data or a FreezerError, and never more than the limit."""
    junk = data.draw(st.binary(max_size=300))
    frozen = freezer.freeze(b"a value " * 20)
    cut = data.draw(st.integers(0, len(frozen) - 1))
    for bad in (junk, frozen[:cut], frozen[:cut] + junk, frozen[:cut] + junk + frozen[cut:]):
        if bad == frozen:
            continue
        try:
            freezer.thaw(bad)
        except FreezerError:
            continue
        assert "aes" not in freezer_name(freezer)  # an authenticated one lets nothing else pass


@pytest.mark.parametrize("freezer", [Zlib(), Zstd()], ids=repr)
def test_what_is_cut_or_goes_on_is_refused(freezer: Freezer) -> None:
    frozen = freezer.freeze(b"a value " * 100)
    for cut in range(len(frozen)):
        with pytest.raises(FreezerError):
            freezer.thaw(frozen[:cut])
    for more in (b"x", b"\0", frozen):
        with pytest.raises(FreezerError, match="follow"):
            freezer.thaw(frozen + more)


def test_a_bomb_makes_no_more_than_the_limit() -> None:
    """S-32: 64 MiB of zeros in some kilobytes; measured in a process of its own, whose memory has a limit."""
    script = """
import resource, sys, zlib
from carmine.ext.tundra.errors import FreezerError
from carmine.ext.tundra.freezers import Zlib
import carmine.ext.tundra.zstd as module
Zstd, zstd = module.Zstd, module.zstd
bombs = (Zlib(limit=1 << 16), zlib.compress(bytes(1 << 26))), (Zstd(limit=1 << 16), zstd.compress(bytes(1 << 26)))
room = int(open("/proc/self/statm").read().split()[0]) * 4096 + (24 << 20) if sys.platform == "linux" else None
if room:
    resource.setrlimit(resource.RLIMIT_AS, (room, room))
for freezer, bomb in bombs:
    assert len(bomb) < 1 << 17
    for frozen in (bomb, bomb[:-3]):
        try:
            freezer.thaw(frozen)
        except FreezerError as exc:
            assert "more than 65536 bytes" in str(exc), exc
        else:
            raise SystemExit("a bomb went off")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_limit_is_exact_and_holds_for_writing() -> None:
    for make in (
        lambda limit: Zlib(limit=limit),
        lambda limit: Zstd(limit=limit),
        lambda limit: AesGcm(KEY, limit=limit),
    ):
        freezer, larger = make(100), make(101)
        assert freezer.thaw(freezer.freeze(b"x" * 100)) == b"x" * 100
        with pytest.raises(FreezerError, match="limit="):
            freezer.freeze(b"x" * 101)
        with pytest.raises(FreezerError, match="100"):
            freezer.thaw(larger.freeze(b"x" * 101))


def test_a_zstd_frame_that_wants_too_much_memory_is_refused() -> None:
    options: dict[int, int] = {zstd.CompressionParameter.window_log: 28}
    stream = zstd.ZstdCompressor(options=options)
    frame = stream.compress(b"x" * 100) + stream.flush()
    with pytest.raises(FreezerError):
        Zstd().thaw(frame)


class TestAesGcm:
    def test_a_nonce_is_never_the_same(self) -> None:
        freezer = AesGcm(KEY)
        frozen = [freezer.freeze(b"same") for _ in range(500)]
        assert len({one[9:21] for one in frozen}) == 500
        assert len({one[21:] for one in frozen}) == 500

    def test_every_byte_is_authenticated(self) -> None:
        """S-33: the head too, which is not encrypted."""
        freezer = AesGcm(KEY, OTHER)
        frozen = freezer.freeze(b"a value")
        for place in range(len(frozen)):
            for bit in range(8):
                flipped = bytearray(frozen)
                flipped[place] ^= 1 << bit
                with pytest.raises(FreezerError):
                    freezer.thaw(bytes(flipped))

    def test_keys_are_rotated(self) -> None:
        old, new = AesGcm(OTHER), AesGcm(KEY, OTHER)
        assert new.thaw(old.freeze(b"before")) == b"before"
        assert AesGcm(KEY).thaw(new.freeze(b"after")) == b"after"
        with pytest.raises(FreezerError, match="as an older one"):
            old.thaw(new.freeze(b"after"))

    @pytest.mark.parametrize("key", [CANARY[:31], CANARY + b"!", CANARY.decode(), None, 32, b""])
    def test_a_key_has_32_bytes(self, key: Any) -> None:
        """S-20: and no error shows it."""
        with pytest.raises(UsageError, match="32 random bytes") as caught:
            AesGcm(KEY, key)
        assert "CANARY" not in shown(caught.value, below="test_a_key_has_32_bytes")

    @pytest.mark.parametrize("limit", [0, -1, True, 1.5, 1 << 31])
    def test_a_limit_is_a_number_it_can_hold(self, limit: Any) -> None:
        with pytest.raises(UsageError, match="limit must be"):
            AesGcm(CANARY, limit=limit)

    def test_it_shows_no_key(self) -> None:
        """S-20."""
        freezer = AesGcm(CANARY)
        for freezer_like in (freezer, Chain(Zlib(), freezer)):
            told = f"{freezer_like!r} {freezer_like} {getattr(freezer_like, '__dict__', '')}"
            told += " ".join(repr(getattr(freezer, name)) for name in AesGcm.__slots__)
            assert "CANARY" not in told
            assert "***" in repr(freezer_like)
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(freezer)
        with pytest.raises(FreezerError) as caught:
            freezer.thaw(freezer.freeze(b"x")[:-1])
        assert "CANARY" not in shown(caught.value, below="test_it_shows_no_key")


def shown(exc: BaseException, below: str) -> str:
    """Return a traceback with the locals of its frames, as error reporters show it, from below a test's own frame."""
    told = traceback.TracebackException.from_exception(exc, capture_locals=True)
    frames = [frame for frame in told.stack if frame.name != below]
    assert frames
    return f"{exc!r} {exc} " + " ".join(f"{frame.name} {frame.locals}" for frame in frames)


class TestNames:
    @pytest.mark.parametrize(
        ("freezer", "name"),
        [
            (None, ""),
            (Zlib(), "zlib"),
            (Zstd(), "zstd"),
            (AesGcm(KEY), "aes-256-gcm"),
            (Chain(Zstd(), AesGcm(KEY)), "zstd+aes-256-gcm"),
        ],
    )
    def test_names(self, freezer: Freezer | None, name: str) -> None:
        assert freezer_name(freezer) == name

    def test_a_freezer_of_ones_own_needs_two_methods(self) -> None:
        class Reverse:
            def freeze(self, data: bytes) -> bytes:
                return data[::-1]

            def thaw(self, data: bytes) -> bytes:
                return data[::-1]

        chain = Chain(Zlib(), Reverse())
        assert chain.name == "zlib+Reverse"
        assert chain.freeze(b"a" * 50) == zlib.compress(b"a" * 50, 6)[::-1]
        assert chain.thaw(chain.freeze(b"abc")) == b"abc"

    @pytest.mark.parametrize(
        ("made", "words"),
        [
            ((Chain,), "at least one"),
            ((Chain, Zlib(), None), "at least one"),
            ((Chain, b"key"), "freeze and thaw"),
            ((Chain, Zlib), "freeze and thaw"),
            ((Chain, *[AesGcm(KEY)] * 30), "1 to 255"),
            ((Zlib, 0), "level"),
            ((Zlib, 10), "level"),
            ((Zlib, True), "level"),
            ((Zstd, 20), "level"),
            ((Zstd, "3"), "level"),
        ],
    )
    def test_what_is_none_is_refused(self, made: tuple[Any, ...], words: str) -> None:
        with pytest.raises(UsageError, match=words) as caught:
            made[0](*made[1:])
        assert shown(caught.value, below="test_what_is_none_is_refused")


@pytest.mark.parametrize(
    ("module", "missing", "line"),
    [
        ("zstd", "backports", "carmine-redis[tundra]"),
        ("aesgcm", "cryptography", "carmine-redis[tundra]"),
        ("s3", "boto3", "carmine-redis[s3]"),
        ("dynamodb", "botocore", "carmine-redis[dynamodb]"),
    ],
)
def test_a_missing_extra_names_the_line_that_installs_it(module: str, missing: str, line: str) -> None:
    if module == "zstd" and sys.version_info >= (3, 14):
        pytest.skip("zstd is part of Python")
    script = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "import carmine.ext.tundra.envelope, carmine.ext.tundra.disk\n"
        "from carmine.errors import MissingExtra\n"
        f"try:\n    import carmine.ext.tundra.{module}\n"
        "except MissingExtra as exc:\n    print(exc)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert f"'{line}'" in done.stdout
    assert "pip install '" in done.stdout


def test_the_core_of_tundra_needs_no_extra() -> None:
    script = (
        "import sys, carmine.ext.tundra.envelope, carmine.ext.tundra.disk, carmine.ext.tundra.conformance\n"
        "print([name for name in ('boto3', 'botocore', 'cryptography', 'backports', 'pytest', 'unittest', 'pickle')"
        " if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_errors_are_carmines() -> None:
    assert issubclass(FreezerError, CarmineError)
    error = pickle.loads(pickle.dumps(FreezerError("told", key=b"k")))
    assert (str(error), error.key) == ("told", b"k")
