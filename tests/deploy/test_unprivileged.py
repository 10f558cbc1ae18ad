"""The service runs with no more rights than it needs, however it is deployed."""

from __future__ import annotations

import configparser
import logging
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sipagent.cli import main

DEPLOY = Path(__file__).parents[2] / "deploy"
HIGHEST_EXPOSURE = 2.0
"""As `systemd-analyze security` counts: 10 is a service that may do everything."""

WANTED = {
    "DynamicUser": "yes",
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "AmbientCapabilities": "",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "PrivateUsers": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectControlGroups": "yes",
    "ProtectProc": "invisible",
    "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
    "RestrictNamespaces": "yes",
    "RestrictSUIDSGID": "yes",
    "SystemCallArchitectures": "native",
    "SystemCallErrorNumber": "EPERM",
    "StateDirectoryMode": "0700",
    "UMask": "0077",
}


class EveryLine(dict[str, Any]):
    """Keeps each value of a key that a unit writes more than once."""

    def __setitem__(self, key: str, value: Any) -> None:
        if isinstance(value, list) and isinstance(self.get(key), list):
            self[key].extend(value)
        else:
            super().__setitem__(key, value)


def unit() -> dict[str, str]:
    parser = configparser.RawConfigParser(strict=False, dict_type=EveryLine)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / "sipagent.service")
    return dict(parser["Service"])


@pytest.mark.parametrize("key", WANTED)
def test_the_unit_takes_away_what_is_not_needed(key: str) -> None:
    assert unit()[key] == WANTED[key]


def test_the_unit_starts_nothing_as_root() -> None:
    service = unit()
    assert "User" not in service, "DynamicUser makes one"
    assert not [line for line in service["ExecStart"].splitlines() if line.startswith(("+", "!"))]
    assert "Environment=OPENAI" not in (DEPLOY / "sipagent.service").read_text()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here to ask")
def test_systemd_finds_little_exposed() -> None:
    asked = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(DEPLOY / "sipagent.service")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    found = re.search(r"exposure level[^:]*: ([0-9.]+)", asked.stdout)
    if found is None:
        pytest.skip(f"systemd-analyze does not answer here: {asked.stderr[:200]}")
    assert float(found[1]) <= HIGHEST_EXPOSURE


def test_the_image_runs_as_a_user_of_its_own() -> None:
    last_stage = (DEPLOY / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    instructions = [line.split(None, 1) for line in last_stage.splitlines() if re.match(r"[A-Z]+ ", line)]
    users = [value for name, value in instructions if name == "USER"]
    assert users == ["sipagent"]
    names = [name for name, _ in instructions]
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert "RUN" not in names[names.index("USER") :]
    assert "useradd --system" in last_stage
    assert not re.search(r"(API_KEY|SECRET|TOKEN|PASSWORD)\s*=", last_stage), "no secret in a layer"


def test_compose_gives_the_container_nothing_more() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    service = compose["services"]["sipagent"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert "cap_add" not in service
    assert "user" not in service, "the image's own"
    assert all(port.startswith("127.0.0.1:") for port in service["ports"]), (
        "a proxy with TLS stands before it"
    )
    assert all(volume.endswith(":ro") or ":/var/lib/" in volume for volume in service["volumes"])


@pytest.fixture(autouse=True)
def the_log_as_it_was() -> Iterator[None]:
    """Serving sends it to a stream that is closed after the test."""
    root, ours = logging.getLogger(), logging.getLogger("sipagent")
    before = (root.handlers[:], root.level, ours.level)
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_what_the_service_writes_is_nobody_elses_business(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_WEBHOOK_SECRET"):
        monkeypatch.setenv(name, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    monkeypatch.setenv("SIPAGENT_DATABASE_URL", f"sqlite:///{tmp_path / 'calls.db'}")
    configuration = tmp_path / "sipagent.yaml"
    configuration.write_text("version: 1\nagents: {desk: {instructions: Hi.}}\nroutes: [{agent: desk}]\n")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["serve", "--config", str(configuration), "--port", port]) == 1, "nobody can listen there"
    written = [path for path in tmp_path.rglob("*") if path != configuration]
    assert tmp_path / "calls.db" in written
    assert not [path.name for path in written if path.stat().st_mode & 0o077]


def test_serving_as_root_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_WEBHOOK_SECRET"):
        monkeypatch.setenv(name, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    for user, warned in ((0, True), (1000, False)):
        monkeypatch.setattr("os.geteuid", lambda user=user: user)
        code = main(["serve", "--config", str(tmp_path / "none.yaml")])
        assert code == 1, "there is no such file"
        assert ("Running as root" in capfd.readouterr().err) is warned
