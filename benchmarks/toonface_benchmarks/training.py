"""How fast the networks train, each in a process of its own, with the environment that `toonface train` gives it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from statistics import median
from typing import Any

import numpy as np

from toonface_contract.errors import TrainingError
from toonface_training.batches import DetectionBatch, FeatureBatch
from toonface_training.fit.devices import parse_devices
from toonface_training.fit.engine import EngineName, Moment, Recipe, make_engine
from toonface_training.fit.initial import initial_state
from toonface_training.networks import DETECTORS, MODELS

IDENTITIES = 1000


@dataclass(frozen=True, slots=True)
class Trial:
    """What to measure: a model, an engine, the side of the pictures, and how many are in a step."""

    model: str
    engine: EngineName
    size: int
    batch: int


@dataclass(frozen=True, slots=True)
class Speed:
    """Of the median step.

    Attributes:
        trial: what was measured.
        tuned: whether with the environment of `toonface train`.
        pictures_per_second: by the clock.
        cpu_seconds_per_picture: of all threads, which what else the machine does changes less.
    """

    trial: Trial
    tuned: bool
    pictures_per_second: float
    cpu_seconds_per_picture: float


TRIALS = (
    *(Trial(name, "paddle", 320, 4) for name in DETECTORS),
    Trial("BlazeFace-FPN-SSH", "torch", 320, 4),
    Trial("MobileFaceNet", "paddle", 112, 16),
    Trial("MobileFaceNet", "torch", 112, 16),
    Trial("ResNet50_face", "paddle", 112, 16),
)


def measure(steps: int, *, plain_too: bool, models: tuple[str, ...] = tuple(MODELS)) -> Iterator[Speed]:
    """The speed of every network; on PyTorch, if it is installed.

    Args:
        steps: to time, after two that are not.
        plain_too: measure in the user's own environment as well.
        models: which.

    Raises:
        TrainingError: a network did not train.
    """
    tuned = dict(parse_devices("cpu").environment())
    for trial in TRIALS:
        if trial.model not in models or (trial.engine == "torch" and find_spec("torch") is None):
            continue
        for environment in (tuned, dict(os.environ)) if plain_too else (tuned,):
            command = [sys.executable, "-m", "toonface_benchmarks.training", json.dumps(asdict(trial)), str(steps)]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
            if done.returncode:
                raise TrainingError(f"{trial.model} on {trial.engine} did not train:\n{done.stderr[-2000:]}")
            seconds, cpu_seconds = json.loads(done.stdout.splitlines()[-1])
            yield Speed(trial, environment is tuned, trial.batch / seconds, cpu_seconds / trial.batch)


def _batch(trial: Trial) -> DetectionBatch | FeatureBatch:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (trial.batch, trial.size, trial.size, 3), dtype=np.uint8)
    if trial.model not in DETECTORS:
        return FeatureBatch(images, rng.integers(0, IDENTITIES, trial.batch))
    corners = rng.uniform(0, trial.size / 2, (trial.batch, 3, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(20, trial.size / 2, (trial.batch, 3, 1))], axis=2)
    return DetectionBatch(images, list(boxes.astype(np.float32)), [np.zeros(3, np.int64)] * trial.batch)


def _main(trial: Trial, steps: int) -> None:
    """Print the median step's seconds, by the clock and of the processors."""
    num_classes = 1 if trial.model in DETECTORS else IDENTITIES
    engine = make_engine(trial.engine, Recipe(trial.model, num_classes))
    engine.load(initial_state(trial.model, num_classes, 0, None)[0])
    batch, times = _batch(trial), []
    for step in range(steps + 2):
        clock, cpu = time.perf_counter(), time.process_time()
        engine.learn(batch, Moment(step, 0, 1e-4, 0.3))
        times.append((time.perf_counter() - clock, time.process_time() - cpu))
    print(json.dumps([median(column) for column in zip(*times[2:], strict=True)]))


if __name__ == "__main__":
    _content: dict[str, Any] = json.loads(sys.argv[1])
    _main(Trial(**_content), int(sys.argv[2]))
