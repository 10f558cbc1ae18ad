"""The parts of a request: filled in, and never anything else than before."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.calls.template import TemplateError
from sipagent.calls.tools.failures import ToolFailureError
from sipagent.calls.tools.request_parts import (
    LEFT_OUT,
    BodyText,
    check_header,
    check_url,
    fill_body,
    fill_header,
    fill_query,
    fill_url,
)
from sipagent.calls.tools.texts import ToolText
from sipagent.errors import UserError

URL = ToolText("https://shop.test/orders/{order}/by/{{caller}}?full=1&q={word}")


def test_values_are_escaped_into_their_places() -> None:
    url = fill_url(URL, {"order": "7/../8?x#y", "word": "a&b=ü"}, {"caller": "+15550100123"})
    assert str(url) == (
        "https://shop.test/orders/7%2F..%2F8%3Fx%23y/by/%2B15550100123?full=1&q=a%26b%3D%C3%BC"
    )


@pytest.mark.parametrize("value", [".", "..", ""])
def test_a_value_that_walks_up_the_path_is_refused(value: str) -> None:
    with pytest.raises(ToolFailureError) as caught:
        fill_url(URL, {"order": value, "word": "x"}, {"caller": "1"})
    assert caught.value.effect == "none"


def printable() -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(printable(), printable(), printable())
def test_no_value_changes_the_shape_of_a_url(order: str, word: str, caller: str) -> None:
    if {order, word, caller} & {".", ".."}:
        return
    url = fill_url(URL, {"order": order, "word": word}, {"caller": caller})
    assert (url.scheme, url.host, url.explicit_port, url.fragment) == ("https", "shop.test", None, "")
    path = url.raw_path.split("/")
    assert [unquote(part) for part in path] == ["", "orders", order, "by", caller]
    query = [part.split("=") for part in url.raw_query_string.split("&")]
    assert [[unquote(each) for each in part] for part in query] == [["full", "1"], ["q", word]]


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.test",
        "https://shop.test/",
        "http://127.0.0.1:8080/x/{order}",
        "https://shop.test?order={order}",
        "https://[::1]/x",
    ],
)
def test_a_url_needs_a_host_of_its_own(url: str) -> None:
    check_url(ToolText(url))


@pytest.mark.parametrize(
    "url",
    [
        "https://{order}.test/",
        "https://shop.test{order}",
        "https://{{caller}}/",
        "https://shop.test:{order}/",
        "{order}",
        "ftp://shop.test/",
        "shop.test/x",
        "//shop.test/",
        "https:///x",
        "https://user:pass@shop.test/",
        "https://shop.test/#x",
        "https://shop.test:0/",
        "https://shop.test:99999/",
        "https://[::1/",
        "file:///etc/hosts",
        "",
    ],
)
def test_a_url_that_anybody_could_bend_is_refused(url: str) -> None:
    with pytest.raises(UserError):
        check_url(ToolText(url))


def test_queries_leave_out_what_was_not_given_and_repeat_lists() -> None:
    query = {
        "a": ToolText("{a}"),
        "b": ToolText("{b}"),
        "c": ToolText("x{c}"),
        "d": ToolText("{{caller}}"),
        "e": ToolText("1"),
    }
    found = fill_query(query, {"a": ["x&y", 2], "c": 3}, {"caller": "Ann"})
    assert found == [("a", "x&y"), ("a", "2"), ("c", "x3"), ("d", "Ann"), ("e", "1")]


@pytest.mark.parametrize("value", ["a\r\nX-Admin: 1", "a\nb", "a\x00b", "a\x7f", "a\ud800"])
def test_nothing_can_end_the_line_of_a_header(value: str) -> None:
    with pytest.raises(ToolFailureError) as caught:
        fill_header("X-Name", ToolText("for {name}"), {"name": value}, {})
    assert "X-Name" in str(caught.value)
    assert value not in str(caught.value)


def test_headers_are_filled() -> None:
    assert fill_header("X", ToolText("{n} {{caller}}"), {"n": 1}, {"caller": "Jürgen"}) == "1 Jürgen"
    assert fill_header("X", "Bearer {{not a name}} {x}", {}, {}) == "Bearer {{not a name}} {x}"


@pytest.mark.parametrize(
    ("name", "value"),
    [("X Y", "a"), ("", "a"), ("X:", "a"), ("X", "a\nb"), ("Host", "x"), ("content-length", "1")],
)
def test_headers_that_cannot_be_are_refused(name: str, value: str) -> None:
    with pytest.raises(UserError):
        check_header(name, value)


def test_a_body_keeps_the_types_of_its_values() -> None:
    body: BodyText = {
        "guests": ToolText("{guests}"),
        "names": ToolText("{names}"),
        "note": ToolText("for {{caller}}, {guests} guests"),
        "left out": ToolText("{wish}"),
        "both": [ToolText("{wish}"), ToolText("{guests}"), 1.5, None, True, "{plain}"],
    }
    filled = fill_body(body, {"guests": 3, "names": ["a", "b"]}, {"caller": 'A "quoted" name'})
    assert filled == {
        "guests": 3,
        "names": ["a", "b"],
        "note": 'for A "quoted" name, 3 guests',
        "both": [3, 1.5, None, True, "{plain}"],
    }
    assert fill_body(ToolText("{wish}"), {}, {}) is LEFT_OUT


def test_a_variable_without_a_value_is_no_gap() -> None:
    with pytest.raises(TemplateError):
        fill_body(ToolText("{{caller}}"), {}, {})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(JSON, st.text(max_size=10))
def test_no_value_changes_the_shape_of_a_body(value: Any, caller: str) -> None:
    body = {"a": ToolText("{a}"), "b": ToolText("<{a}>"), "c": ToolText("{{caller | x}}")}
    filled = fill_body(body, {"a": value}, {"caller": caller})
    assert json.loads(json.dumps(filled)).keys() == {"a", "b", "c"}
    assert filled["a"] == value
    assert filled["c"] == (caller or "x")
