"""Runs: what they leave behind, and that interrupting one changes nothing."""

import functools
import http.server
import io
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from small_sets import write_detection_set, write_feature_set

from toonface_contract.errors import ConfigError, TrainingError
from toonface_export.paddle_model import read_paddle_model
from toonface_training.fit import worker
from toonface_training.fit.checkpoints import (
    OPTIMIZER,
    STATES,
    Progress,
    checkpoints,
    find_checkpoint,
    read_checkpoint,
    write_checkpoint,
)
from toonface_training.fit.devices import Devices
from toonface_training.fit.engine import EngineState
from toonface_training.fit.initial import initial_state
from toonface_training.fit.launch import launch
from toonface_training.fit.outputs import KEPT, RESULT
from toonface_training.fit.reading import read_settings, write_settings
from toonface_training.fit.run import train
from toonface_training.fit.task import find_pretrained
from toonface_training.networks.parameters import write_parameters

# Threads that wait for each other by spinning keep a busy machine from everything else.
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
QUICK = ("Train.image_size=64", "Train.batch_size=4", "Train.warmup_steps=2", "Train.workers=0", "Global.device=cpu")


@pytest.fixture(scope="module")
def detection_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_detection_set(tmp_path_factory.mktemp("detection") / "set", val=2)


@pytest.fixture(scope="module")
def unjudged_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without a validation part, runs take half the time."""
    folder = write_detection_set(tmp_path_factory.mktemp("unjudged") / "set")
    (folder / "annotations" / "instance_val.json").unlink()
    return folder


@pytest.fixture(scope="module")
def feature_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_feature_set(tmp_path_factory.mktemp("feature") / "set")


def blazeface(dataset: Path, output: Path, *overrides: str) -> Any:
    places = (f"Global.dataset_dir={dataset}", f"Global.output={output}")
    return read_settings("BlazeFace", (*places, *QUICK, *overrides))


def run(settings: Any, **options: Any) -> str:
    """Train in this process; returns what was told."""
    told = io.StringIO()
    train(settings, console=Console(file=told, width=200), **options)
    return told.getvalue()


def command(dataset: Path, output: Path, *overrides: str) -> list[str]:
    settings = (f"Global.dataset_dir={dataset}", f"Global.output={output}", *QUICK, *overrides)
    options = [option for setting in settings for option in ("-o", setting)]
    toonface = Path(sys.executable).with_name("toonface")
    return [str(toonface), "train", "detection", "BlazeFace", *options]


def result_of(output: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((output / RESULT).read_text())
    return content


def assert_same_state(one: Path, other: Path) -> None:
    (left, left_progress), (right, right_progress) = read_checkpoint(one), read_checkpoint(other)
    assert left_progress.step == right_progress.step
    for mine, theirs in (
        (left.parameters, right.parameters),
        (left.average or {}, right.average or {}),
        (left.optimizer, right.optimizer),
    ):
        assert mine.keys() == theirs.keys()
        assert [name for name in mine if not np.array_equal(mine[name], theirs[name])] == []


def test_a_detector_run_leaves_what_paddlex_leaves(detection_set: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    told = run(blazeface(detection_set, output, "Train.epochs_iters=2", "Train.ema_decay=0.9", "Train.log_interval=2"))
    assert "starting from random parameters; -o Train.pretrain_weight_path=BlazeFace_pretrained " in told
    assert "epoch: 2/2, step: 2/3, learning rate: " in told
    assert "epoch 2: AP " in told
    result = result_of(output)
    assert result["done_flag"] is True
    assert result["model_name"] == "BlazeFace"
    assert list(result["models"]) == ["last_1", "last_2", "best"]
    named = [
        path
        for files in result["models"].values()
        for key, path in files.items()
        if key not in ("score", "figures") and path
    ]
    assert len(named) == 3 * 7
    assert all((output / path).is_file() for path in [*named, result["config"], result["train_log"]])
    assert result["models"]["best"]["score"] == max(files["score"] for files in result["models"].values())
    assert list(result["models"]["best"]["figures"])[:2] == ["AP", "AP50"]
    assert read_paddle_model(output / "best_model" / "inference", known=("BlazeFace",)).name == "BlazeFace"
    # The configuration that is written is one that trains the same again.
    again = read_settings(str(output / "config.yaml"))
    assert again == blazeface(
        detection_set, output, "Train.epochs_iters=2", "Train.ema_decay=0.9", "Train.log_interval=2"
    )
    assert not [path for path in output.rglob(".*")]


def test_an_embedder_run_counts_identities_and_judges_by_pairs(feature_set: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    settings = read_settings(
        "MobileFaceNet.yaml",
        (
            f"Global.dataset_dir={feature_set}",
            f"Global.output={output}",
            "Global.device=cpu",
            "Train.batch_size=6",
            "Train.epochs_iters=2",
            "Train.arcmargin_m=0.3",
            "Train.workers=0",
        ),
    )
    told = run(settings)
    assert "accuracy: " in told and "epoch 2: acc " in told
    assert {path.name for path in output.iterdir() if path.is_dir()} == {"epoch_1", "epoch_2", "best_model"}
    with (output / "epoch_2" / "epoch_2.pdparams").open("rb") as file:
        parameters = pickle.load(file)  # noqa: S301  (our own)
    assert parameters["head.weight"].shape == (128, 4)
    assert "backbone.conv1.conv.weight" in parameters
    assert 0.5 <= result_of(output)["models"]["best"]["score"] <= 1


def test_the_oldest_checkpoints_go_and_the_last_is_the_best_without_a_validation_set(
    unjudged_set: Path, tmp_path: Path
) -> None:
    output = tmp_path / "output"
    epochs = KEPT + 2
    told = run(blazeface(unjudged_set, output, f"Train.epochs_iters={epochs}"))
    assert "not evaluated, for want of a validation set" in told
    assert [path.name for path in checkpoints(output)][:KEPT] == [str(epoch) for epoch in range(3, epochs + 1)]
    assert_same_state(output / "best_model", output / str(epochs))


def test_killing_or_interrupting_a_run_and_going_on_changes_no_bit(unjudged_set: Path, tmp_path: Path) -> None:
    common = ("Train.epochs_iters=6", "Train.ema_decay=0.9", "Train.log_interval=1", "Train.workers=1")
    through = execute(command(unjudged_set, tmp_path / "through", *common))
    assert "error" not in through

    for name, number in (("killed", signal.SIGKILL), ("interrupted", signal.SIGINT)):
        output = tmp_path / name
        # Every second epoch is saved: what a kill loses has to be done again.
        saving = (*common, "Train.save_interval=2")
        process = subprocess.Popen(
            command(unjudged_set, output, *saving), stderr=subprocess.PIPE, text=True, env=ONE_THREAD
        )
        _wait_for(output / "train.log", "epoch: 4/6, step: 1/3", process)
        process.send_signal(number)
        _, said = process.communicate(timeout=300)
        assert not result_of(output)["done_flag"]
        if number == signal.SIGINT:
            assert process.returncode == 130
            assert f"-o Train.resume_path={output}" in said
            step = read_checkpoint(find_checkpoint(output))[1].step
            assert 9 < step < 18
        resumed = execute(command(unjudged_set, output, *saving, f"Train.resume_path={output}"))
        assert f"resumed from {output}" in resumed
        assert "another setting" not in resumed
        assert result_of(output)["done_flag"]
        assert_same_state(tmp_path / "through" / "6", output / "6")


def execute(arguments: list[str]) -> str:
    """Run a command to its good end; returns what it told."""
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, env=ONE_THREAD)
    assert done.returncode == 0, done.stderr
    return done.stderr


def _wait_for(log: Path, text: str, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 120
    while not log.exists() or text not in log.read_text():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[1]
        time.sleep(0.02)


def test_a_second_run_does_not_overwrite_the_first_unasked(unjudged_set: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    settings = blazeface(unjudged_set, output, "Train.epochs_iters=1")
    run(settings)
    first = (output / "best_model" / "best_model.pdparams").read_bytes()
    with pytest.raises(ConfigError, match=r"holds the result of another run.*resume_path.*--force"):
        run(settings)
    run(blazeface(unjudged_set, output, "Train.epochs_iters=2", "Train.seed=1"), force=True)
    assert {path.name for path in checkpoints(output)} == {"1", "2", "best_model"}
    assert (output / "best_model" / "best_model.pdparams").read_bytes() != first


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_that_cannot_begin_leaves_the_earlier_one_as_it_was(unjudged_set: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    run(blazeface(unjudged_set, output, "Train.epochs_iters=1"))
    before = contents(output)
    badly_judged = tmp_path / "badly_judged"
    shutil.copytree(unjudged_set, badly_judged)
    (badly_judged / "annotations" / "instance_val.json").write_text("{}")
    for dataset, override in (
        (unjudged_set, "Train.pretrain_weight_path=/no.pdparams"),
        (unjudged_set, "Train.amp=O1"),
        (badly_judged, "Train.seed=1"),
    ):
        with pytest.raises(ConfigError):
            run(blazeface(dataset, output, "Train.epochs_iters=2", override), force=True)
        assert contents(output) == before
    with pytest.raises(ConfigError, match="epochs have 3 steps"):
        run(blazeface(unjudged_set, output, f"Train.resume_path={output}", "Train.batch_size=2"))
    assert contents(output) == before


def test_force_removes_checkpoints_alone(unjudged_set: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    run(blazeface(unjudged_set, output, "Train.epochs_iters=2"))
    kept = output / "kept" / f"notes{STATES}"
    kept.parent.mkdir()
    kept.write_text("mine")
    run(blazeface(unjudged_set, output, "Train.epochs_iters=1"), force=True)
    assert kept.read_text() == "mine"
    assert {path.name for path in checkpoints(output)} == {"1", "best_model"}
    assert "epoch: 1/2" not in (output / "train.log").read_text()


def test_going_on_from_an_earlier_checkpoint_removes_the_later_ones(unjudged_set: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    three = (unjudged_set, output, "Train.epochs_iters=3")
    run(blazeface(*three))
    shutil.copytree(output / "3", tmp_path / "3")
    told = run(blazeface(*three, f"Train.resume_path={output / '1'}"))
    removed = next(line for line in told.splitlines() if line.startswith("removed what is further on: "))
    assert {each.strip() for each in removed.partition(":")[2].split(",")} == {"2", "3", "best_model"}
    assert_same_state(tmp_path / "3", output / "3")
    assert_same_state(tmp_path / "3", output / "best_model")

    # As a run that was killed leaves it: the last epoch is written, the best model not yet.
    last = (*three, f"Train.resume_path={output / '3'}")
    shutil.rmtree(output / "best_model")
    assert "removed" not in run(blazeface(*last))
    assert_same_state(tmp_path / "3", output / "best_model")
    assert read_paddle_model(output / "best_model" / "inference", known=("BlazeFace",)).name == "BlazeFace"
    assert result_of(output)["models"]["best"]["pdparams"] == "best_model/best_model.pdparams"

    shutil.rmtree(output / "best_model")
    shutil.rmtree(output / "3" / "inference")
    assert "the best model so far, of epoch 3, is not there any more" in run(blazeface(*last))
    assert "best" not in result_of(output)["models"]


def test_going_on_in_another_folder_takes_the_best_model_along(unjudged_set: Path, tmp_path: Path) -> None:
    output, other = tmp_path / "output", tmp_path / "other"
    run(blazeface(unjudged_set, output, "Train.epochs_iters=1"))
    run(blazeface(unjudged_set, other, "Train.epochs_iters=1", "Train.seed=1"))
    there = contents(other)
    going_on = blazeface(unjudged_set, other, "Train.epochs_iters=1", f"Train.resume_path={output}")
    with pytest.raises(ConfigError, match="holds the result of another run"):
        run(going_on)
    assert contents(other) == there
    before = contents(output)
    run(going_on, force=True)
    assert [path.name for path in checkpoints(other)] == ["best_model"]
    assert_same_state(output / "best_model", other / "best_model")
    assert contents(output) == before
    # A run that was killed before it could write its result is not overwritten either.
    (other / RESULT).unlink()
    with pytest.raises(ConfigError, match="holds the result of another run"):
        run(blazeface(unjudged_set, other, "Train.epochs_iters=1"))


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "3"
    state = EngineState({"weight": np.zeros(2, np.float32)}, None, {"moment": np.zeros(2, np.float32)})
    write_checkpoint(folder, state, Progress("BlazeFace", 9, 3, {}))
    assert read_checkpoint(folder)[1].step == 9
    (folder / f"3{OPTIMIZER}").write_bytes(b"not a pickle")
    with pytest.raises(ConfigError, match=r"3\.pdopt is not a file that Paddle can read"):
        read_checkpoint(folder)
    for damaged in (pickle.dumps({"step": 9}), b'{"step": 9}'):
        (folder / f"3{STATES}").write_bytes(damaged)
        with pytest.raises(ConfigError, match=r"3 is no checkpoint of `toonface train`, or a damaged one: 3\.pdstates"):
            find_checkpoint(tmp_path)


def test_an_output_that_is_no_folder_is_named(unjudged_set: Path, tmp_path: Path) -> None:
    output = tmp_path / "README.md"
    output.write_text("mine")
    with pytest.raises(ConfigError, match=r"Global\.output is .*README\.md, which cannot be written to: "):
        run(blazeface(unjudged_set, output, "Train.epochs_iters=1"))
    assert output.read_text() == "mine"


def test_resuming_tells_what_is_different_and_refuses_what_cannot_be(unjudged_set: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    run(blazeface(unjudged_set, output, "Train.epochs_iters=1"))
    more = (f"Train.resume_path={output}", "Train.epochs_iters=2")
    told = run(blazeface(unjudged_set, output, *more, "Train.learning_rate=0.01", "Global.device=cpu:0"))
    assert "resumed with another setting: Train.learning_rate was 0.001, is 0.01" in told
    assert "resumed with another setting: Global.device was cpu, is cpu:0" in told
    assert "Global.dataset_dir" not in told
    with pytest.raises(ConfigError, match=r"epochs have 3 steps, this run's have 6"):
        run(blazeface(unjudged_set, output, *more, "Train.batch_size=2"))
    with pytest.raises(ConfigError, match="no checkpoint, and no output folder with checkpoints"):
        run(blazeface(unjudged_set, output, f"Train.resume_path={unjudged_set}"))
    other = read_settings(
        "BlazeFace-FPN-SSH", (f"Global.dataset_dir={unjudged_set}", f"Global.output={output}", *QUICK, more[0])
    )
    with pytest.raises(ConfigError, match=r"one of BlazeFace, not of BlazeFace-FPN-SSH"):
        run(other)


def test_a_loss_that_is_no_number_ends_the_run_with_advice(unjudged_set: Path, tmp_path: Path) -> None:
    settings = blazeface(
        unjudged_set, tmp_path / "output", "Train.epochs_iters=9", "Train.learning_rate=1e30", "Train.warmup_steps=0"
    )
    with pytest.raises(
        TrainingError, match=r"the loss is (nan|inf) in epoch \d, step \d, .*Lower Train\.learning_rate"
    ):
        run(settings)
    assert not (tmp_path / "output" / "best_model").exists()


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("Global.dataset_dir=null",), r"Global\.dataset_dir is not set"),
        (("Global.dataset_dir=/nowhere",), r"/nowhere, which is no folder"),
        (("Train.num_classes=3",), r"Train\.num_classes is 3, but .* has 1 categories: face"),
        (("Train.batch_size=13",), r"only 12 samples"),
        (("Train.pretrain_weight_path=/no.pdparams",), r"no\.pdparams, which is no file; BlazeFace_pretrained fetches"),
        (("Train.amp=O1",), r"only on a GPU"),
    ],
)
def test_wrong_settings_are_named_before_anything_is_trained(
    overrides: tuple[str, ...], said: str, unjudged_set: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=said):
        run(blazeface(unjudged_set, tmp_path / "output", "Train.epochs_iters=1", *overrides))
    assert not (tmp_path / "output" / "train_result.json").exists()


def test_too_few_classes_for_the_labels_are_refused(feature_set: Path, tmp_path: Path) -> None:
    settings = read_settings(
        "MobileFaceNet",
        (f"Global.dataset_dir={feature_set}", f"Global.output={tmp_path}", "Train.num_classes=3", "Train.batch_size=2"),
    )
    with pytest.raises(
        ConfigError, match=r"Train\.num_classes is 3, but labels .* go up to 3; set it to 4, or to null"
    ):
        run(settings)


def test_the_wrong_subcommand_and_a_device_that_is_not_there_are_named(unjudged_set: Path, tmp_path: Path) -> None:
    wrong = command(unjudged_set, tmp_path)
    wrong[2] = "feature"
    done = subprocess.run(wrong, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (
        1,
        "error: invalid_config: BlazeFace is trained by `toonface train detection`",
    )
    gpu = command(unjudged_set, tmp_path, "Global.device=gpu:0,1")
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(gpu, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1
    assert "error: invalid_config: Global.device asks for GPU 1, but Paddle is built for the CPU" in done.stderr


def test_pretrained_parameters_are_fetched_by_their_name_or_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = tmp_path / "mirror" / "official_pretrained_model" / "BlazeFace_pretrained.pdparams"
    state, _ = initial_state("BlazeFace", 1, 5, None)
    write_parameters(state.parameters, published)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "mirror"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("TOONFACE_MIRROR", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("TOONFACE_CACHE", str(tmp_path / "cache"))
    try:
        for given in ("BlazeFace_pretrained", f"https://elsewhere.example/{published.name}"):
            path = find_pretrained(read_settings("BlazeFace", (f"Train.pretrain_weight_path={given}",)))
            assert path is not None and path.read_bytes() == published.read_bytes()
    finally:
        server.shutdown()
        server.server_close()


def test_an_interrupt_before_the_first_step_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(worker, "train", interrupted)
    monkeypatch.setattr(worker, "die_with_parent", lambda: None)
    write_settings(blazeface(tmp_path, tmp_path / "output"), tmp_path / "settings.yaml")
    assert worker.main(str(tmp_path / "settings.yaml"), force=False) == 130
    assert capsys.readouterr().err.startswith("error: interrupted: interrupted before the step could be saved")


def test_an_interrupt_while_the_process_starts_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Which otherwise ends in tracebacks of Python's start, of imports, or of Paddle's own."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for number, code, told in ((signal.SIGINT, 130, ["error: interrupted: interrupted"]), (signal.SIGTERM, 143, [])):
        (tmp_path / "sitecustomize.py").write_text(f"import os\nos.kill(os.getpid(), {number:d})\n")
        assert launch(blazeface(tmp_path, tmp_path / "output")) == code
        assert [line[:31] for line in capfd.readouterr().err.splitlines()] == told


def test_a_missing_paddle_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paddle", None)
    with pytest.raises(ConfigError, match=r"training needs paddle, .* pip install 'toonface\[training\]'"):
        worker._import_paddle()


def test_what_paddles_launcher_cannot_do_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    class CannotBeSent:
        pass

    handler = signal.getsignal(signal.SIGINT)
    unsendable: Any = CannotBeSent()
    assert worker._train_together(unsendable, Devices("cpu", (0, 1)), force=False) == 1
    assert "error: training_failed: " in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) == handler


@pytest.mark.slow
def test_two_processes_train_together_and_are_interrupted_together(detection_set: Path, tmp_path: Path) -> None:
    options = ("Train.epochs_iters=2", "Train.batch_size=2", "Global.device=cpu:0,1")
    told = execute(command(detection_set, tmp_path / "output", *options))
    # Three steps an epoch: twelve pictures, four in a step of both.
    assert "epoch 2: AP " in told
    result = result_of(tmp_path / "output")
    assert result["done_flag"] and list(result["models"]) == ["last_1", "last_2", "best"]
    assert read_checkpoint(tmp_path / "output" / "2")[1].steps_per_epoch == 3

    output = tmp_path / "interrupted"
    rarely = ("Train.epochs_iters=12", "Train.eval_interval=12", "Train.save_interval=12", "Train.log_interval=1")
    arguments = command(detection_set, output, *options, *rarely)
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, env=ONE_THREAD)
    _wait_for(output / "train.log", "epoch: 1/12, step: 1/3", process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert [line[:19] for line in said.splitlines() if line.startswith("error: ")] == ["error: interrupted:"]
    assert "Traceback" not in said
    assert 0 < read_checkpoint(find_checkpoint(output))[1].step < 36
    execute([*arguments, "-o", f"Train.resume_path={output}"])
    assert result_of(output)["done_flag"]
