"""What a session is by default, and what an update changes."""

from __future__ import annotations

from typing import Any

import pytest

from sipagent.simulator.parameters import check_session
from sipagent.simulator.session_config import SessionConfig
from tests.simulator.session_rig import PHONE_SESSION, Rig


def config(sent: dict[str, Any] | None = None, **fields: Any) -> SessionConfig:
    given = {"type": "realtime"} if sent is None else sent
    return SessionConfig(given, session_id="sess_1", expires_at=1, **{"on_the_phone": True, **fields})


def audio_input(**fields: Any) -> dict[str, Any]:
    return {"type": "realtime", "audio": {"input": fields}}


def test_defaults_are_those_of_the_api() -> None:
    fresh = config(vad={"threshold": 0.7})
    turns = fresh.turn_detection
    assert turns is not None
    assert (turns.threshold, turns.prefix_padding_ms, turns.silence_duration_ms) == (0.7, 300, 500)
    assert turns.create_response
    assert turns.interrupt_response
    assert turns.idle_timeout_ms is None
    assert fresh.transcription_model is None
    assert fresh.output_modality == "audio"
    assert fresh.body["audio"]["input"]["format"] == {"type": "audio/pcmu"}
    by_socket = config(on_the_phone=False)
    assert by_socket.body["audio"]["output"]["format"] == {"type": "audio/pcm", "rate": 24000}


def test_only_what_an_update_names_changes() -> None:
    session = config(PHONE_SESSION)
    session.update(audio_input(turn_detection={"type": "server_vad", "idle_timeout_ms": 6000}))
    session.update(audio_input(turn_detection={"type": "server_vad", "threshold": 0.2}))
    turns = session.turn_detection
    assert turns is not None
    assert (turns.threshold, turns.idle_timeout_ms) == (0.2, 6000)
    session.update(audio_input(turn_detection={"type": "server_vad", "idle_timeout_ms": None}))
    turns = session.turn_detection
    assert turns is not None
    assert turns.idle_timeout_ms is None
    assert session.transcription_model == "gpt-4o-transcribe"
    assert session.voice == "marin"
    session.update(audio_input(transcription=None, turn_detection=None))
    assert session.body["audio"]["input"]["transcription"] is None
    assert session.body["audio"]["input"]["turn_detection"] is None
    session.update({"type": "realtime", "tools": [], "max_output_tokens": 7, "output_modalities": ["text"]})
    assert session.value("tools") == []
    assert session.value("max_output_tokens") == 7
    assert session.output_modality == "text"


def test_another_kind_of_turn_detection_starts_from_its_own_defaults() -> None:
    session = config(audio_input(turn_detection={"type": "server_vad", "threshold": 0.9}))
    session.update(audio_input(turn_detection={"type": "semantic_vad", "eagerness": "low"}))
    assert session.body["audio"]["input"]["turn_detection"] == {
        "type": "semantic_vad",
        "eagerness": "low",
        "create_response": True,
        "interrupt_response": True,
    }
    patient = session.turn_detection
    session.update(audio_input(turn_detection={"type": "semantic_vad", "eagerness": "high"}))
    eager = session.turn_detection
    assert patient is not None
    assert eager is not None
    assert patient.silence_duration_ms > eager.silence_duration_ms


def test_what_was_sent_is_never_written_to() -> None:
    sent = {"type": "realtime", "audio": {"input": {"turn_detection": {"type": "server_vad"}}}}
    session = config(sent)
    session.update(audio_input(turn_detection={"type": "server_vad", "threshold": 0.1}))
    assert sent == {"type": "realtime", "audio": {"input": {"turn_detection": {"type": "server_vad"}}}}


@pytest.mark.parametrize(
    ("sent", "code", "param"),
    [
        (None, "missing_required_parameter", "session"),
        ([], "invalid_value", "session"),
        ({"instructions": "x"}, "missing_required_parameter", "session.type"),
        ({"type": "transcription"}, "invalid_value", "session.type"),
        ({"type": "realtime", "temperature": 0.8}, "unknown_parameter", "session.temperature"),
        (
            audio_input(turn_detection={"type": "semantic_vad", "threshold": 0.5}),
            "unknown_parameter",
            "session.audio.input.turn_detection.threshold",
        ),
        (
            audio_input(turn_detection={"type": "server_vad", "idle_timeout_ms": 100}),
            "invalid_value",
            "session.audio.input.turn_detection.idle_timeout_ms",
        ),
        (audio_input(format={"type": "g711_ulaw"}), "invalid_value", "session.audio.input.format.type"),
        (
            {"type": "realtime", "audio": {"output": {"speed": "fast"}}},
            "invalid_value",
            "session.audio.output.speed",
        ),
        (
            {"type": "realtime", "audio": {"output": {"speed": 2}}},
            "invalid_value",
            "session.audio.output.speed",
        ),
        (
            {"type": "realtime", "output_modalities": ["audio", "text"]},
            "invalid_value",
            "session.output_modalities",
        ),
        ({"type": "realtime", "max_output_tokens": 0}, "invalid_value", "session.max_output_tokens"),
        ({"type": "realtime", "model": "another"}, "invalid_value", "session.model"),
        (
            {"type": "realtime", "tools": [{"type": "function", "name": 1}]},
            "invalid_value",
            "session.tools[0].name",
        ),
    ],
)
def test_an_update_that_cannot_be_applied_names_its_reason(sent: object, code: str, param: str) -> None:
    problem = config().check_update(sent, audio_was_output=False)
    assert problem is not None
    assert (problem.code, problem.param) == (code, param)
    assert problem.message


def test_what_the_server_added_may_come_back() -> None:
    session = config(PHONE_SESSION)
    assert session.check_update(dict(session.body), audio_was_output=True) is None
    assert check_session({"type": "realtime"}) is None


def test_tracing_stays_as_it_is_once_enabled() -> None:
    session = config({"type": "realtime", "tracing": "auto"})
    assert session.check_update({"type": "realtime", "tracing": "auto"}, audio_was_output=False) is None
    problem = session.check_update({"type": "realtime", "tracing": None}, audio_was_output=False)
    assert problem is not None
    assert problem.param == "session.tracing"


async def test_the_voice_is_fixed_once_it_was_heard() -> None:
    ash = {"type": "realtime", "audio": {"output": {"voice": "ash"}}}
    async with Rig() as rig:
        rig.send("session.update", session=ash)
        assert rig.client.last("session.updated")["session"]["audio"]["output"]["voice"] == "ash"
        rig.send("response.create")
        done = await rig.client.until("response.done")
        assert done["response"]["audio"]["output"]["voice"] == "ash"
        rig.send("session.update", session=ash)
        assert len(rig.client.of("session.updated")) == 2
        rig.send("session.update", event_id="mine", session=PHONE_SESSION)
        error = rig.client.last("error")["error"]
        assert (error["code"], error["event_id"]) == ("cannot_update_voice", "mine")
        assert len(rig.client.of("session.updated")) == 2


async def test_an_update_without_a_type_changes_nothing() -> None:
    async with Rig() as rig:
        rig.send("session.update", session={"instructions": "Be rude."})
        error = rig.client.last("error")["error"]
        assert (error["code"], error["param"]) == ("missing_required_parameter", "session.type")
        rig.send("session.update", session={"type": "realtime"})
        assert rig.client.last("session.updated")["session"]["instructions"] != "Be rude."
