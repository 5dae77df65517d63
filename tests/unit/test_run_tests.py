"""The runner of the passes: what it prints of them, and how long each may take."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tools import run_tests
from tools.run_tests import ROOT, Pass, Result, limit_of, passes, report, scale_of, tell

if TYPE_CHECKING:
    from pathlib import Path

COUNTS = "....\nCOUNT test_a: 7 canaries\nCOUNT test_b: 2 cuts\nSKIPPED [1] no server\n4 passed in 1 s\n"


@pytest.fixture(autouse=True)
def no_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CARMINE_TEST_SCALE", raising=False)


def test_the_counts_of_a_pass_that_succeeded_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    report([Result("faults a", True, 1.0, "4 passed", COUNTS), Result("unit", True, 1.0, "9 passed", "9 passed\n")])
    printed = capsys.readouterr().out
    assert "-------- counts of faults a\nCOUNT test_a: 7 canaries\nCOUNT test_b: 2 cuts\n" in printed
    assert printed.count("counts of") == 1


def test_the_output_of_a_pass_that_failed_is_printed_once_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    failed = Result("faults a", False, 1.0, "1 failed", COUNTS)
    tell(failed)
    report([failed])
    printed = capsys.readouterr().out
    assert COUNTS in printed
    assert printed.count("COUNT test_a") == 1


def test_each_group_has_its_scale_and_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (scale_of("faults"), scale_of("matrix")) == (0.05, 1.0)
    assert limit_of("faults") == 600
    assert limit_of("matrix") >= 20 * 180  # a pass of the faults takes three minutes at a twentieth of the length
    monkeypatch.setenv("CARMINE_TEST_SCALE", "4")
    assert limit_of("faults") == 600 * 80
    monkeypatch.setenv("CARMINE_TEST_SCALE", "0.01")
    assert limit_of("faults") == 600  # what does not scale takes its time


def test_a_pass_is_killed_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "test_hang.py").write_text("import threading\ndef test_it(): threading.Event().wait(60)\n")
    monkeypatch.setattr(run_tests, "LONG", {"hanging": 1.0})
    monkeypatch.setattr(run_tests, "python_of", lambda env: sys.executable)
    done = run_tests.run(Pass("hang", (str(tmp_path),), group="hanging"), "", ["-p", "no:valkey"])
    assert not done.ok
    assert done.closing == "killed: the pass took longer than 1 s"
    assert done.seconds < 30


def test_the_passes_know_their_scale_and_their_twin() -> None:
    made = run_tests.environment(Pass("x", ("tests/unit",), impl="python", group="matrix"), "python")
    assert (made["CARMINE_TEST_SCALE"], made["CARMINE_IMPL"]) == ("1", "python")
    assert run_tests.environment(Pass("x", ("tests/unit",), group="faults"), "cython")["CARMINE_TEST_SCALE"] == "0.05"


def test_the_halves_of_the_faults_are_all_of_them() -> None:
    files = [file for one in passes("faults", ("cython",)) for file in one.folders]
    assert sorted(files) == sorted(
        path.relative_to(ROOT).as_posix() for path in (ROOT / "tests/faults").rglob("test_*.py")
    )
    assert len(files) > 30
