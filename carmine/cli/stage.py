"""The stage of the demonstration: runs a function one statement at a time, and shows each with its time and result.

What is shown is what is run, so it cannot be out of date; and it is a function like any other, so linters and type
checkers read it. Invariants: `assert left == right` shows `left` and its value, and an answer that is not `right`
ends the demonstration; an error that is announced with `expect` and does not come ends it too.
"""

from __future__ import annotations
import __future__

import ast
import inspect
import operator
import re
import textwrap
import time
from typing import TYPE_CHECKING, Any, Final, Self

from carmine.cli.screen import shortened
from carmine.errors import CarmineError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import CodeType, TracebackType

    from carmine.cli.screen import Screen

__all__ = ["Stage", "WrongAnswer", "expect", "say", "until"]

_FLAGS: Final = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | __future__.annotations.compiler_flag
_SHORTEST: Final = 1e-5
_COMPARED: Final[dict[type[ast.cmpop], Callable[[Any, Any], bool]]] = {
    ast.Eq: operator.eq,
    ast.Is: operator.is_,
    ast.Gt: operator.gt,
}


class WrongAnswer(CarmineError):
    """A step of the demonstration did not give what it was to give."""


class expect:
    """The body of this `with` raises the error, which is then shown."""

    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind
        self.error: BaseException | None = None

    def __enter__(self) -> Self:
        """Begin to listen."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> bool:
        """Keep the announced error, let any other pass."""
        if error is None:
            raise WrongAnswer(f"{self.kind.__name__} was to be raised, and nothing was")
        self.error = error if isinstance(error, self.kind) else None
        return self.error is not None


def say(text: str) -> None:
    """Show a remark; the stage takes it out of the chapter and to the screen."""


def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait for a condition; it is asked again every millisecond.

    Raises:
        WrongAnswer: It did not come true in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise WrongAnswer(f"what was waited for did not happen within {seconds:g} s")
        time.sleep(0.001)


class Stage:
    """Runs chapters; their names are shared, and a chapter's parameters are names that earlier ones have made.

    Args:
        screen: Where it is shown.
        names: What the first chapter finds.
        run: Runs a coroutine to its end, for chapters that are `async def`.
    """

    def __init__(self, screen: Screen, names: dict[str, Any], run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self.screen = screen
        self.names: dict[str, Any] = names
        self._run = run
        self._chapters = 0
        self.steps: int = 0
        """Statements run so far."""

    def perform(self, chapter: Callable[..., object]) -> None:
        """Run a chapter.

        Raises:
            WrongAnswer: A step gave something else than it was to give; the message names it.
        """
        lines, first = inspect.getsourcelines(chapter)
        # the blank lines before give every statement the number it has in its file
        self._text = "\n" * (first - 1) + textwrap.dedent("".join(lines))
        self._file = inspect.getfile(chapter)
        [function] = ast.parse(self._text).body
        assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        title, _, rest = (ast.get_docstring(function) or "").partition("\n")
        title = title.rstrip(".")
        self._chapters += 1
        self.screen.chapter(self._chapters, title, " ".join(rest.split()))
        self.names = {**inspect.unwrap(chapter).__globals__, **self.names}
        for statement in function.body[1:]:
            try:
                self._perform(statement)
            except CarmineError as wrong:
                what = "" if isinstance(wrong, WrongAnswer) else f"{type(wrong).__name__}: "
                raise WrongAnswer(f"{what}{wrong} ({self._file}, line {statement.lineno})") from wrong
            self.steps += 1

    def _perform(self, statement: ast.stmt) -> None:
        shown = self._shown(statement)
        match statement:
            case ast.Expr(value=ast.Call(func=ast.Name(id="say"), args=[text])):
                self.screen.say(self._evaluate(text)[1])
            case ast.Assert(test=ast.Compare(left=left, ops=[op], comparators=[right])):
                seconds, given = self._evaluate(left)
                _, wanted = self._evaluate(right)
                if not _COMPARED[type(op)](given, wanted):
                    raise WrongAnswer(f"{ast.unparse(left)} gave {shortened(given)}, not {shortened(wanted)}")
                self.screen.code(_worth_telling(seconds), self._shown(left), shortened(given))
            case ast.With(items=[ast.withitem(context_expr=ast.Call(func=ast.Name(id="expect"))) as first, *_]):
                first.optional_vars = ast.copy_location(ast.Name("_told", ast.Store()), statement)
                seconds = self._execute(statement)
                self.screen.code(_worth_telling(seconds), _without_expect(shown), None)
                self.screen.error(self.names.pop("_told").error)
            case _:
                self.screen.code(_worth_telling(self._execute(statement)), shown, None)

    def _execute(self, statement: ast.stmt) -> float:
        code = compile(ast.Module([statement], []), self._file, "exec", flags=_FLAGS, dont_inherit=True)
        return self._timed(code)[0]

    def _evaluate(self, expression: ast.expr) -> tuple[float, Any]:
        return self._timed(compile(ast.Expression(expression), self._file, "eval", flags=_FLAGS, dont_inherit=True))

    def _timed(self, code: CodeType) -> tuple[float, Any]:
        waits = code.co_flags & inspect.CO_COROUTINE
        began = time.perf_counter()
        value = eval(code, self.names)  # code of this package: the chapters
        if waits:
            value = self._run(value)
        return time.perf_counter() - began, value

    def _shown(self, node: ast.stmt | ast.expr) -> str:
        """Return a node's source; a statement with the comment behind it."""
        if isinstance(node, ast.expr):
            first, *rest = (ast.get_source_segment(self._text, node) or "").splitlines()
            return "\n".join((first, *textwrap.dedent("\n".join(rest)).splitlines()))
        lines = self._text.splitlines()[node.lineno - 1 : node.end_lineno]
        return textwrap.dedent("\n".join(line.partition("  # type: ignore")[0] for line in lines))


def _worth_telling(seconds: float) -> float | None:
    """Return a time, or None where nothing was done but to bind a name."""
    return seconds if seconds >= _SHORTEST else None


def _without_expect(shown: str) -> str:
    """Return a `with expect(...)` statement as it would be written without a stage."""
    first, _, body = shown.partition("\n")
    others = re.sub(r"with expect\([\w.]+\)(, |:)", "", first)
    return f"with {others}\n{body}" if others else textwrap.dedent(body)
