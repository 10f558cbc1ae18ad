"""sipp calls the simulator, and the service answers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sipagent.calls import CallSettings
from sipagent.simulator.call_values import CallSettings as SimulatedCallSettings
from sipagent.simulator.call_values import CallState
from sipagent.simulator.calls import SimulatedCall
from sipagent.simulator.sip.settings import ListenAddress
from sipagent.simulator.voice import Voice
from sipagent.store import CallRecord
from tests.callers.scenario import (
    ANSWERED,
    OK,
    PROVISIONAL,
    STOP_PLAYING,
    Scenario,
    failed,
    in_dialog,
    invite,
    play,
    request,
)
from tests.callers.sipp import call_by_sipp
from tests.callers.transfers import ARGUMENTS, LOG, TRANSFERS, transferred
from tests.support.practice import Practice, practice

pytestmark = pytest.mark.callers

HOLDS = "greeting: Hello.\notherwise: I see.\n"
UDP = ListenAddress(transport="udp", host="127.0.0.1", port=0)
TCP = ListenAddress(transport="tcp", host="127.0.0.1", port=0)


async def sipp(desk: Practice, scenario: Scenario, folder: Path, *more: str, transport: str = "udp") -> str:
    """Run sipp against the desk's SIP address of ``transport``; fails unless every call succeeded."""
    address = next(one for one in desk.simulator.sip if one.transport == transport)
    return await call_by_sipp(address.port, scenario, folder, *more, transport=transport)


async def finished(desk: Practice, count: int) -> list[tuple[SimulatedCall, CallRecord]]:
    """All calls of the desk with their records, once each is over."""
    calls = desk.simulator.calls.all_calls()
    assert len(calls) == count
    async with asyncio.timeout(30):
        for call in calls:
            await call.wait_over()
    return [(call, await desk.ended_record(call.call_id)) for call in calls]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_ten_calls_with_media(tmp_path: Path, speech: Path, transport: str) -> None:
    scenario = Scenario(
        name="media",
        steps=(invite(), ANSWERED, play(speech), "<pause/>", STOP_PLAYING, in_dialog("BYE", 2), OK),
    )
    async with practice(script=HOLDS, sip=(UDP, TCP), voice=Voice("tones")) as desk:
        await sipp(desk, scenario, tmp_path, "-m", "10", "-r", "10", "-d", "8000", transport=transport)
        for call, record in await finished(desk, 10):
            statistics = call.leg.statistics()
            assert statistics.frames_received >= 150, statistics
            assert statistics.frames_sent >= 150, statistics
            assert statistics.frames_lost <= 0.05 * statistics.frames_received, statistics
            assert record.summary.end_reason == "caller_hung_up"
            assert (record.summary.caller, record.summary.dialled) == ("+15550100123", "+15550100000")
            assert "caller" in [line.role for line in record.transcript], "the tone was heard as speech"


async def test_callers_that_give_up_while_it_rings(tmp_path: Path) -> None:
    uri = "sip:[service]@[remote_ip]:[remote_port];transport=[transport]"
    cancel = request("CANCEL", 1, uri=uri, to="<sip:+15550100000@sip.api.openai.test>")
    # Long enough that the service has accepted and attached by then, on a machine that is busy otherwise.
    ringing = '<recv response="100" optional="true"/>\n<recv response="180"/>\n<pause milliseconds="4000"/>'
    scenario = Scenario(name="cancel", steps=(invite(port="[media_port]"), ringing, cancel, OK, failed(487)))
    slow = SimulatedCallSettings(webhook_delay_s=0.02, answer_delay_s=60)
    async with practice(script=HOLDS, sip=(UDP,), simulated=slow) as desk:
        await sipp(desk, scenario, tmp_path, "-m", "10", "-r", "10")
        for call, record in await finished(desk, 10):
            assert call.state is CallState.CANCELLED
            assert record.summary.end_reason == "caller_hung_up"


async def test_calls_survive_lost_signalling(tmp_path: Path, speech: Path) -> None:
    scenario = Scenario(
        name="lossy",
        steps=(invite(), ANSWERED, play(speech), "<pause/>", STOP_PLAYING, in_dialog("BYE", 2), OK),
    )
    async with practice(script=HOLDS, sip=(UDP,)) as desk:
        await sipp(desk, scenario, tmp_path, "-m", "30", "-r", "20", "-d", "500", "-lost", "10")
        assert len(await finished(desk, 30)) == 30, "a retransmitted INVITE is one call"


async def test_rejected_calls_hear_the_status(tmp_path: Path) -> None:
    scenario = Scenario(name="rejected", steps=(invite(port="[media_port]"), PROVISIONAL, failed(503)))
    async with practice(script=HOLDS, sip=(UDP,)) as desk:
        await desk.service.drain(0)
        await sipp(desk, scenario, tmp_path, "-m", "10", "-r", "10")
        for _, record in await finished(desk, 10):
            assert record.summary.end_reason == "rejected_draining"


async def test_a_carrier_that_follows_our_refer(tmp_path: Path, speech: Path) -> None:
    patient = CallSettings(transfer_confirm_s=8.0)
    async with practice(script=TRANSFERS, sip=(UDP,), calls=patient) as desk:
        await sipp(desk, transferred(speech), tmp_path, "-m", "3", "-r", "3", *ARGUMENTS)
        for _, record in await finished(desk, 3):
            assert record.summary.end_reason == "transferred"
    assert (tmp_path / LOG).read_text().count("to tel:+15550100001") == 3
