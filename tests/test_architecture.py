"""The import table of the house, held against every import of every file."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import sipagent

PACKAGE = Path(sipagent.__file__).parent
FOUNDATION = frozenset({"errors", "clock", "identifiers", "escapes", "__init__"})

MAY_IMPORT: dict[str, frozenset[str]] = {
    "__init__": frozenset(),
    "errors": frozenset(),
    "clock": frozenset(),
    "identifiers": frozenset(),
    "escapes": frozenset(),
    "audio": frozenset(),
    "store": frozenset(),
    "realtime": frozenset({"audio"}),
    "telemetry": frozenset({"realtime"}),
    "calls": frozenset({"realtime", "store", "telemetry"}),
    "carrier": frozenset({"audio", "realtime", "calls", "telemetry"}),
    "config": frozenset({"realtime", "calls", "carrier"}),  # of `carrier` its settings, which it makes
    "dashboard": frozenset({"calls", "store", "telemetry"}),
    "app": frozenset({"audio", "store", "realtime", "telemetry", "calls", "carrier", "config", "dashboard"}),
    "simulator": frozenset({"audio"}),
    "doctor": frozenset({"realtime", "store", "config"}),  # one answer for the command and for tests
    "cli": frozenset({"app", "config", "store", "simulator", "guide", "doctor"}),
    "guide": frozenset(),
    "__main__": frozenset({"cli"}),
}

# A call that belongs to one room: dotted name → the rooms that may make it.
BELONGS_TO: dict[str, frozenset[str]] = {
    "os.environ": frozenset({"config"}),
    "os.getenv": frozenset({"config"}),
    "time.time": frozenset({"clock"}),
    "time.monotonic": frozenset({"clock"}),
    "datetime.now": frozenset({"clock"}),
    "print": frozenset({"cli"}),
}


def source_files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported_rooms(tree: ast.AST, path: Path) -> Iterator[tuple[int, str]]:
    """Every room an import names, with its line; relative imports are resolved first."""
    package = ("sipagent", *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            # A plain name of the top package, such as __version__, is no room.
            names = [module] if module != "sipagent" else [f"sipagent.{alias.name}" for alias in node.names]
            names = ["sipagent" if name == "sipagent.__version__" else name for name in names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "sipagent":
                yield node.lineno, parts[1] if len(parts) > 1 else "__init__"  # type: ignore[attr-defined]


def dotted(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (owner := dotted(node.value)) is not None:
        return f"{owner}.{node.attr}"
    return None


@pytest.mark.parametrize("path", source_files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_what_its_row_allows(path: Path) -> None:
    room = room_of(path)
    assert room in MAY_IMPORT, f"{room} is not in the table of rooms: add it there first, with a reason"
    allowed = MAY_IMPORT[room] | {room} | (FOUNDATION - {room} if room not in FOUNDATION else {"__init__"})
    tree = ast.parse(path.read_text(encoding="utf-8"))
    wrong = [
        f"line {line}: sipagent.{name}" for line, name in imported_rooms(tree, path) if name not in allowed
    ]
    assert not wrong, f"{path.relative_to(PACKAGE)} may import {sorted(allowed)}, but imports {wrong}"


@pytest.mark.parametrize("path", source_files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_call_stays_in_the_room_it_belongs_to(path: Path) -> None:
    room = room_of(path)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    wrong = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            name = dotted(node)
            if name in BELONGS_TO and room not in BELONGS_TO[name]:
                wrong.append(f"line {node.lineno}: {name} belongs to {sorted(BELONGS_TO[name])}")
    assert not wrong, f"{path.relative_to(PACKAGE)}: {wrong}"


def test_the_walk_sees_deferred_and_typing_imports() -> None:
    source = (
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from sipagent.calls import routing\n"
        "def f():\n    import sipagent.store.records\n    from ..config import loader\n"
        "    from sipagent import app\n"
    )
    found = {name for _, name in imported_rooms(ast.parse(source), PACKAGE / "audio" / "x.py")}
    assert found == {"calls", "store", "config", "app"}


PURE = (
    "audio/formats.py",
    "audio/g711.py",
    "audio/lowpass.py",
    "audio/pacing.py",
    "audio/pcm.py",
    "audio/resample.py",
    "calls/access.py",
    "calls/acts.py",
    "calls/announcing.py",
    "calls/calendar.py",
    "calls/carrier_says.py",
    "calls/consent.py",
    "calls/endings.py",
    "calls/fact_lines.py",
    "calls/floor.py",
    "calls/greeting.py",
    "calls/idle.py",
    "calls/incoming.py",
    "calls/lifecycle.py",
    "calls/loops.py",
    "calls/manners.py",
    "calls/minder.py",
    "calls/numbers.py",
    "calls/patterns.py",
    "calls/pointers.py",
    "calls/policy.py",
    "calls/profile.py",
    "calls/routing.py",
    "calls/sources.py",
    "calls/spend.py",
    "calls/template.py",
    "calls/tools/answers.py",
    "calls/tools/arguments.py",
    "calls/tools/confirming.py",
    "calls/tools/failures.py",
    "calls/tools/ledger.py",
    "calls/tools/request_parts.py",
    "calls/tools/texts.py",
    "calls/tools/updates.py",
    "calls/urls.py",
    "calls/variables.py",
    "calls/watch.py",
    "calls/wrapping_up.py",
    "carrier/announced.py",
    "carrier/base.py",
    "carrier/caller_clock.py",
    "carrier/converting.py",
    "carrier/former.py",
    "carrier/forms.py",
    "carrier/frames_audio_socket.py",
    "carrier/frames_json.py",
    "carrier/frames_telnyx.py",
    "carrier/frames_twilio.py",
    "carrier/heard.py",
    "carrier/markup.py",
    "carrier/ordering.py",
    "carrier/plan.py",
    "carrier/playout.py",
    "carrier/recording_tracks.py",
    "carrier/replays.py",
    "carrier/settings.py",
    "carrier/telnyx.py",
    "carrier/telnyx_call_control.py",
    "carrier/tokens.py",
    "carrier/twilio.py",
    "carrier/web_frames.py",
    "doctor/account.py",
    "doctor/finding.py",
    "doctor/machine.py",
    "doctor/trunk.py",
    "escapes.py",
    "realtime/commands.py",
    "realtime/history.py",
    "realtime/hosted_calls.py",
    "realtime/interrupting.py",
    "realtime/leading.py",
    "realtime/merging.py",
    "realtime/order.py",
    "realtime/payload.py",
    "realtime/plain_meanings.py",
    "realtime/playback.py",
    "realtime/provider.py",
    "realtime/seeding.py",
    "realtime/speaking.py",
    "realtime/tool_turns.py",
    "realtime/spoken.py",
    "realtime/translation.py",
    "realtime/turn.py",
    "realtime/turn_metrics.py",
    "realtime/user_input.py",
    "realtime/wire.py",
    "realtime/wire_fields.py",
    "realtime/wire_frequent.py",
    "realtime/wire_mcp.py",
    "realtime/wire_responses.py",
    "realtime/wire_shapes.py",
    "realtime/wire_items.py",
    "realtime/wire_item_shapes.py",
    "simulator/carrier/faults.py",
    "simulator/carrier/markup.py",
    "simulator/carrier/signing.py",
    "simulator/carrier/stream_buffer.py",
    "simulator/carrier/stream_frames.py",
    "simulator/carrier/subscribers.py",
    "simulator/carrier/verbs.py",
    "simulator/dtmf.py",
    "simulator/phone/ears.py",
    "simulator/rtp/packet.py",
    "simulator/rtp/playout.py",
    "simulator/rtp/receiver.py",
    "simulator/sip/address.py",
    "simulator/sip/admission.py",
    "simulator/sip/dialog.py",
    "simulator/sip/framing.py",
    "simulator/sip/listener.py",
    "simulator/sip/matching.py",
    "simulator/sip/message.py",
    "simulator/sip/sdp.py",
    "simulator/sip/settings.py",
    "simulator/sip/transaction.py",
    "simulator/vad.py",
    "telemetry/latency.py",
)
"""Files that decide and do nothing else: no event loop, no clock, no network."""


@pytest.mark.parametrize("name", PURE)
def test_a_pure_file_has_no_event_loop_and_no_clock(name: str) -> None:
    impure = {"asyncio", "socket", "time", "aiohttp", "websockets", "sipagent.clock"}
    for node in ast.walk(ast.parse((PACKAGE / name).read_text(encoding="utf-8"))):
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await), (
            f"line {node.lineno}: async in a pure file"
        )
        if isinstance(node, ast.Import):
            assert not {alias.name for alias in node.names} & impure, f"line {node.lineno}"
        if isinstance(node, ast.ImportFrom):
            assert node.module not in impure, f"line {node.lineno}"
