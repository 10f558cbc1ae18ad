"""What a reader is told of every public name: what it is, what it raises, its units, and how to cancel it.

Read from the source, because Python writes a docstring of its own for a dataclass that has none.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from sipagent import realtime

assert realtime.__file__ is not None
ROOM = Path(realtime.__file__).parent
ERRORS = ROOM.parent / "errors.py"
PUBLIC = (*realtime.__all__, "ScriptedRealtimeModel", "UnexpectedInputError")
CALLED_BY_US = frozenset({"RealtimeRunHooks", "RealtimeAgentHooks", "on_event"})
"""Nobody but us calls or cancels them."""
NEVER_WAITS = frozenset({"RealtimeSession.approve_tool_call", "RealtimeSession.reject_tool_call"})
"""Coroutines by the shape of the interface only: there is no point at which they could be cancelled."""
Function = ast.FunctionDef | ast.AsyncFunctionDef
Statement = ast.ClassDef | Function | ast.Assign | ast.AnnAssign


@dataclass(frozen=True, slots=True)
class Definition:
    """Where a name is defined."""

    path: Path
    statement: Statement
    documentation: str
    functions: dict[str, Function]
    """All functions of the module."""


def functions_in(body: list[ast.stmt]) -> dict[str, Function]:
    """By name; of overloads the last one, which is the function itself."""
    return {each.name: each for each in body if isinstance(each, Function)}


def string_below(body: list[ast.stmt], index: int) -> str:
    """The string that stands below a statement, as documentation of a constant or a field."""
    match body[index + 1 : index + 2]:
        case [ast.Expr(value=ast.Constant(value=str(text)))]:
            return text
        case _:
            return ""


@cache
def definitions() -> dict[str, Definition]:
    """Everything that the modules of the room define at their top."""
    found: dict[str, Definition] = {}
    for path in (*sorted(ROOM.glob("*.py")), ERRORS):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        functions = functions_in(body)
        for index, statement in enumerate(body):
            match statement:
                case ast.ClassDef(name=name):
                    text = ast.get_docstring(statement) or ""
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    if statement is not functions[name]:
                        continue
                    text = ast.get_docstring(statement) or ""
                case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                    text = string_below(body, index)
                case _:
                    continue
            if name != "__all__":
                found.setdefault(name, Definition(path, statement, text, functions))
    return found


def methods_of(name: str) -> dict[str, Function]:
    """Public methods and properties that a class defines itself."""
    statement = definitions()[name].statement
    own = functions_in(statement.body) if isinstance(statement, ast.ClassDef) else {}
    return {key: each for key, each in own.items() if not key.startswith("_")}


def documentation_of(owner: str, method: Function) -> str:
    """What is said of a method: by itself, by its class, and by the method it points to."""
    text = ast.get_docstring(method) or ""
    for other, name in re.findall(r"`(\w+)\.(\w+)`", text):
        if other in definitions() and name in methods_of(other):
            text += " " + (ast.get_docstring(methods_of(other)[name]) or "")
    return f"{text} {definitions()[owner].documentation}"


def public_functions() -> Iterator[tuple[str, Function, str]]:
    """Every public function and method: its name, its code, and what is said of it."""
    for name in PUBLIC:
        statement = definitions()[name].statement
        if isinstance(statement, Function):
            yield name, statement, definitions()[name].documentation
        elif isinstance(statement, ast.ClassDef):
            for key, method in methods_of(name).items():
                yield f"{name}.{key}", method, documentation_of(name, method)


# What it is -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_says_what_it_is(name: str) -> None:
    definition = definitions()[name]
    match definition.statement:
        case ast.Assign(value=ast.Subscript(value=ast.Name(id="Literal"))):
            pass  # its values say it
        case ast.Assign(value=ast.Constant()):
            pass
        case _:
            assert definition.documentation, f"{definition.path.name}: {name}"
    undocumented = [key for key, method in methods_of(name).items() if not ast.get_docstring(method)]
    assert not undocumented, f"{definition.path.name}: {name}.{undocumented}"


# What it raises -------------------------------------------------------------------------------------


def raised_by(
    function: Function, helpers: dict[str, Function], seen: frozenset[str] = frozenset()
) -> set[str]:
    """The exceptions that ``function`` raises by name, itself or in helpers of its module and class.

    Nested functions count: a decorator raises when what it gave is called.
    """
    found: set[str] = set()

    def look(node: ast.AST, caught: frozenset[str]) -> None:
        match node:
            case ast.Raise(exc=ast.Name(id=name) | ast.Call(func=ast.Name(id=name))) if name[0].isupper():
                found.update({name} - caught)
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(value=ast.Name(id="self"), attr=name)):
                if name.startswith("_") and name in helpers and name not in seen:
                    found.update(raised_by(helpers[name], helpers, seen | {name}) - caught)
            case ast.Try():
                names = {
                    each.id
                    for handler in node.handlers
                    if handler.type is not None
                    for each in ast.walk(handler.type)
                    if isinstance(each, ast.Name)
                }
                for tried in node.body:
                    look(tried, caught | names)
                for after in (*node.handlers, *node.orelse, *node.finalbody):
                    look(after, caught)
                return
            case _:
                pass
        for child in ast.iter_child_nodes(node):
            look(child, caught)

    look(function, frozenset())
    # For what no program recovers from: a defect of the caller's or of ours.
    return found - {"AssertionError"}


def test_whatever_is_raised_is_named() -> None:
    silent = []
    for name, function, text in public_functions():
        definition = definitions()[name.split(".")[0]]
        helpers = dict(definition.functions)
        if isinstance(definition.statement, ast.ClassDef):
            helpers |= functions_in(definition.statement.body)
        silent += [f"{name}: {each}" for each in raised_by(function, helpers) if each not in text]
    assert not silent


@pytest.mark.parametrize("name", PUBLIC)
def test_what_making_one_raises_is_named_by_the_class(name: str) -> None:
    definition = definitions()[name]
    if not isinstance(definition.statement, ast.ClassDef):
        return
    own = functions_in(definition.statement.body)
    for key in ("__init__", "__post_init__"):
        if key in own:
            text = definition.documentation + (ast.get_docstring(own[key]) or "")
            raised = raised_by(own[key], {**definition.functions, **own})
            assert not [each for each in raised if each not in text], name


# Units, and cancelling ------------------------------------------------------------------------------

TIME = re.compile(r"timeout|interval|delay|duration|deadline|elapsed|_at$")
UNIT = re.compile(r"_(s|ms)$")


def test_times_have_a_unit_in_their_name_or_below_it() -> None:
    vague = []
    for name in PUBLIC:
        statement = definitions()[name].statement
        if not isinstance(statement, ast.ClassDef):
            continue
        for index, each in enumerate(statement.body):
            if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
                field, kind = each.target.id, ast.unparse(each.annotation)
                if TIME.search(field) and re.search(r"\b(int|float)\b", kind) and not UNIT.search(field):
                    said = string_below(statement.body, index) + definitions()[name].documentation
                    if not re.search(r"(?i)second", said):
                        vague.append(f"{name}.{field}")
    assert not vague


def test_a_parameter_that_is_a_time_is_spoken_of() -> None:
    silent = []
    for name, function, text in public_functions():
        for each in (*function.args.args, *function.args.kwonlyargs):
            if TIME.search(each.arg) and each.arg not in text and not re.search(r"(?i)second", text):
                silent.append(f"{name}({each.arg})")
    assert not silent


def test_coroutines_say_what_cancelling_them_does() -> None:
    silent = [
        name
        for name, function, text in public_functions()
        if isinstance(function, ast.AsyncFunctionDef)
        and not CALLED_BY_US & {name.split(".")[0], name.split(".")[-1]}
        and name not in NEVER_WAITS
        and not re.search(r"(?i)\bcancel", text)
    ]
    assert not silent


def test_the_walk_finds_what_it_is_meant_to_find() -> None:
    names = {name for name, _, _ in public_functions()}
    assert {"RealtimeSession.say", "function_tool", "get_api_key", "RealtimeSession.history"} <= names
    source = ast.parse(
        "def f(self):\n    try:\n        raise KeyError\n    except KeyError as e:\n        _g()\n"
        "def _g():\n    raise ValueError('x')\n"
    )
    functions = functions_in(source.body)
    assert raised_by(functions["f"], functions) == {"ValueError"}
