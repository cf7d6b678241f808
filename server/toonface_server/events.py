"""What the command tells whoever started it: lines for people, JSON for programs, and a file while it is ready."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from toonface_server.logs import Level, Line

_STYLES: dict[Level, str] = {"info": "", "warning": "yellow", "error": "bold red"}


class Reporter:
    """Writes events and log lines: for people on stderr, and as JSON, one object an event, on stdout.

    Args:
        as_json: also write events as JSON.
        verbose: pass on the lines of tritonserver's log that are known to be noise.
    """

    def __init__(self, *, as_json: bool = False, verbose: bool = False) -> None:
        self._json = as_json
        self._verbose = verbose
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)

    def event(self, name: str, message: str, *, level: Level = "info", **fields: Any) -> None:
        """Report that something happened. `fields` are for programs; `message` says all of it to people."""
        self._write_json(name, message=message, **fields)
        self._print(time.strftime("%H:%M:%S"), level, f"toonface: {message}")

    def ready(self, host: str, ports: dict[str, int], seconds: float) -> None:
        """Report that the server answers, and where."""
        self._write_json("ready", host=host, **ports, seconds=round(seconds, 2))
        self._print(time.strftime("%H:%M:%S"), "info", f"toonface: ready after {seconds:.1f} s")
        table = Table(show_header=False)
        for name, port in ports.items():
            table.add_row(name.removesuffix("_port"), f"{host}:{port}")
        self._console.print(table)

    def line(self, line: Line) -> None:
        """Pass on one line of tritonserver's log."""
        if line.noise and not self._verbose:
            return
        stamp = line.time or time.strftime("%H:%M:%S")
        self._print(stamp, line.level, line.message)
        if line.remedy:
            self._print(stamp, line.level, f"what to do: {line.remedy}")

    def _write_json(self, name: str, **fields: Any) -> None:
        if self._json:
            print(json.dumps({"event": name, "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **fields}), flush=True)

    def _print(self, stamp: str, level: Level, message: str) -> None:
        self._console.print(f"{stamp} {level:7} {message}", style=_STYLES[level], markup=False)


class ReadyFile:
    """A file that is there while the server is ready, and holds its addresses as JSON.

    Args:
        path: the file; None for none.
        addresses: what it holds.
    """

    def __init__(self, path: Path | None, addresses: dict[str, Any]) -> None:
        self._path = path
        self._content = json.dumps(addresses) + "\n"

    def set(self, ready: bool) -> None:
        """Write the file, atomically, or remove it."""
        if self._path is None:
            return
        if ready:
            temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}")
            temporary.write_text(self._content)
            temporary.replace(self._path)
        else:
            self._path.unlink(missing_ok=True)
