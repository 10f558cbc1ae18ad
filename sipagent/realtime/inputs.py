"""What a session asks of a model, as values. Names as in the OpenAI Agents SDK where it has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

from sipagent.identifiers import ItemId, ResponseId
from sipagent.realtime.events import RealtimeModelToolCallEvent
from sipagent.realtime.settings import RealtimeSessionModelSettings
from sipagent.realtime.value import Value


class RealtimeModelRawClientMessage(TypedDict):
    """Any client event of the API: its ``type``, and its other fields in ``other_data``."""

    type: str
    other_data: NotRequired[dict[str, Any]]


class RealtimeModelInputTextContent(TypedDict):
    """Text in a user's message."""

    type: str
    """``input_text``"""
    text: str


class RealtimeModelInputImageContent(TypedDict, total=False):
    """A picture in a user's message."""

    type: str
    """``input_image``"""
    image_url: str
    """The picture itself as ``data:image/…;base64,…``, PNG or JPEG, or where it is: ``https://…``"""
    detail: str
    """``auto``, ``low`` or ``high``; ``auto`` where left out."""


class RealtimeModelUserInputMessage(TypedDict):
    """A user's message made of parts."""

    type: str
    """``message``"""
    role: str
    """``user``"""
    content: list[RealtimeModelInputTextContent | RealtimeModelInputImageContent]


RealtimeModelUserInput = str | RealtimeModelUserInputMessage
"""What a user may say in writing: plain text, or a message of texts and pictures."""


class RealtimeModelSendRawMessage(Value, frozen=True, kw_only=True):
    """Send a client event as it is; a ``response.create`` still waits its turn."""

    message: RealtimeModelRawClientMessage


class RealtimeModelSendUserInput(Value, frozen=True, kw_only=True):
    """Add a user's message and ask for a response."""

    user_input: RealtimeModelUserInput


class RealtimeModelSendSystemMessage(Value, frozen=True, kw_only=True):
    """Add a system message; no response is asked for."""

    text: str


class RealtimeModelRequestResponse(Value, frozen=True, kw_only=True):
    """Ask for a response, as soon as one may be asked for.

    Without ``response`` the request is merged with other such ones that wait; with it, it keeps its place
    and its own parameters (API reference, ``response.create``).
    """

    response: Mapping[str, Any] | None = None
    event_id: str | None = None
    """Names the request in what the server and `RealtimeModelResponseRequestedEvent` say of it."""
    unless_begun: bool = False
    """A response that runs when the server gets to this one is what was wanted: this is not asked again."""


class RealtimeModelSendAudio(Value, frozen=True, kw_only=True):
    """Append audio of the caller, where it goes over the socket."""

    audio: bytes
    commit: bool = False
    """Also end the turn; for sessions without turn detection."""


class RealtimeModelSendToolOutput(Value, frozen=True, kw_only=True):
    """Answer a tool call of the model."""

    tool_call: RealtimeModelToolCallEvent
    output: str
    start_response: bool
    """Whether a response is wanted once every call of the same response is answered."""


class RealtimeModelSendInterrupt(Value, frozen=True, kw_only=True):
    """Cut the agent off now."""

    force_response_cancel: bool = False
    """Over the socket: cancel even where the server would do so itself when the caller speaks."""
    response_id: ResponseId | None = None
    """Cut off this response only, and nothing that came after it; None cuts off whatever there is, what was
    asked for and has not begun included. Requests with parameters of their own that wait are kept."""
    playback_only: bool = False
    """Stop what is heard, and let the model go on making it: nothing is cancelled."""
    cancel_response_only: bool = False
    """Cancel the response of ``response_id``, and let what was made of it be heard."""


class RealtimeModelSendSessionUpdate(Value, frozen=True, kw_only=True):
    """Change the session: instructions, tools, settings."""

    session_settings: RealtimeSessionModelSettings
    event_id: str | None = None
    """Names the update in the error of a server that refuses it."""
    keep_voice: bool = False
    """Leave the voice out: once the model has spoken, an update that names another is refused whole."""


class RealtimeModelSendMcpApproval(Value, frozen=True, kw_only=True):
    """Answer a `RealtimeModelMcpApprovalRequestedEvent`; a second answer to the same request is not sent."""

    approval_request_id: ItemId
    approve: bool
    reason: str | None = None
    """For the model."""


class RealtimeModelSendInterruptible(Value, frozen=True, kw_only=True):
    """Whether the caller's speech cuts the agent off, until said otherwise; while not, the server answers
    nothing that the caller says by itself either."""

    interruptible: bool
    turn_detection: Mapping[str, Any]
    """The turn detection in force, as the API writes it."""


RealtimeModelSendEvent = (
    RealtimeModelSendRawMessage
    | RealtimeModelSendUserInput
    | RealtimeModelSendSystemMessage
    | RealtimeModelRequestResponse
    | RealtimeModelSendAudio
    | RealtimeModelSendToolOutput
    | RealtimeModelSendMcpApproval
    | RealtimeModelSendInterrupt
    | RealtimeModelSendSessionUpdate
    | RealtimeModelSendInterruptible
)
"""Everything a session asks of a model."""
