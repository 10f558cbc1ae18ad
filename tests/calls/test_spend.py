"""What calls cost, and the brake."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.calls.spend import (
    DEFAULT_PRICES,
    CallSpend,
    DaySpend,
    SpendLimits,
    cost_of_fact,
    cost_of_totals,
    transcription_cost,
)
from sipagent.identifiers import CallId, ItemId, ResponseId
from sipagent.realtime import RunContextWrapper
from sipagent.realtime.session_events import (
    RealtimeEventInfo,
    RealtimeResponseEnded,
    RealtimeResponseStarted,
    RealtimeTranscriptionUsage,
)
from sipagent.realtime.usage import ResponseUsage, TranscriptionUsage
from sipagent.store import TokensUsed, UsageTotal

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
INFO = RealtimeEventInfo(context=RunContextWrapper(None))
USAGE = ResponseUsage(
    input_tokens=1000,
    input_text_tokens=600,
    input_audio_tokens=400,
    cached_tokens=500,
    cached_text_tokens=300,
    cached_audio_tokens=200,
    output_tokens=300,
    output_text_tokens=100,
    output_audio_tokens=200,
)
COST = (300 * 4 + 200 * 32 + 500 * 0.4 + 100 * 24 + 200 * 64) / 1e6


def answered(usage: ResponseUsage | None = USAGE) -> RealtimeResponseEnded:
    return RealtimeResponseEnded(
        response_id=ResponseId("resp_1"),
        status="completed",
        reason=None,
        error_message=None,
        usage=usage,
        info=INFO,
    )


def test_a_response_costs_what_each_kind_of_token_costs() -> None:
    assert DEFAULT_PRICES["gpt-realtime-2.1"].of_response(USAGE) == pytest.approx(COST)


def test_tokens_of_no_kind_count_as_text() -> None:
    usage = ResponseUsage(input_tokens=1_000_000, output_tokens=1_000_000)
    assert DEFAULT_PRICES["gpt-realtime-2.1"].of_response(usage) == pytest.approx(4 + 24)


@pytest.mark.parametrize(
    ("model", "usage", "cost"),
    [
        ("gpt-transcribe", TranscriptionUsage(duration_s=120), 0.009),
        ("gpt-transcribe", TranscriptionUsage(input_audio_tokens=600), 0.0045),
        ("one of tomorrow", TranscriptionUsage(duration_s=60), 0.017),
    ],
)
def test_a_transcription_costs_by_the_minute(model: str, usage: TranscriptionUsage, cost: float) -> None:
    assert transcription_cost(model, usage) == pytest.approx(cost)


def test_a_call_ends_when_it_has_cost_its_share() -> None:
    limits = SpendLimits(per_call=2.5 * COST, currency="EUR")
    spend = CallSpend(limits, DaySpend(), model="gpt-realtime-2.1", transcription_model="gpt-transcribe")
    assert spend.observe(answered(), NOW) is None
    assert spend.observe(RealtimeResponseStarted(response_id=ResponseId("r"), info=INFO), NOW) is None
    assert spend.observe(answered(None), NOW) is None, "a failed response is not billed"
    assert spend.observe(answered(), NOW) is None
    heard = RealtimeTranscriptionUsage(
        item_id=ItemId("item_1"), usage=TranscriptionUsage(duration_s=1), info=INFO
    )
    assert spend.observe(heard, NOW) is None
    why = spend.observe(answered(), NOW)
    assert why is not None
    assert "EUR" in why
    assert spend.cost == pytest.approx(3 * COST + 0.0045 / 60)


def test_a_day_ends_at_midnight_of_its_zone() -> None:
    limits = SpendLimits(per_day=1.5 * COST, zone=ZoneInfo("America/New_York"))
    day = DaySpend()
    first = CallSpend(limits, day, model="gpt-realtime-2.1")
    second = CallSpend(limits, day, model="gpt-realtime-2.1")
    evening = datetime(2026, 11, 21, 4, 59, tzinfo=UTC)  # one minute before midnight there
    assert first.observe(answered(), evening) is None
    assert day.refusal(limits, evening) is None
    assert "today" in (second.observe(answered(), evening) or "")
    assert day.refusal(limits, evening) is not None
    assert day.refusal(limits, datetime(2026, 11, 21, 5, 0, tzinfo=UTC)) is None


def test_two_zones_do_not_make_the_day_begin_again() -> None:
    day = DaySpend()
    tokyo, new_york = ZoneInfo("Asia/Tokyo"), ZoneInfo("America/New_York")
    for _ in range(3):
        day.add(1.0, NOW, tokyo)
        day.add(1.0, datetime(2026, 11, 20, 20, tzinfo=UTC), tokyo)
        day.add(1.0, datetime(2026, 11, 20, 20, tzinfo=UTC), new_york)
    assert day.spent(datetime(2026, 11, 20, 20, tzinfo=UTC), tokyo) == pytest.approx(8.0)


def used(**counts: int) -> TokensUsed:
    return TokensUsed(
        call_id=CallId("rtc_1"), source_id=ResponseId("resp_1"), kind="response", at=NOW, **counts
    )


def remembered(usage: ResponseUsage) -> TokensUsed:
    return used(
        input_tokens=usage.input_tokens,
        input_audio_tokens=usage.input_audio_tokens,
        cached_tokens=usage.cached_tokens,
        cached_audio_tokens=usage.cached_audio_tokens,
        output_tokens=usage.output_tokens,
        output_audio_tokens=usage.output_audio_tokens,
    )


def total(usage: TokensUsed, times: int = 1, model: str | None = "gpt-realtime-2.1") -> UsageTotal:
    return UsageTotal(
        model=model,
        kind=usage.kind,
        input_tokens=usage.input_tokens * times,
        cached_tokens=usage.cached_tokens * times,
        output_tokens=usage.output_tokens * times,
        input_audio_tokens=usage.input_audio_tokens * times,
        output_audio_tokens=usage.output_audio_tokens * times,
        duration_s=usage.duration_s * times,
        cached_audio_tokens=usage.cached_audio_tokens * times,
    )


def test_what_is_remembered_costs_what_it_did() -> None:
    prices = DEFAULT_PRICES["gpt-realtime-2.1"]
    assert cost_of_fact(remembered(USAGE), prices) == pytest.approx(COST)
    assert cost_of_fact(total(remembered(USAGE), 7), prices) == pytest.approx(7 * COST)
    assert cost_of_fact(remembered(USAGE), None) == 0
    heard = replace(remembered(USAGE), kind="transcription", duration_s=60.0)
    assert cost_of_fact(heard, prices, "gpt-transcribe") == pytest.approx(0.0045)


def test_many_calls_together_cost_what_each_model_costs() -> None:
    prices = {name: DEFAULT_PRICES[name] for name in ("gpt-realtime-2.1", "gpt-realtime-mini")}
    heard = replace(used(), kind="transcription", duration_s=60.0)
    mini = cost_of_fact(remembered(USAGE), prices["gpt-realtime-mini"])
    totals = [
        total(remembered(USAGE), 3),
        total(remembered(USAGE), 2, "gpt-realtime-mini"),
        total(remembered(USAGE), 5, "one of tomorrow"),
        total(remembered(USAGE), 5, None),
        total(heard, 10),
    ]
    models = {"gpt-realtime-2.1": {"gpt-transcribe"}, "gpt-realtime-mini": {"whisper-1"}}
    expected = 3 * COST + 2 * mini + 10 * 0.0045
    assert cost_of_totals(totals, prices, models) == pytest.approx(expected)


def test_which_of_two_models_heard_a_call_is_not_known_so_the_cheaper_one_counts() -> None:
    heard = total(replace(used(), kind="transcription", duration_s=60.0))
    both = {"gpt-realtime-2.1": {"gpt-transcribe", "whisper-1"}}
    assert cost_of_totals([heard], {}, both) == pytest.approx(0.0045)
    elsewhere = {"gpt-realtime-mini": {"whisper-1"}}
    assert cost_of_totals([heard], {}, elsewhere) == pytest.approx(0.006)
    assert cost_of_totals([heard], {}, {}) == pytest.approx(0.017)


COUNTS = st.integers(0, 100_000)


@given(
    text=COUNTS,
    audio=COUNTS,
    cached_text=st.floats(0, 1),
    cached_audio=st.floats(0, 1),
    out=COUNTS,
    said=COUNTS,
)
def test_a_remembered_cost_is_the_cost_whatever_was_cached(
    text: int, audio: int, cached_text: float, cached_audio: float, out: int, said: int
) -> None:
    of_text, of_audio = int(text * cached_text), int(audio * cached_audio)
    usage = ResponseUsage(
        input_tokens=text + audio,
        input_text_tokens=text,
        input_audio_tokens=audio,
        cached_tokens=of_text + of_audio,
        cached_text_tokens=of_text,
        cached_audio_tokens=of_audio,
        output_tokens=out + said,
        output_text_tokens=out,
        output_audio_tokens=said,
    )
    for prices in DEFAULT_PRICES.values():
        exact = prices.of_response(usage)
        assert cost_of_fact(remembered(usage), prices) == pytest.approx(exact)
        old = replace(remembered(usage), cached_audio_tokens=0)
        assert cost_of_fact(old, prices) >= 0, "of a version that did not write it down"


def test_a_day_learns_what_others_have_spent() -> None:
    day = DaySpend()
    tokyo = ZoneInfo("Asia/Tokyo")
    day.add(1.0, NOW, tokyo)
    day.learn(5.0, NOW, tokyo)
    assert day.add(1.0, NOW, tokyo) == pytest.approx(6.0)
    day.learn(5.5, NOW, tokyo)
    assert day.spent(NOW, tokyo) == pytest.approx(6.0), "what this process knows of is not in the store yet"
    tomorrow = datetime(2026, 11, 20, 15, tzinfo=UTC)
    assert day.add(1.0, tomorrow, tokyo) == pytest.approx(1.0)
    day.learn(9.0, NOW, tokyo)
    assert day.spent(tomorrow, tokyo) == pytest.approx(1.0), "that was yesterday"


def test_a_model_without_prices_is_known_to_be_uncounted() -> None:
    spend = CallSpend(SpendLimits(per_call=0.01), DaySpend(), model="one of tomorrow")
    assert not spend.has_prices
    assert spend.observe(answered(), NOW) is None
    assert spend.cost == 0
