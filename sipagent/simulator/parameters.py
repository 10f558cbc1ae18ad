"""Checks what a client sent against the types the `openai` package documents.

The types forbid nothing by themselves: an unknown field is kept as an extra. Here it is found, and named by
its path, as the real API does (``Unknown parameter: 'session.temperature'.``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openai.types.realtime import (
    RealtimeConversationItemAssistantMessage,
    RealtimeConversationItemFunctionCall,
    RealtimeConversationItemFunctionCallOutput,
    RealtimeConversationItemSystemMessage,
    RealtimeConversationItemUserMessage,
    RealtimeMcpApprovalResponse,
    RealtimeResponseCreateParams,
    RealtimeSessionCreateRequest,
)
from pydantic import BaseModel, ValidationError

# The types below do not state these limits; the API reference does.
_RANGES: Mapping[str, tuple[float, float]] = {
    "audio.input.turn_detection.threshold": (0, 1),
    "audio.input.turn_detection.idle_timeout_ms": (5000, 30000),
    "audio.input.turn_detection.silence_duration_ms": (0, 60000),
    "audio.input.turn_detection.prefix_padding_ms": (0, 60000),
    "audio.output.speed": (0.25, 1.5),
    "max_output_tokens": (1, 4096),
    "truncation.retention_ratio": (0, 1),
}

_SERVER_SET = frozenset({"id", "object", "expires_at"})
"""What the server adds to a session and a client may send back unharmed."""

_ITEM_TYPES: Mapping[tuple[str, str | None], type[BaseModel]] = {
    ("message", "system"): RealtimeConversationItemSystemMessage,
    ("message", "user"): RealtimeConversationItemUserMessage,
    ("message", "assistant"): RealtimeConversationItemAssistantMessage,
    ("function_call", None): RealtimeConversationItemFunctionCall,
    ("function_call_output", None): RealtimeConversationItemFunctionCallOutput,
    ("mcp_approval_response", None): RealtimeMcpApprovalResponse,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterProblem:
    """The first thing wrong with a request, in the words of the API's error object."""

    code: str
    """``unknown_parameter``, ``missing_required_parameter`` or ``invalid_value``."""
    message: str
    param: str
    """Where: dotted from the request's root, such as ``session.audio.output.speed``."""


def check_session(session: object, *, root: str = "session") -> ParameterProblem | None:
    """What is wrong with a session object, as a body of accept or in a ``session.update``; None if nothing.

    ``type`` must be there and must be ``realtime``: transcription sessions are not played.
    """
    if not isinstance(session, Mapping):
        return _missing(root) if session is None else _invalid(root, "an object", session)
    if "type" not in session:
        return _missing(f"{root}.type")
    if session["type"] != "realtime":
        return _invalid(f"{root}.type", "'realtime'", session["type"])
    sent = {name: value for name, value in session.items() if name not in _SERVER_SET}
    return _check(RealtimeSessionCreateRequest, sent, root) or _check_limits(sent, root)


def check_response(response: object, *, root: str = "response") -> ParameterProblem | None:
    """What is wrong with the ``response`` of a ``response.create``; None if nothing."""
    if not isinstance(response, Mapping):
        return _invalid(root, "an object", response)
    sent = {name: value for name, value in response.items() if name != "input"}
    problem = _check(RealtimeResponseCreateParams, sent, root) or _check_limits(sent, root)
    if problem is not None:
        return problem
    entries = response.get("input")
    if entries is None:
        return None
    if not isinstance(entries, list):
        return _invalid(f"{root}.input", "an array", entries)
    for index, entry in enumerate(entries):
        if isinstance(entry, Mapping) and entry.get("type") == "item_reference":
            if not isinstance(entry.get("id"), str):
                return _missing(f"{root}.input[{index}].id")
            continue
        if (found := check_item(entry, root=f"{root}.input[{index}]")) is not None:
            return found
    return None


def check_item(item: object, *, root: str = "item") -> ParameterProblem | None:
    """What is wrong with an item a client wants to add; None if nothing."""
    if not isinstance(item, Mapping):
        return _missing(root) if item is None else _invalid(root, "an object", item)
    kind, role = item.get("type"), item.get("role")
    if kind is None:
        return _missing(f"{root}.type")
    if kind == "message" and role is None:
        return _missing(f"{root}.role")
    model = _ITEM_TYPES.get((str(kind), str(role) if kind == "message" else None))
    if model is None:
        place, value = ("role", role) if kind == "message" else ("type", kind)
        return _invalid(f"{root}.{place}", "a documented one", value)
    return _check(model, item, root)


