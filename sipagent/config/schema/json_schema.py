"""JSON Schema as operators write it for the arguments of a tool: what the model can be told, and no more."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from sipagent.config.schema.base import Entry, Text, ToolName, listed, parsed_by, refuse
from sipagent.config.schema.patterns import Pattern
from sipagent.config.values import BadValueError, closest

JsonType = Literal["string", "number", "integer", "boolean", "array", "object", "null"]
_TYPES = ("string", "number", "integer", "boolean", "array", "object", "null")
_KNOWN_AS = {
    "str": "string", "text": "string", "date": "string", "int": "integer", "float": "number",
    "bool": "boolean", "list": "array", "dict": "object", "map": "object", "none": "null",
}  # fmt: skip


def _json_type(value: object) -> str:
    if isinstance(value, str) and value in _TYPES:
        return value
    if value is None:
        raise BadValueError("nothing is no type.", 'Write "null" in quotes for the type of nothing.')
    meant = _KNOWN_AS.get(str(value).lower()) or closest(str(value), _TYPES)
    remedy = f"Write {meant}." if meant else f"Write one of {', '.join(_TYPES)}."
    raise BadValueError(f"{value!r} is no type of JSON.", remedy)


class ArgumentSchema(Entry):
    """What one argument may be (JSON Schema, draft 2020-12)."""

    model_config = ConfigDict(serialize_by_alias=True)

    type: (
        Annotated[
            list[Annotated[JsonType, parsed_by(_json_type, enum=list(_TYPES))]],
            BeforeValidator(listed, json_schema_input_type=JsonType | list[JsonType]),
        ]
        | None
    ) = None
    """Of which type it is, or of which types."""
    description: Text | None = None
    """What the model should put there."""
    title: Text | None = None
    """A short name."""
    enum: Annotated[list[Any], Field(min_length=1)] | None = None
    """The values there are."""
    const: Any = None
    """The only value there is."""
    default: Any = None
    """What it is where the model says nothing."""
    examples: list[Any] | None = None
    """Some values, to show what is meant."""
    format: Text | None = None
    """What kind of text: ``date``, ``date-time``, ``email``…"""
    pattern: Pattern | None = None
    """A regular expression that the text must fit."""
    min_length: int | None = Field(default=None, ge=0, alias="minLength")
    """Of a text."""
    max_length: int | None = Field(default=None, ge=0, alias="maxLength")
    """Of a text."""
    minimum: float | int | None = None
    """Of a number."""
    maximum: float | int | None = None
    """Of a number."""
    exclusive_minimum: float | int | None = Field(default=None, alias="exclusiveMinimum")
    """A number must be above it."""
    exclusive_maximum: float | int | None = Field(default=None, alias="exclusiveMaximum")
    """A number must be below it."""
    multiple_of: float | int | None = Field(default=None, gt=0, alias="multipleOf")
    """Of what a number is a multiple."""
    items: ArgumentSchema | None = None
    """What an array holds."""
    min_items: int | None = Field(default=None, ge=0, alias="minItems")
    """Of an array."""
    max_items: int | None = Field(default=None, ge=0, alias="maxItems")
    """Of an array."""
    unique_items: bool | None = Field(default=None, alias="uniqueItems")
    """Whether an array may hold nothing twice."""
    properties: dict[ToolName, ArgumentSchema] | None = None
    """What an object holds."""
    required: list[ToolName] | None = None
    """Which properties may not be missing."""
    additional_properties: bool | ArgumentSchema | None = Field(default=None, alias="additionalProperties")
    """Whether an object may hold other properties."""
    any_of: Annotated[list[ArgumentSchema], Field(min_length=1)] | None = Field(default=None, alias="anyOf")
    """It is one of these."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for low, high, words in (
            (self.min_length, self.max_length, "`minLength` is above `maxLength`"),
            (self.minimum, self.maximum, "`minimum` is above `maximum`"),
            (self.min_items, self.max_items, "`minItems` is above `maxItems`"),
        ):
            if low is not None and high is not None and low > high:
                raise refuse(f"{words}: nothing fits.", "Swap them.")
        if self.required and (
            missing := [name for name in self.required if name not in (self.properties or {})]
        ):
            raise refuse(
                f"`required` names `{missing[0]}`, which is none of `properties`.",
                "Add it there, or remove it.",
            )
        return self

    @property
    def as_json(self) -> dict[str, Any]:
        """The schema as JSON has it."""
        written: dict[str, Any] = self.model_dump(by_alias=True, exclude_unset=True)
        return _single_types(written)


def _single_types(schema: dict[str, Any]) -> dict[str, Any]:
    """A type alone stands alone, as the API's examples have it."""
    types = schema.get("type")
    if isinstance(types, list) and len(types) == 1:
        schema["type"] = types[0]
    for inner in (
        *(schema.get("properties") or {}).values(),
        *(schema.get("anyOf") or ()),
        schema.get("items"),
        schema.get("additionalProperties"),
    ):
        if isinstance(inner, dict):
            _single_types(inner)
    return schema
