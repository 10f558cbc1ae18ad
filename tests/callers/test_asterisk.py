"""Calls through an Asterisk with the shipped configuration: by TLS and SRTP, and by AudioSocket."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from sipagent.calls import CallSettings, FrontDoor
from sipagent.calls.numbers import PRESETS
from sipagent.carrier.settings import AnswerByStream, AnswerPlan, AudioSocketSettings, CarrierSettings
from sipagent.simulator.phone import Phone
from sipagent.simulator.server import server_tls
from sipagent.simulator.sip.settings import ListenAddress
from sipagent.simulator.voice import Voice
from tests.callers.asterisk import PbxPlan, asterisk, asterisk_program
from tests.callers.programs import program
from tests.callers.scenario import ANSWERED, OK, STOP_PLAYING, Scenario, in_dialog, invite, play
from tests.callers.sipp import call_by_sipp
from tests.callers.transfers import TRANSFERS
from tests.support.eventually import eventually
from tests.support.practice import front_door, practice

pytestmark = pytest.mark.callers

HOLDS = "greeting: Hello.\notherwise: I see.\n"
DIALLED = "+15550100177"
TLS = ListenAddress(transport="tls", host="127.0.0.1", port=0)
UDP = ListenAddress(transport="udp", host="127.0.0.1", port=0)


@pytest.fixture(autouse=True)
def needed() -> None:
    """Skips before anything is started, with the reason."""
    program("sipp", "sip-tester")
    asterisk_program()


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """Who issued cert.pem with key.pem beside it."""
    one = trustme.CA()
    identity = one.issue_cert("127.0.0.1")
    identity.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    identity.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    one.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return tmp_path / "ca.pem"


def tls_of(authority: Path) -> ssl.SSLContext:
    return server_tls(str(authority.with_name("cert.pem")), str(authority.with_name("key.pem")))


def door(transfer_uri: str = "tel:+15550100001") -> FrontDoor:
    return replace(front_door(transfer_uri=transfer_uri), numbers=PRESETS["asterisk"])


def spoken(speech: Path) -> Scenario:
    return Scenario(
        name="spoken",
        steps=(invite(), ANSWERED, play(speech), "<pause/>", STOP_PLAYING, in_dialog("BYE", 2), OK),
    )


async def test_it_calls_by_tls_with_encrypted_media(
    tmp_path: Path, authority: Path, speech: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncExitStack() as stack:
        desk = await stack.enter_async_context(
            practice(script=HOLDS, door=door(), sip=(TLS,), tls=tls_of(authority), voice=Voice("tones"))
        )
        plan = PbxPlan(context="agent", openai_port=desk.simulator.sip[0].port, authority=authority)
        pbx = await stack.enter_async_context(asterisk(plan, monkeypatch))
        await call_by_sipp(
            pbx.port, spoken(speech), tmp_path, "-m", "2", "-r", "2", "-d", "4000", user=DIALLED
        )
        calls = desk.simulator.calls.all_calls()
        assert len(calls) == 2
        for call in calls:
            await call.wait_over()
            record = await desk.ended_record(call.call_id)
            assert call.leg.media_security == "srtp"
            assert call.leg.statistics().frames_received >= 150, call.leg.statistics()
            assert record.summary.end_reason == "caller_hung_up"
            assert (record.summary.caller, record.summary.dialled) == ("+15550100123", DIALLED)
            assert "caller" in [line.role for line in record.transcript]


async def test_it_follows_a_refer_to_whom_the_dialplan_names(
    tmp_path: Path, authority: Path, speech: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncExitStack() as stack:
        person = await stack.enter_async_context(await Phone.open(listen=UDP))
        desk = await stack.enter_async_context(
            practice(
                script=TRANSFERS,
                door=door("sip:billing@pbx.test"),
                sip=(TLS,),
                tls=tls_of(authority),
                calls=CallSettings(transfer_confirm_s=15.0),
            )
        )
        plan = PbxPlan(
            context="agent",
            openai_port=desk.simulator.sip[0].port,
            authority=authority,
            people={"202": person.address.port},
        )
        pbx = await stack.enter_async_context(asterisk(plan, monkeypatch))
        scenario = Scenario(
            name="transferred",
            steps=(
                invite(),
                ANSWERED,
                '<pause milliseconds="2000"/>',
                play(speech),
                '<pause milliseconds="9000"/>',
                in_dialog("BYE", 2),
                OK,
            ),
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(call_by_sipp(pbx.port, scenario, tmp_path, "-m", "1", user=DIALLED))
            async with asyncio.timeout(30):
                call = await person.next_call()
                await call.answered()
            await eventually(lambda: desk.simulator.calls.all_calls())
            (simulated,) = desk.simulator.calls.all_calls()
            await simulated.wait_over()
            record = await desk.ended_record(simulated.call_id)
            assert record.summary.end_reason == "transferred"


async def test_a_person_answers_when_nobody_else_does(
    tmp_path: Path, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncExitStack() as stack:
        person = await stack.enter_async_context(await Phone.open(listen=UDP))
        plan = PbxPlan(context="agent", authority=authority, people={"200": person.address.port})
        pbx = await stack.enter_async_context(asterisk(plan, monkeypatch))
        scenario = Scenario(
            name="person", steps=(invite(port="[media_port]"), ANSWERED, in_dialog("BYE", 2), OK)
        )
        await call_by_sipp(pbx.port, scenario, tmp_path, "-m", "1", user=DIALLED)
        async with asyncio.timeout(5):
            await person.next_call()


async def test_its_audio_comes_through_us(
    tmp_path: Path, speech: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dialplan announces the call, `AudioSocket` brings its audio, and the outcome ends it."""
    token = "dialplan-secret"
    carriers = CarrierSettings(
        public_url="https://phone.example.com",
        plan=AnswerPlan(steps=(AnswerByStream(),)),
        audio_socket=AudioSocketSettings(host="127.0.0.1", port=0, token=token),
    )
    async with AsyncExitStack() as stack:
        desk = await stack.enter_async_context(
            practice(script=HOLDS, voice=Voice("tones"), carriers=carriers)
        )
        assert desk.service.audio_socket_port is not None
        plan = PbxPlan(
            context="agent-audio",
            http_port=desk.service.port,
            audio_port=desk.service.audio_socket_port,
            token=token,
        )
        pbx = await stack.enter_async_context(asterisk(plan, monkeypatch))
        await call_by_sipp(pbx.port, spoken(speech), tmp_path, "-m", "1", "-d", "5000", user=DIALLED)
        (summary,) = await desk.store.calls()
        record = await desk.ended_record(summary.call_id)
        assert (record.line, record.carrier) == ("stream", "asterisk")
        assert record.summary.end_reason == "caller_hung_up"
        assert (record.summary.caller, record.summary.dialled) == ("+15550100123", DIALLED)
        assert {line.role for line in record.transcript} == {"agent", "caller"}
