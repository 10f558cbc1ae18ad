"""Calls through the edge of ``deploy/kamailio``: from UDP to TLS, past targets that fail."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from sipagent.calls import CallSettings
from sipagent.simulator.call_values import CallSettings as SimulatedCallSettings
from sipagent.simulator.call_values import CallState
from sipagent.simulator.server import Simulator, SimulatorOptions, server_tls
from sipagent.simulator.sip.settings import ListenAddress
from sipagent.simulator.voice import Voice
from sipagent.store import CallRecord
from tests.callers.baresip import baresip, tone
from tests.callers.kamailio import CALLER, Edge, EdgePlan, ask, edge, make_certificate, rtpengine, write_edge
from tests.callers.programs import program, run
from tests.callers.scenario import (
    ANSWERED,
    OK,
    PROVISIONAL,
    STOP_PLAYING,
    TO,
    Scenario,
    failed,
    in_dialog,
    invite,
    play,
    request,
)
from tests.callers.sipp import call_by_sipp
from tests.callers.transfers import ARGUMENTS, LOG, TRANSFERS, transferred
from tests.support.eventually import eventually
from tests.support.ports import free_port
from tests.support.practice import Practice, practice

pytestmark = pytest.mark.callers

HOLDS = "greeting: Hello.\notherwise: I see.\n"
NUMBER = "+15550100000"
CALLER_NUMBER = "+15550100123"
HANGS_UP = """
greeting: Hello.
turns:
  - {say: Goodbye., call: {tool: hang_up, with: {}}}
"""
UDP = ListenAddress(transport="udp", host="127.0.0.1", port=0)
TLS = ListenAddress(transport="tls", host="127.0.0.1", port=0)
BRIEF = Scenario(
    name="brief",
    steps=(invite(port="[media_port]"), ANSWERED, '<pause milliseconds="400"/>', in_dialog("BYE", 2), OK),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """Issues the certificates of targets."""

    path: Path
    server: ssl.SSLContext
    """Of a target that is called sip.openai.test."""


@pytest.fixture(autouse=True)
def needed() -> None:
    """Skips before anything is started, with the reason."""
    program("sipp", "sip-tester")
    program("kamailio", "kamailio, kamailio-tls-modules")


@pytest.fixture
def converts() -> None:
    """As `needed`, where media is converted."""
    program("rtpengine", "rtpengine-daemon")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("authority")
    one = trustme.CA()
    identity = one.issue_cert("sip.openai.test", "127.0.0.1")
    identity.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    identity.private_key_pem.write_to_path(str(folder / "key.pem"))
    one.cert_pem.write_to_path(str(folder / "ca.pem"))
    return Authority(
        path=folder / "ca.pem", server=server_tls(str(folder / "cert.pem"), str(folder / "key.pem"))
    )


@pytest.fixture
def frozen_port() -> Iterator[int]:
    """Where connections are taken and nothing is ever said: what a stopped process looks like."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        yield one.getsockname()[1]


def tls_target(port: int, priority: int = 20) -> str:
    return f"sip:127.0.0.1:{port};transport=tls 0 {priority} user=proj_demo;media=srtp"


def udp_target(port: int, priority: int = 10, attributes: str = "user=200;media=rtp") -> str:
    return f"sip:127.0.0.1:{port};transport=udp 0 {priority} {attributes}"


@asynccontextmanager
async def refusing(status: int, *, port: int = 0) -> AsyncIterator[int]:
    """A target that answers every call with ``status``; its UDP port."""
    address = ListenAddress(transport="udp", host="127.0.0.1", port=port)
    calls = SimulatedCallSettings(no_webhook_status=status)
    async with Simulator(SimulatorOptions(sip=(address,), calls=calls)) as simulator:
        yield simulator.sip[0].port


