"""The handler that a worker's command line names: found, imported, and known for which world it is.

Its module is the user's code: whatever it raises while it is imported becomes one sentence that says where.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import traceback
from functools import reduce
from typing import TYPE_CHECKING, Any

from carmine import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["find_handler", "is_async"]


def find_handler(words: str) -> Callable[..., Any]:
    """Import a handler, from the current folder too, as `python -m` does.

    Args:
        words: "module:name", either of them with dots.

    Raises:
        UsageError: There is none; the message says what is wrong, and in which line of whose file.
    """
    module_name, colon, path = words.partition(":")
    if not colon or not all(part.isidentifier() for part in (*module_name.split("."), *path.split("."))):
        raise UsageError("a handler is named module:function, as in app.tasks:send")
    if not sys.flags.safe_path and not {"", os.getcwd()} & set(sys.path):
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as problem:  # whatever the user's module does
        raise UsageError(f"the module {module_name} cannot be imported: {_told(problem)}") from problem
    try:
        handler = reduce(getattr, path.split("."), module)
    except AttributeError as problem:
        raise UsageError(f"the module {module_name} has no {path}") from problem
    if not callable(handler):
        raise UsageError(f"{words} is a {type(handler).__name__}, not a function")
    if inspect.isclass(handler):
        raise UsageError(f"{words} is a class; name an object of it that can be called, or a function")
    return handler


def is_async(handler: Callable[..., Any]) -> bool:
    """Tell whether a handler has to be awaited: a coroutine function, or an object whose call is one."""
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(getattr(handler, "__call__", None))  # noqa: B004


def _told(problem: BaseException) -> str:
    """Return what was raised, and the last line of the user's code that it came through."""
    text = f"{type(problem).__name__}: {problem}".rstrip(": ")
    if isinstance(problem, SyntaxError):
        return text  # which says where
    for frame in reversed(traceback.extract_tb(problem.__traceback__)):
        if "importlib" not in frame.filename and frame.filename != __file__:
            return f"{text} ({frame.filename}, line {frame.lineno})"
    return text
