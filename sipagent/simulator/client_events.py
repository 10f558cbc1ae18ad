"""Client events: read, checked, and turned into values. Pure."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from sipagent.errors import SimulatorError
from sipagent.simulator.parameters import ParameterProblem, check_item, check_response

MAX_APPEND_BYTES: Final = 15 * 1024 * 1024
"""The largest piece of audio one event may carry."""


class ClientEventError(SimulatorError):
    """An event that is answered with an ``error`` event and changes nothing.

    ``event_id`` is the id the client gave its event, or None.
    """

    def __init__(self, problem: ParameterProblem, *, event_id: str | None) -> None:
        super().__init__(problem.message)
        self.problem = problem
        self.event_id = event_id


@dataclass(frozen=True, slots=True, kw_only=True)
class _ClientEvent:
    event_id: str | None
    """What the client calls this event; repeated in an error about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionUpdate(_ClientEvent):
    type: ClassVar[str] = "session.update"
    session: object
    """Not checked yet: whether it can be applied depends on the session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseCreate(_ClientEvent):
    type: ClassVar[str] = "response.create"
    response: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseCancel(_ClientEvent):
    type: ClassVar[str] = "response.cancel"
    response_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemCreate(_ClientEvent):
    type: ClassVar[str] = "conversation.item.create"
    item: Mapping[str, Any]
    previous_item_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemDelete(_ClientEvent):
    type: ClassVar[str] = "conversation.item.delete"
    item_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemRetrieve(_ClientEvent):
    type: ClassVar[str] = "conversation.item.retrieve"
    item_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemTruncate(_ClientEvent):
    type: ClassVar[str] = "conversation.item.truncate"
    item_id: str
    content_index: int
    audio_end_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InputAppend(_ClientEvent):
    type: ClassVar[str] = "input_audio_buffer.append"
    audio: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class InputCommit(_ClientEvent):
    type: ClassVar[str] = "input_audio_buffer.commit"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputClear(_ClientEvent):
    type: ClassVar[str] = "input_audio_buffer.clear"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputClear(_ClientEvent):
    type: ClassVar[str] = "output_audio_buffer.clear"


ClientEvent = (
    SessionUpdate
    | ResponseCreate
    | ResponseCancel
    | ItemCreate
    | ItemDelete
    | ItemRetrieve
    | ItemTruncate
    | InputAppend
    | InputCommit
    | InputClear
    | OutputClear
)


class _Fields:
    """One event's fields, taken out one by one, each with the error the API would answer."""

    def __init__(self, event: Mapping[str, Any]) -> None:
        self._event = event
        given = event.get("event_id")
        self.event_id = given if isinstance(given, str) else None

    def fail(self, problem: ParameterProblem) -> ClientEventError:
        return ClientEventError(problem, event_id=self.event_id)

    def text(self, name: str) -> str:
        value = self._required(name)
        if not isinstance(value, str):
            raise self._wrong(name, "a string", value)
        return value

    def optional_text(self, name: str) -> str | None:
        return None if self._event.get(name) is None else self.text(name)

    def number(self, name: str) -> int:
        value = self._required(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self._wrong(name, "an integer of 0 or more", value)
        return value

    def raw(self, name: str) -> object:
        return self._event.get(name)

    def _required(self, name: str) -> object:
        value = self._event.get(name)
        if value is None:
            raise self.fail(
                ParameterProblem(
                    code="missing_required_parameter",
                    message=f"Missing required parameter: '{name}'.",
                    param=name,
                )
            )
        return value

    def _wrong(self, name: str, expected: str, seen: object) -> ClientEventError:
        message = f"Invalid type for '{name}': expected {expected}, but got {type(seen).__name__} instead."
        return self.fail(ParameterProblem(code="invalid_type", message=message, param=name))


def parse_client_event(text: str) -> ClientEvent:
    """Read one frame.

    Raises:
        ClientEventError: no JSON object, an unknown type, a missing or wrong field.
    """
    try:
        event = json.loads(text)
    except ValueError:
        event = None
    if not isinstance(event, dict):
        problem = ParameterProblem(
            code="invalid_event", message="The event could not be parsed as a JSON object.", param=""
        )
        raise ClientEventError(problem, event_id=None)
    fields = _Fields(event)
    kind = fields.text("type")
    reader = _READERS.get(kind)
    if reader is None:
        supported = ", ".join(f"'{name}'" for name in _READERS)
        message = f"Invalid value: '{kind}'. Supported values are: {supported}."
        raise fields.fail(ParameterProblem(code="invalid_value", message=message, param="type"))
    return reader(fields)


def _read_response_create(fields: _Fields) -> ClientEvent:
    response = fields.raw("response")
    if response is None:
        response = {}
    if (problem := check_response(response)) is not None:
        raise fields.fail(problem)
    assert isinstance(response, Mapping), "a checked response is an object"
    return ResponseCreate(event_id=fields.event_id, response=response)


def _read_item_create(fields: _Fields) -> ClientEvent:
    item = fields.raw("item")
    if (problem := check_item(item)) is not None:
        raise fields.fail(problem)
    assert isinstance(item, Mapping), "a checked item is an object"
    return ItemCreate(
        event_id=fields.event_id, item=item, previous_item_id=fields.optional_text("previous_item_id")
    )


def _read_append(fields: _Fields) -> ClientEvent:
    encoded = fields.text("audio")
    try:
        audio = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        message = "Invalid 'audio'. Expected base64-encoded audio bytes without line breaks."
        raise fields.fail(ParameterProblem(code="invalid_value", message=message, param="audio")) from None
    if len(audio) > MAX_APPEND_BYTES:
        message = f"Invalid 'audio': {len(audio)} bytes, but at most {MAX_APPEND_BYTES} may be appended."
        raise fields.fail(ParameterProblem(code="invalid_value", message=message, param="audio"))
    return InputAppend(event_id=fields.event_id, audio=audio)


_READERS: Final[Mapping[str, Callable[[_Fields], ClientEvent]]] = {
    "session.update": lambda f: SessionUpdate(event_id=f.event_id, session=f.raw("session")),
    "input_audio_buffer.append": _read_append,
    "input_audio_buffer.commit": lambda f: InputCommit(event_id=f.event_id),
    "input_audio_buffer.clear": lambda f: InputClear(event_id=f.event_id),
    "output_audio_buffer.clear": lambda f: OutputClear(event_id=f.event_id),
    "conversation.item.create": _read_item_create,
    "conversation.item.truncate": lambda f: ItemTruncate(
        event_id=f.event_id,
        item_id=f.text("item_id"),
        content_index=f.number("content_index"),
        audio_end_ms=f.number("audio_end_ms"),
    ),
    "conversation.item.delete": lambda f: ItemDelete(event_id=f.event_id, item_id=f.text("item_id")),
    "conversation.item.retrieve": lambda f: ItemRetrieve(event_id=f.event_id, item_id=f.text("item_id")),
    "response.create": _read_response_create,
    "response.cancel": lambda f: ResponseCancel(
        event_id=f.event_id, response_id=f.optional_text("response_id")
    ),
}
