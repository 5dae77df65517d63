"""`carmine mq status`, `peek` and `dead`, as a user runs them, on queues of every kind and with hostile contents."""

from __future__ import annotations

import decimal
import json
from typing import TYPE_CHECKING, Any

import pytest

import carmine
from carmine.cli import mq_shape as shape
from carmine.cli.main import main
from carmine.ext.mq import Queue, Result
from tests.ext.mq.commands import assert_harmless, mq

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.one_twin

STATUSES = {
    "q": "queued",
    "q-b": "queued-with-backoff",
    "l": "locked",
    "l-r": "locked-with-requeue",
    "d": "done-awaiting-gc",
    "d-b": "done-with-backoff",
    "d-r": "done-with-requeue",
}
EVIL = "a\x1b[2J\r\nb\x07\x9b\u202ec"
"""Clears the screen, forges a line, rings, begins a sequence in one byte, turns the letters around."""


@pytest.fixture
def client(server: RedisServer) -> Iterator[carmine.Client[Any]]:
    with carmine.Client(server.url) as made:
        yield made


@pytest.fixture
def here(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Give a function that runs a command in this process, and returns its status and what it said."""
    monkeypatch.setenv("CARMINE_URL", server.url)

    def run(*words: str) -> tuple[int, str, str]:
        capfd.readouterr()
        status = main(["mq", *words])
        return (status, *capfd.readouterr())

    return run


def fill(client: carmine.Client[Any], name: str = "emails") -> Queue:
    """Return a queue with one message of every status, and a dead letter."""
    queue = Queue(client, name)
    queue.enqueue("gone", mid="x")
    queue.bury(queue.poll().messages[0], "no such address")
    for mid in ("l", "l-r", "d", "d-b", "d-r"):
        queue.enqueue({"to": mid}, mid=mid)
    held = {message.mid: message for message in queue.poll(5, default_lease=600).messages}
    for mid in ("l-r", "d-r"):
        assert queue.enqueue("newer", mid=mid, can_requeue=True).success
    queue.finish_many([(held["d"], "success"), (held["d-b"], Result(backoff=600)), (held["d-r"], "success")])
    queue.enqueue({"to": "q"}, mid="q")
    queue.enqueue({"to": "q-b"}, mid="q-b", backoff=600)
    return queue


def test_status(client: carmine.Client[Any], server: RedisServer) -> None:
    """Every status counts once, as the library says; scripts get one object, people a table."""
    queue = fill(client)
    Queue(client, "other").pause()
    counts = queue.status()
    assert counts == (1, 2, 1, 3, 1, 7)
    done = mq(server.url, "status", "emails", "other", "--json")
    assert (done.returncode, done.stderr) == (0, b"")
    zeros = {"queued": 0, "locked": 0, "backoff": 0, "done": 0, "dead": 0, "total": 0}
    assert json.loads(done.stdout) == {
        "queues": [
            {"name": "emails", "paused": False, **counts._asdict()},
            {"name": "other", "paused": True, **zeros},
        ]
    }
    lines = mq(server.url, "status").stdout.decode().splitlines()
    assert [line.split() for line in lines] == [
        ["queue", "queued", "locked", "backoff", "done", "dead", "total"],
        ["emails", *map(str, counts)],
    ]
    assert len(set(map(len, lines))) == 1, "columns stand below each other"


def test_peek(client: carmine.Client[Any], server: RedisServer) -> None:
    """Every status by its name, the contents thawed, one object a line; no more than asked for."""
    fill(client)
    done = mq(server.url, "peek", "emails", "--json")
    assert (done.returncode, done.stderr) == (0, b"")
    told = {one["mid"]: one for one in map(json.loads, done.stdout.splitlines())}
    assert {mid: one["status"] for mid, one in told.items()} == STATUSES
    assert list(told["q"]) == ["mid", "status", "attempts", "backoff", "age", "form", "content"]
    assert (told["q"]["form"], told["q"]["content"]) == ("json", {"to": "q"})
    assert 590 < told["q-b"]["backoff"] <= 600
    assert told["l"]["attempts"] == 1
    shown = mq(server.url, "peek", "emails", "--limit", "3").stdout.decode().splitlines()
    assert len(shown) == 4
    assert shown[0].split() == ["mid", "status", "attempts", "rests", "age", "content"]


def test_dead(client: carmine.Client[Any], here: Callable[..., tuple[int, str, str]]) -> None:
    queue = Queue(client, "emails")
    for number in range(3):
        queue.enqueue([number], mid=f"m{number}")
        [message] = queue.poll().messages
        queue.bury(message, f"error {number}")
    status, said, complaint = here("dead", "emails", "--json", "--offset", "1", "--limit", "1")
    assert (status, complaint) == (0, "")
    letter = json.loads(said)
    assert list(letter) == ["mid", "attempts", "error", "born", "died", "form", "content"]
    assert (letter["mid"], letter["attempts"], letter["error"], letter["content"]) == ("m1", 1, "error 1", [1])
    assert letter["born"] <= letter["died"]
    lines = here("dead", "emails")[1].splitlines()
    assert [line.split()[0] for line in lines] == ["mid", "m0", "m1", "m2"]


def test_control_characters_never_reach_the_terminal(
    client: carmine.Client[Any], server: RedisServer, here: Callable[..., tuple[int, str, str]]
) -> None:
    """Names, mids, contents and errors are everybody's to write: in tables, in JSON, in sentences (S-08)."""
    queue = Queue(client, EVIL)
    for mid, content in (
        (EVIL, EVIL),
        ("m", {EVIL: [EVIL]}),
        ("b", EVIL.encode()),
        ("raw", carmine.raw(b"\xff\x1b[2J")),
    ):
        queue.enqueue(content, mid=mid)
    queue.enqueue(EVIL, mid=f"dead{EVIL}")
    for message in queue.poll(9).messages:
        if message.mid.startswith("dead"):
            queue.bury(message, EVIL)
    outputs = []
    for words in (["status"], ["status", EVIL], ["peek", EVIL], ["dead", EVIL]):
        for more in ([], ["--json"]):
            status, said, complaint = here(*words, *more)
            assert (status, complaint) == (0, "")
            assert "[2J" in said
            outputs.append(said.encode())
    unknown = mq(server.url, "status", "--nonsense", EVIL, f"--{EVIL}")
    assert unknown.returncode == 2
    assert_harmless(*outputs, mq(server.url, "peek", EVIL).stdout, unknown.stderr)
    listed = json.loads(outputs[1])["queues"]
    assert [one["name"] for one in listed] == [EVIL], "scripts get the name itself back"


@pytest.mark.parametrize(
    ("content", "form", "shown"),
    [
        ("text", "json", "text"),
        ({"a": [1, 2.5, None, True]}, "json", {"a": [1, 2.5, None, True]}),
        (float("inf"), "repr", "inf"),
        ((1, 2), "repr", "(1, 2)"),
        ({1: "x"}, "repr", "{1: 'x'}"),
        (b"\x00\xff", "repr", r"b'\x00\xff'"),
        (decimal.Decimal("1.50"), "repr", "Decimal('1.50')"),
        (10**5_000, "repr", "<int of 16610 bits>"),
        ("x" * 300, "cut", '"' + "x" * 199),
        (carmine.raw(b"\x00jnothing"), "unreadable", b"\x00jnothing".hex()),
        (carmine.raw(b"\x00>NPY\x00secret"), "unreadable", b"\x00>NPY\x00secret".hex()),
        (carmine.raw(b"\xff" * 10_000), "unreadable", "ff" * 100),
    ],
    ids=lambda value: str(value)[:12] if isinstance(value, str) else type(value).__name__,
)
def test_the_forms_of_a_content(
    client: carmine.Client[Any], here: Callable[..., tuple[int, str, str]], content: object, form: str, shown: object
) -> None:
    """What JSON cannot say is a text; what cannot be thawed is said to be so; all of it has an end."""
    Queue(client, "emails").enqueue(content, mid="m")
    told = json.loads(here("peek", "emails", "--json")[1])
    assert (told["form"], told["content"]) == (form, shown)
    status, table, _ = here("peek", "emails")
    assert status == 0
    assert max(map(len, table.splitlines())) < 300
    assert ("cannot be read" in table) == (form == "unreadable")


def test_one_queue_that_cannot_be_read(client: carmine.Client[Any], here: Callable[..., tuple[int, str, str]]) -> None:
    """Others are shown beside it; the status is 1, and one sentence says how many."""
    Queue(client, "good").enqueue("x")
    client.set("carmine:mq:bad:messages", "of another program")
    client.sadd("carmine:mq:queues", "bad", b"\xff\xfe", "n" * 2_000)
    status, said, complaint = here("status", "--json")
    assert status == 1
    assert complaint == "carmine mq status: 3 of 4 queues cannot be read\n"
    told = {one["name"]: one for one in json.loads(said)["queues"]}
    assert told["good"]["queued"] == 1
    assert "WRONGTYPE" in told["bad"]["error"]
    assert [name for name, one in told.items() if "error" in one] == ["bad", "n" * 2_000, "\udcff\udcfe"]
    rows = {line.split()[0]: line for line in here("status")[1].splitlines()[1:]}
    assert ["cannot be read: " in row for row in rows.values()] == [name != "good" for name in rows]
    assert len(rows) == 4


def test_a_letter_of_somebody_else(client: carmine.Client[Any], here: Callable[..., tuple[int, str, str]]) -> None:
    client.zadd("carmine:mq:emails:dead", {"m": 1e15})
    client.hset("carmine:mq:emails:dead-notes", "m", "nonsense")
    client.hset("carmine:mq:emails:dead-messages", "m", "x")
    assert here("dead", "emails")[::2] == (
        1,
        "carmine mq dead: a dead letter there was not written by carmine, and cannot be read\n",
    )
    client.hset("carmine:mq:emails:dead-notes", "m", "1 0 0 e")
    assert here("dead", "emails")[1].splitlines()[1].split()[0] == "m"


@pytest.mark.parametrize(("seconds", "text"), [(1e27, "1e+27"), (float("inf"), "inf"), (float("nan"), "nan")])
def test_a_time_that_no_calendar_has(seconds: float, text: str) -> None:
    assert shape.moment(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, ""), (0, ""), (0.25, "0.2 s"), (9.96, "10.0 s"), (10, "10 s"), (300, "5 min"), (7_200, "2 h"), (9e5, "10 d")],
)
def test_ages(seconds: float, text: str) -> None:
    assert shape.age(seconds) == text


