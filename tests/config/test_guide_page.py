"""What the guide shows can be written."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml

from sipagent.config import parse_document
from sipagent.guide import read_page

TRUNKS = Path(__file__).parents[2] / "deploy" / "trunks"
TOP = frozenset(
    {"calendars", "lookup", "business", "limits", "callers", "admin", "server", "carriers", "recordings"}
    | {"agents", "routes"}
)


def snippets() -> list[dict[str, Any]]:
    pages = [read_page(name) or "" for name in ("configuration", "carriers")]
    pages += [file.read_text(encoding="utf-8") for file in sorted(TRUNKS.rglob("*.md"))]
    found = [
        yaml.safe_load(dedent(text))
        for page in pages
        for text in re.findall(r"^ *```yaml\n(.*?)^ *```", page, re.DOTALL | re.MULTILINE)
    ]
    assert all(pages)
    assert len(found) >= 14
    return found


@pytest.mark.parametrize("snippet", snippets(), ids=lambda snippet: ",".join(snippet)[:40])
def test_a_snippet_fits_the_schema(snippet: dict[str, Any]) -> None:
    whole: dict[str, Any] = {
        "version": 1,
        "agents": {"a": {"instructions": "Hi."}},
        "routes": [{"agent": "a"}],
    }
    for key, value in snippet.items():
        if "version" in snippet or key in TOP:
            whole[key] = value
        else:
            whole["agents"]["a"][key] = value
    parse_document(yaml.safe_dump(whole), file="guide.yaml")
