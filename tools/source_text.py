"""Pieces of Python as the facades' generator writes them: source of a syntax tree, broken lines, sorted names.

Knows nothing of commands and facades.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LINE", "call", "copy", "filled", "import_order", "passed", "source"]

LINE = 120
"""How long a line may be."""


def source(node: ast.AST) -> str:
    """Return source with double quotes, as the formatter writes it."""
    return re.sub(r"'([^'\"\\]*)'", r'"\1"', ast.unparse(node))


def call(head: str, arguments: list[str], indent: int) -> str:
    """Return a call, broken where it is too long at this indent."""
    one = f"{head}({', '.join(arguments)})"
    if len(one) + indent <= LINE:
        return one
    return f"{head}(\n{filled(arguments, 4, LINE - indent)}\n)"


def filled(parts: list[str], indent: int, most: int = LINE) -> str:
    """Return parts with commas between, as many as a line takes: one to a line weighs 30 KB more in every wheel."""
    lines = [" " * indent + parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + len(part) + 3 <= most:
            lines[-1] += f", {part}"
        else:
            lines[-1] += ","
            lines.append(" " * indent + part)
    return "\n".join(lines)


def passed(function: ast.FunctionDef) -> Iterator[str]:
    """Yield the arguments of the call that hands all of a method's arguments on."""
    spec = function.args
    yield from (arg.arg for arg in (*spec.posonlyargs, *spec.args))
    if spec.vararg:
        yield f"*{spec.vararg.arg}"
    yield from (f"{arg.arg}={arg.arg}" for arg in spec.kwonlyargs)
    if spec.kwarg:
        yield f"**{spec.kwarg.arg}"


def copy(node: ast.expr) -> Any:
    """Return a copy that may be rewritten."""
    return ast.parse(ast.unparse(node), mode="eval").body


def import_order(name: str) -> tuple[int, str]:
    """Sort names as the import sorter does: constants, classes, the rest."""
    return (0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2, name.lower())
