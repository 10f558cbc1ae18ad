"""A program written for the OpenAI Agents SDK runs here after its imports were changed, and hears the same.

Where the SDK is installed (the extra ``bench``), the very same program runs on it too, against the same
server, and both are compared: what was sent, and what was heard. Every difference is listed here with its
reason; one that is no more fails a test, so that the list stays true.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import sipagent
from tests.realtime.peer import PATIENCE_S, realtime_server
from tests.realtime.sdk_example import call as call_module
from tests.realtime.sdk_example.call import GIFT, GREETING, WISH, Call

EXAMPLE = Path(call_module.__file__).with_name("front_desk.py")
IMPORT = re.compile(r"^(from|import) agents(\.[\w.]+)?(?= )", re.MULTILINE)


def with_our_imports(program: str) -> str:
    """``program`` with other module names in its import lines, and with nothing else changed.

    What the SDK keeps outside of ``agents.realtime`` is in `sipagent.realtime` itself.
    """

    def ours(found: re.Match[str]) -> str:
        submodule = found[2] or ""
        inside = submodule.removeprefix(".realtime") if submodule.startswith(".realtime") else ""
        return f"{found[1]} sipagent.realtime{inside}"

    return IMPORT.sub(ours, program)


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What one run of the program sent and noticed."""

    sent: list[dict[str, Any]]
    retrievals: int
    events: list[str]
    lines: list[str]
    conversation: list[str]
    bookings: list[str]
    reasons: list[str]
    complaints: str
    """Its standard error."""


