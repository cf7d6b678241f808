"""An embedder's head that begins where its identities are.

A head of random directions tells a trained network at first to be another one, and much of what it knew is lost before
the head has been learned. Imprinted (Qi, Brown and Lowe, "Low-Shot Learning with Imprinted Weights", 2018), it begins
with the mean embedding of each identity.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from toonface_contract.errors import TrainingError
from toonface_training.batches import Batches, FeatureBatch
from toonface_training.fit.engine import Engine, EngineState
from toonface_training.fit.loader import load
from toonface_training.networks.parameters import HEAD_WEIGHT

# Only the direction of a column counts, but a step of AdamW turns a short one further. With the length of random
# columns, 0.1 for 20,000 identities, the means would be lost within some ten steps.
_LENGTH = 4.0


def imprinted(state: EngineState, engine: Engine, batches: Batches[FeatureBatch], workers: int | None) -> EngineState:
    """The state with a head of mean embeddings.

    Args:
        state: an embedder's before its first step, which the engine has loaded.
        engine: that embeds.
        batches: of all pictures; the first epoch of them is looked at.
        workers: processes that prepare them; see `load`.

    Returns:
        The state; its head's columns are 4 long, but those of identities without a picture stay.

    Raises:
        TrainingError: a process that prepares batches died.
    """
    head = state.parameters[HEAD_WEIGHT]
    sums = np.zeros(head.shape[::-1], np.float32)
    for batch in load(batches, 0, len(batches), workers):
        if not isinstance(batch, FeatureBatch):
            raise TrainingError("only an embedder has a head to imprint")
        embeddings = engine.embed(batch.images)
        np.add.at(sums, batch.labels, embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True))
    lengths = np.linalg.norm(sums, axis=1)
    means = sums.T / np.where(lengths, lengths, 1) * _LENGTH
    begun = np.where(lengths, means, head).astype(np.float32)
    return replace(state, parameters={**state.parameters, HEAD_WEIGHT: begun})
