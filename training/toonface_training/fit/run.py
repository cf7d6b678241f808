"""A run: from settings to a trained model in an output folder."""

from __future__ import annotations

from rich.console import Console

from toonface_contract.errors import ConfigError
from toonface_training.batches.order import ALONE, Share
from toonface_training.fit.checkpoints import Progress, find_checkpoint, read_checkpoint
from toonface_training.fit.compare import differences
from toonface_training.fit.engine import EngineState, make_engine
from toonface_training.fit.imprint import imprinted
from toonface_training.fit.initial import initial_state
from toonface_training.fit.judge import make_judge
from toonface_training.fit.loop import Loop
from toonface_training.fit.outputs import BEST, CONFIG, LOG, Outputs
from toonface_training.fit.reading import write_settings
from toonface_training.fit.report import Report
from toonface_training.fit.schedule import make_schedule
from toonface_training.fit.settings import FeatureSettings, Settings
from toonface_training.fit.task import Task, find_pretrained, make_task
from toonface_training.networks.parameters import without_head

# Settings in which two parts of one run may differ without a word.
_IMMATERIAL = (
    "Train.resume_path",
    "Train.log_interval",
    "Train.workers",
    "Train.eval_interval",
    "Train.save_interval",
)


def train(
    settings: Settings,
    *,
    device: str = "cpu",
    share: Share = ALONE,
    force: bool = False,
    console: Console | None = None,
) -> Outputs:
    """Train a model.

    Args:
        settings: what, on what, and how.
        device: of this process, such as `cpu` or `gpu:0`.
        share: of this process, where several train together.
        force: replace the result of another run.
        console: for progress; by default standard error.

    Returns:
        The output folder.

    Raises:
        ConfigError: a setting, the dataset or a file of parameters is wrong.
        ExportError: the engine is torch, and Paddle's network does not answer as the one that was trained.
        TrainingError: the loss is no longer a number, or a process that prepares pictures died; or, with the code
            `interrupted`, the user interrupted it, and what there is has been saved.
    """
    task = make_task(settings, device, share)
    outputs = Outputs(settings.globals.output, settings.globals.model, task.labels)
    leads = share.rank == 0
    resume = settings.train.resume_path
    checkpoint = None if resume is None else find_checkpoint(resume)
    if leads:
        outputs.check(checkpoint, force=force)
    engine = make_engine(settings.train.engine, task.recipe)
    per_epoch = len(task.batches)
    if checkpoint is None:
        state, told = _initial(settings, task)
        progress = Progress(settings.globals.model, 0, per_epoch, settings.model_dump(mode="json", by_alias=True))
    else:
        state, progress = read_checkpoint(checkpoint)
        told = [f"resumed with another setting: {each}" for each in _differences(progress, settings, per_epoch)]
        told.append(f"resumed from {checkpoint} at epoch {progress.step // per_epoch + 1}")
    engine.load(state)
    schedule = make_schedule(settings.train, per_epoch)
    judge = make_judge(settings) if leads else None
    console = console or Console(stderr=True)
    report = Report(None, console)
    # Only now, when all that can be wrong has been looked at, is anything written or removed.
    if leads:
        try:
            progress, more = outputs.begin(progress, checkpoint)
            write_settings(settings, outputs.folder / CONFIG)
            report = Report(outputs.folder / LOG, console)
        except OSError as error:
            raise ConfigError(
                f"Global.output is {outputs.folder}, which cannot be written to: {error.strerror or error}"
            ) from error
        for line in (*told, *more):
            report.say(line)
    if checkpoint is None and isinstance(settings, FeatureSettings) and settings.train.imprint:
        report.say("looking at every picture once, for the head to begin with the mean embedding of each identity")
        whole = task if share == ALONE else make_task(settings, device, ALONE)
        engine.load(imprinted(state, engine, whole.batches, settings.train.workers))
    Loop(settings.train, task, engine, schedule, outputs, report, judge, share, progress).go()
    if leads and settings.train.engine == "torch":
        report.say(_proof(outputs))
    return outputs


def _initial(settings: Settings, task: Task) -> tuple[EngineState, list[str]]:
    """What a new run starts from, and what to tell the user of it."""
    name, pretrained = settings.globals.model, find_pretrained(settings)
    state, misfits = initial_state(name, task.recipe.num_classes, settings.train.seed, pretrained)
    if pretrained is None:
        return state, [
            f"starting from random parameters; -o Train.pretrain_weight_path={name}_pretrained starts from PaddleX's"
        ]
    return state, [f"not taken from {pretrained}: {misfit}" for misfit in misfits]


def _proof(outputs: Outputs) -> str:
    """Hold the best model on Paddle against the network that was trained.

    Raises:
        ExportError: they do not answer alike.
    """
    from toonface_training.twin.carry import prove_equal

    best, _ = read_checkpoint(outputs.folder / BEST)
    difference = prove_equal(outputs.model, without_head(best.best))
    return (
        f"Paddle's network answers as the one that was trained: the largest difference is {difference:.1e} of an answer"
    )


def _differences(progress: Progress, settings: Settings, per_epoch: int) -> list[str]:
    """What of a run's settings has changed since its checkpoint.

    Raises:
        ConfigError: it cannot go on like this.
    """
    if progress.model != settings.globals.model:
        raise ConfigError(f"the checkpoint is one of {progress.model}, not of {settings.globals.model}")
    if progress.steps_per_epoch != per_epoch:
        raise ConfigError(
            f"the checkpoint's epochs have {progress.steps_per_epoch} steps, this run's have {per_epoch}; the dataset, "
            "Train.batch_size and the number of processes must be the same"
        )
    return differences(progress.settings, settings, but=_IMMATERIAL)
