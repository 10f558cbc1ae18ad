"""The published schema, asked of a validator that shares no code with ours."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from sipagent.config import published_schema, starter_text
from sipagent.config.schema_examples import EXAMPLES as OFFERED
from sipagent.config.source import read_source
from tests.config.gallery import RIGHT_IN_FORM, broken_files

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(
    file
    for folder in ("deploy", "tests/bench")
    for file in (ROOT / folder).rglob("*.yaml")
    if re.search(r"^agents:", file.read_text(encoding="utf-8"), re.MULTILINE)
)


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = published_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def mistakes(validator: Draft202012Validator, value: object) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_example_fits(validator: Draft202012Validator, file: Path) -> None:
    assert not mistakes(validator, yaml.safe_load(file.read_text(encoding="utf-8")))


def test_the_starter_fits_with_and_without_its_examples(validator: Draft202012Validator) -> None:
    assert not mistakes(validator, yaml.safe_load(starter_text()))
    whole = re.sub(r"^(\s*)#:", r"\1", starter_text(), flags=re.MULTILINE)
    assert not mistakes(validator, yaml.safe_load(whole))


def test_it_is_a_document_that_says_what_it_is() -> None:
    schema = published_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert json.loads(json.dumps(schema)) == schema == published_schema()
    text = json.dumps(schema)
    assert "``" not in text
    assert "discriminator" not in text


def test_every_key_is_described() -> None:
    schema = published_schema()
    silent = [
        f"{name}.{key}"
        for name, definition in {"": schema, **schema["$defs"]}.items()
        for key, described in definition.get("properties", {}).items()
        if "description" not in described and "$ref" not in described
    ]
    assert not silent


def keys_of(schema: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (name, key, described)
        for name, definition in {"Configuration": schema, **schema["$defs"]}.items()
        for key, described in definition.get("properties", {}).items()
    ]


def test_an_editor_has_something_to_offer_for_every_key() -> None:
    """Whoever adds a key adds an example to `schema_examples`, or to its type."""
    bare = [f"{name}.{key}" for name, key, described in keys_of(published_schema()) if not offers(described)]
    assert not bare


def offers(described: object) -> bool:
    """Whether examples or choices stand anywhere in it."""
    if isinstance(described, list):
        return any(map(offers, described))
    if not isinstance(described, dict):
        return False
    if described.get("type") == "boolean" or {"examples", "enum", "const", "$ref"} & described.keys():
        return True
    return any(map(offers, described.values()))


def test_every_example_is_right() -> None:
    schema = published_schema()
    for name, key, described in keys_of(schema):
        validator = Draft202012Validator({"$defs": schema["$defs"], **described})
        for example in described.get("examples", ()):
            wrong = [error.message for error in validator.iter_errors(example)]
            assert not wrong, f"{name}.{key}: {example!r}"


def test_no_example_is_of_a_key_that_there_is_not() -> None:
    keys = keys_of(published_schema())
    known = {f"{name}.{key}" for name, key, _ in keys} | {key for _, key, _ in keys}
    assert not OFFERED.keys() - known


def test_defaults_are_written_as_one_writes_them() -> None:
    definitions: dict[str, Any] = published_schema()["$defs"]
    assert definitions["CollectDigits"]["properties"]["timeout"]["default"] == "10s"
    assert definitions["AgentKeys"]["properties"]["voice"]["default"] == "marin"


@pytest.mark.parametrize("file", broken_files(), ids=lambda file: file.stem)
def test_a_broken_file_is_refused_for_its_form_or_only_wrong_in_its_meaning(
    validator: Draft202012Validator, file: Path
) -> None:
    source = read_source(file.read_bytes().decode("latin-1"), file=file.name)
    if source.value is None:
        return  # no validator ever sees what is no YAML
    found = mistakes(validator, source.value)
    assert bool(found) != (file.stem in RIGHT_IN_FORM), found


def test_most_of_what_is_wrong_in_form_is_in_the_gallery() -> None:
    assert {file.stem for file in broken_files()} >= RIGHT_IN_FORM
