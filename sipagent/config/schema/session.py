"""The keys that become the session of the Realtime API: where that has a name and a unit, so do we."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from sipagent.config.schema.base import Entry, Text, false_is_off, refuse, word_as, word_or_mapping

MAXIMUM_OUTPUT_TOKENS = 4096
"""What the API allows as a number; more is written as ``inf``."""

Effort = Literal["minimal", "low", "medium", "high", "xhigh"]
Distance = Literal["near_field", "far_field"]


class CustomVoice(Entry):
    """A voice made for an organisation."""

    id: Text
    """As the API names it: ``voice_…``."""


class ServerVad(Entry):
    """The API decides by loudness that the caller has finished."""

    type: Literal["server_vad"]
    """By loudness."""
    threshold: float = Field(default=0.5, ge=0, le=1)
    """Higher needs a louder caller."""
    prefix_padding_ms: int = Field(default=300, ge=0, le=5000)
    """Sound kept from before the first word, in milliseconds."""
    silence_duration_ms: int = Field(default=500, ge=0, le=10_000)
    """Quiet that ends a turn, in milliseconds."""
    idle_timeout_ms: int | None = Field(default=None, ge=5000, le=30_000)
    """The agent speaks when nobody has for so long, in milliseconds."""
    create_response: bool = True
    """Whether the agent answers as soon as the caller has finished."""
    interrupt_response: bool = True
    """Whether a caller who speaks silences the agent."""


class SemanticVad(Entry):
    """The API decides by the words that the caller has finished."""

    type: Literal["semantic_vad"]
    """By the words."""
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    """How soon the agent takes its turn."""
    create_response: bool = True
    """Whether the agent answers as soon as the caller has finished."""
    interrupt_response: bool = True
    """Whether a caller who speaks silences the agent."""


class Transcription(Entry):
    """How what the caller says becomes text; the model itself hears the sound."""

    model: Text = "gpt-transcribe"
    """Name of the transcription model."""
    language: Text | None = None
    """The language that is spoken, where it is one: ``en``."""
    languages: list[Text] | None = None
    """The languages that may be spoken."""
    keywords: list[Text] | None = None
    """Names and terms that are said on this line."""
    prompt: Text | None = None
    """What the conversation is about, for models that read it."""
    delay: Effort | None = None
    """More delay, fewer mistakes; for models that stream."""


class NoiseReduction(Entry):
    """Filters the caller's sound before the model hears it."""

    type: Distance
    """How far the caller's mouth is from the microphone."""
    strength: float | None = Field(default=None, ge=0, le=1)
    """How much is filtered."""


class Reasoning(Entry):
    """More effort, more silence before the agent speaks."""

    effort: Effort
    """How long the model may think."""


class RetainedContext(Entry):
    """How much of a conversation that grew too long is kept."""

    retention_ratio: float = Field(ge=0, le=1)
    """The share that is kept."""
    token_limit: int | None = Field(default=None, ge=0)
    """How long a conversation may grow after its instructions, in tokens."""


def _output_tokens(value: object) -> object:
    if value == "inf":
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAXIMUM_OUTPUT_TOKENS:
        return value
    raise refuse(
        f"{value!r} is no limit of tokens.", f"Write a number from 1 to {MAXIMUM_OUTPUT_TOKENS}, or inf."
    )


def _switched(key: str, what: str) -> Any:
    expand = word_as(key, what=what)
    return lambda value: expand(false_is_off(value))


class SessionKeys(Entry):
    """Model, voice and sound."""

    model: Text = "gpt-realtime-2.1"
    """Name of the Realtime model; on Azure, of the deployment."""
    voice: Annotated[
        Annotated[Text, Tag("word")] | Annotated[CustomVoice, Tag("mapping")], Discriminator(word_or_mapping)
    ] = "marin"
    """Name of a voice, or ``{id: voice_…}`` for one of your own."""
    speed: float = Field(default=1.0, ge=0.25, le=1.5)
    """How fast the agent speaks."""
    audio_format: Literal["g711_ulaw", "g711_alaw", "negotiated"] = "g711_ulaw"
    """The sound of the call; ``negotiated`` leaves it to the SIP call."""
    truncation: Annotated[
        Annotated[Literal["auto", "disabled"], Tag("word")] | Annotated[RetainedContext, Tag("mapping")],
        Discriminator(word_or_mapping),
    ] = "auto"
    """What happens when a conversation outgrows the model."""
    transcription: Annotated[
        Transcription | None,
        BeforeValidator(false_is_off, json_schema_input_type=Transcription | Literal[False] | None),
    ] = Transcription()
    """Turns the caller's words into text; ``false`` switches it off."""
    turn_detection: Annotated[ServerVad | SemanticVad, Field(discriminator="type")] = ServerVad(
        type="server_vad"
    )
    """When the caller has finished."""
    noise_reduction: Annotated[
        NoiseReduction | None,
        BeforeValidator(
            _switched("type", "noise reduction"),
            json_schema_input_type=Distance | NoiseReduction | Literal[False] | None,
        ),
    ] = None
    """Filters the caller's sound: ``near_field``, ``far_field``, or ``false`` for none."""
    max_output_tokens: Annotated[
        int | Literal["inf"],
        BeforeValidator(
            _output_tokens,
            json_schema_input_type=Annotated[int, Field(ge=1, le=MAXIMUM_OUTPUT_TOKENS)] | Literal["inf"],
        ),
    ] = "inf"
    """What one response may hold, its tool calls included, in tokens."""
    reasoning: Annotated[
        Reasoning | None,
        BeforeValidator(
            _switched("effort", "effort of reasoning"),
            json_schema_input_type=Effort | Reasoning | Literal[False] | None,
        ),
    ] = None
    """How long the model may think: more effort is more silence before the agent speaks."""
    tool_choice: Text = "auto"
    """``auto``, ``none``, ``required``, or the name of one of the agent's tools."""
