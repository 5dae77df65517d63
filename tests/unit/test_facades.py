"""The three facades say and send the same, the generator writes them, and refuses what it cannot read."""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import json
import subprocess
import sys
import textwrap
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_overloads
from unittest.mock import patch

import pytest

from carmine.commands import decoders
from carmine.commands._async import AsyncCommands
from carmine.commands._pipeline import PipelineCommands
from carmine.commands._sync import Commands
from carmine.commands._table import COMMANDS
from carmine.commands.command import Reply, Spec
from carmine.errors import UsageError
from tests.unit.command_tables import public_functions
from tests.unit.commands_scenario import STEPS
from tools import gen_facades, gen_table

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from carmine.commands.command import Words

ROOT = Path(__file__).resolve().parents[2]
DUMPS = [json.loads((ROOT / "tools" / "commands" / name).read_text())["commands"] for name in gen_table.SOURCES]
FACADES: tuple[type, ...] = (Commands, AsyncCommands, PipelineCommands)
METHODS = sorted(name for name, method in vars(Commands).items() if inspect.isfunction(method))


class Now(Commands[str]):
    def _execute(self, spec: Spec, words: Words) -> Any:
        return spec, words


class Later(AsyncCommands[str]):
    async def _execute(self, spec: Spec, words: Words) -> Any:
        await asyncio.sleep(0)
        return spec, words


class Queued(PipelineCommands[str]):
    def __init__(self) -> None:
        self.queue: list[Reply[Any]] = []

    def _queue(self, spec: Spec, words: Words) -> Reply[Any]:
        self.queue.append(Reply(spec, words))
        return self.queue[-1]


def methods(facade: type | ModuleType) -> dict[str, Callable[..., Any]]:
    """Return the functions of a facade or a module; those that a facade makes when they are asked for are made."""
    return {name: found for name in list(vars(facade)) if inspect.isfunction(found := getattr(facade, name))}


def shape(method: Callable[..., Any]) -> list[tuple[str, Any, Any, Any]]:
    """Return a method's arguments: name, kind, annotation, default."""
    return [(p.name, p.kind, p.annotation, p.default) for p in inspect.signature(method).parameters.values()]


def result(method: Callable[..., Any]) -> str:
    return str(inspect.signature(method).return_annotation)


# --- the facades


def test_the_committed_facades_are_what_the_generator_writes() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tools.gen_facades", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_no_facade_inherits_from_another() -> None:
    for facade in FACADES:
        assert not any(issubclass(facade, other) for other in FACADES if other is not facade)


def test_the_three_have_the_same_methods_arguments_and_docstrings() -> None:
    now, later, queued = (methods(facade) for facade in FACADES)
    assert list(now) == list(later) == list(queued)
    assert len(now) > 200
    for name in now:
        assert shape(now[name]) == shape(later[name]) == shape(queued[name]), name
        assert now[name].__doc__ is later[name].__doc__ is queued[name].__doc__, name  # one text in memory (ADR 9)
        assert "Source: " in str(now[name].__doc__), name
        assert not inspect.iscoroutinefunction(now[name])
        assert not inspect.iscoroutinefunction(queued[name])
        assert inspect.iscoroutinefunction(later[name]), name


@pytest.mark.parametrize("group", gen_facades.GROUPS)
def test_the_functions_have_the_docstrings_of_their_methods(group: str) -> None:
    """The same object: in a wheel they have none of their own (ADR 9)."""
    module = importlib.import_module(f"carmine.commands.{group}")
    mine = {name: function for name, function in methods(module).items() if name in METHODS}
    assert mine
    for name, function in mine.items():
        assert function.__module__ == module.__name__, name
        assert function.__doc__ is methods(Commands)[name].__doc__, name