async def until_state(one: Edge, port: int, state: str) -> None:
    """Wait until the dispatcher says so of the target at ``port``: A(ctive) or I(nactive), and P(robed)."""
    wanted = re.compile(rf"URI: sip:127\.0\.0\.1:{port}\b[^}}]*FLAGS: {state}\b")
    async with asyncio.timeout(30):
        while True:
            if wanted.search(await one.control("dispatcher.list")):
                return
            await asyncio.sleep(0.1)  # the edge is asked, it does not tell


def refused_with(status: int) -> Scenario:
    return Scenario(
        name=f"refused-{status}", steps=(invite(port="[media_port]"), PROVISIONAL, failed(status))
    )


async def ended(desk: Practice, count: int) -> list[CallRecord]:
    """The records of all calls of the desk, which were ``count``."""
    calls = desk.simulator.calls.all_calls()
    assert len(calls) == count
    async with asyncio.timeout(30):
        for call in calls:
            await call.wait_over()
    return [await desk.ended_record(call.call_id) for call in calls]


async def through(one: Edge, scenario: Scenario, folder: Path, *more: str, transport: str = "udp") -> str:
    return await call_by_sipp(
        one.port, scenario, folder, *more, transport=transport, source=CALLER, user=NUMBER
    )


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_calls_reach_a_target_by_tls(tmp_path: Path, authority: Authority, transport: str) -> None:
    async with AsyncExitStack() as stack:
        desk = await stack.enter_async_context(practice(script=HOLDS, sip=(TLS,), tls=authority.server))
        plan = EdgePlan(
            targets=[tls_target(desk.simulator.sip[0].port)],
            authority=authority.path,
            target_name=r"^sip\.openai\.test$",
        )
        one = await stack.enter_async_context(edge(plan))
        await through(one, BRIEF, tmp_path, "-m", "5", "-r", "5", transport=transport)
        for record in await ended(desk, 5):
            assert record.summary.end_reason == "caller_hung_up"
            assert (record.summary.caller, record.summary.dialled) == (CALLER_NUMBER, NUMBER)
        log = one.log
    assert log.count("a call of pbx goes to sip:127.0.0.1:") == 5
    for personal in (CALLER_NUMBER, NUMBER, "Ann"):
        assert personal.strip("+") not in log, "who calls whom is no business of a log"
    assert "ERROR" not in log


async def test_a_target_whose_certificate_is_wrong_answers_no_call(
    tmp_path: Path, authority: Authority
) -> None:
    """Of another issuer, it hears nothing; with another name, nothing of what it says counts."""
    async with AsyncExitStack() as stack:
        calls = SimulatedCallSettings(no_webhook_status=603)
        options = SimulatorOptions(sip=(TLS,), tls=authority.server, calls=calls)
        target = await stack.enter_async_context(Simulator(options))
        address = tls_target(target.sip[0].port)
        desk = await stack.enter_async_context(practice(script=HOLDS, sip=(UDP,)))
        other = udp_target(desk.simulator.sip[0].port)
        trusted = tmp_path / "other.pem"
        trustme.CA().cert_pem.write_to_path(str(trusted))
        async with edge(EdgePlan(targets=[address, other], authority=trusted)) as one:
            await through(one, BRIEF, tmp_path, "-m", "1")
            assert not target.calls.all_calls()
        plan = EdgePlan(targets=[address, other], authority=authority.path, target_name=r"^sip\.openai\.com$")
        async with edge(plan) as one:
            await through(one, BRIEF, tmp_path, "-m", "1")
            assert "shows a certificate for sip.openai.test" in one.log
        await ended(desk, 2)


@pytest.mark.parametrize("status", [400, 403, 404, 408, 480, 488, 500, 503])
async def test_the_next_target_is_called_when_one_fails(tmp_path: Path, status: int) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(refusing(status))
        desk = await stack.enter_async_context(practice(script=HOLDS, sip=(UDP,)))
        plan = EdgePlan(targets=[udp_target(first, 20), udp_target(desk.simulator.sip[0].port)])
        one = await stack.enter_async_context(edge(plan))
        await through(one, BRIEF, tmp_path, "-m", "2", "-r", "2")
        for record in await ended(desk, 2):
            assert record.summary.end_reason == "caller_hung_up"
            assert record.summary.dialled == NUMBER
        assert one.log.count(f"failed with {status}") == 2


