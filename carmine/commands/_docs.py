"""One copy of the commands' docstrings, for the three facades; it knows nothing of commands."""

from __future__ import annotations

from types import FunctionType

__all__ = ["share_docs"]


def share_docs(facade: type, origin: type) -> None:
    """Give each method of a facade the docstring of its namesake: the same object, so that memory has it once."""
    for name, method in vars(origin).items():
        if isinstance(method, FunctionType):
            vars(facade)[name].__doc__ = method.__doc__
