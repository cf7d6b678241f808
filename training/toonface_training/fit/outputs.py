"""What a run leaves in its output folder, laid out as PaddleX does it.

config.yaml, train.log, train_result.json
best_model/    the checkpoint of the best epoch, and inference/, which is what to export and serve
<epoch>/       checkpoints, the newest `KEPT` of them (`epoch_<n>/` for an embedder)
interrupted/   the checkpoint that an interrupt leaves
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from toonface_contract.errors import ConfigError
from toonface_training.fit.checkpoints import (
    AVERAGE,
    INFERENCE,
    OPTIMIZER,
    PARAMETERS,
    STATES,
    Progress,
    checkpoints,
    copy_checkpoint,
    read_progress,
    write_checkpoint,
)
from toonface_training.fit.engine import EngineState
from toonface_training.networks import EMBEDDERS, build
from toonface_training.networks.inference import write_inference
from toonface_training.networks.parameters import set_parameters, without_head
from toonface_training.whole_files import write_atomically

CONFIG, LOG, RESULT = "config.yaml", "train.log", "train_result.json"
BEST, INTERRUPTED = "best_model", "interrupted"
# Where an inference folder is before it is known whether to keep it.
CANDIDATE = ".candidate-"
KEPT = 5
# Between processes that train together: the last epoch that has been dealt with.
_EPOCH, _PAUSE = ".epoch", 0.05


@dataclass(frozen=True)
class Outputs:
    """The output folder of a run.

    Attributes:
        folder: where.
        model: PaddleX's name of the model.
        labels: a detector's class names.
    """

    folder: Path
    model: str
    labels: Sequence[str]

    def check(self, checkpoint: Path | None, *, force: bool) -> None:
        """Look whether a run may write here; nothing is changed.

        Args:
            checkpoint: that the run goes on from; None for a new one.
            force: whether what another run left here may be removed.

        Raises:
            ConfigError: another run's result is here, and `force` is not set; or a checkpoint here is not ours.
        """
        there = checkpoints(self.folder)
        if force or self._holds(checkpoint) or not (there or (self.folder / RESULT).exists()):
            return
        raise ConfigError(
            f"{self.folder} holds the result of another run. Go on with it by -o Train.resume_path={self.folder}, "
            "write elsewhere by -o Global.output=..., or replace it by --force"
        )

    def begin(self, progress: Progress, checkpoint: Path | None) -> tuple[Progress, list[str]]:
        """Make the folder ready for the steps that are left, and remove what would not be this run's in the end.

        That is all that another run left here, and, where this run goes on from one of its earlier checkpoints, those
        that are further on. The best model is that of `progress.best_epoch` afterwards.

        Args:
            progress: of the run so far.
            checkpoint: that it goes on from, here or in the folder of another run; None for a new run.

        Returns:
            The progress, without a best epoch if there is no model of it any more; and what to tell the user.
        """
        here = self._holds(checkpoint)
        gone = [each for each in checkpoints(self.folder) if not here or read_progress(each).step > progress.step]
        best = None if checkpoint is None else self._best(progress, self.folder if here else checkpoint.parent)
        for folder in gone:
            shutil.rmtree(folder)
        if not here:
            for name in (RESULT, LOG):
                (self.folder / name).unlink(missing_ok=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / _EPOCH).unlink(missing_ok=True)
        for left in self.folder.glob(f"{CANDIDATE}*"):
            shutil.rmtree(left)
        told = []
        if here and gone:
            told.append(f"removed what is further on: {', '.join(folder.name for folder in gone)}")
        if best is not None:
            if best != self.folder / BEST:
                copy_checkpoint(best, self.folder / BEST)
        elif progress.best_epoch:
            shutil.rmtree(self.folder / BEST, ignore_errors=True)
            told.append(
                f"the best model so far, of epoch {progress.best_epoch}, is not there any more; the next that is "
                "evaluated counts as the best"
            )
            progress = replace(progress, best_epoch=0)
        return progress, told

    def _holds(self, checkpoint: Path | None) -> bool:
        return checkpoint is not None and checkpoint.resolve().parent == self.folder.resolve()

    def _best(self, progress: Progress, folder: Path) -> Path | None:
        """The checkpoint of the best epoch so far, with its inference folder, in a run's folder."""
        step = progress.best_epoch * progress.steps_per_epoch
        for found in (folder / BEST, folder / self.epoch_name(progress.best_epoch)):
            if found in checkpoints(folder) and read_progress(found).step == step and (found / INFERENCE).is_dir():
                return found
        return None

    def checkpoint(self, name: str, state: EngineState, progress: Progress, inference: Path | None = None) -> None:
        """Write a checkpoint of that name, with a copy of its inference folder where there is one."""
        write_checkpoint(self.folder / name, state, progress, inference)

    def epoch_name(self, epoch: int) -> str:
        """What the checkpoint after an epoch, counted from 1, is called."""
        return f"epoch_{epoch}" if self.model in EMBEDDERS else str(epoch)

    def drop_old(self, epochs: Sequence[int]) -> list[int]:
        """Remove all but the newest checkpoints of these epochs; returns the epochs that are left."""
        for epoch in epochs[:-KEPT]:
            shutil.rmtree(self.folder / self.epoch_name(epoch), ignore_errors=True)
        return list(epochs[-KEPT:])

    def announce_epoch(self, epoch: int) -> None:
        """Tell the processes in `await_epoch` that an epoch's evaluation is over."""
        (self.folder / _EPOCH).write_text(str(epoch), encoding="ascii")

    def await_epoch(self, epoch: int) -> None:
        """Wait while the first process evaluates, for longer than Paddle lets them wait for each other's gradients."""
        path = self.folder / _EPOCH
        while not path.is_file() or int(path.read_text(encoding="ascii") or 0) < epoch:
            time.sleep(_PAUSE)

    def inference(self, state: EngineState, folder: Path) -> None:
        """Write the inference folder of a state."""
        network = build(self.model, max(1, len(self.labels)))
        set_parameters(network, without_head(state.best), "the state")
        write_inference(network, self.model, folder, labels=self.labels or ("face",))

    def result(self, progress: Progress, epochs: Sequence[int], *, done: bool) -> None:
        """Write `train_result.json`.

        Args:
            progress: of the run.
            epochs: that there are checkpoints of, the last one last.
            done: whether the run has ended as it should.
        """
        models = {
            f"last_{place}": self._files(self.epoch_name(epoch), progress, epoch)
            for place, epoch in enumerate(reversed(epochs), 1)
        }
        if (self.folder / BEST).is_dir():
            models["best"] = self._files(BEST, progress, progress.best_epoch)
        content = {
            "model_name": self.model,
            "done_flag": done,
            "config": CONFIG,
            "label_dict": "",
            "train_log": LOG,
            "visualdl_log": "",
            "models": models,
        }
        write_json(content, self.folder / RESULT)

    def _files(self, name: str, progress: Progress, epoch: int) -> dict[str, Any]:
        """PaddleX's keys (`pdmodel` is the program, which Paddle 3 writes as JSON), and `figures`."""
        score = progress.score(epoch)

        def there(path: str) -> str:
            return path if (self.folder / path).is_file() else ""

        return {
            "score": "" if score is None else score,
            "pdparams": there(f"{name}/{name}{PARAMETERS}"),
            "pdema": there(f"{name}/{name}{AVERAGE}"),
            "pdopt": there(f"{name}/{name}{OPTIMIZER}"),
            "pdstates": there(f"{name}/{name}{STATES}"),
            "inference_config": there(f"{name}/{INFERENCE}/inference.yml"),
            "pdmodel": there(f"{name}/{INFERENCE}/inference.json"),
            "pdiparams": there(f"{name}/{INFERENCE}/inference.pdiparams"),
            "pdiparams.info": "",
            "figures": progress.figures.get(epoch, {}),
        }


def write_json(content: Mapping[str, Any], path: Path) -> None:
    """Write a JSON file at once."""
    write_atomically(path, json.dumps(content, indent=2))
