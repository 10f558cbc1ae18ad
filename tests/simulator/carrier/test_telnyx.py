"""A pretended Telnyx: TeXML and Call Control, with its own signature."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, Literal

import aiohttp
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sipagent.simulator.carrier import Busy, NoAnswer, Person, PretendedTelnyx, TelnyxOptions
from sipagent.simulator.carrier.announcer import tone
from sipagent.simulator.carrier.leg import LegStatus
from sipagent.simulator.phone.settings import HangUp, Press, Say
from tests.simulator.carrier.rig import Quick, World, over, world
from tests.simulator.carrier.service import LIMIT_S, Asked, Service

BOSS: Final = "+15550100777"
OURS: Final = "+15550100100"


@asynccontextmanager
async def telnyx_at(
    site: Service, application: Literal["texml", "call_control"], **options: Any
) -> AsyncIterator[PretendedTelnyx]:
    async with PretendedTelnyx(
        TelnyxOptions(
            application=application,
            webhook_url=site.address("/hook"),
            turn_gap_ms=300,
            voice=Quick(),
            people_voice=Quick(),
            **options,
        )
    ) as telnyx:
        site.check = lambda asked, url: signed(asked, telnyx.public_key)
        yield telnyx


def signed(asked: Asked, public_key: str) -> bool:
    """Judged by the package `cryptography` and nothing of ours."""
    try:
        Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key)).verify(
            base64.b64decode(asked.headers.get("telnyx-signature-ed25519", "")),
            asked.headers.get("telnyx-timestamp", "").encode() + b"|" + asked.body,
        )
    except InvalidSignature:
        return False
    return True


@pytest.fixture
async def texml(site: Service) -> AsyncIterator[PretendedTelnyx]:
    async with telnyx_at(site, "texml") as found:
        yield found


@pytest.fixture
async def telnyx(site: Service) -> AsyncIterator[PretendedTelnyx]:
    async with telnyx_at(site, "call_control") as found:
        yield found


class Commands:
    """The commands, over real HTTP."""

    def __init__(self, carrier: PretendedTelnyx, http: aiohttp.ClientSession) -> None:
        self._carrier = carrier
        self._http = http

    async def post(self, path: str, **body: Any) -> tuple[int, Any]:
        async with self._http.post(f"{self._carrier.api_base_url}/v2/{path}", json=body) as response:
            return response.status, await response.json()

    async def get(self, path: str) -> tuple[int, Any]:
        async with self._http.get(f"{self._carrier.api_base_url}/v2/{path}") as response:
            return response.status, await response.json()

    async def do(self, call_id: str, action: str, **body: Any) -> None:
        status, answer = await self.post(f"calls/{call_id}/actions/{action}", **body)
        assert status == 200, answer


@pytest.fixture
async def commands(telnyx: PretendedTelnyx) -> AsyncIterator[Commands]:
    headers = {"Authorization": f"Bearer {telnyx.api_key}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        yield Commands(telnyx, http)


async def event(site: Service, event_type: str, *, of: str | None = None) -> dict[str, Any]:
    """Wait for an event, and return its payload."""

    def found() -> list[dict[str, Any]]:
        events = [json.loads(asked.body)["data"] for asked in site.asked if asked.body.startswith(b"{")]
        payloads = [each["payload"] for each in events if each["event_type"] == event_type]
        return [each for each in payloads if of in (None, each["call_control_id"])]

    async with asyncio.timeout(LIMIT_S), site.came:
        await site.came.wait_for(lambda: bool(found()))
    return found()[0]


# TeXML


async def test_texml_is_followed(site: Service, texml: PretendedTelnyx) -> None:
    site.tell("/hook", "<Response><Say>We are closed.</Say><Hangup/></Response>")
    call = await texml.call(caller="+15550100123", to=OURS)
    assert await over(call) is LegStatus.COMPLETED
    assert call.sentences == ("We are closed.",)
    (asked,) = site.asked
    assert asked.signed
    assert asked.form["CallSid"] == call.sid
    assert asked.form["CallSid"].startswith("v3:")
    assert (asked.form["From"], asked.form["To"]) == ("+15550100123", OURS)
    assert asked.form["ConnectionId"] == texml.connection_id


async def test_texml_dials(site: Service, texml: PretendedTelnyx) -> None:
    texml.network.numbers[BOSS] = Busy()
    site.tell("/hook", f'<Response><Dial action="/next"><Number>{BOSS}</Number></Dial></Response>')
    call = await texml.call()
    await over(call)
    (asked,) = await site.has("/next")
    assert asked.form["DialCallStatus"] == "busy"


async def test_what_texml_does_not_know_is_passed_over(site: Service, texml: PretendedTelnyx) -> None:
    texml.network.numbers[BOSS] = Person(does=(HangUp(waits=False),))
    site.tell("/hook", f'<Response><Dial answerOnBridge="true"><Number>{BOSS}</Number></Dial></Response>')
    call = await texml.call()
    await over(call)
    assert [notice.message for notice in call.notices] == ["<Dial> has no attribute 'answerOnBridge'"]
    assert [moment.leg for moment in call.moments("answered")][0] == call.sid


async def test_the_texml_api_moves_calls(site: Service, texml: PretendedTelnyx) -> None:
    site.tell("/hook", "<Response><Pause length='60'/></Response>")
    call = await texml.call()
    await call.answered()
    root = f"{texml.api_base_url}/v2/texml/Accounts/{texml.account_sid}"
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {texml.api_key}"}) as http:
        async with http.post(f"{root}/Calls/{call.sid}", data={"Status": "completed"}) as response:
            assert response.status == 200
        assert await over(call) is LegStatus.COMPLETED
        async with http.post(f"{root}/Calls/{call.sid}", data={"Status": "completed"}) as response:
            assert response.status == 422
            assert (await response.json())["errors"][0]["code"] == "90018"
    async with aiohttp.ClientSession() as stranger, stranger.get(f"{root}/Calls/{call.sid}") as response:
        assert response.status == 401
        assert (await response.json())["errors"][0]["code"] == "10009"


@pytest.mark.parametrize("law", ["PCMU", "PCMA"])
async def test_a_texml_stream(site: Service, texml: PretendedTelnyx, law: str) -> None:
    site.tell(
        "/hook",
        f'<Response><Connect><Stream url="{site.media_url}" bidirectionalMode="rtp" codec="{law}"'
        f' bidirectionalCodec="{law}"><Parameter name="t" value="a token"/></Stream></Connect></Response>',
    )
    call = await texml.call()
    socket = await site.next_socket()
    frames: list[Any] = await socket.until("media", 5)
    assert socket.messages[0][1] == {"event": "connected", "version": "1.0.0"}
    start: Any = socket.events("start")[0]
    assert start["start"]["call_control_id"] == call.sid
    assert start["start"]["custom_parameters"] == {"t": "a token"}
    assert start["start"]["media_format"] == {"encoding": law, "sample_rate": 8000, "channels": 1}
    quiet = b"\xff" if law == "PCMU" else b"\xd5"
    assert base64.b64decode(frames[0]["media"]["payload"]) == quiet * 160
    payload = base64.b64encode(tone((400,), seconds=0.4)).decode()
    await socket.send({"event": "media", "media": {"payload": payload}})
    await socket.send({"event": "mark", "mark": {"name": "end"}})
    await socket.until("mark")
    assert call.heard.loud_s > 0.3
    await socket.send({"event": "media", "media": {"payload": "AAAA"}})
    async with asyncio.timeout(LIMIT_S):
        await call.until(lambda: bool(call.notices))
    call.caller.hang_up()
    stop: Any = (await socket.until("stop"))[0]
    assert stop["stop"]["call_control_id"] == call.sid


async def test_a_forged_and_a_late_request(site: Service, texml: PretendedTelnyx) -> None:
    await over(await texml.call(faults="carrier.forged"))
    await over(await texml.call(faults="carrier.unsigned"))
    await over(await texml.call(faults="carrier.late=900"))
    forged, unsigned, late = site.asked
    assert not forged.signed
    assert not unsigned.signed
    assert late.signed
    fresh = int((await site.has("/hook"))[0].headers["telnyx-timestamp"])
    assert 880 < fresh - int(late.headers["telnyx-timestamp"]) < 960


# Call Control


async def test_a_call_is_announced_answered_and_spoken_to(
    site: Service, telnyx: PretendedTelnyx, commands: Commands
) -> None:
    call = await telnyx.call(caller="+15550100123", to=OURS)
    initiated = await event(site, "call.initiated")
    assert initiated["call_control_id"] == call.sid
    assert (initiated["from"], initiated["to"]) == ("+15550100123", OURS)
    assert (initiated["direction"], initiated["state"]) == ("incoming", "parked")
    await commands.do(call.sid, "answer", client_state="c3RhdGU=", command_id="one")
    answered = await event(site, "call.answered")
    assert answered["client_state"] == "c3RhdGU="
    await commands.do(call.sid, "speak", payload="Hello there.", voice="female")
    assert (await event(site, "call.speak.ended"))["status"] == "completed"
    assert call.sentences == ("Hello there.",)
    await commands.do(call.sid, "hangup")
    hangup = await event(site, "call.hangup")
    assert hangup["hangup_cause"] == "normal_clearing"
    assert all(asked.signed for asked in site.asked)
    status, error = await commands.post(f"calls/{call.sid}/actions/speak", payload="x", voice="y")
    assert (status, error["errors"][0]["code"]) == (422, "90018")


async def test_a_command_counts_once(site: Service, telnyx: PretendedTelnyx, commands: Commands) -> None:
    call = await telnyx.call()
    await commands.do(call.sid, "answer", command_id="one")
    await commands.do(call.sid, "speak", payload="Once.", voice="female", command_id="two")
    await commands.do(call.sid, "speak", payload="Once.", voice="female", command_id="two")
    await event(site, "call.speak.ended")
    assert call.sentences == ("Once.",)


@pytest.mark.parametrize("headers", ["X-A: b", ["X-A"], [{"name": "X-A"}], {"X-A": "b"}])
async def test_headers_that_are_none_are_refused(
    telnyx: PretendedTelnyx, commands: Commands, headers: Any
) -> None:
    call = await telnyx.call()
    status, error = await commands.post(
        f"calls/{call.sid}/actions/transfer", to="sip:p@127.0.0.1", custom_headers=headers
    )
    assert status == 422
    assert "custom_headers" in error["errors"][0]["detail"]


async def test_a_rejected_call(site: Service, telnyx: PretendedTelnyx, commands: Commands) -> None:
    call = await telnyx.call()
    await commands.do(call.sid, "reject", cause="USER_BUSY")
    assert await over(call) is LegStatus.BUSY
    assert (await event(site, "call.hangup"))["hangup_cause"] == "user_busy"


async def test_keys_are_gathered(site: Service, telnyx: PretendedTelnyx, commands: Commands) -> None:
    call = await telnyx.call(does=(Press(digits="1"),))
    await commands.do(call.sid, "answer")
    await commands.do(
        call.sid,
        "gather_using_speak",
        payload="Press one.",
        voice="female",
        maximum_digits=1,
        timeout_millis=5000,
    )
    ended = await event(site, "call.gather.ended")
    assert (ended["digits"], ended["status"]) == ("1", "valid")


async def test_a_transfer_to_a_person(site: Service, telnyx: PretendedTelnyx, commands: Commands) -> None:
    telnyx.network.numbers[BOSS] = Person(does=(Say(text="Yes?", waits=False), HangUp()))
    call = await telnyx.call(does=(Say(text="It is me."),))
    await commands.do(call.sid, "transfer", to=BOSS, target_leg_client_state="Yg==")
    await event(site, "call.bridged", of=call.sid)
    boss = call.legs[1]
    theirs = await event(site, "call.initiated", of=boss.sid)
    assert (theirs["direction"], theirs["client_state"], theirs["to"]) == ("outgoing", "Yg==", BOSS)
    assert theirs["call_session_id"] == call.leg.facts.session
    assert await over(call) is LegStatus.COMPLETED
    assert call.heard.loud_s > 0.4
    assert boss.heard.loud_s > 0.4
    await event(site, "call.hangup", of=boss.sid)


@pytest.mark.parametrize(("who", "cause"), [(Busy(), "user_busy"), (NoAnswer(), "timeout")])
async def test_a_transfer_that_fails_leaves_the_caller(
    site: Service, telnyx: PretendedTelnyx, commands: Commands, who: Any, cause: str
) -> None:
    telnyx.network.numbers[BOSS] = who
    call = await telnyx.call()
    await commands.do(call.sid, "answer")
    await commands.do(call.sid, "transfer", to=BOSS, timeout_secs=1)
    hangup = await event(site, "call.hangup")
    assert hangup["call_control_id"] == call.legs[1].sid
    assert hangup["hangup_cause"] == cause
    assert not call.leg.is_over


async def test_a_bidirectional_stream(site: Service, telnyx: PretendedTelnyx, commands: Commands) -> None:
    call = await telnyx.call()
    await commands.do(call.sid, "answer")
    await commands.do(
        call.sid,
        "streaming_start",
        stream_url=site.media_url,
        stream_track="inbound_track",
        stream_bidirectional_mode="rtp",
        stream_bidirectional_codec="PCMU",
        custom_parameters=[{"name": "t", "value": "a token"}],
    )
    socket = await site.next_socket()
    await event(site, "streaming.started")
    await socket.until("media", 5)
    payload = base64.b64encode(tone((400,), seconds=0.2)).decode()
    await socket.send({"event": "media", "media": {"payload": payload}})
    async with asyncio.timeout(LIMIT_S):
        await call.caller.hears_speech()
    await socket.response.close()
    await event(site, "streaming.stopped")
    assert not call.leg.is_over


async def test_a_stream_that_cannot_be_opened(
    site: Service, telnyx: PretendedTelnyx, commands: Commands
) -> None:
    call = await telnyx.call(faults="carrier.stream_refused")
    await commands.do(call.sid, "answer")
    await commands.do(call.sid, "streaming_start", stream_url=site.media_url)
    await event(site, "streaming.failed")
    assert not call.leg.is_over


async def test_a_person_is_brought_in_by_a_conference(
    site: Service, telnyx: PretendedTelnyx, commands: Commands
) -> None:
    telnyx.network.numbers[BOSS] = Person()
    call = await telnyx.call()
    await commands.do(call.sid, "answer")
    _, made = await commands.post("calls", to=BOSS, **{"from": OURS}, connection_id=telnyx.connection_id)
    boss_id = made["data"]["call_control_id"]
    await event(site, "call.answered", of=boss_id)
    status, room = await commands.post("conferences", name="warm", call_control_id=boss_id)
    assert status == 200
    room_id = room["data"]["id"]
    await event(site, "conference.participant.joined", of=boss_id)
    await commands.post(
        f"conferences/{room_id}/actions/join", call_control_id=call.sid, end_conference_on_exit=True
    )
    await event(site, "conference.participant.joined", of=call.sid)
    _, members = await commands.get(f"conferences/{room_id}/participants")
    assert {each["call_control_id"] for each in members["data"]} == {call.sid, boss_id}
    async with asyncio.timeout(LIMIT_S):
        await call.caller.say("About the boat.")
    boss = telnyx.find(boss_id)
    assert boss is not None
    assert boss.heard.loud_s > 0.3
    call.caller.hang_up()
    await event(site, "conference.participant.left", of=boss_id)


async def test_the_key_is_asked_for(telnyx: PretendedTelnyx) -> None:
    async with aiohttp.ClientSession() as stranger:
        status, error = await Commands(telnyx, stranger).post("calls", to=BOSS)
    assert (status, error["errors"][0]["code"]) == (401, "10009")


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("calls", {"to": BOSS}, 422),
        ("calls/v3:nobody/actions/answer", {}, 404),
        ("conferences", {"name": "x"}, 422),
        ("conferences/x/actions/join", {}, 404),
    ],
)
async def test_what_cannot_be_is_refused(
    commands: Commands, path: str, body: dict[str, Any], status: int
) -> None:
    found, error = await commands.post(path, **body)
    assert found == status
    assert error["errors"][0]["detail"]


async def test_a_transfer_to_the_agent_and_from_there_to_a_person() -> None:
    async with world() as everybody, telnyx_at(everybody.site, "call_control") as telnyx:
        await _through(everybody, telnyx)


async def _through(everybody: World, telnyx: PretendedTelnyx) -> None:
    telnyx.network.numbers[BOSS] = Person()
    headers = {"Authorization": f"Bearer {telnyx.api_key}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        commands = Commands(telnyx, http)
        call = await telnyx.call()
        await commands.do(
            call.sid,
            "transfer",
            to=everybody.project.partition(";")[0],
            sip_transport_protocol="UDP",
            custom_headers=[{"name": "X-Sipagent-Leg", "value": "a token & more"}],
        )
        webhook, simulated = await everybody.accepted()
        given = {header["name"]: header["value"] for header in webhook.data["sip_headers"]}
        assert given["X-Sipagent-Leg"] == "a token & more"
        await event(everybody.site, "call.bridged", of=call.sid)
        await everybody.greet(webhook)
        assert call.heard.loud_s > 0.3
        await everybody.client.realtime.calls.refer(webhook.call_id, target_uri=f"tel:{BOSS}")
        await call.leg_answered(BOSS)
        async with asyncio.timeout(LIMIT_S):
            await simulated.wait_over()
        assert not call.leg.is_over
        call.caller.hang_up()
        await over(call)
