"""Who leads a conversation, who led it, and what the server may still believe. Pure.

A handoff is decided here and told to the server, which takes a moment to follow, or refuses. Meanwhile it may
begin a response of its own with the agent of before. So each response keeps the offer that it began with:
a call that comes late runs the tool of the agent that made it, although another leads by then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sipagent.identifiers import ResponseId
from sipagent.realtime.agent import RealtimeAgent
from sipagent.realtime.events import RealtimeModelToolCallEvent
from sipagent.realtime.handoffs import Handoff
from sipagent.realtime.hosted_mcp import HostedMCPTool
from sipagent.realtime.settings import RealtimeSessionModelSettings
from sipagent.realtime.tools import FunctionTool

_RESPONSES_KEPT = 32
"""Offers are kept for so many responses; a call comes while its response runs, or right behind it."""
_CHANGES_KEPT = 16
"""A server that refuses a change does so within a moment."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Offer:
    """An agent that leads, and the settings that were resolved for it."""

    agent: RealtimeAgent[Any]
    settings: RealtimeSessionModelSettings

    def find(self, name: str) -> FunctionTool | Handoff[Any, Any] | None:
        """What the model calls by ``name``."""
        for tool in self.settings.get("tools", []):
            if tool.name == name:
                return tool
        for handoff in self.settings.get("handoffs", []):
            if handoff.tool_name == name:
                return handoff
        return None

    def find_hosted(self, server_label: str) -> HostedMCPTool | None:
        """The server of that label; None where it is offered otherwise than by a `HostedMCPTool`."""
        for tool in self.settings.get("hosted_tools", []):
            if isinstance(tool, HostedMCPTool) and tool.server_label == server_label:
                return tool
        return None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Change:
    """One change of who leads, as it was told to the server."""

    event_id: str
    before: Offer
    after: Offer
    handoff: bool
    """Asked for by the model, not by the application."""


class Lead:
    """Who leads one conversation."""

    __slots__ = (
        "_changes",
        "_confirms",
        "_count",
        "_followed",
        "_of_response",
        "current",
        "speaker",
    )

    def __init__(self, agent: RealtimeAgent[Any]) -> None:
        self.current = Offer(agent=agent, settings={})
        self.speaker = agent
        """Whom a response that begins now speaks for; behind `current` until the server has followed."""
        self._of_response: dict[ResponseId, Offer] = {}
        self._changes: list[Change] = []
        self._followed: Offer = self.current
        """What the server goes by, as far as known."""
        self._confirms = False
        """The server tells when it has followed."""
        self._count = 0

    def start(self, offer: Offer) -> None:
        """The session starts with ``offer``."""
        self.current = offer
        self._settle()

    def change(self, offer: Offer, *, handoff: bool) -> Change:
        """``offer`` leads from now on, and the server is about to be told."""
        self._count += 1
        change = Change(
            event_id=f"sipagent_agent_{self._count}", before=self.current, after=offer, handoff=handoff
        )
        self._changes = [*self._changes[1 - _CHANGES_KEPT :], change]
        self.current = offer
        if not self._confirms:
            self._settle()
        return change

    def undo(self, event_id: str) -> Change | None:
        """A change was not told, or refused: whoever led before leads again, unless another does by now.
        The change as it was; None when there is none of that id."""
        change = next((each for each in self._changes if each.event_id == event_id), None)
        if change is None:
            return None
        # A later change that came upon this one must not be undone to an agent that never led.
        kept = [
            replace(each, before=change.before) if each.before is change.after else each
            for each in self._changes
            if each is not change
        ]
        self._changes = kept
        if self.current is change.after:
            self.current = change.before
            self._settle()
        elif self._followed is change.after:
            self._followed, self.speaker = change.before, change.before.agent
        return change

    @property
    def unconfirmed(self) -> Change | None:
        """The latest change, while the server has not told that it has followed."""
        change = self._changes[-1] if self._changes else None
        return change if change is not None and self._followed is not change.after else None

    def session_changed(self) -> None:
        """The server has followed."""
        self._confirms = True
        self._settle()

    def refused(self, error: Mapping[str, Any]) -> Change | None:
        """The change that ``error`` refuses, undone; None when it is about something else."""
        event_id = error.get("event_id")
        return self.undo(event_id) if isinstance(event_id, str) else None

    def response_began(self, response_id: ResponseId) -> None:
        """A response began, with what the server goes by."""
        self._of_response[response_id] = self._followed
        if len(self._of_response) > _RESPONSES_KEPT:
            del self._of_response[next(iter(self._of_response))]

    def offer_of(self, response_id: ResponseId | None) -> Offer:
        """The offer that a response began with; without one that is known, what the server goes by."""
        if response_id is None:
            return self._followed
        return self._of_response.get(response_id, self._followed)

    def find(self, call: RealtimeModelToolCallEvent) -> tuple[Offer, FunctionTool | Handoff[Any, Any] | None]:
        """What ``call`` calls, and the offer that it is part of."""
        offer = self.current
        if call.response_id is not None:
            offer = self._of_response.get(call.response_id, self.current)
        found = offer.find(call.name)
        if found is None and offer is not self.current:
            # Perhaps the server had followed without telling.
            found, offer = self.current.find(call.name), self.current
        return offer, found

    def _settle(self) -> None:
        self._followed = self.current
        self.speaker = self.current.agent
