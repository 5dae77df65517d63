"""The harness of the queue and of the locks: a figure counts only where every message was handled once."""

from __future__ import annotations

import ast
import random
import time
from typing import TYPE_CHECKING, Any, cast

import pytest

from bench import __main__ as command
from bench import envs, layers, record, server
from bench.contestant import Sample
from bench.locks import report as locks_report
from bench.locks import rows as locks_rows
from bench.locks import run as locks_run
from bench.locks.server import Teller, by_wire, commands_in
from bench.measure import CONTROL, Seat, Times
from bench.probes import Finding
from bench.processes import TICK
from bench.queues import report as queues_report
from bench.queues import rows as queues_rows
from bench.queues import run as queues_run
from bench.queues.board import Board
from bench.queues.session import Producer, Session, per_message
from bench.rivals.work import Unavailable
from bench.run import Outcome, play_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

RIVALS = envs.ROOT / "bench" / "rivals"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the place of a board's file."""
    return tmp_path / "board"


@pytest.fixture
def board(path: Path) -> Iterator[Board]:
    """Give a small board."""
    made = Board(path, 1000)
    yield made
    made.close()


class StubService:
    """A worker that marks what it is given, some of it twice or not at all."""

    def __init__(self, board: Board, numbers: list[int], pause: float = 0.0) -> None:
        for number in numbers:
            board.note(number)
            time.sleep(pause)
        self.is_alive = False
        self.stopped = False

    def cpu(self) -> float:
        return 1.5

    def last_words(self) -> str:
        return "no such task"

    def stop(self) -> None:
        self.stopped = True


class StubProducer:
    """A producer whose queue keeps `left` messages."""

    def __init__(self, serve: Callable[[], StubService], left: int = 0) -> None:
        self.contestant, self.left, self._serve = self, left, serve
        self.clears = 0

    def clear(self) -> None:
        self.clears += 1

    def ask(self, what: str, first: int, count: int, **_: object) -> list[int]:
        return [1_000_000 * at for at in range(count)] if what != "fill" else []

    def size(self) -> int:
        return self.left

    def serve(self, setting: str) -> StubService:
        return self._serve()


def session(board: Board, numbers: list[int], left: int = 0, pause: float = 0.0) -> Session:
    producer = StubProducer(lambda: StubService(board, numbers, pause), left)
    return Session(cast("Producer", producer), board, "default")


