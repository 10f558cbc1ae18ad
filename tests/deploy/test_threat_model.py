"""Every line of the threat model names the tests that hold it, and they exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "deploy" / "threat-model.md").read_text(encoding="utf-8")
LINES = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith(("| Door ", "| --- "))
]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
ONE_PAGE = 80
"""Lines."""


@cache
def names_in(path: str) -> frozenset[str]:
    """The names of the tests of a file, as they are collected; without running anything."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(
        node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line[0]}: {line[1]}"[:80])
def test_a_line_is_held_by_tests_that_exist(line: list[str]) -> None:
    door, threat, against, held_by = line
    assert all((door, threat, against))
    named = NAMED.findall(held_by)
    assert named, "no line without a test"
    assert NAMED.sub("", held_by).strip() == "", "nothing but tests stands there"
    for path, name in named:
        assert (ROOT / path).is_file(), path
        assert name in names_in(path), f"{path} has no {name}"


def test_the_page_is_one_and_nothing_stands_outside_of_its_table() -> None:
    assert len(PAGE.splitlines()) <= ONE_PAGE
    assert len(LINES) >= 25
    for heading in ("**Assets.**", "**Doors.**", "**Trusted.**", "**Not defended.**"):
        assert heading in PAGE


def test_every_door_of_the_page_has_a_line() -> None:
    doors = {line[0] for line in LINES}
    assert doors >= {
        "Webhook",
        "SIP headers",
        "Admin",
        "Tools",
        "Logs",
        "Database",
        "Deployment",
        "Workers",
        "Edge",
        "Carriers",
        "Audio",
    }
