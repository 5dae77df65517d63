"""The server's own help on commands that have sub-commands, line by line; as str, on Client[bytes] too."""

from __future__ import annotations

from carmine.commands.command import Command
from carmine.commands.specs import spec

_ACL = spec("ACL HELP", text=True)
_CLUSTER = spec("CLUSTER HELP", text=True)
_COMMAND = spec("COMMAND HELP", text=True)
_COMMANDLOG = spec("COMMANDLOG HELP", text=True)
_CONFIG = spec("CONFIG HELP", text=True)
_FUNCTION = spec("FUNCTION HELP", text=True)
_LATENCY = spec("LATENCY HELP", text=True)
_MEMORY = spec("MEMORY HELP", text=True)
_MODULE = spec("MODULE HELP", text=True)
_PUBSUB = spec("PUBSUB HELP", text=True)
_SCRIPT = spec("SCRIPT HELP", text=True)
_SLOWLOG = spec("SLOWLOG HELP", text=True)


def acl_help() -> Command[list[str]]:
    """ACL HELP: read the server's help on ACL.

    Since: 6.0.0. Cost: O(1). Source: redis.io/commands/acl-help
    """
    return Command(_ACL, (b"ACL", b"HELP"))


def cluster_help() -> Command[list[str]]:
    """CLUSTER HELP: read the server's help on CLUSTER.

    Since: 5.0.0. Cost: O(1). Source: redis.io/commands/cluster-help
    """
    return Command(_CLUSTER, (b"CLUSTER", b"HELP"))


def command_help() -> Command[list[str]]:
    """COMMAND HELP: read the server's help on COMMAND.

    Since: 5.0.0. Cost: O(1). Source: redis.io/commands/command-help
    """
    return Command(_COMMAND, (b"COMMAND", b"HELP"))


def commandlog_help() -> Command[list[str]]:
    """COMMANDLOG HELP: read the server's help on COMMANDLOG.

    Since: Valkey 8.1.0. Cost: O(1). Source: valkey.io/commands/commandlog-help
    """
    return Command(_COMMANDLOG, (b"COMMANDLOG", b"HELP"))


def config_help() -> Command[list[str]]:
    """CONFIG HELP: read the server's help on CONFIG.

    Since: 5.0.0. Cost: O(1). Source: redis.io/commands/config-help
    """
    return Command(_CONFIG, (b"CONFIG", b"HELP"))


def function_help() -> Command[list[str]]:
    """FUNCTION HELP: read the server's help on FUNCTION.

    Since: 7.0.0. Cost: O(1). Source: redis.io/commands/function-help
    """
    return Command(_FUNCTION, (b"FUNCTION", b"HELP"))


def latency_help() -> Command[list[str]]:
    """LATENCY HELP: read the server's help on LATENCY.

    Since: 2.8.13. Cost: O(1). Source: redis.io/commands/latency-help
    """
    return Command(_LATENCY, (b"LATENCY", b"HELP"))


def memory_help() -> Command[list[str]]:
    """MEMORY HELP: read the server's help on MEMORY.

    Since: 4.0.0. Cost: O(1). Source: redis.io/commands/memory-help
    """
    return Command(_MEMORY, (b"MEMORY", b"HELP"))


def module_help() -> Command[list[str]]:
    """MODULE HELP: read the server's help on MODULE.

    Since: 5.0.0. Cost: O(1). Source: redis.io/commands/module-help
    """
    return Command(_MODULE, (b"MODULE", b"HELP"))


def pubsub_help() -> Command[list[str]]:
    """PUBSUB HELP: read the server's help on PUBSUB.

    Since: 6.2.0. Cost: O(1). Source: redis.io/commands/pubsub-help
    """
    return Command(_PUBSUB, (b"PUBSUB", b"HELP"))


def script_help() -> Command[list[str]]:
    """SCRIPT HELP: read the server's help on SCRIPT.

    Since: 5.0.0. Cost: O(1). Source: redis.io/commands/script-help
    """
    return Command(_SCRIPT, (b"SCRIPT", b"HELP"))


def slowlog_help() -> Command[list[str]]:
    """SLOWLOG HELP: read the server's help on SLOWLOG.

    Since: 6.2.0. Cost: O(1). Source: redis.io/commands/slowlog-help
    """
    return Command(_SLOWLOG, (b"SLOWLOG", b"HELP"))
