"""What a configuration file may say: PaddleX's keys, and those that toonface adds under `Train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from toonface_training.fit.engine import EngineName
from toonface_training.networks import DETECTORS, MODELS

Mode = Literal["check_dataset", "train", "evaluate", "predict"]


def _nothing(value: Any) -> Any:
    # PaddleX's files write null; its command line, and people, write None.
    return None if value in ("None", "") else value


Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
OptionalPath = Annotated[Path | None, BeforeValidator(_nothing)]
OptionalText = Annotated[str | None, BeforeValidator(_nothing)]
OptionalCount = Annotated[int | None, Field(ge=1), BeforeValidator(_nothing)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Global(_Section):
    """What all modes need.

    Attributes:
        model: PaddleX's name of the model.
        mode: what to do.
        dataset_dir: the dataset, in PaddleX's layout.
        device: `auto` (the first GPU, or the CPU where Paddle has none), `cpu`, `gpu`, `gpu:0`, or `gpu:0,1,2,3` for
            several processes, one on each. `cpu:0,1` starts two processes on the CPU.
        output: folder for everything that is written.
    """

    model: str
    mode: Mode = "check_dataset"
    dataset_dir: OptionalPath = None
    device: Annotated[str, Field(pattern=r"^(auto|(cpu|gpu)(:\d+(,\d+)*)?)$")] = "auto"
    output: Path = Path("output")

    @field_validator("model")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in MODELS:
            raise ValueError(f"is {name!r}; there are {', '.join(MODELS)}")
        return name


class Convert(_Section):
    """Whether to convert the dataset first, and from what."""

    enable: bool = False
    src_dataset_type: OptionalText = None


class Split(_Section):
    """Whether to divide the dataset anew first, and how."""

    enable: bool = False
    train_percent: Annotated[int | None, Field(ge=0, le=100)] = None
    val_percent: Annotated[int | None, Field(ge=0, le=100)] = None


class CheckDataset(_Section):
    """What to do to the dataset before it is checked."""

    convert: Convert = Convert()
    split: Split = Split()


class Train(_Section):
    """How to train; the keys after `save_interval` are toonface's own.

    Attributes:
        num_classes: of the faces to detect, or identities to tell apart; null counts them in the dataset.
        epochs_iters: epochs.
        batch_size: pictures in a step, for each process.
        learning_rate: the highest.
        pretrain_weight_path: `.pdparams`, or an inference folder's `.pdiparams`, to start from: a path, or PaddleX's
            address or name of its pretrained parameters, which are then fetched; null starts from random ones.
        warmup_steps: over which the learning rate grows from 0: steps for a detector, epochs for an embedder, as in
            PaddleX.
        resume_path: a checkpoint or the output folder of a run to go on with.
        log_interval: steps between lines of the log.
        eval_interval: epochs between evaluations.
        save_interval: epochs between checkpoints.
        engine: what computes.
        seed: of everything random.
        schedule: of the learning rate after the warm-up: `cosine` to 0; `steps`, a tenth after a third of the run and a
            hundredth after four fifths.
        optimizer: see `Recipe`.
        weight_decay: see `Recipe`.
        clip_norm: see `Recipe`.
        ema_decay: see `Recipe`.
        amp: see `Recipe`.
        compile: see `compiled` of `Recipe`.
        augmentation: `drawings` suits them; `plain` only mirrors.
        image_size: side of training pictures in pixels; null is PaddleX's.
        first_image_size: another one at which the run begins, since small pictures are learned from faster.
        first_share: share of the steps that have `first_image_size`.
        workers: processes that prepare pictures; null chooses, 0 prepares them between the steps.
    """

    num_classes: OptionalCount = None
    epochs_iters: Count
    batch_size: Count
    learning_rate: Annotated[float, Field(gt=0)]
    pretrain_weight_path: OptionalText = None
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    resume_path: OptionalPath = None
    log_interval: Count = 10
    eval_interval: Count = 1
    save_interval: Count = 1
    engine: EngineName = "paddle"
    seed: Annotated[int, Field(ge=0)] = 0
    schedule: Literal["cosine", "steps"] = "cosine"
    optimizer: Literal["momentum", "rmsprop", "adamw"] = "adamw"
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    clip_norm: Annotated[float | None, Field(gt=0)] = None
    ema_decay: Annotated[float | None, Field(gt=0, lt=1)] = None
    # YAML reads a bare `off` as false.
    amp: Annotated[Literal["off", "O1"], BeforeValidator(lambda value: value or "off")] = "off"
    compile: bool = False
    augmentation: Literal["plain", "drawings"] = "plain"
    first_image_size: OptionalCount = None
    first_share: Share = 0.5
    workers: Annotated[int | None, Field(ge=0)] = None


class DetectionTrain(Train):
    """How to train a detector.

    Attributes:
        image_size: one side in pixels, or several to choose from for each batch; null is PaddleX's.
    """

    image_size: list[Count] | None = None

    @field_validator("image_size", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        value = _nothing(value)
        return value if value is None or isinstance(value, list) else [value]


class FeatureTrain(Train):
    """How to train an embedder.

    Attributes:
        arcmargin_m: ArcFace's margin in radians.
        arcmargin_s: ArcFace's scale.
        arcmargin_ramp: share of the run during which the margin grows from 0 to `arcmargin_m`.
        imprint: whether the directions that stand for the identities begin as their mean embeddings by the parameters
            that the run starts from, instead of as random ones; for those of a trained network.
        restyled: share of the identities whose pictures are all redrawn in another manner, each identity's in its own;
            see `Restyled`. Of drawings, it gives an embedder more styles to learn from.
        image_size: side in pixels; only the engine `torch` takes another than 112.
    """

    arcmargin_m: Annotated[float, Field(ge=0, lt=1.6)] = 0.5
    arcmargin_s: Annotated[float, Field(gt=0)] = 64.0
    arcmargin_ramp: Share = 0.0
    imprint: bool = False
    restyled: Share = 0.0
    image_size: OptionalCount = None


class Evaluate(_Section):
    """What to evaluate: `.pdparams`, or an inference folder."""

    weight_path: Path = Path("output/best_model/best_model.pdparams")
    log_interval: Count = 10


class Export(_Section):
    """PaddleX's key; toonface exports with `toonface export`."""

    weight_path: OptionalText = None


