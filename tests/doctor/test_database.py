from __future__ import annotations

import os
from pathlib import Path

import pytest

from sipagent.doctor.database import examine_database
from sipagent.doctor.finding import Verdict
from sipagent.store import open_store


async def test_a_file_that_is_there_answers_and_one_that_is_not_is_not_made(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/calls.db"
    finding = await examine_database(url, timeout_s=5)
    assert (finding.verdict, "is not there yet" in finding.said) == (Verdict.OK, True)
    assert os.listdir(tmp_path) == []
    store = open_store(url)
    await store.open()
    await store.aclose()
    finding = await examine_database(url, timeout_s=5)
    assert (finding.verdict, finding.said) == (Verdict.OK, f"{tmp_path}/calls.db answers.")


async def test_what_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "calls.db").write_text("a letter, not a database; long enough to be read as one\n" * 100)
    finding = await examine_database(f"sqlite:///{tmp_path}/calls.db", timeout_s=5)
    assert finding.verdict is Verdict.FAIL


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    finding = await examine_database(f"sqlite:///{tmp_path}/deep/calls.db", timeout_s=5)
    assert (finding.verdict, finding.remedy) == (Verdict.FAIL, f"mkdir -p {tmp_path}/deep")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_folder_in_which_nothing_may_be_written(tmp_path: Path) -> None:
    os.chmod(tmp_path, 0o500)
    finding = await examine_database(f"sqlite:///{tmp_path}/calls.db", timeout_s=5)
    os.chmod(tmp_path, 0o700)
    assert finding.verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("url", "verdict"),
    [("memory:", Verdict.WARN), ("mongodb://u:hunter2@db/calls", Verdict.FAIL), ("?", Verdict.FAIL)],
)
async def test_other_urls(url: str, verdict: Verdict) -> None:
    finding = await examine_database(url, timeout_s=5)
    assert finding.verdict is verdict
    assert "hunter2" not in str(finding)
