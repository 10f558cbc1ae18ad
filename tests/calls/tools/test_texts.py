"""Texts with arguments and variables in them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.calls.template import TemplateError
from sipagent.calls.tools.texts import MissingArgumentError, ToolText


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("", ""),
        ("{day}", "Monday"),
        ("on {day} at {time}.", "on Monday at 9."),
        ("for {{caller}} on {day}", "for Ann on Monday"),
        ("{{missing | nobody}}, {day}", "nobody, Monday"),
        ("\\{day} {day}", "{day} Monday"),
        ("\\{{caller}} {{caller}}", "{{caller}} Ann"),
        ('{"json": [1]} { day } {}', '{"json": [1]} { day } {}'),
        ("{list}", '["a", 1]'),
        ("{yes}{none}", "truenull"),
    ],
)
def test_names_stand_for_values(text: str, expected: str) -> None:
    arguments: dict[str, Any] = {"day": "Monday", "time": 9, "list": ["a", 1], "yes": True, "none": None}
    assert ToolText(text).render(arguments, {"caller": "Ann"}) == expected


def test_a_value_is_read_once() -> None:
    text = ToolText("{first} {second} {{caller}}")
    given = {"first": "{second}", "second": "{{caller}}"}
    assert text.render(given, {"caller": "{first}"}) == "{second} {{caller}} {first}"


def test_a_name_that_is_no_argument_is_found_with_its_place() -> None:
    text = ToolText("on {day} at {tiem}")
    with pytest.raises(TemplateError) as caught:
        text.check_arguments({"day", "time"})
    assert caught.value.offset == 12
    assert "tiem" in str(caught.value)
    assert "day, time" in str(caught.value)
    text.check_arguments({"day", "tiem"})


def test_variables_are_checked_at_their_own_places() -> None:
    text = ToolText("{day} {{caller}} {time} {{business.name}}")
    assert [(each.name, each.offset) for each in text.variables.placeholders] == [
        ("caller", 6),
        ("business.name", 24),
    ]
    assert text.arguments == {"day", "time"}


def test_a_broken_variable_is_no_text() -> None:
    with pytest.raises(TemplateError) as caught:
        ToolText("{day} {{caller")
    assert caught.value.offset == 6


def test_what_is_not_there_is_said() -> None:
    with pytest.raises(MissingArgumentError) as caught:
        ToolText("{day}").render({}, {})
    assert caught.value.name == "day"
    with pytest.raises(TemplateError):
        ToolText("{{caller}}").render({}, {})
    assert ToolText("{{caller}}").render({}, {}, missing="unknown") == "unknown"


def test_one_argument_alone_is_known_as_such() -> None:
    assert ToolText("{count}").lone_argument == "count"
    for text in ("{count} ", "x{count}", "{a}{b}", "{{count}}", "count", ""):
        assert ToolText(text).lone_argument is None


def test_values_are_written_as_asked() -> None:
    text = ToolText("{a}/{{b}}")
    assert text.render({"a": "x"}, {"b": "y"}, write=lambda name, value: f"<{name}={value}>") == "<a=x>/<b=y>"


@given(st.text(alphabet="{}\\ab |.", max_size=30), st.text(alphabet="{}ab", max_size=10))
def test_whatever_is_written_renders_or_is_refused(text: str, value: str) -> None:
    try:
        made = ToolText(text)
    except TemplateError:
        return
    names = made.variables.names
    rendered = made.render(dict.fromkeys(made.arguments, value), dict.fromkeys(names, value), missing="")
    if not made.arguments and not names:
        assert len(rendered) <= len(text)
