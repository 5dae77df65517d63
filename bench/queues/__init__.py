"""The queue beside its peers: enqueue, handle, wake up, be on time, in one interleaved run.

What the room is for: to say how fast `carmine.ext.mq` takes messages in and hands them out, next to the queues that
Python programs use now, each with its own producer process and its own worker process, as its documentation starts it.

What it must not know: how any queue works. A rival's module (`bench/rivals/queues`) sends numbered messages and runs
a worker whose handler does nothing but make a mark on a shared board (`board.py`); all figures come from the board.

Invariants: a rate counts only if every message that was sent was handled exactly once; a session starts with an empty
database of the rival's own; carmine takes part twice, and the ratio of the two must contain 1.
"""
