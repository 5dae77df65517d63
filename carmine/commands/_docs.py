"""One copy of each docstring, in a wheel and in memory; this module knows no command and no client.

The sync facade holds the commands', where editors look for `client.get`. The two other facades take theirs from it when
they are loaded, and so do the command functions. The asyncio shells take theirs from the blocking ones, which are
generated from them. In a wheel functions have no docstrings of their own, and shells the first lines of those that are
public (setup.py, ADR 9).
"""

from __future__ import annotations

from importlib import import_module
from types import FunctionType, ModuleType
from typing import Any

__all__ = ["ClientPackage", "CommandsPackage", "blocking_name", "share_docs"]


def share_docs(holder: type | ModuleType, origin: type) -> None:
    """Give each function of a facade or a group the docstring of the origin's method of that name: the same object."""
    methods = vars(origin)
    for name, function in vars(holder).items():
        if isinstance(function, FunctionType) and name in methods:
            function.__doc__ = methods[name].__doc__


class _Sharing(ModuleType):
    """A package whose modules have docstrings whoever imports them, and whenever.

    The import system sets each loaded module as an attribute of its package; that is where docstrings are shared.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        """Take in a module."""
        super().__setattr__(name, value)
        self._share(name, value)

    def _share(self, name: str, value: Any) -> None:
        """Share what this module makes possible."""
        raise NotImplementedError


class CommandsPackage(_Sharing):
    """What `carmine.commands` is: its groups have the docstrings of the sync facade."""

    def _share(self, name: str, value: Any) -> None:
        """Give a group its docstrings if the facade is there; the facade gives them out."""
        facade = vars(self).get("_sync")
        if facade is None:
            return
        loaded = list(vars(self).items()) if value is facade else [(name, value)]
        for each, module in loaded:
            if f"_{each}" in vars(facade):  # the facade knows the groups, and only those, by such names
                share_docs(module, facade.Commands)


class ClientPackage(_Sharing):
    """What `carmine.client` is: it knows which of its rooms has the docstrings of another."""

    def _share(self, name: str, value: Any) -> None:
        """Let the room of the asyncio shells share."""
        if name == "_async":
            value.__class__ = ShellsPackage


class ShellsPackage(_Sharing):
    """What `carmine.client._async` is: a shell without its docstrings has those of the blocking one."""

    def _share(self, name: str, value: Any) -> None:
        """Give a shell what it lacks; a module that has its own docstring lacks none (setup.py)."""
        if isinstance(value, ModuleType) and value.__doc__ is None:
            _fill(value, import_module(f"{self.__name__.removesuffix('_async')}_sync.{name}"), value.__name__)


def _fill(holder: Any, origin: Any, module: str) -> None:
    """Give a module or class, and what it holds, the docstrings of its twin."""
    _complete(holder, origin)
    theirs = vars(origin)
    for name, mine in list(vars(holder).items()):
        twin = theirs.get(blocking_name(name))
        if isinstance(mine, FunctionType | property):
            if isinstance(twin, FunctionType | property):
                _complete(mine, twin)
        elif isinstance(mine, type) and mine.__module__ == module and isinstance(twin, type):
            _fill(mine, twin, module)


def _complete(mine: Any, twin: Any) -> None:
    """Give one thing the docstring of another, if it has none or the beginning of that."""
    if mine.__doc__ is None or (twin.__doc__ or "").startswith(mine.__doc__):
        mine.__doc__ = twin.__doc__


def blocking_name(name: str) -> str:
    """Return what the blocking shells call a thing that an asyncio shell has."""
    return _OTHER_NAMES.get(name) or name.replace("Async", "", 1)


_OTHER_NAMES = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "aclose": "close",
    "connect_async": "connect",
}
