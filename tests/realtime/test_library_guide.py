"""What the page on the library shows works as it is shown."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import Any, get_args, get_type_hints

import pytest

from sipagent.guide import read_page
from sipagent.realtime import RealtimeSessionEvent
from tests.realtime import messages
from tests.realtime.peer import Peer, realtime_server


def page() -> str:
    text = read_page("library")
    assert text is not None
    return text


def programs() -> list[str]:
    """The Python that the page shows, in its order."""
    return re.findall(r"^```python\n(.*?)^```$", page(), flags=re.MULTILINE | re.DOTALL)


def namespace() -> dict[str, Any]:
    """What all of it defines, one after the other."""
    defined: dict[str, Any] = {"__name__": "library_guide"}
    for number, program in enumerate(programs()):
        exec(compile(program, f"library.md, program {number}", "exec"), defined)
    return defined


def test_every_event_is_in_the_table() -> None:
    shown = set(re.findall(r"`([a-z_]+)`", page()))
    for event in get_args(RealtimeSessionEvent):
        (kind,) = get_args(get_type_hints(event)["type"])
        assert kind in shown, f"{event.__name__}: {kind}"


async def answer_in_writing(peer: Peer) -> None:
    """What a server does of a conversation in writing."""
    assert (await peer.receive("session.update"))["session"]["output_modalities"] == ["text"]
    await peer.send(messages.session_created(), messages.session_updated())
    question = (await peer.receive("conversation.item.create"))["item"]
    await peer.receive("response.create")
    about = {"event_id": "event_b", "response_id": "resp_1", "item_id": "item_1", "output_index": 0}
    item = {"id": "item_1", "type": "message", "role": "assistant", "status": "completed"}
    await peer.send(
        messages.item_added({"id": "item_0", "status": "completed", **question}, None),
        messages.response_created(),
        messages.item_added({**item, "status": "in_progress", "content": []}, "item_0"),
        {"type": "response.output_text.delta", "content_index": 0, "delta": "On Tuesday.", **about},
        {"type": "response.output_text.done", "content_index": 0, "text": "On Tuesday.", **about},
        messages.output_item_done({**item, "content": [{"type": "output_text", "text": "On Tuesday."}]}),
        messages.response_done(),
    )


async def test_the_first_program_asks_and_prints_the_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    async with realtime_server() as server:
        program = programs()[0]
        assert program.count("model_config={") == 1
        elsewhere = program.replace("model_config={", f'model_config={{"base_url": "{server.base_url}", ')
        defined: dict[str, Any] = {"__name__": "library_guide"}
        exec(compile(elsewhere, "library.md", "exec"), defined)
        main: Callable[[], Coroutine[Any, Any, None]] = defined["main"]
        async with asyncio.TaskGroup() as group:
            group.create_task(main(), name="program")
            await answer_in_writing(await server.peer())
    assert capsys.readouterr().out == "caller: Have you time for a cleaning?\nagent: On Tuesday.\n"


async def test_the_test_that_it_shows_passes() -> None:
    await namespace()["test_the_agent_finds_a_slot"]()


async def test_the_test_that_it_shows_can_fail() -> None:
    defined = namespace()
    defined["agent"].tools.clear()
    with pytest.raises(AssertionError):
        await defined["test_the_agent_finds_a_slot"]()


async def test_a_call_is_answered_as_it_shows(capsys: pytest.CaptureFixture[str]) -> None:
    async with realtime_server() as server:
        defined = namespace()
        program = programs()[1]
        config = '{"api_key": api_key, "call_id": call_id}'
        assert config in program
        exec(program.replace(config, f'{config[:-1]}, "base_url": "{server.base_url}"}}'), defined)
        async with asyncio.TaskGroup() as group:
            group.create_task(defined["answer"]("rtc_1", "sk-test"), name="program")
            peer = await server.peer()
            assert peer.path == "/v1/realtime?call_id=rtc_1"
            await peer.receive("session.update")
            greeting = await peer.receive("response.create")
            assert "Harbor Dental, good morning." in greeting["response"]["instructions"]
            server.always = 404
            peer.drop()
    printed = capsys.readouterr().out
    assert printed.startswith("gpt-realtime-2.1\n")
    assert "cause='call_over'" in printed
