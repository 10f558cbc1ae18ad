"""One call's record, as JSON and as a page for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sipagent.identifiers import CallId
from sipagent.store import AuditLine, CarrierReported, RecordingFile
from sipagent.store.as_json import note_data
from sipagent.store.records import (
    CallNoted,
    CallRecord,
    CallSummary,
    ConfigurationLoaded,
    TokensUsed,
    ToolRan,
    TranscriptLineSaid,
)

SPEAKER_STYLES = {"caller": "cyan", "agent": "green"}
LINES = {
    "sip": "sip (from the carrier to the Realtime API)",
    "stream": "stream (the audio passed through us)",
    "none": "none (refused at the carrier)",
}


def at_utc(moment: datetime) -> str:
    """``2026-11-20 09:00:05``."""
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def speech(role: str, text: str, *, interrupted: bool) -> Text:
    """One line of a conversation."""
    line = Text(f"{role:<8}", style=SPEAKER_STYLES.get(role, ""))
    line.append(text, style="default")
    if interrupted:
        line.append("  (interrupted)", style="dim")
    return line


def print_record(
    record: CallRecord,
    out: Console,
    configuration: ConfigurationLoaded | None = None,
    same_leg: Sequence[CallId] = (),
    objections: Sequence[str] = (),
) -> None:
    """Everything that is known of one call, of the configuration that served it, which other calls came by
    its leg, and what its carrier's reports say against its ending."""
    summary = record.summary
    out.print(Text(f"Call {summary.call_id}", style="bold"))
    facts = _grid()
    facts.add_row("from", summary.caller or "withheld")
    facts.add_row("to", summary.dialled or "unknown")
    facts.add_row("agent", f"{summary.agent or 'none'} ({record.model or 'no model'})")
    facts.add_row("began", f"{at_utc(summary.started_at)} UTC")
    facts.add_row("ended", _ending(summary))
    if summary.end_reason:
        facts.add_row("because", f"{summary.end_reason} (fault of: {summary.fault_owner})")
    if record.end_detail:
        facts.add_row("", record.end_detail)
    for objection in objections:
        facts.add_row("but", Text(objection, style="yellow"))
    facts.add_row("line", LINES.get(record.line, record.line))
    if record.carrier is not None:
        facts.add_row("carrier", f"{record.carrier}, leg {record.carrier_call_id}")
    if same_leg:
        facts.add_row("same leg", ", ".join(same_leg))
    if record.sip_call_id:
        facts.add_row("SIP Call-ID", record.sip_call_id)
    facts.add_row("configuration", _configuration(record, configuration))
    out.print(facts)
    _section(out, "States", _states(record))
    _section(out, "Notes", (_note(note, record) for note in record.notes))
    print_reports(record.carrier_reports, out, began=record.summary.started_at, leg=record.carrier_call_id)
    _section(out, "Recording", (line for file in record.recordings for line in _recording(file)))
    _section(out, "Transcript", (_line(line) for line in record.transcript))
    _section(out, "Tools", _tools(record))
    _section(out, "Usage (at least)", _usage(record.usage))
    _section(out, "Latencies", _latencies(record))


def print_reports(
    reports: Iterable[CarrierReported], out: Console, *, began: datetime | None, leg: str | None
) -> None:
    """What a carrier reported, with times since ``began`` or of the day; legs other than ``leg`` by name."""
    _section(out, "What the carrier reported", (_report(report, began, leg) for report in reports))


def print_commands(lines: Iterable[AuditLine], out: Console) -> None:
    """What people have asked of a call, and what came of it."""
    _section(out, "Commands", map(_command, lines))


def _command(line: AuditLine) -> Text:
    command, outcome = line.command, line.outcome
    text = Text(f"{at_utc(command.asked_at)}  {command.asked_by}: {command.verb} {command.argument}")
    if outcome is None:
        return text.append("  not answered", style="dim")
    style = "green" if outcome.outcome == "done" else "red"
    return text.append(" → ", style="dim").append(outcome.outcome, style=style).append(f"  {outcome.detail}")


def _grid() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    return table


def _section(out: Console, title: str, lines: Iterable[Text]) -> None:
    lines = list(lines)
    if lines:
        out.print()
        out.print(Text(title, style="bold"))
        for line in lines:
            out.print(Text("  ").append_text(line))


