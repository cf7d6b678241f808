"""Many calls at once, with a bound, and results in the order of the inputs."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from toonface_contract.errors import InvalidRequest

Item = TypeVar("Item")
Result = TypeVar("Result")

# Inputs taken ahead of the oldest unfinished one, for each call at once: a slow picture does not leave the others idle,
# and a folder of thousands is not read into memory.
_AHEAD = 2


def check_concurrency(concurrency: int) -> None:
    """Refuses less than one call at once.

    Raises:
        InvalidRequest: it is less than 1.
    """
    if concurrency < 1:
        raise InvalidRequest(f"concurrency is {concurrency}; it must be at least 1")


def in_order(function: Callable[[Item], Result], items: Iterable[Item], concurrency: int) -> Iterator[Result]:
    """Applies a function to many items in threads, `concurrency` at once; yields the results in the items' order."""
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(concurrency, thread_name_prefix="toonface") as pool:
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) >= concurrency * _AHEAD:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            # The consumer may have left early: what runs comes to its end, what waits never starts.
            for future in pending:
                future.cancel()


async def in_order_async(
    function: Callable[[Item], Awaitable[Result]], items: Iterable[Item], concurrency: int
) -> AsyncIterator[Result]:
    """`in_order` for coroutine functions, in tasks."""
    free = asyncio.Semaphore(concurrency)

    async def bounded(item: Item) -> Result:
        async with free:
            return await function(item)

    pending: deque[asyncio.Task[Result]] = deque()
    try:
        for item in items:
            pending.append(asyncio.create_task(bounded(item)))
            if len(pending) >= concurrency * _AHEAD:
                yield await pending.popleft()
        while pending:
            yield await pending.popleft()
    finally:
        for task in pending:
            task.cancel()