class TestSession:
    def test_a_drain_is_timed_without_its_first_quarter(self, board: Board) -> None:
        drain = session(board, [4, 3, 2, 1, 0], pause=0.002).drain(5)
        times = board.times(0, 5)
        assert drain.wall == pytest.approx((times[0] - times[3]) / 1e9 / 3)
        assert drain.wall >= 0.002
        assert per_message([0, 9_000_000_000, 10_000_000_000, 11_000_000_000]) == 1.0
        # The stub's clock stands still: the least that the kernel can tell of is counted.
        assert drain.cpu == TICK / 5

    @pytest.mark.parametrize(
        ("numbers", "left", "reason"),
        [
            ([0, 1, 2, 3, 3], 0, "a message was handled twice"),
            ([0, 1, 3], 0, "its worker stopped at 3 of 4: no such task"),
            ([], 0, "its worker stopped at 0 of 4"),
            ([0, 1, 2, 3], 2, "2 messages are left, 0 should be"),
        ],
    )
    def test_a_drain_that_is_not_right_is_no_figure(
        self, board: Board, numbers: list[int], left: int, reason: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bench.queues.session._SETTLE", 0.0)
        with pytest.raises(Unavailable, match=reason), session(board, numbers, left) as made:
            made.drain(4)

    def test_messages_that_rest_are_expected_to_be_left(self, board: Board) -> None:
        with session(board, [0, 1, 2], left=30, pause=0.001) as made:
            assert made.drain(3, resting=30).wall > 0

    def test_a_session_begins_and_ends_with_nothing(self, board: Board) -> None:
        board.note(5)
        producer = StubProducer(lambda: service)
        with Session(cast("Producer", producer), board, "best") as made:
            assert not any(board.runs(0, 1000))
            assert producer.clears == 1
            service = StubService(board, [])
            made.start()
        assert service.stopped
        assert producer.clears == 2

    def test_waits_are_counted_from_the_call_that_sent(self, board: Board) -> None:
        made = session(board, [0, 1])
        made.drain(2)
        for number in (2, 3):
            board.note(number)
        begun = board.times(2, 4)
        assert made.pings(2, (0, 0), 1.0, 1) == pytest.approx([begun[0] / 1e6, begun[1] / 1e6 - 1])
        for number in (4, 5):
            board.note(number)
        begun = board.times(4, 6)
        assert made.delays(2, 0.3, 0) == pytest.approx([begun[0] / 1e6 - 300, begun[1] / 1e6 - 301])

    def test_a_wait_without_its_handler_is_no_figure(self, board: Board) -> None:
        made = session(board, [0, 1])
        made.drain(2)
        board.note(2)
        with pytest.raises(Unavailable, match="2 messages were sent, 1 handled"):
            made.pings(2, (0, 0), 1.0, 1)


class StubContestant:
    """A producer's process that loses one message in each block."""

    def __init__(self, lost: int) -> None:
        self.sent, self.lost = 0, lost

    def run(self, work: str, count: int) -> Sample:
        self.sent += count * 10 - self.lost
        return Sample(1.0, 0.5)

    def ask(self, what: str) -> int:
        found = self.sent
        if what == "clear":
            self.sent = 0
        return found


@pytest.mark.parametrize("lost", [0, 1])
def test_every_block_of_sends_is_counted(lost: int) -> None:
    producer = Producer.__new__(Producer)
    producer.contestant, producer.sends = cast("Any", StubContestant(lost)), 10
    if lost:
        with pytest.raises(Unavailable, match="30 messages were sent, 29 are there"):
            producer.run("bulk", 3)
    else:
        assert [producer.run("bulk", 3) for _ in range(2)] == [Sample(1.0, 0.5)] * 2


def test_who_fails_leaves_the_row_and_the_others_are_measured() -> None:
    run = queues_run.Run(("127.0.0.1", 0), queues_run.QUICK._replace(block=1.0), set(), lambda _: None)
    good, lossy, control = (StubSender(lasts) for lasts in (1000, 3, 1000))
    run._enqueue(cast("dict[str, Producer]", {"carmine": good, "rq": lossy, CONTROL: control}))
    for row in (queues_rows.ENQUEUE, queues_rows.BULK):
        outcome = run.found.outcomes[row.name]
        assert outcome.missing == {"rq": "it lost a message"}
        (launch,) = outcome.launches
        assert set(launch) == {"carmine", CONTROL}


def test_a_failure_that_is_nobodys_ends_the_run() -> None:
    outcome, seats = Outcome(queues_rows.ENQUEUE), {"carmine": Seat(StubSender(0), "w", 1)}
    seats[CONTROL] = seats["carmine"]
    with pytest.raises(Unavailable, match="it lost a message"):
        play_on(outcome, seats, lambda _: "", (1, 1.0, random.Random(1)))


class StubSender:
    """A producer whose blocks take a second, and which fails after so many."""

    def __init__(self, lasts: int) -> None:
        self.lasts, self.sends, self.failure = lasts, 1, ""

    def open(self, work: str) -> None:
        if self.failure:
            raise Unavailable(self.failure)

    def run(self, work: str, count: int) -> Sample:
        self.lasts -= 1
        if self.lasts < 0:
            self.failure = "it lost a message"
            raise Unavailable(self.failure)
        return Sample(1.0, 0.5)


class TestRows:
    @pytest.mark.parametrize("label", queues_rows.CONTENDERS)
    def test_every_queue_sends_and_serves(self, label: str) -> None:
        kind = queues_rows.CONTENDERS[label].kind
        tree = ast.parse((RIVALS / f"{kind.module.replace('.', '/')}.py").read_text())
        names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert {"versions", "size", "clear", "serve"} <= names
        assert names & {"send", "sending"}
        assert kind.environment is None or kind.environment in envs.PACKAGES

    @pytest.mark.parametrize("label", locks_rows.CONTENDERS)
    def test_every_lock_is_acquired(self, label: str) -> None:
        kind = locks_rows.CONTENDERS[label].kind
        tree = ast.parse((RIVALS / f"{kind.module.replace('.', '/')}.py").read_text())
        names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert {"versions", "acquire", "exists"} <= names
        assert kind.environment is None or kind.environment in envs.PACKAGES

    def test_a_target_about_the_best_peer_is_about_every_peer(self) -> None:
        peers = set(queues_rows.CONTENDERS) - set(queues_rows.OURS)
        assert len(peers) == 7
        for row in (queues_rows.ENQUEUE, queues_rows.BULK, queues_rows.DEFAULT, queues_rows.BEST, queues_rows.AGAINST):
            assert {target.of for target in row.targets} == peers, row.name
            assert {target.to for target in row.targets} <= set(queues_rows.OURS)

    def test_sweeps_are_compared_with_their_first_step(self) -> None:
        for row in (queues_rows.DEPTHS, queues_rows.DELAYED):
            labels = [place.label for place in row.places]
            assert row.reference == labels[0]
            assert {target.of for target in row.targets} == set(labels[1:])
            amounts = [queues_run.amount(label) for label in labels]
            assert amounts == sorted(amounts)


class TestFigures:
    @pytest.mark.parametrize(
        ("share", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1), (0.991, 100), (0.0, 1)]
    )
    def test_a_percentile_is_a_value_that_was_measured(self, share: float, expected: int) -> None:
        assert queues_run.percentile([*range(100, 0, -1)], share) == expected

    def test_few_values_have_their_greatest_as_the_99th(self) -> None:
        assert queues_run.figures([3.0, 1.0, 2.0]) == {"p50": 2.0, "p99": 3.0, "max": 3.0}

    def found(self) -> queues_run.Found:
        found = queues_run.Found()
        found.outcomes[queues_rows.ENQUEUE.name].launches = [
            {"carmine": Times([1e-4], [1e-4]), "rq": Times([4e-4], [4e-4]), CONTROL: Times([1e-4], [1e-4])}
        ] * 3
        found.waits = {"carmine": queues_run.Waits([[1.0, 2.0], [1.5]], [[0.5]]), "rq": queues_run.Waits([[20.0]], [])}
        found.missing["late"]["rq"] = "a message was not handled in 10 s"
        return found

    def test_the_table_has_a_line_for_each_queue_that_was_measured(self) -> None:
        lines = queues_report.summary(self.found())
        assert lines[2:] == [
            "| carmine | 10,000 | - | - | - | 1.5/2 | 0.5/0.5 |",
            "| rq | 2,500 | - | - | - | 20/20 | - |",
        ]

    def test_waits_are_judged_by_all_messages_and_shown_with_their_rounds(self) -> None:
        findings = {(each.name, each.title, each.label): each for each in queues_report.findings(self.found())}
        p99 = findings["queue/latency", "idle latency, p99", "carmine"]
        assert p99.value == (2.0, 1.5, 2.0)
        assert p99.verdict is not None
        assert p99.verdict.value == "met"
        rq = findings["queue/delay", "300 ms delay, late by", "rq"]
        assert rq.value is None
        assert rq.missing == "a message was not handled in 10 s"
        assert findings["queue/latency", "idle latency, p50", "rq"].target is None

    def test_what_waiting_costs_is_judged_by_its_middle_round(self) -> None:
        found = locks_run.Found()
        found.waiter = {"carmine": [1.0, 9.0, 2.0], "redis-py": [10.0, 11.0, 12.0]}
        found.handovers = {"carmine": [[1.0, 1.2], [6.0]]}
        found.missing = {"polling": "its worker process died"}
        findings = {(each.title, each.label): each for each in locks_report.findings(found)}
        waiter = findings[locks_rows.WAITER.title, "carmine"]
        assert waiter.value == (2.0, 1.0, 9.0)
        assert waiter.verdict is not None
        assert waiter.verdict.value == "met"
        assert findings[locks_rows.WAITER.title, "redis-py"].verdict is None
        late = findings[locks_rows.HANDOVER["p99"].title, "carmine"]
        assert late.value == (6.0, 1.2, 6.0)
        assert late.verdict is not None
        assert late.verdict.value == "missed"
        assert findings[locks_rows.WAITER.title, "polling"].missing == "its worker process died"

    def test_a_wrong_answer_fails_the_run_wherever_it_was_seen(self) -> None:
        outcome = Outcome(queues_rows.BULK)
        finding = Finding("queue/delay", "late by", "rq", "ms", None)
        assert not record.is_wrong([outcome], [finding])
        outcome.missing["rq"] = "it sends messages one by one only"
        assert not record.is_wrong([outcome], [finding])
        assert record.is_wrong([outcome], [finding._replace(missing="its answer is not right: a message twice")])
        outcome.missing["rq"] = "its answer is not right: 2 messages are left, 0 should be"
        assert record.is_wrong([outcome], [finding])


