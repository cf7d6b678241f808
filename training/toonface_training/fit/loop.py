"""The steps of a run, and what happens between them."""

from __future__ import annotations

import math
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from toonface_contract.errors import TrainingError
from toonface_training.batches.order import Share
from toonface_training.fit.checkpoints import Progress, checkpoints
from toonface_training.fit.engine import Engine, Moment
from toonface_training.fit.judge import Judge
from toonface_training.fit.loader import load
from toonface_training.fit.outputs import BEST, CANDIDATE, INTERRUPTED, Outputs
from toonface_training.fit.report import Report
from toonface_training.fit.schedule import Schedule
from toonface_training.fit.settings import Train
from toonface_training.fit.task import Task


class Loop:
    """Takes the steps of a run that are left.

    Args:
        settings: of the training.
        task: what to learn.
        engine: that learns, with the state to go on from.
        schedule: of the whole run.
        outputs: where things are kept; only the first of several processes writes.
        report: to the user.
        judge: of the model after an epoch; without one, the last is the best.
        share: of this process.
        progress: so far.
    """

    def __init__(
        self,
        settings: Train,
        task: Task,
        engine: Engine,
        schedule: Schedule,
        outputs: Outputs,
        report: Report,
        judge: Judge | None,
        share: Share,
        progress: Progress,
    ) -> None:
        self._settings, self._task, self._engine, self._schedule = settings, task, engine, schedule
        self._outputs, self._report, self._judge, self._share = outputs, report, judge, share
        self._progress = progress
        done = progress.step // schedule.steps_per_epoch
        self._kept = [epoch for epoch in range(1, done + 1) if (outputs.folder / outputs.epoch_name(epoch)).is_dir()]

    def go(self) -> None:
        """Take the steps.

        Raises:
            TrainingError: the loss is no longer a number; or, with the code `interrupted`, the user interrupted the
                run, whose state has been saved.
        """
        settings, schedule = self._settings, self._schedule
        if self._leads and self._progress.step:
            # What an earlier part of the run said of its end does not hold any more.
            self._outputs.result(self._progress, self._kept, done=False)
        batches = load(self._task.batches, self._progress.step, schedule.steps, settings.workers)
        pictures = settings.batch_size * self._share.of
        with (
            _interrupt(heeded=self._leads) as interrupted,
            self._report.steps(self._progress.step, schedule, settings.log_interval, pictures) as steps,
        ):
            for batch in batches:
                moment = schedule.moment(self._progress.step)
                losses = self._engine.learn(batch, moment)
                if not math.isfinite(losses["loss"]):
                    raise TrainingError(self._lost(moment, losses["loss"]))
                steps.took(moment, losses)
                self._progress = replace(self._progress, step=moment.step + 1)
                epoch, within = divmod(self._progress.step, schedule.steps_per_epoch)
                if not within:
                    if self._leads:
                        self._end_epoch(epoch)
                    else:
                        self._outputs.await_epoch(epoch)
                    steps.pause()
                if interrupted.is_set() and self._progress.step < schedule.steps:
                    self._stop()
        if self._leads:
            shutil.rmtree(self._outputs.folder / INTERRUPTED, ignore_errors=True)
            self._outputs.result(self._progress, self._kept, done=True)
            self._report.say(self._summary())

    @property
    def _leads(self) -> bool:
        return self._share.rank == 0

    def _end_epoch(self, epoch: int) -> None:
        """Evaluate and save after an epoch, counted from 1."""
        self._save(epoch)
        if self._share.of > 1:
            self._outputs.announce_epoch(epoch)

    def _save(self, epoch: int) -> None:
        settings, last = self._settings, epoch == self._schedule.epochs
        evaluate = last or (self._judge is not None and epoch % settings.eval_interval == 0)
        save = last or epoch % settings.save_interval == 0
        if not evaluate and not save:
            return
        state = self._engine.state()
        with TemporaryDirectory(prefix=CANDIDATE, dir=self._outputs.folder) as scratch:
            inference = Path(scratch) / "inference" if evaluate else None
            if inference is not None:
                self._outputs.inference(state, inference)
                self._evaluate(epoch, inference)
            # The epoch first: should the run be killed in between, the best model is made from it when it goes on.
            if save:
                self._outputs.checkpoint(self._outputs.epoch_name(epoch), state, self._progress, inference)
                self._kept = self._outputs.drop_old([*self._kept, epoch])
            if self._progress.best_epoch == epoch:
                self._outputs.checkpoint(BEST, state, self._progress, inference)
        self._outputs.result(self._progress, self._kept, done=False)

    def _evaluate(self, epoch: int, inference: Path) -> None:
        """Judge the model of an epoch, and note whether it is the best so far."""
        figures = {} if self._judge is None else self._judge(inference)
        before = self._progress.score(self._progress.best_epoch)
        self._progress = replace(self._progress, figures={**self._progress.figures, epoch: figures})
        score = self._progress.score(epoch)
        better = score is None or before is None or score > before
        if figures:
            told = ", ".join(f"{name} {value:.4f}" for name, value in figures.items())
            self._report.say(f"epoch {epoch}: {told}" + (", the best so far" if better else ""))
        if better:
            self._progress = replace(self._progress, best_epoch=epoch)

    def _stop(self) -> None:
        self._outputs.checkpoint(INTERRUPTED, self._engine.state(), self._progress)
        self._outputs.result(self._progress, self._kept, done=False)
        raise TrainingError(
            f"interrupted after {self._progress.step} of {self._schedule.steps} steps; to go on from there: "
            f"-o Train.resume_path={self._outputs.folder}",
            code="interrupted",
        )

    def _lost(self, moment: Moment, loss: float) -> str:
        there = checkpoints(self._outputs.folder)
        saved = f"; the last checkpoint is {there[-1]}" if there else ""
        mixed = "" if self._settings.amp == "off" else ", or turn Train.amp off"
        return (
            f"the loss is {loss} in epoch {moment.epoch + 1}, step {moment.step % self._schedule.steps_per_epoch + 1}, "
            f"at learning rate {moment.learning_rate:g}. Lower Train.learning_rate, raise Train.warmup_steps, or limit "
            f"the gradients by Train.clip_norm=5{mixed}{saved}"
        )

    def _summary(self) -> str:
        best = self._progress.best_epoch
        score = self._progress.score(best)
        judged = "not evaluated, for want of a validation set" if score is None else f"score {score:.4f}"
        return f"the best model is that of epoch {best}, {judged}: {self._outputs.folder / BEST}"


@contextmanager
def _interrupt(*, heeded: bool) -> Iterator[threading.Event]:
    """An event that an interrupt (Ctrl-C) sets; a second one ends the process as usual.

    Args:
        heeded: whether to take notice. The first of several processes does, and those that wait for it are ended.
    """
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    before = signal.getsignal(signal.SIGINT)

    def stop(*_: object) -> None:
        interrupted.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, stop if heeded else signal.SIG_IGN)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)
