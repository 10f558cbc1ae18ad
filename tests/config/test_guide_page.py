"""What the guide, the README and the pages of deploy show can be written, and served."""

from __future__ import annotations

import base64
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml

from sipagent.config import load_configuration
from sipagent.config.schema import AgentKeys, Configuration, RouteEntry
from sipagent.simulator.script import parse_script

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "sipagent" / "guide").glob("*.md"))]
PAGES += sorted((ROOT / "deploy").rglob("*.md"))
FILES = sorted(
    file
    for folder in ("deploy", "tests/bench")
    for file in (ROOT / folder).rglob("*.yaml")
    if re.search(r"^agents:", file.read_text(encoding="utf-8"), re.MULTILINE)
)
SPECIAL = {
    "TWILIO_ACCOUNT_SID": f"AC{'0' * 32}",
    "TELNYX_PUBLIC_KEY": base64.b64encode(bytes(32)).decode(),
    "OPENAI_PROJECT_ID": "proj_demo",
    "NORTHPIER_API": "http://127.0.0.1:9/api",
}
OF_SCRIPTS = frozenset({"greeting", "turns", "otherwise", "reactions", "caller"})
AROUND = """
version: 1
business: {name: Harbor Dental, timezone: Europe/Berlin}
calendars: {office: {hours: {mon-fri: "08:00-18:00"}}}
agents:
  a: &agent
    instructions: Hi.
    description: everything
    languages: [en, de]
    ending: {goodbye: Goodbye.}
  night: *agent
  front-desk: *agent
  night-desk: *agent
  message-taker: *agent
  technician: *agent
routes: [{agent: a}]
carriers:
  sip: {project: proj_demo}
  public_url: https://phone.example.com
  answer: [sip, stream]
  twilio: {account_sid: "${TWILIO_ACCOUNT_SID}", auth_token: "${TWILIO_AUTH_TOKEN}"}
recordings: {folder: recordings, keep: 30d}
"""
"""What a piece of a configuration leans on, where it does not say so itself."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a configuration on a page."""

    page: str
    line: int
    text: str

    @property
    def value(self) -> Any:
        return yaml.safe_load(self.text)


def pieces() -> list[Piece]:
    """Every block of YAML, and every mapping between backticks whose key is one of a configuration."""
    found: list[Piece] = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        name = str(page.relative_to(ROOT))
        for block in re.finditer(r"^ *```yaml\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE):
            found.append(Piece(name, text.count("\n", 0, block.start()) + 2, dedent(block[1])))
        for span in re.finditer(r"(?<!`)`([a-z_]+: [^`]*)`(?!`)", text):
            if is_piece(span[1]):
                found.append(Piece(name, text.count("\n", 0, span.start()) + 1, span[1]))
    return found


def is_piece(text: str) -> bool:
    if "…" in text or "\n" in text:
        return False
    known = {*Configuration.model_fields, *AgentKeys.model_fields, *RouteEntry.model_fields}
    return text.partition(":")[0] in known


def whole(piece: dict[str, Any]) -> dict[str, Any]:
    """A configuration with ``piece`` in it, at its place."""
    if "version" in piece:
        return piece
    around: dict[str, Any] = yaml.safe_load(AROUND)
    agent: dict[str, Any] = dict(around["agents"]["a"])
    for key, value in piece.items():
        if key == "agents":
            around["agents"] = {**around["agents"], **value}
        elif key in Configuration.model_fields:
            around[key] = value
        elif key in AgentKeys.model_fields:
            agent[key] = value
        else:
            around["routes"] = [{"agent": "a", key: value}]
    if "instructions_file" in agent:
        del agent["instructions"]
    tools = agent.get("tools", [])
    around["agents"]["a"] = {**agent, "tools": [*tools, *lacking(agent, tools)]}
    return around


def lacking(agent: dict[str, Any], tools: list[Any]) -> Iterator[str]:
    """The tools without which other keys mean nothing."""
    for key, tool in (("transfer", "transfer"), ("handoffs", "send_to_agent")):
        if key in agent and tool not in tools:
            yield tool


def environment(text: str) -> dict[str, str]:
    """A value for each variable that ``text`` refers to."""
    return {
        name: SPECIAL.get(name, name.lower().ljust(32, "0")) for name in re.findall(r"\$\{([A-Z_]+)\}", text)
    }


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the modules that the pages name."""
    shutil.copytree(ROOT / "deploy" / "example" / "harbor_dental", tmp_path / "harbor_dental")
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "secret").write_text("s" * 32, encoding="utf-8")
    (tmp_path / "x.md").write_text("Be kind.", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("piece", pieces(), ids=lambda piece: f"{piece.page}:{piece.line}")
def test_what_a_page_shows_can_be_served(piece: Piece, folder: Path) -> None:
    text = re.sub(r"\$\{file:[^}]+\}", f"${{file:{folder / 'secret'}}}", piece.text)
    value = yaml.safe_load(text)
    if piece.page.endswith("simulator.md") and value.keys() <= OF_SCRIPTS:
        parse_script(text, name=piece.page)
        return
    written = yaml.safe_dump(whole(value), sort_keys=False)
    (folder / "sipagent.yaml").write_text(written, encoding="utf-8")
    load_configuration(folder / "sipagent.yaml", environment(written))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_file_can_be_served(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(file.parent))
    load_configuration(file, environment(file.read_text(encoding="utf-8")))


def test_the_pages_show_a_lot() -> None:
    found = pieces()
    pages = {piece.page for piece in found}
    assert {"README.md", "sipagent/guide/carriers.md", "sipagent/guide/configuration.md"} <= pages
    assert {"deploy/trunks/twilio-voice/README.md", "deploy/trunks/asterisk/README.md"} <= pages
    assert len(found) >= 25
