"""Django's own tests of session engines and of the middleware pass over ours, sync and async."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.ext.sessions.django_kit.source import ROOT, own_tests, version_of

if TYPE_CHECKING:
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.one_twin


def newest() -> Path | None:
    """Return the newest other Python of this checkout: it may have a newer Django."""
    found = sorted(ROOT.glob(".venv-3.*/bin/python"), key=lambda path: int(path.parts[-3].rpartition(".")[2]))
    return found[-1] if found else None


@pytest.mark.parametrize("which", ["this Python", "the newest Python"])
def test_the_tests_of_django_pass_over_our_engine(server: RedisServer, which: str) -> None:
    python = Path(sys.executable) if which == "this Python" else newest()
    version = None if python is None else version_of(python)
    if python is None or version is None:
        pytest.skip(f"{which} has no Django")
    folder = own_tests(python, version)
    command = [str(python), "-W", "error", "-m", "tests.ext.sessions.django_kit.suite", server.url, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    text = (folder / "sessions_tests" / "tests.py").read_text(encoding="utf-8")
    mixin = inspect.cleandoc(text[text.index("class SessionTestsMixin") : text.index("class DatabaseSessionTests")])
    asynchronous = len(re.findall(r"\basync def test_", mixin))
    blocking = len(re.findall(r"(?<!async )\bdef test_", mixin))
    assert asynchronous > 25
    assert blocking > 30
    assert (told["django"], told["failed"], told["skipped"]) == (version, 0, 0)
    assert told["asynchronous"] == asynchronous
    assert told["ran"] > blocking + asynchronous  # those of the middleware beside them
    assert server.text("INFO", "commandstats").count(b"cmdstat_evalsha") == 1  # they did ask this server