def test_without_docstrings_nothing_breaks() -> None:
    """`python -OO` has none to share."""
    say = "import carmine as c; print(c.Client.get.__doc__, c.AsyncClient.get.__doc__, c.Pipeline.get.__doc__)"
    done = subprocess.run([sys.executable, "-OO", "-c", say], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("None None None\n", "")


LATE_METHODS = {
    name for each in gen_facades.LATE for name in public_functions(importlib.import_module(f"carmine.commands.{each}"))
}


def test_a_docstring_stands_in_one_file_and_its_first_line_in_the_others() -> None:
    """What is shared at import is not in the wheel three times; who reads a file still sees what a method does.

    What is written once (ADR 14) is told once.
    """
    assert len(LATE_METHODS) > 100
    for name in METHODS:
        whole = str(inspect.getdoc(methods(Commands)[name]))
        for world in (gen_facades.ASYNC, gen_facades.PIPELINE):
            if name in LATE_METHODS:
                assert name not in written(world.path)
            else:
                assert written(world.path)[name] == whole.partition("\n")[0], (world.name, name)
        assert written(gen_facades.SYNC.path)[name] == whole, name


@cache
def written(path: Path) -> dict[str, str | None]:
    """Return the docstring of each method as its file has it; an overload has none and its definition comes last."""
    [facade] = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef)]
    found = [node for node in facade.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {node.name: ast.get_docstring(node) for node in found}


@cache
def as_checkers_see(facade: type) -> type:
    """Return the facade with its overloads, which exist for type checkers alone."""
    path = Path(str(sys.modules[facade.__module__].__file__))
    names: dict[str, Any] = {"__name__": f"as_checkers_see.{path.stem}"}
    with patch("typing.TYPE_CHECKING", new=True):
        exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), names)
    seen = names[facade.__name__]
    assert isinstance(seen, type)
    return seen


def test_overloads_cost_nothing_at_run_time() -> None:
    assert not any(get_overloads(methods(facade)[name]) for facade in FACADES for name in METHODS)


def test_the_three_have_the_same_overloads() -> None:
    seen = 0
    for name in METHODS:
        now, later, queued = (get_overloads(methods(as_checkers_see(facade))[name]) for facade in FACADES)
        assert len(now) == len(later) == len(queued), name
        for one, two, three in zip(now, later, queued, strict=True):
            assert shape(one) == shape(two) == shape(three), name
            assert result(one) == result(two), name
            assert result(three) == f"Reply[{result(one)}]", name
            seen += 1
    assert seen > 50


def test_a_reply_of_a_pipeline_is_typed_as_the_result() -> None:
    for name in METHODS:
        now, later, queued = (methods(as_checkers_see(facade))[name] for facade in FACADES)
        assert result(now) == result(later), name
        if not get_overloads(now):
            assert result(queued) == f"Reply[{result(now)}]", name


def test_text_never_stays_in_a_signature() -> None:
    for world in gen_facades.WORLDS:
        tree = ast.parse(world.path.read_text(encoding="utf-8"))
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert "T" in names
        assert not names & {"Text", "Command"}


@pytest.mark.parametrize("step", [step for step in STEPS if step.method != "execute_raw"], ids=lambda step: step.name)
def test_the_three_send_the_same_words(step: Any) -> None:
    spec, words = getattr(Now(), step.method)(*step.args, **step.kwargs)
    assert (spec, words) == asyncio.run(getattr(Later(), step.method)(*step.args, **step.kwargs))
    queued = Queued()
    reply = getattr(queued, step.method)(*step.args, **step.kwargs)
    assert queued.queue == [reply]
    assert (reply.spec, reply.words) == (spec, words)
    assert type(words) is tuple
    assert b" ".join(words[: spec.name.count(" ") + 1]).decode() == spec.name


def test_an_argument_that_is_refused_reaches_no_executor() -> None:
    queued = Queued()
    with pytest.raises(UsageError):
        queued.set("k", "v", ex=1, px=1)
    assert queued.queue == []
    with pytest.raises(UsageError):
        Now().mset({})


def test_the_hot_commands_take_one_frame_and_build_no_command() -> None:
    calls: list[str] = []

    def watch(frame: Any, event: str, _argument: Any) -> None:
        if event == "call":
            calls.append(frame.f_code.co_name)

    now, queued = Now(), Queued()
    now.lpush("l", "v")  # its group is loaded by the first call
    queued.lpush("l", "v")
    hot: list[Callable[[], Any]] = [
        lambda: now.get("k"),
        lambda: now.set("k", "v"),
        lambda: now.incr("k"),
        lambda: now.hgetall("h"),
        lambda: now.mget("a", "b"),
        lambda: now.hset("h", "f", "v"),
        lambda: now.lpush("l", "v"),
        lambda: queued.get("k"),
        lambda: queued.lpush("l", "v"),
    ]
    for call in hot:
        calls.clear()
        sys.setprofile(watch)
        try:
            call()
        finally:
            sys.setprofile(None)
        assert [name for name in calls if name not in ("<lambda>", "__init__")] in (
            [calls[1], "_execute"],
            [calls[1], "_queue"],
        )


# --- groups that are loaded when they are needed (the rest is in test_late_groups.py)


def test_the_hot_groups_are_there_from_the_start() -> None:
    assert set(gen_facades.GROUPS) - gen_facades.LATE == {
        *("keys", "strings", "hashes"),
    }
    assert set(gen_facades.GROUPS) > gen_facades.LATE


