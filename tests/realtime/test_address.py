"""From a model's configuration to the URL and headers of its socket."""

from __future__ import annotations

from typing import Any

import pytest

from sipagent.errors import UserError
from sipagent.realtime import (
    OpenAIRealtimeSIPModel,
    OpenAIRealtimeWebSocketModel,
    RealtimeModelConfig,
)
from sipagent.realtime.address import address_of
from sipagent.realtime.provider import RealtimeProvider, azure_provider, openai_provider
from tests.realtime.peer import realtime_server

KEY: RealtimeModelConfig = {"api_key": "sk-test"}
CALL = {"call_id": "rtc_1"}


async def test_openai_by_default() -> None:
    address = await address_of(KEY, query={"call_id": "a/b?c&d=e ü"})
    assert address.url == "wss://api.openai.com/v1/realtime?call_id=a%2Fb%3Fc%26d%3De%20%C3%BC"
    assert address.headers == {"Authorization": "Bearer sk-test"}


async def test_a_base_url_names_the_api() -> None:
    address = await address_of({**KEY, "base_url": "http://127.0.0.1:1234/v1/"}, query=CALL)
    assert address.url == "ws://127.0.0.1:1234/v1/realtime?call_id=rtc_1"
    assert address.headers == {"Authorization": "Bearer sk-test"}


async def test_a_base_url_of_azure_is_shown_the_key_as_azure_wants_it() -> None:
    options: RealtimeModelConfig = {**KEY, "base_url": "https://harbor.openai.azure.com"}
    address = await address_of(options, query={"model": "desk"})
    assert address.url == "wss://harbor.openai.azure.com/openai/v1/realtime?model=desk"
    assert address.headers == {"api-key": "sk-test"}


@pytest.mark.parametrize(
    ("provider", "url", "headers"),
    [
        (
            openai_provider("eu"),
            "wss://eu.api.openai.com/v1/realtime?call_id=rtc_1",
            {"Authorization": "Bearer sk-test"},
        ),
        (
            azure_provider("harbor"),
            "wss://harbor.openai.azure.com/openai/v1/realtime?call_id=rtc_1",
            {"api-key": "sk-test"},
        ),
        (
            RealtimeProvider(base_url="https://gate.example/v1?t=1", key_header="X-Key"),
            "wss://gate.example/v1/realtime?t=1&call_id=rtc_1",
            {"X-Key": "sk-test"},
        ),
    ],
)
async def test_a_provider_names_the_api_and_the_header(
    provider: RealtimeProvider, url: str, headers: dict[str, str]
) -> None:
    address = await address_of({**KEY, "provider": provider}, query=CALL)
    assert (address.url, address.headers) == (url, headers)


async def test_one_api_is_enough() -> None:
    options: RealtimeModelConfig = {**KEY, "provider": openai_provider(), "base_url": "https://x.example"}
    with pytest.raises(UserError, match="provider and base_url"):
        await address_of(options, query=CALL)


async def test_a_whole_url_is_used_as_it_is() -> None:
    whole: RealtimeModelConfig = {**KEY, "url": "wss://harbor.openai.azure.com/x?y=z", "base_url": "none"}
    address = await address_of(whole, query=CALL)
    assert address.url == "wss://harbor.openai.azure.com/x?y=z"
    assert address.headers == {"Authorization": "Bearer sk-test"}
    with_header: RealtimeModelConfig = {**KEY, "url": "wss://x.example/", "provider": azure_provider("h")}
    address = await address_of(with_header, query=CALL)
    assert (address.url, address.headers) == ("wss://x.example/", {"api-key": "sk-test"})


async def test_headers_of_ones_own_need_no_key() -> None:
    assert (await address_of({"headers": {"X-Key": "k"}}, query={})).headers == {"X-Key": "k"}
    assert (await address_of({"headers": {}}, query={})).headers == {}


async def test_a_key_may_be_given_by_a_function_of_either_kind() -> None:
    async def later() -> str:
        return "sk-later"

    for given, expected in ((lambda: "sk-now", "sk-now"), (later, "sk-later")):
        address = await address_of({"api_key": given, "provider": azure_provider("h")}, query={})
        assert address.headers == {"api-key": expected}


@pytest.mark.parametrize("options", [{}, {"api_key": ""}, {"api_key": lambda: None}])
async def test_no_key_is_said_before_anything_is_opened(
    options: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UserError, match="API key is required"):
        await address_of(options, query={})


async def test_without_a_key_the_one_of_the_openai_package_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-environment")
    address = await address_of({}, query={})
    assert address.headers == {"Authorization": "Bearer sk-environment"}


@pytest.mark.parametrize("base", ["api.openai.com/v1", "ftp://x/v1", ""])
async def test_a_base_that_is_no_url_is_refused(base: str) -> None:
    with pytest.raises(UserError, match="is no URL; use one such as https://"):
        await address_of({**KEY, "base_url": base}, query={})


# Over a real socket ---------------------------------------------------------------------------------


async def test_both_models_show_their_key_in_the_providers_header() -> None:
    async with realtime_server() as server:
        provider = RealtimeProvider(base_url=f"{server.base_url}?tenant=t", key_header="api-key")
        for model, options, query in (
            (OpenAIRealtimeSIPModel(), {"call_id": "rtc/1"}, "call_id=rtc%2F1"),
            (
                OpenAIRealtimeWebSocketModel(),
                {"initial_model_settings": {"model_name": "my desk"}},
                "model=my%20desk",
            ),
        ):
            config: Any = {**KEY, "provider": provider, **options}
            await model.connect(config)
            try:
                peer = await server.peer()
                assert peer.path == f"/v1/realtime?tenant=t&{query}"
                assert peer.headers["api-key"] == "sk-test"
                assert "Authorization" not in peer.headers
            finally:
                await model.close()
