"""The configuration file as types: every key there is, what it may hold, and what it means.

Keys of `defaults` and of an agent are the same; an agent inherits each key it does not write. Where a key
of the Realtime API exists, ours has its name and its unit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

from sipagent.config.values import (
    BadValueError,
    PythonReference,
    parse_azure_resource,
    parse_base_url,
    parse_duration_s,
    parse_e164,
    parse_reference,
    parse_transfer_uri,
)
from sipagent.realtime.provider import DEFAULT_BASE_URL, OpenAIRegion, openai_provider

MAXIMUM_OUTPUT_TOKENS = 4096
"""What the API allows as a number; more is written as ``inf``."""


class ModelsSeen:
    """Which model read which mapping, so that an unknown key can be compared with the known ones."""

    def __init__(self) -> None:
        self._models: dict[int, type[BaseModel]] = {}

    def note(self, mapping: dict[str, Any], model: type[BaseModel]) -> None:
        """Remember that ``model`` read ``mapping``; the mapping must outlive this object."""
        self._models[id(mapping)] = model

    def known_keys(self, mapping: object) -> tuple[str, ...]:
        """The keys that ``mapping`` may hold, or none when no model has read it."""
        model = self._models.get(id(mapping))
        if model is None:
            return ()
        return tuple(info.alias or name for name, info in model.model_fields.items())


# Helpers for annotations ---------------------------------------------------------------------------


def _refuse(message: str, remedy: str) -> PydanticCustomError:
    return PydanticCustomError("configuration", "{said}", {"said": message, "remedy": remedy})


def _parsed_by(parse: Callable[[object], Any]) -> BeforeValidator:
    def validate(value: object) -> Any:
        try:
            return parse(value)
        except BadValueError as error:
            raise _refuse(error.message, error.remedy) from error

    return BeforeValidator(validate)


def _false_is_off(value: object) -> object:
    return None if value is False else value


def _not_empty(value: object) -> object:
    if value is None:
        raise ValueError("a key without a value")
    return value


def _word_as(key: str) -> Callable[[object], object]:
    def expand(value: object) -> object:
        return {key: value} if isinstance(value, str) else _false_is_off(value)

    return expand


def _word_or_mapping(value: object) -> str:
    return "mapping" if isinstance(value, dict | BaseModel) else "word"


def _tool_kind(value: object) -> str | None:
    if isinstance(value, dict | BaseModel):
        return "mapping"
    return "word" if value in ("hang_up", "transfer") else None


def _output_tokens(value: object) -> object:
    if value == "inf":
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAXIMUM_OUTPUT_TOKENS:
        return value
    raise _refuse(
        f"{value!r} is no limit of tokens.", f"Write a number from 1 to {MAXIMUM_OUTPUT_TOKENS}, or inf."
    )


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
"""Letters, digits, dash and underscore: names travel into logs, metrics and tool schemas."""


class Entry(BaseModel):
    """A mapping of the file: unknown keys are mistakes, and nothing is converted silently."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, arbitrary_types_allowed=True
    )

    @model_validator(mode="before")
    @classmethod
    def _note_mapping(cls, data: Any, info: ValidationInfo) -> Any:
        if isinstance(info.context, ModelsSeen) and isinstance(data, dict):
            info.context.note(data, cls)
        return data


# What an agent is made of --------------------------------------------------------------------------


class CustomVoice(Entry):
    """A voice made for an organisation."""

    id: Text


class ServerVad(Entry):
    """The API decides by loudness that the caller has finished."""

    type: Literal["server_vad"]
    threshold: float = Field(default=0.5, ge=0, le=1)
    prefix_padding_ms: int = Field(default=300, ge=0, le=5000)
    silence_duration_ms: int = Field(default=500, ge=0, le=10_000)
    idle_timeout_ms: int | None = Field(default=None, ge=5000, le=30_000)
    create_response: bool = True
    interrupt_response: bool = True


class SemanticVad(Entry):
    """The API decides by the words that the caller has finished."""

    type: Literal["semantic_vad"]
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    create_response: bool = True
    interrupt_response: bool = True


class Transcription(Entry):
    """How what the caller says becomes text; the model itself hears the sound."""

    model: Text = "gpt-transcribe"
    language: Text | None = None
    languages: list[Text] | None = None
    keywords: list[Text] | None = None
    prompt: Text | None = None
    delay: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None


class NoiseReduction(Entry):
    """Filters the caller's sound before the model hears it."""

    type: Literal["near_field", "far_field"]
    strength: float | None = Field(default=None, ge=0, le=1)