async def play(program: Path) -> Played:
    """Run ``program`` in a process of its own, against the scripted server."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "SIPAGENT_"))
    }
    environment["PYTHONPATH"] = str(Path(sipagent.__file__).parents[1])
    environment["OPENAI_AGENTS_DISABLE_TRACING"] = "1"
    async with realtime_server() as server:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(program),
            f"ws://127.0.0.1:{server.port}/v1/realtime",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
        )
        try:
            peer = asyncio.create_task(server.peer(), name="connection of the program")
            ended = asyncio.create_task(process.wait(), name="end of the program")
            await asyncio.wait((peer, ended), return_when=asyncio.FIRST_COMPLETED)
            assert process.stderr is not None
            assert peer.done(), (await process.stderr.read()).decode()
            call = Call(peer.result())
            await call.play()
            async with asyncio.timeout(PATIENCE_S):
                output, complaints = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
            await asyncio.gather(peer, ended, return_exceptions=True)
    assert process.returncode == 0, complaints.decode()
    return Played(
        sent=call.sent, retrievals=call.retrievals, complaints=complaints.decode(), **json.loads(output)
    )


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """The program after its imports were changed."""
    program = tmp_path_factory.mktemp("ours") / EXAMPLE.name
    program.write_text(with_our_imports(EXAMPLE.read_text(encoding="utf-8")), encoding="utf-8")
    return asyncio.run(play(program))


@pytest.fixture(scope="module")
def theirs() -> Played:
    """The program as it is."""
    if importlib.util.find_spec("agents") is None:
        pytest.skip("the OpenAI Agents SDK is not installed; it comes with the extra bench")
    return asyncio.run(play(EXAMPLE))


# On its own -----------------------------------------------------------------------------------------

WIRE = [
    # The greeting is asked for, and the caller cuts it off.
    "session.update",
    "conversation.item.create user",
    "response.create",
    "conversation.item.truncate",
    # A repair is booked; the caller cuts the answer off.
    "conversation.item.create function_call_output",
    "response.create",
    "conversation.item.truncate",
    # A tool that answers, and one that fails.
    "conversation.item.create function_call_output",
    "response.create",
    "conversation.item.create function_call_output",
    "response.create",
    # The bookkeeper is there before the model may go on.
    "session.update",
    "conversation.item.create function_call_output",
    "response.create",
    # Two tools of the bookkeeper.
    "conversation.item.create function_call_output",
    "response.create",
    "conversation.item.create function_call_output",
    "response.create",
    # The guardrail: what was said is cut off, and said better once the response has ended.
    "conversation.item.truncate",
    "response.cancel",
    "conversation.item.create system",
    "response.create",
    # The program lost its patience.
    "conversation.item.truncate",
    # Back to the front desk.
    "session.update",
    "conversation.item.create function_call_output",
    "response.create",
]
# A tool starts as soon as its call is known, while the response that made it may still be ending. So turns
# and tools are two lists, each in order.
TURNS = [
    "Front Desk begins",
    "item_resp_1 is all there",
    "Front Desk ends",
    "item_resp_1 was cut off at part 0",
    *["Front Desk begins", "Front Desk ends"],
    "Front Desk begins",
    "item_resp_3 is all there",
    "Front Desk ends",
    "item_resp_3 was cut off at part 0",
    *["Front Desk begins", "Front Desk ends"] * 3,
    *["Bookkeeper begins", "Bookkeeper ends"] * 2,
    "Bookkeeper begins",
    f"['no_gifts'] tripped over {GIFT}",
    "item_resp_9 was cut off at part 0",
    "item_resp_9 is all there",
    "Bookkeeper ends",
    "Bookkeeper begins",
    "item_resp_10 was cut off at part 0",
    "item_resp_10 is all there",
    "Bookkeeper ends",
    *["Bookkeeper begins", "Bookkeeper ends"],
    "Front Desk begins",
    "item_resp_12 is all there",
    "Front Desk ends",
]
TOOLS = [
    'book_repair starts with {"bicycle": {"maker": "Gazelle", "electric": false}, "urgency": "this_week", '
    '"note": null}',
    "book_repair gave Booked for +15550100123: Gazelle, this_week, no note",
    'opening_hours starts with {"day": "saturday"}',
    "opening_hours gave ten to one",
    'ask_the_mechanic starts with {"question": "Is it ready?"}',
    "ask_the_mechanic gave The mechanic does not hear the telephone.",
    "Front Desk hands over to Bookkeeper",
    'find_invoice starts with {"number": 7}',
    "find_invoice gave Invoice(number=7, total_cents=4200, paid=True)",
    "refund asks for leave",
    'refund starts with {"number": 7, "share": {"percent": 50, "rounded": true}}',
    "refund gave {'invoice': 7, 'percent': 50, 'currency': '€'}",
    "Bookkeeper hands over to Front Desk",
]
OUTPUTS: dict[str, Any] = {
    "call_resp_2": "Booked for +15550100123: Gazelle, this_week, no note",
    "call_resp_4": "ten to one",
    "call_resp_5": "The mechanic does not hear the telephone.",
    "call_resp_6": {"assistant": "Bookkeeper"},
    "call_resp_7": {"number": 7, "total_cents": 4200, "paid": True},
    "call_resp_8": {"invoice": 7, "percent": 50, "currency": "€"},
    "call_resp_11": {"assistant": "Front Desk"},
}


def kinds(sent: list[dict[str, Any]]) -> list[str]:
    """The type of each message; of an item, its role or kind too."""
    found = []
    for message in sent:
        item = message.get("item", {})
        kind = item.get("role") or item.get("type")
        found.append(f"{message['type']} {kind}" if kind else message["type"])
    return found


def outputs(sent: list[dict[str, Any]]) -> dict[str, Any]:
    """What each call was answered; JSON is read."""
    answers: dict[str, Any] = {}
    for message in sent:
        item = message.get("item", {})
        if item.get("type") == "function_call_output":
            text = item["output"]
            answers[item["call_id"]] = json.loads(text) if text.startswith("{") else text
    return answers


def of_turns(lines: list[str]) -> list[str]:
    """Those lines that tell of turns."""
    return [line for line in lines if line not in of_tools(lines)]


def of_tools(lines: list[str]) -> list[str]:
    """Those lines that tell of tools and handoffs."""
    return [line for line in lines if re.search(r" (starts with|gave|asks for|hands over) ", line)]


def updates(sent: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The session of each update."""
    return [message["session"] for message in sent if message["type"] == "session.update"]


def test_nothing_but_the_names_of_modules_is_changed() -> None:
    before = EXAMPLE.read_text(encoding="utf-8").splitlines()
    after = with_our_imports(EXAMPLE.read_text(encoding="utf-8")).splitlines()
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert changed == [
        ("from agents import (", "from sipagent.realtime import ("),
        ("from agents.realtime import (", "from sipagent.realtime import ("),
        (
            "from agents.realtime.model import RealtimeModelConfig",
            "from sipagent.realtime.model import RealtimeModelConfig",
        ),
        ("from agents.tool_context import ToolContext", "from sipagent.realtime import ToolContext"),
    ]
    assert not re.search(r"\bagents\b(?!\.realtime)\.", "\n".join(after))


