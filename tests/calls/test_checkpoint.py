"""How far a call had come, written and read again."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.calls.checkpoint import (
    Checkpoint,
    EndingUnderWay,
    Ringing,
    ToolUnderWay,
    TransferUnderWay,
    decode,
    decode_ringing,
    encode,
    encode_ringing,
)
from sipagent.calls.endings import EndReason
from sipagent.calls.incoming import IncomingCall
from sipagent.calls.keeping import CheckpointKeeper
from sipagent.calls.lifecycle import CallState
from sipagent.errors import StoreError
from sipagent.identifiers import CallId
from sipagent.store import CallCheckpointed, Fact

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
words = st.text(max_size=40)


def incoming(headers: tuple[tuple[str, str], ...] = ()) -> IncomingCall:
    return IncomingCall(
        call_id=CallId("rtc_1"),
        webhook_id="wh_1",
        caller="+15550100123",
        dialled=None,
        sip_call_id="a@b",
        sip_headers=headers,
        media_security=None,
    )


def checkpoint() -> Checkpoint:
    return Checkpoint(incoming=incoming(), received_at=NOW, configuration="c0ffee", profile="front-desk")


@given(
    headers=st.lists(st.tuples(words, words), max_size=3).map(tuple),
    state=st.sampled_from(CallState),
    variables=st.dictionaries(words, words, max_size=3),
    tools=st.dictionaries(words, st.builds(ToolUnderWay, name=words, arguments=words), max_size=3),
    transfer=st.none()
    | st.builds(
        TransferUnderWay,
        target=words,
        line=st.integers(0, 5),
        asked_at=st.none() | st.just(NOW),
        accepted=st.booleans(),
    ),
    ending=st.none() | st.builds(EndingUnderWay, reason=st.sampled_from(EndReason), detail=words),
    spent=st.floats(0, 1e6),
)
def test_what_is_written_is_read_again(
    headers: tuple[tuple[str, str], ...],
    state: CallState,
    variables: dict[str, str],
    tools: dict[str, ToolUnderWay],
    transfer: TransferUnderWay | None,
    ending: EndingUnderWay | None,
    spent: float,
) -> None:
    whole = checkpoint().with_(
        incoming=incoming(headers),
        state=state,
        variables=variables,
        tools=tools,
        transfer=transfer,
        ending=ending,
        spent=spent,
        talking_since=NOW,
        refusal=("rejected_full", 486, "Full."),
    )
    assert decode(encode(whole)) == whole
    ringing = Ringing(incoming=incoming(headers), received_at=NOW)
    assert decode_ringing(encode_ringing(ringing)) == ringing


def test_half_a_character_is_lost_and_nothing_else() -> None:
    odd, plain = incoming((("X-A", "Ann \ud800 \u00e4"),)), incoming((("X-A", "Ann ? \u00e4"),))
    ringing = Ringing(incoming=odd, received_at=NOW)
    assert decode_ringing(encode_ringing(ringing)) == Ringing(incoming=plain, received_at=NOW)
    changed = checkpoint().with_(incoming=odd)
    assert decode(encode(changed)) == checkpoint().with_(incoming=plain)


def test_a_field_of_a_later_version_is_left_out() -> None:
    written = encode(checkpoint()).replace('{"incoming"', '{"mood":"good","incoming"', 1)
    assert decode(written) == checkpoint()


@pytest.mark.parametrize("text", ["", "{}", "null", '{"version":2}', '{"incoming":1}'])
def test_what_nobody_wrote_is_an_error(text: str) -> None:
    with pytest.raises(StoreError):
        decode(text)
    with pytest.raises(StoreError):
        decode_ringing(text)


def test_a_checkpoint_is_written_when_it_changes_and_not_otherwise() -> None:
    facts: list[Fact] = []
    keeper = CheckpointKeeper(
        CallId("rtc_1"), checkpoint(), epoch=2, record=facts.append, utc_now=lambda: NOW
    )
    keeper.change(state=CallState.ACCEPTING)
    keeper.change(state=CallState.ACCEPTING)
    keeper.tool_began("call_1", "book", "{}")
    keeper.tool_ended("call_1")
    keeper.tool_ended("call_1")
    written = [fact for fact in facts if isinstance(fact, CallCheckpointed)]
    assert [fact.sequence for fact in written] == [1, 2, 3]
    assert {fact.epoch for fact in written} == {2}
    assert decode(written[1].data).tools == {"call_1": ToolUnderWay(name="book", arguments="{}")}
    assert decode(written[2].data) == keeper.now
