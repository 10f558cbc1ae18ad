from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Protocol

import pytest

from sipagent.telemetry import bind_call, configure_logging

SECRET = "correct-horse"
logger = logging.getLogger("sipagent.somewhere")


class Configure(Protocol):
    def __call__(self, *, as_json: bool, level: int | str = "INFO") -> io.StringIO: ...


@pytest.fixture
def configure() -> Iterator[Configure]:
    """Configures logging, and afterwards leaves it as it was."""
    root, ours = logging.getLogger(), logging.getLogger("sipagent")
    before = (root.level, ours.level)
    handlers: list[logging.Handler] = []

    def configured(*, as_json: bool, level: int | str = "INFO") -> io.StringIO:
        stream = io.StringIO()
        handlers.append(configure_logging(as_json=as_json, level=level, secrets=[SECRET], stream=stream))
        return stream

    yield configured
    for handler in handlers:
        root.removeHandler(handler)
    root.setLevel(before[0])
    ours.setLevel(before[1])


def objects(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_people_read_one_sentence_with_the_call_and_the_fields(configure: Configure) -> None:
    stream = configure(as_json=False)
    with bind_call("rtc_one"):
        fields = {"end_reason": "caller_hung_up", "detail": "said goodbye", "seconds": 3.5, "ok": True}
        logger.info("The call is over after %d turns.", 4, extra={"fields": fields})
    time, line = stream.getvalue()[:23], stream.getvalue()[23:]
    assert abs(datetime.fromisoformat(time).replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds() < 60
    assert line == (
        " INFO    The call is over after 4 turns. call=rtc_one end_reason=caller_hung_up "
        'detail="said goodbye" seconds=3.5 ok=true\n'
    )


def test_machines_read_one_object_a_line(configure: Configure) -> None:
    stream = configure(as_json=True)
    with bind_call("rtc_one"):
        logger.warning("A response failed: %s", "naïve\nreason", extra={"fields": {"status": 429}})
    logger.info("Listening")
    first, second = objects(stream)
    assert datetime.fromisoformat(first.pop("time")).utcoffset() == UTC.utcoffset(None)
    assert first == {
        "level": "WARNING",
        "logger": "sipagent.somewhere",
        "message": "A response failed: naïve\nreason",
        "call_id": "rtc_one",
        "fields": {"status": 429},
    }
    assert second["call_id"] is None
    assert "fields" not in second


async def test_every_line_of_a_call_carries_its_id_in_whatever_task(configure: Configure) -> None:
    stream = configure(as_json=True)
    both_inside = asyncio.Barrier(2)

    async def tool(name: str) -> None:
        await both_inside.wait()
        logger.info("%s", name)
        await asyncio.to_thread(logger.info, "%s", name)

    async def call(call_id: str) -> None:
        with bind_call(call_id):
            async with asyncio.TaskGroup() as group:
                group.create_task(tool(call_id))

    async with asyncio.TaskGroup() as group:
        for call_id in ("rtc_one", "rtc_two"):
            group.create_task(call(call_id))
    logger.info("None")
    lines = objects(stream)
    assert sorted(line["message"] for line in lines) == ["None", *["rtc_one"] * 2, *["rtc_two"] * 2]
    assert all(str(line["call_id"]) == line["message"] for line in lines)


def test_calls_can_be_bound_within_each_other_and_a_line_may_name_its_own(configure: Configure) -> None:
    stream = configure(as_json=True)
    with bind_call("outer"):
        with pytest.raises(RuntimeError), bind_call("inner"):
            logger.info("in")
            raise RuntimeError
        logger.info("out")
        logger.info("named", extra={"call_id": "other"})
    assert [line["call_id"] for line in objects(stream)] == ["inner", "outer", "other"]


@pytest.mark.parametrize("as_json", [True, False])
def test_no_secret_is_written_wherever_it_hides(configure: Configure, as_json: bool) -> None:
    stream = configure(as_json=as_json)
    try:
        raise ValueError(f"refused: {SECRET} and sk-0123456789abcdef")
    except ValueError:
        logger.exception(
            "%s", f"message {SECRET}", extra={"fields": {"deep": [{"er": SECRET}]}}, stack_info=True
        )
    logger.info(f"Bearer {SECRET}")  # noqa: G004 - secrets may come in any way
    written = stream.getvalue()
    assert SECRET not in written
    assert "sk-0123" not in written
    assert "ValueError: refused: [redacted] and [redacted]" in written
    assert "Traceback" in written
    assert "Stack (most recent call last)" in written
    assert written.count("[redacted]") >= 5
    if as_json:
        assert len(objects(stream)) == 2


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize(
    ("sentence", "arguments"), [("%d calls", (SECRET,)), ("%(missing)s", ({"key": SECRET},))]
)
def test_arguments_that_do_not_fit_are_shown_all_the_same(
    configure: Configure, as_json: bool, sentence: str, arguments: tuple[object, ...]
) -> None:
    stream = configure(as_json=as_json)
    handler = logging.getLogger().handlers[-1]
    # Handed to our handler alone: pytest's own makes such a line fail the test.
    handler.handle(logging.LogRecord("sipagent", logging.INFO, __file__, 1, sentence, arguments, None))
    assert sentence in stream.getvalue()
    assert "[redacted]" in stream.getvalue()
    assert SECRET not in stream.getvalue()


def test_a_stranger_can_neither_break_a_line_nor_reach_the_terminal(configure: Configure) -> None:
    stream = configure(as_json=False)
    with bind_call("rtc_\x1b[2J"):
        header = "x\r\n2026-01-01 INFO forged\x1b[31m\x85\u2028"
        logger.info("From: %s", header, extra={"fields": {"to": header, "deep": [header]}})
    written = stream.getvalue()
    assert written.count("\n") == 1
    assert written.isprintable() or set(written) - {"\n"} == {c for c in written if c.isprintable()}
    assert written.splitlines() == [written[:-1]]
    assert "x\\r\\n2026-01-01 INFO forged\\x1b[31m\\x85\\u2028" in written


def test_our_lines_obey_the_level_and_others_speak_up_only_when_it_matters(configure: Configure) -> None:
    stream = configure(as_json=True, level="debug")
    logger.debug("ours")
    logging.getLogger("somebody.else").info("chatter")
    logging.getLogger("somebody.else").warning("trouble")
    assert [line["message"] for line in objects(stream)] == ["ours", "trouble"]
    stream = configure(as_json=True, level=logging.ERROR)
    logger.warning("ours")
    assert stream.getvalue() == ""


def test_configuring_again_replaces_where_the_lines_go(configure: Configure) -> None:
    first = configure(as_json=True)
    second = configure(as_json=False)
    logger.info("once")
    assert first.getvalue() == ""
    assert second.getvalue().count("once") == 1


def test_a_level_that_does_not_exist_changes_nothing(configure: Configure) -> None:
    stream = configure(as_json=True)
    with pytest.raises(ValueError, match="LOUD"):
        configure_logging(as_json=True, level="loud", secrets=[], stream=io.StringIO())
    logger.info("still here")
    assert len(objects(stream)) == 1
