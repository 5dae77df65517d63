"""Check which way imports point, with import-linter, over the rooms that exist.

The rooms of the house are told once, below. import-linter refuses a contract that names a module it cannot find, and
most rooms are built later; so the contracts are made here for the rooms of today, and a room that stands in nobody's
row fails (`Rooms.unknown`). A new room therefore comes under contract on the day it appears.

Imports under ``TYPE_CHECKING`` count between rooms, for a cycle of types is a cycle of designs; they do not count
towards the outer world, for naming ``SSLContext`` loads nothing.
"""

from __future__ import annotations

import argparse
import ast
import os
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# From the roof to the ground; rooms in one row may know each other only where KNOWS_NOT says nothing against it.
LAYERS = (
    ("__main__",),
    ("cli",),
    ("ext", "embedded"),
    ("client",),
    ("commands", "freezing", "transport", "_bridge"),
    ("protocol", "_resp"),
    ("retry",),
    ("types", "geo_types", "script_types", "stream_types", "keys", "_checks", "_frozen", "_secret"),
    ("errors",),
    ("_loading",),
)
TOP = tuple(name for row in LAYERS for name in row)
# These may use carmine as its users do; the others would make a cycle.
ABOVE_THE_ROOF = ("__init__.py", "__main__.py", "cli", "ext", "dashboard")
# Facts of the build; any room may read them.
GROUND = ("_version",)

# (who, whom): inside one row.
KNOWS_NOT = (
    (("commands", "freezing"), ("transport", "_bridge")),
    (("transport", "_bridge"), ("commands", "freezing")),
    (("ext",), ("embedded",)),
    (("embedded",), ("ext",)),
)

# Rooms that wait for nothing, ask nobody the time and roll no dice: clock and chance come in as arguments.
WORLD = [
    *("asyncio", "concurrent", "multiprocessing", "queue", "signal", "subprocess", "threading"),
    *("select", "selectors", "socket", "ssl", "os", "random", "secrets", "time"),
]
PURE = (
    *("errors", "types", "geo_types", "script_types", "stream_types", "keys", "_checks", "_frozen", "_secret"),
    *("retry", "protocol", "commands"),
)
# Everything in client/ is pure but the shells; in ext/<layer>/ these files are pure.
CLIENT_SHELLS = ("_async", "_sync", "engine", "async_engine", "timing", "wcar")
EXT_PURE = ("keys", "core", "errors")
# The exceptions of the design: the twin is chosen by CARMINE_IMPL, and a late import is no matter of the room it is in.
PURE_EXCEPTIONS = ("carmine.protocol -> os", "carmine._loading -> os", "carmine._loading -> threading")
# import-linter cannot see extension modules, and takes `from carmine import _resp` for an import of the public names;
# who really imports those is found by who_imports_the_roof.
EXTENSIONS = ("carmine.** -> carmine",)

# Only the transport opens sockets, and only its tls room knows ssl.
SOCKET_OWNERS = ("transport", "ext", "embedded", "cli", "__main__", "_bridge")
SSL_OWNERS = ("transport.tls", "ext", "embedded", "cli")


