"""Every command that a server of the matrix lists is a method, or is left out for a reason that stands here.

The servers are asked (COMMAND LIST, COMMAND DOCS for sub-commands), so a newer server in the matrix, or descriptions in
tools/commands that are older than the servers, are found by this test and not by users.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import carmine
from carmine.commands._async import AsyncCommands
from carmine.commands._pipeline import PipelineCommands
from carmine.commands._sync import Commands
from carmine.commands._table import COMMANDS
from carmine.commands.flags import CONTAINER, FORBIDDEN, SUBSCRIBE
from carmine.commands.specs import lookup
from carmine.errors import UsageError
from tests.lab.matrix import current_leg
from tests.lab.wire import ReplyError
from tools.gen_table import SOURCES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.servers import RedisServer

INTERNAL = {"CLUSTER SYNCSLOTS", "PFDEBUG", "PFSELFTEST", "PSYNC", "REPLCONF", "RESTORE-ASKING", "SYNC"}
"""What servers and their own tests say to each other."""

REFUSED = {"CLIENT REPLY", "MONITOR", "QUIT", "SCRIPT DEBUG"}
"""After these replies can no longer be told apart (D5, D17); there are `client.monitor()` and `close()` instead."""

SUBSCRIPTIONS = {"PSUBSCRIBE", "PUNSUBSCRIBE", "SSUBSCRIBE", "SUBSCRIBE", "SUNSUBSCRIBE", "UNSUBSCRIBE"}
"""What `client.pubsub()` and `client.listener()` do on a connection of their own."""

OF_62 = {"HOST:", "POST", "STRALGO"}
"""What only Redis 6.2 lists: two traps for browsers, and what LCS has replaced; `client.execute` sends it."""

LEFT_OUT = INTERNAL | REFUSED | SUBSCRIPTIONS
CONTAINERS = {name for name, (flags, _) in COMMANDS.items() if flags & CONTAINER}
FACADES = (Commands, AsyncCommands, PipelineCommands)
NEWEST = ("valkey91", "redis82")
DUMPS = {
    source: json.loads((Path(__file__).resolve().parents[2] / "tools" / "commands" / source).read_text("utf-8"))
    for source in SOURCES
}


def method_of(name: str) -> str:
    """Return what the method of a command is called."""
    return "delete" if name == "DEL" else name.lower().replace(" ", "_").replace("-", "_")


@pytest.fixture
def client(url: str) -> Iterator[carmine.Client[str]]:
    with carmine.Client(url) as made:
        yield made


def listed(client: carmine.Client[str]) -> tuple[set[str], set[str]]:
    """Return the names of the server's commands, sub-commands included, and those of the containers among them."""
    if not current_leg().at_least_7:  # it tells no sub-commands
        return {each["name"].upper() for each in client.command() if each}, set()
    docs = client.command_docs()
    below = {name.upper(): {each.upper() for each in told.get("subcommands", ())} for name, told in docs.items()}
    names = {name.upper() for name in client.command_list()}
    assert names == set(below).union(*below.values())  # the server says the same twice
    return {name.replace("|", " ") for name in names}, {name for name, found in below.items() if found}


def test_every_command_of_this_server_is_a_method_or_left_out(client: carmine.Client[str]) -> None:
    names, containers = listed(client)
    assert len(names) > 200
    missing = {name for name in names - containers if not hasattr(Commands, method_of(name))}
    if current_leg().at_least_7:
        assert missing == LEFT_OUT & names
    else:
        assert missing == LEFT_OUT & names | OF_62 | CONTAINERS & names - {"COMMAND"}


def test_the_descriptions_are_as_new_as_this_server(client: carmine.Client[str]) -> None:
    leg = current_leg()
    if leg.name not in NEWEST:
        pytest.skip("the descriptions are of the newest servers")
    dump = DUMPS["valkey-9.1.json" if leg.is_valkey else "redis-8.2.json"]
    names, containers = listed(client)
    known = set(dump["commands"])
    assert names - known == set(), "dump the descriptions anew: python tools/dump_commands.py"
    assert known - names == set()
    assert {name for name, told in dump["commands"].items() if told.get("container")} >= containers - {"COMMAND"}
    assert dump["server"].split()[1].startswith(leg.version)


def test_what_an_older_server_lists_is_in_the_table_too(client: carmine.Client[str]) -> None:
    names, _ = listed(client)
    assert names - set(COMMANDS) == (set() if current_leg().at_least_7 else OF_62)


def test_of_the_containers_only_command_answers_alone() -> None:
    assert {name for name in CONTAINERS if hasattr(Commands, method_of(name))} == {"COMMAND"}


@pytest.mark.parametrize("name", sorted(LEFT_OUT))
def test_what_is_left_out_is_no_method_anywhere(name: str) -> None:
    for facade in FACADES:
        assert not hasattr(facade, method_of(name)), facade


@pytest.mark.parametrize("name", sorted(REFUSED | {"SYNC", "PSYNC", "REPLCONF"} | SUBSCRIPTIONS))
def test_what_would_turn_a_connection_into_something_else_is_refused_by_name(
    name: str, client: carmine.Client[str]
) -> None:
    assert lookup(tuple(name.split())).flags & (FORBIDDEN | SUBSCRIBE)
    with pytest.raises(UsageError, match=name.split()[0]):
        client.execute(*name.split(), "x")


@pytest.mark.parametrize("name", ["PFSELFTEST", "PFDEBUG", "RESTORE-ASKING"])
def test_what_is_internal_and_harmless_goes_through_the_raw_door(
    name: str, client: carmine.Client[str], server: RedisServer
) -> None:
    with pytest.raises(ReplyError):
        server.call(name, "nonsense")
    with pytest.raises(carmine.ServerError):
        client.execute(name, "nonsense")


def test_every_other_method_of_a_command_is_on_all_facades() -> None:
    for name in set(COMMANDS) - LEFT_OUT - CONTAINERS:
        for facade in FACADES:
            assert callable(getattr(facade, method_of(name))), (name, facade)
