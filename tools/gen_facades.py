"""Write the three facades from the command functions: one definition of each command, three signatures.

    python -m tools.gen_facades            # write carmine/commands/_sync.py, _async.py, _pipeline.py
    python -m tools.gen_facades --check    # fail if a committed file is not what this would write

Reads the modules of GROUPS as syntax trees; nothing is imported or run. A public function that returns
`Command[X]` becomes a method that returns `X` (sync), `X` after an await (async) or `Reply[X]` (pipeline), with the
same arguments, overloads and docstring. `Text` becomes the client's type parameter, `Value` becomes `Arg` or that
parameter. Signatures fill their lines, which the formatter would not do: it is told to stay out.

The sync facade holds the docstrings. The two others have their first lines, for who reads the file, and take the whole
from it at import (ADR 9): three copies weighed more than all the code. Their further lines stand at the left margin:
indented they weigh 19 KB more, in the wheel and in memory, and `inspect` takes it away again.

The groups of LATE are loaded when one of their methods is first called (ADR 10), and their methods are written once, in
the sync facade: the two others have their signatures, for type checkers, and take the methods from it (ADR 14).

Bodies, fastest first:
- a body that is one `return Command(SPEC, WORDS)` is written out in the facade: no call, no Command object;
- a body that begins with `if CONDITION: return Command(SPEC, WORDS)`, once or several times, has those written out;
- the rest calls the function and hands on what the Command holds.
What is written out may name the function's arguments, builtins, and what its own module defines.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from tools.source_text import LINE, call, copy, filled, import_order, passed, source

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = ROOT / "carmine" / "commands"

GROUPS = (
    "keys",
    "key_times",
    "sorting",
    "strings",
    "string_parts",
    "hashes",
    "hash_times",
    "lists",
    "sets",
    "sorted_sets",
    "sorted_set_ranges",
    "sorted_set_algebra",
    "streams",
    "stream_groups",
    "bitmaps",
    "hyperloglog",
    "geo",
    "geo_radius",
    "vectors",
    "pubsub",
    "scripting",
    "transactions",
    "connection",
    "tracking",
    "server",
    "server_commands",
    "server_health",
    "acl",
    "administration",
    "cluster",
    "cluster_changes",
    "help",
)
"""The modules whose functions become methods, in the order of the facades."""

LATE = frozenset(
    {
        *("key_times", "sorting", "string_parts", "hash_times", "lists", "sets"),
        *("sorted_sets", "sorted_set_ranges", "sorted_set_algebra"),
        *("streams", "stream_groups", "bitmaps", "hyperloglog", "geo", "geo_radius", "vectors"),
        *("pubsub", "scripting", "transactions"),
        *("connection", "tracking", "server", "server_commands", "server_health", "acl"),
        *("administration", "cluster", "cluster_changes", "help"),
    }
)
"""Those that a facade loads when one of their methods is first called; the others come with every client."""


class FacadeError(Exception):
    """A command function is not in the form that the generator reads."""


class World:
    """What differs between the facades: names, and how a command goes out."""

    def __init__(
        self, module: str, name: str, told: str, call: str, *, is_async: bool = False, reply: str = "{}"
    ) -> None:
        self.path = COMMANDS / module
        self.name = name
        self.told = told
        self.call = call
        self.is_async = is_async
        self.reply = reply
        # A `timeout` here is the server's: how long BLPOP waits there.
        waived = "ASYNC109" if is_async else "" if "Reply" in reply else "D207"
        self.waiver = waived and f"# ruff: noqa: {waived}\n"
        self.definition = "async def" if is_async else "def"


SYNC = World("_sync.py", "Commands", "Every command as a method that returns the reply.", "self._execute")
ASYNC = World(
    "_async.py",
    "AsyncCommands",
    "Every command as a coroutine that returns the reply.",
    "await self._execute",
    is_async=True,
)
PIPELINE = World(
    "_pipeline.py",
    "PipelineCommands",
    "Every command as a method that queues it and returns the Reply it will have.",
    "self._queue",
    reply="Reply[{}]",
)
WORLDS = (SYNC, ASYNC, PIPELINE)
SHARED = ("_docs import share_docs", f"{SYNC.path.stem} import {SYNC.name}")
MADE = {ASYNC: "awaited", PIPELINE: "queued"}
"""What makes a method of this world out of the sync facade's (carmine/commands/_shared.py)."""