class Rooms:
    """The modules below ``carmine/`` in one tree, by dotted name without the leading ``carmine.``."""

    def __init__(self, root: Path) -> None:
        package = root / "carmine"
        self.modules = set()
        for path in package.rglob("*.py"):
            parts = path.relative_to(package).with_suffix("").parts
            self.modules.add(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
        self.modules.discard("")

    def existing(self, names: tuple[str, ...]) -> list[str]:
        """Return the full names of those that are there."""
        return [f"carmine.{name}" for name in names if name in self.modules]

    def children(self, room: str) -> list[str]:
        """Return the names directly below a room, such as ``retry`` below ``client``."""
        depth = room.count(".") + 1
        return sorted({m.split(".")[depth] for m in self.modules if m.startswith(f"{room}.")})

    def unknown(self) -> list[str]:
        """Return the top-level rooms that no row mentions."""
        known = {*TOP, *GROUND}
        return sorted({m.split(".")[0] for m in self.modules} - known)

    def pure(self) -> list[str]:
        """Return the rooms that must not know the world."""
        client = tuple(f"client.{name}" for name in self.children("client") if name not in CLIENT_SHELLS)
        ext = tuple(f"ext.{layer}.{name}" for layer in self.children("ext") for name in EXT_PURE)
        return self.existing(PURE + client + ext)


class Contracts:
    """One configuration of import-linter, written contract by contract; one without members is left out."""

    def __init__(self, name: str, *, types_count: bool) -> None:
        self.name = name
        self.ini = ConfigParser()
        self.ini["importlinter"] = {
            "root_package": "carmine",
            "include_external_packages": "True",
            "exclude_type_checking_imports": str(not types_count),
        }

    def add(self, name: str, kind: str, **fields: list[str] | str) -> None:
        """Add one contract, unless a field of it is empty."""
        if not all(fields.values()):
            return
        # every import that a contract lets pass may be gone tomorrow
        fields["ignore_imports"] = [*EXTENSIONS, *fields.get("ignore_imports", ())]
        fields["unmatched_ignore_imports_alerting"] = "none"
        text = {key: value if isinstance(value, str) else "\n" + "\n".join(value) for key, value in fields.items()}
        self.ini[f"importlinter:contract:{name.replace(' ', '-')}"] = {"name": name, "type": kind, **text}

    def forbid(
        self, name: str, who: list[str], whom: list[str], *, ignore: tuple[str, ...] = (), indirect: bool
    ) -> None:
        """Forbid imports; ``indirect`` forbids chains of imports too."""
        self.add(
            name,
            "forbidden",
            source_modules=who,
            forbidden_modules=whom,
            allow_indirect_imports=str(not indirect),
            **({"ignore_imports": list(ignore)} if ignore else {}),
        )


def between_rooms(rooms: Rooms) -> Contracts:
    """Make the contracts on which room may know which."""
    made = Contracts("rooms", types_count=True)
    rows = [rooms.existing(row) for row in LAYERS]
    made.add("imports point downwards", "layers", layers=[" : ".join(row) for row in rows if row])
    for who, whom in KNOWS_NOT:
        name = f"{' and '.join(who)} know no {' or '.join(whom)}"
        made.forbid(name, rooms.existing(who), rooms.existing(whom), indirect=True)
    layers = rooms.existing(tuple(f"ext.{name}" for name in rooms.children("ext")))
    if len(layers) > 1:
        made.add(
            "layers are independent but tundra may use mq",
            "independence",
            modules=layers,
            ignore_imports=[f"carmine.ext.tundra{a} -> carmine.ext.mq{b}" for a in ("", ".**") for b in ("", ".**")],
        )
    return made


def who_imports_the_roof(root: Path) -> list[str]:
    """Return the modules that import the public names from ``carmine`` itself, which would be a cycle.

    Not a contract of import-linter: that takes ``carmine._resp``, an extension it cannot see, for a public name.
    """
    package = root / "carmine"
    rooms = {path.stem for path in package.iterdir()}
    guilty = []
    for path in sorted(package.rglob("*.py")):
        first = path.relative_to(package).parts[0]
        if first in ABOVE_THE_ROOF and not (first == "ext" and path.stem in EXT_PURE):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Import(names=names) if any(alias.name == "carmine" for alias in names):
                    guilty.append(str(path.relative_to(root)))
                case ast.ImportFrom(module="carmine", names=names) if any(alias.name not in rooms for alias in names):
                    guilty.append(str(path.relative_to(root)))
                case _:
                    pass
    return guilty


def towards_the_world(rooms: Rooms) -> Contracts:
    """Make the contracts on who may know sockets, clocks, threads and ssl."""
    made = Contracts("world", types_count=False)
    made.forbid("pure rooms do not know the world", rooms.pure(), WORLD, ignore=PURE_EXCEPTIONS, indirect=True)
    quiet = rooms.existing(tuple(name for name in TOP if name not in SOCKET_OWNERS))
    made.forbid("only the transport opens sockets", quiet, ["socket", "select", "selectors"], indirect=False)
    transport = tuple(f"transport.{name}" for name in rooms.children("transport"))
    quiet = rooms.existing(tuple(n for n in (*TOP, *transport) if n != "transport" and n not in SSL_OWNERS))
    made.forbid("only transport.tls knows ssl", quiet, ["ssl"], indirect=False)
    return made


def check(made: Contracts, root: Path) -> bool:
    """Run import-linter over one configuration; print its report when something is broken."""
    config = root / "build" / f"contracts-{made.name}.ini"
    config.parent.mkdir(exist_ok=True)
    with config.open("w", encoding="utf-8") as file:
        made.ini.write(file)
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [str(linter), "--config", str(config), "--no-logo", "--cache-dir", str(root / ".import_linter_cache")],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
    return done.returncode == 0


def main() -> int:
    """Check the imports of one tree."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--root", type=Path, default=ROOT, help="the folder that holds carmine/")
    root = parser.parse_args().root.resolve()
    rooms = Rooms(root)
    if unknown := rooms.unknown():
        sys.stderr.write(f"contracts: no row of LAYERS in tools/contracts.py holds {', '.join(unknown)}\n")
        return 1
    if guilty := who_imports_the_roof(root):
        sys.stderr.write(f"contracts: these import the public names of carmine, a cycle: {', '.join(guilty)}\n")
        return 1
    made = [between_rooms(rooms), towards_the_world(rooms)]
    kept = [check(each, root) for each in made]  # all of them, so that one run tells everything
    if not all(kept):
        return 1
    count = sum(len(each.ini.sections()) - 1 for each in made)
    sys.stdout.write(f"contracts: {count} kept over {len(rooms.modules)} modules\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
