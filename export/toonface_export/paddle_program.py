"""Paddle's program in its own JSON form, inference.json: read without Paddle, and made fit for paddle2onnx.

A program is a nest of regions, blocks and operations. Each operation has its name under `#` (`1.conv2d`; `p` is a
parameter), attributes under `A`, the values it reads under `I` and those it makes under `O`.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

from toonface_contract.errors import ExportError

Operation: TypeAlias = dict[str, Any]

# `base_code.version` of the programs that were read, converted and held to parity here: Paddle 3.0 writes 1, 3.2 writes
# 3, 3.3 writes 4.
FORMATS = range(1, 5)

KNOWN: str = (
    f"known are the formats {FORMATS[0]} to {FORMATS[-1]} of inference.json, of Paddle 3.0 to 3.3, and "
    "inference.pdmodel of Paddle 2 and 3"
)
"""Which programs can be read, for messages about one that cannot."""

_PARAMETER = "p"
_ARRAY, _SINGLE, _DOUBLE = "0.a_array", "0.a_f32", "0.a_f64"


def read_program(path: Path) -> dict[str, Any]:
    """Read inference.json.

    Raises:
        ExportError: it is not a program of Paddle, or one of a Paddle that is not known here.
    """
    try:
        content: Any = json.loads(path.read_bytes())
    except ValueError as error:
        raise ExportError(f"{path} is not JSON: {error}") from error
    base = content.get("base_code") if isinstance(content, dict) else None
    if not isinstance(base, dict) or base.get("magic") != "pir" or "program" not in content:
        raise ExportError(f"{path} is not a program of Paddle; export the model again, or copy the whole folder")
    if base.get("version") not in FORMATS:
        raise ExportError(f"{path} is a Paddle program of format {base.get('version')}, which cannot be read; {KNOWN}")
    program: dict[str, Any] = content
    return program


def with_single_precision_lists(content: dict[str, Any]) -> dict[str, Any]:
    """The program with its lists of numbers in single precision, as Paddle up to 3.2 writes and demands them.

    Paddle 3.3 writes the scale of an interpolation in double precision. Numbers that stand alone may be of either kind.
    """
    changed = copy.deepcopy(content)
    for block in blocks(changed):
        for operation in block["ops"]:
            for entry in operation["A"]:
                if isinstance(entry, dict) and entry["AT"]["#"] == _ARRAY:
                    for element in entry["AT"]["D"]:
                        if element["#"] == _DOUBLE:
                            element["#"] = _SINGLE
    return changed


def blocks(content: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The blocks of a program, which hold its operations under `ops`; inner ones come after those they are in."""
    regions = list(content["program"].get("regions", []))
    while regions:
        for block in regions.pop().get("blocks", []):
            yield block
            for operation in block.get("ops", []):
                regions.extend(operation.get("regions", []))


def operations(content: dict[str, Any], name: str) -> list[Operation]:
    """The operations of a program with this name, such as `conv2d`."""
    return [operation for block in blocks(content) for operation in block.get("ops", []) if is_called(operation, name)]


def is_called(operation: Operation, name: str) -> bool:
    """Whether an operation has this name, in whichever dialect."""
    found: str = operation["#"].split(".")[-1]
    return found == name


def attributes(operation: Operation) -> dict[str, Any]:
    """The attributes of an operation by name, as plain values."""
    return {entry["N"]: _plain(entry["AT"]) for entry in operation["A"]}


def parameter_shapes(content: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Shape of each parameter that the program asks for, by its name."""
    return {operation["A"][3]: tuple(operation["O"]["TT"]["D"][1]) for operation in operations(content, _PARAMETER)}


def _plain(attribute: dict[str, Any]) -> Any:
    value = attribute["D"]
    if isinstance(value, list):
        return [_plain(entry) if isinstance(entry, dict) else entry for entry in value]
    return value
