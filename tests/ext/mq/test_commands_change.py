"""`carmine mq enqueue`, `pause`, `resume`, `replay`, `purge` and `clear`: what they change, and what they refuse to."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

import carmine
from carmine.cli.main import main
from carmine.ext.mq import Queue, queue_names
from tests.ext.mq.commands import mq, one_sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.one_twin


@pytest.fixture
def queue(server: RedisServer) -> Iterator[Queue]:
    with carmine.Client(server.url) as client:
        yield Queue(client, "emails")


@pytest.fixture
def here(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Give a function that runs a command in this process, and returns its status and what it said."""
    monkeypatch.setenv("CARMINE_URL", server.url)

    def run(*words: str, stdin: bytes = b"") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(stdin))))
        capfd.readouterr()
        status = main(["mq", *words])
        return (status, *capfd.readouterr())

    return run


def bury(queue: Queue, *mids: str) -> None:
    """Put dead letters into a queue."""
    for mid in mids:
        queue.enqueue(mid, mid=mid)
    for message in queue.poll(len(mids)).messages:
        queue.bury(message, "no")


# enqueue -------------------------------------------------------------------------------------------------------------


def contents(queue: Queue) -> list[Any]:
    return sorted((one.content for one in queue.content().values()), key=repr)


def test_enqueue_from_the_command_line_and_from_stdin(queue: Queue, server: RedisServer) -> None:
    done = mq(server.url, "enqueue", "emails", "a text", "--mid", "m1")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"added m1\n", b"")
    done = mq(server.url, "enqueue", "emails", "--json", stdin=b'{"to": ["ada", 1.5]}\n')
    told = json.loads(done.stdout)
    assert (told["success"], told["action"], told["error"]) == (True, "added", None)
    assert queue.content()[told["mid"]].content == {"to": ["ada", 1.5]}
    assert contents(queue) == ["a text", {"to": ["ada", 1.5]}]


@pytest.mark.parametrize(
    ("words", "stdin", "content"),
    [
        (["x y"], b"", "x y"),
        (['{"a": 1}'], b"", '{"a": 1}'),
        (['{"a": 1}', "--json"], b"", {"a": 1}),
        (["--json", "[null, true, 12345678901234567890]"], b"", [None, True, 12345678901234567890]),
        (["--json", "-"], b'"text"', "text"),
        (["--json"], b"[1]\n", [1]),
        ([], "zwei\nZeilen ß\n".encode(), "zwei\nZeilen ß"),
        (["-"], b"windows\r\n", "windows"),
        (["-"], b"", ""),
        (["--", "-x"], b"", "-x"),
    ],
)
def test_what_is_enqueued(
    queue: Queue, here: Callable[..., tuple[int, str, str]], words: list[str], stdin: bytes, content: object
) -> None:
    status, _, complaint = here("enqueue", "emails", *words, stdin=stdin)
    assert (status, complaint) == (0, "")
    assert contents(queue) == [content]


def test_each_line_is_a_message(queue: Queue, here: Callable[..., tuple[int, str, str]]) -> None:
    status, said, complaint = here("enqueue", "emails", "--lines", "--backoff", "600", stdin=b"one\ntwo\r\n\n \nthree")
    assert (status, said, complaint) == (0, "added 3 messages\n", "")
    assert contents(queue) == ["one", "three", "two"]
    assert {one.status for one in queue.content().values()} == {"queued-with-backoff"}
    queue.clear()
    status, said, _ = here("enqueue", "emails", "--lines", "--json", stdin=b"".join(b"%d\n" % n for n in range(1_200)))
    answers = [json.loads(line) for line in said.splitlines()]
    assert (status, len(answers), {one["success"] for one in answers}) == (0, 1_200, {True})
    assert queue.status().queued == 1_200


def test_a_queue_that_is_full(queue: Queue, here: Callable[..., tuple[int, str, str]]) -> None:
    status, said, complaint = here("enqueue", "emails", "--lines", "--max-size", "2", stdin=b"1\n2\n3\n4\n")
    assert (status, said) == (1, "added 2 messages\n")
    assert complaint == "carmine mq enqueue: 2 messages did not go into the queue: the queue is full\n"
    assert here("enqueue", "emails", "x", "--max-size", "2")[2] == "carmine mq enqueue: the queue is full\n"
    assert contents(queue) == ["1", "2"]


