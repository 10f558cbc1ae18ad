"""What a script says of tools that the service runs itself, on MCP servers that a session names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sipagent.simulator.script_reader import Entry

_ERRORS: Final = ("protocol_error", "tool_execution_error", "http_error")
_LONGEST_MS: Final = 600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class HostedRun:
    """What one call of such a tool comes to."""

    server_label: str
    output: str = ""
    error: Mapping[str, str | int] | None = None
    """As the API writes it; then there is no output."""
    takes_ms: float = 0.0
    continues: bool = False
    """Whether the service begins the next response by itself. The real one does not, as far as is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostedServer:
    """One server, apart from the tools that the script calls."""

    tools: tuple[str, ...] = ()
    """Names of more tools in its list."""
    takes_ms: float = 0.0
    """How long the list takes to come; until then, none of its tools can be called."""
    fails: bool = False
    """The list never comes."""


RUN_KEYS: Final = ("mcp", "output", "error", "takes_ms", "continues")
"""The keys of a call that make it one of a hosted tool, and go with that."""


def read_run(fields: Mapping[str, Entry]) -> HostedRun | None:
    """How a hosted call goes; None for a call of a function."""
    if "mcp" not in fields:
        for key in RUN_KEYS[1:]:
            if key in fields:
                fields[key].complain(f"'{key}' belongs to a tool that the service runs.", "Add 'mcp: LABEL'.")
        return None
    return HostedRun(
        server_label=fields["mcp"].text(),
        output=fields["output"].text() if "output" in fields else "",
        error=_read_error(fields["error"]) if "error" in fields else None,
        takes_ms=fields["takes_ms"].number(0, _LONGEST_MS) if "takes_ms" in fields else 0.0,
        continues=fields["continues"].boolean() if "continues" in fields else False,
    )


def _read_error(entry: Entry) -> Mapping[str, str | int]:
    """A plain text is what the tool says went wrong."""
    if entry.is_text:
        return {"type": "tool_execution_error", "message": entry.text()}
    fields = entry.mapping(("type", "code", "message"))
    kind = fields["type"].choice(_ERRORS) if "type" in fields else "tool_execution_error"
    error: dict[str, str | int] = {"type": kind}
    error["message"] = fields["message"].text() if "message" in fields else "The tool failed."
    if kind != "tool_execution_error":
        error["code"] = int(fields["code"].number(-100_000, 100_000)) if "code" in fields else 500
    return error


def read_servers(entry: Entry) -> dict[str, HostedServer]:
    """The servers by label."""
    return {label: _read_server(each) for label, each in entry.named()}


def _read_server(entry: Entry) -> HostedServer:
    fields = entry.mapping(("tools", "takes_ms", "fails"))
    return HostedServer(
        tools=tuple(each.text() for each in fields["tools"].items()) if "tools" in fields else (),
        takes_ms=fields["takes_ms"].number(0, _LONGEST_MS) if "takes_ms" in fields else 0.0,
        fails=fields["fails"].boolean() if "fails" in fields else False,
    )
