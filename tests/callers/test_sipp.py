"""sipp calls the simulator, and the service answers."""

from __future__ import annotations

import asyncio
import math
import struct
from pathlib import Path

import pytest

from sipagent.audio.g711 import encode_pcmu
from sipagent.calls import CallSettings
from sipagent.simulator.call_values import CallSettings as SimulatedCallSettings
from sipagent.simulator.call_values import CallState
from sipagent.simulator.calls import SimulatedCall
from sipagent.simulator.sip.settings import ListenAddress
from sipagent.simulator.voice import Voice
from sipagent.store import CallRecord
from tests.callers.programs import program, run
from tests.callers.scenario import (
    ANSWERED,
    OK,
    PROVISIONAL,
    STOP_PLAYING,
    Scenario,
    failed,
    in_dialog,
    invite,
    notify,
    play,
    request,
)
from tests.support.practice import Practice, practice

pytestmark = pytest.mark.callers

HOLDS = "greeting: Hello.\notherwise: I see.\n"
TRANSFERS = """
greeting: Hello.
turns:
  - {say: One moment., call: {tool: transfer, with: {target: billing}}}
"""
UDP = ListenAddress(transport="udp", host="127.0.0.1", port=0)
TCP = ListenAddress(transport="tcp", host="127.0.0.1", port=0)


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """Two seconds of a loud 300 Hz tone and two of silence, raw mu-law."""
    tone = struct.pack(
        "<16000h", *(int(12000 * math.sin(2 * math.pi * 300 * n / 8000)) for n in range(16000))
    )
    path = tmp_path / "caller.ul"
    path.write_bytes(encode_pcmu(tone) + b"\xff" * 16000)
    return path


async def sipp(desk: Practice, scenario: Scenario, folder: Path, *more: str, transport: str = "udp") -> str:
    """Run sipp against the desk's SIP address of ``transport``; fails unless every call succeeded."""
    address = next(one for one in desk.simulator.sip if one.transport == transport)
    command = [
        program("sipp", "sip-tester"),
        f"127.0.0.1:{address.port}",
        *("-sf", str(scenario.write(folder)), "-s", "proj_demo", "-i", "127.0.0.1", "-mi", "127.0.0.1"),
        *("-nostdin", "-trace_err", "-error_file", str(folder / "errors.log"), "-timeout", "60"),
        *(["-t", "t1"] if transport == "tcp" else []),
        *more,
    ]
    code, output = await run(*command, folder=folder, within_s=90)
    errors = folder / "errors.log"
    explained = errors.read_text(errors="replace") if errors.exists() else ""
    assert code == 0, f"sipp ended with {code}:\n{output[-3000:]}\n{explained[-3000:]}"
    return output


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
        await sipp(desk, scenario, tmp_path, "-m", "10", "-r", "10", "-d", "4000", transport=transport)
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
    ringing = '<recv response="100" optional="true"/>\n<recv response="180"/>\n<pause milliseconds="300"/>'
    scenario = Scenario(name="cancel", steps=(invite(port="[media_port]"), ringing, cancel, OK, failed(487)))
    slow = SimulatedCallSettings(webhook_delay_s=0.02, answer_delay_s=5)
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
    accepted = """<send><![CDATA[
SIP/2.0 202 Accepted
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:ann@[local_ip]:[local_port]>
Content-Length: 0

]]></send>"""
    refer = (
        '<recv request="REFER" timeout="20000"><action><ereg regexp="tel:[+0-9]*" search_in="hdr" '
        'header="Refer-To:" check_it="true" assign_to="target"/><log message="to [$target]"/></action></recv>'
    )
    scenario = Scenario(
        name="refer",
        steps=(
            invite(),
            ANSWERED,
            # The caller speaks first after the greeting: that is the turn which asks for the transfer.
            '<pause milliseconds="2000"/>',
            play(speech),
            refer,
            accepted,
            notify(2, "active;expires=60", "SIP/2.0 100 Trying"),
            '<pause milliseconds="200"/>',
            notify(3, "terminated;reason=noresource", "SIP/2.0 200 OK"),
            '<recv request="BYE" timeout="10000"/>',
            accepted.replace("202 Accepted", "200 OK"),
        ),
    )
    patient = CallSettings(transfer_confirm_s=8.0)
    async with practice(script=TRANSFERS, sip=(UDP,), calls=patient) as desk:
        await sipp(desk, scenario, tmp_path, "-m", "3", "-r", "3", "-trace_logs", "-log_file", "refer.log")
        for _, record in await finished(desk, 3):
            assert record.summary.end_reason == "transferred"
    assert (tmp_path / "refer.log").read_text().count("to tel:+15550100001") == 3
