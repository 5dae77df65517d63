"""Fixtures of the locks' tests: those of the laboratory."""

from tests.lab.fixtures import certs, impl, make_server, module_server, protocol, proxy, server, stack, url

__all__ = ["certs", "impl", "make_server", "module_server", "protocol", "proxy", "server", "stack", "url"]
