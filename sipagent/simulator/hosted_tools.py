"""The tools that the service runs itself, on the MCP servers that a session names. None is really called: the
script says what their lists hold and what their calls come to.

Theory of operation. A server's tools are listed when a session first names it, and again when it is defined
anew; a definition that only repeats the label stands for the one before. A call either runs at once, or waits
for the client's answer to an approval request; how it went is told, and reaches the model with its next
response, which the client asks for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sipagent.identifiers import ItemId, ToolCallId
from sipagent.simulator import server_events
from sipagent.simulator.hosted_plan import HostedRun, HostedServer
from sipagent.simulator.items import Item, ItemList, tool_list
from sipagent.simulator.script import Script, Step
from sipagent.simulator.server_events import EventSender, IdSource, ResponseEvents
from sipagent.simulator.session_config import SessionConfig
from sipagent.simulator.timers import Timers

NOT_APPROVED: Final = "The call was not approved."
_PLACES: Final = ("server_url", "connector_id", "tunnel_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostedCall:
    """One call, from the moment the model has decided on it."""

    item: Item
    events: ResponseEvents
    run: HostedRun


class HostedTools:
    """The servers and calls of one session. ``ended`` hears of each call what the model is to be told, and
    whether the service goes on by itself."""

    def __init__(
        self,
        *,
        script: Script,
        config: SessionConfig,
        items: ItemList,
        sender: EventSender,
        ids: IdSource,
        timers: Timers,
        ended: Callable[[ToolCallId, str, bool], None],
    ) -> None:
        self._script = script
        self._config = config
        self._items = items
        self._sender = sender
        self._ids = ids
        self._timers = timers
        self._ended = ended
        self._defined: dict[str, Mapping[str, Any]] = {}
        """By label, the whole of what was last said of each server."""
        self._listed: dict[str, Mapping[str, Any]] = {}
        """By label, the definition that the list was asked for with."""
        self._loaded: set[str] = set()
        self._waiting: dict[str, HostedCall] = {}
        """By the id of the approval request."""

    # Lists -----------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """List the tools of every server that is new, or newly defined."""
        for label, definition in self._offered().items():
            if self._listed.get(label) != definition:
                self._listed[label] = definition
                self._loaded.discard(label)
                self._list(label)

    def names(self) -> frozenset[str]:
        """What can be called now, as ``LABEL.TOOL``."""
        return frozenset(
            f"{label}.{name}"
            for label, definition in self._offered().items()
            if label in self._loaded
            for name in self._tools(label, definition)
        )

    def _offered(self) -> dict[str, Mapping[str, Any]]:
        offered: dict[str, Mapping[str, Any]] = {}
        for tool in self._config.value("tools") or ():
            if tool.get("type") == "mcp":
                label = tool["server_label"]
                if any(tool.get(place) for place in _PLACES):
                    self._defined[label] = tool
                offered[label] = {**self._defined.get(label, {}), **tool}
        return offered

    def _list(self, label: str) -> None:
        plan = self._script.mcp.get(label, HostedServer())
        item_id = ItemId(self._ids.new("mcpl"))
        self._sender.emit(server_events.list_tools_in_progress(item_id))
        self._timers.later(plan.takes_ms / 1000, lambda: self._came(label, item_id, fails=plan.fails))

    def _came(self, label: str, item_id: ItemId, *, fails: bool) -> None:
        definition = self._listed[label]
        if fails or not any(definition.get(place) for place in _PLACES):
            self._sender.emit(server_events.list_tools_failed(item_id))
            return
        item = tool_list(item_id, server_label=label, names=self._tools(label, definition))
        previous_id = self._items.add(item)
        self._sender.emit(server_events.item_added(item.body, previous_id))
        self._sender.emit(server_events.item_done(item.body, previous_id))
        self._sender.emit(server_events.list_tools_completed(item_id))
        self._loaded.add(label)

    def _tools(self, label: str, definition: Mapping[str, Any]) -> list[str]:
        called = [name for each, name in _called(self._script) if each == label]
        names = dict.fromkeys([*called, *self._script.mcp.get(label, HostedServer()).tools])
        allowed = definition.get("allowed_tools")
        if isinstance(allowed, Mapping):
            allowed = allowed.get("tool_names")
        return [name for name in names if allowed is None or name in allowed]

    # Calls -----------------------------------------------------------------------------------------

    def needs_approval(self, server_label: str, name: str) -> bool:
        """Whether a call must wait for an answer of the client: yes, unless the session says otherwise."""
        wanted = self._offered().get(server_label, {}).get("require_approval") or "always"
        if isinstance(wanted, str):
            return wanted == "always"
        return name not in ((wanted.get("never") or {}).get("tool_names") or ())

    def begin(self, call: HostedCall) -> asyncio.Future[None]:
        """Run a call; done when it has ended. It runs on whoever waits for it."""
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sender.emit(call.events.mcp_call_in_progress())
        self._timers.later(call.run.takes_ms / 1000, lambda: self._end(call, over))
        return over

    def ask(self, request_id: ItemId, call: HostedCall) -> None:
        """Let a call wait; its approval request was sent."""
        self._waiting[request_id] = call

    def is_waiting(self, request_id: str) -> bool:
        """Whether a call waits for the answer to this request."""
        return request_id in self._waiting

    def answer(self, request_id: str, *, approve: bool, reason: str | None) -> None:
        """The client answers a request that `is_waiting`."""
        call = self._waiting.pop(request_id)
        if approve:
            call.item.body["approval_request_id"] = request_id
            self.begin(call)
        else:
            self._ended(ToolCallId(call.item.item_id), reason or NOT_APPROVED, False)

    def _end(self, call: HostedCall, over: asyncio.Future[None]) -> None:
        item, run = call.item, call.run
        item.body["output"] = run.output if run.error is None else None
        item.body["error"] = None if run.error is None else dict(run.error)
        events = call.events
        self._sender.emit(events.mcp_call_completed() if run.error is None else events.mcp_call_failed())
        if self._items.get(item.item_id) is not None:
            previous_id = self._items.previous_id(item.item_id)
            self._sender.emit(server_events.item_done(item.body, previous_id))
        self._sender.emit(events.output_item_done(item.body))
        told = run.output if run.error is None else str(run.error["message"])
        self._ended(ToolCallId(item.item_id), told, run.continues)
        if not over.done():
            over.set_result(None)


def _called(script: Script) -> Iterator[tuple[str, str]]:
    """Label and name of every hosted tool that a script calls anywhere."""
    steps: list[Step] = [script.greeting, *script.turns, script.otherwise]
    steps += [reaction.step for reaction in script.reactions]
    while steps:
        for use in steps.pop(0).calls:
            if use.hosted is not None:
                yield use.hosted.server_label, use.name
            if use.then is not None:
                steps.append(use.then)
