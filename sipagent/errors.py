"""The exceptions of the project, as one tree.

    SipAgentError
    ├── UserError                      an engineer or operator used us wrongly
    │   └── ConfigurationError         the configuration is wrong: file, line, column, remedy
    ├── ModelBehaviorError             the model did what its contract forbids
    ├── ToolTimeoutError               a tool passed its deadline
    ├── WebhookError                   a webhook that must be answered 400
    │   ├── WebhookSignatureError      forged, stale or unsigned
    │   │   ├── WebhookLateError       signed, and too old
    │   │   └── WebhookReplayedError   signed, and a copy of one that was answered long ago
    │   └── WebhookBodyError           too large, no JSON, or not the documented shape
    ├── CallControlError               the Calls API did not do what it was asked
    │   ├── CallGoneError              the call is over (404, or code call_id_not_found)
    │   ├── CallControlRefusedError    4xx: the request is wrong or not allowed
    │   ├── CallControlRateLimitedError  429
    │   └── CallControlUnavailableError  5xx, time out, no connection
    ├── AttachError                    the Realtime socket of a call could not be opened
    │   └── AttachNotFoundError        the handshake kept answering 404
    ├── ConnectionLostError            an open Realtime socket was lost and could not be had again
    │   └── NotOursError               the call belongs to another process by now
    ├── StoreError                     the database refused
    │   ├── StoreAwayError             the database is not there, or does not answer in time
    │   └── WorkerGoneError            a worker was given up, and cannot come back under its name
    ├── CarrierError                   a telephone company's API did not do what it was asked
    │   ├── CarrierRefusedError        4xx: the request is wrong or not allowed
    │   │   └── CarrierLegGoneError    the leg is over, or was never there
    │   └── CarrierUnavailableError    429, 5xx, time out, no connection
    ├── MediaStreamError               a carrier's audio socket was lost, or speaks another protocol
    ├── SpillError                     what waits for the database could not be kept on disk
    └── SimulatorError                 the simulator was given something it cannot play
        ├── SipSyntaxError             bytes that are no SIP message
        ├── SdpError                   a session description that cannot be answered
        └── ScriptError                a script with a mistake: file, line, column, remedy

A foreign exception is translated once, in the file that imports the foreign package, with ``from``.
"""

from __future__ import annotations

from dataclasses import dataclass


class SipAgentError(Exception):
    """Root of every exception this project raises on purpose."""


class UserError(SipAgentError):
    """The library or the configuration was used wrongly; the message says what to do instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake in a file, where it is and how to mend it.

    ``line`` and ``column`` count from 1.
    """

    file: str
    line: int
    column: int
    message: str
    """What was seen and what was expected."""
    remedy: str
    """What to write instead."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message} {self.remedy}".rstrip()


class ConfigurationError(UserError):
    """The configuration cannot be used. ``problems`` holds every mistake found, in file order."""

    def __init__(self, *problems: Problem) -> None:
        assert problems, "an error without a problem explains nothing"
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class ModelBehaviorError(SipAgentError):
    """The model did something its contract forbids, such as calling a tool with no call id."""


class ToolTimeoutError(SipAgentError):
    """A tool did not finish before its deadline."""

    def __init__(self, *, tool_name: str, timeout_s: float) -> None:
        super().__init__(f"tool {tool_name!r} did not finish within {timeout_s:g} seconds")
        self.tool_name = tool_name
        self.timeout_s = timeout_s


class WebhookError(SipAgentError):
    """A webhook request that is answered 400 and starts nothing."""


class WebhookSignatureError(WebhookError):
    """The request is not signed by a secret we know, or its timestamp is too old or too new."""


class WebhookLateError(WebhookSignatureError):
    """The signature is good, and what it signs is older than it may be."""


class WebhookReplayedError(WebhookSignatureError):
    """The signature is good, and the request a copy of one that was answered before, too long ago to be its
    sender's second try."""


class WebhookBodyError(WebhookError):
    """The body is too large, is not JSON, or lacks what its type documents."""


class CallControlError(SipAgentError):
    """A request to the Calls API failed.

    ``status`` is the HTTP status, or None when no answer came. ``code`` is the error code of the
    answer's body, or None.
    """

    def __init__(self, message: str, *, status: int | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class CallGoneError(CallControlError):
    """The call is over, or was never there: 404, or code ``call_id_not_found`` with any status."""


class CallControlRefusedError(CallControlError):
    """The API understood and refused (4xx): our key, our payload or our timing is wrong."""


class CallControlRateLimitedError(CallControlError):
    """The API asks us to slow down (429)."""


class CallControlUnavailableError(CallControlError):
    """The API failed (5xx), did not answer in time, or could not be reached."""


class AttachError(SipAgentError):
    """The Realtime socket could not be opened. ``status`` is the handshake's status, or None."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class AttachNotFoundError(AttachError):
    """The handshake answered 404 until the deadline: no session exists for this call."""


class ConnectionLostError(SipAgentError):
    """An open Realtime socket was lost, and re-attaching failed otherwise than by 404."""


class NotOursError(ConnectionLostError):
    """The call belongs to another process by now, and nothing may be done to it from here any more."""


class StoreError(SipAgentError):
    """The database refused or could not be reached."""


class StoreAwayError(StoreError):
    """The database could not be reached, or did not answer in time.

    ``serves_nobody`` is True when it is certain that it answers no other process either: it refuses
    connections, starts or shuts down. It is False when only we may be cut off from it.
    """

    def __init__(self, message: str, *, serves_nobody: bool) -> None:
        super().__init__(message)
        self.serves_nobody = serves_nobody


class CarrierError(SipAgentError):
    """A telephone company's API did not do what it was asked. ``status`` is its HTTP status, None without an
    answer."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class CarrierRefusedError(CarrierError):
    """The request is wrong or not allowed (4xx)."""


class CarrierLegGoneError(CarrierRefusedError):
    """The leg is over, or was never there."""


class CarrierUnavailableError(CarrierError):
    """The API failed, has too much to do, or cannot be reached: 429, 5xx, time out, no connection."""


class MediaStreamError(SipAgentError):
    """A carrier's audio socket was lost, or what came over it is not its protocol."""


class WorkerGoneError(StoreError):
    """A worker has left, or others were let to its calls: it cannot come back under its name."""


class SpillError(SipAgentError):
    """What waits for the database could not be kept on disk, or not be read from there."""


class SimulatorError(SipAgentError):
    """The simulator cannot do what it was asked."""


class SipSyntaxError(SimulatorError):
    """Bytes that cannot be read as a SIP message (RFC 3261 section 7)."""


class SdpError(SimulatorError):
    """A session description that cannot be parsed or answered (RFC 4566, RFC 3264)."""


class ScriptError(SimulatorError):
    """A simulator script with mistakes. ``problems`` holds every one, in file order."""

    def __init__(self, *problems: Problem) -> None:
        assert problems, "an error without a problem explains nothing"
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
