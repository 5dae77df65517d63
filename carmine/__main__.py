"""`python -m carmine`: the same as the command `carmine`."""

from __future__ import annotations

import sys

from carmine.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
