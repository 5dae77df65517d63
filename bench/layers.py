"""`python -m bench queue`, `locks` and `sessions`: a server, a run, a record."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from bench import envs, loopback, server
from bench.locks import report as locks_report
from bench.locks import rows as locks_rows
from bench.locks import run as locks_run
from bench.queues import report as queues_report
from bench.queues import rows as queues_rows
from bench.queues import run as queues_run
from bench.record import Record
from bench.run import Settings
from bench.sessions import run as sessions_run

if TYPE_CHECKING:
    import argparse

Say = Callable[[str], None]

#: What can be measured, with a word on each.
LAYERS = {
    "queue": "carmine.ext.mq beside RQ, Dramatiq, arq, SAQ, taskiq, huey and Celery",
    "locks": "carmine.ext.locks beside redis-py's Lock, python-redis-lock and polling",
    "sessions": "carmine.ext.sessions in Flask and Django beside Flask-Session and django-redis",
}


def main(layer: str, asked: argparse.Namespace, say: Say) -> int:
    """Measure one layer; return the exit status."""
    if layer == "sessions":
        sessions_run.prepare(say)
    else:
        contenders = queues_rows.CONTENDERS if layer == "queue" else locks_rows.CONTENDERS
        envs.prepare({one.kind.environment for label, one in contenders.items() if label not in asked.skip}, say)
    network = loopback.enter() if asked.net == "own" else f"the machine's loopback, {loopback.describe()}"
    record = Record(layer, asked.json, is_partial=asked.quick or bool(asked.skip))
    # Processes run where the kernel puts them: a producer, a worker and a server are what two cores are for.
    record.meta |= {"network": network, "pinning": "none"}
    with server.running(asked.server or server.on_path(), is_empty=True) as running:
        record.meta["server"] = running.version
        return {"queue": _queue, "locks": _locks, "sessions": _sessions}[layer](asked, running, record, say)


def _queue(asked: argparse.Namespace, running: server.Server, record: Record, say: Say) -> int:
    settings = queues_run.QUICK if asked.quick else queues_run.Settings()
    settings = settings._replace(rounds=asked.rounds or settings.rounds)
    run = queues_run.Run(running.address, settings, set(asked.skip), say)
    run.compare()
    run.sweep()
    found = run.found
    record.meta |= {"schedule": str(settings), "versions": found.versions}
    return record.write(
        list(found.outcomes.values()),
        queues_report.findings(found),
        say,
        summary=queues_report.summary(found),
        more={"waits": queues_report.as_json(found)},
    )


def _locks(asked: argparse.Namespace, running: server.Server, record: Record, say: Say) -> int:
    settings = locks_run.QUICK if asked.quick else locks_run.Settings()
    settings = settings._replace(rounds=asked.rounds or settings.rounds)
    run = locks_run.Run(running.address, settings, set(asked.skip), say)
    run.compare()
    found = run.found
    record.meta |= {"schedule": str(settings), "versions": found.versions}
    return record.write(
        [found.outcome], locks_report.findings(found), say, more={"handovers": locks_report.as_json(found)}
    )


def _sessions(asked: argparse.Namespace, running: server.Server, record: Record, say: Say) -> int:
    settings = Settings(launches=2, rounds=4) if asked.quick else Settings()
    settings = settings._replace(rounds=asked.rounds or settings.rounds)
    outcomes, findings, versions = sessions_run.compare(running, settings, say)
    record.meta |= {"schedule": str(settings), "versions": versions}
    return record.write(outcomes, findings, say)
