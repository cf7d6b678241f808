"""Configuration files with PaddleX's keys: read, overridden, refused by name, and turned into commands."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from toonface_client.cli import main
from toonface_contract.errors import ConfigError
from toonface_training.fit.devices import parse_devices
from toonface_training.fit.modes import commands
from toonface_training.fit.reading import read_settings, write_settings
from toonface_training.fit.schedule import make_schedule
from toonface_training.networks import MODELS

ROOT = Path(__file__).resolve().parents[2]

# As PaddleX ships it, but for the addresses.
PADDLEX = """
Global:
  model: MobileFaceNet
  mode: check_dataset # check_dataset/train/evaluate/predict
  dataset_dir: "/paddle/dataset/paddlex/cls/face_rec_examples"
  device: gpu:0,1,2,3
  output: "output"

CheckDataset:
  convert:
    enable: False
    src_dataset_type: null
  split:
    enable: False
    train_percent: null
    val_percent: null

Train:
  num_classes: 995
  epochs_iters: 25
  batch_size: 128
  learning_rate: 2e-3
  pretrain_weight_path: https://example.com/MobileFaceNet_pretrained.pdparams
  warmup_steps: 1
  resume_path: null
  log_interval: 1
  eval_interval: 1
  save_interval: 1

Evaluate:
  weight_path: "output/best_model/best_model.pdparams"
  log_interval: 1

Export:
  weight_path: https://example.com/MobileFaceNet_pretrained.pdparams

Predict:
  batch_size: 1
  model_dir: "output/best_model/inference"
  input: "https://example.com/face_recognition_001.jpg"
  kernel_option:
    run_mode: paddle
