"""The tools that an agent may be given: Python, HTTP, MCP, and those of the telephone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, Discriminator, Tag

from sipagent.config.schema.asking import CollectDigits, TakeMessage
from sipagent.config.schema.base import Entry, Text, ToolName, parsed_by, refuse, shown
from sipagent.config.schema.http_tool import HttpTool
from sipagent.config.schema.kinds import WORD, refuse_several, tag_of, told_by_key
from sipagent.config.schema.mcp_tool import McpTool
from sipagent.config.schema.tool_manners import ToolManners
from sipagent.config.values import PythonReference, closest, parse_reference

WORDS = ("hang_up", "transfer", "send_to_agent", "set_language")
"""Tools that need nothing but their name."""


class PythonTool(ToolManners):
    """A Python function the model may call."""

    python: Annotated[
        PythonReference,
        parsed_by(
            parse_reference, pattern=r"^[^:\s]+:[^:\s]+$", examples=["harbor_dental.tools:next_free_slot"]
        ),
    ]
    """Module and function, with a colon between them."""
    name: ToolName | None = None
    """What the model calls it; by default the function's name."""
    description: Text | None = None
    """What the model is told about it; by default the function's docstring."""


def _inside(kind: str, model: type[BaseModel]) -> dict[str, str]:
    """Hints for keys of ``model`` that were written one level too far out."""
    return {
        info.alias or name: f"Indent it two steps below `{kind}:`."
        for name, info in model.model_fields.items()
    }


class HttpToolEntry(Entry):
    """An HTTP request the model may have made."""

    hints: ClassVar[Mapping[str, str]] = _inside("http", HttpTool)

    http: HttpTool
    """What is asked, and what the model gets of the answer."""


class McpToolEntry(Entry):
    """The tools of an MCP server."""

    hints: ClassVar[Mapping[str, str]] = _inside("mcp", McpTool)

    mcp: McpTool
    """Where the server is."""


class CollectDigitsEntry(Entry):
    """Digits that the caller types on the telephone."""

    hints: ClassVar[Mapping[str, str]] = _inside("collect_digits", CollectDigits)

    collect_digits: CollectDigits
    """What is collected, and how."""


class TakeMessageEntry(Entry):
    """A message that the caller leaves."""

    hints: ClassVar[Mapping[str, str]] = _inside("take_message", TakeMessage)

    take_message: TakeMessage
    """What is asked for, and who is told."""


_ENTRIES: Mapping[str, type[BaseModel]] = {
    "python": PythonTool,
    "http": HttpToolEntry,
    "mcp": McpToolEntry,
    "collect_digits": CollectDigitsEntry,
    "take_message": TakeMessageEntry,
}
_tag = told_by_key(_ENTRIES)


def _look_at_kind(value: object) -> object:
    """Says what is wrong with a tool of which nobody can tell what it is."""
    remedy = f"Write {', '.join(WORDS)}, or one of {', '.join(f'`{kind}:`' for kind in _ENTRIES)}."
    match value:
        case BaseModel():
            pass
        case str() if value in _ENTRIES:
            raise refuse(
                f"`{value}` alone says too little.", f"Write `- {value}:` and below it what it needs."
            )
        case str() if value not in WORDS:
            close = closest(value, (*WORDS, *_ENTRIES))
            raise refuse(f"There is no tool `{value}`.", f"Did you mean `{close}`?" if close else remedy)
        case dict():
            refuse_several(_ENTRIES, value, what="tool")
            if words := [word for word in WORDS if word in value]:
                raise refuse(
                    f"`{words[0]}` takes no settings here.", f"Write `- {words[0]}` without a colon."
                )
            if _tag(value) is None:
                raise refuse("This is no tool.", remedy)
        case str():
            pass
        case _:
            raise refuse(f"{shown(value)} is no tool.", remedy)
    return value


ToolEntry = Annotated[
    Annotated[Literal["hang_up", "transfer", "send_to_agent", "set_language"], Tag(WORD)]
    | Annotated[PythonTool, Tag(tag_of("python"))]
    | Annotated[HttpToolEntry, Tag(tag_of("http"))]
    | Annotated[McpToolEntry, Tag(tag_of("mcp"))]
    | Annotated[CollectDigitsEntry, Tag(tag_of("collect_digits"))]
    | Annotated[TakeMessageEntry, Tag(tag_of("take_message"))],
    Discriminator(_tag),
    BeforeValidator(_look_at_kind),
]
