"""Who answers a call: an agent, its first words, its settings and what it may do with the call."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from sipagent.calls.manners import Manners
from sipagent.calls.template import Template
from sipagent.calls.tools.mcp_spec import McpTools
from sipagent.errors import UserError
from sipagent.realtime import RealtimeAgent, RealtimeSessionModelSettings

TAKE_A_MESSAGE = "message"
"""`TransferTarget.otherwise` that has the agent offer to take a message."""


class CallTool(StrEnum):
    """Tools that act on the telephone call itself."""

    HANG_UP = "hang_up"
    TRANSFER = "transfer"


TransferWay = Literal["refer", "carrier", "warm"]
"""How a caller gets to somebody else. ``refer``: the Realtime API asks the carrier to send them there.
``carrier``: we ask the carrier, by its own API. ``warm``: the carrier calls the other first, tells them what
it is about, and puts both together when they take the call. Where the carrier has no door to us, all are
``refer``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferTarget:
    """Where a call may be sent. The model sees ``name``, ``label`` and ``description``, never an address.

    Raises `UserError` without any address.
    """

    name: str
    uris: tuple[str, ...]
    """``tel:+15550100001`` or ``sip:user@host``, tried in this order."""
    label: str | None = None
    """How the agent speaks of it: ``our sales team``; None: by its name."""
    description: str = ""
    """For the model: whom to send there."""
    calendar: str | None = None
    """The name of the calendar that says when somebody is there; None: always."""
    otherwise: str | None = None
    """What is offered when nobody was reached: `TAKE_A_MESSAGE`, or the name of an agent, which takes over if
    the one that leads may hand over to it; None leaves it to the agent."""
    confirm_s: float | None = None
    """How long one address has to take the call over; None: as long as every call gives."""
    way: TransferWay = "refer"

    def __post_init__(self) -> None:
        if not self.uris:
            raise UserError(f"The transfer target {self.name!r} has no address.")

    @property
    def spoken_name(self) -> str:
        """What the agent calls it."""
        return self.label or self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    """The first words of a call."""

    text: Template
    """Spoken word for word, with what is known of the call."""
    interruptible: bool = True
    """False: heard to its end, whatever the caller does meanwhile. True: a caller who speaks at once is
    answered, and the agent is told to begin its answer with these words if they were not heard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """That calls are recorded, where their audio passes through us."""

    consent: Template
    """Said after the greeting, and not to be interrupted: nothing is recorded before it was heard."""
    folder: Path
    keep_days: int
    """When a recording is deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentProfile:
    """One agent of the configuration, ready to answer."""

    name: str
    agent: RealtimeAgent[Any]
    """With its function tools, without the call tools: those are made for each call."""
    settings: RealtimeSessionModelSettings
    """Model, voice, formats, turn detection, truncation…"""
    instructions: Template | None = None
    """Written for each call; None takes those of ``agent`` as they are."""
    languages: tuple[str, ...] = ()
    """Language tags, the usual one first; none: whatever the caller speaks."""
    handoffs: tuple[str, ...] = ()
    """Names of the agents that this one may hand over to."""
    greeting: Greeting | None = None
    """Spoken as soon as the call is attached; None lets the caller speak first."""
    call_tools: tuple[CallTool, ...] = ()
    mcp_tools: tuple[McpTools, ...] = ()
    """Of servers that we ask ourselves: `mcp_door` adds them to ``agent`` when they are known."""
    transfer_targets: tuple[TransferTarget, ...] = ()
    recording: Recording | None = None
    manners: Manners = field(default_factory=Manners)
    """Of a call while this agent leads it, but for the longest duration: that is set by who answers."""
