"""What changes in the course of a run: the learning rate, and ArcFace's margin. Functions of the step alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from toonface_training.fit.engine import Moment
from toonface_training.fit.settings import DetectionTrain, FeatureTrain

# PaddleX's BlazeFaces are trained for 1000 epochs, with a tenth of the learning rate after 333 and after 800 each.
_MILESTONES = (0.333, 0.8)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A run's course.

    Attributes:
        steps_per_epoch: batches.
        epochs: of the run.
        learning_rate: the highest.
        warmup: steps in which the learning rate grows to it.
        shape: how it falls afterwards.
        margin: ArcFace's, in the end.
        ramp: share of the run in which the margin grows to it.
    """

    steps_per_epoch: int
    epochs: int
    learning_rate: float
    warmup: int = 0
    shape: Literal["cosine", "steps"] = "cosine"
    margin: float = 0.0
    ramp: float = 0.0

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.steps_per_epoch * self.epochs

    def moment(self, step: int) -> Moment:
        """What holds at a step, counted from 0."""
        share = step / self.steps
        margin = self.margin * min(1.0, share / self.ramp) if self.ramp else self.margin
        return Moment(step, step // self.steps_per_epoch, self._rate(step), margin)

    def _rate(self, step: int) -> float:
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        if self.shape == "steps":
            return self.learning_rate * 0.1 ** sum(step / self.steps >= milestone for milestone in _MILESTONES)
        share = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * share))


def make_schedule(train: DetectionTrain | FeatureTrain, steps_per_epoch: int) -> Schedule:
    """The schedule that the settings ask for."""
    common = (steps_per_epoch, train.epochs_iters, train.learning_rate)
    if isinstance(train, FeatureTrain):
        warmup = train.warmup_steps * steps_per_epoch
        return Schedule(*common, warmup, train.schedule, train.arcmargin_m, train.arcmargin_ramp)
    return Schedule(*common, train.warmup_steps, train.schedule)
