"""Every Redis key of a queue, and how its name is made.

A pure room. All keys begin with `carmine:mq:<queue>:`; the first table has the ancestor's (taoensso/carmine's message
queue v2), name for name, the second our own. A message is *known* while its mid is in `messages`; "ms" are
milliseconds since 1970 by the server's clock. Invariants: no suffix holds a colon, so that no two queues share a key;
on a cluster all keys of a queue have one hash tag; scripts name their keys by these suffixes, `-` written as `_`.

==============  ======  ================================================================  ============================
suffix          type    holds                                                             removed
==============  ======  ================================================================  ============================
messages        hash    mid -> content; a message exists as long as its mid is here       when it is collected
messages-rq     hash    mid -> content that waits for the current run to end (requeue)    when its own life begins
lock-times      hash    mid -> length of its lease in ms; else the worker's default       when it is collected
lock-times-rq   hash    mid -> the same, for the content that waits                       when its own life begins
udts            hash    mid -> ms when this life began                                    when it is collected
locks           hash    mid -> ms when the lease ends                                     when the run ends
backoffs        hash    mid -> ms until when it rests (delayed, retried, or deduplicated)  at the claim, or collected
nattempts       hash    mid -> claims of this life                                        when its life ends
done            set     mids that are handled and not collected yet                       when it is collected
requeue         set     mids; deprecated flag of the ancestor, read but never written     when the next life begins
mids-ready      list    mids to be handled now; pushed left, taken right                  when they are taken
mid-circle      list    every known mid that is not in mids-ready, and `end-of-circle`    when its turn comes, after
                                                                                          the message is collected
ndry-runs       string  polls in a row without work                                       set to 0 by work
isleep-a        list    one element, moved to isleep-b as the signal to wake              clear
isleep-b        list    the element, while a signal is pending                            clear
==============  ======  ================================================================  ============================

==============  ======  ================================================================  ============================
due             zset    mid -> ms when it is to be looked at: end of backoff or of lease  when it is done
gc              zset    mid -> ms when a done message is collected; then `inf`, until     when its turn in the circle
                        its entry leaves the circle                                       comes
fences          hash    mid -> fence of the claim that may finish it                      when the run ends
fence           string  the highest fence given; lives for a day, outlives `clear`        by its TTL
dead            zset    mid -> ms when it died                                            replay, purge, beyond a limit
dead-messages   hash    mid -> content of a dead letter                                   as `dead`
dead-notes      hash    mid -> "attempts born lease error" of a dead letter               as `dead`
paused          string  present while the queue is paused                                 resume
stats           hash    `layout`, and counters of what happened                           clear
==============  ======  ================================================================  ============================

`due` and `gc` are an index of the circle, which stays the truth: each of their mids has one entry there, and what the
ancestor put into the circle alone is indexed when its turn comes. Beside the queues stands `carmine:mq:queues`, the set
of their names (a queue is added with its first use, and removed with `clear_queues`).
"""

from __future__ import annotations

from typing import Final

from carmine import _checks
from carmine.errors import UsageError

__all__ = [
    "ANCESTORS",
    "END_OF_CIRCLE",
    "KINDS",
    "LAYOUT",
    "LONGEST_MID",
    "LONGEST_NAME",
    "OURS",
    "PREFIX",
    "REGISTRY",
    "SUFFIXES",
    "checked_mid",
    "checked_name",
    "key_of",
    "tagged",
]

PREFIX: Final = "carmine:mq:"
REGISTRY: Final = "carmine:mq:queues"

END_OF_CIRCLE: Final = "end-of-circle"
"""What marks the end of the circle, and so can be nobody's mid."""

LAYOUT: Final = 1
"""Version of what is told above, kept in `stats`. Additions leave it; what an older script would break raises it."""

LONGEST_MID: Final = 65_536
LONGEST_NAME: Final = 1_024
"""Bytes. A mid stands in about ten places, a queue's name in every key of every call."""

ANCESTORS: Final = (
    *("messages", "messages-rq", "lock-times", "lock-times-rq", "udts", "locks", "backoffs", "nattempts", "done"),
    *("requeue", "mids-ready", "mid-circle", "ndry-runs", "isleep-a", "isleep-b"),
)
OURS: Final = ("due", "gc", "fences", "fence", "dead", "dead-messages", "dead-notes", "paused", "stats")
SUFFIXES: Final = frozenset(ANCESTORS + OURS)

_OTHERS: Final = {
    **dict.fromkeys(("done", "requeue"), "set"),
    **dict.fromkeys(("mids-ready", "mid-circle", "isleep-a", "isleep-b"), "list"),
    **dict.fromkeys(("due", "gc", "dead"), "zset"),
    **dict.fromkeys(("ndry-runs", "fence", "paused"), "string"),
}
KINDS: Final = {suffix: _OTHERS.get(suffix, "hash") for suffix in ANCESTORS + OURS}
"""What each key is, as TYPE names it."""


def checked_name(name: object) -> str:
    """Return a queue's name, or refuse it.

    Raises:
        UsageError: No text, empty, too long, or nothing that UTF-8 can carry.
    """
    return _sized("the name of a queue", name, LONGEST_NAME)


def checked_mid(mid: object) -> str:
    """Return a message's id, or refuse it: the one rule for all mids.

    Raises:
        UsageError: No text (an int is none), empty, too long, not UTF-8, or the mark of the circle's end.
    """
    if mid == END_OF_CIRCLE:
        raise UsageError(f"a mid cannot be {END_OF_CIRCLE!r}: the queue marks the end of its circle with it")
    return _sized("a mid", mid, LONGEST_MID)


def _sized(what: str, value: object, most: int) -> str:
    text = _checks.text(what, value)
    if not text:
        raise UsageError(f"{what} cannot be empty")
    if len(text) > most or (not text.isascii() and len(text.encode()) > most):
        raise UsageError(f"{what} has at most {most} bytes")
    return text


def tagged(name: str) -> str:
    """Return a queue's name with a hash tag, as it stands in the keys of a cluster; one that has a tag stays as it is.

    Raises:
        UsageError: A name that begins with `}`, around which no braces make a tag.
    """
    start = name.find("{")
    if start >= 0 and name.find("}", start + 1) > start + 1:
        return name
    if name.startswith("}"):
        raise UsageError("on a cluster the name of a queue cannot begin with '}'")
    return f"{{{name}}}"


def key_of(name: str, suffix: str) -> str:
    """Return the name of one key of a queue."""
    return f"{PREFIX}{name}:{suffix}"
