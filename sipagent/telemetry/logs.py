"""Log lines: one sentence for people, fields for machines, and the call id on every line of a call.

A line's fields are given as ``logger.info("…", extra={"fields": {"end_reason": "transferred"}})``.
Lines of other packages appear from WARNING on.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TextIO

from sipagent.escapes import in_json, one_line, some_lines
from sipagent.telemetry.redact import Redactor

# A context variable has to live in a module. It belongs to the running task, and the tasks a call starts
# inherit it: no line of a call has to be told which call it is.
_bound_call: ContextVar[str | None] = ContextVar("sipagent call", default=None)

_PACKAGE = "sipagent"


@contextmanager
def bind_call(call_id: str) -> Iterator[None]:
    """Every line logged inside, in this task and in those it starts, carries ``call_id``."""
    token = _bound_call.set(call_id)
    try:
        yield
    finally:
        _bound_call.reset(token)


def configure_logging(
    *, as_json: bool, level: int | str, secrets: Sequence[str], stream: TextIO
) -> logging.Handler:
    """Send the log of this process to ``stream``, in place of wherever an earlier call sent it.

    ``level`` is for our own lines. None of ``secrets``, and nothing shaped like a secret, reaches the
    stream. Returns the handler, whose removal from the root logger ends it. Raises `ValueError` for a
    level that does not exist.
    """
    formatter = JsonFormatter(Redactor(secrets)) if as_json else SentenceFormatter(Redactor(secrets))
    handler = _Handler(stream)
    handler.setFormatter(formatter)
    handler.addFilter(CallIdFilter())
    logging.getLogger(_PACKAGE).setLevel(level.upper() if isinstance(level, str) else level)
    root = logging.getLogger()
    for earlier in [handler for handler in root.handlers if isinstance(handler, _Handler)]:
        root.removeHandler(earlier)
    root.setLevel(logging.WARNING)
    root.addHandler(handler)
    return handler


class CallIdFilter(logging.Filter):
    """Adds ``call_id`` to every record: the bound call's, or None. Drops nothing."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep a ``call_id`` that the line itself has given."""
        if not hasattr(record, "call_id"):
            record.call_id = _bound_call.get()
        return True


class SentenceFormatter(logging.Formatter):
    """For people: time, level, the sentence, ``call=…``, then the fields.

    What strangers put into a line (a SIP header, say) can neither break it in two nor reach the terminal
    as an escape sequence.
    """

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        """One line, and a traceback below it when there is one."""
        time = _time_of(record).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        sentence = one_line(self._redactor.text(_message_of(record)))
        parts = [time, f"{record.levelname:<7}", sentence]
        call_id = _call_id_of(record, self._redactor)
        if call_id is not None:
            parts.append(f"call={one_line(call_id)}")
        for name, value in _fields_of(record, self._redactor).items():
            shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            quoted = json.dumps(shown, ensure_ascii=False) if " " in shown else shown
            parts.append(f"{name}={one_line(quoted)}")
        line = " ".join(parts)
        traceback = _traceback_of(self, record)
        return line if traceback is None else f"{line}\n{some_lines(self._redactor.text(traceback))}"


class JsonFormatter(logging.Formatter):
    """For machines: one object a line with time, level, logger, message and call_id (null outside calls),
    and with fields and exception where there are any."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        # Secrets go before the line is made: once escaped they would no longer be recognised.
        line: dict[str, object] = {
            "time": _time_of(record).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": self._redactor.text(_message_of(record)),
            "call_id": _call_id_of(record, self._redactor),
        }
        fields = _fields_of(record, self._redactor)
        if fields:
            line["fields"] = fields
        traceback = _traceback_of(self, record)
        if traceback is not None:
            line["exception"] = self._redactor.text(traceback)
        return in_json(json.dumps(line, ensure_ascii=False))


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, so that configuring again finds it."""


def _time_of(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _message_of(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        # A line whose arguments do not fit is still worth reading, and logging's own complaint about it
        # would go to stderr with its secrets.
        return f"{record.msg} {record.args!r}"


def _call_id_of(record: logging.LogRecord, redactor: Redactor) -> str | None:
    call_id = record.__dict__.get("call_id")
    return None if call_id is None else redactor.text(str(call_id))


def _fields_of(record: logging.LogRecord, redactor: Redactor) -> dict[str, object]:
    fields = record.__dict__.get("fields")
    if not isinstance(fields, Mapping):
        return {}
    redacted = redactor.value(fields)
    assert isinstance(redacted, dict), "a mapping stays one"
    return redacted


def _traceback_of(formatter: logging.Formatter, record: logging.LogRecord) -> str | None:
    # Not `record.exc_text`: another handler may have kept it there with secrets in it.
    parts = []
    if record.exc_info and record.exc_info[0] is not None:
        parts.append(formatter.formatException(record.exc_info))
    if record.stack_info:
        parts.append(formatter.formatStack(record.stack_info))
    return "\n".join(parts) or None
