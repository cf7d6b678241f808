"""Engines that take turns, and how fast each was beside Paddle's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from toonface_benchmarks.engines import Engine, EngineSpec, Turn

BATCHES = (1, 4, 8)


@dataclass(frozen=True)
class Speed:
    """How fast an engine was, in medians over the rounds.

    Attributes:
        milliseconds: of one call, by batch.
        ratio: to Paddle's time for the same batch in the same round, by batch; above 1 is faster than Paddle.
        ratio_range: the smallest and the largest of the rounds.
        cpu_milliseconds: processor time of a row in the largest batch, all threads together.
        cpu_ratio: of Paddle's processor time to it.
        cpu_ratio_range: the smallest and the largest of the rounds.
    """

    milliseconds: Mapping[int, float]
    ratio: Mapping[int, float]
    ratio_range: Mapping[int, tuple[float, float]]
    cpu_milliseconds: float
    cpu_ratio: float
    cpu_ratio_range: tuple[float, float]

    @property
    def throughput(self) -> float:
        """Pictures or faces a second at the best of the batches."""
        return max(1000 * batch / taken for batch, taken in self.milliseconds.items())


def take_turns(specs: Sequence[EngineSpec], rounds: int, seconds: float, tell: Callable[[str], None]) -> list[Speed]:
    """Measure engines side by side; Paddle's is the first of them.

    Args:
        specs: of the engines.
        rounds: in each, all engines take their turns at every batch.
        seconds: of each turn.
        tell: is told of each round.
    """
    turns: list[dict[int, list[Turn]]] = [{batch: [] for batch in BATCHES} for _ in specs]
    with ExitStack() as running:
        engines = [running.enter_context(Engine(spec)) for spec in specs]
        for number in range(rounds):
            tell(f"round {number + 1} of {rounds}")
            for batch in BATCHES:
                for engine, taken in zip(engines, turns, strict=True):
                    taken[batch].append(engine.turn(batch, seconds))
    return [speed_of(taken, turns[0]) for taken in turns]


def speed_of(turns: Mapping[int, Sequence[Turn]], paddle: Mapping[int, Sequence[Turn]]) -> Speed:
    """The medians over the rounds, of turns by batch, beside Paddle's turns in the same rounds."""
    seconds = {batch: np.array([turn.seconds for turn in turns[batch]]) for batch in turns}
    ratios = {batch: np.array([turn.seconds for turn in paddle[batch]]) / seconds[batch] for batch in turns}
    largest = max(turns)
    cpu = np.array([turn.cpu_seconds for turn in turns[largest]])
    cpu_ratios = np.array([turn.cpu_seconds for turn in paddle[largest]]) / cpu
    return Speed(
        milliseconds={batch: 1000 * float(np.median(taken)) for batch, taken in seconds.items()},
        ratio={batch: float(np.median(ratio)) for batch, ratio in ratios.items()},
        ratio_range={batch: (float(ratio.min()), float(ratio.max())) for batch, ratio in ratios.items()},
        cpu_milliseconds=1000 * float(np.median(cpu)),
        cpu_ratio=float(np.median(cpu_ratios)),
        cpu_ratio_range=(float(cpu_ratios.min()), float(cpu_ratios.max())),
    )
