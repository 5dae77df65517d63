"""Try an installed wheel: the right twin is loaded, the codec works, nothing foreign was imported.

Runs in a clean environment, away from the source tree, on the standard library alone; also cibuildwheel's test command.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
from pathlib import Path

import carmine
from carmine import protocol


def main() -> int:
    """Fail loudly when the wheel is not what it claims to be."""
    home = Path(carmine.__file__).parent
    expected = os.environ.get("CARMINE_EXPECT_IMPL", "cython")
    if protocol.__impl__ != expected:
        sys.exit(f"smoke: {home} loaded the {protocol.__impl__} twin, not the {expected} one")
    if protocol.encode("SET", "k", 7) != b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\n7\r\n":
        sys.exit("smoke: encode is wrong")
    parser = protocol.Parser(protocol=3, decode=True)
    parser.feed(b"%1\r\n+a\r\n*2\r\n:1\r\n,0.5\r\n$-1")
    if parser.next_reply() != {"a": [1, 0.5]} or parser.next_reply() is not protocol.NEED_DATA:
        sys.exit("smoke: the parser is wrong")
    if protocol.key_slot("123456789") != 12739:
        sys.exit("smoke: key_slot is wrong")
    parts = {carmine.Command.__module__ == "carmine._resp"}
    if sys.platform != "win32":
        parts.add("carmine._wire" in sys.modules)
    if parts != {expected == "cython"}:
        sys.exit(f"smoke: only a part of the {expected} twin was loaded; Command is {carmine.Command.__module__}'s")
    for name in ("py.typed", "_build_info.json"):
        if not (home / name).exists():
            sys.exit(f"smoke: {name} is not in the wheel")
    built = [name for entry in json.loads((home / "_build_info.json").read_text()).values() for name in entry["built"]]
    if bool(built) != (expected == "cython"):
        sys.exit(f"smoke: the build note tells of {built}, and the twin is {expected}")
    if "site-packages" in str(home):
        foreign = {str(Path(m.__file__ or "")) for m in sys.modules.values() if getattr(m, "__file__", None)}
        strangers = sorted(f for f in foreign if "site-packages" in f and not f.startswith(str(home)))
        if strangers:
            sys.exit(f"smoke: import carmine loaded {', '.join(strangers)}")
    version = importlib.metadata.version("carmine-redis")
    sys.stdout.write(f"smoke: carmine-redis {version}, {expected} twin, Python {sys.version.split()[0]}: good\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
