"""What the types of the configuration file are made of: strict mappings, and texts that are read at once.

A type here says two things at the same time: how a value is read, with a remedy for what cannot be, and what
the published JSON Schema tells editors about it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from sipagent.config.values import BadValueError, closest, parse_duration_s


class Reading:
    """One reading of a file: which model read which mapping, and what the file says about numbers.

    So an unknown key can be compared with the known ones, and a number be read as its writer meant it.
    """

    def __init__(self, default_country: str | None = None) -> None:
        self.default_country = default_country
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

    def meant(self, mapping: object, key: str) -> str | None:
        """The key that ``key``, which is no key of ``mapping``, was meant to be; None where nobody knows."""
        model = self._models.get(id(mapping))
        if model is not None and issubclass(model, Entry) and key in model.also_known_as:
            return model.also_known_as[key]
        return closest(key, self.known_keys(mapping))

    def hint(self, mapping: object, key: str) -> str | None:
        """What to write instead of ``key``, which is no key of ``mapping``, where that is known."""
        model = self._models.get(id(mapping))
        if model is None or not issubclass(model, Entry):
            return None
        if (name := model.also_known_as.get(key)) is not None:
            return f"Here it is called `{name}`."
        return model.hints.get(key)


def exactly_one_of(*keys: str, beside: Mapping[str, list[str]] | None = None) -> ConfigDict:
    """For the JSON Schema of a mapping of which one of ``keys`` must be there, and no other of them; each key
    of ``beside`` stands only with those that it names."""
    rule: dict[str, Any] = {"oneOf": [{"required": [key]} for key in keys]}
    return _also(rule if beside is None else {**rule, "dependentRequired": dict(beside)})


def at_most_one_of(*keys: str) -> ConfigDict:
    """For the JSON Schema of a mapping in which no two of ``keys`` may stand."""
    pairs = [[one, other] for index, one in enumerate(keys) for other in keys[index + 1 :]]
    return _also({"not": {"anyOf": [{"required": pair} for pair in pairs]}})


def _also(rule: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra=rule)


class Entry(BaseModel):
    """A mapping of the file: unknown keys are mistakes, and nothing is converted silently."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        arbitrary_types_allowed=True,
        use_attribute_docstrings=True,
    )
    also_known_as: ClassVar[Mapping[str, str]] = {}
    """What keys of this mapping are called elsewhere."""
    hints: ClassVar[Mapping[str, str]] = {}
    """What to do about keys that are no keys of this mapping, and are often tried."""

    @model_validator(mode="before")
    @classmethod
    def _note_mapping(cls, data: Any, info: ValidationInfo) -> Any:
        if isinstance(info.context, Reading) and isinstance(data, dict):
            info.context.note(data, cls)
        return data


# Helpers for annotations ----------------------------------------------------------------------------


def refuse(message: str, remedy: str, *, at: tuple[str | int, ...] = ()) -> PydanticCustomError:
    """The error by which a validator says what it saw and what to write instead.

    ``message`` is a sentence; the key that it is about is put in front of it. ``at`` leads from the mapping
    that is checked to what the reader should look at.
    """
    return PydanticCustomError("configuration", "{said}", {"said": message, "remedy": remedy, "at": at})


def parsed_by(parse: Callable[[Any], Any], **json_schema: Any) -> Any:
    """A value that ``parse`` reads; it raises :class:`BadValueError`.

    ``json_schema`` is for editors, and describes a text unless it says something else.
    """

    def validate(value: object) -> Any:
        try:
            return parse(value)
        except BadValueError as error:
            raise refuse(error.message, error.remedy) from error

    written = json_schema if "anyOf" in json_schema else {"type": "string", **json_schema}
    # A validator, not a field: the type that is annotated says what comes of it.
    return BeforeValidator(validate, json_schema_input_type=Annotated[Any, WithJsonSchema(written)])


def false_is_off(value: object) -> object:
    """``false`` is the word for switching a thing off."""
    return None if value is False else value


def word_as(key: str, *, what: str) -> Callable[[object], object]:
    """A text alone stands for the mapping whose ``key`` it is; ``what`` names both in errors."""

    def expand(value: object) -> object:
        if isinstance(value, str):
            return {key: value}
        if value is not None and not isinstance(value, dict | BaseModel):
            raise refuse(f"{shown(value)} is no {what}.", f"Write {a(what)} as text, or `{key}:` below it.")
        return value

    return expand


def listed(value: object) -> object:
    """One thing alone stands for the list of it."""
    return value if isinstance(value, list) or value is None else [value]


def not_empty(value: object) -> object:
    """A key without a value is a mistake, where nothing is no choice."""
    if value is None:
        raise ValueError("a key without a value")
    return value


def word_or_mapping(value: object) -> str:
    """Tells the two members of a union apart."""
    return "mapping" if isinstance(value, dict | BaseModel) else "word"


def shown(value: object) -> str:
    """``value`` as it is written in messages."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case _:
            text = repr(value)
            return text if len(text) <= 60 else f"{text[:57]}…"


def a(thing: str) -> str:
    """``thing`` with its article."""
    return f"{'an' if thing[0] in 'aeiou' else 'a'} {thing}"


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
"""Letters, digits, dash and underscore: names travel into logs, metrics and tool schemas."""
ToolName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
"""What the API allows as the name of a function."""
DURATION_PATTERN = r"^\s*[0-9]+(\.[0-9]+)?\s*(ms|s|m|h)\s*$"
Duration = Annotated[
    float,
    parsed_by(
        parse_duration_s,
        pattern=DURATION_PATTERN,
        description="A number and its unit: ms, s, m or h.",
        examples=["500ms", "10s", "20m"],
    ),
]
"""Seconds, written with their unit."""
