"""What texts can name: the business, own values, and values fetched before the answer."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sipagent.calls.lookup import LONGEST_TIMEOUT_S
from sipagent.config.schema.base import Duration, Entry, Text, refuse
from sipagent.config.schema.calendars import Zone
from sipagent.config.schema.http_tool import JsonBody
from sipagent.config.schema.language import LanguageTag
from sipagent.config.schema.web import Headers, Pointer, WebUrl

VariableName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]*$")]


class BusinessEntry(Entry):
    """Whose telephone it is."""

    name: Text | None = None
    """``{{business.name}}``."""
    timezone: Zone | None = None
    """Its clock, by the IANA name; ``{{now}}`` is on it."""
    language: LanguageTag | None = None
    """The language that it speaks, where an agent says nothing else."""


class LookupEntry(Entry):
    """Values that are fetched over HTTP while the telephone rings."""

    url: WebUrl
    """``{{variables}}`` stand in the path or the query, and are escaped there."""
    method: Literal["GET", "POST"] = "GET"
    """Of the request."""
    headers: Headers = Field(default_factory=dict)
    """Sent with it; secrets only as ``${NAME}`` or ``${file:…}``."""
    body: JsonBody = None
    """Sent as JSON by a POST; its texts may hold ``{{variables}}``."""
    timeout_s: Duration = Field(default=1.0, alias="timeout")
    """How long the caller hears ringing for it, at most."""
    take: dict[VariableName, Pointer] = Field(min_length=1)
    """What of the answer is kept, and where it stands: ``{name: /customer/name}``."""
    defaults: dict[VariableName, str] = Field(default_factory=dict)
    """What stands for a value that could not be had."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.method == "GET" and self.body is not None:
            raise refuse("A GET has no body.", "Write `method: POST`, or remove `body`.", at=("body",))
        if self.timeout_s > LONGEST_TIMEOUT_S:
            raise refuse(
                f"`timeout` is {self.timeout_s:g} s, and the caller hears ringing all the while.",
                f"Write at most {LONGEST_TIMEOUT_S:g}s.",
                at=("timeout",),
            )
        return self