def test_a_late_group_is_written_for_checkers_and_for_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    body = '''
    def get(key: Key) -> Command[Text | None]:
        """GET."""
        return Command(_GET, (b"GET", key))
    '''
    monkeypatch.setattr(gen_facades, "LATE", {"things"})
    assert "self._execute(_things._GET," in generate(monkeypatch, tmp_path, body)
    facades = gen_facades.Facades()
    sync, pipeline = facades.text(gen_facades.SYNC), facades.text(gen_facades.PIPELINE)
    assert "\n    from carmine.commands import things as _things\n" in sync
    assert '\nelse:\n    _things = LateGroup("things", globals())\n' in sync
    assert helpers_of(sync) == ["_late"]
    assert helpers_of(pipeline) == ["_docs", "_shared", "_sync"]
    assert "_things" not in pipeline
    assert "\n        # things\n        def get(self, key: Key) -> Reply[T | None]: ...\n" in pipeline


def helpers_of(text: str) -> list[str]:
    return [line.split()[1].rpartition(".")[2] for line in text.splitlines() if line.startswith("from carmine")]


# --- every command of the groups


def method_of(name: str) -> str:
    return "delete" if name == "DEL" else name.lower().replace(" ", "_").replace("-", "_")


MINE = {"string", "hash", "generic", "connection", "list", "set", "sorted-set", "stream", "transactions"}
NOT_METHODS = {
    "CLIENT",
    "OBJECT",
    "XGROUP",
    "XINFO",
    "CLIENT REPLY",
    "QUIT",
    "WATCH",
    "UNWATCH",
    "MULTI",
    "EXEC",
    "DISCARD",
}
"""Containers, what a client must not send, and what transaction() does."""


def test_every_command_of_the_finished_groups_is_a_method() -> None:
    entries = {name: entry for dump in DUMPS for name, entry in dump.items()}
    wanted = {name for name, entry in entries.items() if entry["group"] in MINE} - NOT_METHODS
    assert len(wanted) > 170
    assert {name for name in wanted if method_of(name) not in METHODS} == set()


def test_every_method_is_a_command_and_says_since_when_at_what_cost_and_where_it_is_told() -> None:
    commands = {method_of(name): name for name in COMMANDS}
    for name in METHODS:
        command = commands[name]
        told = str(methods(Commands)[name].__doc__)
        first = told.partition("\n")[0]
        assert command in first.partition(": ")[0].split(", "), name
        assert first.partition(": ")[2][0].islower(), name
        assert " Cost: " in told, name
        assert f"/commands/{command.lower().replace(' ', '-')}" in told, name
        since = told.split("Since: ")[1].split()[0].strip(".,;(") if "Since: Valkey" not in told else None
        oldest = sorted((dump[command]["since"] for dump in DUMPS if command in dump), key=version)
        if since is None:
            assert command not in DUMPS[0], name
        elif oldest[0]:
            assert version(since)[:2] == version(oldest[0])[:2], name


def version(text: str) -> list[int]:
    return [int(part) for part in text.split(".")] if text else []


# --- the generator


def generate(monkeypatch: pytest.MonkeyPatch, folder: Path, body: str) -> str:
    """Return the class of the sync facade for one module of command functions."""
    head = "from carmine.commands.command import Command, Text\nfrom carmine.types import Key\n_GET = 1\n"
    (folder / "things.py").write_text(f'"""Things."""\n{head}{textwrap.dedent(body)}', encoding="utf-8")
    monkeypatch.setattr(gen_facades, "COMMANDS", folder)
    monkeypatch.setattr(gen_facades, "ROOT", folder)
    monkeypatch.setattr(gen_facades, "GROUPS", ("things",))
    return gen_facades.Facades().text(gen_facades.SYNC).partition("# things\n")[2]


def test_one_return_is_written_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    body = '''
    def get(key: Key, *more: Key) -> Command[Text | None]:
        """GET."""
        return Command(_GET, (b"GET", key, *more, str(1)))
    '''
    assert (
        textwrap.dedent(generate(monkeypatch, tmp_path, body)).strip()
        == textwrap.dedent('''
        def get(self, key: Key, *more: Key) -> T | None:
            """GET."""
            return self._execute(_things._GET, (b"GET", key, *more, str(1)))
        ''').strip()
    )


