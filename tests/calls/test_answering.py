"""When the API will close a session, as it says once. The answering itself is tried in whole calls."""

from __future__ import annotations

from sipagent.calls.answering import SessionExpiry
from sipagent.realtime import (
    RealtimeAgent,
    RealtimeModelListener,
    RealtimeModelSessionEvent,
    RealtimeRunner,
    RealtimeSession,
)
from sipagent.realtime.testing import ScriptedRealtimeModel


class Forgetting(ScriptedRealtimeModel):
    """Remembers who does not listen any more."""

    def __init__(self) -> None:
        super().__init__()
        self.removed: list[RealtimeModelListener] = []

    def remove_listener(self, listener: RealtimeModelListener) -> None:
        self.removed.append(listener)
        super().remove_listener(listener)


async def session_of(model: ScriptedRealtimeModel) -> RealtimeSession:
    return await RealtimeRunner(RealtimeAgent(name="front-desk"), model=model).run()


def session_event(expires_at: int | None) -> RealtimeModelSessionEvent:
    return RealtimeModelSessionEvent(created=True, expires_at=expires_at)


async def test_whoever_asks_before_or_after_is_told_once() -> None:
    model, told = ScriptedRealtimeModel(), list[int]()
    session = await session_of(model)
    early, late = SessionExpiry(session), SessionExpiry(session)
    early.tell(told.append)
    async with session:
        await model.emit(session_event(None))
        assert told == []
        await model.emit(*model.agent_says("Hello."), session_event(1_800_000_000))
        late.tell(told.append)
        await model.emit(session_event(1_900_000_000))
    assert told == [1_800_000_000, 1_800_000_000]


async def test_it_listens_no_longer_than_it_must() -> None:
    model = Forgetting()
    session = await session_of(model)
    expiry = SessionExpiry(session)
    async with session:
        await model.emit(*model.agent_says("Hello."))
        assert expiry not in model.removed
        await model.emit(session_event(1_800_000_000))
        assert expiry in model.removed


def test_all_that_comes_by_the_thousand_is_taken_without_a_coroutine() -> None:
    model = ScriptedRealtimeModel()
    (started, *_) = model.agent_says("Hello.")
    expiry = SessionExpiry.__new__(SessionExpiry)
    assert expiry.take_now(started)
    assert not expiry.take_now(session_event(1))
