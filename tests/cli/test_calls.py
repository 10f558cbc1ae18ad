from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sipagent.cli import main
from sipagent.config.environment import DEFAULT_DATABASE_URL
from sipagent.identifiers import CallId, ItemId, ResponseId, ToolCallId
from sipagent.store import (
    DEFAULT_URL,
    CarrierReported,
    DeletionReason,
    RecordingDeleted,
    RecordingKept,
    open_store,
)
from sipagent.store.records import (
    CallEnded,
    CallNoted,
    CallOpened,
    ConfigurationLoaded,
    Fact,
    LatencyMeasured,
    StateChanged,
    TokensUsed,
    ToolRan,
    TranscriptLineSaid,
)

BEGAN = datetime(2026, 11, 20, 9, 0, 5, tzinfo=UTC)


def facts(call_id: str, began: datetime, *, agent: str = "front-desk") -> list[Fact]:
    call = CallId(call_id)
    return [
        CallOpened(
            call_id=call,
            at=began,
            webhook_id="wh_1",
            caller="+15550100123",
            dialled="+15550100000",
            agent=agent,
            model="gpt-realtime-2.1",
            sip_call_id="abc@carrier.example",
            configuration="0123456789ab",
        ),
        StateChanged(call_id=call, sequence=1, state="accepting", at=began + timedelta(milliseconds=2)),
        TranscriptLineSaid(
            call_id=call,
            item_id=ItemId("item_1"),
            position=1.0,
            role="agent",
            text="Good morning. [bold]How[/bold] can I help?",
            interrupted=True,
            at=began,
        ),
        TranscriptLineSaid(
            call_id=call,
            item_id=ItemId("item_2"),
            position=2.0,
            role="caller",
            text="Hello.",
            interrupted=False,
            at=began,
        ),
        ToolRan(
            call_id=call,
            tool_call_id=ToolCallId("call_1"),
            name="next_free_slot",
            arguments='{"treatment": "checkup"}',
            started_at=began,
            output="Tuesday",
            duration_ms=12.3,
        ),
        TokensUsed(
            call_id=call,
            source_id=ResponseId("resp_1"),
            kind="response",
            at=began,
            input_tokens=100,
            cached_tokens=40,
            output_tokens=20,
        ),
        TokensUsed(call_id=call, source_id=ItemId("item_2"), kind="transcription", at=began, duration_s=1.5),
        LatencyMeasured(call_id=call, name="webhook_to_accept", sequence=0, milliseconds=4.25),
        CallNoted(
            call_id=call,
            sequence=0,
            at=began + timedelta(seconds=1),
            kind="message_taken",
            data='{"name":"Ann [b]","fields":{"reason":"a cracked tooth"}}',
        ),
        CallNoted(call_id=call, sequence=1, at=began + timedelta(seconds=2), kind="odd", data="no JSON"),
        CallEnded(
            call_id=call,
            at=began + timedelta(seconds=12.5),
            reason="agent_hung_up",
            fault_owner="none",
            detail="The agent said goodbye.",
        ),
    ]


def loaded(fingerprint: str, number: int, *, text: str = "version: 1\n") -> ConfigurationLoaded:
    return ConfigurationLoaded(
        fingerprint=fingerprint,
        number=number,
        at=BEGAN + timedelta(minutes=number),
        text=text,
        summary="2 agents, 1 route",
    )


@pytest.fixture
def database(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'calls.db'}"

    async def fill() -> None:
        store = open_store(url)
        await store.open()
        await store.apply(facts("rtc_early", BEGAN))
        await store.apply(facts("rtc_late", BEGAN + timedelta(hours=1), agent="night"))
        await store.apply([loaded("0123456789ab", 1, text="version: 1  # [b]\nagents: {}\n")])
        await store.apply([loaded("fedcba987654", 2)])
        await store.aclose()

    asyncio.run(fill())
    return url


