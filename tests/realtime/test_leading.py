"""Who leads, against every order in which a server may follow, refuse, or say nothing."""

from __future__ import annotations

import itertools
from typing import Any

from sipagent.identifiers import ResponseId, ToolCallId
from sipagent.realtime import HostedMCPTool, RealtimeAgent, RealtimeModelToolCallEvent
from sipagent.realtime.leading import Lead, Offer


def offer(name: str) -> Offer:
    return Offer(agent=RealtimeAgent[Any](name=name), settings={})


def call(name: str, response_id: str | None) -> RealtimeModelToolCallEvent:
    return RealtimeModelToolCallEvent(
        name=name,
        call_id=ToolCallId("call_1"),
        arguments="{}",
        response_id=None if response_id is None else ResponseId(response_id),
    )


def test_whichever_changes_are_refused_the_last_that_was_not_leads() -> None:
    for refused in itertools.chain.from_iterable(itertools.permutations(range(3), n) for n in range(4)):
        first = offer("0")
        lead = Lead(first.agent)
        lead.start(first)
        offers = [offer(name) for name in "123"]
        changes = [lead.change(each, handoff=True) for each in offers]
        for index in refused:
            found = lead.refused({"event_id": changes[index].event_id})
            assert found is not None
            assert found.after is offers[index]
            assert lead.refused({"event_id": changes[index].event_id}) is None
        accepted = [first, *(each for index, each in enumerate(offers) if index not in refused)]
        assert lead.current is accepted[-1], refused


def test_until_the_server_follows_its_responses_speak_for_the_agent_of_before() -> None:
    first, second = offer("first"), offer("second")
    lead = Lead(first.agent)
    lead.start(first)
    lead.session_changed()
    change = lead.change(second, handoff=True)
    assert lead.current is second
    assert lead.speaker is first.agent
    assert [lead.unconfirmed] == [change]
    lead.response_began(ResponseId("r1"))
    lead.session_changed()
    lead.response_began(ResponseId("r2"))
    assert lead.speaker is second.agent
    assert lead.unconfirmed is None
    assert lead.find(call("x", "r2"))[0] is second


def test_a_server_that_never_tells_is_taken_to_follow_at_once() -> None:
    first, second = offer("first"), offer("second")
    lead = Lead(first.agent)
    lead.start(first)
    change = lead.change(second, handoff=False)
    assert lead.speaker is second.agent
    assert lead.unconfirmed is None
    lead.undo(change.event_id)
    assert (lead.current, lead.speaker) == (first, first.agent)


def test_what_is_kept_does_not_grow_with_the_call() -> None:
    lead = Lead(offer("a").agent)
    for number in range(100):
        lead.response_began(ResponseId(f"r{number}"))
        lead.change(offer(f"{number}"), handoff=True)
    assert len(lead._of_response) < 50
    assert len(lead._changes) < 50
    assert lead.find(call("x", "r0")) == (lead.current, None)
    assert lead.find(call("x", None)) == (lead.current, None)


def test_a_response_keeps_the_offer_that_it_began_with() -> None:
    first, second = offer("first"), offer("second")
    lead = Lead(first.agent)
    lead.start(first)
    lead.session_changed()
    lead.response_began(ResponseId("r1"))
    lead.change(second, handoff=True)
    assert lead.offer_of(None) is first, "the server has not followed"
    lead.session_changed()
    assert lead.offer_of(ResponseId("r1")) is first
    assert lead.offer_of(ResponseId("unheard of")) is second
    assert lead.offer_of(None) is second


def test_a_server_is_found_by_its_label_where_a_tool_of_ours_stands_for_it() -> None:
    config = {"type": "mcp", "server_label": "docs", "server_url": "https://docs.example"}
    tool = HostedMCPTool(tool_config=config)
    plain: Any = {**config, "server_label": "plain"}
    made = Offer(agent=RealtimeAgent[Any](name="a"), settings={"hosted_tools": [plain, tool]})
    assert made.find_hosted("docs") is tool
    assert made.find_hosted("plain") is None
    assert offer("b").find_hosted("docs") is None
