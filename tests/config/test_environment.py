from __future__ import annotations

import logging

import pytest

from sipagent.config.environment import (
    DEFAULT_DATABASE_URL,
    Environment,
    read_base_url,
    read_database_url,
)
from sipagent.errors import UserError

NEEDED = {"OPENAI_API_KEY": "key-of-the-test", "OPENAI_WEBHOOK_SECRET": "whsec_c2VjcmV0IG9uZQ=="}


def test_the_defaults() -> None:
    environment = Environment.read(NEEDED)
    assert environment.openai_api_key == "key-of-the-test"
    assert environment.webhook_secrets == ("whsec_c2VjcmV0IG9uZQ==",)
    assert environment.database_url == DEFAULT_DATABASE_URL
    assert environment.log_json is False
    assert environment.log_level == logging.INFO


def test_everything_can_be_set() -> None:
    environment = Environment.read(
        {
            **NEEDED,
            "OPENAI_WEBHOOK_SECRET_PREVIOUS": "plain secret",
            "OPENAI_BASE_URL": "http://127.0.0.1:9/v1/",
            "SIPAGENT_DATABASE_URL": "postgresql://user:hunter2@db/calls",
            "SIPAGENT_LOG_JSON": "1",
            "SIPAGENT_LOG_LEVEL": "debug",
        }
    )
    assert environment.webhook_secrets == ("whsec_c2VjcmV0IG9uZQ==", "plain secret")
    assert environment.log_json is True
    assert environment.log_level == logging.DEBUG
    assert environment.secrets == ("key-of-the-test", "whsec_c2VjcmV0IG9uZQ==", "plain secret", "hunter2")


def test_the_variables_of_the_process_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SIPAGENT_DATABASE_URL", "sqlite:///elsewhere.db")
    assert Environment.read().openai_api_key == "key-of-the-test"
    assert read_database_url() == "sqlite:///elsewhere.db"


def test_azure_needs_only_its_endpoint() -> None:
    written = {"OPENAI_BASE_URL": "https://harbor.openai.azure.com/"}
    assert read_base_url(written) == "https://harbor.openai.azure.com/openai/v1"


def test_whether_a_base_url_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_base_url({}) is read_base_url({"OPENAI_BASE_URL": " "}) is None
    assert read_base_url({"OPENAI_BASE_URL": " http://127.0.0.1:9/v1/ "}) == "http://127.0.0.1:9/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:8/v1")
    assert read_base_url() == "http://127.0.0.1:8/v1"


def test_nothing_shows_a_secret() -> None:
    environment = Environment.read({**NEEDED, "SIPAGENT_DATABASE_URL": "postgresql://user:hunter2@db/calls"})
    shown = f"{environment!r} {environment}"
    assert not [secret for secret in environment.secrets if secret in shown]


def test_all_that_is_missing_is_named_at_once() -> None:
    with pytest.raises(UserError) as caught:
        Environment.read({"OPENAI_API_KEY": "  "})
    assert "OPENAI_API_KEY is not set: create one" in str(caught.value)
    assert "OPENAI_WEBHOOK_SECRET is not set: it is shown once" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("OPENAI_BASE_URL", "api.openai.com/v1", "write a URL"),
        ("OPENAI_BASE_URL", "ftp://example.com", "write a URL"),
        ("OPENAI_BASE_URL", "wss://example.com", "write a URL"),
        ("OPENAI_BASE_URL", "https://example.com:port", "write a URL"),
        ("SIPAGENT_LOG_LEVEL", "loud", "debug, info"),
        ("SIPAGENT_LOG_JSON", "maybe", "1 or 0"),
        ("OPENAI_WEBHOOK_SECRET", "whsec_%", "no base64"),
        ("OPENAI_WEBHOOK_SECRET_PREVIOUS", "whsec_abc", "no base64"),
    ],
)
def test_what_cannot_be_used_is_named(name: str, value: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        Environment.read({**NEEDED, name: value})
    assert name in str(caught.value)
    assert said in str(caught.value)
    if "SECRET" in name:
        assert value not in str(caught.value)