def test_the_first_bad_line_ends_it(queue: Queue, here: Callable[..., tuple[int, str, str]]) -> None:
    """What came before is in the queue, and the sentence says so."""
    status, said, complaint = here("enqueue", "emails", "--lines", "--json", stdin=b"1\n\n2\n{secret\n3\n")
    assert (status, len(said.splitlines())) == (1, 2)
    assert complaint.startswith("carmine mq enqueue: line 4 of stdin is not JSON: ")
    assert complaint.endswith("; of what came before, 2 messages went into the queue\n")
    assert "secret" not in complaint
    assert contents(queue) == [1, 2]


@pytest.mark.parametrize(
    ("words", "stdin", "said"),
    [
        (["{", "--json"], b"", "the message is not JSON"),
        (["NaN", "--json"], b"", "not JSON that can be read"),
        (["9" * 5_000, "--json"], b"", "not JSON that can be read"),
        (["[" * 100_000, "--json"], b"", "not JSON that can be read"),
        (["-"], b"\xff\xfe", "the message on stdin is not UTF-8"),
        (["1", "--json", "2"], b"", "a message is given once"),
        (["--lines", "--json", "1"], b"", "--lines takes its messages from stdin"),
        (["x", "--lines"], b"", "--lines takes its messages from stdin"),
        (["x", "--mid", "end-of-circle"], b"", "a mid cannot be 'end-of-circle'"),
        (["x", "--mid", ""], b"", "a mid cannot be empty"),
        (["x", "--backoff", "-1"], b"", "backoff must be between"),
        (["x", "--max-size", "0"], b"", "max_size must be 1 or more"),
        (["x", "--lease", "nan"], b"", "lease must be between"),
        (["\udcff"], b"", "lone surrogate"),
    ],
    ids=lambda value: str(value)[:20].encode("ascii", "replace").decode(),
)
def test_what_is_no_message_is_refused_before_anything_is_sent(
    server: RedisServer, here: Callable[..., tuple[int, str, str]], words: list[str], stdin: bytes, said: str
) -> None:
    status, shown, complaint = here("enqueue", "emails", *words, stdin=stdin)
    assert (status, shown, complaint.count("\n")) == (2, "", 1)
    assert said in complaint
    assert server.call("DBSIZE") == 0


def test_a_mid_that_is_taken(queue: Queue, here: Callable[..., tuple[int, str, str]]) -> None:
    """Status 1 and why; the options that the library has make it one of success."""
    run = ("enqueue", "emails", "new", "--mid", "m")
    queue.enqueue("old", mid="m", backoff=600)
    assert here(*run)[::2] == (1, "carmine mq enqueue: the queue has a message of this mid already\n")
    assert here(*run, "--update")[1] == "updated m\n"
    assert here("enqueue", "emails", "kept", "--mid", "m", "--reset-backoff")[1] == "updated m\n"
    assert contents(queue) == ["new"]
    queue.enqueue("x", mid="held")
    queue.poll(2)
    held = ("enqueue", "emails", '"y"', "--mid", "held", "--json")
    status, said, complaint = here(*held)
    assert (status, json.loads(said)["error"]) == (1, "locked")
    assert "--requeue puts this one behind it" in complaint
    assert here(*held, "--requeue")[0] == 0
    assert queue.message_status("held") == "locked-with-requeue"


# pause, resume -------------------------------------------------------------------------------------------------------


def test_pause_and_resume(queue: Queue, here: Callable[..., tuple[int, str, str]]) -> None:
    assert here("pause", "emails", "other") == (0, "emails is paused\nother is paused\n", "")
    assert queue.is_paused()
    assert here("pause", "emails")[1] == "emails was paused already\n"
    assert json.loads(here("resume", "emails", "third", "--json")[1]) == {
        "queues": [
            {"name": "emails", "paused": False, "changed": True},
            {"name": "third", "paused": False, "changed": False},
        ]
    }
    assert not queue.is_paused()
    assert here("resume", "emails")[1] == "emails was not paused\n"


# replay, purge -------------------------------------------------------------------------------------------------------


