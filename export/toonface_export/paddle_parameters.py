"""Are the parameters whole? Paddle reads them, but takes a last tensor that was cut short for a whole one.

inference.pdiparams is one record after another, as paddle/phi/core/framework/dense_tensor_tostream.cc writes them: a
version, the levels of detail (none here), a version, the size of a description, the description (a `TensorDesc` of
framework.proto), and the numbers themselves. Records stand in the order of the parameters' names.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from toonface_contract.errors import ExportError

# Fields of TensorDesc, with their wire type: `data_type` and `dims`, one number each.
_DATA_TYPE, _DIMS = 0x08, 0x10

# VarType.Type of framework.proto, as far as the networks' parameters are of them.
_DTYPES: Mapping[int, np.dtype[np.generic]] = {
    2: np.dtype(np.int32),
    3: np.dtype(np.int64),
    5: np.dtype(np.float32),
    6: np.dtype(np.float64),
}
# The others, by framework.proto's names: no network of such parameters was ever converted here and held to parity.
_UNREAD: Mapping[int, str] = {
    0: "BOOL",
    1: "INT16",
    4: "FP16",
    20: "UINT8",
    21: "INT8",
    22: "BF16",
    23: "COMPLEX64",
    24: "COMPLEX128",
    32: "FP8_E4M3FN",
    33: "FP8_E5M2",
}


class _OtherType(Exception):
    """Names a type of number that is not read, and where it was found."""


@dataclass(frozen=True)
class _Record:
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]


def check_parameters(path: Path, expected: Mapping[str, tuple[int, ...]]) -> None:
    """Hold a file of parameters against the program that reads it.

    Args:
        path: inference.pdiparams.
        expected: the shape of each parameter of the program, by name.

    Raises:
        ExportError: a record is cut short or damaged, a parameter is missing or one too many, or has another shape than
            in the program, holds a number that is not finite, or is of a type that is not read.
    """
    remedy = "export the model again, or copy the whole folder"
    names = iter(sorted(expected))
    try:
        with path.open("rb") as file:
            for record, values in _records(file, path.stat().st_size):
                name = next(names, None)
                if name is None:
                    raise ExportError(f"{path} holds more than the {len(expected)} parameters of its program; {remedy}")
                if record.shape != expected[name]:
                    raise ExportError(
                        f"{path} is of another program than the one beside it: the parameter {name} has the shape "
                        f"{list(record.shape)} in it, and {list(expected[name])} in the program; {remedy}"
                    )
                if not np.isfinite(values).all():
                    raise ExportError(f"{path} is damaged: the parameter {name} holds numbers that are not finite")
    except _OtherType as error:
        read = ", ".join(str(dtype) for dtype in _DTYPES.values())
        raise ExportError(
            f"{path} holds numbers of the type {error}; read are {read}; export the model in FP32"
        ) from error
    except (struct.error, EOFError, ValueError) as error:
        raise ExportError(f"{path} is damaged or half-written: {error}; {remedy}") from error
    missing = list(names)
    if missing:
        raise ExportError(
            f"{path} ends before the parameter {missing[0]}; {len(missing)} of {len(expected)} are missing; {remedy}"
        )


def _records(file: BinaryIO, size: int) -> Iterator[tuple[_Record, np.ndarray[tuple[int, ...], np.dtype[np.generic]]]]:
    while file.tell() < size:
        start = file.tell()
        _, levels = struct.unpack("<IQ", file.read(12))
        if levels:
            raise ValueError(f"the record at byte {start} has {levels} levels of detail, and parameters have none")
        _, length = struct.unpack("<Ii", file.read(8))
        record = _description(file.read(length) if 0 <= length <= size else b"", start)
        count = math.prod(record.shape)
        if count * record.dtype.itemsize > size - file.tell():
            raise EOFError(f"the record at byte {start} says it is longer than the file")
        yield record, np.frombuffer(file.read(count * record.dtype.itemsize), record.dtype)


def _description(content: bytes, start: int) -> _Record:
    dtype, shape, numbers = None, [], iter(content)
    for tag in numbers:
        value = _varint(numbers)
        if tag == _DATA_TYPE:
            dtype = _DTYPES.get(value)
            if value in _UNREAD:
                raise _OtherType(f"{_UNREAD[value]} (in the record at byte {start})")
        elif tag == _DIMS:
            shape.append(value)
        else:
            raise ValueError(f"the record at byte {start} has a description that is none")
    if dtype is None:
        raise ValueError(f"the record at byte {start} has no known type of number")
    return _Record(dtype, tuple(shape))


def _varint(numbers: Iterator[int]) -> int:
    value = shift = 0
    for byte in numbers:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value
    raise EOFError("a description ends in the middle of a number")
