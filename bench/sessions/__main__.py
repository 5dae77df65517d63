"""`python -m bench.sessions [--quick]`: a server, a run, a record."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench import loopback, server
from bench.record import Record
from bench.run import Settings
from bench.sessions import run


def say(line: str) -> None:
    """Write a line to the terminal."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def main() -> int:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(prog="python -m bench.sessions", description="carmine.ext.sessions and its peers.")
    parser.add_argument("--quick", action="store_true", help="a look in a minute, not for claims")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write; a .md is written beside it")
    asked = parser.parse_args()
    run.prepare(say)
    network = loopback.enter()
    record = Record("sessions", asked.json, is_partial=asked.quick)
    record.meta |= {"network": network, "pinning": "none"}
    settings = Settings(launches=2, rounds=4) if asked.quick else Settings()
    with server.running(server.on_path(), is_empty=True) as running:
        record.meta["server"] = running.version
        outcomes, findings, versions = run.compare(running, settings, say)
    record.meta |= {"schedule": str(settings), "versions": versions}
    return record.write(outcomes, findings, say)


if __name__ == "__main__":
    sys.exit(main())
