"""A configuration with all that it pulls in."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sipagent.config import FilesRead, load, load_configuration
from sipagent.errors import ConfigurationError, UserError
from sipagent.realtime import FunctionTool

CONFIGURATION = """
version: 1
agents:
  front-desk:
    instructions_file: prompt.md
    tools: [{python: "loading_shop:price"}]
  night: {instructions: Sleep.}
routes: [{agent: front-desk}]
"""
TOOLS = "def price(item: str) -> str:\n    '''The price of an item.'''\n    return 'two'\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "prompt.md").write_text("Be kind.\n")
    (tmp_path / "loading_shop.py").write_text(TOOLS)
    file = tmp_path / "sipagent.yaml"
    file.write_text(CONFIGURATION)
    return file


def test_what_was_loaded_says_what_it_is_made_of(file: Path) -> None:
    loaded = load_configuration(file, {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1/"})
    assert [path.name for path in loaded.files] == ["sipagent.yaml", "prompt.md", "loading_shop.py"]
    assert loaded.text == f"{CONFIGURATION}\n# prompt.md, 9 characters\nBe kind.\n"
    assert loaded.summary == "2 agents, 1 route"
    assert loaded.base_url == "http://127.0.0.1:9/v1"
    assert loaded.fingerprint == loaded.door.fingerprint == loaded.read.fingerprint
    assert load(str(file)).fingerprint == loaded.fingerprint


def test_an_edited_tool_is_another_configuration(file: Path) -> None:
    def said(door_tool: object) -> object:
        assert isinstance(door_tool, FunctionTool)
        return door_tool.description

    first = load_configuration(file)
    (file.parent / "loading_shop.py").write_text(TOOLS.replace("The price", "What is"))
    second = load_configuration(file)
    assert first.fingerprint != second.fingerprint
    assert said(first.door.profiles["front-desk"].agent.tools[0]) == "The price of an item."
    assert said(second.door.profiles["front-desk"].agent.tools[0]) == "What is of an item."


@pytest.mark.parametrize(
    ("broken", "content", "error"),
    [
        ("sipagent.yaml", "version: 2\n", ConfigurationError),
        ("prompt.md", "", ConfigurationError),
        ("loading_shop.py", "def price(:\n", ConfigurationError),
        ("loading_shop.py", "import sys\nsys.exit(3)\n", UserError),
    ],
)
def test_a_failed_attempt_leaves_the_modules_and_tells_what_it_read(
    file: Path, broken: str, content: str, error: type[Exception]
) -> None:
    load_configuration(file)
    before = sys.modules["loading_shop"]
    (file.parent / broken).write_text(content)
    read = FilesRead(file.parent)
    with pytest.raises(error):
        load_configuration(file, read=read)
    assert sys.modules["loading_shop"] is before
    assert broken in {path.name for path in read.paths}
