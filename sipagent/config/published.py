"""The JSON Schema of the configuration file, for editors: completion, and red lines while one types.

It is made of the same types that read the file, so that what an editor accepts is what the loader accepts, as
far as one file by itself can tell. What depends on other keys, on other files or on the environment is said
by `sipagent check` alone.
"""

from __future__ import annotations

import json
from typing import Any

from sipagent.config.schema import Configuration
from sipagent.config.schema.base import DURATION_PATTERN
from sipagent.config.schema_examples import EXAMPLES

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def published_schema() -> dict[str, Any]:
    """The schema (JSON Schema, draft 2020-12), fit for ``json.dumps``."""
    # Through JSON and back: the parts of what pydantic gives belong to the types, and may be shared.
    schema: dict[str, Any] = json.loads(json.dumps(Configuration.model_json_schema(mode="validation")))
    _tidy(schema)
    for name, definition in {"Configuration": schema, **schema["$defs"]}.items():
        for key, described in definition.get("properties", {}).items():
            examples = EXAMPLES.get(f"{name}.{key}", EXAMPLES.get(key))
            if examples is not None and not offers_something(described):
                described["examples"] = json.loads(json.dumps(examples))
    return {
        "$schema": DIALECT,
        "title": "sipagent configuration",
        **{key: value for key, value in schema.items() if key != "title"},
    }


def offers_something(described: Any) -> bool:
    """Whether an editor has something to offer for a value: examples, choices, or keys of a mapping."""
    if not isinstance(described, dict):
        return False
    if described.get("type") == "boolean" or not described.keys().isdisjoint(
        ("examples", "enum", "const", "$ref")
    ):
        return True
    inner = [described.get("items"), described.get("additionalProperties")]
    return any(map(offers_something, [*described.get("anyOf", ()), *described.get("oneOf", ()), *inner]))


def _tidy(schema: Any) -> None:
    """Takes out what is no help to anybody: titles that repeat keys, defaults that are whole mappings, and
    marks of reStructuredText."""
    if isinstance(schema, list):
        for item in schema:
            _tidy(item)
        return
    if not isinstance(schema, dict):
        return
    if isinstance(schema.get("title"), str):
        del schema["title"]
    schema.pop("discriminator", None)  # a word of OpenAPI
    if isinstance(schema.get("default"), dict | list) or schema.get("default", 0) is None:
        del schema["default"]
    if schema.get("pattern") == DURATION_PATTERN and "default" in schema:
        schema["default"] = f"{schema['default']:g}s"
    if "patternProperties" in schema:
        # Whoever names the keys that there may be means that there are no others.
        schema.setdefault("additionalProperties", False)
    if isinstance(description := schema.get("description"), str):
        schema["description"] = " ".join(description.replace("``", "`").split())
    # The examples of a key are values, and its properties are names: neither is a schema.
    for key, inner in schema.items():
        if key in ("properties", "patternProperties", "$defs"):
            for each in inner.values():
                _tidy(each)
        elif key not in ("examples", "enum", "const", "default", "required"):
            _tidy(inner)