@pytest.mark.parametrize("status", [302, 401, 486, 600, 603])
async def test_an_answer_is_passed_on(tmp_path: Path, status: int) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(refusing(status))
        desk = await stack.enter_async_context(practice(script=HOLDS, sip=(UDP,)))
        plan = EdgePlan(targets=[udp_target(first, 20), udp_target(desk.simulator.sip[0].port)])
        one = await stack.enter_async_context(edge(plan))
        await through(one, refused_with(status), tmp_path, "-m", "2", "-r", "2")
        assert not desk.simulator.calls.all_calls()


@pytest.mark.parametrize(("status", "heard"), [(404, 503), (500, 503), (480, 480)])
async def test_when_every_target_fails_the_caller_hears_so(tmp_path: Path, status: int, heard: int) -> None:
    async with (
        refusing(500) as first,
        refusing(status) as second,
        edge(EdgePlan(targets=[udp_target(first, 20), udp_target(second)])) as one,
    ):
        await through(one, refused_with(heard), tmp_path, "-m", "2", "-r", "2")


@pytest.mark.parametrize("what", ["frozen", "closed", "mute"])
async def test_a_target_that_is_silent_is_left_and_then_avoided(
    tmp_path: Path, authority: Authority, frozen_port: int, what: str
) -> None:
    """A stopped process and a closed port by TLS, a lost one by UDP."""
    async with AsyncExitStack() as stack:
        if what == "mute":
            mute = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            mute.bind(("127.0.0.1", 0))
            first = udp_target(mute.getsockname()[1], 20)
        else:
            first = tls_target(frozen_port if what == "frozen" else free_port())
        desk = await stack.enter_async_context(practice(script=HOLDS, sip=(TLS,), tls=authority.server))
        plan = EdgePlan(targets=[first, tls_target(desk.simulator.sip[0].port, 10)], authority=authority.path)
        one = await stack.enter_async_context(edge(plan))
        loop = asyncio.get_running_loop()
        await through(one, BRIEF, tmp_path, "-m", "1")
        begun = loop.time()
        await through(one, BRIEF, tmp_path, "-m", "1")
        assert loop.time() - begun < 5
        await ended(desk, 2)
        assert one.log.count("failed with 408") == 1, "the second call did not wait for it again"


async def test_when_all_are_avoided_they_are_tried_all_the_same(tmp_path: Path) -> None:
    port = free_port()
    async with edge(EdgePlan(targets=[udp_target(port)])) as one:
        await through(one, refused_with(503), tmp_path, "-m", "1")
        here = ListenAddress(transport="udp", host="127.0.0.1", port=port)
        async with practice(script=HOLDS, sip=(here,)) as desk:
            await through(one, BRIEF, tmp_path, "-m", "1")
            await ended(desk, 1)


async def test_a_target_that_does_not_answer_probes_is_not_called(tmp_path: Path) -> None:
    port = free_port()
    async with practice(script=HOLDS, sip=(UDP,)) as desk:
        plan = EdgePlan(
            targets=[udp_target(port, 20), udp_target(desk.simulator.sip[0].port)],
            switches=["WITH_PROBING"],
            numbers=[("PROBE_S", "1")],
        )
        async with edge(plan) as one:
            await until_state(one, port, "IP")
            await through(one, BRIEF, tmp_path, "-m", "1")
            await ended(desk, 1)
            assert "failed" not in one.log, "nobody waited for it"
            async with refusing(603, port=port):
                await until_state(one, port, "AP")
                await through(one, refused_with(603), tmp_path, "-m", "1")


