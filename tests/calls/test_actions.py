"""The tools that act on the call itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sipagent.calls import CallContext, CallTool, TransferTarget
from sipagent.calls.actions import call_tools
from sipagent.identifiers import CallId
from sipagent.realtime import FunctionTool, ToolContext
from tests.calls.controls import Controls

BILLING = TransferTarget(name="billing", uris=("tel:+15550100001",), description="invoices and payments")
DOCTOR = TransferTarget(name="doctor", uris=("sip:doctor@practice.test",), description="emergencies")


async def use(tool: FunctionTool, arguments: str) -> tuple[Any, list[str]]:
    controls = Controls()
    call = CallContext(call_id=CallId("rtc_1"), caller=None, dialled=None, sip_headers=(), controls=controls)
    context = ToolContext(context=call, tool_name=tool.name, tool_call_id="call_1", tool_arguments=arguments)
    return await tool.on_invoke_tool(context, arguments), controls.asked


def tools(*targets: TransferTarget) -> dict[str, FunctionTool]:
    return {tool.name: tool for tool in call_tools([CallTool.HANG_UP, CallTool.TRANSFER], targets)}


async def test_hang_up_waits_for_the_last_word_and_asks_for_no_other() -> None:
    tool = tools(BILLING)["hang_up"]
    assert not tool.starts_response
    _, asked = await use(tool, "{}")
    assert asked == ["finish speaking"]


async def test_a_transfer_goes_to_a_named_target() -> None:
    _, asked = await use(tools(BILLING, DOCTOR)["transfer"], '{"target": "doctor"}')
    assert asked == ["sip:doctor@practice.test"]


@pytest.mark.parametrize(
    "arguments",
    [
        '{"target": "+15550109999"}',
        '{"target": "sip:evil@x.test"}',
        '{"target": ["billing"]}',
        "{}",
        "[]",
        "nonsense",
    ],
)
async def test_a_target_that_the_model_made_up_calls_nobody(arguments: str) -> None:
    answer, asked = await use(tools(BILLING)["transfer"], arguments)
    assert asked == []
    assert "billing" in answer


def test_the_model_sees_names_and_descriptions_but_no_addresses() -> None:
    tool = tools(BILLING, DOCTOR)["transfer"]
    seen = json.dumps(tool.params_json_schema) + tool.description
    assert "billing" in seen
    assert "emergencies" in seen
    for target in (BILLING, DOCTOR):
        assert target.uris[0] not in seen