PROVIDED = {
    SYNC: "def _execute(self, spec: Spec, words: Words) -> Any: ...",
    ASYNC: "def _execute(self, spec: Spec, words: Words) -> Awaitable[Any]: ...",
    PIPELINE: "def _queue(self, spec: Spec, words: Words) -> Reply[Any]: ...",
}


class Group:
    """One module of command functions, as its syntax tree tells it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alias = f"_{name}"
        self.path = COMMANDS / f"{name}.py"
        tree = ast.parse(self.path.read_text(encoding="utf-8"))
        self.imports: dict[str, str] = {}
        self.defined: set[str] = set()
        self.functions: dict[str, list[ast.FunctionDef]] = {}
        for node in _top_level(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    self.imports[alias.asname or alias.name] = node.module
            elif isinstance(node, ast.FunctionDef):
                self.defined.add(node.name)
                if not node.name.startswith("_"):
                    self.functions.setdefault(node.name, []).append(node)
            elif isinstance(node, ast.ClassDef):
                self.defined.add(node.name)
            elif isinstance(node, ast.Assign):
                self.defined |= {target.id for target in node.targets if isinstance(target, ast.Name)}
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                self.defined.add(node.target.id)

    def fail(self, node: ast.AST, reason: str) -> FacadeError:
        """Return the error that names file and line."""
        return FacadeError(f"{self.path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}: {reason}")


def _top_level(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield the statements of a module, and those under `if TYPE_CHECKING:`."""
    for node in tree.body:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            yield from node.body
        else:
            yield node


def _arguments(function: ast.FunctionDef) -> list[ast.arg]:
    spec = function.args
    extra = [arg for arg in (spec.vararg, spec.kwarg) if arg]
    return [*spec.posonlyargs, *spec.args, *spec.kwonlyargs, *extra]


class Names(ast.NodeTransformer):
    """Rewrites names in annotations: `Text`, `Value`, and builtins that a method's name hides in class scope."""

    def __init__(self, methods: set[str]) -> None:
        self.methods = methods
        self.used: set[str] = set()

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """Rewrite one name."""
        if node.id == "Text":
            return ast.Name("T")
        if node.id == "Value":  # for str and bytes the same as Arg; on a Client[Any], which has a serializer, anything
            self.used.add("Arg")
            return ast.BinOp(ast.Name("Arg"), ast.BitOr(), ast.Name("T"))
        if node.id in self.methods and hasattr(builtins, node.id):
            self.used.add("builtins")
            return ast.Attribute(ast.Name("builtins"), node.id)
        if not hasattr(builtins, node.id):
            self.used.add(node.id)
        return node


class Qualified(ast.NodeTransformer):
    """Rewrites an expression of a command function so that it means the same in a facade."""

    def __init__(self, group: Group, function: ast.FunctionDef) -> None:
        self.group = group
        self.arguments = {arg.arg for arg in _arguments(function)}
        self.is_possible = True

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """Qualify a name that the module defines; note one that cannot be written out."""
        if node.id in self.arguments:
            return node
        if node.id in self.group.defined:
            return ast.Attribute(ast.Name(self.group.alias), node.id)
        if not hasattr(builtins, node.id):
            self.is_possible = False
        return node


def _command_of(statement: ast.stmt) -> tuple[ast.expr, ast.expr] | None:
    """Return SPEC and WORDS of `return Command(SPEC, WORDS)`, else None."""
    match statement:
        case ast.Return(value=ast.Call(func=ast.Name(id="Command"), args=[spec, words], keywords=[])):
            return spec, words
    return None


