"""baresip, a real softphone, talks to the agent."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import trustme

from sipagent.calls import CallSettings
from sipagent.simulator.phone import Phone
from sipagent.simulator.server import server_tls
from sipagent.simulator.sip.settings import ListenAddress
from sipagent.simulator.voice import Voice
from tests.callers.baresip import baresip, loudest, tone
from tests.support.eventually import eventually
from tests.support.practice import front_door, practice

pytestmark = pytest.mark.callers

SCRIPT = """
greeting: Good morning, how can I help?
reactions:
  - {digits: "5", say: You pressed five.}
otherwise: I see.
"""
TRANSFERS = """
greeting: Hello.
turns:
  - say: One moment.
    call: {tool: transfer, with: {target: billing}}
"""
PLAIN_ACCOUNT = "<sip:ann@127.0.0.1:{sip_port}>;regint=0;audio_codecs=PCMU;dtmfmode=rtpevent"


async def test_it_plays_hears_presses_holds_and_hangs_up(tmp_path: Path) -> None:
    udp = ListenAddress(transport="udp", host="127.0.0.1", port=0)
    async with (
        practice(script=SCRIPT, sip=(udp,), voice=Voice("tones")) as desk,
        baresip(tmp_path / "phone", tone(5.0, 2.0, 60.0), account=PLAIN_ACCOUNT) as phone,
    ):
        await phone.command("dial", f"sip:proj_demo@127.0.0.1:{desk.simulator.sip[0].port}")
        await phone.until("CALL_ESTABLISHED")
        (call,) = desk.simulator.calls.all_calls()
        await eventually(lambda: call.conversation and len(call.conversation.transcript) >= 3)
        await phone.command("sndcode", "5")
        await eventually(lambda: "5" in call.leg.statistics().digits)
        await phone.command("hold")
        await asyncio.sleep(0.5)
        await phone.command("resume")
        before = call.leg.statistics().frames_received
        await eventually(lambda: call.leg.statistics().frames_received > before + 25)
        await phone.command("hangup")
        await call.wait_over()
        record = await desk.ended_record(call.call_id)
        statistics = call.leg.statistics()
        heard = phone.recordings("dec")
    assert statistics.frames_lost <= 0.05 * statistics.frames_received
    assert record.summary.end_reason == "caller_hung_up"
    said = [(line.role, line.text) for line in record.transcript]
    assert said[0] == ("agent", "Harbor Dental, good morning. How can I help?")
    assert "caller" in [role for role, _ in said]
    assert "You pressed five." in [text for _, text in said]
    assert heard
    assert max(loudest(path) for path in heard) > 3000, "the agent was audible"


async def test_it_follows_our_refer_to_a_second_phone(tmp_path: Path) -> None:
    udp = ListenAddress(transport="udp", host="127.0.0.1", port=0)
    async with await Phone.open(listen=udp, auto_answer=True) as person:
        target = f"sip:billing@127.0.0.1:{person.address.port}"
        async with (
            practice(
                script=TRANSFERS,
                sip=(udp,),
                voice=Voice("tones"),
                calls=CallSettings(transfer_confirm_s=15.0),
                door=front_door(transfer_uri=target),
            ) as desk,
            baresip(tmp_path / "phone", tone(5.0, 1.5, 60.0), account=PLAIN_ACCOUNT) as phone,
        ):
            await phone.command("dial", f"sip:proj_demo@127.0.0.1:{desk.simulator.sip[0].port}")
            await phone.until("CALL_ESTABLISHED")
            (call,) = desk.simulator.calls.all_calls()
            await call.wait_over()
            record = await desk.ended_record(call.call_id)
            transferred = await person.next_call()
            await transferred.answered()
            await phone.command("hangup")
    assert record.summary.end_reason == "transferred"


async def test_it_calls_over_tls_with_encrypted_media(tmp_path: Path) -> None:
    authority = trustme.CA()
    identity = authority.issue_cert("127.0.0.1")
    certificate, key, trusted = tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "ca.pem"
    identity.cert_chain_pems[0].write_to_path(str(certificate))
    identity.private_key_pem.write_to_path(str(key))
    authority.cert_pem.write_to_path(str(trusted))
    tls = ListenAddress(transport="tls", host="127.0.0.1", port=0)
    async with practice(
        script=SCRIPT, sip=(tls,), voice=Voice("tones"), tls=server_tls(str(certificate), str(key))
    ) as desk:
        port = desk.simulator.sip[0].port
        account = (
            f"<sip:ann@127.0.0.1:{port};transport=tls>;regint=0;audio_codecs=PCMU;dtmfmode=rtpevent;"
            f'mediaenc=srtp-mand;outbound="sip:127.0.0.1:{port};transport=tls"'
        )
        async with baresip(
            tmp_path / "phone", tone(4.0, 1.5, 60.0), account=account, certificate=trusted
        ) as phone:
            await phone.command("dial", f"sip:proj_demo@127.0.0.1:{port};transport=tls")
            await phone.until("CALL_ESTABLISHED")
            (call,) = desk.simulator.calls.all_calls()
            assert call.leg.media_security == "srtp"
            await eventually(lambda: call.conversation and len(call.conversation.transcript) >= 3)
            await phone.command("hangup")
            await call.wait_over()
            record = await desk.ended_record(call.call_id)
    assert record.summary.end_reason == "caller_hung_up"
    assert {line.role for line in record.transcript} == {"agent", "caller"}
