"""Mistakes of form and of meaning are said at once, and none of them twice."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sipagent.config import load_configuration
from sipagent.config.broken import PLACEHOLDER
from sipagent.config.loader import Draft, parse_draft
from sipagent.config.source import KeyPath
from sipagent.errors import ConfigurationError, UserError
from tests.config import carriers

EXAMPLE = Path(__file__).parents[2] / "deploy" / "example" / "company"
VARIABLES = {"NORTHPIER_API": "http://127.0.0.1:9", "NORTHPIER_TOKEN": "a-token-of-the-test"}
RIGHT = """\
version: 1
calendars: {office: {timezone: Europe/Berlin, hours: {mon-fri: "08:00-18:00"}}}
agents:
  ann:
    instructions: Hi.
    tools: [hang_up, 5, transfer, {python: "a:b"}]
    transfer: {sales: {to: "tel:+15550100001", description: prices}}
  bob: [not, a, mapping]
routes:
  - {agent: bob}
  - {agent: ann, to: 5}
  - {agent: ann, when: {calendar: office, is: open}}
"""


def whole_of(text: str) -> Draft:
    draft = parse_draft(text, file="f.yaml")
    assert draft.problems
    assert draft.document is not None
    return draft


def test_what_is_whole_is_left_and_keeps_its_place() -> None:
    draft = whole_of(RIGHT)
    assert draft.document is not None
    configuration, source = draft.document.configuration, draft.document.source
    assert list(configuration.agents) == ["ann"]
    assert [each if isinstance(each, str) else "python" for each in configuration.agents["ann"].tools] == [
        "hang_up",
        "transfer",
        "python",
    ]
    assert source.problem(("agents", "ann", "tools", 1), "a", "b").column == 25
    assert source.problem(("agents", "ann", "tools", 2, "python"), "a", "b").column == 44
    assert draft.broken.parts == {("agents", "ann", "tools", 1), ("agents", "bob"), ("routes", 1)}


def test_routes_keep_their_numbers_and_a_broken_one_takes_no_calls() -> None:
    draft = whole_of(RIGHT)
    assert draft.document is not None
    first, broken, last = draft.document.configuration.routes
    assert (first.agent, broken.agent, last.agent) == ("bob", None, "ann")
    assert broken.header is not None


def test_what_no_file_can_do_without_is_made_up_and_never_named(tmp_path: Path) -> None:
    text = "agents: 5\ndefaults: {greeting: 'Hi {{nobody}}', tools: [set_language]}\n"
    draft = whole_of(text)
    assert draft.document is not None
    assert list(draft.document.configuration.agents) == [PLACEHOLDER]
    said = mistakes(tmp_path, text)
    assert "nobody" in said[-1]
    assert PLACEHOLDER not in "".join(said)
    assert len(said) == len(draft.problems) + 1


@pytest.mark.parametrize("text", ["[a, b]\n", "a: [\n", "", "5\n"])
def test_of_what_is_no_configuration_nothing_is_left(text: str) -> None:
    draft = parse_draft(text, file="f.yaml")
    assert draft.document is None
    assert draft.problems


def test_a_misspelt_key_counts_as_the_one_that_was_meant() -> None:
    draft = whole_of("version: 1\nagents: {a: {instructons: Hi.}}\ncalender: {}\nroutes: [{agent: a}]\n")
    assert {("agents", "a", "instructions"), ("calendars",)} <= draft.broken.parts


def mistakes(folder: Path, text: str) -> list[str]:
    file = folder / "sipagent.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        load_configuration(file, VARIABLES)
    return [f"{each.line}:{each.column} {each.message}" for each in refused.value.problems]


def test_a_module_that_ends_the_process_hides_no_other_mistake(tmp_path: Path) -> None:
    (tmp_path / "leaving.py").write_text("raise SystemExit\n", encoding="utf-8")
    agent = "{instructions: Hi., voice: 7, tools: [{python: 'leaving:f'}]}"
    text = f"version: 1\nagents: {{a: {agent}}}\nroutes: [{{agent: a}}]\n"
    [said] = mistakes(tmp_path, text)
    assert "voice" in said
    file = tmp_path / "sipagent.yaml"
    file.write_text(text.replace(" voice: 7,", ""), encoding="utf-8")
    with pytest.raises(UserError, match="ends the process"):
        load_configuration(file)


# One mistake of form in a file that is right ---------------------------------------------------------


def places(value: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    if path:
        yield path
    match value:
        case dict():
            for key, inner in value.items():
                yield from places(inner, (*path, key))
        case list():
            for index, inner in enumerate(value):
                yield from places(inner, (*path, index))
        case _:
            pass


def broken_at(whole: Any, path: KeyPath, kind: str) -> Any:
    """``whole`` with one value of another kind, or without a key, or with a misspelt one."""
    value = copy.deepcopy(whole)
    parent = value
    for part in path[:-1]:
        parent = parent[part]
    last: Any = path[-1]
    match kind:
        case "list":
            parent[last] = [[]]
        case "number":
            parent[last] = 4711.5
        case "empty":
            parent[last] = None
        case "misspelt" if isinstance(parent, dict):
            renamed = {(f"{key}x" if key == last else key): inner for key, inner in parent.items()}
            parent.clear()
            parent.update(renamed)
        case "removed" if isinstance(parent, dict):
            del parent[last]
        case _:
            pass
    return value


KINDS = ("list", "number", "empty", "misspelt", "removed")
WHOLE = yaml.safe_load((EXAMPLE / "sipagent.yaml").read_text(encoding="utf-8"))
MUTATIONS = [(path, KINDS[number % len(KINDS)]) for number, path in enumerate(places(WHOLE))]


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("company")
    shutil.copytree(EXAMPLE, folder, dirs_exist_ok=True)
    return folder


@pytest.mark.parametrize("part", range(4))
def test_one_mistake_of_form_causes_no_other(company: Path, part: int) -> None:
    tried = 0
    for path, kind in MUTATIONS[part::8]:
        text = yaml.safe_dump(broken_at(WHOLE, path, kind), sort_keys=False, allow_unicode=True)
        draft = parse_draft(text, file="f.yaml")
        if not draft.problems:
            continue
        tried += 1
        said = mistakes(company, text)
        assert said == [f"{each.line}:{each.column} {each.message}" for each in draft.problems], (path, kind)
    assert tried > 5


def test_one_mistake_among_carriers_causes_no_other(tmp_path: Path) -> None:
    whole = yaml.safe_load(carriers.WHOLE)
    tried = 0
    for number, path in enumerate(places(whole)):
        for kind in (KINDS[number % len(KINDS)], KINDS[(number + 2) % len(KINDS)]):
            text = yaml.safe_dump(broken_at(whole, path, kind), sort_keys=False, allow_unicode=True)
            draft = parse_draft(text, file="f.yaml")
            if not draft.problems:
                continue
            tried += 1
            with pytest.raises(ConfigurationError) as refused:
                carriers.load_text(tmp_path, text)
            said = [(each.line, each.column, each.message) for each in refused.value.problems]
            assert said == [(each.line, each.column, each.message) for each in draft.problems], (path, kind)
    assert tried > 60