def test_it_sends_what_the_server_waits_for_in_order(ours: Played) -> None:
    assert kinds(ours.sent) == WIRE
    assert "Traceback" not in ours.complaints
    assert "never awaited" not in ours.complaints


def test_every_call_of_a_tool_is_answered_once(ours: Played) -> None:
    assert outputs(ours.sent) == OUTPUTS
    assert len([each for each in kinds(ours.sent) if each.endswith("function_call_output")]) == len(OUTPUTS)


def test_each_agent_brings_its_words_and_its_tools(ours: Played) -> None:
    first, second, third = updates(ours.sent)
    assert first["instructions"] == (
        "You are the front desk of Lakeside Bicycles. The caller's number is +15550100123."
    )
    assert first["audio"]["output"] == {"format": {"type": "audio/pcmu"}, "voice": "marin", "speed": 1.1}
    assert [tool["name"] for tool in first["tools"]] == [
        "opening_hours",
        "book_repair",
        "ask_the_mechanic",
        "transfer_to_bookkeeper",
    ]
    assert second["audio"]["output"] == {"format": {"type": "audio/pcmu"}, "speed": 1.1}
    assert second["instructions"] == "You keep the books of Lakeside Bicycles. Be exact."
    assert [tool["name"] for tool in second["tools"]] == ["find_invoice", "refund", "transfer_to_front_desk"]
    assert third["instructions"] == first["instructions"]


def test_the_model_reads_what_signatures_and_docstrings_say(ours: Played) -> None:
    tools = {tool["name"]: tool for tool in updates(ours.sent)[0]["tools"]}
    book = plain(tools["book_repair"])
    assert book["description"] == "Book a repair."
    properties = book["parameters"]["properties"]
    assert list(properties) == ["bicycle", "urgency", "note"]
    assert properties["bicycle"]["description"] == "What is to be repaired."
    assert properties["bicycle"]["properties"]["maker"]["description"] == "Who built it"
    assert properties["urgency"]["enum"] == ["today", "this_week"]
    assert plain(tools["opening_hours"])["parameters"]["properties"]["day"]["enum"] == ["tuesday", "saturday"]
    assert tools["transfer_to_bookkeeper"]["description"].endswith("Knows every invoice.")
    assert tools["ask_the_mechanic"] == {
        "type": "function",
        "name": "ask_the_mechanic",
        "description": "Ask the mechanic something; takes some minutes.",
        "parameters": {
            "type": "object",
            "properties": {"question": {"type": "string"}, "minutes": {"type": "integer", "default": 5}},
            "required": ["question"],
        },
    }


def test_it_hears_tools_handoffs_approvals_guardrails_and_interruptions(ours: Played) -> None:
    assert of_turns(ours.lines) == TURNS
    assert of_tools(ours.lines) == TOOLS
    assert ours.bookings == ["Gazelle, this_week, no note"]
    assert ours.reasons == ["an old invoice"]


def test_it_ends_with_the_whole_conversation(ours: Played) -> None:
    assert ours.conversation[0] == "user: Hello, is anybody there?"
    assert f"assistant: {GREETING}" in ours.conversation
    assert ours.conversation.count(f"user: {WISH}") == 3
    assert "find_invoice completed: " in "\n".join(ours.conversation)
    assert ours.conversation[-1] == "assistant: Good-bye, and safe riding."


# Beside the SDK -------------------------------------------------------------------------------------

WIRE_DIFFERENCES = {
    "guardrail message": (
        "A tripped guardrail tells the model so in a message of the system, in words that say what to do. "
        "The SDK lets the user say it, and the model may answer the caller's alleged words."
    ),
    "voice": (
        "Once the agent has spoken, an update that names another voice is refused as a whole by the API, so "
        "a handoff leaves the voice out."
    ),
    "retrieve": (
        "The SDK reads the agent's last item again after each transcript of the caller and each truncation; "
        "here the transcripts of both sides come from the events that carry them."
    ),
    "schemas": (
        "A schema says what the function says: parameters have no titles, references stay references, and a "
        "parameter with a default may be left out. The SDK writes it for strict decoding, which the Realtime "
        "API does not do."
    ),
}
EVENT_DIFFERENCES = {
    "raw_model_event": "Only where the run configuration asks for raw_events: they cost time.",
    "history_updated": (
        "The SDK begins with one for the empty history; here a call of a tool is in the history from the "
        "moment it begins, and updated when its arguments are known."
    ),
}