def test_nothing_to_show(here: Callable[..., tuple[int, str, str]]) -> None:
    assert here("status") == (0, "there are no queues\n", "")
    assert here("peek", "emails") == (0, "no messages in 'emails'\n", "")
    assert here("dead", "emails") == (0, "no dead letters in 'emails'\n", "")
    assert here("status", "--json")[1] == '{"queues": []}\n'
    assert here("peek", "emails", "--json")[1] == ""


def test_a_stream_that_cannot_say_every_letter(client: carmine.Client[Any], server: RedisServer) -> None:
    Queue(client, "grüße").enqueue("日本", mid="m")
    done = mq(server.url, "peek", "grüße", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"\u65e5\u672c" in done.stdout
    assert "日本".encode() in mq(server.url, "peek", "grüße").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("peek", "x", "--limit", "0"), "is not between 1 and 1000000"),
        (("peek", "x", "--chars", "5"), "is not between 16 and 1000000"),
        (("dead", "x", "--offset", "-1"), "offset must be 0 or more"),
        (("peek", ""), "the name of a queue cannot be empty"),
        (("status", "x", "--watch", "0"), "--watch takes between 0.1"),
        (("status", "x", "--watch", "nan"), "--watch takes between 0.1"),
        (("nonsense",), "invalid choice"),
        ((), "required"),
    ],
)
def test_a_command_line_that_cannot_be_used(
    here: Callable[..., tuple[int, str, str]],
    capfd: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    said: str,
) -> None:
    try:
        status, _, complaint = here(*words)
    except SystemExit as end:  # argparse's own way
        status, complaint = int(end.code or 0), capfd.readouterr().err
    assert status == 2
    assert said in complaint


def test_s20_where_the_server_is(
    server: RedisServer, here: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """--url, else CARMINE_URL; a password is never printed, whatever goes wrong."""
    server.call("ACL", "SETUSER", "guest", "on", ">CANARY-9f3", "~*", "&*", "+@all")
    good = server.url.replace("redis://", "redis://guest:CANARY-9f3@")
    assert mq(good, "status").stdout == b"there are no queues\n"
    monkeypatch.setenv("CARMINE_URL", "redis://127.0.0.1:1")
    assert here("status", "--url", good)[0] == 0
    for url, status, said in (
        (good.replace("9f3", "9f4"), 1, "WRONGPASS"),
        ("redis://guest:CANARY-9f3@127.0.0.1:1", 1, "Connection refused"),
        ("redis://guest:CANARY-9f3@127.0.0.1:x", 2, "port must be a number"),
        ("http://guest:CANARY-9f3@127.0.0.1", 2, "scheme 'http' is not known"),
    ):
        monkeypatch.setenv("CARMINE_URL", url)
        ended, shown, complaint = here("status", "--json")
        assert (ended, shown, complaint.count("\n")) == (status, "", 1)
        assert said in complaint
        assert "CANARY" not in complaint
