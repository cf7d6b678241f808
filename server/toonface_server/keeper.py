"""Keeps a running server healthy: a stage whose process died is reloaded, one that hangs is killed first."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Callable

from tritonclient.utils import InferenceServerException

from toonface_contract.errors import ServerError
from toonface_server.canary import Canary, Verdict, stage_canary
from toonface_server.control import Control
from toonface_server.events import Reporter
from toonface_server.repository import Repository
from toonface_server.stages import StageProcess, lives, stage_processes

LOOK_SECONDS = 0.2
# A stage that needs more repairs than this within the time is broken: whoever started the server has to act.
MAX_REPAIRS = 3
REPAIR_WINDOW_SECONDS = 60.0
MAX_WRONG_ANSWERS = 3
RELOAD_PAUSE_SECONDS = 1.0
MAX_PROBE_SECONDS = 10.0


class Keeper:
    """Watches the stages of one tritonserver.

    Args:
        server: process id of tritonserver.
        control: calls to it.
        repository: what it serves.
        reporter: told what happens.
        set_ready: called with False when a stage has died, and with True when it works again.
    """

    def __init__(
        self,
        server: int,
        control: Control,
        repository: Repository,
        reporter: Reporter,
        set_ready: Callable[[bool], None],
    ) -> None:
        self._server = server
        self._control = control
        self._repository = repository
        self._reporter = reporter
        self._set_ready = set_ready
        self._stages: list[StageProcess] = stage_processes(server)
        self._repairs: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=MAX_REPAIRS + 1))

    @property
    def dead_stages(self) -> list[str]:
        """Models that have a dead process."""
        return sorted({stage.model for stage in self._stages if stage.dead})

    async def keep(self, canaries: list[Canary], canary_seconds: float, hang_seconds: float) -> None:
        """Watch for ever, and repair.

        Args:
            canaries: requests to repeat.
            canary_seconds: pause between two of the same.
            hang_seconds: a stage that finishes nothing for so long, with a request waiting for it, hangs.

        Raises:
            ServerError: a stage cannot be repaired, or dies again and again.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._watch_processes())
                for canary in canaries:
                    tasks.create_task(self._watch_answers(canary, canary_seconds, hang_seconds))
        except* ServerError as errors:
            raise errors.exceptions[0] from None

    async def _watch_processes(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            dead = self.dead_stages
            if dead and not lives(self._server):
                # They died with it, and cannot be repaired; whoever waits for its end says of what it died.
                self._set_ready(False)
                continue
            for model in dead:
                await self._repair(model)
            if dead and not self.dead_stages:
                self._set_ready(True)

    async def _repair(self, model: str) -> None:
        started = time.monotonic()
        repairs = self._repairs[model]
        repairs.append(started)
        if len(repairs) > MAX_REPAIRS and started - repairs[0] < REPAIR_WINDOW_SECONDS:
            raise ServerError(
                f"stage {model} failed {len(repairs)} times within {started - repairs[0]:.0f} s; giving up. Look for "
                "what it died of: a traceback in this log, or the out-of-memory killer in the kernel's log"
            )
        self._set_ready(False)
        self._reporter.event("stage_died", f"stage {model} died; repairing it", level="warning", stage=model)
        old = [stage for stage in self._stages if stage.model == model]
        try:
            await self._control.reload(model)
        except InferenceServerException as error:
            self._reporter.event(
                "repair_failed", f"stage {model} cannot be reloaded: {error.message()}", level="error", stage=model
            )
            await asyncio.sleep(RELOAD_PAUSE_SECONDS)
            return
        # Old instances that live are still on their way out. New ones may have died again already.
        new = [stage for stage in stage_processes(self._server) if stage.model == model and stage not in old]
        self._stages = [stage for stage in self._stages if stage.model != model] + (new or old)
        seconds = round(time.monotonic() - started, 2)
        self._reporter.event("stage_repaired", f"stage {model} repaired in {seconds} s", stage=model, seconds=seconds)

    async def _watch_answers(self, canary: Canary, canary_seconds: float, hang_seconds: float) -> None:
        """Ask again and again. Only silence while a stage finishes nothing is hanging: a busy server moves on."""
        patience = canary.patience * hang_seconds
        wrong = 0
        suspected = ""
        silent_since: float | None = None
        before: dict[str, int] = {}
        while True:
            await asyncio.sleep(canary_seconds)
            stages = list(self._stages)
            try:
                if silent_since is None:
                    silent_since, before = time.monotonic(), await self._control.executions()
                verdict = await canary.ask(patience)
                if verdict.kind == "refused" and time.monotonic() - silent_since < patience:
                    continue
                if verdict.kind == "refused":
                    verdict = await self._find_hanging(canary, before, min(hang_seconds, MAX_PROBE_SECONDS))
            except InferenceServerException as error:
                verdict = Verdict("wrong", error.message())
            silent_since = None
            wrong = wrong + 1 if verdict.kind == "wrong" else 0
            if wrong == MAX_WRONG_ANSWERS:
                raise ServerError(f"{canary.model} failed {wrong} canary requests in a row: {verdict.message}")
            # A machine that has no time left may keep a stage from giving signs of life: once is not enough.
            if verdict.kind == "hangs" or (verdict.kind == "dead" and verdict.stage == suspected):
                self._end(verdict, stages)
            suspected = verdict.stage

    async def _find_hanging(self, canary: Canary, before: dict[str, int], seconds: float) -> Verdict:
        """The stage on the canary's way that has finished nothing, and does not answer when it is asked alone."""
        now = await self._control.executions()
        for stage in self._repository.pipeline(canary.model):
            if now.get(stage) != before.get(stage):
                continue
            probe = stage_canary(self._control.client, stage, self._repository.configs[stage])
            verdict = await probe.ask(seconds)
            if verdict.kind == "refused":
                return Verdict("hangs", "it finishes no request", stage)
            if verdict.kind == "dead":
                return verdict
        self._reporter.event("slow", f"{canary.model} is too busy to answer, though no stage hangs", level="warning")
        return Verdict("refused")

    def _end(self, verdict: Verdict, asked: list[StageProcess]) -> None:
        """Kill a stage that does not react; `_watch_processes` then repairs it like any that died.

        Args:
            verdict: on the stage.
            asked: the processes at the time of the request that failed; a stage repaired since is left alone.
        """
        stages = [stage for stage in asked if stage.model == verdict.stage]
        if not stages:
            raise ServerError(
                f"stage {verdict.stage} hangs ({verdict.message}); it runs inside tritonserver, which has to start anew"
            )
        if any(stage.dead or stage not in self._stages for stage in stages):
            return
        self._reporter.event(
            "stage_hangs",
            f"stage {verdict.stage} hangs ({verdict.message}); killing it",
            level="warning",
            stage=verdict.stage,
        )
        for stage in stages:
            stage.kill()
