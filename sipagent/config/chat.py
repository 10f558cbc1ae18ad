"""Turns a configuration and the environment into a conversation in writing with one of its agents."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sipagent.calls.chat import Chat
from sipagent.calls.chat_view import ChatView
from sipagent.config.compile import load_base_url
from sipagent.config.environment import DEFAULT_BASE_URL, read_base_url
from sipagent.config.loader import suggestion
from sipagent.config.loading import load
from sipagent.errors import UserError

__all__ = ["ApiAccess", "Chat", "ChatView", "load_chat"]


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


def load_chat(path: Path | str, agent: str | None, *, access: ApiAccess, view: ChatView) -> Chat:
    """A conversation, not entered yet, with the agent called ``agent`` of the configuration at ``path``;
    None takes the only one there is.

    Blocks, as `load` does. Raises `ConfigurationError` with the mistakes in the file, and `UserError` when it
    has no such agent, or several and none is named.
    """
    profiles = load(path).profiles
    if agent is None:
        if len(profiles) > 1:
            raise UserError(f"{path} has several agents: name one with --agent ({', '.join(profiles)}).")
        [agent] = profiles
    if agent not in profiles:
        raise UserError(f"{path} has no agent {agent!r}. {suggestion(agent, tuple(profiles))}")
    return Chat(profiles[agent], api_key=access.api_key, base_url=access.base_url, view=view)
