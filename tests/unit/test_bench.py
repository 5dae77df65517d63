"""The benchmark harness judged on cases whose answer is known: a ratio is only worth the machinery that found it."""

from __future__ import annotations

import ast
import functools
import json
import math
import random
import shutil
import socket
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from bench import blobs, contestant, counts, data, envs, measure, report, resp, rows
from bench.contestant import KINDS, Contestant
from bench.measure import CONTROL, Seat, Times
from bench.rivals.work import Crew, Unavailable, repeated, threaded
from bench.run import Outcome
from bench.stats import Bound, Interval, Verdict, at_least, at_most, log_ratios, midmean, ratio_interval

NOWHERE = ("127.0.0.1", 0)


class Sample(NamedTuple):
    wall: float
    cpu: float


class Machine:
    """A clock that all stub runners share: it drifts, it jitters, and sometimes somebody else takes the processor."""

    def __init__(self, seed: int, *, drift: float = 0.0) -> None:
        self.chance = random.Random(seed)
        self.drift = drift
        self.blocks = 0

    def elapsed(self, ideal: float) -> float:
        self.blocks += 1
        slowed = ideal * math.exp(self.drift * self.blocks) * self.chance.gauss(1, 0.02)
        return slowed * (5 if self.chance.random() < 0.03 else 1)


class StubRunner:
    def __init__(self, machine: Machine, cost: float, log: list[str] | None = None, name: str = "") -> None:
        self.machine, self.cost, self.log, self.name = machine, cost, log, name

    def run(self, work: str, count: int) -> Sample:
        if self.log is not None:
            self.log.append(self.name)
        wall = self.machine.elapsed(self.cost * count)
        return Sample(wall, wall / 2)


def launches(costs: dict[str, float], *, drift: float = 0.0, number: int = 6) -> list[dict[str, Times]]:
    found = []
    for seed in range(number):
        machine = Machine(seed, drift=drift)
        # A launch has its own luck (memory layout, hash seed), for each process another.
        luck = {label: machine.chance.gauss(1, 0.01) for label in costs}
        seats = {label: Seat(StubRunner(machine, cost * luck[label]), "w", 1) for label, cost in costs.items()}
        found.append(measure.play(seats, 8, 0.02, machine.chance))
    return found


class TestStatistics:
    def test_the_midmean_does_not_follow_outliers(self) -> None:
        assert midmean([1, 1, 1, 1, 1, 1, 1, 1000]) == 1
        assert midmean([7]) == 7

    def test_pairs_must_be_pairs(self) -> None:
        with pytest.raises(ValueError, match="cannot be paired"):
            log_ratios([1.0, 2.0], [1.0])

    def test_nothing_measured_is_no_ratio(self) -> None:
        with pytest.raises(ValueError, match="no round"):
            ratio_interval([[], []])

    def test_a_constant_ratio_has_no_width(self) -> None:
        interval = ratio_interval([[math.log(2)] * 5] * 3)
        assert interval == pytest.approx((2, 2, 2))

    def test_the_interval_holds_the_truth_as_often_as_it_says(self) -> None:
        chance = random.Random(3)
        held = 0
        for _ in range(60):
            groups = []
            for _ in range(6):
                luck = chance.gauss(0, 0.01)
                groups.append([math.log(1.5) + luck + chance.gauss(0, 0.03) for _ in range(8)])
            held += ratio_interval(groups, resamples=300).contains(1.5)
        # A bootstrap over six launches is a little too sure of itself; far below nine in ten it would be wrong.
        assert held >= 50

    def test_the_interval_widens_with_the_luck_of_launches(self) -> None:
        steady = ratio_interval([[0.0, 0.01, -0.01] * 3] * 4)
        lucky = ratio_interval([[luck, luck + 0.01, luck - 0.01] * 3 for luck in (-0.1, 0.1, -0.05, 0.05)])
        assert lucky.high / lucky.low > 1.05 > steady.high / steady.low

    @pytest.mark.parametrize(
        ("bound", "interval", "verdict"),
        [
            (at_most(1.05), Interval(1.0, 0.98, 1.04), Verdict.MET),
            (at_most(1.05), Interval(1.04, 1.0, 1.06), Verdict.UNDECIDED),
            (at_most(1.05), Interval(1.2, 1.1, 1.3), Verdict.MISSED),
            (at_least(2), Interval(2.5, 2.0, 3.0), Verdict.MET),
            (at_least(2), Interval(2.5, 1.9, 3.0), Verdict.UNDECIDED),
            (at_least(2), Interval(1.5, 1.4, 1.99), Verdict.MISSED),
        ],
    )
    def test_a_target_is_met_only_by_the_whole_interval(
        self, bound: Bound, interval: Interval, verdict: Verdict
    ) -> None:
        assert bound.judge(interval) is verdict