class Reasoning(Entry):
    """More effort, more silence before the agent speaks."""

    effort: Literal["minimal", "low", "medium", "high", "xhigh"]


class RetainedContext(Entry):
    """How much of a conversation that grew too long is kept."""

    retention_ratio: float = Field(ge=0, le=1)
    token_limit: int | None = Field(default=None, ge=0)


class PythonTool(Entry):
    """A Python function the model may call."""

    python: Annotated[PythonReference, _parsed_by(parse_reference)]
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = None
    description: Text | None = None
    timeout_s: Annotated[float, _parsed_by(parse_duration_s)] | None = Field(default=None, alias="timeout")


class TransferEntry(Entry):
    """Somewhere a call may be sent. The model learns its name and description, never the address."""

    to: Annotated[str, _parsed_by(parse_transfer_uri)]
    description: Text


ToolEntry = Annotated[
    Annotated[Literal["hang_up", "transfer"], Tag("word")] | Annotated[PythonTool, Tag("mapping")],
    Discriminator(
        _tool_kind,
        custom_error_type="tool_kind",
        custom_error_message="This is no tool.",
        custom_error_context={"remedy": "Write hang_up, transfer, or `python: module:function`."},
    ),
]


class AgentKeys(Entry):
    """The keys of `defaults` and of each agent."""

    model: Text = "gpt-realtime-2.1"
    voice: Annotated[
        Annotated[Text, Tag("word")] | Annotated[CustomVoice, Tag("mapping")], Discriminator(_word_or_mapping)
    ] = "marin"
    speed: float = Field(default=1.0, ge=0.25, le=1.5)
    greeting: Text | None = None
    instructions: Text | None = None
    instructions_file: Text | None = None
    tools: list[ToolEntry] = Field(default_factory=list)
    transfer: dict[Name, TransferEntry] = Field(default_factory=dict)
    audio_format: Literal["g711_ulaw", "g711_alaw", "negotiated"] = "g711_ulaw"
    truncation: Annotated[
        Annotated[Literal["auto", "disabled"], Tag("word")] | Annotated[RetainedContext, Tag("mapping")],
        Discriminator(_word_or_mapping),
    ] = "auto"
    transcription: Annotated[Transcription | None, BeforeValidator(_false_is_off)] = Transcription()
    turn_detection: Annotated[ServerVad | SemanticVad, Field(discriminator="type")] = ServerVad(
        type="server_vad"
    )
    noise_reduction: Annotated[NoiseReduction | None, BeforeValidator(_word_as("type"))] = None
    max_output_tokens: Annotated[int | Literal["inf"], BeforeValidator(_output_tokens)] = "inf"
    reasoning: Annotated[Reasoning | None, BeforeValidator(_word_as("effort"))] = None
    tool_choice: Text = "auto"
    """``auto``, ``none``, ``required``, or the name of one of the agent's tools."""


class RouteEntry(Entry):
    """Who answers: an agent, and the conditions under which."""

    agent: Text
    to: Annotated[str, _parsed_by(parse_e164)] | None = None


class ApiEntry(Entry):
    """Where the Realtime API is: one of the keys, or OpenAI's own address.

    A key without a value is a mistake: a call must not go somewhere else because a region was forgotten.
    """

    region: Annotated[OpenAIRegion | None, BeforeValidator(_not_empty)] = None
    """Where the project keeps its data."""
    azure: Annotated[Annotated[str, _parsed_by(parse_azure_resource)] | None, BeforeValidator(_not_empty)] = (
        None
    )
    base_url: Annotated[Annotated[str, _parsed_by(parse_base_url)] | None, BeforeValidator(_not_empty)] = None

    @model_validator(mode="after")
    def _only_one(self) -> Self:
        written = [f"`{name}`" for name in ("region", "azure", "base_url") if getattr(self, name) is not None]
        if len(written) > 1:
            raise _refuse(f"{' and '.join(written)} stand side by side.", "Keep one of them.")
        return self

    @property
    def address(self) -> str:
        """The REST base, without a slash at the end."""
        if self.region is not None:
            return openai_provider(self.region).base_url
        return self.azure or self.base_url or DEFAULT_BASE_URL


class Configuration(Entry):
    """The whole file."""

    version: Literal[1]
    openai: ApiEntry = ApiEntry()
    defaults: AgentKeys = AgentKeys()
    agents: dict[Name, AgentKeys] = Field(min_length=1)
    routes: list[RouteEntry] = Field(min_length=1)
