"""Turns a configuration and the environment into a conversation in writing with one of its agents."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from sipagent.calls.chat import Chat
from sipagent.calls.chat_call import PretendedCall
from sipagent.calls.chat_view import ChatView
from sipagent.calls.routing import FrontDoor
from sipagent.clock import utc_now
from sipagent.config.compile import load_base_url
from sipagent.config.environment import DEFAULT_BASE_URL, read_base_url
from sipagent.config.loader import suggestion
from sipagent.config.loading import load
from sipagent.config.question import Question, ask, call_of, zone_of
from sipagent.errors import UserError

__all__ = ["ApiAccess", "Chat", "ChatCall", "ChatView", "load_chat"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiAccess:
    """Where the Realtime API is, and the key that lets us in."""

    api_key: str = field(repr=False)
    base_url: str
    """Without a slash at the end."""

    @classmethod
    def read(cls, variables: Mapping[str, str] | None = None, *, file: Path | None = None) -> ApiAccess:
        """Read ``variables``, by default those of the process. Unlike `Environment.read` it asks for no
        webhook secret: nobody calls. ``file`` is the configuration, which may say where the API is.

        Raises `UserError` when the key is missing or the address is none, `ConfigurationError` for mistakes
        in ``file``.
        """
        variables = os.environ if variables is None else variables
        api_key = variables.get("OPENAI_API_KEY", "").strip()
        if not api_key:
            raise UserError(
                "OPENAI_API_KEY is not set, and the real model answers nobody without a key: create one at "
                "platform.openai.com under API keys and set it, or add --simulator, which needs none."
            )
        if file is not None:
            return cls(api_key=api_key, base_url=load_base_url(file, variables))
        return cls(api_key=api_key, base_url=read_base_url(variables) or DEFAULT_BASE_URL)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatCall:
    """The call that is talked about, as far as somebody says."""

    to: str | None = None
    caller: str | None = None
    at: datetime | None = None
    """In the zone of the business unless it has one of its own; None is now."""
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def chooses(self) -> bool:
        """Whether enough is said to ask the routes who answers."""
        return self != ChatCall()


def load_chat(
    path: Path | str,
    agent: str | None,
    *,
    access: ApiAccess,
    view: ChatView,
    about: ChatCall | None = None,
) -> Chat:
    """A conversation, not entered yet, with the agent called ``agent`` of the configuration at ``path``.

    Without a name it is whoever answers the call ``about`` which something is said, or the only one there is.
    Values of variables are those of that call.

    Blocks, as `load` does. Raises `ConfigurationError` with the mistakes in the file, and `UserError` when it
    has no such agent, several and nothing says which, or none that answers such a call.
    """
    door = load(path)
    about = ChatCall() if about is None else about
    at = utc_now() if about.at is None else about.at
    if at.tzinfo is None:
        at = at.replace(tzinfo=zone_of(door))
    question = Question(at=at, to=about.to, caller=about.caller, headers=about.headers)
    profiles = door.profiles
    if agent is None:
        agent = _who_answers(door, question, path) if about.chooses else _only_one(profiles, path)
    if agent not in profiles:
        raise UserError(f"{path} has no agent {agent!r}. {suggestion(agent, tuple(profiles))}")
    return Chat(
        profiles[agent],
        api_key=access.api_key,
        base_url=access.base_url,
        view=view,
        pretended=PretendedCall(door=door, call=call_of(door, question), now=at),
    )


def _only_one(profiles: Mapping[str, object], path: Path | str) -> str:
    if len(profiles) > 1:
        raise UserError(
            f"{path} has several agents: name one with --agent ({', '.join(profiles)}), or say whose call it "
            "is with --to, --from and --at."
        )
    [agent] = profiles
    return agent


def _who_answers(door: FrontDoor, question: Question, path: Path | str) -> str:
    verdict = ask(door, question)
    if verdict.agent is None:
        raise UserError(
            f"{path} has nobody answer such a call (SIP status {verdict.sip_status}): {verdict.why[-1]} "
            "Talk with somebody all the same by --agent."
        )
    return verdict.agent
