"""The tools of an MCP server, which the API asks, or we do."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from sipagent.config.schema.base import Duration, Entry, Name, Text, exactly_one_of, refuse, shown
from sipagent.config.schema.tool_manners import ToolManners
from sipagent.config.schema.web import Headers, Sendable, WebUrl

_OF_OURS = (*ToolManners.model_fields, "start_timeout_s")
"""What nobody heeds when the API calls the tools."""


class HostedMcp(Entry):
    """An MCP server whose tools the API calls itself."""

    model_config = exactly_one_of("server_url", "connector_id")

    server_label: Name
    """Names the server to the model and in records."""
    server_url: WebUrl | None = None
    """Where it is, seen from OpenAI."""
    connector_id: Text | None = None
    """A connector of OpenAI, instead of a URL."""
    authorization: Sendable | None = None
    """An access token, as ``${NAME}`` or ``${file:…}``."""
    headers: Headers = Field(default_factory=dict)
    """Sent with each request; secrets only as ``${NAME}`` or ``${file:…}``."""
    allowed_tools: list[Text] | None = None
    """Which of its tools the model may use; by default all."""
    require_approval: Literal["always", "never"] = "never"
    """Whether a call of a tool waits for an answer; nobody gives one on the telephone."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.server_url is None and self.connector_id is None:
            raise refuse("Nothing says where the server is.", "Add `server_url:` or `connector_id:`.")
        if self.server_url is not None and self.connector_id is not None:
            raise refuse("`server_url` and `connector_id` stand side by side.", "Keep one of them.")
        return self


class McpTool(ToolManners):
    """The tools of an MCP server."""

    model_config = exactly_one_of("hosted", "command", "url")

    name: Name | None = None
    """Names the server in logs and metrics; by default the program's or the host's own name. Entries that say
    the same about a server of one name share it."""
    hosted: HostedMcp | None = None
    """The API calls the tools itself."""
    command: (
        Annotated[
            list[Text],
            Field(min_length=1),
            BeforeValidator(
                lambda value: _no_line(value),
                json_schema_input_type=Annotated[list[Text], Field(min_length=1)],
            ),
        ]
        | None
    ) = None
    """A program that is started here, in the file's folder, and spoken to over its standard input and output;
    ``python`` is the one that the service runs on."""
    env: dict[Text, Sendable] = Field(default_factory=dict)
    """Variables of the program's environment."""
    url: WebUrl | None = None
    """A server that is spoken to over HTTP from here."""
    headers: Headers = Field(default_factory=dict)
    """Sent with each request to ``url``."""
    start_timeout_s: Duration = Field(default=10.0, alias="start_timeout")
    """How long it may take to start or connect, and to list its tools; it is tried again after that."""
    allowed_tools: list[Text] | None = None
    """Which of its tools the model may use; by default all."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        written = [f"`{key}`" for key in ("hosted", "command", "url") if getattr(self, key) is not None]
        if len(written) > 1:
            raise refuse(f"{' and '.join(written)} stand side by side.", "Keep one of them.")
        if not written:
            raise refuse("There is no server.", "Write `hosted:`, `command:` or `url:`.")
        if self.hosted is not None:
            ours = [key for key in _OF_OURS if key in self.model_fields_set]
            if ours:
                key = type(self).model_fields[ours[0]].alias or ours[0]
                raise refuse(
                    f"`{key}` is for servers that are asked from here, and the API asks this one.",
                    "Remove it, or write `command:` or `url:` instead of `hosted:`.",
                    at=(key,),
                )
        if self.env and self.command is None:
            raise refuse(
                "`env` is for a program, and there is no `command`.", "Remove it, or write `headers:`."
            )
        if self.headers and self.url is None:
            raise refuse(
                "`headers` are for a URL, and there is no `url`.",
                "Indent them below `hosted:`, or remove them.",
            )
        return self


def _no_line(value: object) -> object:
    """A command in one line is no command: nobody here splits it as a shell would."""
    if isinstance(value, str):
        words = ", ".join(value.split()) or "program"
        raise refuse(
            f"{shown(value)} is a line, and no list.", f"Write [{words}]: the program, and each argument."
        )
    return value
