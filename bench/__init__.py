"""Benchmarks: carmine beside the bare wire and beside other clients, in one interleaved run.

What the room is for: to say with a number and an interval how close carmine is to the wire and how far it is from its
peers, and to keep that number reproducible. ``python -m bench --help`` tells how; ``bench/rows.py`` is the list of
what is measured of the clients, ``bench/queues/rows.py`` (``python -m bench queue``) and ``bench/locks/rows.py``
(``python -m bench locks``) of the layers.

What it must not know: carmine's insides. Rivals, carmine included, are driven through their public names only, each
in a worker process of its own; a peer's packages live in the peer's own environment and never enter carmine's.

Invariants: no ratio is reported between answers that were not found equal; every row carries a control (the reference
against a second copy of itself) whose interval must contain 1; every number is written to a file with the versions,
the CPU, the commit and the load.
"""
