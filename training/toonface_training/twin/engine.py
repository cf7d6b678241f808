"""Training on PyTorch, for the networks that have a twin here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from toonface_contract.errors import ConfigError
from toonface_training.batches import DetectionBatch, FeatureBatch, Pixels
from toonface_training.fit.engine import EngineState, Moment, Recipe
from toonface_training.networks import Detector, Normalisation, model
from toonface_training.twin.arcface import ArcFace
from toonface_training.twin.carry import NETWORKS, from_paddle, to_paddle
from toonface_training.twin.detector_loss import detector_losses


class TorchEngine:
    """See `Engine`.

    It computes in channels-last layout, which PyTorch does fastest on CPUs, and on as many threads as
    `torch.set_num_threads` says.
    """

    def __init__(self, recipe: Recipe) -> None:
        """An engine without a state.

        Args:
            recipe: of the training; `device` must be `cpu`. To be compiled needs a C++ compiler, and takes a minute for
                each size of picture.
        """
        if recipe.model not in NETWORKS:
            raise ConfigError(
                f"Train.engine is torch, which knows {', '.join(NETWORKS)}; {recipe.model} is trained by paddle"
            )
        if recipe.device != "cpu":
            raise ConfigError(f"Global.device is {recipe.device!r}, but Train.engine torch trains on a cpu")
        spec = model(recipe.model)
        self._recipe, self._normalisation = recipe, spec.normalisation
        network = NETWORKS[recipe.model]()
        self._learner: nn.Module = (
            network
            if isinstance(spec, Detector)
            else ArcFace(network, spec.dimension, recipe.num_classes, recipe.scale)
        )
        self._learner.to(memory_format=torch.channels_last)
        self._forward: Callable[[torch.Tensor], Any] = (
            torch.compile(network, dynamic=False) if recipe.compiled else network
        )
        self._optimizer = _optimizer(recipe, self._learner)
        self._average: dict[str, torch.Tensor] = {}

    def load(self, state: EngineState) -> None:
        """See `Engine`."""
        self._learner.load_state_dict(from_paddle(self._learner, state.parameters), strict=False)
        if self._recipe.ema_decay is not None:
            self._average = from_paddle(self._learner, state.average or state.parameters)
        for name, parameter in self._learner.named_parameters():
            slots = {
                key.removeprefix(f"{name}/"): torch.from_numpy(np.array(value))
                for key, value in state.optimizer.items()
                if key.startswith(f"{name}/")
            }
            if slots:
                self._optimizer.state[parameter] = {
                    # As the parameter lies in memory, so that going on is the same arithmetic as not stopping.
                    slot: value.to(memory_format=torch.channels_last) if value.ndim == 4 else value
                    for slot, value in slots.items()
                }

    def state(self) -> EngineState:
        """See `Engine`."""
        optimizer = {
            f"{name}/{slot}": value.detach().numpy().copy()
            for name, parameter in self._learner.named_parameters()
            for slot, value in self._optimizer.state[parameter].items()
            if value is not None
        }
        average = to_paddle(self._learner, self._average) if self._average else None
        return EngineState(to_paddle(self._learner), average, optimizer)

    def learn(self, batch: DetectionBatch | FeatureBatch, moment: Moment) -> Mapping[str, float]:
        """See `Engine`."""
        self._learner.train()
        for group in self._optimizer.param_groups:
            group["lr"] = moment.learning_rate
        losses = self._losses(batch, moment)
        self._optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
        if self._recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self._learner.parameters(), self._recipe.clip_norm)
        self._optimizer.step()
        self._update_average(moment.step)
        return {name: float(value.detach()) for name, value in losses.items()}

    @torch.no_grad()
    def embed(self, images: Pixels) -> NDArray[np.float32]:
        """See `Engine`."""
        if not isinstance(self._learner, ArcFace):
            raise ConfigError(f"{self._recipe.model} is a detector, and has no embeddings")
        self._learner.eval()
        return np.asarray(self._learner.backbone(_normalised(images, self._normalisation)).numpy(), np.float32)

    def _losses(self, batch: DetectionBatch | FeatureBatch, moment: Moment) -> dict[str, torch.Tensor]:
        pictures = _normalised(batch.images, self._normalisation)
        with torch.autocast("cpu", torch.bfloat16, enabled=self._recipe.amp == "O1"):
            answers = self._forward(pictures)
        if isinstance(batch, DetectionBatch):
            offsets, logits = answers
            faces = [torch.from_numpy(np.asarray(boxes, np.float32).reshape(-1, 4)) for boxes in batch.boxes]
            return detector_losses(offsets.float(), logits.float(), faces, *batch.images.shape[1:3])
        if not isinstance(self._learner, ArcFace):
            raise ConfigError(f"{self._recipe.model} is a detector, and learns from scenes, not from faces")
        return self._learner.losses(answers.float(), torch.from_numpy(batch.labels), moment.margin)

    @torch.no_grad()
    def _update_average(self, step: int) -> None:
        """As `toonface_training.fit.average.Average` does."""
        if self._recipe.ema_decay is None:
            return
        decay = min(self._recipe.ema_decay, (1 + step) / (10 + step))
        state = self._learner.state_dict()
        names = list(self._average)
        torch._foreach_lerp_([self._average[name] for name in names], [state[name] for name in names], 1 - decay)


def _normalised(images: Any, normalisation: Normalisation) -> torch.Tensor:
    """UINT8 [B,H,W,3] to FP32 [B,3,H,W], stored with channels last."""
    std = torch.tensor(normalisation.std)
    factor, offset = normalisation.scale / std, torch.tensor(normalisation.mean) / std
    return (torch.from_numpy(images).float() * factor - offset).permute(0, 3, 1, 2)


def _optimizer(recipe: Recipe, learner: nn.Module) -> torch.optim.Optimizer:
    parameters = list(learner.parameters())
    if recipe.optimizer == "momentum":
        return torch.optim.SGD(parameters, 1.0, momentum=0.9, weight_decay=recipe.weight_decay)
    if recipe.optimizer == "rmsprop":
        return torch.optim.RMSprop(parameters, 1.0, alpha=0.95, weight_decay=recipe.weight_decay)
    groups = [
        {"params": [each for each in parameters if each.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [each for each in parameters if each.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, 1.0)
