from __future__ import annotations

import asyncio
import json
import signal
import socket
from pathlib import Path
from urllib.request import urlopen

import pytest

from sipagent.cli import main, serve
from sipagent.cli.example import example_configuration
from sipagent.errors import UserError
from tests.cli.process import finished, running

pytestmark = pytest.mark.journey

VARIABLES = {
    "OPENAI_API_KEY": "key-of-the-test",
    "OPENAI_WEBHOOK_SECRET": "whsec_c2VjcmV0IG9uZQ==",
    "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
}


@pytest.mark.parametrize(("loop", "named"), [("asyncio", "asyncio's own"), ("uvloop", "uvloop")])
async def test_it_serves_until_sigterm_and_exits_with_0(loop: str, named: str, tmp_path: Path) -> None:
    pytest.importorskip(loop)
    variables = {**VARIABLES, "SIPAGENT_DATABASE_URL": f"sqlite:///{tmp_path / 'calls.db'}"}
    words = ("serve", "--config", str(example_configuration()), "--port", "0", "--json", "--json-logs")
    async with running(*words, "--loop", loop, variables=variables) as process:
        assert process.stdout is not None
        announced = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
        assert announced["webhook_url"] == f"http://127.0.0.1:{announced['port']}/webhooks/openai"
        ready = await asyncio.to_thread(
            lambda: urlopen(f"http://127.0.0.1:{announced['port']}/readyz", timeout=30).read()
        )
        assert json.loads(ready)["status"] == "ready"
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == 0
        assert process.stderr is not None
        lines = (await process.stderr.read()).decode().splitlines()
    assert lines
    messages = [json.loads(line)["message"] for line in lines]
    assert all(messages)
    assert f"The event loop is {named}" in messages
    assert not [line for line in lines if "key-of-the-test" in line]
    assert (tmp_path / "calls.db").exists()


CONFIGURATION = """\
version: 1
lookup:
  customer:
    url: https://crm.example/{{{{caller}}}}
    headers: {{Authorization: "Bearer ${{file:crm-token}}"}}
    take: {{name: /name}}
    defaults: {{name: ""}}
agents: {{front-desk: {{instructions: "{words}"}}}}
routes: [{{agent: front-desk}}]
"""


async def test_it_reads_its_configuration_again_when_a_file_changes_and_on_sighup(tmp_path: Path) -> None:
    def put(name: str, text: str) -> None:
        (tmp_path / name).write_text(text, encoding="utf-8")

    def asked(path: str) -> str:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            body: bytes = answer.read()
        return body.decode()

    async def configuration(**wanted: object) -> dict[str, object]:
        """What /readyz says of it, once that holds what is wanted."""
        async with asyncio.timeout(30):
            while True:
                answer = json.loads(await asyncio.to_thread(asked, "/readyz"))
                assert answer["status"] == "ready"
                found: dict[str, object] = answer["configuration"]
                if found.items() >= wanted.items():
                    return found
                await asyncio.sleep(0.1)

    put("crm-token", "first-token-of-the-test")
    put("sipagent.yaml", CONFIGURATION.format(words="One."))
    variables = {**VARIABLES, "SIPAGENT_DATABASE_URL": f"sqlite:///{tmp_path / 'calls.db'}"}
    words = ("serve", "--config", str(tmp_path / "sipagent.yaml"), "--port", "0", "--json")
    async with running(*words, variables=variables) as process:
        assert process.stdout is not None
        port = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))["port"]
        first = await configuration(generation=1, last_reload=None, problems_at=[])
        put("sipagent.yaml", CONFIGURATION.format(words="Two."))
        second = await configuration(generation=2, last_reload="loaded")
        assert first["fingerprint"] != second["fingerprint"]
        put("sipagent.yaml", CONFIGURATION.format(words="Three.").replace("routes", "rotues"))
        broken = await configuration(generation=2, last_reload="failed")
        assert broken["fingerprint"] == second["fingerprint"]
        assert "sipagent.yaml:9:1" in str(broken["problems_at"])
        assert "sipagent_configuration_reload_ok 0.0" in await asyncio.to_thread(asked, "/metrics")
        put("sipagent.yaml", CONFIGURATION.format(words="Two."))
        await configuration(generation=2, last_reload="unchanged", problems_at=[])
        put("crm-token", "second-token-of-the-test")
        third = await configuration(generation=3, last_reload="loaded")
        assert third["fingerprint"] == second["fingerprint"], "a secret names nothing"
        process.send_signal(signal.SIGHUP)
        await configuration(generation=3, last_reload="unchanged")
        assert "sipagent_configuration_reload_ok 1.0" in await asyncio.to_thread(asked, "/metrics")
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == 0
        assert process.stderr is not None
        log = (await process.stderr.read()).decode()
    assert "sipagent.yaml:9:1: " in log
    assert "token-of-the-test" not in log
    assert b"token-of-the-test" not in (tmp_path / "calls.db").read_bytes()


