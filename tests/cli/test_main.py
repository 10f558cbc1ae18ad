from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from sipagent.cli import main
from sipagent.cli.main import COMMANDS


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert not [name for name in COMMANDS if f"\n    {name}" not in shown]


@pytest.mark.parametrize("words", [[name] for name in COMMANDS] + [["calls", "list"], ["calls", "show"]])
def test_every_help_has_examples(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "examples:\n" in shown
    assert f"\n  sipagent {' '.join(words)}" in shown


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"sipagent {version('sipagent')}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Begin with: sipagent demo"),
        (["--json"], "required: COMMAND"),
        (["dance"], "invalid choice: 'dance'"),
        (["check", "--loud"], "unrecognized arguments: --loud"),
        (["calls"], "required: ACTION"),
        (["calls", "list", "--reason", "caller_hungup"], "Did you mean `caller_hung_up`?"),
        (["calls", "list", "--limit", "0"], "'0' is no count"),
        (["calls", "list", "--before", "soon"], "'soon' is no moment"),
        (["serve", "--port", "99999"], "'99999' is no port"),
        (["serve", "--drain-timeout", "soon"], "'soon' is no duration"),
        (["simulator", "--http", "8080"], "write HOST:PORT"),
        (["simulator", "--sip", "127.0.0.1:5060"], "is no SIP address"),
        (["simulator", "--media", "tape"], "invalid choice: 'tape'"),
    ],
)
def test_misuse_is_exit_code_2(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert said in capsys.readouterr().err


def test_an_error_is_a_sentence_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["guide", "nothing"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("sipagent: there is no page 'nothing'")


def test_an_error_is_json_where_json_was_asked_for(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["calls", "list", "--json", "--database", f"sqlite:///{tmp_path}/none.db"]) == 1
    captured = capsys.readouterr()
    assert captured.err == ""
    answer = json.loads(captured.out)
    assert answer["ok"] is False
    assert "there is no database" in answer["error"]


def test_a_reader_who_has_read_enough_is_no_error() -> None:
    program = "import sys; from sipagent.cli import main; sys.exit(main(['guide', 'configuration']))"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.wait(timeout=60)
        assert process.stderr.read() == b""


def test_the_package_can_be_run() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sipagent", "--version"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, f"sipagent {version('sipagent')}")
