from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sipagent.config.schema import PythonTool
from sipagent.config.tools import DEFAULT_TOOL_DEADLINE_S, load_tool
from sipagent.config.values import BadValueError
from sipagent.realtime import FunctionTool


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An operator's folder; what is imported from it is forgotten after the test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    return tmp_path


def entry(python: str, **keys: str) -> PythonTool:
    return PythonTool.model_validate({"python": python, **keys})


def write(folder: Path, name: str, source: str) -> None:
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(source, encoding="utf-8")


DESK = '''
from sipagent.realtime import function_tool

def next_free_slot(treatment: str, days: int = 7) -> str:
    """Look up the next free appointment.

    Args:
        treatment: What the caller needs.
    """
    return f"{treatment} on Tuesday"

async def slow(x: int) -> int:
    """Slow."""
    return x

@function_tool(timeout_s=3)
def ready(a: str) -> str:
    """Ready made."""
    return a

def badly_typed(anything: "Undefined") -> str:
    return ""

class Group:
    @staticmethod
    def inner() -> str:
        """Inner."""
        return "in"

number = 7
'''


def test_a_plain_function_becomes_a_tool(folder: Path) -> None:
    write(folder, "desk_plain/tools.py", DESK)
    tool = load_tool(entry("desk_plain.tools:next_free_slot"), folder=folder)
    assert isinstance(tool, FunctionTool)
    assert tool.name == "next_free_slot"
    assert "Look up the next free appointment." in tool.description
    assert "treatment" in tool.params_json_schema["properties"]
    assert tool.timeout_s == DEFAULT_TOOL_DEADLINE_S


def test_the_file_names_describes_and_bounds_it(folder: Path) -> None:
    write(folder, "desk_named.py", DESK)
    tool = load_tool(entry("desk_named:slow", name="look", description="Looks.", timeout="1s"), folder=folder)
    assert (tool.name, tool.description, tool.timeout_s) == ("look", "Looks.", 1.0)


def test_a_tool_that_is_one_already_keeps_its_deadline(folder: Path) -> None:
    write(folder, "desk_ready.py", DESK)
    assert load_tool(entry("desk_ready:ready"), folder=folder).timeout_s == 3
    assert load_tool(entry("desk_ready:ready", timeout="9s"), folder=folder).timeout_s == 9
    assert load_tool(entry("desk_ready:ready"), folder=folder).timeout_s == 3


def test_an_attribute_of_an_attribute(folder: Path) -> None:
    write(folder, "desk_inner.py", DESK)
    assert load_tool(entry("desk_inner:Group.inner"), folder=folder).name == "inner"


@pytest.mark.parametrize(
    ("reference", "message", "remedy"),
    [
        ("no_such_desk:f", "There is no Python module `no_such_desk`.", "install it"),
        ("no_such_desk.tools:f", "There is no Python module `no_such_desk`.", "install it"),
        ("desk.missing:f", "There is no Python module `desk.missing`.", "install it"),
        ("desk.tools:next_free_slt", "has no `next_free_slt`", "Did you mean `next_free_slot`?"),
        ("desk.tools:Group.outer", "has no `Group.outer`", "Known here: inner."),
        ("desk.tools:number", "is of type int, and no function", "Name a function"),
        ("desk.tools:badly_typed", "cannot be a tool", "a type that exists"),
        ("desk.broken:f", "cannot be imported: ZeroDivisionError: division by zero.", "Mend the module"),
        ("desk.syntax:f", "cannot be imported: SyntaxError", "Mend the module"),
        ("desk.needy:f", "needs the module `no_such_library`, which is not installed", "Install it"),
    ],
)
def test_what_cannot_be_a_tool_says_why(folder: Path, reference: str, message: str, remedy: str) -> None:
    write(folder, "desk/__init__.py", "")
    write(folder, "desk/tools.py", DESK)
    write(folder, "desk/broken.py", "1 / 0\n")
    write(folder, "desk/syntax.py", "def\n")
    write(folder, "desk/needy.py", "import no_such_library\n")
    with pytest.raises(BadValueError) as caught:
        load_tool(entry(reference), folder=folder)
    assert message in caught.value.message
    assert remedy in caught.value.remedy


def test_the_file_a_function_was_looked_for_in_is_named(folder: Path) -> None:
    write(folder, "json.py", "def mine() -> str:\n    return ''\n")
    with pytest.raises(BadValueError, match=r"json/__init__\.py"):
        load_tool(entry("json:mine"), folder=folder)
