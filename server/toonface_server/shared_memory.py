"""How much shared memory do the Python stages need, and is it there."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from tritonclient.grpc import model_config_pb2
from tritonclient.utils import triton_to_np_dtype

from toonface_contract.errors import ServerError
from toonface_contract.names import MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS
from toonface_server.repository import Repository
from toonface_server.runtime import SHARED_MEMORY

# Region that the Python backend makes for each instance at its start (its `shm-default-byte-size`).
_REGION_BYTES = 1024 * 1024
_PICTURE_BYTES = 3 * MAX_IMAGE_PIXELS


def shared_memory_need(repository: Repository, stub_backends: set[str]) -> tuple[int, int]:
    """Bytes of shared memory that the largest pictures need: for one at a time, and with every instance busy.

    Each instance of a Python stage keeps its requests' tensors in a region of /dev/shm, which grows and never shrinks.

    Args:
        repository: the models.
        stub_backends: backends whose models run in a Python process.
    """
    single = every = 0
    for config in repository.configs.values():
        if config.backend not in stub_backends:
            continue
        instances = sum(max(group.count, 1) for group in config.instance_group) or 1
        tensors = sum(_tensor_bytes(config, tensor) for tensor in [*config.input, *config.output])
        single += instances * _REGION_BYTES + tensors
        every += instances * (_REGION_BYTES + tensors)
    return single, every


def _tensor_bytes(config: Any, tensor: Any) -> int:
    kind = model_config_pb2.DataType.Name(tensor.data_type).removeprefix("TYPE_")
    if kind == "STRING":
        return MAX_IMAGE_BYTES if tensor.name == "image" else 0
    element = np.dtype(triton_to_np_dtype(kind)).itemsize
    # A picture is the only tensor of which more than one dimension is open; others are small.
    if list(tensor.dims).count(-1) > 1:
        return _PICTURE_BYTES * element
    return int(math.prod(abs(size) for size in tensor.dims) * max(config.max_batch_size, 1) * element)


def check_shared_memory(need: tuple[int, int], folder: Path = SHARED_MEMORY) -> str:
    """Refuse too little shared memory: the stage that writes past its end is killed by the kernel.

    Args:
        need: bytes for one request at a time, and for every instance at once.
        folder: where shared memory is mounted.

    Returns:
        A warning when there is enough for one large picture at a time but not for several; else an empty string.

    Raises:
        ServerError: there is too little for even one.
    """
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise ServerError(f"shared memory at {folder} cannot be used: {error.strerror}") from error
    single, every = need
    remedy = (
        f"give the container docker run --shm-size={_mebibytes(every)}m, or in Kubernetes an emptyDir of medium Memory "
        f"at {folder}"
    )
    found = f"{folder} has {_mebibytes(free, up=False)} MiB free"
    if free < single:
        raise ServerError(
            f"{found}; stages pass pictures through it, and one of {MAX_IMAGE_PIXELS // 10**6} million pixels needs "
            f"{_mebibytes(single)} MiB. Docker gives 64 MiB by default: {remedy}"
        )
    if free < every:
        return f"{found}; {_mebibytes(every)} MiB are needed when every instance has a picture of the largest: {remedy}"
    return ""


def _mebibytes(count: int, up: bool = True) -> int:
    return (math.ceil if up else math.floor)(count / 2**20)
