"""Several requests in one run of a model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]
Run = Callable[[Arrays], Arrays]


def run_together(batches: Sequence[Arrays], run: Run) -> list[Arrays | Exception]:
    """Run batches of any number of rows as one, and part the outputs again.

    Only batches whose rows have the same shape go together. When a run of several fails, each is run alone, so that a
    bad one fails by itself.

    Args:
        batches: each maps input names to arrays [n, ...], n being the same for all inputs of a batch.
        run: maps such inputs to outputs [n, ...].

    Returns:
        The outputs of each batch, or the exception that it raised.
    """
    groups: defaultdict[tuple[Any, ...], list[int]] = defaultdict(list)
    for position, batch in enumerate(batches):
        groups[tuple(array.shape[1:] for array in batch.values())].append(position)
    answers: dict[int, Arrays | Exception] = {}
    for positions in groups.values():
        group = [batches[position] for position in positions]
        if len(group) == 1:
            answers[positions[0]] = run_alone(group[0], run)
            continue
        try:
            outputs = run({name: np.concatenate([batch[name] for batch in group]) for name in group[0]})
        except Exception:
            answers.update({position: run_alone(batches[position], run) for position in positions})
            continue
        ends = np.cumsum([len(next(iter(batch.values()))) for batch in group])
        parts = {name: np.split(array, ends[:-1]) for name, array in outputs.items()}
        for number, position in enumerate(positions):
            answers[position] = {name: arrays[number] for name, arrays in parts.items()}
    return [answers[position] for position in range(len(batches))]


def run_alone(batch: Arrays, run: Run) -> Arrays | Exception:
    """The outputs of one batch, or the exception that it raised."""
    try:
        return run(batch)
    except Exception as error:
        return error
