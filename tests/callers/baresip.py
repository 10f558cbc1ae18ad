"""Drives a headless baresip: its configuration, its control socket, what it recorded."""

from __future__ import annotations

import asyncio
import json
import math
import struct
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.callers.programs import program, running
from tests.support.ports import free_port

PORT_TRIES = 3
MODULES = "/usr/lib/baresip/modules"

CONFIG = """
poll_method             epoll
sip_listen              127.0.0.1:{sip_port}
call_local_timeout      60
call_max_calls          4
audio_player            aubridge,sink
audio_source            aufile,{folder}/say.wav
audio_alert             aufile,{folder}/say.wav
ausrc_srate             8000
auplay_srate            8000
ausrc_channels          1
auplay_channels         1
audio_txmode            poll
audio_level             no
ausrc_format            s16
auplay_format           s16
auenc_format            s16
audec_format            s16
audio_buffer            20-160
rtp_ports               21000-31999
rtp_stats               yes
net_interface           127.0.0.1
module_path             {modules}
module                  stdio.so
module                  g711.so
{srtp}
module                  aufile.so
module                  aubridge.so
module                  sndfile.so
snd_path                {folder}/recorded
module                  uuid.so
module_tmp              account.so
module_app              menu.so
module_app              ctrl_tcp.so
ctrl_tcp_listen         127.0.0.1:{control_port}
{authority}
"""


def tone(*seconds: float) -> bytes:
    """Silence and a 300 Hz tone by turns, beginning with silence; 16-bit PCM at 8 kHz."""
    samples: list[int] = []
    for number, length in enumerate(seconds):
        count = int(8000 * length)
        level = 12000 if number % 2 else 0
        samples += [int(level * math.sin(2 * math.pi * 300 * n / 8000)) for n in range(count)]
    return struct.pack(f"<{len(samples)}h", *samples)


def write_wav(path: Path, pcm: bytes) -> None:
    """A WAV of 8 kHz, mono, 16 bit."""
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(pcm)


def loudest(path: Path) -> int:
    """The largest sample of a recording."""
    with wave.open(str(path), "rb") as recording:
        frames = recording.readframes(recording.getnframes())
    samples = struct.unpack(f"<{len(frames) // 2}h", frames[: len(frames) // 2 * 2])
    return max(map(abs, samples), default=0)


@dataclass(slots=True)
class Baresip:
    """A running baresip and its control socket, which speaks netstrings of JSON."""

    folder: Path
    sip_port: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    events: list[dict[str, Any]] = field(default_factory=list)

    async def command(self, command: str, parameters: str = "") -> None:
        """Send a command, as typed at baresip's own prompt."""
        body = json.dumps({"command": command, "params": parameters, "token": "t"}).encode()
        self.writer.write(b"%d:%s," % (len(body), body))
        await self.writer.drain()

    async def until(self, event_type: str, *, within_s: float = 30.0) -> dict[str, Any]:
        """The next event of this type; answers and other events are kept in ``events``."""
        async with asyncio.timeout(within_s):
            while True:
                length = int((await self.reader.readuntil(b":"))[:-1])
                message: dict[str, Any] = json.loads((await self.reader.readexactly(length + 1))[:-1])
                self.events.append(message)
                if message.get("type") == event_type:
                    return message

    def recordings(self, side: str) -> list[Path]:
        """What was sent (``enc``) or heard (``dec``)."""
        return sorted((self.folder / "recorded").glob(f"dump-*-{side}.wav"))


@asynccontextmanager
async def baresip(
    folder: Path, pcm: bytes, *, account: str, certificate: Path | None = None
) -> AsyncIterator[Baresip]:
    """baresip that speaks ``pcm`` in every call; ``account`` is a line of its accounts file, with
    ``{sip_port}`` where its own port belongs."""
    path = program("baresip", "baresip-core")
    (folder / "recorded").mkdir(parents=True)
    write_wav(folder / "say.wav", pcm)
    for _ in range(PORT_TRIES):
        sip_port, control_port = free_port(), free_port()
        (folder / "accounts").write_text(account.format(sip_port=sip_port) + "\n")
        (folder / "config").write_text(
            CONFIG.format(
                folder=folder,
                modules=MODULES,
                sip_port=sip_port,
                control_port=control_port,
                srtp="module                  srtp.so" if certificate else "",
                authority=f"sip_cafile              {certificate}" if certificate else "",
            )
        )
        async with running(path, "-4", "-f", str(folder), folder=folder) as process:
            control = await _control(control_port, process)
            if control is None:
                continue
            reader, writer = control
            try:
                yield Baresip(folder=folder, sip_port=sip_port, reader=reader, writer=writer)
                writer.write(b'31:{"command":"quit","token":"q"},')
            finally:
                writer.close()
            return
    log = (folder / "program.log").read_text(errors="replace")
    raise AssertionError(f"baresip ended {PORT_TRIES} times before it was asked anything:\n{log[-3000:]}")


async def _control(
    port: int, process: asyncio.subprocess.Process
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    """Its control socket; None when it has ended, as it does when somebody else was given its port first."""
    for _ in range(200):
        try:
            return await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if process.returncode is not None:
                return None
            await asyncio.sleep(0.05)
    raise AssertionError("baresip's control socket never opened")
