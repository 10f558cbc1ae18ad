"""The tools that an agent may be given: Python, HTTP, MCP, and those of the telephone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, Discriminator, Field, Tag, WithJsonSchema, model_validator

from sipagent.calls.tools.digits import MOST_DIGITS
from sipagent.config.schema.base import (
    Duration,
    Entry,
    Name,
    Text,
    ToolName,
    exactly_one_of,
    false_is_off,
    parsed_by,
    refuse,
    shown,
    word_or_mapping,
)
from sipagent.config.schema.json_schema import ArgumentSchema
from sipagent.config.schema.patterns import Pattern
from sipagent.config.schema.web import Headers, Pointer, Sendable, WebUrl
from sipagent.config.values import PythonReference, closest, parse_reference

WORDS = ("hang_up", "transfer", "send_to_agent", "set_language")
"""Tools that need nothing but their name."""
_KINDS = ("python", "http", "mcp", "collect_digits", "take_message")

JsonBody = Annotated[Any, WithJsonSchema({})]


class ToolManners(Entry):
    """How a tool behaves towards the caller who waits for it."""

    timeout_s: Duration | None = Field(default=None, alias="timeout")
    """The model is told that the tool failed when it takes longer; the caller hears silence meanwhile."""
    filler: Text | None = None
    """Said when the tool takes longer than its ``patience``: ``One moment.``"""
    patience_s: Duration | None = Field(default=None, alias="patience")
    """How long a tool may take before its ``filler`` is said."""
    confirm: Text | None = None
    """Asked of the caller before the tool runs: ``Shall I book that?``"""
    side_effects: bool | None = None
    """It changes something in the world, so it runs at most once for the same arguments; by default so for
    HTTP requests other than GET and HEAD."""

    @model_validator(mode="after")
    def _patience_for_a_filler(self) -> Self:
        if self.patience_s is not None and self.filler is None:
            raise refuse(
                "`patience` has no `filler` to wait for.", "Add `filler:` with words to say, or remove it."
            )
        return self


class PythonTool(ToolManners):
    """A Python function the model may call."""

    python: Annotated[
        PythonReference,
        parsed_by(
            parse_reference, pattern=r"^[^:\s]+:[^:\s]+$", examples=["harbor_dental.tools:next_free_slot"]
        ),
    ]
    """Module and function, with a colon between them."""
    name: ToolName | None = None
    """What the model calls it; by default the function's name."""
    description: Text | None = None
    """What the model is told about it; by default the function's docstring."""


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
    """Names the server in logs and records."""
    hosted: HostedMcp | None = None
    """The API calls the tools itself."""
    command: Annotated[list[Text], Field(min_length=1)] | None = None
    """A program that is started here, and spoken to over its standard input and output."""
    env: dict[Text, Sendable] = Field(default_factory=dict)
    """Variables of the program's environment."""
    url: WebUrl | None = None
    """A server that is spoken to over HTTP from here."""
    headers: Headers = Field(default_factory=dict)
    """Sent with each request to ``url``."""
    allowed_tools: list[Text] | None = None
    """Which of its tools the model may use; by default all."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        written = [f"`{key}`" for key in ("hosted", "command", "url") if getattr(self, key) is not None]
        if len(written) > 1:
            raise refuse(f"{' and '.join(written)} stand side by side.", "Keep one of them.")
        if not written:
            raise refuse("There is no server.", "Write `hosted:`, `command:` or `url:`.")
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


class DigitsBetween(Entry):
    """How many digits there may be."""

    min: int = Field(ge=1, le=MOST_DIGITS)
    """At least so many."""
    max: int = Field(ge=1, le=MOST_DIGITS)
    """At most so many."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min > self.max:
            raise refuse(
                f"No number has at least {self.min} and at most {self.max} digits.", "Swap min and max."
            )
        return self


class CollectDigits(Entry):
    """Digits that the caller types on the telephone."""

    name: ToolName
    """What the model calls it, and what is collected: ``customer_number``."""
    description: Text | None = None
    """When the model should use it."""
    prompt: Text | None = None
    """Said before each attempt; without one the agent asks by itself."""
    length: Annotated[
        DigitsBetween,
        BeforeValidator(
            lambda value: _digits(value),
            json_schema_input_type=Annotated[int, Field(ge=1, le=MOST_DIGITS)] | DigitsBetween,
        ),
    ] = DigitsBetween(min=1, max=20)
    """How many digits: ``6``, or ``{min: 4, max: 8}``."""
    end_key: Annotated[
        Literal["#", "*"] | None,
        BeforeValidator(false_is_off, json_schema_input_type=Literal["#", "*", False] | None),
    ] = "#"
    """The key that ends the input; ``false`` for none."""
    first_timeout_s: Duration = Field(default=10.0, alias="timeout")
    """How long the first digit may take."""
    digit_timeout_s: Duration = Field(default=4.0, alias="digit_timeout")
    """How long each further digit may take."""
    pattern: Pattern = "[0-9]+"
    """A regular expression that all digits together must fit."""
    masked: bool = False
    """The digits reach neither the model nor a record; other tools have them as ``{{digits.NAME}}``."""
    reveal_last: int = Field(default=0, ge=0, le=MOST_DIGITS)
    """Of masked digits, so many from the end are shown all the same."""
    attempts: int = Field(default=3, ge=1, le=10)
    """How often the caller is asked."""
    try_again: Text | None = None
    """Said before the prompt when an attempt failed."""

    @model_validator(mode="after")
    def _hides_something(self) -> Self:
        if self.reveal_last >= self.length.min:
            raise refuse(
                f"`reveal_last` shows {self.reveal_last} digits, and there may be only {self.length.min}.",
                "Show fewer.",
                at=("reveal_last",),
            )
        if self.reveal_last and not self.masked:
            raise refuse("`reveal_last` is for masked digits.", "Add `masked: true`.", at=("reveal_last",))
        return self


