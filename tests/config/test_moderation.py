from __future__ import annotations

import pytest
from aiohttp import web

from sipagent.calls.guardrails import ModerationFailedError
from sipagent.config.moderation import ApiModeration


async def test_the_api_that_the_configuration_names_is_asked_with_the_key() -> None:
    seen: list[tuple[str | None, object]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append((request.headers.get("Authorization"), await request.json()))
        return web.json_response(
            {
                "id": "m",
                "model": "m",
                "results": [
                    {
                        "flagged": True,
                        "categories": {"violence": True, "hate": False},
                        "category_scores": {},
                        "category_applied_input_types": {},
                    }
                ],
            }
        )

    app = web.Application()
    app.router.add_post("/v1/moderations", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        moderate = ApiModeration(api_key="k", base_url=base_url)
        flagged = await moderate("omni-moderation-latest", "words")
        assert flagged["violence"]
        assert not flagged["hate"]
        assert seen == [("Bearer k", {"input": "words", "model": "omni-moderation-latest"})]
    finally:
        await runner.cleanup()


async def test_an_api_that_is_not_there_can_tell_nothing() -> None:
    moderate = ApiModeration(api_key="k", base_url="http://127.0.0.1:9/v1")
    with pytest.raises(ModerationFailedError):
        await moderate("omni-moderation-latest", "words")