class Kernel(_Section):
    """PaddleX's key; not used."""

    run_mode: str = "paddle"


class Predict(_Section):
    """What to try, and on which pictures."""

    batch_size: Count = 1
    model_dir: Path = Path("output/best_model/inference")
    input: OptionalText = None
    kernel_option: Kernel = Kernel()


class _Settings(_Section):
    globals: Global = Field(alias="Global")
    check_dataset: CheckDataset = Field(alias="CheckDataset", default=CheckDataset())
    evaluate: Evaluate = Field(alias="Evaluate", default=Evaluate())
    export: Export = Field(alias="Export", default=Export())
    predict: Predict = Field(alias="Predict", default=Predict())
    train: Train = Field(alias="Train")

    @model_validator(mode="after")
    def _engine_suits(self) -> _Settings:
        if self.train.engine == "torch" and "," in self.globals.device:
            raise ValueError(
                f"Global.device is {self.globals.device}, but Train.engine torch trains in one process: let it be cpu"
            )
        return self


class DetectionSettings(_Settings):
    """A configuration file of a detector."""

    train: DetectionTrain = Field(alias="Train")

    @model_validator(mode="after")
    def _sizes_suit(self) -> DetectionSettings:
        stride = DETECTORS[self.globals.model].stride
        first = self.train.first_image_size
        for size in (*(self.train.image_size or ()), *([first] if first else [])):
            if size % stride:
                name = self.globals.model
                raise ValueError(f"Train.image_size or first_image_size has {size}; for {name} a multiple of {stride}")
        return self


class FeatureSettings(_Settings):
    """A configuration file of an embedder."""

    train: FeatureTrain = Field(alias="Train")


Settings = DetectionSettings | FeatureSettings
