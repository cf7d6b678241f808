"""When a failed call is tried again, and how long to wait before."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from toonface_client.failures import Failure, Retry
from toonface_contract.errors import ConfigError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with full jitter.

    A read (recognition, features, lists) is tried again when the server is unreachable, overloaded, or repairs a stage.
    A write is tried again only when it surely reached no stage: the connection was refused, the queue was full, the
    model was not loaded. Anything else could have been committed before the answer was lost, and would be done twice.

    The defaults bridge about three seconds, in which `toonface serve` repairs a dead stage.

    Attributes:
        attempts: tries in all; 1 never tries again.
        first_pause: longest pause before the second try, in seconds; it doubles with each try.
        longest_pause: bound of the pauses, in seconds.
    """

    attempts: int = 6
    first_pause: float = 0.1
    longest_pause: float = 2.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.first_pause < 0 or self.longest_pause < 0:
            raise ConfigError(f"{self} is no retry policy: attempts is at least 1, and pauses are not negative")

    def pause(self, tries: int, jitter: float) -> float:
        """Seconds to wait after so many tries.

        Args:
            tries: tries so far, at least 1.
            jitter: share of the longest pause to take, 0 to 1. Full jitter, that is a uniformly random share, keeps the
                clients of an overloaded server from coming back all at once
                (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
        """
        return jitter * float(min(self.longest_pause, self.first_pause * 2 ** (tries - 1)))


class Attempts:
    """Book-keeping of the tries of one call within its deadline.

    Args:
        policy: how often and with which pauses.
        timeout: seconds for the whole call, the pauses included.
        writes: whether the call changes something.
        clock: seconds from any fixed moment on.
        jitter: random numbers from 0 to 1.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        timeout: float,
        *,
        writes: bool = False,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._policy = policy
        self._deadline = clock() + timeout
        self._writes = writes
        self._clock = clock
        self._jitter = jitter
        self._tries = 0

    def remaining(self) -> float:
        """Seconds until the deadline; what one try may take."""
        return self._deadline - self._clock()

    def pause_after(self, failure: Failure) -> float | None:
        """Seconds to wait before the next try, or None when there shall be none.

        There is none after a failure that would come again or might have changed something, after the last attempt, and
        when the pause would outlast the deadline: the caller then learns what went wrong, rather than only that time
        ran out.
        """
        self._tries += 1
        safe = failure.retry is Retry.ALWAYS or (failure.retry is Retry.READS and not self._writes)
        if not safe or self._tries >= self._policy.attempts:
            return None
        pause = self._policy.pause(self._tries, self._jitter())
        return pause if pause < self.remaining() else None
