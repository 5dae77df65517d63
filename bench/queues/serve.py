"""The worker process of a queue: `python -m bench.queues.serve MODULE SETTING`, by the rival's own interpreter.

Runs what the rival's documentation runs, until it is killed; ends by itself when its parent is gone.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading


def _follow(parent: int) -> None:
    # The parent never writes: this read ends when it has ended.
    os.read(parent, 1)
    os.killpg(os.getpgid(0), signal.SIGKILL)


def main() -> None:
    """Serve until killed."""
    module, setting = sys.argv[1:]
    # A descriptor of its own: a thread that reads sys.stdin holds its lock, and a child forked then, which closes
    # sys.stdin as multiprocessing does, waits for that lock for ever.
    parent = os.dup(0)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    importlib.import_module(f"bench.rivals.{module}").serve(setting)


if __name__ == "__main__":
    main()
