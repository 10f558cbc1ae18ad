"""Which MCP servers there are, and what an agent has of them: as values, before anything is started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sipagent.calls.tools.request_parts import check_header
from sipagent.calls.urls import check_plain_url
from sipagent.errors import UserError

if TYPE_CHECKING:  # an agent's profile holds these, and manners know calls, which know profiles
    from sipagent.calls.tools.manners import ToolManners

CALL_TIMEOUT_S: Final = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class McpServerSpec:
    """One server, by the command that starts it or by its URL. Equal ones are one and the same server.

    Raises `UserError` for both or neither, and for what could not be sent.
    """

    name: str
    """Of the configuration, for logs and metrics; the model does not see it."""
    command: tuple[str, ...] = ()
    """A program and its arguments, spoken to over its standard input and output."""
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Beside the few variables that such programs always get. May hold secrets."""
    folder: str | None = None
    """Where the command runs; None is where the service does."""
    url: str | None = field(default=None, repr=False)
    """Of a server that speaks "Streamable HTTP" (MCP specification, "Transports"). May hold a secret."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """May hold secrets: sent, and never shown."""
    start_timeout_s: float = 10.0
    """Of starting, connecting and listing."""

    def __post_init__(self) -> None:
        if bool(self.command) == (self.url is not None):
            raise UserError(f"MCP server {self.name}: give it either a command or a url")
        if self.url is not None:
            check_plain_url(f"{self.url}/")
        for name, value in self.headers.items():
            check_header(name, value)
        if self.command and self.headers:
            raise UserError(f"MCP server {self.name}: a command takes no headers; use env")
        if self.url is not None and self.env:
            raise UserError(f"MCP server {self.name}: a url takes no env; use headers")
        if not self.start_timeout_s > 0:
            raise UserError(f"MCP server {self.name}: a time-out must be above 0 s")


@dataclass(frozen=True, slots=True, kw_only=True)
class McpTools:
    """What an agent has of a server. Raises `UserError` for a time-out that is no time."""

    server: McpServerSpec
    allowed: tuple[str, ...] | None = None
    """By the names that the server gives them; None is all that it has."""
    timeout_s: float = CALL_TIMEOUT_S
    """Of one call of a tool."""
    manners: ToolManners | None = None
    """None leaves them plain, but for those that change something."""
    side_effects: bool | None = None
    """Whether they run at most once for the same arguments; None asks the server which of them change
    something, and goes by its word."""
    place: tuple[str | int, ...] = field(default=(), compare=False)
    """Where the configuration says so: keys and indices, from its root."""

    def __post_init__(self) -> None:
        if not self.timeout_s > 0:
            raise UserError(f"MCP server {self.server.name}: a time-out must be above 0 s")