async def test_a_caller_who_gives_up(tmp_path: Path, authority: Authority) -> None:
    uri = "sip:[service]@[remote_ip]:[remote_port];transport=[transport]"
    cancel = request("CANCEL", 1, uri=uri, to=TO)
    ringing = '<recv response="100" optional="true"/>\n<recv response="180"/>\n<pause milliseconds="300"/>'
    scenario = Scenario(name="cancel", steps=(invite(port="[media_port]"), ringing, cancel, OK, failed(487)))
    slow = SimulatedCallSettings(webhook_delay_s=0.02, answer_delay_s=5)
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(refusing(500))
        desk = await stack.enter_async_context(
            practice(script=HOLDS, sip=(TLS,), tls=authority.server, simulated=slow)
        )
        plan = EdgePlan(
            targets=[tls_target(desk.simulator.sip[0].port), udp_target(other)], authority=authority.path
        )
        one = await stack.enter_async_context(edge(plan))
        await through(one, scenario, tmp_path, "-m", "3", "-r", "3")
        for record in await ended(desk, 3):
            assert record.summary.end_reason == "caller_hung_up"
        assert {call.state for call in desk.simulator.calls.all_calls()} == {CallState.CANCELLED}
        assert "failed" not in one.log, "nobody else was called for a caller who is gone"


async def test_a_refer_and_its_notifies_pass(tmp_path: Path, authority: Authority, speech: Path) -> None:
    patient = CallSettings(transfer_confirm_s=8.0)
    async with AsyncExitStack() as stack:
        desk = await stack.enter_async_context(
            practice(script=TRANSFERS, sip=(TLS,), tls=authority.server, calls=patient)
        )
        plan = EdgePlan(targets=[tls_target(desk.simulator.sip[0].port)], authority=authority.path)
        one = await stack.enter_async_context(edge(plan))
        await through(one, transferred(speech), tmp_path, "-m", "2", "-r", "2", *ARGUMENTS)
        for record in await ended(desk, 2):
            assert record.summary.end_reason == "transferred"
    assert (tmp_path / LOG).read_text().count("to tel:+15550100001") == 2


STRANGE = (
    "X-Carrier: one",
    "x-lower: two",
    "P-Asserted-Identity: <sip:+15550100177@pbx.test>",
    "Diversion: <sip:+15550100188@pbx.test>;reason=unconditional",
    "Remote-Party-ID: <sip:+15550100199@pbx.test>",
    'Authorization: Digest username="u", realm="r", nonce="n", uri="sip:x", response="0"',
    'Proxy-Authorization: Digest username="u", realm="r", nonce="n", uri="sip:x", response="0"',
)


@pytest.mark.parametrize("group", [1, 2])
async def test_headers_of_those_we_trust_go_on_and_others_do_not(tmp_path: Path, group: int) -> None:
    async with practice(script=HOLDS, sip=(UDP,)) as desk:
        plan = EdgePlan(
            targets=[udp_target(desk.simulator.sip[0].port)], sources=[f"{group} {CALLER} 32 0 somebody"]
        )
        async with edge(plan) as one:
            scenario = Scenario(
                name="headers",
                steps=(
                    invite(*STRANGE, port="[media_port]"),
                    ANSWERED,
                    '<pause milliseconds="400"/>',
                    in_dialog("BYE", 2),
                    OK,
                ),
            )
            await through(one, scenario, tmp_path, "-m", "1")
        (record,) = await ended(desk, 1)
        (call,) = desk.simulator.calls.all_calls()
        sent = {name.lower(): value for name, value in call.leg.sip_headers}
    assert not sent.keys() & {"authorization", "proxy-authorization"}
    kept = {"x-carrier", "x-lower", "x-carrier-call", "p-asserted-identity", "diversion", "remote-party-id"}
    assert sent.keys() & kept == (kept if group == 1 else set())
    numbers = (record.summary.caller, record.summary.dialled)
    assert numbers == (("+15550100177", "+15550100188") if group == 1 else (CALLER_NUMBER, NUMBER))


INVITE = """INVITE sip:+15550100000@127.0.0.1:{port} SIP/2.0
Contact: <sip:ann@{source}:{here}>{more}
Content-Length: 0

"""


