"""How tools fail: what the model is told, and whether something may have happened in the world."""

from __future__ import annotations

from typing import Any, Literal

from sipagent.errors import SipAgentError
from sipagent.realtime import RunContextWrapper
from sipagent.realtime.tools import default_tool_error_function

Effect = Literal["none", "unknown"]
"""Of a tool that failed: nothing was done, or nobody can tell."""


class ToolFailureError(SipAgentError):
    """A tool failed. Its text is for the model: whole sentences, true, and without secrets.

    Functions of operators may raise it too.
    """

    def __init__(self, message: str, *, effect: Effect = "unknown") -> None:
        super().__init__(message)
        self.effect = effect


def failure_sentence(context: RunContextWrapper[Any], error: Exception) -> str:
    """What the model is told of ``error``: of a `ToolFailureError` its text, else what every tool says."""
    if isinstance(error, ToolFailureError):
        return str(error)
    return default_tool_error_function(context, error)
