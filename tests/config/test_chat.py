from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from sipagent.config.chat import ApiAccess, ChatCall, load_chat
from sipagent.errors import ConfigurationError, UserError
from sipagent.simulator.server import Simulator, SimulatorOptions
from sipagent.simulator.speech import SilentVoice
from tests.calls.chatting import Told
from tests.config.carriers import WHOLE

ACCESS = ApiAccess(api_key="key", base_url="http://127.0.0.1:9/v1")
ONE = """
version: 1
agents:
  front-desk: {instructions: Be kind.}
routes: [{agent: front-desk}]
"""
TWO = """
version: 1
agents:
  front-desk: {instructions: Be kind.}
  billing: {instructions: Be exact.}
routes: [{agent: front-desk}]
"""


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "sipagent.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_the_key_and_the_address_are_read_and_the_key_is_not_shown() -> None:
    access = ApiAccess.read({"OPENAI_API_KEY": " sk-secret ", "OPENAI_BASE_URL": "http://127.0.0.1:1/v1/"})
    assert (access.api_key, access.base_url) == ("sk-secret", "http://127.0.0.1:1/v1")
    assert "sk-secret" not in repr(access)
    assert ApiAccess.read({"OPENAI_API_KEY": "key"}).base_url == "https://api.openai.com/v1"


def test_a_missing_key_is_explained_with_what_to_do() -> None:
    with pytest.raises(UserError, match=r"OPENAI_API_KEY is not set.* add --simulator"):
        ApiAccess.read({"OPENAI_API_KEY": " "})


def test_the_key_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "from-the-process")
    assert ApiAccess.read().api_key == "from-the-process"


def test_an_address_that_is_none_is_named() -> None:
    with pytest.raises(UserError, match="OPENAI_BASE_URL is 'nowhere'"):
        ApiAccess.read({"OPENAI_API_KEY": "key", "OPENAI_BASE_URL": "nowhere"})


def test_the_file_may_say_where_the_api_is(tmp_path: Path) -> None:
    file = write(tmp_path, f"{ONE}openai: {{region: eu}}\n")
    key = {"OPENAI_API_KEY": "key"}
    assert ApiAccess.read(key, file=file).base_url == "https://eu.api.openai.com/v1"
    there = "http://127.0.0.1:1/v1"
    assert ApiAccess.read({**key, "OPENAI_BASE_URL": there}, file=file).base_url == there


def test_the_only_agent_needs_no_name(tmp_path: Path) -> None:
    file = write(tmp_path, ONE)
    assert load_chat(file, None, access=ACCESS, view=Told()).end is None
    assert load_chat(file, "front-desk", access=ACCESS, view=Told()).end is None


def test_of_several_agents_one_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"name one with --agent \(front-desk, billing\)"):
        load_chat(write(tmp_path, TWO), None, access=ACCESS, view=Told())


BY_TIME = """
version: 1
business: {timezone: Europe/Berlin}
calendars: {office: {hours: {mon-fri: "08:00-18:00"}}}
agents:
  day: {instructions: Be kind.}
  night: {instructions: Be brief.}
routes:
  - {to: "+15550100008", reject: 410}
  - {when: {calendar: office, is: open}, agent: day}
  - {agent: night}
callers: {deny: ["+1900*"]}
"""


@pytest.mark.parametrize(
    ("about", "named", "who"),
    [
        (ChatCall(at=datetime.fromisoformat("2026-11-20 09:00")), None, "day"),
        (ChatCall(at=datetime.fromisoformat("2026-11-20 17:30")), None, "day"),
        (ChatCall(at=datetime(2026, 11, 20, 17, 30, tzinfo=UTC)), None, "night"),
        (ChatCall(at=datetime.fromisoformat("2026-11-21 09:00")), None, "night"),
        (ChatCall(at=datetime.fromisoformat("2026-11-21 09:00")), "day", "day"),
        (ChatCall(to="+15550100008"), "night", "night"),
    ],
)
async def test_whoever_answers_such_a_call_is_talked_with(
    tmp_path: Path, about: ChatCall, named: str | None, who: str
) -> None:
    async with Simulator(SimulatorOptions(api_key="key", voice=SilentVoice())) as simulator:
        access = ApiAccess(api_key="key", base_url=simulator.base_url)
        chat = load_chat(write(tmp_path, BY_TIME), named, access=access, view=Told(), about=about)
        async with chat:
            assert chat.agent.name == who


def test_a_call_that_nobody_answers_is_talked_about_with_nobody(tmp_path: Path) -> None:
    file = write(tmp_path, BY_TIME)
    with pytest.raises(UserError, match=r"nobody answer such a call \(SIP status 410\)"):
        load_chat(file, None, access=ACCESS, view=Told(), about=ChatCall(to="+15550100008"))
    with pytest.raises(UserError, match=r"SIP status 603.*by --agent"):
        load_chat(file, None, access=ACCESS, view=Told(), about=ChatCall(caller="+19005550100"))


def test_an_unknown_agent_is_answered_with_the_likely_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no agent 'front-dsk'\. Did you mean `front-desk`\?"):
        load_chat(write(tmp_path, TWO), "front-dsk", access=ACCESS, view=Told())


def test_a_wrong_file_is_wrong_here_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="`version` is 2"):
        load_chat(write(tmp_path, "version: 2\n"), None, access=ACCESS, view=Told())


def test_to_talk_in_writing_takes_no_carrier_s_key(tmp_path: Path) -> None:
    file = write(tmp_path, WHOLE)
    with pytest.raises(UserError, match="several agents"):
        load_chat(file, None, access=ACCESS, view=Told())
    assert load_chat(file, "desk", access=ACCESS, view=Told()) is not None
