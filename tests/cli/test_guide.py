from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sipagent.cli import main
from sipagent.config.schema import AgentKeys
from sipagent.guide import page_names, page_title, read_page


def test_every_page_has_a_title_and_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["guide"]) == 0
    shown = capsys.readouterr().out
    assert "configuration" in page_names()
    for name in page_names():
        assert re.search(rf"^{name} +{re.escape(page_title(name))}$", shown, re.MULTILINE)
    assert main(["guide", "--json"]) == 0
    assert {page["name"] for page in json.loads(capsys.readouterr().out)} == set(page_names())


def test_a_page_is_plain_markdown_where_no_terminal_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["guide", "configuration"]) == 0
    assert capsys.readouterr().out == read_page("configuration")


def test_a_page_is_json_where_json_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["guide", "chat", "--json"]) == 0
    page = json.loads(capsys.readouterr().out)
    assert page == {"name": "chat", "title": page_title("chat"), "markdown": read_page("chat")}


def test_a_mistyped_page_is_answered_with_the_likely_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["guide", "cariers"]) == 1
    assert "Did you mean `carriers`?" in capsys.readouterr().err


def test_a_name_leads_out_of_no_folder() -> None:
    assert read_page("../../README") is None


def test_the_readme_links_every_page_and_every_link_leads_somewhere() -> None:
    root = Path(__file__).parents[2]
    links = re.findall(r"\]\(([^)#:]+)\)", (root / "README.md").read_text(encoding="utf-8"))
    assert {f"sipagent/guide/{name}.md" for name in page_names()} <= set(links)
    assert not [link for link in links if not (root / link).exists()]


def test_the_page_on_the_configuration_names_every_key() -> None:
    page = read_page("configuration")
    assert page is not None
    assert not [name for name in AgentKeys.model_fields if f"| `{name}` |" not in page]
