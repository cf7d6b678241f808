"""Which samples an epoch's batches are of, and the random numbers of each sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toonface_contract.errors import ConfigError

# Keeps the numbers that shuffle apart from those that change pictures and choose sizes.
_SHUFFLE, _SAMPLE, _BATCH = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Share:
    """Which of several processes that train together this one is; each learns from its own part of every batch."""

    rank: int = 0
    of: int = 1


ALONE = Share()


@dataclass(frozen=True, slots=True)
class Order:
    """Shuffles a dataset anew for each epoch. What does not fill a whole batch is left to the next epoch.

    Attributes:
        samples: how many there are.
        batch_size: samples in a batch of one process.
        seed: of everything random.
        share: of the batches.

    Raises:
        ConfigError: there are too few samples for one batch.
    """

    samples: int
    batch_size: int
    seed: int
    share: Share = ALONE

    def __post_init__(self) -> None:
        if not len(self):
            raise ConfigError(
                f"Train.batch_size is {self.batch_size}"
                + (f" in each of {self.share.of} processes" if self.share.of > 1 else "")
                + f", but there are only {self.samples} samples to train on"
            )

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self.samples // (self.batch_size * self.share.of)

    def positions(self, epoch: int, number: int) -> NDArray[np.intp]:
        """INT [batch_size]: the samples of this process's part of a batch."""
        order = np.random.default_rng((self.seed, _SHUFFLE, epoch)).permutation(self.samples)
        first = (number * self.share.of + self.share.rank) * self.batch_size
        return order[first : first + self.batch_size]

    def sample_rng(self, epoch: int, sample: int) -> np.random.Generator:
        """What is random about a sample in an epoch; a sample occurs once in each."""
        return np.random.default_rng((self.seed, _SAMPLE, epoch, sample))

    def batch_rng(self, epoch: int, number: int) -> np.random.Generator:
        """What is random about a batch as a whole, the same in all processes."""
        return np.random.default_rng((self.seed, _BATCH, epoch, number))
