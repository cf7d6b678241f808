"""What failed for galleries, and when it is to be tried again."""

from __future__ import annotations

import time
from collections.abc import Set
from dataclasses import dataclass
from typing import Final

from toonface_contract.errors import Unavailable

# After a failure, before the next try; twice as long after each further one, up to the second number, unless the store
# could not be reached: a build that cannot succeed, for want of memory say, would keep a core busy otherwise.
_RETRY_SECONDS: Final = 5.0
_RETRY_SECONDS_MOST: Final = 300.0


@dataclass(frozen=True, slots=True)
class _Failure:
    reason: str  # not the error, whose traceback would keep in memory what was being worked on
    wait: float  # seconds
    next_try: float  # of time.monotonic()


class Retries:
    """The last failure of each gallery, by its id, until it succeeds."""

    def __init__(self) -> None:
        """Know of no failure."""
        self._failures: dict[int, _Failure] = {}

    def failed(self, gallery_id: int, error: Exception) -> bool:
        """Note a failure, and tell whether it is the first since the last success."""
        before = self._failures.get(gallery_id)
        wait = _RETRY_SECONDS
        if before is not None and not isinstance(error, Unavailable):
            wait = min(2 * before.wait, _RETRY_SECONDS_MOST)
        self._failures[gallery_id] = _Failure(reason_of(error), wait, time.monotonic() + wait)
        return before is None

    def succeeded(self, gallery_id: int) -> bool:
        """Forget the failures of a gallery, and tell whether there were any."""
        return self._failures.pop(gallery_id, None) is not None

    def waits(self, gallery_id: int) -> bool:
        """Whether a gallery failed a moment ago, and is not to be tried yet."""
        failure = self._failures.get(gallery_id)
        return failure is not None and time.monotonic() < failure.next_try

    def reason(self, gallery_id: int) -> str | None:
        """Why a gallery failed, if it has not succeeded since."""
        failure = self._failures.get(gallery_id)
        return None if failure is None else failure.reason

    def forget_all_but(self, galleries: Set[int]) -> None:
        """Forget galleries that are gone."""
        for gallery_id in self._failures.keys() - galleries:
            self._failures.pop(gallery_id, None)


def reason_of(error: Exception) -> str:
    """What an error says, or its kind where it says nothing, as Python's MemoryError does."""
    return str(error) or type(error).__name__
