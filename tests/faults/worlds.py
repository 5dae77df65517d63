"""Which scenarios run in one world only, and why: data, so that nothing is skipped in passing.

Every other scenario that asks for `world` (most do through `lab`) runs with the blocking client and with the asyncio
client. Where it has all four combinations of protocol and pool size, a short run gives the asyncio client two of them.
"""

from __future__ import annotations

from typing import Final

__all__ = ["LONG_RUNS_ONLY", "SYNC_ONLY", "worlds_of"]

LONG_RUNS_ONLY: Final = {(2, 4), (3, 1)}
"""Protocol and pool size of what the asyncio client leaves to runs at full scale."""

_SIGNALS: Final = "a signal handler raises inside a blocking call; a task is cancelled (test_async_cancelled)"
_FORK: Final = "an event loop does not survive fork(); what a child may do with one is in test_async_ends"
_THREADS: Final = "threads share the client; an asyncio client belongs to one loop (tasks: test_async_cancelled)"
_PLAIN: Final = "decoders and hooks are plain functions, which can await nothing"
_SCRIPT: Final = "runs in a Python of its own, with a script that calls the blocking client"
_SOCKET: Final = "looks at the socket of a blocking connection"
_BOOKS: Final = "takes connections from the pool by hand, which each world's pool has tests of its own for"

SYNC_ONLY: Final[dict[str, str]] = {
    "test_c09_keepalive_is_on": "options of a socket are set in connector.py, for both worlds",
    "test_c19_threads_share_the_pool_while_pipelines_run": _THREADS,
    "test_c21_fork_with_a_warm_pool": _FORK,
    "test_c21_fork_while_another_thread_has_a_pipeline_in_flight": _FORK,
    "test_c21_fork_under_fire": _FORK,
    "test_c21_fork_inside_a_pipeline_and_a_pinned_block": _FORK,
    "test_c21_fork_with_tls": _FORK,
    "test_c21_multiprocessing": _FORK,
    "test_c22_a_signal_handler_raises_at_any_moment": _SIGNALS,
    "test_c22_a_signal_strikes_while_connections_are_opened": _SIGNALS,
    "test_c22_a_signal_strikes_a_pinned_connection_and_a_waiter": _SIGNALS,
    "test_c22_an_exception_is_thrown_into_a_thread": _SIGNALS,
    "test_c22_the_exception_passes_through_unchanged": _SIGNALS,
    "test_c22_a_signal_just_before_the_wait_is_not_lost": _SIGNALS,
    "test_c23_no_descriptors_left": _SCRIPT,
    "test_c24_the_end_of_the_interpreter": _SCRIPT,
    "test_t02_a_provider_is_asked_by_one_thread_per_connection": _THREADS,
    "test_t07_the_version_of_tls": _SOCKET,
    "test_closing_during_a_call_never_goes_on_in_plain_text": _SOCKET,
    "test_p01_a_storm_of_threads": _THREADS,
    "test_p03_a_call_inside_a_decoder": _PLAIN,
    "test_p03_a_call_inside_a_hook": _PLAIN,
    "test_p06_giving_back_twice": _BOOKS,
    "test_p06_giving_back_to_another_pool": _BOOKS,
    "test_p08_the_borrower_dies": _BOOKS,
    "test_p08_a_waiter_gets_the_place_of_a_dead_borrower": _BOOKS,
    "test_p09_reaping_races_borrowing": _THREADS,
    "test_g02_a_signal_ends_every_activity": _SCRIPT,
    "test_g04_no_memory": _SCRIPT,
    "test_g05_greenlets": "greenlet libraries patch blocking sockets",
    "test_g06_locale": _SCRIPT,
}
"""Scenario -> why the asyncio client has no part in it."""


def worlds_of(scenario: str) -> list[str]:
    """Return the worlds in which a scenario runs."""
    return ["sync"] if scenario in SYNC_ONLY else ["sync", "async"]
