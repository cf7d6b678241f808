"""Triton's log, made readable: one line a message, known noise dropped, known failures told what to do about them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Literal

Level = Literal["info", "warning", "error"]

_LEVELS: dict[str, Level] = {"I": "info", "W": "warning", "E": "error", "F": "error"}

# glog: severity, month and day, time, process, source, and the message, quoted as a C string since Triton 2.47.
_GLOG = re.compile(r"(?P<level>[IWEF])\d{4} (?P<time>[\d:]+)\.\d+ \d+ \S+:\d+\] ?(?P<message>.*)", re.DOTALL)

# What Python stages log (toonface_server.stage).
_STAGE = re.compile(r"[\d-]+ (?P<time>[\d:]+),\d+ (?P<level>[A-Z]+) (?P<message>.*)", re.DOTALL)
_STAGE_LEVELS: dict[str, Level] = {"WARNING": "warning", "ERROR": "error", "CRITICAL": "error"}

# Rows of the tables that Triton draws at its start; what they say about failures is also logged as errors.
_TABLE = re.compile(r"\+[-+]*\+|\|.*\|")

# What comes with every start on a machine without a GPU, and what repeats other lines or this package's own.
_NOISE = re.compile(
    r"CUDA driver version is insufficient|CUDA memory pool disabled|CudaDriverHelper has not been initialized"
    r"|no pinned memory pool|Unable to allocate pinned system memory|Failed to initialize NVML"
    r"|DCGM (unable|initialization)|Collecting CPU metrics|TRITONBACKEND_ModelInstance(Initialize|Finalize)"
    r"|Timeout \d+: Found \d+|^loading: |^successfully (un)?loaded |^Started |^Signal \(\d+\) received"
    r"|^Waiting for in-flight requests to complete|^All models are stopped|^Non-graceful termination detected"
    # A model that cannot be loaded is reported five times; "failed to load ... version" is the whole story.
    r"|^failed to load '[^']+'$|depends on '[^']+' which has no loaded version|^Failed to initialize Python stub"
    r"|^ERROR: Failed to create instance|^(error: creating server: .* )?load failed for model"
    r"|^At:$|^;$|^ +(<frozen .*|/\S+)\(\d+\): "
)

# Frames of Python's own import, in the tracebacks that the Python backend writes.
_IMPORT_FRAMES = re.compile(r"^ +<frozen importlib.*\n?", re.MULTILINE)

_REMEDIES = (
    (
        re.compile(r"Unable to initialize shared memory key|Failed to increase the shared memory pool|Bus error"),
        "shared memory is used up: give the container more with docker run --shm-size=1g",
    ),
    (
        re.compile(r"ModuleNotFoundError: No module named '(?P<name>[^']+)'"),
        "a stage misses the Python package {name}: run pip install 'toonface[server]' where this command is installed",
    ),
    (
        re.compile(
            r"(?:Socket|address).* (?:already )?in use|Failed to bind|failed to start (?:HTTP|GRPC|Metrics) service",
            re.I,
        ),
        "a port was taken in this moment: start again, or choose with --grpc-port, --http-port, --metrics-port",
    ),
    (
        re.compile(
            r"unable to find backend library for backend '(?P<name>[^']+)'|backend '(?P<other>[^']+)' not found", re.I
        ),
        "this tritonserver lacks a backend that the repository was exported for: export it again for another",
    ),
    (
        re.compile(r"Stub process '(?P<name>[^']+)' is not healthy"),
        "the Python process of stage {name} died or hangs; it is being repaired",
    ),
    (
        re.compile(r"Too many open files"),
        "raise the limit on open files: ulimit -n 65536",
    ),
)


@dataclass(frozen=True, slots=True)
class Line:
    """One message of the server: `time` is HH:MM:SS, empty for what a stage printed; `remedy` what to do about it."""

    level: Level
    time: str
    message: str
    remedy: str = ""

    @property
    def noise(self) -> bool:
        """Whether the message is known to mean nothing, or to repeat what this package reports itself."""
        return _NOISE.search(self.message) is not None


def parse(text: str) -> Line | None:
    """One line of tritonserver's output; None for an empty one and for rows of a table."""
    text = text.rstrip()
    if not text or _TABLE.fullmatch(text):
        return None
    if found := _GLOG.fullmatch(text):
        message = _unquoted(found["message"])
        # Without a message it is the heading of a table.
        return Line(_LEVELS[found["level"]], found["time"], message, remedy(message)) if message else None
    if found := _STAGE.fullmatch(text):
        level = _STAGE_LEVELS.get(found["level"], "info")
        return Line(level, found["time"], found["message"], remedy(found["message"]))
    return Line("info", "", text, remedy(text))


def remedy(message: str) -> str:
    """What to do about a message that is known; empty for others."""
    for pattern, advice in _REMEDIES:
        found = pattern.search(message)
        if found:
            return advice.format(**found.groupdict())
    return ""


def _unquoted(message: str) -> str:
    if message.startswith('"') and message.endswith('"'):
        try:
            return _IMPORT_FRAMES.sub("", str(json.loads(message, strict=False))).strip()
        except ValueError:
            return message.strip('"')
    return message.strip()
