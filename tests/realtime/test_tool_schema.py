"""A function's signature and docstring as the model reads them, and the model's arguments as a call."""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pydantic
import pytest

from sipagent.errors import ModelBehaviorError, UserError
from sipagent.realtime.run_context import RunContextWrapper
from sipagent.realtime.tool_schema import FunctionSchema, function_schema, parse_docstring
from sipagent.realtime.tools import ToolContext

if TYPE_CHECKING:
    from somewhere_else import Unknown  # type: ignore[import-not-found]


class Treatment(enum.Enum):
    FILLING = "filling"
    CLEANING = "cleaning"


class Slot(pydantic.BaseModel):
    day: str
    minutes: int = 30


def schema_of(function: Callable[..., Any], **options: Any) -> FunctionSchema:
    settings: dict[str, Any] = {
        "name": None,
        "description": None,
        "use_docstring_info": True,
        "strict": True,
        "context_types": (RunContextWrapper, ToolContext),
        **options,
    }
    return function_schema(function, **settings)


def book(
    context: ToolContext[Any],
    treatment: Treatment,
    slot: Slot,
    notes: list[str] | None = None,
    *,
    urgent: bool = False,
) -> str:
    """Book a visit.

    Only after the caller agreed.

    Args:
        treatment: What is to be done.
        notes (list): Anything the doctor
            should know.
        urgent: Whether it hurts.

    Returns:
        The number of the booking.
    """
    return "7"


def test_a_signature_becomes_a_schema() -> None:
    schema = schema_of(book)
    assert (schema.name, schema.takes_context) == ("book", True)
    assert schema.description == "Book a visit.\n\nOnly after the caller agreed."
    described = schema.params_json_schema
    assert described["type"] == "object"
    assert described["additionalProperties"] is False
    assert described["required"] == ["treatment", "slot"]
    assert list(described["properties"]) == ["treatment", "slot", "notes", "urgent"]
    assert described["properties"]["treatment"]["description"] == "What is to be done."
    assert described["properties"]["notes"]["description"] == "Anything the doctor should know."
    assert described["properties"]["urgent"] == {
        "type": "boolean",
        "default": False,
        "description": "Whether it hurts.",
    }
    assert "title" not in described


def test_arguments_become_a_call() -> None:
    schema = schema_of(book)
    positional, named = schema.bind(
        '{"treatment": "filling", "slot": {"day": "Tuesday"}, "urgent": true, "notes": ["afraid"]}'
    )
    assert positional == [Treatment.FILLING, Slot(day="Tuesday"), ["afraid"]]
    assert named == {"urgent": True}
    assert schema.bind('{"treatment": "cleaning", "slot": {"day": "Monday"}}') == (
        [Treatment.CLEANING, Slot(day="Monday"), None],
        {"urgent": False},
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("no JSON", "arguments: "),
        ("[1]", "arguments: "),
        ("", "treatment: "),
        ("{}", "treatment: Field required; slot: Field required"),
        ('{"treatment": "secret", "slot": {"day": 1}}', "slot.day: "),
        ('{"treatment": "filling", "slot": {"day": "x"}, "more": 1}', "more: "),
    ],
)
def test_arguments_that_do_not_fit_are_explained_to_the_model(arguments: str, words: str) -> None:
    with pytest.raises(ModelBehaviorError) as caught:
        schema_of(book).bind(arguments)
    assert "tool 'book'" in str(caught.value)
    assert words in str(caught.value)
    assert "secret" not in str(caught.value), "what a caller said must not reach a log"


def test_a_tool_may_take_no_arguments_at_all() -> None:
    def now() -> str:
        return ""

    schema = schema_of(now)
    assert schema.params_json_schema == {"type": "object", "properties": {}, "additionalProperties": False}
    assert schema.bind("") == ([], {})
    assert schema.description == ""


def test_leniency_lets_unknown_arguments_pass() -> None:
    def now() -> str:
        return ""

    schema = schema_of(now, strict=False)
    assert "additionalProperties" not in schema.params_json_schema
    assert schema.bind('{"x": 1}') == ([], {})


def test_any_number_of_arguments() -> None:
    def many(*numbers: int, **names: str) -> None: ...

    schema = schema_of(many)
    assert set(schema.params_json_schema["properties"]) == {"numbers", "names"}
    assert schema.bind('{"numbers": ["1", 2], "names": {"a": "b"}}') == ([1, 2], {"a": "b"})
    assert schema.bind("{}") == ([], {})


def test_names_that_pydantic_keeps_for_itself_are_fine() -> None:
    def odd(_private: int, model_config: str, copy: bool, schema: str = "x") -> None: ...

    schema = schema_of(odd)
    assert list(schema.params_json_schema["properties"]) == ["_private", "model_config", "copy", "schema"]
    assert schema.bind('{"_private": 1, "model_config": "a", "copy": true}') == ([1, "a", True, "x"], {})


