"""Fixtures of the layers' tests: those of the laboratory."""

from __future__ import annotations

from tests.lab.fixtures import certs, impl, make_server, module_server, protocol, proxy, server, stack, url

__all__ = ["certs", "impl", "make_server", "module_server", "protocol", "proxy", "server", "stack", "url"]