def test_guards_are_written_out_and_the_rest_is_called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    body = '''
    def get(key: Key, a: int = -1, *, b: str | None = None) -> Command[set[Text]]:
        """GET."""
        if a == 1 and b is None:
            return Command(_GET, (b"GET", key))
        words = [b"GET", key]
        return Command(_GET, tuple(words))

    def set(key: Key) -> Command[int]:
        """SET."""
        return Command(_GET, (b"SET", imported(key)))
    '''
    assert (
        textwrap.dedent(generate(monkeypatch, tmp_path, body)).strip()
        == textwrap.dedent('''
        def get(self, key: Key, a: int = -1, *, b: str | None = None) -> builtins.set[T]:
            """GET."""
            if a == 1 and b is None:
                return self._execute(_things._GET, (b"GET", key))
            command = _things.get(key, a, b=b)
            return self._execute(command.spec, command.words)

        def set(self, key: Key) -> int:
            """SET."""
            command = _things.set(key)
            return self._execute(command.spec, command.words)
        ''').strip()
    )


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ('def get(key: Key) -> int:\n    """GET."""\n    return 1', "get must return Command[...]"),
        ("def get(key: Key) -> Command[int]:\n    return Command(_GET, (key,))", "get has no docstring"),
        (f'def get(key: Key) -> Command[int]:\n    """GET{"x" * 120}"""\n    return 1', "a line that is too long"),
        ('def get(key) -> Command[int]:\n    """GET."""\n    return 1', "key has no annotation"),
        ('def get(command: Key) -> Command[int]:\n    """GET."""\n    return 1', "may not be called command"),
        ('def get(key: Keys) -> Command[int]:\n    """GET."""\n    return 1', "nobody imports Keys"),
        (
            'def get(key: Key = _GET) -> Command[int]:\n    """GET."""\n    return 1',
            "default of key must be a constant",
        ),
        ('@cache\ndef get(key: Key) -> Command[int]:\n    """GET."""\n    return 1', "no other decorator"),
        ('def get() -> Command[int]:\n    """A."""\ndef get() -> Command[int]:\n    """B."""', "overloads first"),
    ],
)
def test_what_the_generator_cannot_read_is_refused_with_file_and_line(
    body: str, sentence: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(gen_facades.FacadeError) as caught:
        generate(monkeypatch, tmp_path, body)
    assert sentence in str(caught.value)
    assert str(caught.value).startswith("things.py:")


def test_a_name_in_two_groups_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gen_facades, "GROUPS", ("strings", "strings"))
    with pytest.raises(gen_facades.FacadeError, match="is defined twice"):
        gen_facades.Facades()


def test_check_sees_a_facade_that_differs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    world = gen_facades.World("_sync.py", "Commands", gen_facades.SYNC.told, "self._execute")
    world.path = tmp_path / "_sync.py"
    monkeypatch.setattr(gen_facades, "ROOT", tmp_path)
    monkeypatch.setattr(gen_facades, "WORLDS", (world,))
    monkeypatch.setattr(gen_facades, "PROVIDED", {world: gen_facades.PROVIDED[gen_facades.SYNC]})
    monkeypatch.setattr(gen_facades, "Facades", lambda: Fixed("one line\n"))
    monkeypatch.setattr(sys, "argv", ["gen_facades.py", "--check"])
    assert gen_facades.main() == 1  # missing
    world.path.write_text("one line\nand one more\n")
    assert gen_facades.main() == 1  # longer than what would be written
    monkeypatch.setattr(sys, "argv", ["gen_facades.py"])
    assert gen_facades.main() == 0
    monkeypatch.setattr(sys, "argv", ["gen_facades.py", "--check"])
    assert gen_facades.main() == 0


class Fixed:
    """Facades of which each is the same text."""

    def __init__(self, text: str) -> None:
        self._text = text.replace("one line", "one = 1")

    def text(self, _world: Any) -> str:
        return self._text


# --- decoders, where no command shows them


def test_an_error_inside_an_aggregate_stays_where_it_is() -> None:
    error = UsageError("x")
    assert decoders.mapping(["a", error]) == {"a": error}
    assert decoders.flags([0, error, 1]) == [False, error, True]
    assert decoders.doubles(["1", error, None]) == [1.0, error, None]
    assert decoders.scored(["a", "1.5", "b", error]) == [("a", 1.5), ("b", error)]


# --- what type checkers are asked


@pytest.mark.parametrize(("facade", "file"), [*zip(FACADES, ("sync", "async", "pipeline"), strict=True)])
def test_every_overloaded_method_has_its_types_asserted(facade: type, file: str) -> None:
    told = (ROOT / "tests" / "typing" / f"commands_{file}.py").read_text(encoding="utf-8")
    overloaded = {name for name, method in methods(as_checkers_see(facade)).items() if get_overloads(method)}
    assert len(overloaded) > 20
    assert {name for name in overloaded if f"c.{name}(" not in told} == set()