def test_calls_are_listed_newest_first(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calls", "list", "--database", database]) == 0
    heading, first, second = capsys.readouterr().out.splitlines()
    assert "ended because" in heading
    assert first.split()[0] == "rtc_late"
    assert second.split()[0] == "rtc_early"
    for part in (
        "2026-11-20 09:00:05",
        "+15550100123",
        "+15550100000",
        "front-desk",
        "agent_hung_up",
        "none",
    ):
        assert part in second


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["rtc_late", "rtc_early"]),
        (["--limit", "1"], ["rtc_late"]),
        (["--agent", "front-desk"], ["rtc_early"]),
        (["--before", "2026-11-20T09:30"], ["rtc_early"]),
        (["--reason", "caller_hung_up"], []),
    ],
)
def test_the_list_can_be_narrowed(
    database: str, options: list[str], expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calls", "list", "--database", database, "--json", *options]) == 0
    assert [call["call_id"] for call in json.loads(capsys.readouterr().out)] == expected


def test_no_calls_is_said(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calls", "list", "--database", database, "--agent", "nobody"]) == 0
    assert capsys.readouterr().out == "No calls.\n"


def test_one_call_is_shown_with_all_that_is_known(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calls", "show", "rtc_early", "--database", database]) == 0
    shown = capsys.readouterr().out
    for part in (
        "+15550100123",
        "front-desk (gpt-realtime-2.1)",
        "2026-11-20 09:00:17 UTC, after 12.5 s",
        "agent_hung_up (fault of: none)",
        "The agent said goodbye.",
        "abc@carrier.example",
        "0.002 s  accepting",
        "0123456789ab (generation 1, loaded 2026-11-20 09:01:05 UTC: 2 agents, 1 route)",
        '1.000 s  message_taken  name: Ann [b]  fields: {"reason": "a cracked tooth"}',
        "2.000 s  odd\n",
        "agent   Good morning. [bold]How[/bold] can I help?  (interrupted)",
        "caller  Hello.",
        'next_free_slot({"treatment": "checkup"}) → Tuesday  12 ms',
        "1 response: 100 tokens in (40 cached), 20 out",
        "1 transcription: 0 tokens, 1.5 s",
        "webhook_to_accept       4.2 ms",
    ):
        assert part in shown
    assert shown.index("agent   Good") < shown.index("caller  Hello")


def test_one_call_as_json(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calls", "show", "rtc_early", "--database", database, "--json"]) == 0
    call = json.loads(capsys.readouterr().out)
    assert call["call_id"] == "rtc_early"
    assert call["started_at"] == "2026-11-20T09:00:05+00:00"
    assert [line["role"] for line in call["transcript"]] == ["agent", "caller"]
    assert "call_id" not in call["transcript"][0]
    assert call["tools"][0]["output"] == "Tuesday"
    assert call["configuration"] == "0123456789ab"
    assert [note["data"] for note in call["notes"]] == [
        {"name": "Ann [b]", "fields": {"reason": "a cracked tooth"}},
        "no JSON",
    ]


LEG = "CA0000000000000000000000000000000001"


@pytest.fixture
def bridged(database: str) -> str:
    """Also with two calls of one leg, what its carrier reported, and a recording of the second."""

    async def fill() -> None:
        store = open_store(database)
        await store.open()
        first = CallOpened(
            call_id=CallId("rtc_failed"),
            at=BEGAN,
            webhook_id="wh_9",
            caller="+15550100123",
            dialled="+15550100000",
            agent="front-desk",
            model="gpt-realtime-2.1",
            sip_call_id="abc@carrier.example",
            configuration=None,
            carrier="twilio",
            carrier_call_id=LEG,
        )
        call = CallId(f"twilio:{LEG}:1")
        second = replace(first, call_id=call, at=BEGAN + timedelta(seconds=5), line="stream")
        file = RecordingKept(
            call_id=call,
            path="/var/lib/sipagent/one.wav",
            host="phone-1",
            started_at=BEGAN + timedelta(seconds=6),
            seconds=31.25,
            consent="This call is recorded.",
            keep_until=BEGAN + timedelta(days=30),
        )
        ending = CallEnded(
            call_id=call,
            at=BEGAN + timedelta(seconds=20),
            reason="caller_hung_up",
            fault_owner="none",
            detail="",
        )
        await store.apply([first, second, file, ending])
        await store.apply(
            [
                report("initiated", 0),
                report("failed", 4, leg="CA2", parent=LEG, data='{"sip_status":503}'),
                report("completed", 40, data='{"duration_s":40}'),
                report("no_answer", 3, leg="CA3", data="no JSON"),
            ]
        )
        await store.aclose()

    asyncio.run(fill())
    return database


def report(
    kind: str, second: float, *, leg: str = LEG, parent: str | None = None, data: str = "{}"
) -> CarrierReported:
    return CarrierReported(
        carrier="twilio",
        carrier_call_id=leg,
        at=BEGAN + timedelta(seconds=second),
        kind=kind,
        data=data,
        event_id=f"{leg} {kind}",
        parent_call_id=parent,
    )


@pytest.mark.parametrize("name", [f"twilio:{LEG}:1", LEG])
def test_a_call_is_shown_with_its_leg_its_carriers_reports_and_its_recording(
    bridged: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calls", "show", name, "--database", bridged]) == 0
    shown = capsys.readouterr().out
    for part in (
        f"Call twilio:{LEG}:1",
        "caller_hung_up (fault of: none)",
        "The caller had not hung up: their leg went on for 20 seconds.",
        "stream (the audio passed through us)",
        f"twilio, leg {LEG}",
        "rtc_failed",
        "  -5.000 s  initiated\n",
        "  -1.000 s  failed  leg: CA2  sip_status: 503",
        "  35.000 s  completed  duration_s: 40",
        "/var/lib/sipagent/one.wav  31.2 s, on phone-1",
        "the caller heard: This call is recorded.",
        "to be kept until 2026-12-20 09:00:05 UTC",
    ):
        assert part in shown
    assert shown.index("initiated") < shown.index("  failed") < shown.index("completed")
    assert "CA3" not in shown


def test_a_call_of_a_leg_as_json(bridged: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calls", "show", LEG, "--database", bridged, "--json"]) == 0
    call = json.loads(capsys.readouterr().out)
    assert (call["call_id"], call["line"]) == (f"twilio:{LEG}:1", "stream")
    assert (call["carrier"], call["carrier_call_id"], call["same_leg"]) == ("twilio", LEG, ["rtc_failed"])
    assert [(one["kind"], one["data"]) for one in call["carrier_reports"]] == [
        ("initiated", {}),
        ("failed", {"sip_status": 503}),
        ("completed", {"duration_s": 40}),
    ]
    assert [one["objection"] for one in call["carrier_says"]] == ["caller_stayed"]
    (file,) = call["recordings"]
    assert (file["seconds"], file["deleted_at"], "call_id" in file) == (31.25, None, False)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("expired", "deleted 2026-12-21 09:00:05 UTC: its time was over"),
        ("missing", "was gone when it was to be deleted, 2026-12-21 09:00:05 UTC"),
    ],
)
def test_a_recording_that_is_gone_says_when_and_why(
    bridged: str, reason: DeletionReason, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def delete() -> None:
        store = open_store(bridged)
        await store.open()
        gone = RecordingDeleted(
            call_id=CallId(f"twilio:{LEG}:1"),
            path="/var/lib/sipagent/one.wav",
            at=BEGAN + timedelta(days=31),
            reason=reason,
        )
        await store.apply([gone])
        await store.aclose()

    asyncio.run(delete())
    assert main(["calls", "show", LEG, "--database", bridged]) == 0
    shown = capsys.readouterr().out
    assert words in shown
    assert "to be kept" not in shown


def test_a_leg_that_never_reached_us_is_shown(bridged: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calls", "show", "CA3", "--database", bridged]) == 0
    shown = capsys.readouterr().out
    assert "No call of ours came by leg CA3." in shown
    assert "2026-11-20 09:00:08  no_answer" in shown
    assert main(["calls", "show", "CA3", "--database", bridged, "--json"]) == 0
    leg = json.loads(capsys.readouterr().out)
    assert (leg["call_id"], leg["carrier_call_id"]) == (None, "CA3")
    assert [(one["kind"], one["data"]) for one in leg["carrier_reports"]] == [("no_answer", "no JSON")]


def test_configurations_are_listed_and_one_is_printed_as_it_was(
    database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calls", "configuration", "--database", database]) == 0
    _, newest, oldest = capsys.readouterr().out.splitlines()
    assert newest.split() == ["fedcba987654", "2", "2026-11-20", "09:02:05", "2", "agents,", "1", "route"]
    assert oldest.split()[:2] == ["0123456789ab", "1"]
    assert main(["calls", "configuration", "0123456789ab", "--database", database]) == 0
    assert capsys.readouterr().out == "version: 1  # [b]\nagents: {}\n"


def test_configurations_as_json(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calls", "configuration", "--database", database, "--json", "--limit", "1"]) == 0
    (newest,) = json.loads(capsys.readouterr().out)
    assert newest == {
        "fingerprint": "fedcba987654",
        "generation": 2,
        "loaded_at": "2026-11-20T09:02:05+00:00",
        "summary": "2 agents, 1 route",
    }
    assert main(["calls", "configuration", "fedcba987654", "--database", database, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {**newest, "text": "version: 1\n"}


def test_no_configuration_is_said(database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calls", "configuration", "beef", "--database", database]) == 1
    assert "there is no configuration 'beef'" in capsys.readouterr().err

    async def empty() -> str:
        url = f"sqlite:///{tmp_path / 'empty.db'}"
        store = open_store(url)
        await store.open()
        await store.aclose()
        return url

    assert main(["calls", "configuration", "--database", asyncio.run(empty())]) == 0
    assert capsys.readouterr().out == "No configurations.\n"


def test_a_call_nobody_knows(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calls", "show", "rtc_none", "--database", database]) == 1
    assert "there is no call 'rtc_none'" in capsys.readouterr().err


def test_the_environment_names_the_database(
    database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SIPAGENT_DATABASE_URL", database)
    assert main(["calls", "list"]) == 0
    assert "rtc_early" in capsys.readouterr().out


def test_asking_creates_no_database(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "none.db"
    assert main(["calls", "list", "--database", f"sqlite:///{missing}"]) == 1
    assert f"there is no database {missing}" in capsys.readouterr().err
    assert not missing.exists()


def test_service_and_store_agree_on_where_calls_are() -> None:
    assert DEFAULT_DATABASE_URL == DEFAULT_URL
