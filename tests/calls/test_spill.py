from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sipagent.calls.fact_lines import decode_line, encode_line
from sipagent.calls.spill import REJECTED, Spill
from sipagent.errors import SpillError
from sipagent.store import CallEnded, CallOpened, Fact
from tests.store import facts

AT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def spill(folder: Path, *, minute: int = 0, most_bytes: int = 1 << 30, segment_bytes: int = 1 << 20) -> Spill:
    began_at = AT + timedelta(minutes=minute)
    return Spill(folder, began_at=began_at, most_bytes=most_bytes, segment_bytes=segment_bytes)


def lines(*numbers: int) -> list[Fact]:
    return [facts.line(f"item_{number}", number, f"Line {number}.") for number in numbers]


def everything(one: Spill, page: int = 7) -> list[Fact]:
    found: list[Fact] = []
    while not one.empty:
        found.extend(one.read(page).facts)
        one.forget()
    return found


def test_an_empty_spill_leaves_nothing_on_disk(tmp_path: Path) -> None:
    one = spill(tmp_path / "spill")
    assert one.empty
    assert one.read(10).facts == ()
    one.recover()
    one.forget()
    one.close()
    assert not (tmp_path / "spill").exists()


def test_first_in_first_out_over_many_segments(tmp_path: Path) -> None:
    one = spill(tmp_path, segment_bytes=500)
    for number in range(0, 100, 5):
        one.append(lines(*range(number, number + 5)))
    assert len(list(tmp_path.rglob("*.jsonl"))) > 5
    assert everything(one) == lines(*range(100))
    assert one.size == 0
    assert list(tmp_path.iterdir()) == []
    one.append(lines(1))
    assert everything(one) == lines(1)


def test_reading_again_before_forgetting_gives_the_same(tmp_path: Path) -> None:
    one = spill(tmp_path)
    one.append(lines(1, 2, 3))
    assert one.read(2).facts == one.read(2).facts == tuple(lines(1, 2))
    one.append(lines(4))
    one.forget()
    one.forget()
    assert one.read(9).facts == tuple(lines(3, 4))
    one.close()


def test_the_files_are_nobody_elses_business(tmp_path: Path) -> None:
    one = spill(tmp_path / "spill")
    one.append(lines(1))
    one.reject(lines(2))
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "spill").rglob("*")}
    assert modes.pop("facts.rejected") == modes.pop("00000001.jsonl") == modes.pop("lock") == 0o600
    assert set(modes.values()) == {0o700}
    assert (tmp_path / "spill").stat().st_mode & 0o777 == 0o700
    one.close()


def test_what_is_left_is_found_oldest_first_and_comes_before_what_waits(tmp_path: Path) -> None:
    for minute in (2, 1):
        dead = spill(tmp_path, minute=minute)
        dead.append(lines(minute * 10, minute * 10 + 1))
        dead.close()
    one = spill(tmp_path, minute=3)
    one.append(lines(30))
    found = one.recover()
    assert (found.processes, found.half_lines) == (2, 0)
    assert found.size > 0
    assert everything(one) == lines(10, 11, 20, 21, 30)
    assert list(tmp_path.iterdir()) == []


def test_what_belongs_to_a_living_process_stays_with_it(tmp_path: Path) -> None:
    living, one = spill(tmp_path), spill(tmp_path, minute=1)
    living.append(lines(1))
    assert one.recover().processes == 0
    assert one.empty
    one.append(lines(2))
    assert living.recover().processes == 0
    assert everything(living) == lines(1)
    assert everything(one) == lines(2)


def test_two_who_look_at_once_do_not_both_find_it(tmp_path: Path) -> None:
    dead = spill(tmp_path)
    dead.append(lines(1))
    dead.close()
    one, other = spill(tmp_path, minute=1), spill(tmp_path, minute=1)
    assert one.recover().processes + other.recover().processes == 1
    assert everything(one) + everything(other) == lines(1)


def test_a_line_that_was_half_written_is_lost_and_said(tmp_path: Path) -> None:
    dead = spill(tmp_path)
    dead.append(lines(1, 2))
    dead.close()
    (file,) = tmp_path.rglob("*.jsonl")
    file.write_bytes(file.read_bytes() + encode_line(lines(3)[0])[:-5])
    one = spill(tmp_path, minute=1)
    assert one.recover().half_lines == 1
    assert everything(one) == lines(1, 2)


def test_a_line_that_holds_no_fact_is_handed_out_for_itself(tmp_path: Path) -> None:
    dead = spill(tmp_path)
    dead.append(lines(1, 2))
    dead.close()
    (file,) = tmp_path.rglob("*.jsonl")
    first, second = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(first + b'{"v":1,"kind":"Unheard"}\n' + second)
    one = spill(tmp_path, minute=1)
    one.recover()
    page = one.read(10)
    assert page.facts == tuple(lines(1, 2))
    assert page.unreadable == (b'{"v":1,"kind":"Unheard"}\n',)
    one.close()


