"""The bench of the engine, small: that its parts are of one whole, not how fast anything is."""

from __future__ import annotations

from rich.console import Console

from tests.bench import parts
from tests.bench.engine import Made, show_parts
from tests.bench.recorded import recording


async def test_every_rung_takes_every_message() -> None:
    call = recording("a call", turns=2, audio_deltas_per_word=1)
    quickest = await parts.run([text.encode() for text in call.messages])

    assert list(quickest) == list(parts.RUNGS)
    assert all(cpu_s > 0 for cpu_s in quickest.values())


def test_the_parts_are_shown_beside_the_sockets() -> None:
    made = Made(recording="a call", parts_us={"decode": 0.5, "queue": 0.25}, sockets_us={"our session": 2.0})
    console = Console(width=100, record=True)
    show_parts(console, [made])

    shown = console.export_text()
    for each in ("a call", "decode", "0.50", "queue", "0.25", "socket, our session", "2.00"):
        assert each in shown
