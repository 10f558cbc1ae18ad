"""What the guide shows can be written."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from sipagent.config import parse_document
from sipagent.guide import read_page

TOP = frozenset(
    {"calendars", "lookup", "business", "limits", "callers", "admin", "server", "carriers", "recordings"}
)


def snippets() -> list[dict[str, Any]]:
    pages = [read_page(name) or "" for name in ("configuration", "carriers")]
    return [
        yaml.safe_load(text)
        for page in pages
        for text in re.findall(r"^```yaml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    ]


@pytest.mark.parametrize("snippet", snippets(), ids=lambda snippet: ",".join(snippet)[:40])
def test_a_snippet_fits_the_schema(snippet: dict[str, Any]) -> None:
    whole: dict[str, Any] = {
        "version": 1,
        "agents": {"a": {"instructions": "Hi."}},
        "routes": [{"agent": "a"}],
    }
    for key, value in snippet.items():
        if "version" in snippet or key in TOP | {"agents", "routes"}:
            whole[key] = value
        else:
            whole["agents"]["a"][key] = value
    parse_document(yaml.safe_dump(whole), file="guide.yaml")
