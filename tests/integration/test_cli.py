"""The command `carmine`, run as a user runs it: in a process of its own, on real servers, well and wrongly."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import carmine
from carmine.cli import demo, facts, stage, tour, tour_async, tour_layers
from carmine.cli.main import main
from carmine.cli.screen import Screen, screen_for, shortened, spoken
from carmine.cli.stage import Stage, WrongAnswer, expect, say
from carmine.embedded import EmbeddedRedis
from tests.lab.leaks import assert_no_leaks, snapshot
from tests.lab.matrix import LEGS
from tests.lab.scripted import Scripted
from tests.lab.servers import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.certs import Certificates

pytestmark = pytest.mark.one_server

ROOT = Path(__file__).resolve().parents[2]


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m carmine` and return what it said; nobody waits longer than a minute."""
    return subprocess.run(
        [sys.executable, "-m", "carmine", *words],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


class TestDemo:
    @pytest.fixture(scope="class")
    @staticmethod
    def walked() -> subprocess.CompletedProcess[str]:
        return run("demo")

    def test_it_ends_well(self, walked: subprocess.CompletedProcess[str]) -> None:
        assert walked.stderr == ""
        assert walked.returncode == 0
        assert re.search(r"^All \d{2,} steps gave what they were to give, in ", walked.stdout, re.MULTILINE)

    def test_it_says_on_what_it_runs(self, walked: subprocess.CompletedProcess[str]) -> None:
        name = "Cython" if carmine.protocol.__impl__ == "cython" else "pure Python"
        first = walked.stdout.splitlines()[:4]
        assert carmine.__version__ in first[0]
        assert f"{name} twin" in first[1]
        assert re.search(r" started in [\d.]+ m?s at redis://127\.0\.0\.1:\d+/0$", first[3])

    def test_every_chapter_is_there(self, walked: subprocess.CompletedProcess[str]) -> None:
        numbers = [int(number) for number in re.findall(r"^(\d+)\. ", walked.stdout, re.MULTILINE)]
        assert numbers == list(range(1, len((*tour.TOUR, *tour_layers.TOUR_LAYERS, *tour_async.TOUR_ASYNC)) + 1))

    @pytest.mark.parametrize(
        "said",
        [
            r"\d [mu]s  client\.get\(\"user:1\"\) +'Ada'",
            r"[\d.]+ [mu]s  with client\.pipeline\(\) as pipe:",
            "-> WatchError: ",
            "-> WrongTypeError: WRONGTYPE",
            "did you mean pool_size",
            "-> ConnectFailed: .*Connection refused",
            r"[\d,]+ GET/s, [\d.]+ us each",
            r"await aclient\.get\(\"user:1\"\) +'Ada'",
        ],
    )
    def test_it_shows(self, walked: subprocess.CompletedProcess[str], said: str) -> None:
        assert re.search(said, walked.stdout)

    def test_without_a_terminal_it_is_plain_and_narrow(self, walked: subprocess.CompletedProcess[str]) -> None:
        assert walked.stdout.isascii()
        assert "\x1b" not in walked.stdout
        assert "type: ignore" not in walked.stdout
        assert max(map(len, walked.stdout.splitlines())) <= 110

    def test_a_wrong_answer_ends_it_with_a_failure(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(demo, "TOUR", (tour.connect, wrong_value))
        before = snapshot()
        assert main(["demo"]) == 1
        said = capsys.readouterr()
        line = wrong_value.__code__.co_firstlineno + 3
        assert (
            said.err == f"carmine demo: client.get('never set') gave None, not 'something' ({__file__}, line {line})\n"
        )
        assert "All " not in said.out
        assert_no_leaks(before)

    def test_an_unexpected_error_ends_it_with_a_failure(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(demo, "TOUR", (tour.connect, wrong_type))
        assert main(["demo"]) == 1
        assert capsys.readouterr().err.startswith("carmine demo: WrongTypeError: WRONGTYPE")

    def test_an_error_that_does_not_come_is_a_failure(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(demo, "TOUR", (tour.connect, wrong_hope))
        assert main(["demo"]) == 1
        assert "WrongTypeError was to be raised, and nothing was" in capsys.readouterr().err

    def test_a_reader_that_goes_away_is_no_error(self) -> None:
        with subprocess.Popen(
            [sys.executable, "-m", "carmine", "demo"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            assert child.stderr is not None
            child.stdout.readline()
            child.stdout.close()
            assert child.stderr.read() == b""
            assert child.wait(30) == 0

    def test_an_interrupt_ends_it_and_its_server(self) -> None:
        with subprocess.Popen(
            [sys.executable, "-m", "carmine", "demo"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as child:
            assert child.stdout is not None
            said = ""
            while "\n11. " not in said:  # which takes half a second
                line = child.stdout.readline()
                assert line
                said += line
            child.send_signal(signal.SIGINT)
            _, complaint = child.communicate(timeout=30)
        assert complaint == "\ncarmine demo: interrupted\n"
        assert child.returncode == 130
        [url] = re.findall(r"redis://127\S+", said)
        with pytest.raises(carmine.ConnectFailed):
            carmine.connect(url, retry=carmine.Retry(1)).ping()

    def test_no_server_is_one_sentence(self) -> None:
        done = run("demo", CARMINE_REDIS_SERVER="/nowhere/redis-server")
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert "CARMINE_REDIS_SERVER names no executable file" in done.stderr

    def test_another_server_can_be_named(self) -> None:
        done = run("demo", "--server", RedisServer().server_path)
        assert (done.returncode, done.stderr) == (0, "")


def wrong_value(client: carmine.Client[str]) -> None:
    """A wrong answer."""
    say("now it comes")
    assert client.get("never set") == "something"


def wrong_type(client: carmine.Client[str]) -> None:
    """An error that nobody announced."""
    client.set("text", "x")
    client.lpush("text", "y")


def wrong_hope(client: carmine.Client[str]) -> None:
    """An announced error that does not come."""
    with expect(carmine.WrongTypeError):
        client.ping()


def plain_chapter() -> None:
    """A chapter.

    Of two
    lines.
    """
    number = 6
    assert number * 7 == 42
    with expect(ZeroDivisionError):
        number // 0  # type: ignore[unused-ignore]  # not shown
    assert [
        number,
    ] == [6]


async def async_chapter(number: int) -> None:
    """A second chapter."""
    assert await answer(number) == 7


async def answer(number: int) -> int:
    return number + 1


class TestStage:
    def perform(self, *chapters: Callable[..., object]) -> str:
        out = io.StringIO()
        performed = Stage(Screen(out), {}, lambda task: finish(task))
        for chapter in chapters:
            performed.perform(chapter)
        return out.getvalue()

    def test_what_is_shown(self) -> None:
        shown = self.perform(plain_chapter).splitlines()
        assert [line.rstrip() for line in shown[:3]] == ["", "1. A chapter", "   Of two lines."]
        text = re.sub(r"^ *[\d.]+ [mun]s  ", " " * 11, "\n".join(shown[3:]), flags=re.MULTILINE)
        assert text.splitlines() == [
            "           number = 6",
            f"{'           number * 7':64}42",
            "           number // 0",
            "             -> ZeroDivisionError: integer division or modulo by zero",
            "           [",
            "               number,",
            "           ]",
            "             -> [6]",
        ]

    def test_chapters_share_their_names_and_may_wait(self) -> None:
        assert "await answer(number)" in self.perform(plain_chapter, async_chapter)

    def test_a_condition_that_never_comes_true(self) -> None:
        with pytest.raises(WrongAnswer, match=r"did not happen within 0\.01 s"):
            stage.until(lambda: False, 0.01)


def finish(task: Any) -> Any:
    """Run a coroutine that never really waits."""
    try:
        task.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waited")


class TestScreen:
    @pytest.mark.parametrize(
        ("seconds", "text"),
        [(2.5, "2.5 s"), (0.25, "250 ms"), (0.0123, "12.3 ms"), (0.000045, "45 us"), (3e-7, "300 ns"), (0, "0 ns")],
    )
    def test_times(self, seconds: float, text: str) -> None:
        assert spoken(seconds) == text

    def test_long_values_are_cut(self) -> None:
        assert len(shortened("x" * 1000)) == 180
        assert shortened("x") == "'x'"

    @pytest.mark.parametrize("change", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
    def test_colours_can_be_refused(self, monkeypatch: pytest.MonkeyPatch, change: dict[str, str]) -> None:
        for name, value in change.items():
            monkeypatch.setenv(name, value)
        assert type(screen_for(Terminal())) is Screen

    def test_a_terminal_has_colours_where_rich_is_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("rich", reason="the extra `cli` is not installed")
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.delenv("NO_COLOR", raising=False)
        out = Terminal()
        Stage(screen_for(out), {}, finish).perform(plain_chapter)
        assert "\x1b[" in out.getvalue()
        assert "ZeroDivisionError" in out.getvalue()
        assert type(screen_for(Terminal(), plain=True)) is Screen

    def test_a_terminal_without_rich_has_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.delenv("NO_COLOR", raising=False)
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        assert type(screen_for(Terminal())) is Screen


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class TestDoctor:
    def test_without_a_url(self) -> None:
        done = run("doctor")
        assert (done.returncode, done.stderr) == (0, "")
        for said in (sys.executable, carmine.__version__, "twin  ", "Extras", RedisServer().server_path):
            assert said in done.stdout

    def test_json(self, url: str) -> None:
        done = run("doctor", "--json", "--url", url)
        assert (done.returncode, done.stderr) == (0, "")
        found = json.loads(done.stdout)
        assert found["python"]["executable"] == sys.executable
        assert (found["codec"]["why"] is None) == (found["codec"]["twin"] == "Cython")
        connection = found["connection"]
        assert connection["protocol"] == "RESP3"
        assert 0 < connection["ping_us"]["least"] <= connection["ping_us"]["median"]
        assert connection["warnings"] == []

    def test_the_server_is_named_on_both_protocols(self, server: RedisServer, protocol: int) -> None:
        found = json.loads(run("doctor", "--json", "--url", f"{server.url}?protocol={protocol}").stdout)
        assert found["connection"]["protocol"] == f"RESP{protocol}"
        assert re.match(rf"(redis|valkey) {re.escape(server.version)}, standalone", found["connection"]["server"])

    def test_the_data_is_left_alone(self, server: RedisServer) -> None:
        assert run("doctor", "--url", server.url).returncode == 0
        assert server.call("DBSIZE") == 0

    def test_what_a_server_refuses_is_told(self, make_server: Callable[..., RedisServer]) -> None:
        server = make_server(config={"user": "guest on >guest ~* +@all -config -eval"})
        done = run("doctor", "--url", server.url.replace("redis://", "redis://guest:guest@"))
        assert (done.returncode, done.stderr) == (0, "")
        assert re.search("refuses CONFIG GET +NOPERM", done.stdout)
        assert re.search("refuses EVAL +NOPERM", done.stdout)
        assert "guest:guest" not in done.stdout

    @pytest.mark.tls
    def test_tls(self, make_server: Callable[..., RedisServer], certs: Certificates) -> None:
        server = make_server(tls=certs.good, leg=LEGS["redis70"])
        done = run("doctor", "--url", f"{server.url}?ca_certs={certs.good.ca}")
        assert (done.returncode, done.stderr) == (0, "")
        assert re.search(r"TLS +TLSv1\.3, \w+; certificate for .*localhost.*, good for \d+ more days", done.stdout)

    def test_why_there_is_no_cython_twin(self) -> None:
        codec = json.loads(run("doctor", "--json", CARMINE_IMPL="python").stdout)["codec"]
        assert codec == {
            "twin": "pure Python",
            "why": "CARMINE_IMPL=python asks for it",
            "no_fast_path": "the pure twin is in use",
        }


BROKEN = [
    ("redis://127.0.0.1:1", "Connection refused"),
    ("redis://127.0.0.1:99999", "port must be a number"),
    ("nonsense", "begins with its scheme"),
    ("http://127.0.0.1", "scheme 'http' is not known"),
    ("redis://127.0.0.1/0?pool_sise=1", "did you mean pool_size"),
    ("unix:///nowhere/redis.sock", "No such file or directory"),
]


class TestDoctorsBadNews:
    """One clear sentence on stderr, status 1, no secret."""

    def refused(self, url: str) -> str:
        done = run("doctor", "--url", url)
        assert done.returncode == 1
        assert re.fullmatch(r"carmine doctor: [^\n]+\n", done.stderr)
        assert "Extras" in done.stdout
        return done.stderr

    @pytest.mark.parametrize(("url", "said"), BROKEN)
    def test_a_url_that_leads_nowhere(self, url: str, said: str) -> None:
        assert said in self.refused(url)

    def test_json_tells_it_too(self) -> None:
        done = run("doctor", "--json", "--url", "redis://127.0.0.1:1")
        assert done.returncode == 1
        assert "Connection refused" in json.loads(done.stdout)["error"]

    def test_a_wrong_password(self) -> None:
        with EmbeddedRedis(password="of-the-server") as server:
            said = self.refused(server.url.replace("of-the-server", "of-mine"))
        assert "WRONGPASS" in said
        assert "of-mine" not in said

    def test_a_web_server(self) -> None:
        with Scripted(lambda number, block: b"HTTP/1.1 400 Bad Request\r\n\r\n") as server:
            assert "this is a web server" in self.refused(f"redis://127.0.0.1:{server.port}")

    def test_a_silent_server(self) -> None:
        with Scripted(lambda number, block: b"") as server:
            said = self.refused(f"redis://127.0.0.1:{server.port}?connect_timeout=0.3")
        assert "did not answer HELLO in time" in said

    @pytest.mark.tls
    def test_a_certificate_of_a_stranger(self, make_server: Callable[..., RedisServer], certs: Certificates) -> None:
        server = make_server(tls=certs.good, leg=LEGS["redis70"])
        assert "give the authority" in self.refused(server.url)

    @pytest.mark.tls
    def test_a_plain_client_at_a_tls_port(self, make_server: Callable[..., RedisServer], certs: Certificates) -> None:
        server = make_server(tls=certs.good, leg=LEGS["redis70"])
        assert "use rediss://" in self.refused(server.url.replace("rediss:", "redis:"))


class TestFacts:
    @pytest.fixture
    def note(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
        """Give the place of a build's note, with the pure twin in use."""
        monkeypatch.setattr(facts, "__impl__", "python")
        monkeypatch.setattr(carmine, "__file__", str(tmp_path / "__init__.py"))
        monkeypatch.delenv("CARMINE_IMPL", raising=False)
        return tmp_path / "_build_info.json"

    def test_no_compiler(self, note: Path) -> None:
        entry = {"built": [], "mode": "auto", "python": "3", "reason": "the compiler cc failed with status 1"}
        note.write_text(json.dumps({EXTENSION_SUFFIXES[0]: entry}))
        why = "the Cython twin was not built: the compiler cc failed with status 1"
        assert facts.twin() == ("pure Python", why)

    def test_the_pure_wheel(self, note: Path) -> None:
        note.write_text(json.dumps({"any": {"built": [], "reason": "CARMINE_BUILD_EXT=0"}}))
        assert facts.twin().why == "the Cython twin was not built: CARMINE_BUILD_EXT=0"

    @pytest.mark.parametrize("text", [None, "{}", "{"])
    def test_no_note(self, note: Path, text: str | None) -> None:
        if text is not None:
            note.write_text(text)
        assert "was not installed for this Python" in str(facts.twin().why)

    def test_extras_are_those_of_pyproject(self) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        stated = project["optional-dependencies"]
        wanted = {
            name: {re.split(r"[>=;\[ ]", line)[0] for line in lines}
            for name, lines in stated.items()
            if name not in ("all", "test")
        }
        if sys.version_info >= (3, 14):
            wanted["tundra"].discard("backports.zstd")
        assert {name: set(names) for name, names in facts.EXTRAS.items()} == wanted

    def test_a_missing_extra_has_its_pip_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(facts.EXTRAS, "cli", ("no-such-distribution",))
        assert facts.extras()["cli"] == {"installed": {}, "install": 'pip install "carmine-redis[cli]"'}

    def test_a_server_that_cannot_run(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        broken = tmp_path / "redis-server"
        broken.write_text("not a program")
        broken.chmod(0o755)
        monkeypatch.setenv("CARMINE_REDIS_SERVER", str(broken))
        first = facts.servers()[0]
        assert first["path"] == str(broken)
        assert first["version"].startswith("cannot be run")


class TestCommandLine:
    def test_no_command_shows_what_there_is(self) -> None:
        done = run()
        assert done.returncode == 2
        assert "demo" in done.stderr
        assert "doctor" in done.stderr

    def test_an_unknown_command(self) -> None:
        done = run("domo")
        assert done.returncode == 2
        assert "choose from" in done.stderr

    def test_version(self) -> None:
        assert run("--version").stdout == f"carmine {carmine.__version__}\n"