class TestSchedule:
    def test_a_against_a_is_one_on_a_machine_that_slows_down(self) -> None:
        found = launches({"W": 1e-5, CONTROL: 1e-5}, drift=0.01)
        assert measure.compare(found, CONTROL, "W").contains(1)
        assert measure.compare(found, CONTROL, "W", cpu=True).contains(1)

    def test_the_same_slowing_down_fools_a_run_without_interleaving(self) -> None:
        machine = Machine(1, drift=0.01)
        first = [machine.elapsed(0.02) for _ in range(40)]
        second = [machine.elapsed(0.02) for _ in range(40)]
        assert not ratio_interval([log_ratios(second, first)]).contains(1)

    def test_a_difference_is_found_and_is_the_right_one(self) -> None:
        found = launches({"W": 1e-5, "slow": 1.1e-5, CONTROL: 1e-5}, drift=0.01)
        slow = measure.compare(found, "slow", "W")
        assert slow.contains(1.1)
        assert not slow.contains(1)

    def test_every_round_is_a_palindrome_and_rounds_differ(self) -> None:
        machine, log = Machine(5), list[str]()
        seats = {name: Seat(StubRunner(machine, 0.02, log, name), "w", 1) for name in "ABC"}
        measure.play(seats, 12, 0.02, machine.chance)
        played = log[6:]  # two blocks each went into calibration
        rounds = [played[start : start + 6] for start in range(0, len(played), 6)]
        assert len(rounds) == 12
        assert all(order == order[::-1] and sorted(order) == sorted("AABBCC") for order in rounds)
        assert len({tuple(order) for order in rounds}) > 2

    def test_a_block_lasts_about_as_long_as_asked(self) -> None:
        for cost in (1e-7, 1e-5, 1e-3, 0.5):
            count = measure.calibrate(StubRunner(Machine(2), cost), "w", 0.02)
            assert count == 1 or 0.5 < count * cost / 0.02 < 2

    def test_a_probe_that_was_interrupted_does_not_make_blocks_short(self) -> None:
        class Interrupted(StubRunner):
            def run(self, work: str, count: int) -> Sample:
                wall = count * 1e-5 + (0.05 if self.machine.elapsed(1) and self.machine.blocks == 1 else 0)
                return Sample(wall, wall)

        assert measure.calibrate(Interrupted(Machine(1), 1e-5), "w", 0.02) == pytest.approx(2000, rel=0.01)

    def test_times_are_per_unit(self) -> None:
        machine = Machine(9)
        seats = {"one": Seat(StubRunner(machine, 1e-3), "w", 1), "many": Seat(StubRunner(machine, 1e-1), "w", 100)}
        found = [measure.play(seats, 10, 0.02, machine.chance)]
        assert measure.compare(found, "many", "one").contains(1)


