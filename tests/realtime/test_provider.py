"""Where an API is and how it is shown a key, without asking anybody."""

from __future__ import annotations

from typing import Any, get_args
from urllib.parse import parse_qsl, urlsplit

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.errors import UserError
from sipagent.realtime.provider import (
    DEFAULT_BASE_URL,
    OpenAIRegion,
    RealtimeProvider,
    azure_provider,
    openai_provider,
    provider_of,
)

CALL = {"call_id": "rtc_1"}
AZURE = "https://harbor.openai.azure.com/openai/v1"


# OpenAI ---------------------------------------------------------------------------------------------


def test_openai_is_where_a_session_is_by_default() -> None:
    provider = openai_provider()
    assert provider == RealtimeProvider()
    assert provider.rest_base_url == DEFAULT_BASE_URL == "https://api.openai.com/v1"
    assert provider.socket_url(CALL) == "wss://api.openai.com/v1/realtime?call_id=rtc_1"
    assert provider.headers("sk-1") == {"Authorization": "Bearer sk-1"}


@pytest.mark.parametrize("region", get_args(OpenAIRegion))
def test_a_region_has_a_host_of_its_own(region: OpenAIRegion) -> None:
    provider = openai_provider(region)
    assert provider.rest_base_url == f"https://{region}.api.openai.com/v1"
    assert provider.socket_url(CALL) == f"wss://{region}.api.openai.com/v1/realtime?call_id=rtc_1"


@pytest.mark.parametrize("region", ["us", "eu", "ae", "au", "in", "jp"])
def test_the_official_client_finds_a_region_in_the_same_place(region: Any) -> None:
    client = openai.OpenAI(api_key="sk-1", data_residency=region)
    try:
        assert openai_provider(region).rest_base_url == str(client.base_url).rstrip("/")
    finally:
        client.close()


@pytest.mark.parametrize("region", ["", "EU", "frankfurt", "eu.evil.example/"])
def test_a_region_that_is_not_known_is_refused(region: Any) -> None:
    with pytest.raises(UserError, match=r"is not known; use one of us, eu, .*or give the base_url"):
        openai_provider(region)


# Azure ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "resource",
    [
        "harbor",
        "https://harbor.openai.azure.com",
        "https://harbor.openai.azure.com/",
        "https://harbor.openai.azure.com/openai",
        "https://harbor.openai.azure.com/openai/v1/",
        "wss://harbor.openai.azure.com/openai/v1/realtime",
    ],
)
def test_azure_by_whatever_its_portal_shows(resource: str) -> None:
    provider = azure_provider(resource)
    assert provider.rest_base_url == AZURE
    assert (
        provider.socket_url({"model": "my deployment"})
        == "wss://harbor.openai.azure.com/openai/v1/realtime?model=my%20deployment"
    )
    assert provider.headers("k") == {"api-key": "k"}


def test_azure_takes_a_token_too() -> None:
    assert azure_provider("harbor", key_header="Authorization").headers("t") == {"Authorization": "Bearer t"}


@pytest.mark.parametrize("resource", ["", "-harbor", "harbor.openai.azure.com", "a b", "ftp://harbor"])
def test_what_is_no_resource_is_refused(resource: str) -> None:
    with pytest.raises(UserError, match="is no resource of Azure|is no URL"):
        azure_provider(resource)


# Whoever speaks the same ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "socket", "rest"),
    [
        ("https://x.example/v1/", "wss://x.example/v1/realtime?call_id=rtc_1", "https://x.example/v1"),
        ("http://127.0.0.1:99/v1", "ws://127.0.0.1:99/v1/realtime?call_id=rtc_1", "http://127.0.0.1:99/v1"),
        ("wss://x.example/a/b", "wss://x.example/a/b/realtime?call_id=rtc_1", "https://x.example/a/b"),
        ("ws://[::1]:99", "ws://[::1]:99/realtime?call_id=rtc_1", "http://[::1]:99"),
        ("HTTPS://x.example", "wss://x.example/realtime?call_id=rtc_1", "https://x.example"),
        (
            "https://x.example/v1?tenant=a%20b&flag",
            "wss://x.example/v1/realtime?tenant=a%20b&flag&call_id=rtc_1",
            "https://x.example/v1",
        ),
    ],
)
def test_a_base_of_any_kind(base: str, socket: str, rest: str) -> None:
    provider = provider_of(base)
    assert provider.socket_url(CALL) == socket
    assert provider.rest_base_url == rest
    assert provider.headers("k") == {"Authorization": "Bearer k"}


