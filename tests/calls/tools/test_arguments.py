"""Arguments of tools that are described in configuration."""

from __future__ import annotations

import importlib
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.calls.patterns import WINDOW
from sipagent.calls.tools.arguments import Arguments
from sipagent.errors import UserError

jsonschema: Any = importlib.import_module("jsonschema")

BOOKING = Arguments(
    {
        "day": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
        "guests": {"type": "integer", "minimum": 1, "maximum": 8},
        "area": {"type": "string", "enum": ["inside", "garden"], "default": "inside"},
        "wishes": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
        "contact": {
            "type": "object",
            "properties": {"name": {"type": "string", "minLength": 1}},
            "required": ["name"],
            "additionalProperties": False,
        },
    },
    ["day", "guests"],
)


def problems(arguments: str) -> list[str]:
    return BOOKING.read(arguments)[1]


def test_what_fits_is_read_with_its_defaults() -> None:
    given, found = BOOKING.read('{"day": "2026-11-20", "guests": 2}')
    assert found == []
    assert given == {"day": "2026-11-20", "guests": 2, "area": "inside"}
    assert BOOKING.always == {"day", "guests", "area"}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("[]", "the arguments are no JSON object"),
        ("nonsense", "the arguments are no JSON"),
        ('{"guests": 2}', "day is missing"),
        ('{"day": "2026-11-20", "guests": "2"}', "guests must be of type integer"),
        ('{"day": "2026-11-20", "guests": 2.5}', "guests must be of type integer"),
        ('{"day": "2026-11-20", "guests": true}', "guests must be of type integer"),
        ('{"day": "2026-11-20", "guests": 9}', "guests must be at most 8"),
        ('{"day": "2026-11-20", "guests": 0}', "guests must be at least 1"),
        ('{"day": "tomorrow", "guests": 2}', "day must match ^[0-9]{4}-[0-9]{2}-[0-9]{2}$"),
        ('{"day": "2026-11-20", "guests": 2, "area": "roof"}', 'area must be one of "inside", "garden"'),
        ('{"day": "2026-11-20", "guests": 2, "wishes": [1]}', "wishes[0] must be of type string"),
        (
            '{"day": "2026-11-20", "guests": 2, "wishes": ["a", "b", "c", "d"]}',
            "wishes must have at most 3 items",
        ),
        ('{"day": "2026-11-20", "guests": 2, "contact": {}}', "contact.name is missing"),
        (
            '{"day": "2026-11-20", "guests": 2, "contact": {"name": ""}}',
            "contact.name must have at least 1 characters",
        ),
        ('{"day": "2026-11-20", "guests": 2, "table": 1}', "the arguments has no 'table'"),
    ],
)
def test_what_does_not_fit_is_said_in_words(arguments: str, problem: str) -> None:
    assert problems(arguments) == [problem]


def test_a_description_alone_describes_a_text() -> None:
    arguments = Arguments({"name": "Who calls"})
    assert arguments.schema["properties"]["name"] == {"type": "string", "description": "Who calls"}


def test_a_text_too_long_for_its_pattern_does_not_match() -> None:
    arguments = Arguments({"code": {"type": "string", "pattern": "x"}})
    assert arguments.read(json.dumps({"code": "x" * WINDOW}))[1] == []
    assert arguments.read(json.dumps({"code": "x" * (WINDOW + 1)}))[1] == ["code must match x"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_numbers_that_are_none_fit_no_number(number: str) -> None:
    arguments = Arguments({"n": {"type": "number", "multipleOf": 0.5}})
    assert arguments.read(f'{{"n": {number}}}')[1] == ["n must be of type number"]


@pytest.mark.parametrize(
    ("properties", "required", "said"),
    [
        ({"a b": {}}, [], "cannot be an argument"),
        ({"": {}}, [], "cannot be an argument"),
        ({"a": {"type": "text"}}, [], "arguments.a: 'text' is no type"),
        ({"a": {"oneOf": []}}, [], "the keyword 'oneOf' is not supported"),
        ({"a": {"$ref": "#"}}, [], "the keyword '$ref' is not supported"),
        ({"a": {"minimum": "1"}}, [], "minimum must be a number"),
        ({"a": {"maxLength": -1}}, [], "maxLength must be a whole number"),
        ({"a": {"maxLength": True}}, [], "maxLength must be a whole number"),
        ({"a": {"enum": []}}, [], "enum must be a list"),
        ({"a": {"pattern": "("}}, [], "arguments.a: '(' is no regular expression"),
        ({"a": {"pattern": "(a+)+$"}}, [], "may take for ever"),
        ({"a": {"multipleOf": 0}}, [], "multipleOf must be above 0"),
        ({"a": {"properties": {"b": {"type": "x"}}}}, [], "arguments.a.b: 'x' is no type"),
        ({"a": {"items": 3}}, [], "arguments.a[]: a JSON Schema is a mapping"),
        ({"a": {"anyOf": [{"type": "x"}]}}, [], "arguments.a.anyOf[0]"),
        ({"a": {"required": ["b"]}}, [], "required must list names of properties"),
        ({"a": 3}, [], "a JSON Schema is a mapping"),
        ({"a": {}}, ["b"], "'b' is required, but it is no argument"),
    ],
)
def test_a_schema_that_cannot_be_checked_is_refused(
    properties: dict[str, Any], required: list[str], said: str
) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        Arguments(properties, required)


# Beside an implementation of the whole standard -------------------------------------------------------

NUMBERS = st.integers(-5, 5) | st.sampled_from([0.5, 1.0, -2.5, 3.0])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(alphabet="ab1", max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3)
    ),
    max_leaves=6,
)
TYPES = st.sampled_from(["string", "integer", "number", "boolean", "object", "array", "null"])
LEAVES = st.fixed_dictionaries(
    {},
    optional={
        "type": TYPES | st.lists(TYPES, min_size=1, max_size=3, unique=True),
        "enum": st.lists(VALUES, min_size=1, max_size=3),
        "const": VALUES,
        "minimum": NUMBERS,
        "maximum": NUMBERS,
        "exclusiveMinimum": NUMBERS,
        "exclusiveMaximum": NUMBERS,
        "multipleOf": st.sampled_from([1, 2, 0.5]),
        "minLength": st.integers(0, 3),
        "maxLength": st.integers(0, 3),
        "pattern": st.sampled_from(["a", "^b", "[0-9]$"]),
        "minItems": st.integers(0, 2),
        "maxItems": st.integers(0, 2),
        "uniqueItems": st.booleans(),
    },
)


def _deeper(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {"properties": st.fixed_dictionaries({"a": inner, "b": inner})},
        optional={
            "type": TYPES,
            "items": inner,
            "required": st.lists(st.sampled_from(["a", "b"]), unique=True, max_size=2),
            "additionalProperties": st.booleans() | inner,
            "anyOf": st.lists(inner, min_size=1, max_size=2),
        },
    )


@given(st.recursive(LEAVES, _deeper, max_leaves=4), VALUES)
def test_what_fits_here_fits_by_the_standard(schema: dict[str, Any], value: Any) -> None:
    arguments = Arguments({"x": schema}, ["x"])
    _, found = arguments.read(json.dumps({"x": value}))
    validator = jsonschema.Draft202012Validator(arguments.schema)
    assert (not found) == validator.is_valid({"x": value})
