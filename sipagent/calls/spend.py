"""What calls cost, and the brake on it: per call and per day. Pure: events and moments in, sentences out.

Costs are counted from the usage that the API reports, which is a lower bound: what is in flight at hang-up is
never reported. A response is counted when it is over, so a limit is passed by what the last responses cost,
of one call or of as many as are up. Source of the default prices: OpenAI's model pages, autumn 2026, USD for
a million tokens.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, tzinfo

from sipagent.realtime.session_events import (
    RealtimeResponseEnded,
    RealtimeSessionEvent,
    RealtimeTranscriptionUsage,
)
from sipagent.realtime.usage import ResponseUsage, TranscriptionUsage
from sipagent.store import TokensUsed, UsageTotal

_PER = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Of one model, for a million tokens."""

    input_text: float
    input_audio: float
    cached_text: float
    cached_audio: float
    output_text: float
    output_audio: float

    def of_response(self, usage: ResponseUsage) -> float:
        """What one response cost. Tokens of a kind that the server does not name, and those of pictures,
        count as text."""
        heard = max(0, usage.input_audio_tokens - usage.cached_audio_tokens)
        made_audio = usage.output_audio_tokens
        cached_text = max(0, usage.cached_tokens - usage.cached_audio_tokens)
        read = max(0, usage.input_tokens - usage.input_audio_tokens - cached_text)
        return (
            read * self.input_text
            + heard * self.input_audio
            + cached_text * self.cached_text
            + usage.cached_audio_tokens * self.cached_audio
            + max(0, usage.output_tokens - made_audio) * self.output_text
            + made_audio * self.output_audio
        ) / _PER


