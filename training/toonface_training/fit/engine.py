"""The seam between a run and what computes it: Paddle, or the same networks in another framework."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from toonface_contract.errors import ConfigError
from toonface_training.batches import DetectionBatch, FeatureBatch, Pixels
from toonface_training.networks.parameters import Parameters

EngineName = Literal["paddle", "torch"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What an engine needs to know once.

    Attributes:
        model: PaddleX's name.
        num_classes: of the detector's faces, or identities in training.
        device: `cpu`, or `gpu:<number>`.
        optimizer: `momentum` (0.9), `rmsprop` (decay 0.95) or `adamw` (betas 0.9, 0.999).
        weight_decay: for `adamw` decoupled, else added to the gradient; biases, norms and other parameters of one
            dimension are left out of `adamw`'s.
        clip_norm: largest norm of all gradients together; None lets them be.
        ema_decay: of the moving average of the parameters, which is then what is evaluated and exported; at step n the
            decay is no more than (1 + n) / (10 + n). None for no average.
        amp: mixed precision: `off`, or `O1`: operators that allow it.
        scale: ArcFace's s.
        compiled: fuse operations with `torch.compile`, for the engine `torch` alone.
    """

    model: str
    num_classes: int
    device: str = "cpu"
    optimizer: Literal["momentum", "rmsprop", "adamw"] = "adamw"
    weight_decay: float = 0.0
    clip_norm: float | None = None
    ema_decay: float | None = None
    amp: Literal["off", "O1"] = "off"
    scale: float = 64.0
    compiled: bool = False


@dataclass(frozen=True, slots=True)
class Moment:
    """Where in the run a step is.

    Attributes:
        step: from 0, over all epochs.
        epoch: from 0.
        learning_rate: of this step.
        margin: ArcFace's m at this step, in radians.
    """

    step: int
    epoch: int
    learning_rate: float
    margin: float = 0.0


@dataclass(frozen=True, eq=False)
class EngineState:
    """All that an engine knows: with this and the batches to come, the rest of a run is determined.

    Attributes:
        parameters: by Paddle's names, in Paddle's layout. An embedder's begin with `backbone.`; `head.weight`, FP32
            [D, num_classes], holds a column for each identity.
        average: the moving average of `parameters`, where one is kept.
        optimizer: arrays by names of the engine's own; empty before the first step.
    """

    parameters: Parameters
    average: Parameters | None = None
    optimizer: Mapping[str, Any] = field(default_factory=dict)

    @property
    def best(self) -> Parameters:
        """What to evaluate and export: the average where there is one."""
        return self.average or self.parameters


class Engine(Protocol):
    """Learns. The same engine, with the same recipe, state and batches, ends in the same state.

    Engines differ in how they get there: in the order of sums, and `torch` in the detector's loss, which is its own
    (see `toonface_training.twin.detector_loss`). What they have in common is the network: with the parameters of one,
    that of the other answers alike.
    """

    def load(self, state: EngineState) -> None:
        """Take over a state, such as the initial one, or one that `state` gave."""

    def state(self) -> EngineState:
        """The present state, as copies."""

    def learn(self, batch: DetectionBatch | FeatureBatch, moment: Moment) -> Mapping[str, float]:
        """One step of optimisation.

        Returns:
            `loss`, and its parts by name where there are several. They are of this step's batch, before the step. An
            embedder adds `accuracy`: how many faces are nearest to their own identity, the margin left out.
        """

    def embed(self, images: Pixels) -> NDArray[np.float32]:
        """Embeddings FP32 [B,D] of pictures of faces UINT8 [B,S,S,3], as an embedder gives them once it is trained."""


def make_engine(name: EngineName, recipe: Recipe) -> Engine:
    """The engine of that name, without a state.

    Raises:
        ConfigError: it is not installed, or cannot do what the recipe asks for.
    """
    if name == "paddle":
        from toonface_training.fit.paddle_engine import PaddleEngine

        return PaddleEngine(recipe)
    try:
        from toonface_training.twin.engine import TorchEngine
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ConfigError("Train.engine is torch, which is not installed; pip install 'toonface[torch]'") from error
    return TorchEngine(recipe)
