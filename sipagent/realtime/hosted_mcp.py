"""Tools that the API itself calls, on an MCP server that it can reach: what one is, and how it is written.

The API lists and calls these tools; nothing of them runs here. Source: API reference, "Realtime session
object", field ``tools``, and the guide "Realtime with tools".
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NotRequired, TypedDict

from sipagent.errors import UserError
from sipagent.realtime.run_context import RunContextWrapper
from sipagent.realtime.tools import ToolEnabled

_PLACES = ("server_url", "connector_id", "tunnel_id")


class RealtimeHostedMcpToolFilter(TypedDict, total=False):
    """Some tools of a server: those named, or those that only read, or both conditions together."""

    tool_names: list[str]
    read_only: bool


class RealtimeHostedMcpApproval(TypedDict, total=False):
    """Which tools of a server wait for approval, and which never do."""

    always: RealtimeHostedMcpToolFilter
    never: RealtimeHostedMcpToolFilter


class RealtimeHostedMcpTool(TypedDict):
    """A server and how it may be used, as the API writes it.

    One of ``server_url``, ``connector_id`` and ``tunnel_id`` says where it is. With none of them, the API
    takes what was said under the same ``server_label`` earlier in the session.
    """

    type: Literal["mcp"]
    server_label: str
    """Names the server to the model and in events; once in a session."""
    server_url: NotRequired[str]
    connector_id: NotRequired[str]
    tunnel_id: NotRequired[str]
    authorization: NotRequired[str]
    """An OAuth access token; not beside a header ``Authorization``."""
    headers: NotRequired[Mapping[str, str] | None]
    allowed_tools: NotRequired[list[str] | RealtimeHostedMcpToolFilter | None]
    allowed_callers: NotRequired[list[Literal["direct", "programmatic"]] | None]
    require_approval: NotRequired[Literal["always", "never"] | RealtimeHostedMcpApproval | None]
    """``always`` where left out: a call of a tool waits for an answer to its approval request."""
    server_description: NotRequired[str]
    defer_loading: NotRequired[bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class MCPApprovalRequestData:
    """What the model wants to call."""

    id: str
    """To be named by the answer."""
    server_label: str
    name: str
    arguments: str
    """JSON, as the model wrote it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MCPToolApprovalRequest:
    """A call of a hosted tool that waits for approval."""

    ctx_wrapper: RunContextWrapper[Any]
    data: MCPApprovalRequestData


class MCPToolApprovalFunctionResult(TypedDict):
    """The answer; the model hears the reason of a refusal."""

    approve: bool
    reason: NotRequired[str]


MCPToolApprovalFunction = Callable[
    [MCPToolApprovalRequest],
    MCPToolApprovalFunctionResult | bool | Awaitable[MCPToolApprovalFunctionResult | bool],
]
"""Approves or refuses a call; sync or async. A plain one runs in a thread. One that raises refuses."""


@dataclass(slots=True)
class HostedMCPTool:
    """An MCP server whose tools the API offers to the model and calls itself.

    Raises `UserError` for a ``tool_config`` that the API cannot accept.
    """

    tool_config: RealtimeHostedMcpTool | Mapping[str, Any] = field(repr=False)
    """As the API writes it; may hold secrets."""
    on_approval_request: MCPToolApprovalFunction | None = None
    """Asked when a call waits for approval; without one, the application answers a
    `RealtimeMcpApprovalRequired`."""
    name: str = "hosted_mcp"
    """For people; the model and the API know the server by its label."""
    is_enabled: ToolEnabled = True

    def __post_init__(self) -> None:
        hosted_tool_payload(self.tool_config)
        if self.on_approval_request is not None and not callable(self.on_approval_request):
            raise UserError(f"on_approval_request must be a function, not {self.on_approval_request!r}")

    @property
    def server_label(self) -> str:
        """Names the server to the model and in events."""
        label: str = self.tool_config["server_label"]
        return label

    async def enabled(self, context: RunContextWrapper[Any], agent: Any) -> bool:
        """Whether the server is offered to the model now. Raises what ``is_enabled`` raises. Cancel-safe."""
        if isinstance(self.is_enabled, bool):
            return self.is_enabled
        answer = self.is_enabled(context, agent)
        return await answer if inspect.isawaitable(answer) else answer


def hosted_tool_payloads(
    tools: Iterable[HostedMCPTool | RealtimeHostedMcpTool | Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Hosted tools as the API writes them, without those that are switched off.

    Raises `UserError` for what the API cannot accept, and for two of one label.
    """
    made: list[dict[str, Any]] = []
    labels: set[str] = set()
    for tool in tools:
        if isinstance(tool, HostedMCPTool):
            if tool.is_enabled is False:
                continue
            tool = tool.tool_config
        payload = hosted_tool_payload(tool)
        label = payload.get("server_label")
        if label in labels:
            raise UserError(f"two MCP servers are labelled {label!r}; give one of them another server_label")
        if label is not None:
            labels.add(label)
        made.append(payload)
    return made


def hosted_tool_payload(config: RealtimeHostedMcpTool | Mapping[str, Any]) -> dict[str, Any]:
    """One hosted tool as the API writes it; a kind of tool that is not known here passes as it is.

    Raises `UserError` for what the API is known to refuse. Secrets stay out of the message.
    """
    if not isinstance(config, Mapping):
        raise UserError(f"a hosted tool must be written as the API does, as a mapping, not {config!r}")
    payload = dict(config)
    kind = payload.get("type")
    if kind == "function":
        # The API would accept it, and its calls would find nobody.
        raise UserError("a function is offered as a tool made with function_tool, so that its calls are run")
    if not isinstance(kind, str) or not kind:
        raise UserError('a hosted tool needs a type, such as "mcp"')
    if kind == "mcp":
        _check_server(payload)
    return payload


def _check_server(payload: Mapping[str, Any]) -> None:
    label = payload.get("server_label")
    if not isinstance(label, str) or not label:
        raise UserError("a hosted MCP tool needs a server_label")
    places = [name for name in _PLACES if payload.get(name) is not None]
    if len(places) > 1:
        raise UserError(f"MCP server {label!r}: {' and '.join(places)} stand side by side; give one of them")
    headers = payload.get("headers") or {}
    if payload.get("authorization") and any(name.lower() == "authorization" for name in headers):
        raise UserError(f"MCP server {label!r}: authorization and a header Authorization; give one of them")