def _ending(summary: CallSummary) -> str:
    if summary.ended_at is None:
        return f"not yet, or unknown; last state {summary.state}"
    seconds = (summary.ended_at - summary.started_at).total_seconds()
    return f"{at_utc(summary.ended_at)} UTC, after {seconds:.1f} s"


def _configuration(record: CallRecord, configuration: ConfigurationLoaded | None) -> str:
    if record.configuration is None:
        return "unknown"
    if configuration is None:
        return record.configuration
    return (
        f"{configuration.fingerprint} (generation {configuration.number}, "
        f"loaded {at_utc(configuration.at)} UTC: {configuration.summary})"
    )


def _note(note: CallNoted, record: CallRecord) -> Text:
    text = Text(f"{(note.at - record.summary.started_at).total_seconds():8.3f} s  {note.kind}")
    return _with_data(text, note.data)


def _report(report: CarrierReported, began: datetime | None, leg: str | None) -> Text:
    when = at_utc(report.at) if began is None else f"{(report.at - began).total_seconds():8.3f} s"
    text = Text(f"{when}  {report.kind}")
    if report.carrier_call_id != leg:
        text.append("  leg: ", style="dim").append(report.carrier_call_id)
    return _with_data(text, report.data)


def _recording(file: RecordingFile) -> Iterable[Text]:
    length = "not whole" if file.seconds is None else f"{file.seconds:.1f} s"
    yield Text(f"{file.path}  {length}, on {file.host}")
    yield Text(f"the caller heard: {file.consent}")
    if file.deleted_at is None:
        yield Text(f"to be kept until {at_utc(file.keep_until)} UTC")
    elif file.deleted_because == "missing":
        yield Text(f"was gone when it was to be deleted, {at_utc(file.deleted_at)} UTC", style="red")
    else:
        yield Text(f"deleted {at_utc(file.deleted_at)} UTC: its time was over")


def _with_data(text: Text, data_as_json: str) -> Text:
    data = note_data(data_as_json)
    if isinstance(data, dict):
        for key, value in data.items():
            plain = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            text.append(f"  {key}: ", style="dim").append(plain)
    return text


def _states(record: CallRecord) -> Iterable[Text]:
    for state in record.states:
        seconds = (state.at - record.summary.started_at).total_seconds()
        yield Text(f"{seconds:8.3f} s  {state.state}")


def _line(line: TranscriptLineSaid) -> Text:
    return speech(line.role, line.text, interrupted=line.interrupted)


def _tools(record: CallRecord) -> Iterable[Text]:
    return map(tool_run, record.tools)


def tool_run(run: ToolRan) -> Text:
    """One run of a tool."""
    text = Text(f"{run.name}({run.arguments})", style="magenta")
    if run.output is None:
        return text.append("  not finished", style="dim")
    text.append(" → ", style="dim").append(run.output, style="red" if run.is_error else "default")
    if run.duration_ms is not None:
        text.append(f"  {run.duration_ms:.0f} ms", style="dim")
    return text


def _usage(usage: tuple[TokensUsed, ...]) -> Iterable[Text]:
    responses = [used for used in usage if used.kind == "response"]
    if responses:
        tokens_in = sum(used.input_tokens for used in responses)
        cached = sum(used.cached_tokens for used in responses)
        tokens_out = sum(used.output_tokens for used in responses)
        counted = _counted(len(responses), "response")
        yield Text(f"{counted}: {tokens_in} tokens in ({cached} cached), {tokens_out} out")
    transcriptions = [used for used in usage if used.kind == "transcription"]
    if transcriptions:
        seconds = sum(used.duration_s for used in transcriptions)
        tokens = sum(used.input_tokens + used.output_tokens for used in transcriptions)
        yield Text(f"{_counted(len(transcriptions), 'transcription')}: {tokens} tokens, {seconds:.1f} s")


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}{'s' * (count != 1)}"


def _latencies(record: CallRecord) -> Iterable[Text]:
    width = max((len(latency.name) for latency in record.latencies), default=0)
    for latency in record.latencies:
        yield Text(f"{latency.name:<{width}}  {latency.milliseconds:8.1f} ms")