async def test_strangers_are_not_answered_and_targets_call_nobody(tmp_path: Path) -> None:
    async with practice(script=HOLDS, sip=(UDP,)) as desk:
        async with edge(EdgePlan(targets=[udp_target(desk.simulator.sip[0].port)])) as one:
            call = INVITE.replace("{more}", "")
            assert await ask(one.port, source="127.0.0.3", within_s=1, request=call) is None
            assert await ask(one.port, source="127.0.0.3", within_s=1) is None
            answer = await ask(one.port, source="127.0.0.1", within_s=5, request=call)
            assert answer is not None
            assert answer.startswith("SIP/2.0 403")
            assert "stranger's INVITE from 127.0.0.3" in one.log
        assert not desk.simulator.calls.all_calls()


BYE = """BYE sip:somebody@127.0.0.4:5060 SIP/2.0
Route: <sip:127.0.0.1:{port};lr>
To: <sip:x@127.0.0.1>;tag=unknown
CSeq: 2 BYE
Content-Length: 0

"""


async def test_it_is_no_open_relay() -> None:
    """A request that pretends to belong to a call goes nowhere."""
    async with edge(EdgePlan(targets=[udp_target(free_port())], sources=["2 127.0.0.2 32 0 x"])) as one:
        answer = await ask(one.port, source=CALLER, within_s=5, request=BYE)
        assert answer is not None
        assert answer.startswith("SIP/2.0 481")
        assert await ask(one.port, source="127.0.0.3", within_s=1, request=BYE) is None


async def test_a_call_that_comes_back_is_stopped() -> None:
    async with edge(EdgePlan(targets=[udp_target(free_port())])) as one:
        call = INVITE.replace("{more}", "\nX-Edge: edge-1")
        answer = await ask(one.port, source=CALLER, within_s=5, request=call)
        assert answer is not None
        assert answer.startswith("SIP/2.0 482")


async def test_more_calls_than_allowed_are_refused(tmp_path: Path) -> None:
    """At once, and within a second."""
    full = refused_with(503)
    async with practice(script=HOLDS, sip=(UDP,)) as desk:
        target = udp_target(desk.simulator.sip[0].port)
        async with edge(EdgePlan(targets=[target], numbers=[("MOST_AT_ONCE", "0")])) as one:
            await through(one, full, tmp_path, "-m", "2")
            assert "calls are up" in one.log
        async with edge(EdgePlan(targets=[target], numbers=[("MOST_A_SECOND", "0")])) as one:
            await through(one, full, tmp_path, "-m", "2")
            assert "times a second" in one.log
        assert not desk.simulator.calls.all_calls()


async def test_what_is_no_call_is_refused() -> None:
    request = "REGISTER sip:127.0.0.1:{port} SIP/2.0\nContact: <sip:a@{source}>\nContent-Length: 0\n\n"
    async with edge(EdgePlan(targets=[udp_target(free_port())])) as one:
        answer = await ask(one.port, source=CALLER, within_s=5, request=request)
        assert answer is not None
        assert answer.startswith("SIP/2.0 405")


@pytest.mark.parametrize(
    "switches", [(), ("WITH_PROBING",), ("WITH_RTPENGINE",), ("WITH_PROBING", "WITH_RTPENGINE")]
)
async def test_kamailio_finds_no_mistake(tmp_path: Path, switches: tuple[str, ...]) -> None:
    plan = EdgePlan(targets=[udp_target(free_port())], switches=switches)
    make_certificate(tmp_path)
    path = write_edge(tmp_path, plan, port=free_port(), tls_port=free_port())
    name = program("kamailio", "kamailio, kamailio-tls-modules")
    code, output = await run(name, "-c", "-f", str(path), "-m", "32", "-M", "8", folder=tmp_path)
    assert code == 0, output
    assert "WARNING" not in output
    assert "ERROR" not in output


