"""`carmine doctor`: what this installation is, and what a server is like from here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import carmine
from carmine.cli import facts
from carmine.cli.probe import probe
from carmine.errors import CarmineError

if TYPE_CHECKING:
    import argparse

    from carmine.cli.screen import Screen

__all__ = ["add_to", "run"]


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser], told: str) -> None:
    """Describe this command to the parser."""
    parser = commands.add_parser(
        "doctor",
        help=told,
        description="Tells about Python, the codec in use, the extras and the servers installed; with --url, about a "
        "server: protocol, version, latency, what it refuses, TLS. Status 1 if the server cannot be used.",
    )
    parser.add_argument("--url", help="the server to look at, as in redis://127.0.0.1:6379/0")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    parser.add_argument("--plain", action="store_true", help="no colours, as where the output is no terminal")
    parser.set_defaults(run=run)


def run(asked: argparse.Namespace, screen: Screen) -> int:
    """Tell what is known.

    Raises:
        CarmineError: The URL cannot be used, or no connection could be made; what is known without it was told.
    """
    found: dict[str, Any] = {"version": carmine.__version__, "python": facts.python(), "codec": _codec()}
    found |= {"extras": facts.extras(), "servers": facts.servers()}
    problem: CarmineError | None = None
    if asked.url is not None:
        try:
            found["connection"] = probe(asked.url)
        except CarmineError as error:
            found["error"] = f"{type(error).__name__}: {error}"
            problem = error
    if asked.json:
        screen.raw(json.dumps(found, indent=1))
    else:
        _show(found, screen)
    if problem is not None:
        raise problem
    return 0


def _codec() -> dict[str, str | None]:
    twin = facts.twin()
    return {"twin": twin.name, "why": twin.why, "no_fast_path": facts.fast_path()}


def _show(found: dict[str, Any], screen: Screen) -> None:
    screen.title(f"carmine {found['version']}")
    screen.facts("Python", list(found["python"].items()))
    codec = found["codec"]
    way = "inside the extension" if codec["no_fast_path"] is None else f"on Python sockets: {codec['no_fast_path']}"
    twin = codec["twin"] if codec["why"] is None else f"{codec['twin']}: {codec['why']}"
    screen.facts("Codec", [("twin", twin), ("blocking calls", way)])
    screen.facts("Extras", [(name, _extra(extra)) for name, extra in found["extras"].items()])
    servers = [(server["kind"], f"{server['version']}  {server['path']}") for server in found["servers"]]
    none = [("none", f"{found['extras']['embedded']['install']}, or set CARMINE_REDIS_SERVER to a server's path")]
    screen.facts("Servers that carmine.embedded can start", servers or none)
    if "connection" in found:
        _show_connection(found["connection"], screen)


def _extra(extra: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in extra["installed"].items())
    return " - ".join(part for part in (versions, extra["install"]) if part)


def _show_connection(found: dict[str, Any], screen: Screen) -> None:
    ping = found["ping_us"]
    rows = [
        ("server", found["server"]),
        ("protocol", found["protocol"]),
        ("connect", f"{found['connect_ms']:.3g} ms, handshake included"),
        ("PING", f"{ping['median']:.0f} us in the middle, {ping['least']:.0f} us at least"),
        *((f"refuses {name}", text) for name, text in found["refused"].items()),
        *(("warning", text) for text in found["warnings"]),
    ]
    if not found["refused"]:
        rows.append(("refuses", "nothing that carmine uses"))
    tls = found.get("tls")
    if tls is not None:
        days = "" if tls["days_left"] is None else f", good for {tls['days_left']:.0f} more days"
        rows.append(("TLS", f"{tls['version']}, {tls['cipher']}; certificate for {', '.join(tls['names'])}{days}"))
    screen.facts(f"Connection to {found['address']}", rows)
