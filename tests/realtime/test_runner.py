"""A runner makes sessions, and opens nothing."""

from __future__ import annotations

from sipagent.realtime import (
    OpenAIRealtimeWebSocketModel,
    RealtimeAgent,
    RealtimeRunner,
    RunContextWrapper,
)
from sipagent.realtime.testing import ScriptedRealtimeModel


class FalsyModel(ScriptedRealtimeModel):
    def __bool__(self) -> bool:
        return False


AGENT = RealtimeAgent[str](name="front-desk")


async def test_each_session_has_a_model_of_its_own() -> None:
    runner = RealtimeRunner(AGENT)
    first, second = await runner.run(), await runner.run()
    assert isinstance(first.model, OpenAIRealtimeWebSocketModel)
    assert first.model is not second.model
    assert first.agent is second.agent is AGENT


async def test_a_model_that_is_given_is_used_whatever_it_looks_like() -> None:
    model = FalsyModel()
    session = await RealtimeRunner(AGENT, model=model).run()
    assert session.model is model
    assert model.config is None, "running opens nothing"


async def test_context_and_configuration_reach_the_session() -> None:
    model = ScriptedRealtimeModel()
    wrapped = RunContextWrapper("Ann")
    runner = RealtimeRunner(AGENT, model=model, config={"model_settings": {"voice": "cedar"}})
    session = await runner.run(context=wrapped, model_config={"call_id": "rtc_1", "api_key": "sk-test"})
    async with session:
        assert model.config is not None
        assert model.config["initial_model_settings"]["voice"] == "cedar"
        assert model.config["api_key"] == "sk-test"
        assert session.call_id == "rtc_1"
        assert session.usage is wrapped.usage