def plain(tool: dict[str, Any]) -> dict[str, Any]:
    """``tool`` with a schema that is written as strictly and as shortly as possible."""
    definitions = tool["parameters"].get("$defs", {})

    def simplify(schema: Any) -> Any:
        if isinstance(schema, list):
            return [simplify(each) for each in schema]
        if not isinstance(schema, dict):
            return schema
        if "$ref" in schema:
            target = definitions[schema["$ref"].rsplit("/", 1)[-1]]
            return simplify({**target, **{key: value for key, value in schema.items() if key != "$ref"}})
        kept = {
            key: simplify(value)
            for key, value in schema.items()
            if key not in ("$defs", "title", "default", "additionalProperties", "required", "properties")
        }
        if "properties" in schema:
            # Named like a keyword or not, the names of parameters all stay.
            kept["properties"] = {name: simplify(value) for name, value in schema["properties"].items()}
        return kept

    return {**tool, "parameters": simplify(tool["parameters"])}


def comparable(message: dict[str, Any]) -> dict[str, Any]:
    """``message`` without its id, and without the times that no two runs share."""
    kept = {key: value for key, value in message.items() if key not in ("event_id", "audio_end_ms")}
    if kept["type"] == "session.update":
        session = json.loads(json.dumps(kept["session"]))
        session["tools"] = [plain(tool) for tool in session["tools"]]
        session["audio"]["output"].pop("voice", None)
        kept["session"] = session
    return kept


def is_guardrail_message(message: dict[str, Any]) -> bool:
    content = message.get("item", {}).get("content") or [{}]
    return str(content[0].get("text", "")).startswith("guardrail triggered: no_gifts")


def test_both_send_the_same_messages_in_the_same_order(ours: Played, theirs: Played) -> None:
    assert len(ours.sent) == len(theirs.sent)
    for mine, other in zip(ours.sent, theirs.sent, strict=True):
        if is_guardrail_message(mine):
            assert is_guardrail_message(other)
        elif mine.get("item", {}).get("type") == "function_call_output":
            assert outputs([mine]) == outputs([other])
        else:
            assert comparable(mine) == comparable(other)


def test_what_is_sent_differs_where_it_is_said_to_and_nowhere_else(ours: Played, theirs: Played) -> None:
    mine, other = updates(ours.sent), updates(theirs.sent)
    found = {
        "guardrail message": [each["item"]["role"] for each in ours.sent if is_guardrail_message(each)]
        != [each["item"]["role"] for each in theirs.sent if is_guardrail_message(each)],
        "voice": ["voice" in each["audio"]["output"] for each in mine]
        != ["voice" in each["audio"]["output"] for each in other],
        "retrieve": ours.retrievals == 0 < theirs.retrievals,
        "schemas": mine[0]["tools"] != other[0]["tools"],
    }
    assert found == dict.fromkeys(WIRE_DIFFERENCES, True)


TOOL_EVENTS = frozenset({"tool_start", "tool_end", "tool_approval_required", "handoff"})


def test_both_hear_the_same_events_in_the_same_order(ours: Played, theirs: Played) -> None:
    shared = set(theirs.events) - set(EVENT_DIFFERENCES)
    assert shared <= set(ours.events)
    for strand in (shared & TOOL_EVENTS, shared - TOOL_EVENTS):
        assert [each for each in ours.events if each in strand] == [
            each for each in theirs.events if each in strand
        ]


def test_what_is_heard_differs_where_it_is_said_to(ours: Played, theirs: Played) -> None:
    assert all(ours.events.count(kind) != theirs.events.count(kind) for kind in EVENT_DIFFERENCES)
    assert "raw_model_event" not in ours.events
    assert theirs.events[0] == "history_updated" != ours.events[0]


def test_both_come_to_the_same_conversation(ours: Played, theirs: Played) -> None:
    assert of_turns(theirs.lines) == of_turns(ours.lines)
    assert of_tools(theirs.lines) == of_tools(ours.lines)
    assert theirs.conversation == ours.conversation
    assert theirs.bookings == ours.bookings
    assert theirs.reasons == ours.reasons
