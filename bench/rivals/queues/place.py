"""Where this process is: the server's address and the board, as the parent said in the environment."""

from __future__ import annotations

import os
from pathlib import Path

from bench.queues.board import Board

URL = os.environ["BENCH_URL"]
board = Board(Path(os.environ["BENCH_BOARD"]))
note = board.note
