"""Runs an Asterisk with the files of ``deploy/trunks/asterisk``, and a trunk of its own before them."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.callers.kamailio import ask
from tests.callers.programs import find_program, running
from tests.support.ports import free_port

SHIPPED = Path(__file__).parents[2] / "deploy" / "trunks" / "asterisk"
PORT_TRIES = 3

FOLDERS = """
[directories]
astetcdir => {folder}
astvarlibdir => {folder}/var
astdbdir => {folder}/var
astkeydir => {folder}/var
astspooldir => {folder}/var
astrundir => {folder}/run
astlogdir => {folder}/log

[options]
verbose = 3
"""
MODULES = """
[modules]
autoload=yes
noload=chan_iax2.so
noload=chan_unistim.so
noload=chan_skinny.so
noload=chan_mgcp.so
noload=pbx_dundi.so
noload=pbx_ael.so
noload=pbx_lua.so
noload=res_pjsip_phoneprov_provider.so
noload=res_hep.so
noload=cdr_csv.so
"""
TRUNK = """
[trunk-udp]
type=transport
protocol=udp
bind=127.0.0.1:{port}

[trunk]
type=endpoint
transport=trunk-udp
context=trunk
allow=!all,ulaw
direct_media=no

[trunk]
type=identify
endpoint=trunk
match=127.0.0.1
"""
PERSON = """
[{extension}]
type=endpoint
transport=trunk-udp
context=trunk
allow=!all,ulaw
aors={extension}

[{extension}]
type=aor
contact=sip:{extension}@127.0.0.1:{port}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PbxPlan:
    """What differs from the files as they are shipped."""

    context: str
    """Where calls of the trunk go."""
    openai_port: int = 9
    """TLS."""
    authority: Path | None = None
    people: Mapping[str, int] = field(default_factory=dict)
    """The UDP port of the telephone of each extension."""
    http_port: int = 9
    audio_port: int = 9
    token: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pbx:
    """A running Asterisk."""

    folder: Path
    port: int
    """UDP, for the trunk."""

    @property
    def log(self) -> str:
        """All it has written."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("log/full*")))


def asterisk_program() -> str:
    """Its path; skips the test where there is none: not every distribution has one, not even for CI."""
    path = find_program("asterisk")
    if path is None:
        pytest.skip("asterisk is not installed (Debian sid and Ubuntu have a package, Debian 12 and 13 none)")
    return path


def write_pbx(folder: Path, plan: PbxPlan, port: int) -> None:
    """Copy the shipped files to ``folder`` and set what belongs to this machine."""
    for name in ("var", "run", "log"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "asterisk.conf").write_text(FOLDERS.format(folder=folder))
    (folder / "modules.conf").write_text(MODULES)
    (folder / "logger.conf").write_text("[general]\n[logfiles]\nfull => notice,warning,error,verbose\n")
    pjsip = (SHIPPED / "pjsip.conf").read_text()
    for pattern, value in (
        (r"^bind=.*$", f"bind=127.0.0.1:{free_port()}"),
        (r"^ca_list_file=.*$", f"ca_list_file={plan.authority}"),
        (r"@sip\.api\.openai\.com:5061\\;", rf"@127.0.0.1:{plan.openai_port}\\;"),
    ):
        pjsip, count = re.subn(f"(?m){pattern}", value, pjsip)
        assert count == 1, pattern
    for extension, its_port in plan.people.items():
        pjsip += PERSON.format(extension=extension, port=its_port)
    (folder / "pjsip.conf").write_text(TRUNK.format(port=port) + pjsip)
    extensions = (SHIPPED / "extensions.conf").read_text()
    extensions = extensions.replace("${HOST}:8080", f"127.0.0.1:{plan.http_port}")
    extensions = extensions.replace("${HOST}:9092", f"127.0.0.1:{plan.audio_port}")
    trunk = f"[trunk]\nexten => _[+0-9].,1,Goto({plan.context},${{EXTEN}},1)\n"
    (folder / "extensions.conf").write_text(f"{trunk}\n{extensions}")


@asynccontextmanager
async def asterisk(plan: PbxPlan, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pbx]:
    """An Asterisk that answers, until the block is left."""
    name = asterisk_program()
    monkeypatch.setenv("ASTERISK_TOKEN", plan.token)
    # Not in pytest's folder: its control socket's path must be short.
    with tempfile.TemporaryDirectory(prefix="pbx-") as created:
        folder = Path(created)
        for _ in range(PORT_TRIES):
            pbx = Pbx(folder=folder, port=free_port())
            write_pbx(folder, plan, pbx.port)
            command = (name, "-f", "-C", str(folder / "asterisk.conf"))
            async with running(*command, folder=folder, in_group=True) as process:
                if not await _answers(pbx.port, process):
                    continue
                try:
                    yield pbx
                except BaseException as error:
                    error.add_note(pbx.log[-5000:])
                    raise
                return
        raise AssertionError(f"Asterisk did not start:\n{pbx.log[-5000:]}")


async def _answers(port: int, process: asyncio.subprocess.Process) -> bool:
    """Whether it knows its dialplan before it ends, as it does when somebody else was given its port."""
    asked = (
        "OPTIONS sip:+15550100000@127.0.0.1:{port} SIP/2.0\n"
        "Contact: <sip:a@{source}:{here}>\nContent-Length: 0\n\n"
    )
    for _ in range(200):
        answer = await ask(port, source="127.0.0.1", within_s=0.3, request=asked)
        if answer is not None and answer.startswith("SIP/2.0 200"):
            return True
        if process.returncode is not None:
            return False
        await asyncio.sleep(0.05)
    raise AssertionError("Asterisk never answered")
