"""What commands print: JSON for machines, colour only where a person looks."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from sipagent.errors import ConfigurationError, ScriptError
from sipagent.escapes import in_json, some_lines

_WIDTH_OF_A_PIPE = 1000
_PADDING = 2
"""Beside each cell of a table, left and right of it together."""
_BETWEEN = "  "


class SafeConsole(Console):
    """Shows what strangers have chosen, and lets none of it steer the terminal."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """See `Console.render`; what is to be read is escaped, what rich itself sends is not."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(some_lines(segment.text), segment.style)


def console() -> Console:
    """Standard output; without colour when it is no terminal or ``NO_COLOR`` is set.

    Nothing printed is taken for markup, since callers' words end up here. What is no terminal has no width
    either: a table in a pipe keeps every cell whole.
    """
    width = None if sys.stdout.isatty() else _WIDTH_OF_A_PIPE
    return SafeConsole(highlight=False, markup=False, soft_wrap=True, width=width)


def print_hanging(out: Console, mark: str, text: str, *, mark_style: str = "", style: str = "") -> None:
    """``text`` behind ``mark``; what does not fit into a terminal's line goes on below the text."""
    width = max(out.width - len(mark), 20)
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]
    for number, line in enumerate(lines):
        before = (mark, mark_style) if number == 0 else " " * len(mark)
        out.print(Text.assemble(before, (line, style)))


def print_table(out: Console, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """``rows`` below ``head``. Where the lines of a table are too long for the terminal, each row is a block
    that begins with its first cell: nothing is ever cut off, least of all a name that somebody must type."""
    widths = [max(cell_len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    if sum(widths) + _PADDING * len(widths) <= out.width:
        table = Table(*head, box=None)
        for row in rows:
            table.add_row(*row)
        out.print(table)
        return
    for row, style in ((head, "bold"), *((row, "") for row in rows)):
        out.print(Text(row[0], style=style))
        print_hanging(out, "  ", _BETWEEN.join(row[1:]), style=style)


def print_json(value: object) -> None:
    """One JSON document on standard output; moments as ISO 8601."""
    print(in_json(json.dumps(value, ensure_ascii=False, indent=2, default=_plain)), flush=True)


def print_json_line(value: object) -> None:
    """One JSON object on a line of its own, for whoever reads the first line and goes on."""
    print(in_json(json.dumps(value, ensure_ascii=False, default=_plain)), flush=True)


def explain(errors: BaseExceptionGroup[BaseException] | BaseException, *, as_json: bool) -> None:
    """Say what went wrong: on standard error, or as JSON on standard output where JSON was asked for."""
    for error in causes(errors):
        if as_json:
            print_json({"ok": False, "error": str(error), "problems": _problems(error)})
        else:
            said = f"sipagent: {error}" if not _problems(error) else str(error)
            print(some_lines(said), file=sys.stderr)


def causes(error: BaseException) -> Iterator[BaseException]:
    """The exceptions in a group of groups, or the one exception that ``error`` is."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from causes(inner)
    else:
        yield error


def first_cause(error: BaseException) -> BaseException:
    """The first of `causes`."""
    return next(causes(error))


def _problems(error: BaseException) -> list[dict[str, Any]]:
    if isinstance(error, ConfigurationError | ScriptError):
        return [asdict(problem) for problem in error.problems]
    return []


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)
