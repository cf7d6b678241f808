"""Tells a user how a run goes: lines in `train.log` and on the terminal, and a progress bar."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from toonface_training.fit.engine import Moment
from toonface_training.fit.schedule import Schedule


class Report:
    """Of one run.

    Args:
        log: file to append to; None for a process that only helps another, and says nothing.
        console: for lines and the progress bar.
    """

    def __init__(self, log: Path | None, console: Console) -> None:
        self._console, self._quiet = console, log is None
        self._logger = logging.Logger("toonface.train")
        if log is not None:
            handler = logging.FileHandler(log, encoding="utf-8")
            handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s: %(message)s", "%Y-%m-%d %H:%M:%S"))
            self._logger.addHandler(handler)

    def say(self, text: str) -> None:
        """One line, in both places."""
        if not self._quiet:
            self._logger.info(text)
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def steps(self, first: int, schedule: Schedule, interval: int, pictures: int) -> Iterator[Steps]:
        """What follows the steps of a run, with a progress bar.

        Args:
            first: the first step to come.
            schedule: of the run.
            interval: steps between two lines.
            pictures: in a step of all processes together.
        """
        bar = Progress(
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total} steps, {task.fields[speed]}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=self._quiet,
            transient=True,
        )
        with bar:
            epoch = first // schedule.steps_per_epoch + 1
            task = bar.add_task(
                "", total=schedule.steps, completed=first, epoch=epoch, epochs=schedule.epochs, speed=""
            )
            yield Steps(self, bar, task, schedule, interval, pictures)


class Steps:
    """Takes in the losses of each step; made by `Report.steps`."""

    def __init__(
        self, report: Report, bar: Progress, task: TaskID, schedule: Schedule, interval: int, pictures: int
    ) -> None:
        self._report, self._bar, self._task = report, bar, task
        self._schedule, self._interval, self._pictures = schedule, interval, pictures
        self._sums: dict[str, float] = defaultdict(float)
        self._count = 0
        self._since = time.monotonic()

    def took(self, moment: Moment, losses: Mapping[str, float]) -> None:
        """A step is done."""
        for name, value in losses.items():
            self._sums[name] += value
        self._count += 1
        self._bar.update(self._task, advance=1, epoch=moment.epoch + 1)
        per_epoch = self._schedule.steps_per_epoch
        number = moment.step % per_epoch + 1
        if number % self._interval and number != per_epoch:
            return
        seconds = max(time.monotonic() - self._since, 1e-9) / self._count
        speed = f"{self._pictures / seconds:.1f} pictures/s"
        means = ", ".join(f"{name}: {value / self._count:.4f}" for name, value in self._sums.items())
        left = timedelta(seconds=round((self._schedule.steps - moment.step - 1) * seconds))
        self._report.say(
            f"epoch: {moment.epoch + 1}/{self._schedule.epochs}, step: {number}/{per_epoch}, "
            f"learning rate: {moment.learning_rate:.3g}, {means}, {speed}, eta: {left}"
        )
        self._bar.update(self._task, speed=speed)
        self.pause()

    def pause(self) -> None:
        """Begin a new interval, as after an evaluation, whose time is not the network's."""
        self._sums.clear()
        self._count = 0
        self._since = time.monotonic()