_LARGE = Prices(
    input_text=4, input_audio=32, cached_text=0.4, cached_audio=0.4, output_text=24, output_audio=64
)
DEFAULT_PRICES: Mapping[str, Prices] = {
    "gpt-realtime-2.1": _LARGE,
    "gpt-realtime-2": _LARGE,
    "gpt-realtime-1.5": Prices(
        input_text=4, input_audio=32, cached_text=0.4, cached_audio=0.4, output_text=16, output_audio=64
    ),
    "gpt-realtime-2.1-mini": Prices(
        input_text=0.6, input_audio=10, cached_text=0.06, cached_audio=0.3, output_text=2.4, output_audio=20
    ),
    "gpt-realtime-mini": Prices(
        input_text=0.6, input_audio=10, cached_text=0.6, cached_audio=10, output_text=2.4, output_audio=20
    ),
}
"""Where the cached rate is not published, the full one is counted."""
TRANSCRIPTION_PER_MINUTE: Mapping[str, float] = {
    "gpt-transcribe": 0.0045,
    "gpt-realtime-whisper": 0.017,
    "gpt-live-transcribe": 0.017,
    "gpt-4o-transcribe": 0.006,
    "gpt-4o-mini-transcribe": 0.003,
    "whisper-1": 0.006,
}
TOKENS_PER_MINUTE = 600
"""Of a caller's audio: one in 100 ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendLimits:
    """What calls may cost, in ``currency``."""

    per_call: float | None = None
    per_day: float | None = None
    currency: str = "USD"
    prices: Mapping[str, Prices] = field(default_factory=lambda: DEFAULT_PRICES)
    zone: tzinfo = UTC
    """Where the day begins."""


def transcription_cost(model: str | None, usage: TranscriptionUsage) -> float:
    """What one transcription cost, by the minute of audio; an unknown model as the dearest one."""
    per_minute = TRANSCRIPTION_PER_MINUTE.get(model or "", max(TRANSCRIPTION_PER_MINUTE.values()))
    minutes = usage.duration_s / 60 if usage.duration_s else usage.input_audio_tokens / TOKENS_PER_MINUTE
    return minutes * per_minute


def cost_of_fact(
    fact: TokensUsed | UsageTotal, prices: Prices | None, transcription_model: str | None = None
) -> float:
    """What a remembered usage cost, or many together, for a day that goes on after the service was started
    again. Without ``prices`` a response costs nothing that is known."""
    match fact.kind:
        case "transcription":
            heard = TranscriptionUsage(
                input_audio_tokens=fact.input_audio_tokens or fact.input_tokens, duration_s=fact.duration_s
            )
            return transcription_cost(transcription_model, heard)
        case "response":
            if prices is None:
                return 0.0
            # What an earlier version wrote does not say how much of it was audio: at least what text was not.
            not_text = fact.cached_tokens - (fact.input_tokens - fact.input_audio_tokens)
            usage = ResponseUsage(
                input_tokens=fact.input_tokens,
                input_audio_tokens=fact.input_audio_tokens,
                cached_tokens=fact.cached_tokens,
                cached_audio_tokens=max(fact.cached_audio_tokens, not_text),
                output_tokens=fact.output_tokens,
                output_audio_tokens=fact.output_audio_tokens,
            )
            return prices.of_response(usage)


def cost_of_totals(
    totals: Iterable[UsageTotal],
    prices: Mapping[str, Prices],
    transcription_models: Mapping[str, Collection[str | None]],
) -> float:
    """What ``totals`` cost together, at least.

    ``transcription_models`` are those in use beside each model. The store does not remember which one heard a
    call: the cheapest counts.
    """
    all_models = {name for names in transcription_models.values() for name in names}
    cost = 0.0
    for total in totals:
        model = total.model or ""
        heard_by = transcription_models.get(model) or all_models or {None}
        cost += min(cost_of_fact(total, prices.get(model), name) for name in heard_by)
    return cost


class DaySpend:
    """What all calls of a day have cost so far: those of this process, and others as far as `learn` says."""

    def __init__(self) -> None:
        self._day: date | None = None
        self._cost = 0.0

    def add(self, cost: float, now: datetime, zone: tzinfo) -> float:
        """Add ``cost``; what the day, in ``zone``, has cost by ``now``."""
        today = now.astimezone(zone).date()
        # Only forward: while calls of two configurations are up, two zones may be at two days.
        if self._day is None or today > self._day:
            self._day, self._cost = today, 0.0
        self._cost += cost
        return self._cost

    def spent(self, now: datetime, zone: tzinfo) -> float:
        """What the day, in ``zone``, has cost by ``now``: a lower bound."""
        return self.add(0.0, now, zone)

    def learn(self, cost: float, now: datetime, zone: tzinfo) -> None:
        """The day of ``now``, in ``zone``, has cost at least ``cost``, all calls of all processes together.

        Both numbers are lower bounds of the same thing, so the larger one counts.
        """
        spent = self.spent(now, zone)
        if self._day == now.astimezone(zone).date():
            self._cost = max(spent, cost)

    def refusal(self, limits: SpendLimits, now: datetime) -> str | None:
        """Why no call is answered any more today, as a sentence, or None."""
        spent = self.spent(now, limits.zone)
        if limits.per_day is None or spent < limits.per_day:
            return None
        return f"Calls have cost {spent:.2f} {limits.currency} today, of {limits.per_day:.2f}."


class CallSpend:
    """What one call costs as it goes; a brake for its conversation."""

    def __init__(
        self,
        limits: SpendLimits,
        day: DaySpend,
        *,
        model: str | None,
        transcription_model: str | None = None,
    ) -> None:
        self._limits = limits
        self._day = day
        self._prices = limits.prices.get(model or "")
        self._transcription_model = transcription_model
        self.cost = 0.0
        """In the currency of the limits; a lower bound."""

    @property
    def has_prices(self) -> bool:
        """False for a model without prices: its responses cannot be counted, and the brake does not hold."""
        return self._prices is not None

    def observe(self, event: RealtimeSessionEvent, now: datetime) -> str | None:
        """Take in one event of the session at ``now`` (aware); why the call must end, or None."""
        match event:
            case RealtimeResponseEnded(usage=usage) if usage is not None and self._prices is not None:
                cost = self._prices.of_response(usage)
            case RealtimeTranscriptionUsage(usage=heard):
                cost = transcription_cost(self._transcription_model, heard)
            case _:
                return None
        self.cost += cost
        limits = self._limits
        today = self._day.add(cost, now, limits.zone)
        if limits.per_call is not None and self.cost >= limits.per_call:
            return f"The call has cost {self.cost:.2f} {limits.currency}, of {limits.per_call:.2f} allowed."
        if limits.per_day is not None and today >= limits.per_day:
            return f"Calls have cost {today:.2f} {limits.currency} today, of {limits.per_day:.2f} allowed."
        return None
