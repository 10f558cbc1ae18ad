"""The bench of many sessions, small: that it counts and times what it says, not how fast anything is."""

from __future__ import annotations

import asyncio
import json

import pytest
import websockets

from tests.bench.crowd import STAMP_US, Crowd, Ear, Sent, cues, stamp_us, step_us
from tests.bench.many import Result, contender, measure, missing, percentile, show
from tests.bench.many_contenders import LIBRARIES, OURS, Report
from tests.bench.player import frame
from tests.bench.recorded import AUDIO_DELTA, DELTA, END, recording

CALL = recording("a call", turns=1, stamped=True)


@pytest.mark.parametrize("name", ["floor", f"{OURS}, websockets", f"{OURS}, picows"])
async def test_every_session_is_served_and_its_messages_are_counted(name: str) -> None:
    result = await measure(name, 3, 2.0, warm_up_s=0.5)

    assert (result.name, result.sessions, result.sent) == (name, 3, 120)
    assert (result.delivered, result.lost) == (1.0, 0)
    assert 60 < result.samples <= 120, "most messages of a call are words of the agent"
    assert 0 <= result.p50_ms <= result.p99_ms < 20_000
    assert 0 < result.cpu < 1.5
    assert 0 <= result.kernel < 1.5
    assert 0 <= result.held_up < 1
    assert result.attached_kb > 0


async def test_a_contender_that_ends_is_no_result() -> None:
    async with contender("nobody", 1, 1) as process:
        with pytest.raises(SystemExit, match="too early"):
            await process.said()


async def test_a_crowd_is_played_to_at_its_pace_with_the_moment_in_every_word() -> None:
    crowd = Crowd(2)
    await crowd.start()
    ear = Ear(2)

    async def listen(number: int) -> None:
        url = f"ws://127.0.0.1:{crowd.port}/v1/realtime?call_id=rtc_bench_{number}"
        async with websockets.connect(url, proxy=None, ping_interval=0.05) as socket:
            await socket.send("{}")
            async for text in socket:
                if text == "over":
                    return
                message = json.loads(text)
                if message["type"] == DELTA:
                    ear.word(number, message["delta"])
                else:
                    ear.note(number, END if message["type"] == END else None)

    script = cues(CALL)
    begun: list[float] = []
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            group.create_task(listen(0))
            group.create_task(listen(1))
            await crowd.attached.wait()
            began_s = loop.time()
            # The first session comes in at once and hears the whole call, the second a little less of it.
            measured_s = (len(script) - 10 + 0.1) / 100
            sent = await crowd.play(
                script,
                per_second=100,
                warm_up_s=0.1,
                measured_s=measured_s,
                begun=lambda: begun.append(loop.time()),
            )
            took_s = loop.time() - began_s
            for transport in crowd.members():
                transport.write(frame("over"))
    finally:
        await crowd.stop()

    (measured_from_s,) = begun
    assert measured_from_s - began_s > 0.1
    assert took_s > (len(script) - 1) / 100
    assert sent.counted[END] == [1, 0]
    assert {kind: list(many) for kind, many in ear.heard.items()} == sent.counted
    assert 0 < sum(ear.waited_us.values()) <= sum(sent.counted[DELTA])
    assert max(ear.waited_us) < 20_000_000
    assert sum(sent.late_us.values()) == sent.measured


async def test_a_session_that_hangs_up_ends_the_playing() -> None:
    crowd = Crowd(1)
    await crowd.start()

    async def listen() -> None:
        url = f"ws://127.0.0.1:{crowd.port}/v1/realtime?call_id=rtc_bench_0"
        async with websockets.connect(url, proxy=None) as socket:
            await socket.send("{}")
            await socket.recv()

    listening = asyncio.create_task(listen())
    try:
        async with asyncio.timeout(30):
            await crowd.attached.wait()
            with pytest.raises(ConnectionError, match="1 of 1"):
                await crowd.play(
                    cues(recording("long", turns=100, stamped=True)),
                    per_second=100,
                    warm_up_s=0.1,
                    measured_s=25,
                    begun=lambda: None,
                )
    finally:
        await listening
        await crowd.stop()


def test_a_stamp_is_put_into_every_word_and_nowhere_else() -> None:
    script = cues(CALL)

    assert [cue.kind for cue in script if cue.tail is not None] == [DELTA] * CALL.counts[DELTA]
    for cue, text in zip(script, CALL.messages, strict=True):
        if cue.tail is None:
            assert cue.head == frame(text)
        else:
            assert cue.head + b"00000000" + cue.tail == frame(text)


def test_only_words_that_carry_a_moment_are_timed() -> None:
    ear = Ear(1)
    ear.word(0, " 00000000")
    ear.word(0, f" {(stamp_us() - 5_000) % STAMP_US or 1:08}")

    assert ear.heard[DELTA][0] == ear.events == 2
    (waited_us,) = ear.waited_us
    assert 5_000 <= waited_us < 10_000_000


def test_long_delays_are_kept_coarsely() -> None:
    assert [step_us(us) for us in (0, 39, 40, 19_999, 20_000, 20_999, 1_234_567)] == [
        *(0, 20, 40, 19_980),
        *(20_000, 20_000, 1_234_000),
    ]


def _report(**heard: list[int]) -> Report:
    counts = {DELTA: [2, 2], AUDIO_DELTA: [0, 0], END: [1, 1]}
    return Report(events=0, heard={**counts, **heard}, waited_us={})


def test_a_message_lost_by_one_session_is_not_made_up_for_by_another() -> None:
    sent = Sent(sessions=2)
    sent.counted[DELTA], sent.counted[END] = [2, 2], [1, 1]

    assert missing(sent, _report()) == (0, 0)
    assert missing(sent, _report(**{DELTA: [3, 1]})) == (1, 1)
    assert missing(sent, _report(**{END: [0, 0]})) == (2, 0)


def test_percentiles_of_a_histogram() -> None:
    assert percentile({}, 0.5) == 0
    assert percentile({20: 98, 40: 1, 900: 1}, 0.5) == 20
    assert percentile({20: 98, 40: 1, 900: 1}, 0.99) == 40
    assert percentile({20: 98, 40: 1, 900: 1}, 1) == 900


def test_a_missed_target_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    name = next(name for name in LIBRARIES if name.startswith(OURS) and "picows" in name)
    result = Result(
        name=name,
        sessions=1000,
        sent=200_000,
        delivered=1.0,
        lost=0,
        cpu=0.6,
        kernel=0.1,
        held_up=0.3,
        attached_kb=40.0,
        steady_kb=70.5,
        p50_ms=0.5,
        p99_ms=3.0,
        samples=100_000,
        player_late_p99_ms=1.0,
        player_cpu=0.2,
    )
    show([result], 10.0)

    said = " ".join(capsys.readouterr().out.split())
    assert "others held its processor 30% of the time" in said
    assert "p99 under 20 ms (3.0): met" in said
    assert "at most 60 KB a session (70.5): MISSED" in said
    assert "at most 0.5 of a core (0.60): MISSED" in said
