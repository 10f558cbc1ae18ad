"""The table of the guide page *endings*, made from the docstrings of the code.

``python -m tests.calls.endings_page`` writes it into the page.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import sipagent.guide
from sipagent.calls import endings
from sipagent.calls.endings import FAULT_OWNERS, EndReason

PAGE = Path(sipagent.guide.__file__).parent / "endings.md"
BEGIN, END = "<!-- from the code -->\n", "<!-- until here -->\n"


def meanings() -> dict[EndReason, str]:
    """What the docstring under each reason says, on one line."""
    found: dict[EndReason, str] = {}
    tree = ast.parse(inspect.getsource(endings))
    (enum,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "EndReason"]
    for member, below in _pairs(enum.body):
        if isinstance(member, ast.Assign) and isinstance(member.targets[0], ast.Name):
            assert isinstance(below, ast.Expr), f"{member.targets[0].id} has no docstring"
            assert isinstance(below.value, ast.Constant), f"{member.targets[0].id} has no docstring"
            found[EndReason[member.targets[0].id]] = re.sub(r"\s+", " ", str(below.value.value)).strip()
    return found


def table() -> str:
    """The rows as Markdown, in the order of the code."""
    said = meanings()
    rows = [f"| `{reason}` | {FAULT_OWNERS[reason]} | {said[reason]} |\n" for reason in EndReason]
    return "".join(["| Reason | Fault of | Meaning |\n", "| --- | --- | --- |\n", *rows])


def with_table(page: str) -> str:
    """``page`` with the table as it must be."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def _pairs(body: list[ast.stmt]) -> Iterator[tuple[ast.stmt, ast.stmt | None]]:
    yield from zip(body, [*body[1:], None], strict=True)


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