"""


@pytest.fixture
def paddlex(tmp_path: Path) -> str:
    path = tmp_path / "MobileFaceNet.yaml"
    path.write_text(PADDLEX)
    return str(path)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("suffix", ["", ".yaml"])
def test_every_model_has_a_configuration(name: str, suffix: str, tmp_path: Path) -> None:
    settings = read_settings(name + suffix)
    assert settings.globals.model == name
    write_settings(settings, tmp_path / "config.yaml")
    assert read_settings(str(tmp_path / "config.yaml")) == settings


def test_paddlexs_own_file_is_read_and_completed(paddlex: str) -> None:
    settings = read_settings(paddlex)
    assert settings.train.num_classes == 995
    assert settings.train.learning_rate == 0.002
    assert settings.globals.device == "gpu:0,1,2,3"
    # What PaddleX keeps in a file of its own.
    assert settings.train.optimizer == "adamw"
    assert settings.train.weight_decay == 0.05


def test_overrides_win_and_none_is_null(paddlex: str) -> None:
    settings = read_settings(
        paddlex,
        ("Train.num_classes=None", "Train.arcmargin_m=0.3", "Train.pretrain_weight_path=null", "Global.device=cpu"),
    )
    assert settings.train.num_classes is None
    assert settings.train.pretrain_weight_path is None
    assert settings.train.arcmargin_m == 0.3  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("Train.lr=1", r"Train\.lr is not known \(known here are num_classes, epochs_iters, "),
        ("Training.epochs=1", r"Training is not known \(known here are Global, "),
        ("Train.learning_rate=0", r"Train\.learning_rate is 0: .*greater than 0"),
        ("Train.epochs_iters=many", r"Train\.epochs_iters is 'many'"),
        ("Global.mode=export", r"Global\.mode is 'export'"),
        ("Global.device=tpu", r"Global\.device is 'tpu'"),
        ("Global.model=YuNet", r"Global\.model is 'YuNet'; there are PP-YOLOE"),
        ("Train.ema_decay=1", r"Train\.ema_decay is 1"),
        ("Train.amp=O2", r"Train\.amp is 'O2': .*'off' or 'O1'"),
        ("CheckDataset.split.train_percent=101", r"CheckDataset\.split\.train_percent is 101"),
        ("Train.learning_rate.high=1", r"learning_rate is a value"),
        ("Train", r"'Train' is not Key\.Sub=value"),
        ("Train..x=1", r"is not Key\.Sub=value"),
        ("Train.seed=[", r"the value cannot be read"),
        ("Train.seed=2020-13-45", r"-o Train.seed=2020-13-45: the value cannot be read: month must be"),
    ],
)
def test_what_is_wrong_is_named(override: str, said: str, paddlex: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_settings(paddlex, (override,))


def test_settings_of_one_kind_are_refused_for_the_other() -> None:
    with pytest.raises(ConfigError, match=r"Train\.arcmargin_m is not known"):
        read_settings("BlazeFace", ("Train.arcmargin_m=0.3",))
    with pytest.raises(ConfigError, match=r"Train\.image_size .*has 100; for BlazeFace a multiple of 16"):
        read_settings("BlazeFace", ("Train.image_size=[96,100]",))


def test_several_processes_are_refused_for_torch() -> None:
    with pytest.raises(ConfigError, match=r"Global\.device is cpu:0,1, but Train\.engine torch trains in one process"):
        read_settings("MobileFaceNet", ("Train.engine=torch", "Global.device=cpu:0,1"))
    assert read_settings("MobileFaceNet", ("Train.engine=paddle", "Global.device=cpu:0,1")).train.engine == "paddle"


def test_a_path_that_is_not_there_is_no_model() -> None:
    with pytest.raises(ConfigError, match=r"there is no file my/configs/MobileFaceNet\.yaml, and no model"):
        read_settings("my/configs/MobileFaceNet.yaml")
    paddlexs = "paddlex/configs/modules/face_feature/MobileFaceNet.yaml"
    with pytest.warns(UserWarning, match=rf"there is no file {paddlexs}; toonface's own file of MobileFaceNet is used"):
        assert read_settings(paddlexs).globals.model == "MobileFaceNet"


@pytest.mark.parametrize("content", ["- a\n", "a: [\n", "7\n"])
def test_a_file_that_holds_no_keys_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"config\.yaml (holds no keys|cannot be read as YAML)"):
        read_settings(str(path))
    with pytest.raises(ConfigError, match="there is no file Nothing.yaml, and no model of that name"):
        read_settings("Nothing.yaml")


def test_the_learning_rate_rises_and_falls_and_the_margin_grows() -> None:
    train = read_settings("MobileFaceNet", ("Train.epochs_iters=4", "Train.arcmargin_ramp=0.5")).train
    schedule = make_schedule(train, steps_per_epoch=10)
    moments = [schedule.moment(step) for step in range(schedule.steps)]
    rates = [moment.learning_rate for moment in moments]
    # An embedder's warm-up is counted in epochs.
    assert rates[9] == pytest.approx(0.002) == max(rates)
    assert rates[0] == pytest.approx(0.0002)
    assert rates[10:] == sorted(rates[10:], reverse=True) and rates[-1] < 1e-5
    assert (moments[0].margin, moments[10].margin, moments[20].margin, moments[39].margin) == (0, 0.25, 0.5, 0.5)
    assert [moment.epoch for moment in moments] == [step // 10 for step in range(40)]

    steps = make_schedule(read_settings("BlazeFace", ("Train.epochs_iters=10", "Train.warmup_steps=0")).train, 100)
    assert [steps.moment(at).learning_rate for at in (0, 332, 333, 799, 800)] == pytest.approx(
        [1e-3, 1e-3, 1e-4, 1e-4, 1e-5]
    )


def test_devices_are_parsed_and_given_an_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    devices = parse_devices("gpu:2,0")
    assert [devices.device(rank) for rank in (0, 1)] == ["gpu:2", "gpu:0"]
    assert parse_devices("cpu").resolve().device(0) == "cpu"
    with pytest.raises(ConfigError, match="names a device twice"):
        parse_devices("gpu:1,1")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert devices.launcher_names() == "2,0"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-1a2b,7")
    assert devices.launcher_names() == "7,5"
    assert parse_devices("gpu:1").launcher_names() == "GPU-1a2b"
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert parse_devices("cpu").environment()["OMP_NUM_THREADS"] == "7"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ((), ["dataset check D --kind feature --output output"]),
        (
            (
                "CheckDataset.convert.enable=True",
                "CheckDataset.convert.src_dataset_type=LabelMe",
                "CheckDataset.split.enable=True",
                "CheckDataset.split.train_percent=80",
                "CheckDataset.split.val_percent=20",
            ),
            [
                "dataset convert D --from LabelMe",
                "dataset split D --kind feature --train 80 --val 20",
                "dataset check D --kind feature --output output",
            ],
        ),
        (
            ("Global.mode=evaluate",),
            [
                "evaluate feature output/best_model/best_model.pdparams D --output output --model MobileFaceNet "
                "--flip-test"
            ],
        ),
        (
            ("Global.mode=evaluate", "Evaluate.weight_path=models/MobileFaceNet"),
            ["evaluate feature models/MobileFaceNet D --output output --flip-test"],
        ),
        (
            ("Global.mode=predict", "Predict.input=a.jpg"),
            ["predict output/best_model/inference a.jpg --save output"],
        ),
    ],
)
def test_a_mode_is_one_of_our_commands(overrides: tuple[str, ...], expected: list[str], paddlex: str) -> None:
    given = ("Global.dataset_dir=D", *overrides)
    lines = commands(read_settings(paddlex, given), paddlex, given)
    assert [" ".join(line) for line in lines] == expected


def test_training_is_handed_on_as_it_was_given(paddlex: str) -> None:
    given = ("Global.mode=train", "Train.seed=3")
    assert commands(read_settings(paddlex, given), paddlex, given) == [
        ["train", "feature", paddlex, "-o", "Global.mode=train", "-o", "Train.seed=3"]
    ]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("Global.dataset_dir=null",), r"Global\.dataset_dir is not set"),
        (("Global.mode=predict", "Predict.input=null"), r"Predict\.input is not set"),
        (("CheckDataset.convert.enable=True",), r"src_dataset_type is not set"),
        (("CheckDataset.split.enable=True",), r"train_percent and val_percent"),
    ],
)
def test_what_a_mode_lacks_is_named(overrides: tuple[str, ...], said: str, paddlex: str) -> None:
    with pytest.raises(ConfigError, match=said):
        commands(read_settings(paddlex, overrides), paddlex, overrides)


def run_command(*overrides: str) -> Any:
    options = [part for override in overrides for part in ("-o", override)]
    return CliRunner().invoke(main, ["run", "-c", "BlazeFace-FPN-SSH.yaml", *options])


def test_run_predicts_as_the_configuration_says(tmp_path: Path) -> None:
    picture = sorted((ROOT / "demo" / "pictures").glob("*.jpg"))[0]
    result = run_command(
        "Global.mode=predict",
        f"Predict.model_dir={ROOT / 'models' / 'BlazeFace-FPN-SSH'}",
        f"Predict.input={picture}",
        f"Global.output={tmp_path}",
    )
    assert result.exit_code == 0, result.output
    assert "toonface predict " in result.output
    assert list(tmp_path.iterdir())


def test_run_passes_on_a_failure(tmp_path: Path) -> None:
    result = run_command(
        "Global.mode=evaluate", f"Global.dataset_dir={tmp_path}", "Evaluate.weight_path=/nothing.pdparams"
    )
    assert result.exit_code == 1
    assert "error: " in result.output


def test_the_shipped_files_are_yaml_with_paddlexs_sections() -> None:
    for path in (ROOT / "training").rglob("configs/*.yaml"):
        assert list(yaml.safe_load(path.read_text())) == ["Global", "CheckDataset", "Train", "Evaluate", "Predict"]
