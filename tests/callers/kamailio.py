"""Runs the edge of ``deploy/kamailio``: its own configuration, with this machine's addresses and files."""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from tests.callers.programs import program, run, running
from tests.support.ports import free_port

SHIPPED = Path(__file__).parents[2] / "deploy" / "kamailio"
CALLER = "127.0.0.2"
"""Callers have an address of their own: the targets are at 127.0.0.1, and who calls from there is none."""
NO_REPLY_MS = 1500
AUTHORITY = "authority.pem"
PORT_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgePlan:
    """What differs from the configuration as it is shipped."""

    targets: Sequence[str]
    """Lines of ``targets.list`` without the set: ``sip:… FLAGS PRIORITY ATTRIBUTES``."""
    sources: Sequence[str] = (f"1 {CALLER} 32 0 pbx",)
    authority: Path | None = None
    """Who issues the certificates of targets."""
    target_name: str = "."
    switches: Sequence[str] = ()
    """``WITH_…``, which are off in what is shipped."""
    numbers: Sequence[tuple[str, str]] = ()
    """``settings.cfg`` beside addresses: name and value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A running edge."""

    folder: Path
    port: int
    """UDP and TCP."""
    tls_port: int

    @property
    def authority(self) -> Path:
        """Who issued its certificate."""
        return self.folder / AUTHORITY

    @property
    def log(self) -> str:
        """All it has written."""
        return (self.folder / "program.log").read_text(errors="replace")

    async def control(self, *command: str) -> str:
        """What ``kamcmd`` prints."""
        name = program("kamcmd", "kamailio")
        code, output = await run(name, "-s", f"unix:{self.folder}/control", *command, folder=self.folder)
        assert code == 0, output
        return output


def write_edge(folder: Path, plan: EdgePlan, *, port: int, tls_port: int) -> Path:
    """Copy the shipped files to ``folder`` and set what belongs to this machine; the main file's path."""
    shutil.copy(SHIPPED / "kamailio.cfg", folder)
    settings = (SHIPPED / "settings.cfg").read_text()
    for name, value in (
        ("LISTEN_UDP", f"udp:127.0.0.1:{port}"),
        ("LISTEN_TCP", f"tcp:127.0.0.1:{port}"),
        ("LISTEN_TLS", f"tls:127.0.0.1:{tls_port}"),
        ("CONTROL", f'"unix:{folder}/control"'),
        ("TARGET_NAME", f'"{plan.target_name}"'),
        ("NO_REPLY_MS", str(NO_REPLY_MS)),
        ("CONFIG_FOLDER", str(folder)),
        *plan.numbers,
    ):
        line = re.compile(rf'(?m)^(#!define {name} |#!substdef "!{name}!)[^!\n]*(!g")?$')
        found = line.findall(settings)
        assert len(found) == 1, f"{name} stands in settings.cfg {len(found)} times"
        settings = line.sub("".join((found[0][0], value, found[0][1])).replace("\\", r"\\"), settings)
    for switch in plan.switches:
        assert f"##!define {switch}\n" in settings
        settings = settings.replace(f"##!define {switch}\n", f"#!define {switch}\n")
    (folder / "settings.cfg").write_text(settings)
    (folder / "targets.list").write_text("".join(f"1 {line}\n" for line in plan.targets))
    (folder / "sources.list").write_text("".join(f"{line}\n" for line in plan.sources))
    tls = (SHIPPED / "tls.cfg").read_text().replace("/etc/kamailio/tls", str(folder))
    # Not the system's: each process reads it at the start, which takes seconds.
    tls = re.sub(r"(?m)^ca_list = .*$", f"ca_list = {plan.authority or folder / AUTHORITY}", tls)
    (folder / "tls.cfg").write_text(tls)
    return folder / "kamailio.cfg"


def make_certificate(folder: Path) -> None:
    """The certificate that callers by TLS see."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / AUTHORITY))
    identity = authority.issue_cert("127.0.0.1")
    identity.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    identity.private_key_pem.write_to_path(str(folder / "key.pem"))


@asynccontextmanager
async def edge(plan: EdgePlan) -> AsyncIterator[Edge]:
    """The edge, answering, until the block is left."""
    name = program("kamailio", "kamailio, kamailio-tls-modules")
    # Not in pytest's folder: the control socket's path must be short.
    with tempfile.TemporaryDirectory(prefix="edge-") as created:
        folder = Path(created)
        make_certificate(folder)
        for _ in range(PORT_TRIES):
            one = Edge(folder=folder, port=free_port(), tls_port=free_port())
            path = write_edge(folder, plan, port=one.port, tls_port=one.tls_port)
            command = f"{name} -f {path} -DD -E -m 64 -M 8 -w {folder} -Y {folder} -P {folder}/pid".split()
            async with running(*command, folder=folder, in_group=True) as process:
                if not await _answers(one.port, process):
                    continue
                try:
                    yield one
                except BaseException as error:
                    error.add_note(one.log[-3000:])
                    raise
                return
        raise AssertionError(f"the edge did not start:\n{one.log[-3000:]}")


async def ask(port: int, *, source: str, within_s: float, request: str | None = None) -> str | None:
    """What a UDP request from ``source`` is answered with; None when it is not."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind((source, 0))
        one.setblocking(False)
        here = one.getsockname()[1]
        text = request or "OPTIONS sip:127.0.0.1:{port} SIP/2.0\nContent-Length: 0\n\n"
        first, _, rest = text.format(port=port, source=source, here=here).partition("\n")
        shared = [
            f"Via: SIP/2.0/UDP {source}:{here};branch=z9hG4bK-{here}",
            f"From: <sip:ask@{source}>;tag=ask",
            f"Call-ID: ask-{here}@{source}",
            "Max-Forwards: 20",
        ]
        if "\nTo:" not in text:
            shared += [f"To: <sip:127.0.0.1:{port}>", f"CSeq: 1 {first.split()[0]}"]
        one.sendto("\r\n".join([first, *shared, *rest.split("\n")]).encode(), ("127.0.0.1", port))
        try:
            async with asyncio.timeout(within_s):
                return (await loop.sock_recv(one, 65_535)).decode()
        except (TimeoutError, ConnectionError):
            return None


async def _answers(port: int, process: asyncio.subprocess.Process) -> bool:
    """Whether it answers before it ends, as it does when somebody else was given its port first."""
    for _ in range(100):
        answer = await ask(port, source=CALLER, within_s=0.3)
        if answer is not None:
            assert answer.startswith("SIP/2.0 200"), answer
            return True
        if process.returncode is not None:
            return False
    raise AssertionError("the edge never answered")


@asynccontextmanager
async def rtpengine(folder: Path) -> AsyncIterator[int]:
    """An rtpengine in user space; the UDP port that takes orders."""
    name = program("rtpengine", "rtpengine-daemon")
    port = free_port()
    options = (
        "--foreground --log-stderr --config-file=none --table=-1 --interface=127.0.0.1 "
        f"--listen-ng=127.0.0.1:{port} --port-min=32000 --port-max=34999"
    )
    async with running(name, *options.split(), folder=folder) as process:
        for _ in range(100):
            if await _pings(port):
                break
            assert process.returncode is None, (folder / "program.log").read_text()
        yield port


async def _pings(port: int) -> bool:
    """Whether an rtpengine answers there."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.connect(("127.0.0.1", port))
        one.setblocking(False)
        try:
            one.send(b"1 d7:command4:pinge")
            async with asyncio.timeout(0.2):
                return b"pong" in await loop.sock_recv(one, 2048)
        except TimeoutError:
            return False
        except ConnectionError:
            await asyncio.sleep(0.05)
            return False