class TestReport:
    def outcome(self, carmine: float, control: float) -> Outcome:
        row = next(row for row in rows.ROWS if row.name == "sync/get")
        outcome = Outcome(row)
        outcome.launches = launches({"W": 1e-5, "carmine": carmine, CONTROL: control})
        outcome.missing = {"glide": "its environment is missing"}
        return outcome

    def test_a_target_is_judged(self) -> None:
        verdicts = {
            cost: [ratio.verdict for ratio in report.ratios(self.outcome(cost, 1e-5)) if ratio.target]
            for cost in (0.9e-5, 2e-5)
        }
        assert verdicts == {0.9e-5: ["met"], 2e-5: ["missed"]}

    def test_a_row_whose_control_is_off_is_not_judged(self) -> None:
        judged = [ratio.verdict for ratio in report.ratios(self.outcome(0.9e-5, 1.2e-5)) if ratio.target]
        assert judged == [report.NOISY]

    def test_what_is_missing_is_named_with_its_reason(self) -> None:
        table = report.as_markdown({}, [self.outcome(1e-5, 1e-5)], [])
        assert "- sync/get, glide: its environment is missing" in table

    def test_the_file_holds_every_sample(self) -> None:
        found = report.as_json({}, [self.outcome(1e-5, 1e-5)], [])
        (row,) = json.loads(json.dumps(found))["rows"]
        assert len(row["samples"]) == 6
        assert all(len(launch["carmine"]["wall"]) == 8 for launch in row["samples"])


class TestRows:
    def test_every_seat_names_a_work_that_its_rival_has(self) -> None:
        for row in rows.ROWS:
            for place in row.places:
                source = envs.ROOT / "bench" / "rivals" / f"{KINDS[place.kind].module}.py"
                names = {
                    node.name for node in ast.walk(ast.parse(source.read_text())) if isinstance(node, ast.FunctionDef)
                }
                if place.work not in names:
                    # A peer may sit out of a work; carmine and the reference may not.
                    assert place.label not in ("carmine", row.reference), f"{row.name}: {place.kind} lacks {place.work}"

    def test_every_target_is_about_seats_of_its_row(self) -> None:
        for row in rows.ROWS:
            labels = {place.label for place in row.places}
            assert row.reference in labels
            assert all({target.of, target.to} <= labels for target in row.targets), row.name

    def test_every_environment_is_known(self) -> None:
        assert {kind.environment for kind in KINDS.values()} - {None} <= set(envs.PACKAGES)


class TestData:
    def test_answers_are_compared_by_content(self) -> None:
        assert data.digest({"a": "1", "b": "2"}) == data.digest({b"b": b"2", b"a": b"1"})
        assert data.digest(("x", 1.5)) == data.digest([b"x", 1.5])
        assert data.digest(["x", "y"]) != data.digest(["y", "x"])
        assert data.digest(None) != data.digest("None")

    def test_the_checker_reads_what_it_is_sent(self) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.sendall(blobs.MAP + b"*2\r\n$1\r\na\r\n,1.5\r\n=5\r\ntxt:x\r\n_\r\n")
            reader = resp.Reader(ours)
            raw, value = reader.read()
            assert raw == blobs.MAP
            assert data.canonical(value) == data.canonical(data.HASH)
            assert [reader.read()[1] for _ in range(3)] == [[b"a", 1.5], b"txt:x", None]
            reader.close()


class TestWork:
    @pytest.mark.parametrize("words", [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)])
    def test_the_loop_makes_as_many_calls_as_asked(self, words: tuple[int, ...]) -> None:
        seen: list[tuple[object, ...]] = []
        work = repeated(lambda *given: seen.append(given), *words)
        work.run(3)
        assert seen == [words] * 3

    def test_threads_share_the_work_and_their_failure_is_not_lost(self) -> None:
        seen: list[int] = []
        work = threaded(seen.append, 1, threads=4)
        work.run(5)
        assert len(seen) == 20
        work.close()

        def fail(count: int) -> None:
            raise LookupError(f"after {count}")

        crew = Crew([fail])
        with pytest.raises(LookupError, match="after 2"):
            crew.run(2)
        crew.close()


