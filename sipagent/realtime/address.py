"""The address of a session: what a model's configuration says of the API, and the key that opens it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping

from sipagent.errors import UserError
from sipagent.realtime.connection import Address
from sipagent.realtime.model import ApiKey, RealtimeModelConfig
from sipagent.realtime.provider import DEFAULT_BASE_URL, RealtimeProvider, provider_of


async def address_of(options: RealtimeModelConfig, *, query: Mapping[str, str]) -> Address:
    """The URL and headers that ``options`` ask for; ``query`` is added unless the URL is given whole.

    Raises `UserError` when there is no key or the base URL is none, and what the function that gives the key
    raises. Cancel-safe as far as that function is.
    """
    provider = _provider(options)
    headers = options.get("headers")
    if headers is None:
        headers = provider.headers(await _key(options.get("api_key")))
    if (url := options.get("url")) is None:
        url = provider.socket_url(query)
    return Address(url=url, headers=headers)


def _provider(options: RealtimeModelConfig) -> RealtimeProvider:
    if (provider := options.get("provider")) is not None:
        if "base_url" in options:
            raise UserError("provider and base_url both say where the API is; give one of them")
        return provider
    if "url" in options:
        return RealtimeProvider()
    return provider_of(options.get("base_url", DEFAULT_BASE_URL))


async def _key(given: ApiKey | None) -> str:
    key = given() if callable(given) else given
    if inspect.isawaitable(key):
        key = await key
    if key is None and given is None:
        key = await default_key()
    if not isinstance(key, str) or not key:
        raise UserError(
            "API key is required but was not provided; give api_key, or headers that let you in, "
            "or set OPENAI_API_KEY"
        )
    return key


async def default_key() -> str | None:
    """The key that the `openai` package would use by itself, if there is one: programs written for it, or for
    the Agents SDK, give none and set ``OPENAI_API_KEY``. Cancel-safe."""
    # The package takes most of a second to import, which only those who rely on this should pay.
    return await asyncio.to_thread(_key_of_the_openai_package)


def _key_of_the_openai_package() -> str | None:
    import openai

    try:
        return openai.OpenAI().api_key
    except openai.OpenAIError:
        return None
