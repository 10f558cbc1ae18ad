"""What the environment says of an account, as it stands: for whoever examines it rather than uses it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files

from sipagent.config.environment import read_database_url


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSeen:
    """Values without blanks around them; "" is what is not set. Nothing here was checked."""

    api_key: str = field(default="", repr=False)
    webhook_secrets: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Name of the variable and its value, for those that are set."""
    project: str = ""
    """``OPENAI_PROJECT_ID``: ``proj_…``."""
    base_url: str = ""
    """``OPENAI_BASE_URL``, as it was written."""
    database_url: str = field(repr=False)
    """May hold a password."""


def environment_text() -> str:
    """A file with every variable that the service reads, empty and explained: ``.env.example``."""
    return files("sipagent.config").joinpath("env.example").read_text(encoding="utf-8")


def see_account(variables: Mapping[str, str] | None = None) -> AccountSeen:
    """Read ``variables``, by default those of the process. Raises nothing."""
    variables = os.environ if variables is None else variables
    names = ("OPENAI_WEBHOOK_SECRET", "OPENAI_WEBHOOK_SECRET_PREVIOUS")
    secrets = ((name, variables.get(name, "").strip()) for name in names)
    return AccountSeen(
        api_key=variables.get("OPENAI_API_KEY", "").strip(),
        webhook_secrets=tuple((name, value) for name, value in secrets if value),
        project=variables.get("OPENAI_PROJECT_ID", "").strip(),
        base_url=variables.get("OPENAI_BASE_URL", "").strip(),
        database_url=read_database_url(variables),
    )
