"""The board on which handlers make their marks, and the processes that serve: started, measured, ended."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

import pytest

from bench import envs
from bench.processes import Service, members
from bench.queues.board import Board, keep_filled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


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


class TestBoard:
    def test_marks_are_seen_by_whoever_has_the_board(self, board: Board, path: Path) -> None:
        other = Board(path, 1000)
        before = time.monotonic_ns()
        other.note(3)
        after = time.monotonic_ns()
        other.close()
        assert board.runs(2, 5) == b"\0\1\0"
        assert before <= board.times(3, 4)[0] <= after

    def test_a_second_run_is_counted_and_keeps_the_first_time(self, board: Board) -> None:
        board.note(7)
        first = board.times(7, 8)
        for _ in range(300):
            board.note(7)
        assert board.times(7, 8) == first
        assert board.runs(7, 8) == b"\xff"

    def test_the_first_that_nobody_began(self, board: Board) -> None:
        assert board.unhandled(0, 10) == 0
        for number in (0, 1, 3):
            board.note(number)
        assert board.unhandled(0, 10) == 2
        assert board.unhandled(3, 10) == 4
        assert board.unhandled(3, 4) == 4

    def test_waiting_ends_with_the_last_mark_the_deadline_or_the_worker(self, board: Board) -> None:
        assert not board.wait(0, 2, time.monotonic() - 1)
        assert not board.wait(0, 2, time.monotonic() + 60, lambda: False)
        board.note(0)
        board.note(1)
        assert board.wait(0, 2, time.monotonic() - 1)

    def test_a_wiped_board_knows_nothing(self, board: Board) -> None:
        board.note(999)
        board.wipe()
        assert not any(board.runs(0, 1000))

    def test_a_queue_is_kept_filled_and_no_fuller(self, board: Board) -> None:
        waiting = deque(range(100))
        depths: list[int] = []

        def send(numbers: range) -> None:
            waiting.extend(numbers)
            depths.append(numbers.stop - board.unhandled(0, numbers.stop))

        def work() -> None:
            while board.unhandled(0, 600) < 600:
                if waiting:
                    board.note(waiting.popleft())

        worker = threading.Thread(target=work, daemon=True)
        worker.start()
        sent = keep_filled(board, send, 100, 100, 600)
        worker.join(10)
        assert sent == 100 + 50 * len(depths)
        assert board.unhandled(0, sent) >= 600
        # What was begun since the last look is replaced in whole calls of 50.
        assert max(depths) < 100 + 50


class TestServices:
    TREE = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])"

    def test_a_service_is_ended_with_its_children(self, tmp_path: Path) -> None:
        # the system counts processor time in ticks: a start alone may be none
        body = f"{self.TREE}\nwhile time.process_time() < 0.1: pass\nprint('all here', flush=True); time.sleep(60)"
        service = Service([sys.executable, "-c", body], tmp_path, os.environ)
        until = time.monotonic() + 10
        while service.last_words() != "all here" and time.monotonic() < until:
            time.sleep(0.01)
        (leader, child) = sorted(members(service.pid))
        assert leader == service.pid
        assert service.cpu() > 0
        service.stop()
        assert not service.is_alive
        while list(members(leader)) and time.monotonic() < until:
            time.sleep(0.01)
        assert child not in members(leader)

    def test_the_reason_of_a_death_is_its_last_line(self, tmp_path: Path) -> None:
        service = Service([sys.executable, "-c", "import sys; sys.exit('no broker')"], tmp_path, os.environ)
        until = time.monotonic() + 10
        while service.is_alive and time.monotonic() < until:
            time.sleep(0.01)
        assert service.last_words() == "no broker"
        service.stop()

    def test_a_worker_ends_with_its_parent(self) -> None:
        body = (
            "import signal, sys, types; from bench.queues import serve; module = types.ModuleType('m');"
            "module.serve = lambda setting: (print(setting, flush=True), signal.pause());"
            "sys.modules['bench.rivals.m'] = module; sys.argv = ['serve', 'm', 'best']; serve.main()"
        )
        words = [sys.executable, "-c", body]
        pipe = subprocess.PIPE
        with subprocess.Popen(words, stdin=pipe, stdout=pipe, cwd=envs.ROOT, start_new_session=True) as process:
            assert process.stdout is not None
            assert process.stdin is not None
            assert process.stdout.readline() == b"best\n"
            assert process.poll() is None
            process.stdin.close()
            assert process.wait(10) == -9