# Finding the first problem ---------------------------------------------------------------------------


def _check(model: type[BaseModel], value: Mapping[str, Any], root: str) -> ParameterProblem | None:
    try:
        # Strict, because the API takes no "0.5" for 0.5.
        read = model.model_validate(dict(value), strict=True)
    except ValidationError as error:
        return _translate(error, root)
    for path in _extras(read, root):
        return ParameterProblem(code="unknown_parameter", message=f"Unknown parameter: '{path}'.", param=path)
    return None


def _translate(error: ValidationError, root: str) -> ParameterProblem:
    """The error of the union member that came closest: the one that read furthest."""
    first = max(error.errors(include_url=False), key=lambda entry: len(entry["loc"]))
    # A union adds the name of the type it tried to the path; no parameter begins with a capital letter.
    names = [part for part in first["loc"] if isinstance(part, int) or part[:1].islower()]
    path = root + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in names)
    if first["type"] == "missing":
        return _missing(path)
    return ParameterProblem(
        code="invalid_value", message=f"Invalid value: {first['input']!r}. {first['msg']}.", param=path
    )


def _extras(value: object, path: str) -> Iterator[str]:
    """The path of every field that the documented types do not have."""
    match value:
        case BaseModel():
            for name in value.model_extra or {}:
                yield f"{path}.{name}"
            for name in value.model_fields_set & type(value).model_fields.keys():
                yield from _extras(getattr(value, name), f"{path}.{name}")
        case list():
            for index, entry in enumerate(value):
                yield from _extras(entry, f"{path}[{index}]")
        case _:
            return


def _check_limits(value: Mapping[str, Any], root: str) -> ParameterProblem | None:
    for path, (lowest, highest) in _RANGES.items():
        number = _at(value, path)
        if isinstance(number, int | float) and not lowest <= number <= highest:
            return _invalid(f"{root}.{path}", f"a number from {lowest:g} to {highest:g}", number)
    problem = _check_servers(value.get("tools") or (), f"{root}.tools")
    if problem is not None:
        return problem
    modalities = value.get("output_modalities")
    if modalities is not None and modalities not in (["audio"], ["text"]):
        return _invalid(f"{root}.output_modalities", "['audio'] or ['text']", modalities)
    metadata = value.get("metadata")
    if isinstance(metadata, Mapping) and (
        len(metadata) > 16 or any(len(key) > 64 or len(entry) > 512 for key, entry in metadata.items())
    ):
        return _invalid(f"{root}.metadata", "at most 16 pairs of 64 and 512 characters", len(metadata))
    return None


def _check_servers(tools: Sequence[Mapping[str, Any]], root: str) -> ParameterProblem | None:
    """What is wrong with MCP servers, which the types below do not know."""
    labels: set[str] = set()
    for index, tool in enumerate(tools):
        if tool.get("type") != "mcp":
            continue
        label = tool["server_label"]
        if label in labels:
            return _invalid(f"{root}[{index}].server_label", "a label that no other server has", label)
        labels.add(label)
        places = [name for name in ("server_url", "connector_id", "tunnel_id") if tool.get(name)]
        if len(places) > 1:
            return _invalid(f"{root}[{index}].{places[1]}", f"nothing beside {places[0]}", tool[places[1]])
        headers = {name.lower() for name in tool.get("headers") or {}}
        if tool.get("authorization") and "authorization" in headers:
            return _invalid(f"{root}[{index}].headers", "no Authorization beside authorization", "headers")
    return None


def _at(value: Mapping[str, Any], path: str) -> object:
    found: object = value
    for name in path.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(name)
    return found


def _missing(param: str) -> ParameterProblem:
    return ParameterProblem(
        code="missing_required_parameter", message=f"Missing required parameter: '{param}'.", param=param
    )


def _invalid(param: str, expected: str, seen: object) -> ParameterProblem:
    return ParameterProblem(
        code="invalid_value", message=f"Invalid value: {seen!r}. Expected {expected}.", param=param
    )