class Facades:
    """All groups together, and the text of each facade."""

    def __init__(self) -> None:
        self.groups = [Group(name) for name in GROUPS]
        self.methods: set[str] = set()
        for group in self.groups:
            for name, defined in group.functions.items():
                if name in self.methods:
                    raise group.fail(defined[0], f"{name} is defined twice")
                self.methods.add(name)
        self.used: dict[str, str] = {}

    def text(self, world: World) -> str:
        """Return the source of one facade."""
        self.used = {}
        late = [group for group in self.groups if group.name in LATE]
        parts = [self._group(world, group) for group in self.groups if group.name not in LATE]
        if world is SYNC:
            parts += [self._group(world, group) for group in late]
            return self._head(world) + "\n".join(parts)
        tail = f"\n\nshare_docs({world.name}, {SYNC.name})\n"
        if late:
            told = "".join(self._told(world, group) for group in late)
            parts.append(f"    if TYPE_CHECKING:  # at run time these are made of the sync facade's\n{told}")
            tail += f"share_methods({world.name}, {SYNC.name}, {MADE[world]})\n"
        return self._head(world) + "\n".join(parts) + tail

    def _told(self, world: World, group: Group) -> str:
        """Return what type checkers are told of a late group's methods."""
        lines = [f"\n        # {group.name}\n"]
        for *overloads, function in group.functions.values():
            if not overloads:
                lines.append(f"{self._signature(world, group, function, indent=8)} ...\n")
                continue
            lines += [f"        @overload\n{self._signature(world, group, each, indent=8)} ...\n" for each in overloads]
            lines.append(f"        {world.definition} {function.name}(self, *_: Any, **__: Any) -> Any: ...\n")
        return "".join(lines)

    def _head(self, world: World) -> str:
        typed: dict[str, set[str]] = {"carmine.commands.command": {"Spec", "Words"}}
        if world is ASYNC:
            typed["collections.abc"] = {"Awaitable"}
        if world is PIPELINE:
            typed["carmine.commands.command"].add("Reply")
        for name, module in self.used.items():
            typed.setdefault(module, set()).add(name)
        typing = {"TYPE_CHECKING", "Any", "Generic", "TypeVar", "overload"} | typed.pop("typing", set())
        plain = "    import builtins\n" if typed.pop("builtins", None) else ""
        blocks: dict[bool, list[str]] = {False: [], True: []}
        for module in sorted(typed):
            line = f"    from {module} import {', '.join(sorted(typed[module], key=import_order))}\n"
            if len(line) > LINE:
                names = "".join(f"        {name},\n" for name in sorted(typed[module], key=import_order))
                line = f"    from {module} import (\n{names}    )\n"
            blocks[module.startswith("carmine")].append(line)
        groups = sorted(self.groups, key=lambda group: group.name)
        lines = {group.name: f"from carmine.commands import {group.name} as {group.alias}\n" for group in groups}
        imports = "".join(line for name, line in lines.items() if name not in LATE)
        late = [group for group in groups if group.name in LATE]
        helpers = list(SHARED)
        if late and world is SYNC:
            blocks[True][:0] = [f"    {lines[group.name]}" for group in late]
            helpers = ["_late import LateGroup"]
        elif late:
            helpers.append(f"_shared import {MADE[world]}, share_methods")
        elif world is SYNC:
            helpers = []
        imports += "".join(f"from carmine.commands.{helper}\n" for helper in sorted(helpers))
        under = "\n".join(part for part in (plain + "".join(blocks[False]), "".join(blocks[True])) if part)
        if late and world is SYNC:
            under += "else:\n"
            under += "".join(f'    {group.alias} = LateGroup("{group.name}", globals())\n' for group in late)
        return (
            "# GENERATED by tools/gen_facades.py from the command functions beside it. Do not edit.\n"
            "# fmt: off\n"
            '# mypy: disable-error-code="no-any-return"\n'
            f"{world.waiver}"
            f'"""{world.told}\n\nWhat a command is, its group module says; here it only goes out.\n"""\n\n'
            "from __future__ import annotations\n\n"
            f"from typing import {', '.join(sorted(typing, key=import_order))}\n\n{imports}\n"
            f"if TYPE_CHECKING:\n{under}\n"
            f'__all__ = ["{world.name}"]\n\n'
            'T = TypeVar("T", bound=str | bytes)\n'
            '"""What strings of the caller\'s data are read as: str or bytes."""\n\n\n'
            f"class {world.name}(Generic[T]):\n"
            f'    """{world.told}"""\n\n'
            "    __slots__ = ()\n\n"
            f"    if TYPE_CHECKING:\n\n        {PROVIDED[world]}\n\n"
        )

    def _group(self, world: World, group: Group) -> str:
        methods = "\n".join(self._method(world, group, defined) for defined in group.functions.values())
        return f"    # {group.name}\n\n{methods}"

    def _method(self, world: World, group: Group, defined: list[ast.FunctionDef]) -> str:
        *overloads, function = defined
        marked = [[source(mark) for mark in each.decorator_list] for each in defined]
        if marked != [*(["overload"] for _ in overloads), []]:
            raise group.fail(function, f"{function.name}: overloads first, the definition last, no other decorator")
        lines = [f"        @overload\n{self._signature(world, group, each, indent=8)} ...\n" for each in overloads]
        if overloads:  # for type checkers alone: at run time they cost a quarter of a megabyte
            lines = ["    if TYPE_CHECKING:\n\n", *lines, "\n"]
        docstring = ast.get_docstring(function, clean=True)
        if not docstring or max(map(len, docstring.splitlines())) > LINE - 8:
            raise group.fail(function, f"{function.name} has no docstring, or one with a line that is too long")
        lines.append(self._signature(world, group, function, is_open=bool(overloads)) + "\n")
        told_here = docstring if world is SYNC else docstring.partition("\n")[0]
        text = told_here.replace("\\", "\\\\")
        told = f'"""{text}\n"""' if "\n" in text else f'"""{text}"""'
        if world is not SYNC and len(told) + 8 > LINE:  # a first line that has no room for the quotes
            told += "  # noqa: E501"
        lines.append(f"        {told}\n")
        lines += [textwrap.indent(line, "        ") + "\n" for line in self._body(world, group, function)]
        return "".join(lines)

    def _signature(
        self, world: World, group: Group, function: ast.FunctionDef, *, is_open: bool = False, indent: int = 4
    ) -> str:
        """Return `def name(...) -> X:`; `is_open` for the definition behind overloads, which returns Any."""
        match function.returns:
            case ast.Subscript(value=ast.Name(id="Command"), slice=result):
                pass
            case _:
                raise group.fail(function, f"{function.name} must return Command[...]")
        names = Names(self.methods)
        spec = function.args
        parts = ["self"]
        plain = [*spec.posonlyargs, *spec.args]
        defaults: list[ast.expr | None] = [None] * (len(plain) - len(spec.defaults)) + list(spec.defaults)
        for index, (arg, default) in enumerate(zip(plain, defaults, strict=True)):
            parts.append(self._argument(group, names, arg, default))
            if index + 1 == len(spec.posonlyargs):
                parts.append("/")
        if spec.vararg:
            parts.append("*" + self._argument(group, names, spec.vararg, None))
        elif spec.kwonlyargs:
            parts.append("*")
        parts += [self._argument(group, names, a, d) for a, d in zip(spec.kwonlyargs, spec.kw_defaults, strict=True)]
        if spec.kwarg:
            parts.append("**" + self._argument(group, names, spec.kwarg, None))
        returns = world.reply.format(source(names.visit(copy(result))))
        if is_open and world is not PIPELINE:
            returns = "Any"
        self._note(group, function, names.used)
        margin = " " * indent
        start = f"{margin}{world.definition} {function.name}("
        one = f"{start}{', '.join(parts)}) -> {returns}:"
        if len(one) + 4 <= LINE:
            return one
        return f"{start}\n{filled(parts, indent + 4)}\n{margin}) -> {returns}:"

    def _argument(self, group: Group, names: Names, arg: ast.arg, default: ast.expr | None) -> str:
        if arg.annotation is None:
            raise group.fail(arg, f"{arg.arg} has no annotation")
        if arg.arg in ("self", "command"):
            raise group.fail(arg, f"an argument may not be called {arg.arg}")
        text = f"{arg.arg}: {source(names.visit(copy(arg.annotation)))}"
        if default is None:
            return text
        value = default.operand if isinstance(default, ast.UnaryOp) else default
        if not isinstance(value, ast.Constant) and not (isinstance(value, ast.Tuple) and not value.elts):
            raise group.fail(default, f"the default of {arg.arg} must be a constant")
        return f"{text} = {source(default)}"

    def _note(self, group: Group, function: ast.FunctionDef, used: set[str]) -> None:
        """Remember where the names of a signature come from."""
        for name in used - {"Any"}:
            if name == "builtins":
                module = "builtins"
            elif name == "Arg":
                module = "carmine.types"
            elif name in group.imports:
                module = group.imports[name]
            elif name in group.defined:
                module = f"carmine.commands.{group.name}"
            else:
                raise group.fail(function, f"nobody imports {name}, which the signature of {function.name} uses")
            if self.used.setdefault(name, module) != module:
                raise group.fail(function, f"{name} means two things: of {module} and of {self.used[name]}")

    def _body(self, world: World, group: Group, function: ast.FunctionDef) -> Iterator[str]:
        for statement in function.body[1:]:
            written = self._written_out(world, group, function, statement, 8)
            if written:
                yield written
                return
            guarded = self._guarded(world, group, function, statement)
            if guarded is None:
                break
            yield guarded
        yield call(f"command = {group.alias}.{function.name}", list(passed(function)), 8)
        yield f"return {world.call}(command.spec, command.words)"

    def _guarded(self, world: World, group: Group, function: ast.FunctionDef, statement: ast.stmt) -> str | None:
        """Return `if CONDITION: return Command(SPEC, WORDS)` as a facade must write it, or None if it is not that."""
        match statement:
            case ast.If(test=test, body=[only], orelse=[]):
                written = self._written_out(world, group, function, only, 12)
                condition = _condition(group, function, test)
                if written and condition:
                    return f"{condition}\n{textwrap.indent(written, '    ')}"
        return None

    def _written_out(
        self, world: World, group: Group, function: ast.FunctionDef, statement: ast.stmt, indent: int
    ) -> str | None:
        parts = _command_of(statement)
        if parts is None:
            return None
        told = [_qualified(group, function, part) for part in parts]
        if None in told:
            return None
        return call(f"return {world.call}", [part for part in told if part], indent)


