"""Walk the scenario on real servers and keep the bytes of their replies; run by hand when the scenario changes.

    python -m tests.unit.commands_record 127.0.0.1:7001 127.0.0.1:7002 ...

Each server is emptied. A step that a server refuses with an error is kept as a name in `refused`: the test says which
those may be.
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carmine.commands._sync import Commands
from carmine.commands.specs import lookup
from carmine.errors import ServerError
from carmine.protocol import NEED_DATA, Parser, encode
from tests.unit.commands_scenario import STEPS

if TYPE_CHECKING:
    from carmine.commands.command import Spec, Words

FILE = Path(__file__).with_name("commands_replies.json")


class Recorder(Commands[bytes]):
    """A facade on one socket, whose replies are the bytes of each."""

    def __init__(self, address: str, protocol: int) -> None:
        host, _, port = address.rpartition(":")
        self.protocol = protocol
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        if protocol == 3:
            self._execute(lookup(("HELLO", 3)), ("HELLO", 3))

    def _execute(self, spec: Spec, words: Words) -> Any:
        self.socket.sendall(encode(*words))
        parser = Parser(protocol=self.protocol)
        wire = b""
        while (reply := parser.next_reply()) is NEED_DATA:
            data = self.socket.recv(1 << 20)
            if not data:
                raise SystemExit(f"the server closed the connection at {spec.name}")
            wire += data
            parser.feed(data)
        return wire, reply

    def execute_raw(self, *words: str) -> Any:
        """Send a command that belongs to another group."""
        return self._execute(lookup(words), words)


def walk(address: str, protocol: int) -> tuple[dict[str, str], list[str]]:
    """Return the replies by the steps' place and name, and the names of the refused steps."""
    recorder = Recorder(address, protocol)
    replies: dict[str, str] = {}
    refused = []
    for index, step in enumerate(STEPS):
        wire, reply = getattr(recorder, step.method)(*step.args, **step.kwargs)
        if isinstance(reply, ServerError):
            refused.append(step.name)
        else:
            replies[f"{index} {step.name}"] = wire.decode("latin-1")
    recorder.socket.close()
    return replies, refused


def version(address: str) -> str:
    """Return "valkey 9.1.2" or "redis 8.2.3"."""
    wire, _reply = Recorder(address, 2)._execute(lookup(("INFO", "server")), ("INFO", "server"))
    told = dict(line.split(":", 1) for line in wire.decode().splitlines() if ":" in line)
    return f"valkey {told['valkey_version']}" if "valkey_version" in told else f"redis {told['redis_version']}"


def main() -> int:
    """Write the file."""
    found = []
    count = 0
    for address in sys.argv[1:]:
        for protocol in (2, 3):
            replies, refused = walk(address, protocol)
            count += len(replies)
            found.append({"server": version(address), "protocol": protocol, "refused": refused, "replies": replies})
    text = ",\n".join(json.dumps(each, indent=0) for each in found)
    FILE.write_text(f"[\n{text}\n]\n", encoding="utf-8")
    sys.stdout.write(f"{FILE.name}: {count} replies\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
