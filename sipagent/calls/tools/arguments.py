"""What a tool written in configuration takes: a part of JSON Schema, checked before anything is done. Pure.

The part is what function tools are described with (API reference, "Function calling"): types, enumerations,
bounds, patterns, objects and lists. A keyword that is not checked here is refused when the tool is made, so
that nobody relies on it. A text with a pattern may have `patterns.WINDOW` characters.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sipagent.calls.patterns import WINDOW, bounded_pattern
from sipagent.errors import UserError

_TELLING = frozenset({"title", "description", "examples", "default", "format", "deprecated", "$comment"})
_CHECKED = frozenset(
    {
        "type", "enum", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
        "minLength", "maxLength", "pattern", "items", "minItems", "maxItems", "uniqueItems", "properties",
        "required", "additionalProperties", "anyOf",
    }
)  # fmt: skip
_TYPES: Final = ("string", "integer", "number", "boolean", "object", "array", "null")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems")


class Arguments:
    """The arguments of one tool. Raises `UserError`, with the place, for a schema that cannot be used."""

    def __init__(self, properties: Mapping[str, Any], required: Sequence[str] = ()) -> None:
        """``properties`` from name to JSON Schema; those in ``required`` must be given."""
        for name in properties:
            if _NAME.fullmatch(name) is None:
                raise UserError(
                    f"{name[:40]!r} cannot be an argument: letters, digits, _ and - only, 64 at most"
                )
        for name in required:
            if name not in properties:
                raise UserError(f"{name!r} is required, but it is no argument; add it to `arguments`")
        self.schema: dict[str, Any] = {
            "type": "object",
            "properties": {name: _described(inner) for name, inner in properties.items()},
            "required": list(required),
            "additionalProperties": False,
        }
        """As the model reads it."""
        for name, inner in self.schema["properties"].items():
            _check_schema(inner, f"arguments.{name}")

    @property
    def names(self) -> frozenset[str]:
        """Of all arguments."""
        return frozenset(self.schema["properties"])

    @property
    def always(self) -> frozenset[str]:
        """Those that have a value in every call."""
        properties = self.schema["properties"]
        given = {name for name, inner in properties.items() if "default" in inner}
        return frozenset(self.schema["required"]) | given

    def read(self, arguments_json: str) -> tuple[dict[str, Any], list[str]]:
        """The arguments in ``arguments_json``, defaults filled in, and what is wrong with them, in words."""
        try:
            given = json.loads(arguments_json or "{}")
        except (ValueError, RecursionError):
            return {}, ["the arguments are no JSON"]
        if not isinstance(given, dict):
            return {}, ["the arguments are no JSON object"]
        for name, inner in self.schema["properties"].items():
            if "default" in inner:
                given.setdefault(name, inner["default"])
        return given, list(_problems(self.schema, given, ""))


def _described(schema: Any) -> Any:
    return {"type": "string", "description": schema} if isinstance(schema, str) else schema


# Is it a schema? ------------------------------------------------------------------------------------


def _check_schema(schema: object, place: str) -> None:
    if not isinstance(schema, Mapping):
        raise UserError(f"{place}: a JSON Schema is a mapping, such as type: string")
    for keyword in schema:
        if keyword not in _CHECKED and keyword not in _TELLING:
            raise UserError(f"{place}: the keyword {str(keyword)[:40]!r} is not supported")
    types = schema.get("type", [])
    for name in types if isinstance(types, list) else [types]:
        if name not in _TYPES:
            raise UserError(f"{place}: {str(name)[:40]!r} is no type; use one of {', '.join(_TYPES)}")
    for keyword in _NUMBERS:
        if keyword in schema and not _is_number(schema[keyword]):
            raise UserError(f"{place}: {keyword} must be a number")
    if "multipleOf" in schema and schema["multipleOf"] <= 0:
        raise UserError(f"{place}: multipleOf must be above 0")
    for keyword in _COUNTS:
        if keyword in schema and not (type(schema[keyword]) is int and schema[keyword] >= 0):
            raise UserError(f"{place}: {keyword} must be a whole number from 0")
    if "enum" in schema and not (isinstance(schema["enum"], list) and schema["enum"]):
        raise UserError(f"{place}: enum must be a list of values")
    if "pattern" in schema:
        _check_pattern(schema["pattern"], place)
    _check_inner(schema, place)


def _check_inner(schema: Mapping[str, Any], place: str) -> None:
    properties = schema.get("properties", {})
    if not isinstance(properties, Mapping):
        raise UserError(f"{place}: properties must be a mapping")
    for name, inner in properties.items():
        _check_schema(inner, f"{place}.{name}")
    required = schema.get("required", [])
    if not isinstance(required, list) or not all(name in properties for name in required):
        raise UserError(f"{place}: required must list names of properties")
    additional = schema.get("additionalProperties", True)
    if not isinstance(additional, bool):
        _check_schema(additional, f"{place}.*")
    if "items" in schema:
        _check_schema(schema["items"], f"{place}[]")
    if "anyOf" in schema:
        if not (isinstance(schema["anyOf"], list) and schema["anyOf"]):
            raise UserError(f"{place}: anyOf must be a list of schemas")
        for number, inner in enumerate(schema["anyOf"]):
            _check_schema(inner, f"{place}.anyOf[{number}]")


def _check_pattern(pattern: Any, place: str) -> None:
    try:
        bounded_pattern(pattern)
    except UserError as error:
        raise UserError(f"{place}: {error}") from error


# Does a value fit? ----------------------------------------------------------------------------------


def _problems(schema: Mapping[str, Any], value: Any, place: str) -> Iterator[str]:
    where = place or "the arguments"
    types = schema.get("type")
    if types is not None:
        allowed = types if isinstance(types, list) else [types]
        if not any(_is_type(value, name) for name in allowed):
            yield f"{where} must be of type {' or '.join(allowed)}"
            return
    if "enum" in schema and not any(_same(value, each) for each in schema["enum"]):
        listed = ", ".join(json.dumps(each, ensure_ascii=False) for each in schema["enum"][:20])
        yield f"{where} must be one of {listed}"
    if "const" in schema and not _same(value, schema["const"]):
        yield f"{where} must be {json.dumps(schema['const'], ensure_ascii=False)}"
    if "anyOf" in schema and not any(not list(_problems(each, value, place)) for each in schema["anyOf"]):
        yield f"{where} has none of the forms that it may have"
    match value:
        case bool():
            pass
        case int() | float():
            yield from _number_problems(schema, value, where)
        case str():
            yield from _text_problems(schema, value, where)
        case list():
            yield from _list_problems(schema, value, place, where)
        case dict():
            yield from _object_problems(schema, value, place, where)
        case _:
            pass


def _number_problems(schema: Mapping[str, Any], value: int | float, where: str) -> Iterator[str]:
    if "minimum" in schema and value < schema["minimum"]:
        yield f"{where} must be at least {schema['minimum']}"
    if "maximum" in schema and value > schema["maximum"]:
        yield f"{where} must be at most {schema['maximum']}"
    if "exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]:
        yield f"{where} must be above {schema['exclusiveMinimum']}"
    if "exclusiveMaximum" in schema and value >= schema["exclusiveMaximum"]:
        yield f"{where} must be below {schema['exclusiveMaximum']}"
    if "multipleOf" in schema and not _is_multiple(value, schema["multipleOf"]):
        yield f"{where} must be a multiple of {schema['multipleOf']}"


def _text_problems(schema: Mapping[str, Any], value: str, where: str) -> Iterator[str]:
    if len(value) < schema.get("minLength", 0):
        yield f"{where} must have at least {schema['minLength']} characters"
    if "maxLength" in schema and len(value) > schema["maxLength"]:
        yield f"{where} must have at most {schema['maxLength']} characters"
    if "pattern" in schema and (len(value) > WINDOW or re.search(schema["pattern"], value) is None):
        yield f"{where} must match {schema['pattern']}"


def _list_problems(schema: Mapping[str, Any], value: list[Any], place: str, where: str) -> Iterator[str]:
    if len(value) < schema.get("minItems", 0):
        yield f"{where} must have at least {schema['minItems']} items"
    if "maxItems" in schema and len(value) > schema["maxItems"]:
        yield f"{where} must have at most {schema['maxItems']} items"
    if schema.get("uniqueItems") and any(
        _same(one, other) for index, one in enumerate(value) for other in value[:index]
    ):
        yield f"{where} must not hold anything twice"
    if "items" in schema:
        for index, each in enumerate(value):
            yield from _problems(schema["items"], each, f"{place}[{index}]")


def _object_problems(
    schema: Mapping[str, Any], value: dict[str, Any], place: str, where: str
) -> Iterator[str]:
    properties = schema.get("properties", {})
    for name in schema.get("required", []):
        if name not in value:
            yield f"{_inside(place, name)} is missing"
    additional = schema.get("additionalProperties", True)
    for name, each in value.items():
        if name in properties:
            yield from _problems(properties[name], each, _inside(place, name))
        elif additional is False:
            yield f"{where} has no {name[:40]!r}"
        elif isinstance(additional, Mapping):
            yield from _problems(additional, each, _inside(place, name[:40]))


def _inside(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _is_type(value: Any, name: str) -> bool:
    match name:
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            # JSON knows one kind of number: 1.0 is an integer (JSON Schema core, section 4.2.3).
            return _is_number(value) and (isinstance(value, int) or value.is_integer())
        case "number":
            return _is_number(value)
        case "object":
            return isinstance(value, dict)
        case "array":
            return isinstance(value, list)
        case _:
            return value is None


def _is_number(value: object) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def _is_multiple(value: int | float, of: int | float) -> bool:
    if isinstance(value, int) and isinstance(of, int):
        return value % of == 0
    try:
        quotient = value / of
        return abs(quotient - round(quotient)) < 1e-9
    except (OverflowError, ValueError):
        return False


def _same(one: object, other: object) -> bool:
    """Equal as JSON: True is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return bool(one == other)
