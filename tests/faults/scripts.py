"""Scenarios that would hurt the process of the tests run in a Python of their own, which says how it went in JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

from tests.faults.drivers import PASSWORD, USER

if TYPE_CHECKING:
    from tests.faults.invariants import Lab

__all__ = ["HEAD", "run_script", "script_words"]

HEAD: Final = """
import json, os, sys, threading, time, gc, resource, random, signal
import carmine
url, options = sys.argv[1], json.loads(sys.argv[2])
def client(**more):
    return carmine.Client(url, **{**options, **more})
def canary(c, n=20):
    for i in range(n):
        assert c.execute("ECHO", f"tok-{i}") == f"tok-{i}"
def canaries(c, n, mark):
    for i in range(n):
        tokens = [f"{mark}-{i}-{j}" for j in range(5)]
        assert c.execute("ECHO", tokens[0]) == tokens[0]
        with c.pipeline() as p:
            for token in tokens:
                p.execute("ECHO", token)
        assert p.replies == tokens
        with c.transaction() as t:
            t.execute("ECHO", tokens[1])
        assert t.replies == [tokens[1]]
"""
"""What every script begins with: `client(**options)`, and canaries alone or in every shape."""


def script_words(
    lab: Lab, body: str, *, before: str = "", python: tuple[str, ...] = (), url: str | None = None, **options: Any
) -> list[str]:
    """Return the command line of a script.

    Args:
        lab: The scenario's tools.
        body: What comes after HEAD.
        before: What comes before it, and so before carmine is imported.
        python: Words for the interpreter.
        url: Where the client connects; None is the proxy.
        **options: For the client.
    """
    given = {"protocol": lab.protocol, "pool_size": lab.pool_size, "username": USER, "password": PASSWORD, **options}
    place = url or lab.proxy.url(lab.server.url)
    return [sys.executable, *python, "-c", before + HEAD + body, place, json.dumps(given)]


def run_script(
    lab: Lab, body: str, *, env: dict[str, str] | None = None, timeout: float = 60, **more: Any
) -> tuple[Any, str, int]:
    """Run a script; return what the last line of its output says in JSON, its stderr and its status."""
    done = subprocess.run(
        script_words(lab, body, **more),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, **(env or {})},
        encoding="utf-8",
        errors="replace",
    )
    assert PASSWORD not in done.stdout + done.stderr
    lines = done.stdout.strip().splitlines()
    return json.loads(lines[-1]) if lines else None, done.stderr, done.returncode
