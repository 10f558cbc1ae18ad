"""What another process must know of a call to go on with it, as one line of JSON. Pure.

What the server knows (the conversation, who speaks, the session's settings) is not in it, nor what the store
has anyway (the transcript). Moments are UTC, by the clock of whoever wrote them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

import msgspec

from sipagent.calls.endings import EndReason
from sipagent.calls.incoming import IncomingCall
from sipagent.calls.lifecycle import CallState
from sipagent.errors import StoreError


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolUnderWay:
    """A tool that had begun and whose output the model had not been given."""

    name: str
    arguments: str
    """JSON, as the model wrote it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferUnderWay:
    """A transfer that was tried when this was written."""

    target: str
    line: int
    """Which of the target's addresses, from 0."""
    asked_at: datetime | None
    """When the carrier was asked to send the call there; None before that."""
    accepted: bool = False
    """Whether the carrier had said yes."""
    by_order: bool = False
    """Whether somebody of the company had asked for it, and not the agent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndingUnderWay:
    """Why the call was being ended."""

    reason: EndReason
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """How far a call had come."""

    incoming: IncomingCall
    received_at: datetime
    """When its webhook came."""
    configuration: str
    """Fingerprint of the configuration that serves it."""
    profile: str | None
    """The agent that answers; None for a call that is refused."""
    address: str | None = None
    """REST base of the API that it comes from; None is wherever the service is told."""
    refusal: tuple[str, int, str] | None = None
    """Why it is refused: reason, SIP status, a sentence."""
    state: CallState = CallState.RINGING
    agent: str | None = None
    """Who leads the conversation; None until it began."""
    talking_since: datetime | None = None
    greeted: bool = False
    """Whether the greeting was asked for."""
    variables: dict[str, str] = field(default_factory=dict)
    typed: dict[str, str] = field(default_factory=dict)
    """What `collect_digits` collected."""
    language: str | None = None
    """What the caller chose to speak."""
    spent: float = 0.0
    """What the call has cost, in the currency of its limits."""
    idle_steps: int = 0
    wrapped_up: bool = False
    tools: dict[str, ToolUnderWay] = field(default_factory=dict)
    """By the id of the tool call."""
    transfer: TransferUnderWay | None = None
    ending: EndingUnderWay | None = None
    version: Literal[1] = 1

    def with_(self, **changes: Any) -> Checkpoint:
        """The same with ``changes``."""
        return replace(self, **changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ringing:
    """What is claimed: a call whose webhook has come."""

    incoming: IncomingCall
    received_at: datetime


_RINGING = msgspec.json.Decoder(Ringing)
_DECODER = msgspec.json.Decoder(Checkpoint)


def encode(checkpoint: Checkpoint) -> str:
    """``checkpoint`` as one line."""
    return _line(checkpoint)


def decode(text: str) -> Checkpoint:
    """What `encode` wrote. Raises `StoreError` for anything else, such as what a later version wrote.

    Fields that are not known are left out: an older process may take over from a newer one during a deploy.
    """
    try:
        return _DECODER.decode(text)
    except (msgspec.DecodeError, ValueError) as error:
        raise StoreError(f"the checkpoint of a call cannot be read: {error}") from error


def encode_ringing(ringing: Ringing) -> str:
    """``ringing`` as one line."""
    return _line(ringing)


def decode_ringing(text: str) -> Ringing:
    """What `encode_ringing` wrote. Raises as `decode`."""
    try:
        return _RINGING.decode(text)
    except (msgspec.DecodeError, ValueError) as error:
        raise StoreError(f"the claim of a call cannot be read: {error}") from error


def _line(value: Checkpoint | Ringing) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        # Half a character, which only a stranger's header has; whoever adopts the call does without it.
        text = json.dumps(msgspec.to_builtins(value), ensure_ascii=False)
        return text.encode(errors="replace").decode()
