from __future__ import annotations

import os
import struct
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.audio.pcm import check_whole_samples, interleave_stereo, mix_to_mono, split_stereo

samples = st.lists(st.tuples(st.integers(-32768, 32767), st.integers(-32768, 32767)))


@given(samples)
def test_stereo_is_interleaved_and_taken_apart(pairs: list[tuple[int, int]]) -> None:
    left = struct.pack(f"={len(pairs)}h", *(pair[0] for pair in pairs))
    right = struct.pack(f"={len(pairs)}h", *(pair[1] for pair in pairs))
    stereo = interleave_stereo(left, right)
    assert stereo == struct.pack(f"={2 * len(pairs)}h", *(value for pair in pairs for value in pair))
    assert split_stereo(stereo) == (left, right)


def test_mono_is_the_mean() -> None:
    assert mix_to_mono(struct.pack("=2h", 1000, 3000)) == struct.pack("=h", 2000)


def test_whole_samples_are_demanded() -> None:
    assert check_whole_samples(b"\x01\x02") == b"\x01\x02"
    with pytest.raises(ValueError, match="whole number"):
        check_whole_samples(b"\x01")


def test_importing_warns_nobody() -> None:
    # In a process of its own, since a module is executed once.
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import sipagent.audio.pcm"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
