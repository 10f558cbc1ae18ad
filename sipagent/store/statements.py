"""The statements that write facts, one for each kind. Pure; `sipagent.store.fact_rows` makes the rows.

Many facts become few statements: one for each kind, whatever the number of calls. Within a batch the
facts of one identity are merged first, so that a statement never meets the same row twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeAlias, assert_never

import sqlalchemy as sa

from sipagent.store import tables
from sipagent.store.carrier_records import CarrierReported, RecordingDeleted, RecordingKept
from sipagent.store.fact_rows import (
    Row,
    checkpoint_row,
    configuration_row,
    deletion_row,
    ended_row,
    latency_row,
    line_row,
    note_row,
    opened_row,
    order_of,
    recording_row,
    report_row,
    run_row,
    state_row,
    usage_row,
)
from sipagent.store.records import (
    CallCheckpointed,
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
    moment_of,
)

Batch: TypeAlias = list[tuple[sa.Executable, list[Row]]]


def batch(facts: Sequence[Fact], statements: FactStatements, *, now: datetime) -> Batch:
    """The statements that write ``facts``, each with its rows, in the order in which to run them.

    ``now`` dates a call that was never opened and whose facts carry no time.
    """
    known: dict[str, Row] = {}
    opened: dict[str, Row] = {}
    states: dict[tuple[str, int], Row] = {}
    latest: dict[str, Row] = {}
    lines: dict[tuple[str, str], Row] = {}
    runs: dict[tuple[str, str], Row] = {}
    usage: dict[tuple[str, str, str], Row] = {}
    latencies: dict[tuple[str, str, int], Row] = {}
    notes: dict[tuple[str, int], Row] = {}
    checkpoints: dict[str, Row] = {}
    ended: dict[str, Row] = {}
    configurations: dict[str, Row] = {}
    reports: dict[tuple[str, str], Row] = {}
    recordings: dict[tuple[str, str], Row] = {}
    deletions: dict[tuple[str, str], Row] = {}
    for fact in facts:
        if isinstance(fact, ConfigurationLoaded):
            configurations.setdefault(fact.fingerprint, configuration_row(fact))
            continue
        if isinstance(fact, CarrierReported):
            reports.setdefault((fact.carrier, fact.event_id), report_row(fact))
            continue
        call_id = fact.call_id
        if call_id not in known:
            known[call_id] = {"call_id": call_id, "started_at": moment_of(fact) or now}
        match fact:
            case CallOpened():
                opened.setdefault(call_id, opened_row(fact))
            case StateChanged():
                states[call_id, fact.sequence] = state_row(fact)
                if call_id not in latest or latest[call_id]["new_sequence"] <= fact.sequence:
                    latest[call_id] = {
                        "of_call": call_id,
                        "new_state": fact.state,
                        "new_sequence": fact.sequence,
                    }
            case TranscriptLineSaid():
                line = lines.get((call_id, fact.item_id))
                if line is None or line["at"] <= fact.at:
                    lines[call_id, fact.item_id] = line_row(fact)
            case ToolRan():
                earlier = runs.get((call_id, fact.tool_call_id))
                if earlier is None or earlier["output"] is None or fact.output is not None:
                    runs[call_id, fact.tool_call_id] = run_row(fact)
            case TokensUsed():
                usage[call_id, fact.kind, fact.source_id] = usage_row(fact)
            case LatencyMeasured():
                latencies[call_id, fact.name, fact.sequence] = latency_row(fact)
            case CallNoted():
                notes[call_id, fact.sequence] = note_row(fact)
            case CallCheckpointed():
                earlier = checkpoints.get(call_id)
                if earlier is None or order_of(earlier) <= (fact.epoch, fact.sequence):
                    checkpoints[call_id] = checkpoint_row(fact)
            case RecordingKept():
                begun = recordings.get((call_id, fact.path))
                if begun is None or begun["seconds"] is None or fact.seconds is not None:
                    recordings[call_id, fact.path] = recording_row(fact)
            case RecordingDeleted():
                deletions.setdefault((call_id, fact.path), deletion_row(fact))
            case CallEnded():
                ended.setdefault(call_id, ended_row(fact))
            case _:
                assert_never(fact)
    unopened = {call_id: row for call_id, row in known.items() if call_id not in opened}
    # Processes that write facts of the same calls do it in the same order, so that none of them waits for one
    # that waits for it. What has a number of arrival keeps the order in which it arrived.
    steps: Batch = [
        (statements.keep_configuration, _by_key(configurations)),
        (statements.know_call, _by_key(unopened)),
        (statements.open_call, _by_key(opened)),
        (statements.write_state, _by_key(states)),
        (ENTER_STATE, _by_key(latest)),
        (statements.write_line, _by_key(lines)),
        (statements.write_run, list(runs.values())),
        (statements.write_usage, list(usage.values())),
        (statements.write_latency, list(latencies.values())),
        (statements.write_note, _by_key(notes)),
        (statements.write_report, list(reports.values())),
        (statements.write_recording, _by_key(recordings)),
        (DELETE_RECORDING, _by_key(deletions)),
        (KEEP_CHECKPOINT, _by_key(checkpoints)),
        (END_CALL, _by_key(ended)),
        (END_CLAIM, [{"of_call": call_id} for call_id in sorted(ended)]),
    ]
    return [(statement, rows) for statement, rows in steps if rows]


def _by_key(rows: dict[Any, Row]) -> list[Row]:
    return [rows[key] for key in sorted(rows)]


# Statements -----------------------------------------------------------------------------------------


class FactStatements:
    """The statements that differ from database to database; ``insert`` makes an INSERT that knows
    ``ON CONFLICT``."""

    def __init__(self, insert: Callable[[sa.Table], Any]) -> None:
        self._insert = insert
        # Makes room for facts of a call whose opening was lost.
        self.know_call = self._once(tables.calls, "call_id")
        # The first of a fingerprint counts.
        self.keep_configuration = self._once(tables.configurations, "fingerprint")
        self.open_call = self._open_call()
        self.write_state = self._upsert(tables.call_states, "call_id", "sequence")
        self.write_line = self._upsert(tables.transcript_lines, "call_id", "item_id", last_by="at")
        self.write_run = self._upsert(tables.tool_runs, "call_id", "tool_call_id", keep_if="output")
        self.write_usage = self._upsert(tables.usage, "call_id", "kind", "source_id")
        self.write_latency = self._upsert(tables.latencies, "call_id", "name", "sequence")
        self.write_note = self._upsert(tables.call_notes, "call_id", "sequence")
        self.write_report = self._once(tables.carrier_reports, "carrier", "event_id")
        self.write_recording = self._upsert(
            tables.recordings, "call_id", "path", keep_if="seconds", leave=("deleted_at", "deleted_because")
        )

    def _once(self, table: sa.Table, *identity: str) -> sa.Executable:
        statement: sa.Executable = self._insert(table).on_conflict_do_nothing(index_elements=list(identity))
        return statement

    def _open_call(self) -> sa.Executable:
        statement = self._insert(tables.calls)
        filled = {
            column: statement.excluded[column]
            for column in (
                "started_at", "webhook_id", "caller", "dialled", "agent", "model", "sip_call_id",
                "configuration", "line", "carrier", "carrier_call_id",
            )
        }  # fmt: skip
        # Only a call that was made room for is filled in: the first opening counts.
        upsert: sa.Executable = statement.on_conflict_do_update(
            index_elements=["call_id"], set_=filled, where=tables.calls.c.webhook_id.is_(None)
        )
        return upsert

    def _upsert(
        self,
        table: sa.Table,
        *identity: str,
        keep_if: str | None = None,
        last_by: str | None = None,
        leave: tuple[str, ...] = (),
    ) -> sa.Executable:
        """Write a row, or overwrite the row with the same ``identity``, but for the columns to ``leave``.

        With ``keep_if`` a row where this column is set is not overwritten by one where it is not; with
        ``last_by`` a row is not overwritten by one where this column is less.
        """
        statement = self._insert(table)
        written = {
            column.name: statement.excluded[column.name]
            for column in table.columns
            if column.name not in (*identity, *leave, "arrival")
        }
        where = None
        if keep_if is not None:
            where = sa.or_(table.c[keep_if].is_(None), statement.excluded[keep_if].is_not(None))
        elif last_by is not None:
            where = statement.excluded[last_by] >= table.c[last_by]
        upsert: sa.Executable = statement.on_conflict_do_update(
            index_elements=list(identity), set_=written, where=where
        )
        return upsert


ENTER_STATE = (
    tables.calls.update()
    .where(
        tables.calls.c.call_id == sa.bindparam("of_call"),
        tables.calls.c.state_sequence <= sa.bindparam("new_sequence"),
    )
    .values(state=sa.bindparam("new_state"), state_sequence=sa.bindparam("new_sequence"))
)
KEEP_CHECKPOINT = (
    tables.live_calls.update()
    .where(
        tables.live_calls.c.call_id == sa.bindparam("of_call"),
        tables.live_calls.c.epoch <= sa.bindparam("new_epoch"),
        sa.or_(
            tables.live_calls.c.checkpoint_epoch < sa.bindparam("new_epoch"),
            sa.and_(
                tables.live_calls.c.checkpoint_epoch == sa.bindparam("new_epoch"),
                tables.live_calls.c.checkpoint_sequence <= sa.bindparam("new_sequence"),
            ),
        ),
    )
    .values(
        checkpoint=sa.bindparam("new_checkpoint"),
        checkpoint_epoch=sa.bindparam("new_epoch"),
        checkpoint_sequence=sa.bindparam("new_sequence"),
    )
)
DELETE_RECORDING = (
    tables.recordings.update()
    .where(
        tables.recordings.c.call_id == sa.bindparam("of_call"),
        tables.recordings.c.path == sa.bindparam("of_path"),
        tables.recordings.c.deleted_at.is_(None),
    )
    .values(deleted_at=sa.bindparam("new_deleted_at"), deleted_because=sa.bindparam("new_reason"))
)
END_CALL = (
    tables.calls.update()
    .where(tables.calls.c.call_id == sa.bindparam("of_call"), tables.calls.c.ended_at.is_(None))
    .values(
        ended_at=sa.bindparam("new_ended_at"),
        end_reason=sa.bindparam("new_reason"),
        fault_owner=sa.bindparam("new_owner"),
        end_detail=sa.bindparam("new_detail"),
    )
)
END_CLAIM = tables.live_calls.delete().where(tables.live_calls.c.call_id == sa.bindparam("of_call"))
"""A call that has ended belongs to nobody; an end that was written already ends a late claim too."""
