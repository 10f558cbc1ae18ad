"""What callers say."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import pytest

from sipagent.audio.g711 import encode_pcmu


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """Two seconds of a loud 300 Hz tone and two of silence, raw mu-law."""
    tone = struct.pack(
        "<16000h", *(int(12000 * math.sin(2 * math.pi * 300 * n / 8000)) for n in range(16000))
    )
    path = tmp_path / "caller.ul"
    path.write_bytes(encode_pcmu(tone) + b"\xff" * 16000)
    return path