def test_what_is_set_aside_can_be_read_by_people(tmp_path: Path) -> None:
    one = spill(tmp_path)
    one.reject([facts.ended()], [b"junk"])
    one.reject([facts.opened()])
    written = (tmp_path / REJECTED).read_bytes().splitlines()
    assert [decode_line(line) for line in written] == [facts.ended(), None, facts.opened()]
    assert json.loads(written[0])["kind"] == "CallEnded"
    one.recover()
    assert one.empty
    one.close()


def test_without_room_the_oldest_that_only_describe_are_given_up(tmp_path: Path) -> None:
    one = spill(tmp_path, most_bytes=8000, segment_bytes=1000)
    for number in range(100):
        call_id = f"rtc_{number}"
        one.append([facts.opened(call_id), *lines(number), facts.ended(call_id=call_id)])
    kept = everything(one)
    assert sum(isinstance(fact, CallOpened) for fact in kept) == 100
    assert sum(isinstance(fact, CallEnded) for fact in kept) == 100
    assert one.given_up == 300 - len(kept) > 0


def test_without_room_what_came_last_is_kept_the_longest(tmp_path: Path) -> None:
    one = spill(tmp_path, most_bytes=8000, segment_bytes=1000)
    for number in range(200):
        one.append(lines(number))
    kept = everything(one)
    assert 20 < len(kept) < 60
    assert kept == lines(*range(200 - len(kept), 200))
    assert one.given_up == 200 - len(kept)


def test_what_is_being_read_is_not_given_up(tmp_path: Path) -> None:
    one = spill(tmp_path, most_bytes=4000, segment_bytes=1000)
    one.append(lines(*range(10)))
    page = one.read(3)
    for number in range(10, 60):
        one.append(lines(number))
    one.forget()
    assert page.facts == tuple(lines(0, 1, 2))
    assert one.read(1).facts == tuple(lines(3))
    one.close()


def test_a_disk_that_is_full_takes_none_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = spill(tmp_path)
    real_write = os.write

    def full(file: int, data: bytes) -> int:
        real_write(file, data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    for before in ([], lines(0)):
        one.append(before)
        with monkeypatch.context() as patched:
            patched.setattr("sipagent.calls.spill_files.os.write", full)
            with pytest.raises(SpillError, match=f"cannot write to {tmp_path}: No space left"):
                one.append(lines(1))
        one.append(lines(2))
        assert everything(one) == [*before, *lines(2)]
    assert list(tmp_path.iterdir()) == []


def test_what_could_not_be_cut_off_is_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = spill(tmp_path)
    one.append(lines(1))
    real_write = os.write

    def breaks(file: int, data: bytes) -> int:
        real_write(file, data[:10])
        raise OSError(errno.EIO, "Input/output error")

    def refuses(file: int, size: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("sipagent.calls.spill_files.os.write", breaks)
        patched.setattr("sipagent.calls.spill_files.os.ftruncate", refuses)
        with pytest.raises(SpillError):
            one.append(lines(2))
    one.append(lines(3))
    one.close()
    other = spill(tmp_path, minute=1)
    assert other.recover().half_lines == 1
    assert everything(other) == lines(1, 3)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    one = spill(tmp_path / "file" / "spill")
    with pytest.raises(SpillError, match="cannot"):
        one.append(lines(1))
    with pytest.raises(SpillError, match="no folder"):
        one.check()
    spill(tmp_path / "not" / "yet").check()
    one.close()


def test_a_folder_that_cannot_be_read_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for minute in (0, 1):
        dead = spill(tmp_path, minute=minute)
        dead.append(lines(minute))
        dead.close()
    first, _ = sorted(tmp_path.iterdir())
    real_open = os.open

    def not_the_first(path: Path, *arguments: int) -> int:
        if first in Path(path).parents:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real_open(path, *arguments)

    monkeypatch.setattr("sipagent.calls.spill_files.os.open", not_the_first)
    one = spill(tmp_path, minute=2)
    found = one.recover()
    assert found.unusable == (f"{first}: Permission denied",)
    assert everything(one) == lines(1)


WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from sipagent.calls.spill import Spill
from tests.store import facts

spill = Spill(Path(sys.argv[1]), began_at=datetime(2026, 11, 21, tzinfo=UTC), segment_bytes=20_000)
number = 0
while True:
    spill.append([facts.line(f"item_{number + n}", number + n, "x" * 50) for n in range(10)])
    number += 10
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""


async def test_what_a_killed_process_has_written_is_found(tmp_path: Path) -> None:
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(tmp_path), stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert writer.stdout is not None
    said = 0
    async with asyncio.timeout(60):
        while said < 2000:
            said = int(await writer.stdout.readline())
        assert spill(tmp_path).recover().processes == 0, "it still lives"
        writer.send_signal(signal.SIGKILL)
        rest = (await writer.stdout.read()).splitlines()
        await writer.wait()
    said = max([said, *(int(line) for line in rest if line.isdigit())])
    one = spill(tmp_path, minute=1)
    assert one.recover().processes == 1
    found = everything(one, page=500)
    assert len(found) >= said
    assert found == [facts.line(f"item_{number}", number, "x" * 50) for number in range(len(found))]
    assert os.listdir(tmp_path) == []
