from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.config.source import MAXIMUM_VALUES, Source, read_source
from sipagent.errors import Problem


def read(text: str) -> Source:
    return read_source(text, file="f.yaml")


def only_problem(text: str) -> Problem:
    problems = read(text).problems
    assert len(problems) == 1, problems
    return problems[0]


def test_values_are_plain_and_keep_their_types() -> None:
    source = read(
        "a: text\nb: [1, -2, 0.5, 1_000, .inf]\nc: {d: true, e: false, f: ~, g:}\n"
        'h: "no"\ni: |\n  two\n  lines\n'
    )
    assert source.problems == ()
    assert source.value == {
        "a": "text",
        "b": [1, -2, 0.5, 1000, float("inf")],
        "c": {"d": True, "e": False, "f": None, "g": None},
        "h": "no",
        "i": "two\nlines\n",
    }


def test_a_place_is_where_the_value_begins() -> None:
    source = read("a:\n  - x\n  - b: yy\n")
    problem = source.problem(("a", 1, "b"), "Seen.", "Write.")
    assert str(problem) == "f.yaml:3:8: Seen. Write."
    at_key = source.problem(("a", 1, "b"), "Seen.", "Write.", at_key=True)
    assert (at_key.line, at_key.column) == (3, 5)
    assert source.has(("a", 1, "b"))
    assert not source.has(("a", 2))


def test_what_is_not_written_is_reported_at_what_surrounds_it() -> None:
    problem = read("a:\n  b: {c: 1}\n").problem(("a", "b", "missing", 3), "Seen.", "Write.")
    assert (problem.line, problem.column) == (2, 6)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("no", "false"),
        ("off", "false"),
        ("Yes", "true"),
        ("ON", "true"),
        ("9:30", "time"),
        ("09:00", "time"),
        ("10:30:15", "time"),
        ("+15550100000", "drops the plus"),
        ("0123", "octal"),
        ("2026-11-20", "date"),
        ("1:59:59:59", "base 60"),
        ("=", "no meaning"),
        ("!secret x", "no meaning"),
        ("!!python/name:os.system x", "no meaning"),
    ],
)
def test_what_yaml_reads_otherwise_than_it_looks_is_explained(written: str, message: str) -> None:
    problem = only_problem(f"key: {written}\n")
    assert (problem.line, problem.column) == (1, 6)
    assert message in problem.message
    assert problem.remedy
    quoted = read(f'key: "{written}"\n')
    assert quoted.problems == ()
    assert quoted.value == {"key": written}


def test_the_remedy_of_a_number_quotes_it() -> None:
    assert only_problem("to: +15550100000").remedy == 'Put it in quotes: "+15550100000".'


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "second time; the first is in line 1"),
        ("no: 1\n", 1, "false"),
        ("5: x\n", 1, "not text"),
        ("? [a]\n: x\n", 1, "must be a word"),
        ("~: x\n", 1, "not text"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", 3, "not supported"),
        ("", 1, "empty"),
        ("# only a comment\n", 1, "empty"),
        ("a: &x [*x]\n", 1, "holds itself"),
        ("a: " + "[" * 5000 + "]" * 5000, 1, "nested too deeply"),
    ],
)
def test_keys_and_shapes_that_cannot_be_meant(text: str, line: int, message: str) -> None:
    problem = only_problem(text)
    assert problem.line == line
    assert message in problem.message


def test_the_first_of_two_equal_keys_is_kept() -> None:
    assert read("a: 1\na: 2\n").value == {"a": 1}


@pytest.mark.parametrize(
    ("text", "line", "remedy"),
    [
        ("a:\n\t- b\n", 2, "spaces"),
        ("greeting: Hello: you\n", 1, "quotes"),
        ("a: *nothing\n", 1, "quotes"),
        ("a: 1\n---\nb: 1\n", 2, "one configuration"),
        ("a: [1\nb: 2\n", 1, "Close it"),
        ("a: [1]\nb: {c: d?}\n", 2, "brackets"),
        ("a: \x00\n", 1, "UTF-8"),
    ],
)
def test_what_is_no_yaml_has_a_place_and_a_remedy(text: str, line: int, remedy: str) -> None:
    source = read(text)
    assert source.value is None
    assert source.problems[0].line == line
    assert remedy in source.problems[0].remedy


def test_aliases_cannot_grow_without_bound() -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    source = read("\n".join(rows))
    assert [problem for problem in source.problems if str(MAXIMUM_VALUES) in problem.message]
    assert len(source.values) < 2 * MAXIMUM_VALUES


def test_an_alias_is_read_where_it_stands() -> None:
    source = read("a: &x [1]\nb: *x\n")
    assert source.value == {"a": [1], "b": [1]}


@given(st.text(max_size=200))
def test_no_text_is_too_strange(text: str) -> None:
    source = read(text)
    assert source.value is not None or source.problems or text.strip()
    assert all(problem.line >= 1 and problem.column >= 1 for problem in source.problems)
