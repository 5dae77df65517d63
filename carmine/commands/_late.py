"""Modules of command functions that a facade loads when a method of theirs is first called; it knows no command.

A facade names all commands, a program uses a few groups of them: what it never calls it does not load (ADR 10).
"""

from __future__ import annotations

from typing import Any

from carmine._loading import load

__all__ = ["LateGroup"]


class LateGroup:
    """Stands where a facade has the module, until somebody asks it for something; then the module takes its place.

    Args:
        name: The module beside this one.
        facade: The facade's names, where the module is called `_name`.
    """

    __slots__ = ("__facade", "__name")

    def __init__(self, name: str, facade: dict[str, Any]) -> None:
        self.__name = name
        self.__facade = facade

    def __getattr__(self, attribute: str) -> Any:
        """Load the module, put it in this object's place, and answer for it this once."""
        module = load(f"carmine.commands.{self.__name}")
        self.__facade[f"_{self.__name}"] = module
        return getattr(module, attribute)