def _qualified(group: Group, function: ast.FunctionDef, node: ast.expr) -> str | None:
    """Return the expression as a facade must write it, or None if it cannot."""
    names = Qualified(group, function)
    rewritten = names.visit(copy(node))
    return source(rewritten) if names.is_possible else None


def _condition(group: Group, function: ast.FunctionDef, test: ast.expr) -> str | None:
    """Return the `if` line or lines of a test, or None if it cannot be written out."""
    parts = test.values if isinstance(test, ast.BoolOp) else [test]
    told = [_qualified(group, function, part) for part in parts]
    if None in told:
        return None
    word = "or " if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or) else "and "
    one = f"if {f' {word}'.join(str(part) for part in told)}:"
    if len(one) + 8 <= LINE:
        return one
    lines = [f"    {word if index else ''}{part}" for index, part in enumerate(told)]
    return "\n".join(["if (", *lines, "):"])


def main() -> int:
    """Write the facades, or compare them with the committed ones."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--check", action="store_true", help="compare only")
    is_check = options.parse_args().check
    facades = Facades()
    stale = []
    for world in WORLDS:
        text = facades.text(world)
        ast.parse(text)
        if not is_check:
            world.path.write_text(text, encoding="utf-8")
        elif not world.path.exists() or world.path.read_text(encoding="utf-8") != text:
            stale.append(str(world.path.relative_to(ROOT)))
    if stale:
        sys.stderr.write(f"{', '.join(stale)}: not what tools/gen_facades.py writes; run it\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
