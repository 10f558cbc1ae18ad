"""What the environment says: keys, secrets and addresses. The only place that reads it."""

from __future__ import annotations

import base64
import binascii
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from sipagent.config.values import BadValueError, parse_base_url
from sipagent.errors import UserError
from sipagent.realtime.provider import DEFAULT_BASE_URL as DEFAULT_BASE_URL

DEFAULT_DATABASE_URL = "sqlite:///sipagent.db"

_WHERE = {
    "OPENAI_API_KEY": "create one at platform.openai.com under API keys, in the project whose number rings",
    "OPENAI_WEBHOOK_SECRET": "it is shown once when you create the webhook in the project's settings",  # nosec B105
}
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_YES = frozenset({"1", "true", "yes", "on"})
_NO = frozenset({"", "0", "false", "no", "off"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Everything the service needs that does not belong into a file."""

    openai_api_key: str = field(repr=False)
    webhook_secrets: tuple[str, ...] = field(repr=False)
    """The current one first, then the previous one while it is being rotated out."""
    database_url: str = field(repr=False)
    """May hold a password."""
    log_json: bool
    log_level: int
    """As `logging` counts."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every value that may never appear in a log."""
        password = urlsplit(self.database_url).password
        return (self.openai_api_key, *self.webhook_secrets, *([password] if password else []))

    @classmethod
    def read(cls, variables: Mapping[str, str] | None = None) -> Environment:
        """Read ``variables``, by default those of the process; an empty one counts as missing.

        Raises :class:`UserError` that names every variable that is missing or wrong, and never its value
        where that is a secret.
        """
        variables = os.environ if variables is None else variables
        mistakes: list[str] = []

        def value(name: str, default: str = "") -> str:
            return variables.get(name, "").strip() or default

        for name, where in _WHERE.items():
            if not value(name):
                mistakes.append(f"{name} is not set: {where}.")
        secrets = []
        for name in ("OPENAI_WEBHOOK_SECRET", "OPENAI_WEBHOOK_SECRET_PREVIOUS"):
            if secret := value(name):
                secrets.append(secret)
                if secret.startswith("sk-"):
                    mistakes.append(f"{name} holds an API key: set it to the signing secret (whsec_…).")
                elif (mistake := webhook_secret_mistake(secret)) is not None:
                    mistakes.append(f"{name} is damaged: {mistake}. Copy it again, whole.")
        try:
            read_base_url(variables)  # `load_base_url` needs it; a mistake is named with the others
        except UserError as error:
            mistakes.append(str(error))
        level = value("SIPAGENT_LOG_LEVEL", "INFO").upper()
        if level not in _LEVELS:
            mistakes.append(f"SIPAGENT_LOG_LEVEL is {level!r}: write one of {', '.join(_LEVELS).lower()}.")
        as_json = value("SIPAGENT_LOG_JSON").lower()
        if as_json not in _YES | _NO:
            mistakes.append(f"SIPAGENT_LOG_JSON is {as_json!r}: write 1 or 0.")
        if mistakes:
            raise UserError("\n".join(mistakes))
        return cls(
            openai_api_key=value("OPENAI_API_KEY"),
            webhook_secrets=tuple(secrets),
            database_url=read_database_url(variables),
            log_json=as_json in _YES,
            log_level=logging.getLevelNamesMapping()[level],
        )


def read_base_url(variables: Mapping[str, str] | None = None) -> str | None:
    """What ``OPENAI_BASE_URL`` says, without a slash at the end, with the path that Azure needs; None when
    it says nothing. Raises `UserError` when it is no URL."""
    variables = os.environ if variables is None else variables
    written = variables.get("OPENAI_BASE_URL", "").strip()
    try:
        return parse_base_url(written) if written else None
    except BadValueError as error:
        raise UserError(f"OPENAI_BASE_URL is {written!r}: write a URL such as {DEFAULT_BASE_URL}.") from error


def read_database_url(variables: Mapping[str, str] | None = None) -> str:
    """Where calls are remembered; ``SIPAGENT_DATABASE_URL``, or a SQLite file in the current folder."""
    variables = os.environ if variables is None else variables
    return variables.get("SIPAGENT_DATABASE_URL", "").strip() or DEFAULT_DATABASE_URL


def webhook_secret_mistake(secret: str) -> str | None:
    """Why ``secret`` cannot be the signing secret of a webhook; None when it can.

    A secret that cannot be decoded would refuse every webhook, so it is found at start.
    """
    if not secret.startswith("whsec_"):
        return None
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"))
    except binascii.Error:
        key = b""
    return None if key else "what follows whsec_ is no base64"