def test_replay(queue: Queue, here: Callable[..., tuple[int, str, str]]) -> None:
    bury(queue, "a", "b", "c", "d")
    assert here("replay", "emails", "a") == (0, "1 dead letter put back into the queue\n", "")
    status, said, complaint = here("replay", "emails", "b", "b", "nobody", "--json")
    assert (status, json.loads(said)) == (1, {"queue": "emails", "replayed": 1})
    assert complaint == "carmine mq replay: 1 of 2 mids are queued again already, or have no dead letter\n"
    assert here("replay", "emails", "--all")[1] == "2 dead letters put back into the queue\n"
    assert queue.status()[:1] == (4,)
    assert here("replay", "emails", "--all") == (0, "0 dead letters put back into the queue\n", "")


@pytest.mark.parametrize("command", ["replay", "purge"])
@pytest.mark.parametrize("words", [[], ["m", "--all"]])
def test_which_dead_letters_has_to_be_said(
    queue: Queue, here: Callable[..., tuple[int, str, str]], command: str, words: list[str]
) -> None:
    bury(queue, "m")
    yes = ["--yes"] if command == "purge" else []
    assert here(command, "emails", *words, *yes) == (
        2,
        "",
        f"carmine mq {command}: give the mids of dead letters, or --all\n",
    )
    assert queue.status().dead == 1


def test_purge(queue: Queue, here: Callable[..., tuple[int, str, str]]) -> None:
    bury(queue, "a", "b", "c")
    assert here("purge", "emails", "--all")[0] == 2
    assert queue.status().dead == 3
    assert here("purge", "emails", "a", "--yes")[1] == "1 dead letter removed\n"
    assert here("purge", "emails", "a", "--yes")[::2] == (
        1,
        "carmine mq purge: 1 of 1 mids have no dead letter\n",
    )
    assert json.loads(here("purge", "emails", "--all", "--yes", "--json")[1]) == {"queue": "emails", "purged": 2}
    assert queue.status().dead == 0


# clear ---------------------------------------------------------------------------------------------------------------


def test_clear_wants_a_yes(queue: Queue, server: RedisServer) -> None:
    """Without a terminal nobody can be asked: status 2, and nothing is changed."""
    bury(queue, "dead")
    queue.enqueue("x", mid="m")
    queue.pause()
    assert "say --yes" in one_sentence(mq(server.url, "clear", "emails", stdin=b"y\n"), 2)
    assert "say --yes" in one_sentence(mq("redis://127.0.0.1:1", "clear", "--all"), 2)
    assert (queue.status().dead, queue.message_status("m")) == (1, "queued")
    done = mq(server.url, "clear", "emails", "--yes")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"removed 1 message and 1 dead letter\n", b"")
    assert queue.status() == (0, 0, 0, 0, 0, 0)
    assert queue.is_paused(), "as Queue.clear leaves it"


def test_s16_names_are_exact(queue: Queue, here: Callable[..., tuple[int, str, str]]) -> None:
    """A name that would be a pattern, and its neighbours, which survive."""
    client: Any = queue._client
    names = ["*", "?", "[ab]", "a\\*", "a", "b", "a*"]
    for name in names:
        Queue(client, name).enqueue("x", mid="m")
    for name in ("*", "a*", "[ab]", "?"):
        told = json.loads(here("clear", name, "--yes", "--json", "--forget")[1])
        assert told == {"queues": [{"name": name, "messages": 1, "dead": 0}]}
    assert queue_names(client) == ["a", "a\\*", "b"]
    assert [Queue(client, name).size() for name in names] == [0, 0, 0, 1, 1, 1, 0]


def test_clear_all(queue: Queue, here: Callable[..., tuple[int, str, str]]) -> None:
    client: Any = queue._client
    for name in ("a", "b"):
        Queue(client, name).enqueue("x")
        Queue(client, name).pause()
    client.set("of another", "1")
    assert here("clear", "--yes")[0] == 2
    assert here("clear", "a", "--all", "--yes")[0] == 2
    assert queue_names(client) == ["a", "b"]
    assert here("clear", "--all", "--forget", "--yes")[1] == "removed 2 messages and 0 dead letters\n"
    assert queue_names(client) == []
    assert sorted(client.scan_iter("*")) == [b"of another"]
    assert here("clear", "--all", "--yes") == (0, "there are no queues\n", "")