def test_what_is_missing_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--config", str(example_configuration())]) == 1
    said = capsys.readouterr().err
    assert "OPENAI_API_KEY is not set" in said
    assert "OPENAI_WEBHOOK_SECRET is not set" in said


async def test_a_wrong_configuration_serves_nothing(tmp_path: Path) -> None:
    (tmp_path / "sipagent.yaml").write_text("version: 2\n", encoding="utf-8")
    code, out, err = await finished("serve", variables=VARIABLES, cwd=str(tmp_path))
    assert (code, out) == (1, "")
    assert "sipagent.yaml:1:10: `version` is 2. Write 1." in err


async def test_a_region_that_does_not_exist_serves_nothing(tmp_path: Path) -> None:
    text = "version: 1\nopenai: {region: mars}\nagents: {a: {instructions: Hi.}}\nroutes: [{agent: a}]\n"
    (tmp_path / "sipagent.yaml").write_text(text, encoding="utf-8")
    code, out, err = await finished("serve", variables=VARIABLES, cwd=str(tmp_path))
    assert (code, out) == (1, "")
    assert "sipagent.yaml:2:18: `openai.region` is 'mars', which is no choice." in err


def test_the_service_goes_where_the_configuration_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "version: 1\nopenai: {azure: harbor}\nagents: {a: {instructions: Hi.}}\nroutes: [{agent: a}]\n"
    (tmp_path / "sipagent.yaml").write_text(text, encoding="utf-8")
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    asked: list[str] = []

    def service(*, base_url: str, **_: object) -> None:
        asked.append(base_url)
        raise UserError("far enough")

    monkeypatch.setattr(serve, "Service", service)
    words = ["serve", "--config", str(tmp_path / "sipagent.yaml")]
    assert main(words) == 1
    monkeypatch.delenv("OPENAI_BASE_URL")
    assert main(words) == 1
    assert asked == [VARIABLES["OPENAI_BASE_URL"], "https://harbor.openai.azure.com/openai/v1"]


async def test_a_port_in_use_is_said_in_a_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        variables = {**VARIABLES, "SIPAGENT_DATABASE_URL": f"sqlite:///{tmp_path / 'calls.db'}"}
        words = ("serve", "--config", str(example_configuration()), "--port", port)
        code, _, err = await finished(*words, variables=variables)
    assert code == 1
    assert f"cannot listen on 127.0.0.1:{port}: another process does. Stop it, or take another --port." in err
    assert "Traceback" not in err


async def test_an_address_of_the_configuration_in_use_is_the_one_that_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        file = tmp_path / "sipagent.yaml"
        file.write_text(
            "version: 1\nagents: {desk: {instructions: Be kind.}}\nroutes: [{agent: desk}]\n"
            f'admin:\n  listen: "127.0.0.1:{port}"\n'
            '  tokens: [{name: a, token: "${TOKEN_A}", role: read}]\n',
            encoding="utf-8",
        )
        database = f"sqlite:///{tmp_path / 'calls.db'}"
        variables = {**VARIABLES, "SIPAGENT_DATABASE_URL": database, "TOKEN_A": "t" * 16}
        code, _, err = await finished("serve", "--config", str(file), "--port", "0", variables=variables)
    assert code == 1
    assert f"cannot listen on 127.0.0.1:{port}: another process does." in err
    assert "change `listen` in the configuration" in err


async def test_an_address_of_another_machine_is_said_in_a_sentence(tmp_path: Path) -> None:
    variables = {**VARIABLES, "SIPAGENT_DATABASE_URL": f"sqlite:///{tmp_path / 'calls.db'}"}
    words = ("serve", "--config", str(example_configuration()), "--host", "203.0.113.9", "--port", "0")
    code, _, err = await finished(*words, variables=variables)
    assert code == 1
    assert "cannot listen on 203.0.113.9:0: this machine has no such address." in err


async def test_a_folder_that_is_missing_for_the_database_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"
    variables = {**VARIABLES, "SIPAGENT_DATABASE_URL": f"sqlite:///{missing / 'calls.db'}"}
    words = ("serve", "--config", str(example_configuration()), "--port", "0")
    code, _, err = await finished(*words, variables=variables)
    assert code == 1
    assert f"sqlite:///{missing / 'calls.db'}: there is no folder {missing}" in err


def test_an_api_key_in_the_place_of_the_signing_secret_is_noticed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OPENAI_WEBHOOK_SECRET", "sk-proj-0123456789")
    assert main(["serve", "--config", str(example_configuration())]) == 1
    said = capsys.readouterr().err
    assert "OPENAI_WEBHOOK_SECRET holds an API key" in said
    assert "0123456789" not in said
