"""That questions about legs and recordings are answered by indexes: they are asked while callers wait."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from sipagent.store.carrier_queries import due_after, files_at, legs_calls, reports_of_call, reports_of_leg
from sipagent.store.carrier_records import RecordingFile
from sipagent.store.tables import METADATA
from tests.store.facts import CALL, LEG, at

LAST = RecordingFile(
    call_id=CALL, path="/a.wav", host="one", started_at=at(0), seconds=1.0, consent="", keep_until=at(1)
)


@pytest.mark.parametrize(
    "query",
    [
        reports_of_call(CALL),
        reports_of_leg(LEG, None),
        reports_of_leg(LEG, "twilio"),
        legs_calls(LEG),
        due_after(at(2), 100, None),
        due_after(at(2), 100, LAST),
        files_at(["/a.wav", "/b.wav"]),
    ],
)
def test_no_table_is_read_from_end_to_end(query: sa.Select[Any]) -> None:
    engine = sa.create_engine("sqlite://")
    METADATA.create_all(engine)
    with engine.connect() as connection:
        text = query.compile(engine, compile_kwargs={"literal_binds": True})
        plan = [row.detail for row in connection.execute(sa.text(f"EXPLAIN QUERY PLAN {text}"))]
    engine.dispose()
    assert any(step.startswith("SEARCH ") for step in plan)
    assert not [step for step in plan if step.startswith("SCAN ")], plan
