from __future__ import annotations

import pytest

from sipagent.config.addresses import is_loopback, parse_api_url, parse_host, parse_public_url, sip_host_of
from sipagent.config.values import BadValueError


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("https://phone.example.com", "https://phone.example.com"),
        (" https://phone.example.com:8443/desk/ ", "https://phone.example.com:8443/desk"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("https://carriers.example.com", "https://carriers.example.com"),
        ("${PUBLIC_URL}", "${PUBLIC_URL}"),
    ],
)
def test_where_carriers_reach_us(written: str, read: str) -> None:
    assert parse_public_url(written) == read


@pytest.mark.parametrize(
    ("written", "remedy"),
    [
        ("phone.example.com", 'Write "https://phone.example.com".'),
        ("http://phone.example.com", 'Write "https://phone.example.com": numbers of callers travel there.'),
        ("https://phone.example.com/carriers/twilio/voice", 'Write "https://phone.example.com".'),
        ("phone.example.com/webhooks/openai", 'Write "https://phone.example.com".'),
        ("https://phone.example.com/?a=b", 'Write "https://phone.example.com".'),
        ("https://phone.example.com#a", 'Write "https://phone.example.com".'),
        ("https://dana:secret@phone.example.com", "Remove them."),
        ("https://${HOST}", "Let the variable hold all of it."),
        ("wss://phone.example.com", 'Write "https://HOST", where carriers reach this service.'),
        ("https://phone.example.com:port", 'Write "https://HOST", where carriers reach this service.'),
        ("https://phone example.com", 'Write "https://HOST", where carriers reach this service.'),
        ("https://", 'Write "https://HOST", where carriers reach this service.'),
        ("", 'Write "https://HOST", where carriers reach this service.'),
        (8080, 'Write "https://HOST", where carriers reach this service.'),
        ("${env:URL}", "Write ${URL}."),
    ],
)
def test_where_they_do_not(written: object, remedy: str) -> None:
    with pytest.raises(BadValueError) as raised:
        parse_public_url(written)
    assert raised.value.remedy == remedy
    assert "secret" not in raised.value.message


def test_the_address_of_an_api() -> None:
    assert parse_api_url("https://api.dublin.ie1.twilio.com/") == "https://api.dublin.ie1.twilio.com"
    assert parse_api_url("http://127.0.0.1:9000") == "http://127.0.0.1:9000"
    with pytest.raises(BadValueError, match="is not https"):
        parse_api_url("http://api.twilio.com")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("sip.api.openai.com", "sip.api.openai.com"),
        ("127.0.0.1", "127.0.0.1"),
        ("edge", "edge"),
        ("::1", "[::1]"),
        ("[2001:db8::1]", "[2001:db8::1]"),
    ],
)
def test_a_host(written: str, read: str) -> None:
    assert parse_host(written) == read


@pytest.mark.parametrize(
    ("written", "remedy"),
    [
        ("sip:proj_demo@sip.api.openai.com", "Write the host alone; the project stands in `project:`."),
        ("sip.api.openai.com:5061", "Write `host: sip.api.openai.com` and `port: 5061`."),
        ("sip.api.openai.com;transport=tls", "Write a name such as sip.api.openai.com."),
        ("", "Write a name such as sip.api.openai.com."),
        (None, "Write a name such as sip.api.openai.com."),
    ],
)
def test_no_host(written: object, remedy: str) -> None:
    with pytest.raises(BadValueError) as raised:
        parse_host(written)
    assert raised.value.remedy == remedy


def test_the_sip_host_of_an_api() -> None:
    assert sip_host_of("https://api.openai.com/v1") == "sip.api.openai.com"
    assert sip_host_of("https://eu.api.openai.com/v1") == "sip-eu.api.openai.com"
    assert sip_host_of("http://127.0.0.1:8000/v1") is None


def test_this_machine() -> None:
    assert all(is_loopback(host) for host in ("localhost", "127.0.0.1", "127.9.9.9", "::1"))
    assert not any(is_loopback(host) for host in ("10.0.0.1", "phone.example.com", "localhost.example.com"))