def test_an_annotation_explains_better_than_the_docstring() -> None:
    def visit(
        day: Annotated[str, "ISO date"],
        hour: Annotated[int, pydantic.Field(ge=8, le=18, description="when")],
        kind: Literal["new", "old"] = "new",
        reason: str = pydantic.Field(default="", description="why"),
    ) -> None:
        """Visit.

        Args:
            day: a day
            kind: of patient
            reason: because
        """

    properties = schema_of(visit).params_json_schema["properties"]
    assert properties["day"]["description"] == "ISO date"
    assert (properties["hour"]["description"], properties["hour"]["minimum"]) == ("when", 8)
    assert properties["kind"]["enum"] == ["new", "old"]
    assert properties["kind"]["description"] == "of patient"
    assert properties["reason"]["description"] == "why"
    assert schema_of(visit).bind('{"day": "x", "hour": 9}') == (["x", 9, "new", ""], {})


def test_the_docstring_may_be_left_alone() -> None:
    schema = schema_of(book, use_docstring_info=False, description="Books.", name="book-it")
    assert (schema.name, schema.description) == ("book-it", "Books.")
    assert "description" not in schema.params_json_schema["properties"]["urgent"]


@pytest.mark.parametrize("name", ["", "two words", "x" * 65, "größe"])
def test_a_name_the_api_would_refuse_is_refused(name: str) -> None:
    def tool() -> None: ...

    if name:
        with pytest.raises(UserError, match="name of a tool"):
            schema_of(tool, name=name)
    else:
        assert schema_of(tool, name=name).name == "tool"
    with pytest.raises(UserError, match="lambda"):
        schema_of(lambda: None)


def test_a_type_that_json_cannot_describe_is_refused() -> None:
    def tool(connection: Callable[[int], object], other: object()) -> None: ...  # type: ignore[valid-type]

    with pytest.raises(UserError, match="'tool'.*no JSON schema"):
        schema_of(tool)


def test_a_type_that_is_unknown_at_run_time_is_refused() -> None:
    def tool(one: Unknown) -> None: ...

    with pytest.raises(UserError, match="'tool'"):
        schema_of(tool)


def test_the_context_comes_first_or_not_at_all() -> None:
    def late(day: str, context: ToolContext[Any]) -> None: ...

    def wrapped(context: RunContextWrapper[Any] | None, day: str) -> None: ...

    def hidden(context: ToolContext[Unknown], day: str) -> None: ...

    with pytest.raises(UserError, match="first parameter"):
        schema_of(late)
    for function in (wrapped, hidden):
        schema = schema_of(function)
        assert schema.takes_context
        assert list(schema.params_json_schema["properties"]) == ["day"]


class Desk:
    def find(self, day: str) -> str:
        """Find."""
        return day

    def __call__(self, day: int) -> None:
        """Call the desk."""


def test_methods_callables_and_partials_are_functions_too() -> None:
    assert list(schema_of(Desk().find).params_json_schema["properties"]) == ["day"]
    called = schema_of(Desk(), name="desk")
    assert called.bind('{"day": "3"}') == ([3], {})
    partial = schema_of(functools.partial(Desk().find, "Tuesday"), name="find")
    assert partial.bind("{}") == ([], {})


# Docstrings -----------------------------------------------------------------------------------------


def test_google_style() -> None:
    found = parse_docstring(
        "Find a slot.\n\nArgs:\n    day (str, optional): the day,\n        as ISO: 2026-01-31\n"
        "    *rest: more\n\nReturns:\n    day: nothing\n"
    )
    assert found.summary == "Find a slot."
    assert found.parameters == {"day": "the day, as ISO: 2026-01-31", "rest": "more"}


def test_numpy_style() -> None:
    found = parse_docstring(
        "Find a slot.\n\nParameters\n----------\nday : str\n    The day\n    of the visit.\n"
        "hour\n    When.\n\nReturns\n-------\nstr\n    A slot.\n"
    )
    assert found.summary == "Find a slot."
    assert found.parameters == {"day": "The day of the visit.", "hour": "When."}


def test_sphinx_style() -> None:
    found = parse_docstring(
        "Find a slot.\n\n:param str day: the day\n    of the visit\n:parameter hour: when\n:returns: a slot\n"
        "    that is free\n:raises ValueError: never\n"
    )
    assert found.summary == "Find a slot."
    assert found.parameters == {"day": "the day of the visit", "hour": "when"}


def test_prose_is_no_parameter() -> None:
    found = parse_docstring("Notes: this is prose.\nArgs are discussed elsewhere.\n\nWarning: hot.")
    assert found.parameters == {}
    assert found.summary.endswith("Warning: hot.")