@pytest.mark.usefixtures("converts")
async def test_plain_media_is_encrypted_towards_a_target(
    tmp_path: Path, authority: Authority, speech: Path
) -> None:
    """By an rtpengine in user space: RTP of the caller, SDES-SRTP to the target, and back."""
    scenario = Scenario(
        name="media",
        steps=(invite(), ANSWERED, play(speech), "<pause/>", STOP_PLAYING, in_dialog("BYE", 2), OK),
    )
    async with AsyncExitStack() as stack:
        desk = await stack.enter_async_context(
            practice(script=HOLDS, sip=(TLS,), tls=authority.server, voice=Voice("tones"))
        )
        engine = await stack.enter_async_context(rtpengine(tmp_path))
        plan = EdgePlan(
            targets=[tls_target(desk.simulator.sip[0].port)],
            authority=authority.path,
            switches=["WITH_RTPENGINE"],
            numbers=[("RTPENGINE", f'"udp:127.0.0.1:{engine}"')],
        )
        one = await stack.enter_async_context(edge(plan))
        await through(one, scenario, tmp_path, "-m", "2", "-r", "2", "-d", "4000")
        for record in await ended(desk, 2):
            assert record.summary.end_reason == "caller_hung_up"
            assert "caller" in [line.role for line in record.transcript], "the tone was heard as speech"
        for call in desk.simulator.calls.all_calls():
            assert call.leg.media_security == "srtp"
            assert call.leg.statistics().frames_received >= 150, call.leg.statistics()


async def test_a_target_that_rings_for_too_long_is_cancelled(tmp_path: Path) -> None:
    calls = SimulatedCallSettings(ringing_at="invite", webhook_delay_s=60, accept_timeout_s=60)
    options = SimulatorOptions(sip=(UDP,), calls=calls, webhook_url="http://127.0.0.1:9/")
    async with Simulator(options) as first, practice(script=HOLDS, sip=(UDP,)) as desk:
        plan = EdgePlan(
            targets=[udp_target(first.sip[0].port, 20), udp_target(desk.simulator.sip[0].port)],
            numbers=[("NO_ANSWER_MS", "1500")],
        )
        async with edge(plan) as one:
            await through(one, BRIEF, tmp_path, "-m", "1")
        await ended(desk, 1)
        (call,) = first.calls.all_calls()
        assert call.state is CallState.CANCELLED


async def test_a_call_that_is_too_long_is_hung_up_on_both_sides(tmp_path: Path) -> None:
    answer = """<send><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

]]></send>"""
    scenario = Scenario(
        name="long",
        steps=(invite(port="[media_port]"), ANSWERED, '<recv request="BYE" timeout="20000"/>', answer),
    )
    async with practice(script=HOLDS, sip=(UDP,)) as desk:
        plan = EdgePlan(targets=[udp_target(desk.simulator.sip[0].port)], numbers=[("LONGEST_CALL_S", "2")])
        async with edge(plan) as one:
            await through(one, scenario, tmp_path, "-m", "1")
            await ended(desk, 1)


@pytest.mark.usefixtures("converts")
async def test_a_plain_target_gets_plain_media_after_an_encrypted_one(
    tmp_path: Path, authority: Authority
) -> None:
    async with AsyncExitStack() as stack:
        calls = SimulatedCallSettings(no_webhook_status=503)
        options = SimulatorOptions(sip=(TLS,), tls=authority.server, calls=calls)
        first = await stack.enter_async_context(Simulator(options))
        desk = await stack.enter_async_context(practice(script=HOLDS, sip=(UDP,)))
        engine = await stack.enter_async_context(rtpengine(tmp_path))
        plan = EdgePlan(
            targets=[tls_target(first.sip[0].port), udp_target(desk.simulator.sip[0].port)],
            authority=authority.path,
            switches=["WITH_RTPENGINE"],
            numbers=[("RTPENGINE", f'"udp:127.0.0.1:{engine}"')],
        )
        one = await stack.enter_async_context(edge(plan))
        await through(one, BRIEF, tmp_path, "-m", "1")
        await ended(desk, 1)
        (failed_call,) = first.calls.all_calls()
        (call,) = desk.simulator.calls.all_calls()
        assert (failed_call.leg.media_security, call.leg.media_security) == ("srtp", "rtp")


