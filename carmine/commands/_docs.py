"""One copy of the commands' docstrings, in a wheel and in memory; this module knows no command.

The sync facade holds them, where editors look for `client.get`. The two other facades take theirs from it when they
are loaded, and so do the command functions: a wheel has them without docstrings of their own (setup.py, ADR 9).
"""

from __future__ import annotations

from types import FunctionType, ModuleType
from typing import Any

__all__ = ["CommandsPackage", "share_docs"]


def share_docs(holder: type | ModuleType, origin: type) -> None:
    """Give each function of a facade or a group the docstring of the origin's method of that name: the same object."""
    methods = vars(origin)
    for name, function in vars(holder).items():
        if isinstance(function, FunctionType) and name in methods:
            function.__doc__ = methods[name].__doc__


class CommandsPackage(ModuleType):
    """What `carmine.commands` is, so that a group's functions have docstrings whoever imports it, and whenever.

    The import system sets each loaded module as an attribute of its package; that is where the docstrings are shared.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        """Take in a module: a group gets its docstrings if the facade is there, and the facade gives them out."""
        super().__setattr__(name, value)
        facade = vars(self).get("_sync")
        if facade is None:
            return
        loaded = list(vars(self).items()) if value is facade else [(name, value)]
        for each, module in loaded:
            if f"_{each}" in vars(facade):  # the facade knows the groups, and only those, by such names
                share_docs(module, facade.Commands)