class TestServer:
    def test_commands_inside_scripts_did_not_come_by_the_wire(self) -> None:
        lines = [
            b'1700000000.000001 [0 127.0.0.1:5000] "EVALSHA" "abc" "1" "k[0 lua]"',
            b'1700000000.000002 [0 lua] "SET" "k" "v"',
            b'1700000000.000003 [9 unix:/tmp/s] "GET" "k"',
        ]
        assert by_wire(lines) == 2

    def test_commands_are_read_from_info(self) -> None:
        assert commands_in(b"# Stats\r\ntotal_connections_received:3\r\ntotal_commands_processed:42\r\n") == 42
        with pytest.raises(Unavailable, match="does not tell"):
            commands_in(b"# Stats\r\n")

    def test_the_teller_counts_others_and_not_itself(self) -> None:
        with server.running(is_empty=True) as running:
            teller, other = Teller(running.address), Teller(running.address)
            before = teller.executed()
            for _ in range(5):
                other.ask("SET", "k", "v")
            # Our own first question is in the second answer.
            assert teller.executed() - before == 6
            assert teller.rate(0.01) == 0
            script = "redis.call('SET', KEYS[1], 1) return redis.call('GET', KEYS[1])"
            assert teller.watch(lambda: [other.ask("EVAL", script, "1", "k") for _ in range(7)]) == 7
            teller.close()
            other.close()


