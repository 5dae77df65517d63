"""`carmine tundra status | verify | restore`, in this process and as one of its own."""

from __future__ import annotations

import importlib
import io
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import carmine
from carmine.cli import main as main_room
from carmine.cli.main import main
from carmine.cli.tundra_store import mac_keys
from carmine.errors import UsageError
from carmine.ext.tundra import TundraStore
from carmine.ext.tundra.disk import DiskDataStore
from tests.ext.tundra.stores import MAC_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.servers import RedisServer

pytestmark = [pytest.mark.one_server, pytest.mark.one_twin]

ROOT = __file__.rpartition("/tests/")[0]


@pytest.fixture
def store(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TundraStore]:
    """Give a store on disk with three archived keys; the environment has its URL and its secret."""
    monkeypatch.setenv("CARMINE_URL", url)
    monkeypatch.setenv("CARMINE_TUNDRA_MAC_KEYS", f"{b'another key, which is older'.hex()},{MAC_KEY.hex()}")
    with carmine.Client(url) as client:
        made = TundraStore(client, DiskDataStore(tmp_path / "archive"), mac_keys=MAC_KEY)
        client.mset({"a": "1", "b": "2", "c\x1b[2J": "3"})
        made.dirty("a", "b", "c\x1b[2J")
        made.worker().run_until_empty()
        yield made


@pytest.fixture
def place(tmp_path: Path) -> str:
    return f"disk:{tmp_path / 'archive'}"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Run a command; return its status and what it wrote."""
    status = main(["tundra", *words])
    written = capsys.readouterr()
    return status, written.out, written.err


def test_status(store: TundraStore, capsys: pytest.CaptureFixture[str]) -> None:
    store.client.set("d", "4")
    store.dirty("d")
    status, out, err = run(capsys, "status", "--json")
    told = json.loads(out)
    assert (status, err) == (0, "")
    assert told.pop("oldest") >= 0
    assert told == {
        "queue": "default", "evictable": 3, "waiting": 1, "queued": 1, "locked": 0, "backoff": 0, "dead": 0,
    }  # fmt: skip
    status, out, err = run(capsys, "status")
    assert (status, err) == (0, "")
    assert "3 keys" in out
    assert "1 keys, the first for" in out
    assert json.loads(run(capsys, "status", "--json", "--queue", "other")[1])["waiting"] == 0


def test_verify(store: TundraStore, place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "verify", "--store", place) == (
        0, "3 archives checked, 3 sound, 0 of them without a mark\n", "",
    )  # fmt: skip
    damaged = {b"a", b"c\x1b[2J"}
    for file in (tmp_path / "archive").rglob("*"):
        if file.is_file() and any(key in file.read_bytes() for key in damaged):
            file.write_bytes(file.read_bytes()[:-1] + b"\0")
    status, out, err = run(capsys, "verify", "--store", place)
    assert status == 1
    assert out.startswith("3 archives checked, ")
    assert "\x1b" not in out
    assert "not sound" in err
    status, out, err = run(capsys, "verify", "--store", place, "--json")
    told = json.loads(out)
    assert status == 1
    assert told["checked"] == 3
    assert "c\x1b[2J" in {each["key"] for each in told["failures"]}
    assert {each["error"] for each in told["failures"]} <= {"DataStoreError", "DamagedEnvelope"}
    assert run(capsys, "verify", "--store", place, "b")[0] in (0, 1)


def test_restore(store: TundraStore, place: str, capsys: pytest.CaptureFixture[str]) -> None:
    store.client.flushall()
    assert run(capsys, "restore", "--store", place, "--marks")[:2] == (
        0, "3 keys marked, 0 were here, the time of 0 was over\n",
    )  # fmt: skip
    assert not store.client.exists("a")
    status, out, _ = run(capsys, "restore", "--store", place, "--json")
    assert (status, json.loads(out)) == (
        0, {"restored": 3, "marked": 0, "here": 0, "expired": 0, "failures": []},
    )  # fmt: skip
    assert store.client.mget("a", "b") == ["1", "2"]


def test_a_store_of_the_users(
    store: TundraStore, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "place_of_archives.py").write_text(
        "from carmine.ext.tundra import TundraStore\n"
        "from carmine.ext.tundra.disk import DiskDataStore\n"
        f"place, key = {str(tmp_path / 'archive')!r}, {MAC_KEY!r}\n"
        "def make(client): return TundraStore(client, DiskDataStore(place), mac_keys=key)\n"
        "def wrong(client): return client\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    importlib.invalidate_caches()
    monkeypatch.delenv("CARMINE_TUNDRA_MAC_KEYS")
    assert run(capsys, "verify", "--from", "place_of_archives:make")[0] == 0
    for name in ("place_of_archives", "no_such_module:make", "place_of_archives:no", "place_of_archives:wrong"):
        status, _, err = run(capsys, "verify", "--from", name)
        assert status == 2
        assert "--from" in err


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["verify", "--store", "tape:1"], 2, "--store is disk:PATH"),
        (["verify", "--store", "disk:"], 2, "--store is disk:PATH"),
        (["verify", "--store", "s3://"], 2, "--store is disk:PATH"),
        (["verify", "--store", "disk:/no/such/folder"], 1, "disk datastore cannot be opened"),
        (["restore", "--store", "disk:.", "--mac-keys-file", "/no/such/file"], 2, "MAC keys cannot be read"),
        (["status", "--queue", ""], 2, "queue cannot be empty"),
        (["status", "--url", "http://x"], 2, "http"),
    ],
)
def test_what_cannot_be_used_is_told_in_a_sentence(
    store: TundraStore, capsys: pytest.CaptureFixture[str], words: list[str], status: int, told: str
) -> None:
    got, out, err = run(capsys, *words)
    assert (got, out) == (status, "")
    assert told in err
    assert len(err.splitlines()) == 1


def test_mac_keys_are_read_and_never_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S-20: in no message, wherever they come from."""
    path = tmp_path / "keys"
    path.write_text(f"{'ab' * 32}\n{'cd' * 16}\n")
    assert len(mac_keys(str(path))) == 2
    monkeypatch.setenv("CARMINE_TUNDRA_MAC_KEYS", "c0ffee, zz")
    with pytest.raises(UsageError, match="MAC key 1 is none") as info:
        mac_keys(None)
    assert "c0ffee" not in str(info.value)
    monkeypatch.delenv("CARMINE_TUNDRA_MAC_KEYS")
    assert mac_keys(None) == ()


def test_a_second_server(store: TundraStore, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "verify", "--store", url)
    assert status == 1
    assert out.startswith("3 archives checked, 0 sound")


def test_a_bar_on_a_terminal(store: TundraStore, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    console = pytest.importorskip("rich.console").Console
    out = io.StringIO()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    from carmine.cli.rich_screen import RichScreen  # noqa: PLC0415 - the extra may not be installed

    screen: Any = RichScreen(out)
    screen._console = console(file=out, force_terminal=True, width=100)
    monkeypatch.setattr(main_room, "screen_for", lambda *args, **options: screen)
    assert main(["tundra", "verify", "--store", place]) == 0
    assert "3/3" in out.getvalue()
    assert main(["tundra", "restore", "--store", place]) == 0
    assert "keys looked at" in out.getvalue()
    assert main(["tundra", "status"]) == 0


def test_as_a_process(store: TundraStore, server: RedisServer, place: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "carmine", "tundra", "verify", "--store", place, "--json"],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["sound"] == 3
