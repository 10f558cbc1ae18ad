"""Asks OpenAI's moderation for guardrails of a configuration, with the key of the environment."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from functools import cached_property

import openai

from sipagent.calls.guardrails import openai_moderation


class ApiModeration:
    """Moderation at the API that a configuration names."""

    def __init__(self, *, api_key: str, base_url: str) -> None:
        self._api_key = api_key
        self._base_url = base_url

    async def __call__(self, model: str, text: str) -> Mapping[str, bool]:
        """Which categories are flagged. Raises `ModerationFailedError` when nobody can tell. Cancel-safe."""
        # A configuration has no end at which connections could be closed, so each question has its own. What
        # is dear about them is reading the certificates, which is done once.
        http = openai.DefaultAsyncHttpxClient(verify=self._certificates)
        async with openai.AsyncOpenAI(
            api_key=self._api_key, base_url=self._base_url, http_client=http
        ) as client:
            return await openai_moderation(client)(model, text)

    @cached_property
    def _certificates(self) -> ssl.SSLContext:
        return ssl.create_default_context()
