"""Fixtures of the faults tests: those of the laboratory, and an eavesdropper."""

from tests.faults.secrets import eavesdropper
from tests.lab.fixtures import certs, impl, make_server, module_server, protocol, proxy, server, stack, url

__all__ = [
    "certs",
    "eavesdropper",
    "impl",
    "make_server",
    "module_server",
    "protocol",
    "proxy",
    "server",
    "stack",
    "url",
]