class TestWorker:
    def test_a_worker_opens_runs_and_closes(self) -> None:
        worker = Contestant(KINDS["codec-pure"], NOWHERE)
        try:
            assert worker.order("hello")["twin"] == "python"
            small = worker.order("open", work="encode")["digest"]
            assert small == data.digest(blobs.ENCODED["encode"])
            sample = worker.run("encode", 100)
            assert 0 < sample.wall < 60
            assert sample.cpu >= 0
            worker.order("close", work="encode")
        finally:
            worker.stop()

    def test_what_a_rival_cannot_do_is_said_and_the_worker_goes_on(self) -> None:
        worker = Contestant(KINDS["codec-pure"], NOWHERE)
        try:
            with pytest.raises(Unavailable, match="no work named hgetall"):
                worker.order("open", work="hgetall")
            assert worker.order("hello")["twin"] == "python"
        finally:
            worker.stop()

    def test_a_rival_that_cannot_start_is_said(self) -> None:
        worker = Contestant(KINDS["wire"], NOWHERE)
        try:
            with pytest.raises(Unavailable, match=r"Error"):
                worker.order("open", work="get")
        finally:
            worker.stop()

    def test_a_worker_that_stalls_is_ended(self, monkeypatch: pytest.MonkeyPatch) -> None:
        worker = Contestant(KINDS["codec-pure"], NOWHERE)
        try:
            worker.order("open", work="encode")
            monkeypatch.setattr(contestant, "PATIENCE", 0.05)
            with pytest.raises(Unavailable, match="stalled"):
                worker.run("encode", 10**12)
            monkeypatch.setattr(contestant, "PATIENCE", 30)
            with pytest.raises(Unavailable, match=r"died|gone"):
                worker.order("hello")
        finally:
            worker.stop()

    def test_a_missing_environment_names_the_command_that_makes_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(envs, "ENVS", Path("/nonexistent"))
        with pytest.raises(Unavailable, match="python -m bench setup glide"):
            Contestant(KINDS["glide"], NOWHERE)


class TestCounts:
    def test_frames_are_counted_in_order_and_only_those_of_the_call(self) -> None:
        def inner(value: int) -> int:
            return value + 1

        def outer(value: int) -> int:
            return inner(inner(value))

        frames = counts.frames_per_call(functools.partial(outer, 1))
        assert [name.rsplit(".", 1)[1] for name in frames] == ["outer", "inner", "inner"]
        assert counts.frames_per_call(functools.partial(len, "abc")) == ()

    def test_the_profiler_is_gone_after_a_failure(self) -> None:
        with pytest.raises(ZeroDivisionError):
            counts.frames_per_call(functools.partial(divmod, 1, 0), warm=0)
        assert sys.getprofile() is None

    def test_modules_are_those_that_were_not_there(self) -> None:
        found = counts.modules_imported("import json")
        assert "json.decoder" in found
        assert not found & {"sys", "builtins", "asyncio"}

    @pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
    def test_system_calls_are_those_of_the_call(self) -> None:
        setup = "import socket\na, b = socket.socketpair()"
        assert counts.system_calls(setup, "a.send(b'x')\nb.recv(1)") == {"recvfrom": 1, "sendto": 1}
        assert counts.system_calls(setup, "a.fileno()") == {}

    @pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
    def test_a_counted_process_that_fails_is_an_error(self) -> None:
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            counts.system_calls("", "1 / 0")

    @pytest.mark.slow
    @pytest.mark.skipif(not shutil.which("valgrind"), reason="valgrind is not installed")
    def test_instructions_are_repeatable_and_follow_the_work(self) -> None:
        short = [counts.instructions("x = b'a' * 100", "x.upper()") for _ in range(2)]
        long = counts.instructions("x = b'a' * 10_000", "x.upper()")
        assert short[0] == pytest.approx(short[1], rel=0.01)
        # 9,900 bytes more, at a handful of instructions each.
        assert short[0] + 2_000 < long < short[0] + 200_000
