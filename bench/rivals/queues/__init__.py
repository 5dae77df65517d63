"""Queues: one module each, with a `Rival` that sends, and `serve(setting)` that runs its worker until it is killed.

Settings are "default" (as the documentation's first page starts it) and "best" (what its documentation offers without
writing code: concurrency, a worker's class, results off). Each imports its peer at the top, in the peer's own
environment; messages are numbers, and every handler is `place.note`.
"""
