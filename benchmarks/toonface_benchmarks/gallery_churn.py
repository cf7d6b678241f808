"""A caller who adds faces to a gallery and removes them again, at a steady rate, while others search it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque

import numpy as np
from numpy.typing import NDArray

from toonface_client import AsyncToonfaceClient
from toonface_contract.admin import NewFace
from toonface_contract.errors import ToonfaceError

# The gallery has about so many of them at a time: its size stays the same, and so should the memory of its index.
_MOST_GUESTS = 50


class GalleryChurn:
    """Adds faces that look like nobody, and removes the oldest, over a server's administration.

    Attributes:
        written: changes that the server acknowledged.
        failed: changes that failed, by the code of their error.
    """

    def __init__(self, client: AsyncToonfaceClient, gallery: str) -> None:
        self.written = 0
        self.failed: Counter[str] = Counter()
        self._client = client
        self._gallery = gallery
        self._guests: deque[int] = deque()

    async def write(self, rate: float) -> None:
        """Make `rate` changes a second until the task is cancelled."""
        dimension = (await self._client.gallery_list()).dimension
        lots = np.random.default_rng(0)
        begin = time.perf_counter()
        number = 0
        while True:
            await asyncio.sleep(begin + number / rate - time.perf_counter())
            number += 1
            try:
                await self._change(lots.standard_normal((1, dimension)), number)
                self.written += 1
            except ToonfaceError as error:
                self.failed[error.code] += 1

    async def _change(self, embedding: NDArray[np.float64], number: int) -> None:
        if len(self._guests) >= _MOST_GUESTS:
            await self._client.remove_faces(self._gallery, ids=[self._guests[0]])
            self._guests.popleft()
            return
        unit = (embedding / np.linalg.norm(embedding)).astype(np.float32)
        change = await self._client.add_faces(self._gallery, [NewFace(label=f"guest {number}")], unit)
        self._guests += change.ids