class Notification(Entry):
    """Who is told over HTTP."""

    url: WebUrl
    """Where a POST with JSON goes."""
    headers: Headers = Field(default_factory=dict)
    """Sent with it; secrets only as ``${NAME}`` or ``${file:…}``."""
    timeout_s: Duration = Field(default=5.0, alias="timeout")
    """How long all attempts together may take."""
    retries: int = Field(default=2, ge=0, le=5)
    """How often it is tried again."""
    idempotent: bool = False
    """Whether the server takes a message once that it gets twice with the same ``Idempotency-Key``."""


class TakeMessage(Entry):
    """A message that the caller leaves. It is always kept in the call's record."""

    name: ToolName = "take_message"
    """What the model calls it."""
    description: Text | None = None
    """When the model should use it."""
    fields: dict[ToolName, Text] = Field(min_length=1)
    """What is asked for, and what each means: ``{name: who is calling}``."""
    notify: Notification | None = None
    """Who is told."""


def _inside(kind: str, model: type[BaseModel]) -> dict[str, str]:
    """Hints for keys of ``model`` that were written one level too far out."""
    return {
        info.alias or name: f"Indent it two steps below `{kind}:`."
        for name, info in model.model_fields.items()
    }


class HttpToolEntry(Entry):
    """An HTTP request the model may have made."""

    hints: ClassVar[Mapping[str, str]] = _inside("http", HttpTool)

    http: HttpTool
    """What is asked, and what the model gets of the answer."""


class McpToolEntry(Entry):
    """The tools of an MCP server."""

    hints: ClassVar[Mapping[str, str]] = _inside("mcp", McpTool)

    mcp: McpTool
    """Where the server is."""


class CollectDigitsEntry(Entry):
    """Digits that the caller types on the telephone."""

    hints: ClassVar[Mapping[str, str]] = _inside("collect_digits", CollectDigits)

    collect_digits: CollectDigits
    """What is collected, and how."""


class TakeMessageEntry(Entry):
    """A message that the caller leaves."""

    hints: ClassVar[Mapping[str, str]] = _inside("take_message", TakeMessage)

    take_message: TakeMessage
    """What is asked for, and who is told."""


_ENTRIES: Mapping[str, type[BaseModel]] = {
    "python": PythonTool,
    "http": HttpToolEntry,
    "mcp": McpToolEntry,
    "collect_digits": CollectDigitsEntry,
    "take_message": TakeMessageEntry,
}


def _digits(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return {"min": value, "max": value}
    if isinstance(value, dict | BaseModel):
        return value
    raise refuse(f"{shown(value)} is no number of digits.", "Write a number, or {min: 4, max: 8}.")


def _look_at_kind(value: object) -> object:
    """Says what is wrong with a tool of which nobody can tell what it is."""
    remedy = f"Write {', '.join(WORDS)}, or one of {', '.join(f'`{kind}:`' for kind in _KINDS)}."
    match value:
        case BaseModel():
            pass
        case str() if value in _KINDS:
            raise refuse(
                f"`{value}` alone says too little.", f"Write `- {value}:` and below it what it needs."
            )
        case str() if value not in WORDS:
            close = closest(value, (*WORDS, *_KINDS))
            raise refuse(f"There is no tool `{value}`.", f"Did you mean `{close}`?" if close else remedy)
        case dict():
            kinds = [f"`{kind}`" for kind in _KINDS if kind in value]
            words = [word for word in WORDS if word in value]
            if len(kinds) > 1:
                raise refuse(f"{' and '.join(kinds)} stand side by side.", "Begin a new `- ` for each tool.")
            if words:
                raise refuse(
                    f"`{words[0]}` takes no settings here.", f"Write `- {words[0]}` without a colon."
                )
            if not kinds and _tag(value) is None:
                raise refuse("This is no tool.", remedy)
        case str():
            pass
        case _:
            raise refuse(f"{shown(value)} is no tool.", remedy)
    return value


def _tag(value: object) -> str | None:
    """The tag of the union's member. Its brackets keep it from being taken for a key of the file."""
    if isinstance(value, dict):
        kind = next((kind for kind in _KINDS if kind in value), None)
        # Whoever misspells the kind is told so by its mapping, which knows the key.
        kind = kind or next((close for key in value if (close := closest(str(key), _KINDS))), None)
        return None if kind is None else f"<{kind}>"
    if isinstance(value, BaseModel):
        return next(f"<{kind}>" for kind, entry in _ENTRIES.items() if isinstance(value, entry))
    return "word"


ToolEntry = Annotated[
    Annotated[Literal["hang_up", "transfer", "send_to_agent", "set_language"], Tag("word")]
    | Annotated[PythonTool, Tag("<python>")]
    | Annotated[HttpToolEntry, Tag("<http>")]
    | Annotated[McpToolEntry, Tag("<mcp>")]
    | Annotated[CollectDigitsEntry, Tag("<collect_digits>")]
    | Annotated[TakeMessageEntry, Tag("<take_message>")],
    Discriminator(_tag),
    BeforeValidator(_look_at_kind),
]
