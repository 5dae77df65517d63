"""Ask a running server for COMMAND and COMMAND DOCS, and write the facts as one sorted JSON file.

    python tools/dump_commands.py 127.0.0.1:6379 tools/commands/valkey-9.1.json

Kept: arity, flags, key specifications, routing tips, group, since. Left out: prose, argument trees, ACL categories.
The files are committed and `tools/gen_table.py` reads them, so that nobody needs a server to build the table.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
from pathlib import Path
from typing import Any

from carmine.protocol import NEED_DATA, Parser, encode

ROOM = 1 << 20
"""Bytes read at once."""


def ask(address: str, *commands: tuple[str, ...]) -> list[Any]:
    """Return the replies of `commands`, read as RESP3 text, from the server at "host:port"."""
    host, _, port = address.rpartition(":")
    parser = Parser(protocol=3, decode=True)
    replies: list[Any] = []
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"".join(encode(*words) for words in (("HELLO", "3"), *commands)))
        while len(replies) < len(commands) + 1:
            reply = parser.next_reply()
            if reply is NEED_DATA:
                data = connection.recv(ROOM)
                if not data:
                    raise SystemExit(f"{address} closed the connection")
                parser.feed(data)
            elif isinstance(reply, Exception):
                raise SystemExit(f"{address} answered {reply}")
            else:
                replies.append(reply)
    return replies[1:]


def key_spec(entry: dict[str, Any]) -> dict[str, Any]:
    """Return a key specification as flat facts: where to begin, how to find, and the flags."""
    begin, find = entry["begin_search"], entry["find_keys"]
    return {
        "begin": [begin["type"], *begin["spec"].values()],
        "find": [find["type"], *find["spec"].values()],
        "flags": sorted(entry["flags"]),
    }


def facts(entry: list[Any], docs: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return `{NAME: facts}` of one entry of COMMAND and of its sub-commands; names in capitals, joined by a space."""
    raw_name, arity, flags, _first, _last, _step, _acl, tips, specs, subcommands, *_ = entry
    name = raw_name.replace("|", " ").upper()
    told = docs.get(raw_name, {})
    result = {
        name: {
            "arity": arity,
            "flags": sorted(flags),
            "group": told.get("group", ""),
            "keys": [key_spec(spec) for spec in specs],
            "since": told.get("since", ""),
            "tips": sorted(tips),
        }
    }
    if subcommands:
        result[name]["container"] = True
    for subcommand in subcommands:
        result |= facts(subcommand, told.get("subcommands", {}))
    return result


def main() -> int:
    """Write the file."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("address", help="host:port of a running server")
    options.add_argument("file", type=Path, help="the JSON file to write")
    asked = options.parse_args()
    table, docs, info = ask(asked.address, ("COMMAND",), ("COMMAND", "DOCS"), ("INFO", "server"))
    found: dict[str, dict[str, Any]] = {}
    for entry in table:
        found |= facts(entry, docs)
    lines = [f"    {json.dumps(name)}: {json.dumps(found[name], sort_keys=True)}" for name in sorted(found)]
    server = dict(line.split(":", 1) for line in info.data.splitlines() if ":" in line)
    version = server.get("valkey_version") or server["redis_version"]
    kind = "valkey" if "valkey_version" in server else "redis"
    text = f'{{\n  "server": "{kind} {version}",\n  "commands": {{\n' + ",\n".join(lines) + "\n  }\n}\n"
    asked.file.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{asked.file}: {len(found)} commands of {kind} {version}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
