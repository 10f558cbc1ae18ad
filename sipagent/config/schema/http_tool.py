"""A tool that is an HTTP request."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, WithJsonSchema, model_validator

from sipagent.config.schema.base import Name, Text, ToolName, refuse, word_or_mapping
from sipagent.config.schema.json_schema import ArgumentSchema
from sipagent.config.schema.tool_manners import ToolManners
from sipagent.config.schema.web import Headers, Pointer, Sendable, WebUrl

JsonBody = Annotated[Any, WithJsonSchema({})]


class HttpTool(ToolManners):
    """An HTTP request the model may have made."""

    name: ToolName
    """What the model calls it."""
    description: Text
    """When the model should use it, and what it gets."""
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"] = "GET"
    """Of the request."""
    url: WebUrl
    """``{argument}`` and ``{{variable}}`` stand in the path or the query, and are escaped there."""
    headers: Headers = Field(default_factory=dict)
    """Sent with it; secrets only as ``${NAME}`` or ``${file:…}``."""
    query: dict[Text, Sendable] = Field(default_factory=dict)
    """Put behind the URL."""
    body: JsonBody = None
    """Sent as JSON; a text that is one ``{argument}`` alone keeps the argument's type."""
    arguments: dict[ToolName, ArgumentSchema] = Field(default_factory=dict)
    """What the model must say: JSON Schema of each argument."""
    required: list[ToolName] | None = None
    """Which arguments may not be missing; by default all that have no ``default``."""
    result: (
        Annotated[
            Annotated[Pointer, Tag("word")]
            | Annotated[Annotated[dict[Name, Pointer], Field(min_length=1)], Tag("mapping")],
            Discriminator(word_or_mapping),
        ]
        | None
    ) = None
    """What of the answer the model gets; by default all of it."""
    retries: Annotated[int, Field(ge=0, le=5)] = 0
    """How often it is tried again after a failure; only where repeating does no harm."""
    idempotent: bool | None = None
    """Whether repeating does no harm; by default so for GET, HEAD, PUT and DELETE."""

    @model_validator(mode="after")
    def _body_fits_method(self) -> Self:
        if self.body is not None and self.method in ("GET", "HEAD"):
            raise refuse(
                f"A {self.method} has no body.",
                "Put it below `query:`, or write `method: POST`.",
                at=("body",),
            )
        return self
