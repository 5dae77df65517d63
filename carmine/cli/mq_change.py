"""`carmine mq pause`, `resume`, `replay`, `purge` and `clear`: the hand on a queue.

Invariants: what removes messages asks the one at the terminal, or wants --yes, before it sends anything that removes;
names are exact, none is ever a pattern.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from carmine import UsageError
from carmine.cli import mq_shape as shape
from carmine.ext.mq import Queue, QueueError, clear_queues, queue_names

if TYPE_CHECKING:
    import argparse

    from carmine import Client
    from carmine.cli.screen import Screen

__all__ = ["clear", "pause", "purge", "replay", "resume"]


def pause(asked: argparse.Namespace, screen: Screen, client: Client[Any]) -> int:
    """Have all workers claim nothing from these queues."""
    return _set_paused(asked, screen, client, is_paused=True)


def resume(asked: argparse.Namespace, screen: Screen, client: Client[Any]) -> int:
    """Have messages of these queues claimed again."""
    return _set_paused(asked, screen, client, is_paused=False)


def _set_paused(asked: argparse.Namespace, screen: Screen, client: Client[Any], *, is_paused: bool) -> int:
    told: list[dict[str, Any]] = []
    for queue in [Queue(client, name) for name in asked.queues]:
        if is_paused:
            changed = not queue.is_paused()
            queue.pause()
        else:
            changed = queue.resume()
        told.append({"name": queue.name, "paused": is_paused, "changed": changed})
    if asked.json:
        screen.raw(shape.line({"queues": told}))
        return 0
    for one in told:
        how = ("is paused", "was paused already") if is_paused else ("goes on", "was not paused")
        screen.raw(f"{shape.name(one['name'])} {how[not one['changed']]}")
    return 0


def replay(asked: argparse.Namespace, screen: Screen, client: Client[Any]) -> int:
    """Put dead letters back into their queue."""
    queue, mids = Queue(client, asked.queue), _mids(asked)
    count = sum(queue.replay(mid) for mid in mids) if mids else queue.replay()
    return _told(asked, screen, "replayed", count, mids, "put back into the queue", "are queued again already, or ")


def purge(asked: argparse.Namespace, screen: Screen, client: Client[Any]) -> int:
    """Remove dead letters for good."""
    queue, mids = Queue(client, asked.queue), _mids(asked)
    what = shape.many(len(mids), "dead letter") if mids else "all dead letters"
    if not _may(asked, f"Remove {what} of {shape.name(queue.name)} for good?"):
        return 1
    count = sum(queue.purge_dead(mid) for mid in mids) if mids else queue.purge_dead()
    return _told(asked, screen, "purged", count, mids, "removed", "")


def _mids(asked: argparse.Namespace) -> list[str]:
    """Return the mids that were given, or none for all."""
    if bool(asked.mids) == asked.all:
        raise UsageError("give the mids of dead letters, or --all")
    return list(dict.fromkeys(asked.mids))


def _told(
    asked: argparse.Namespace, screen: Screen, word: str, count: int, mids: list[str], done: str, maybe: str
) -> int:
    if asked.json:
        screen.raw(shape.line({"queue": asked.queue, word: count}))
    else:
        screen.raw(f"{shape.many(count, 'dead letter')} {done}")
    if count < len(mids):
        raise QueueError(f"{len(mids) - count} of {len(mids)} mids {maybe}have no dead letter")
    return 0


def clear(asked: argparse.Namespace, screen: Screen, client: Client[Any]) -> int:
    """Remove every message and dead letter of queues; with --forget their names and pauses too."""
    if bool(asked.queues) == asked.all:
        raise UsageError("give the names of queues, or --all")
    _check_permission(asked)
    names = list(dict.fromkeys(asked.queues or queue_names(client, scan=True)))
    queues = [Queue(client, name) for name in names]
    counts = [queue.status() for queue in queues]
    if not names:
        screen.raw(shape.line({"queues": []}) if asked.json else "there are no queues")
        return 0
    shown = ", ".join(shape.name(name) for name in names[:20]) + (f" and {len(names) - 20} more" * (len(names) > 20))
    messages, letters = sum(one.total - one.done for one in counts), sum(one.dead for one in counts)
    what = f"{shape.many(messages, 'message')} and {shape.many(letters, 'dead letter')}"
    if not _may(asked, f"Remove {what} of {shown} for good?"):
        return 1
    for queue in queues:
        if asked.forget:
            clear_queues(client, queue.name)
        else:
            queue.clear()
    if asked.json:
        gone = [(queue.name, one.total - one.done, one.dead) for queue, one in zip(queues, counts, strict=True)]
        told = [{"name": name, "messages": messages, "dead": letters} for name, messages, letters in gone]
        screen.raw(shape.line({"queues": told}))
    else:
        screen.raw(f"removed {what}")
    return 0


# May it be done? -----------------------------------------------------------------------------------------------------


def _check_permission(asked: argparse.Namespace) -> None:
    """Refuse what nobody has agreed to and nobody can be asked.

    Raises:
        UsageError: No --yes, and no terminal.
    """
    if not asked.yes and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("this removes messages for good: without a terminal to ask at, say --yes")


def _may(asked: argparse.Namespace, question: str) -> bool:
    """Tell whether something may be removed; who is at the terminal is asked."""
    _check_permission(asked)
    if asked.yes:
        return True
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    sys.stderr.write("nothing was removed\n")
    return False
