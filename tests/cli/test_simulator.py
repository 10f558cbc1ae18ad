from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from sipagent.carrier.settings import CarrierSettings
from sipagent.cli import main
from sipagent.config import load_configuration
from tests.cli.process import running
from tests.config.carriers import BASE

pytestmark = pytest.mark.journey


@asynccontextmanager
async def simulator(*options: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, Any]]]:
    async with running("simulator", "--http", "127.0.0.1:0", "--json", *options) as process:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 60)
        yield process, json.loads(line)


async def test_the_first_line_names_the_ports_in_use() -> None:
    sip = ("--sip", "udp:127.0.0.1:0", "--sip", "tcp:127.0.0.1:0")
    webhook = ("--webhook", "http://127.0.0.1:9/webhooks/openai")
    async with simulator(*sip, *webhook) as (process, line):
        assert line["http"].startswith("127.0.0.1:")
        assert not line["http"].endswith(":0")
        assert line["base_url"] == f"http://{line['http']}/v1"
        assert [address.rpartition(":")[0] for address in line["sip"]] == ["udp:127.0.0.1", "tcp:127.0.0.1"]
        assert all(int(address.rpartition(":")[2]) > 0 for address in line["sip"])
        assert line["webhook_url"] == "http://127.0.0.1:9/webhooks/openai"
        assert line["webhook_secret"].startswith("whsec_")
        calls = await asyncio.to_thread(lambda: urlopen(f"{line['control_url']}/calls", timeout=30).read())
        assert json.loads(calls) is not None
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == 0


async def test_virtual_media_needs_no_sip() -> None:
    async with simulator("--media", "virtual", "--webhook-secret", "whsec_c2VjcmV0") as (process, line):
        assert line["sip"] == []
        assert line["webhook_secret"] == "whsec_c2VjcmV0"
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 30) == 0


def told_in(carriers: CarrierSettings) -> str:
    """The secret that a file has for its carrier."""
    if carriers.twilio is not None:
        return carriers.twilio.auth_tokens[0]
    if carriers.telnyx is not None:
        return carriers.telnyx.api_key
    assert carriers.audio_socket is not None
    return carriers.audio_socket.token


@pytest.mark.parametrize(
    ("carrier", "told"),
    [
        ("twilio", {"account_sid", "auth_token"}),
        ("telnyx", {"api_key", "public_key", "connection_id"}),
        ("telnyx-call-control", {"api_key", "public_key", "connection_id"}),
        ("asterisk", {"token", "audio_socket"}),
    ],
)
async def test_a_carrier_stands_beside(carrier: str, told: set[str], tmp_path: Path) -> None:
    ports = ("--carrier-http", "127.0.0.1:0", "--carrier-sip", "udp:127.0.0.1:0", "--media", "virtual")
    secret = "hush-this-is-a-secret"
    options = ("--carrier", carrier, "--carrier-secret", secret, "--carrier-number", "+15550100777=busy")
    async with simulator(*ports, *options) as (process, line):
        about = line["carrier"]
        assert set(about) == {"webhook_url", "sip", "api_base_url"} | told
        assert secret in about.values()
        assert secret not in line["configuration"]
        file = tmp_path / "sipagent.yaml"
        file.write_text(f"{BASE}{line['configuration']}")
        carriers = load_configuration(file, line["variables"]).carriers
        assert carriers is not None
        assert carriers.public_url == ("" if carrier == "asterisk" else "http://127.0.0.1:8080")
        assert told_in(carriers) == secret
        assert about["webhook_url"].startswith("http://127.0.0.1:8080/carriers/")
        url = f"{line['control_url']}/carrier/calls"
        calls = await asyncio.to_thread(lambda: urlopen(url, timeout=30).read())
        assert json.loads(calls) == {"calls": []}
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == 0


def test_what_cannot_be_simulated_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "script.yaml"
    broken.write_text("turns:\n  - sai: Hello\n", encoding="utf-8")
    for options, said in (
        (["--sip", "tls:127.0.0.1:0"], "--tls-cert and --tls-key"),
        (["--faults", "earthquake"], "earthquake"),
        (["--script", str(broken)], f"{broken}:2:"),
        (["--media", "virtual", "--sip", "udp:127.0.0.1:0"], "no SIP"),
        (["--carrier", "twilio", "--carrier-faults", "earthquake"], "earthquake"),
        (["--carrier", "twilio", "--carrier-number", "+15550100777=perhaps"], "perhaps"),
    ):
        assert main(["simulator", "--http", "127.0.0.1:0", *options]) == 1
        assert said in capsys.readouterr().err
