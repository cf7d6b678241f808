"""System shared memory for pictures, for a client and a server on one machine.

A picture then crosses by one copy into memory that both sides map, rather than through a gRPC message. Measured against
a stage that does nothing, on 2 cores: 300 kB 2.4 -> 1.5 ms, 1 MB 5.2 -> 2.4 ms, 5 MB 34 -> 9 ms, 20 MB 126 -> 27 ms;
nothing below 100 kB. So it is worth it for arrays and large files, and makes no difference next to the inference for
ordinary JPEGs. In containers both sides must share /dev/shm.
"""

from __future__ import annotations

import os
import shutil
import struct
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tritonclient.grpc import InferInput
from tritonclient.utils import shared_memory

from toonface_contract.errors import Unavailable

# Smallest region, in bytes. Sizes are powers of two, so that regions fit the next picture too.
_MIN_SIZE = 1 << 20
_DEVICE = Path("/dev/shm")  # noqa: S108  (where Linux keeps shared memory, not a temporary file)


@dataclass(slots=True)
class Region:
    """A named piece of shared memory, lent to one call at a time.

    Attributes:
        name: the server's name for it, and the system's with a slash before it.
        size: in bytes.
        registered: whether the server knows it.
        used: bytes of the tensor that is in it.
    """

    name: str
    size: int
    handle: Any
    registered: bool = False
    used: int = 0

    @property
    def key(self) -> str:
        """The system's name for it."""
        return f"/{self.name}"

    def write(self, image: bytes) -> None:
        """Puts a BYTES tensor [1] in its serialised form here: the length as a little-endian uint32, then the bytes."""
        length = np.frombuffer(struct.pack("<I", len(image)), np.uint8)
        shared_memory.set_shared_memory_region(self.handle, [length, np.frombuffer(image, np.uint8)])
        self.used = len(length) + len(image)

    def tensor(self) -> InferInput:
        """The input `image`, which is what was written."""
        tensor = InferInput("image", [1], "BYTES")
        tensor.set_shared_memory(self.name, self.used)
        return tensor


class Regions:
    """The regions of one client; as many as it has calls at once. Safe to use from several threads.

    It makes and frees the memory; telling the server about it is the client's part.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[Region] = []
        self._forgotten: list[str] = []

    def take(self, image: bytes) -> Region:
        """A region that holds the picture and belongs to the caller until `give_back` or `discard`.

        Raises:
            Unavailable: the system has no shared memory left.
        """
        needed = len(image) + 4
        with self._lock:
            fitting = [region for region in self._idle if region.size >= needed]
            region = min(fitting, key=lambda region: region.size, default=None)
            if region is not None:
                self._idle.remove(region)
            else:
                # A larger region replaces a smaller one, so there are never more than calls at once.
                if self._idle:
                    self._free(self._idle.pop())
                region = _create(max(_MIN_SIZE, 1 << (needed - 1).bit_length()))
        region.write(image)
        return region

    def give_back(self, region: Region) -> None:
        """Keeps a region for the next picture. Only after the server has answered: it may read until then."""
        with self._lock:
            self._idle.append(region)

    def discard(self, region: Region | None = None) -> list[str]:
        """Frees a region after a failed call, and the idle ones too: a restarted server knows none of them.

        Returns:
            Names that the server shall forget, those included that it could not forget before.
        """
        with self._lock:
            for each in [*self._idle, *([region] if region else [])]:
                self._free(each)
            self._idle.clear()
            names, self._forgotten = self._forgotten, []
            return names

    @property
    def in_use(self) -> bool:
        """Whether there are names that the server could not forget yet."""
        with self._lock:
            return bool(self._forgotten)

    def still_in_use(self, name: str) -> None:
        """Notes a name that the server could not forget yet: a call that the client has given up goes on there."""
        with self._lock:
            self._forgotten.append(name)

    def _free(self, region: Region) -> None:
        shared_memory.destroy_shared_memory_region(region.handle)
        if region.registered:
            self._forgotten.append(region.name)


def _create(size: int) -> Region:
    # The system hands out pages that it does not have, and kills the process that writes to them.
    if _DEVICE.exists() and shutil.disk_usage(_DEVICE).free < size:
        raise Unavailable(f"{_DEVICE} has no room for {size} bytes of shared memory; a container's --shm-size sets it")
    name = f"toonface-client-{os.getpid()}-{uuid.uuid4().hex}"
    try:
        handle = shared_memory.create_shared_memory_region(name, f"/{name}", size, create_only=True)
    except shared_memory.SharedMemoryException as error:
        raise Unavailable(f"cannot make {size} bytes of shared memory: {error.__cause__ or error}") from error
    return Region(name, size, handle)
