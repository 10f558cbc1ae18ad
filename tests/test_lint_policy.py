"""What the lint is told to overlook has a reason beside it, and there is little of it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "sipagent").rglob("*.py"))
OVERLOOKED = re.compile(r"#\s*(noqa:|nosec)[^#]*")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_overlooked_has_a_reason(path: Path) -> None:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if re.search(r"#\s*noqa(?!:)", line):
            raise AssertionError(f"line {number} overlooks everything")
        for found in re.findall(r"#\s*noqa:\s*([^#]*)", line):
            codes, _, reason = found.partition(" - ")
            security = re.findall(r"\b(?:S\d+|BLE\d+)\b", codes)
            assert not security or reason.strip(), f"line {number}: {found.strip()!r} has no reason"
        if re.search(r"#\s*nosec", line):
            assert re.search(r"#\s*nosec B\d{3}", line), f"line {number} overlooks more than one thing"


def test_security_is_not_overlooked_by_the_folder() -> None:
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert "S" in lint["select"]
    assert {code for code in lint["ignore"] if code.startswith(("S1", "S3"))} <= {
        "S101",
        "S311",
    }
    for pattern, codes in lint["per-file-ignores"].items():
        assert pattern.startswith("tests/") or not [code for code in codes if re.match(r"S\d*$", code)], (
            pattern
        )


def test_nothing_runs_what_is_written_in_a_string() -> None:
    """Neither of them is found by name alone, so they are looked for here: no exec, no shell, no pickle."""
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        for forbidden in (
            r"\bexec\(",
            r"\beval\(",
            r"\bpickle\b",
            r"shell=True",
            r"yaml\.load\(",
            r"os\.system",
        ):
            assert not re.search(forbidden, text), f"{path.relative_to(ROOT)}: {forbidden}"


def test_the_lint_looks_for_what_is_dangerous() -> None:
    assert "bandit" in (ROOT / "Makefile").read_text()
    assert "make lint" in (ROOT / ".ci" / "run").read_text()