async def test_a_telephone_by_tls_keeps_its_own_encryption(tmp_path: Path, authority: Authority) -> None:
    """TLS in, TLS out, SRTP between the ends; the agent hangs up, and its BYE finds the telephone."""
    async with AsyncExitStack() as stack:
        desk = await stack.enter_async_context(
            practice(script=HANGS_UP, sip=(TLS,), tls=authority.server, voice=Voice("tones"))
        )
        plan = EdgePlan(
            targets=[tls_target(desk.simulator.sip[0].port)],
            authority=authority.path,
            sources=[f"1 {CALLER} 32 0 pbx", "2 127.0.0.1 32 0 telephone"],
        )
        one = await stack.enter_async_context(edge(plan))
        address = f"{NUMBER}@127.0.0.1:{one.tls_port};transport=tls"
        account = (
            f"<sip:ann@127.0.0.1:{one.tls_port};transport=tls>;regint=0;audio_codecs=PCMU;mediaenc=srtp-mand;"
            f'outbound="sip:127.0.0.1:{one.tls_port};transport=tls"'
        )
        phone = await stack.enter_async_context(
            baresip(tmp_path / "phone", tone(2.0, 1.5, 60.0), account=account, certificate=one.authority)
        )
        await phone.command("dial", f"sip:{address}")
        await phone.until("CALL_ESTABLISHED")
        (call,) = desk.simulator.calls.all_calls()
        assert call.leg.media_security == "srtp"
        await phone.until("CALL_CLOSED")
        (record,) = await ended(desk, 1)
        assert record.summary.end_reason == "agent_hung_up"


@pytest.mark.usefixtures("converts")
async def test_a_held_call_comes_back_through_the_conversion(tmp_path: Path, authority: Authority) -> None:
    async with AsyncExitStack() as stack:
        desk = await stack.enter_async_context(
            practice(script=HOLDS, sip=(TLS,), tls=authority.server, voice=Voice("tones"))
        )
        engine = await stack.enter_async_context(rtpengine(tmp_path))
        plan = EdgePlan(
            targets=[tls_target(desk.simulator.sip[0].port)],
            sources=[f"1 {CALLER} 32 0 pbx", "1 127.0.0.1 32 0 telephone"],
            authority=authority.path,
            switches=["WITH_RTPENGINE"],
            numbers=[("RTPENGINE", f'"udp:127.0.0.1:{engine}"')],
        )
        one = await stack.enter_async_context(edge(plan))
        account = (
            f"<sip:ann@127.0.0.1:{{sip_port}}>;regint=0;audio_codecs=PCMU;dtmfmode=rtpevent;"
            f'outbound="sip:127.0.0.1:{one.port}"'
        )
        phone = await stack.enter_async_context(baresip(tmp_path / "phone", tone(1.0, 60.0), account=account))
        await phone.command("dial", f"sip:{NUMBER}@127.0.0.1:{one.port}")
        await phone.until("CALL_ESTABLISHED")
        (call,) = desk.simulator.calls.all_calls()
        assert call.leg.media_security == "srtp"
        await phone.command("hold")
        await asyncio.sleep(1.0)
        sent = call.leg.statistics().frames_sent
        await asyncio.sleep(0.5)
        assert call.leg.statistics().frames_sent == sent, "nobody speaks to a telephone that holds the call"
        await phone.command("resume")
        await eventually(lambda: call.leg.statistics().frames_sent > sent + 25)
        before = call.leg.statistics().frames_received
        await eventually(lambda: call.leg.statistics().frames_received > before + 25)
        await phone.command("hangup")
        (record,) = await ended(desk, 1)
        assert record.summary.end_reason == "caller_hung_up"