def test_the_query_of_the_base_is_kept_for_every_request() -> None:
    provider = provider_of("https://x.example/v1?tenant=a%20b&flag=")
    assert provider.query == {"tenant": "a b", "flag": ""}
    assert provider.rest_url("/realtime/calls") == "https://x.example/v1/realtime/calls?tenant=a%20b&flag="
    assert provider_of("https://x.example/v1").query == {}
    assert provider_of("https://x.example/v1/").rest_url("/a") == "https://x.example/v1/a"


def test_what_a_session_asks_for_wins_over_the_query_of_the_base() -> None:
    base = "https://harbor.openai.azure.com/openai/v1/realtime?model=copied&tenant=t"
    assert provider_of(base).socket_url({"model": "mine"}) == (
        "wss://harbor.openai.azure.com/openai/v1/realtime?tenant=t&model=mine"
    )


def test_without_a_query_there_is_no_question_mark() -> None:
    assert provider_of("https://x.example/v1").socket_url({}) == "wss://x.example/v1/realtime"


@pytest.mark.parametrize(
    "host", ["harbor.openai.azure.com", "h.services.ai.azure.com", "h.cognitiveservices.azure.com"]
)
def test_azure_is_known_by_its_hosts(host: str) -> None:
    provider = provider_of(f"https://{host}")
    assert provider.rest_base_url == f"https://{host}/openai/v1"
    assert provider.key_header == "api-key"
    assert provider_of(f"https://{host}", key_header="Authorization").key_header == "Authorization"


def test_a_host_that_only_looks_like_azure_is_not_given_its_header() -> None:
    for host in ("openai.azure.com.example", "evilopenai.azure.com.example", "openai.azure.com"):
        assert provider_of(f"https://{host}/v1").key_header == "Authorization"


def test_a_key_may_go_into_a_header_of_its_own() -> None:
    assert provider_of("https://gate.example/v1", key_header="X-Key").headers("k") == {"X-Key": "k"}


@pytest.mark.parametrize("header", ["", "two words", "line\nbreak", "colon:"])
def test_a_header_that_is_none_is_refused(header: str) -> None:
    with pytest.raises(UserError, match="is no name of a header"):
        RealtimeProvider(key_header=header)


@pytest.mark.parametrize(
    "base",
    [
        "",
        "api.openai.com/v1",
        "ftp://x/v1",
        "https://",
        "https:///v1",
        "https://x:port/v1",
        "https://x:0/v1",
        "https://[::1/v1",
        "https://x/v1#there",
        "https://x/ v1",
        "https://x/v1\r\nX-Evil: 1",
    ],
)
def test_a_base_that_is_no_url_is_refused(base: str) -> None:
    with pytest.raises(UserError, match="is no URL; use one such as https://api.openai.com/v1"):
        provider_of(base)


@given(st.text(max_size=40), st.sampled_from(["", "?a=1&b=%2F", "?call_id=old"]))
def test_whatever_a_call_id_holds_stays_one_value(call_id: str, tail: str) -> None:
    try:
        call_id.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which no URL can hold
        return
    url = provider_of(f"https://x.example/v1{tail}").socket_url({"call_id": call_id})
    parts = urlsplit(url)
    assert (parts.netloc, parts.path, parts.fragment) == ("x.example", "/v1/realtime", "")
    found = parse_qsl(parts.query, keep_blank_values=True)
    assert [value for name, value in found if name == "call_id"] == [call_id]
    assert ("b", "/") in found or "b=" not in tail