class TestCommand:
    @pytest.mark.parametrize("words", [["queue", "--quick"], ["--quick", "queue"]])
    def test_options_may_stand_on_either_side(self, words: list[str]) -> None:
        asked = command.arguments(words)
        assert asked.command == "queue"
        assert asked.quick

    def test_what_is_not_asked_for_is_as_by_default(self) -> None:
        asked = command.arguments(["locks", "--skip", "polling"])
        assert (asked.quick, asked.skip, asked.rounds, asked.net, asked.json) == (False, ["polling"], None, "own", None)
        assert command.arguments([]).command is None

    def test_every_layer_can_be_asked_for(self) -> None:
        assert {command.arguments([name]).command for name in layers.LAYERS} == {"queue", "locks", "sessions"}


@pytest.mark.slow
@pytest.mark.build
def test_a_whole_run_of_carmine_alone(tmp_path: Path) -> None:
    """One round of everything, as small as it can be: the figures mean nothing, that they are there does."""
    peers = {label for label in queues_rows.CONTENDERS if label not in queues_rows.OURS}
    tiny = queues_run.Settings(
        rounds=1, seconds=0.01, block=0.002, pings=3, budget=5, delays=2, sweeps=1, deepest=1_000
    )
    with server.running(is_empty=True) as running:
        run = queues_run.Run(running.address, tiny, peers, lambda _: None)
        run.compare()
        run.sweep()
    found = run.found
    assert {name: outcome.missing for name, outcome in found.outcomes.items() if outcome.missing} == {}
    assert found.missing == {"latency": {}, "late": {}}
    for name in (queues_rows.ENQUEUE, queues_rows.BULK, queues_rows.DEFAULT, queues_rows.BEST, queues_rows.AGAINST):
        (launch,) = found.outcomes[name.name].launches
        assert set(launch) == {*queues_rows.OURS, CONTROL}, name.name
    assert set(found.outcomes[queues_rows.DEPTHS.name].launches[0]) == {"100", "1,000", CONTROL}
    assert set(found.outcomes[queues_rows.DELAYED.name].launches[0]) == {"0", "1,000", CONTROL}
    assert {label: [*map(len, waits.latency), *map(len, waits.late)] for label, waits in found.waits.items()} == {
        label: [3, 2] for label in queues_rows.OURS
    }
    written = record.Record("queue", tmp_path / "found.json", is_partial=True)
    status = written.write(list(found.outcomes.values()), queues_report.findings(found), lambda _: None)
    assert status == 0
    assert "| enqueue, one by one | carmine " in (tmp_path / "found.md").read_text()


@pytest.mark.slow
@pytest.mark.build
def test_a_whole_run_of_carmines_locks(tmp_path: Path) -> None:
    peers = {label for label in locks_rows.CONTENDERS if label not in locks_rows.OURS}
    tiny = locks_run.Settings(
        rounds=1, blocks=2, block=0.002, handovers=2, budget=5, settle=0.3, alone=0.1, crowded=0.1
    )
    with server.running(is_empty=True) as running:
        run = locks_run.Run(running.address, tiny, peers, lambda _: None)
        run.compare()
    found = run.found
    assert found.missing == found.outcome.missing == {}
    # What two round trips a turn are, the server itself has counted.
    assert found.trips == {label: [2.0] for label in locks_rows.OURS}
    assert {label: [len(each) for each in rounds] for label, rounds in found.handovers.items()} == {
        label: [2] for label in locks_rows.OURS
    }
    assert set(found.waiter) == set(found.crowd) == set(locks_rows.OURS)
