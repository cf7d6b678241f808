import errno
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from toonface_contract.errors import ConfigError
from toonface_contract.options import RecognitionOptions
from toonface_export.pipeline import Pipeline, read_pipeline
from toonface_export.serving import Engine, Serving, Target


def _read(folder: Path, content: Any) -> Pipeline:
    path = folder / "pipeline.yaml"
    path.write_text(yaml.safe_dump(content))
    return read_pipeline(path)


def test_paddlex_keys_alone_are_enough(tmp_path: Path, pipeline_content: dict[str, Any]) -> None:
    del pipeline_content["Serving"]
    pipeline = _read(tmp_path, pipeline_content)
    assert pipeline.serving == Serving()
    assert pipeline.modules.detection.model_name == "BlazeFace-FPN-SSH"


def test_thresholds_become_the_defaults_of_requests(tmp_path: Path, pipeline_content: dict[str, Any]) -> None:
    pipeline_content |= {"det_threshold": 0.25, "rec_threshold": 0.75, "rec_topk": 3}
    options = _read(tmp_path, pipeline_content).options
    assert options == RecognitionOptions(det_threshold=0.25, rec_threshold=0.75, topk=3)


@pytest.mark.parametrize(("written", "read"), [("None", None), (None, None), ("galleries/mine", "galleries/mine")])
def test_the_index_may_be_the_word_none(
    tmp_path: Path, pipeline_content: dict[str, Any], written: str | None, read: str | None
) -> None:
    pipeline_content["index"] = written
    assert _read(tmp_path, pipeline_content).index == read


def test_models_are_beside_the_file_or_where_the_command_runs(
    tmp_path: Path, pipeline_content: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    beside, here = tmp_path / "beside", tmp_path / "here"
    for folder in (beside, here / "mine" / "detector"):
        folder.mkdir(parents=True)
    monkeypatch.chdir(here)
    embedder = pipeline_content["SubModules"]["Recognition"]["model_dir"]
    pipeline_content["SubModules"]["Detection"]["model_dir"] = "mine/detector"
    modules = _read(beside, pipeline_content).modules
    assert (modules.detection.model_dir, modules.recognition.model_dir) == (Path("mine/detector"), Path(embedder))
    (beside / "mine" / "detector").mkdir(parents=True)
    assert _read(beside, pipeline_content).modules.detection.model_dir == beside / "mine/detector"
    pipeline_content["SubModules"]["Detection"]["model_dir"] = "mine/other"
    message = rf"Detection.model_dir is mine/other, which is no folder in {beside}, where the file is, nor in .*{here}$"
    with pytest.raises(ConfigError, match=message):
        _read(beside, pipeline_content)


def test_what_is_for_paddlex_alone_is_told_and_not_heeded(tmp_path: Path, pipeline_content: dict[str, Any]) -> None:
    plain = _read(tmp_path, pipeline_content)
    pipeline_content |= {"use_hpip": False, "hpi_config": None, "engine": "paddle", "engine_config": {}}
    pipeline_content["SubModules"]["Detection"]["use_hpip"] = True
    pipeline_content["Serving"] |= {"visualize": False, "return_urls": None, "extra": {"max_num_input_imgs": 5}}
    path = tmp_path / "paddlex.yaml"
    path.write_text(yaml.safe_dump(pipeline_content))
    notes: list[str] = []
    assert read_pipeline(path, notes.append) == plain
    assert notes == [
        f"keys of {path} that are for PaddleX alone, and not heeded: engine, engine_config, use_hpip, hpi_config, "
        "SubModules.Detection.use_hpip, Serving.visualize, Serving.return_urls, Serving.extra"
    ]
    read_pipeline(tmp_path / "pipeline.yaml", notes.append)
    assert len(notes) == 1


def test_a_model_dir_that_may_not_be_looked_for(
    tmp_path: Path, pipeline_content: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    pipeline_content["SubModules"]["Detection"]["model_dir"] = "closed/detector"
    monkeypatch.setattr(Path, "is_dir", refuse)
    with pytest.raises(ConfigError, match=r"SubModules.Detection.model_dir cannot be read: .*closed/detector"):
        _read(tmp_path, pipeline_content)


def test_without_a_model_dir_it_is_that_of_null(tmp_path: Path, pipeline_content: dict[str, Any]) -> None:
    del pipeline_content["SubModules"]["Detection"]["model_dir"]
    assert _read(tmp_path, pipeline_content).modules.detection.model_dir is None


@pytest.mark.parametrize("written", [None, "None"])
def test_a_model_dir_of_null_is_left_for_the_export_to_fetch(
    tmp_path: Path, pipeline_content: dict[str, Any], written: str | None
) -> None:
    pipeline_content["SubModules"]["Detection"]["model_dir"] = written
    assert _read(tmp_path, pipeline_content).modules.detection.model_dir is None


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("Servng",), {}, "Servng is not known .known here are pipeline_name, index"),
        (("Serving", "queue"), 3, "Serving.queue is not known .known here are target, backend, precision"),
        (("Serving", "engine"), {"batch": 3}, "Serving.engine.batch is not known .known here are detection_batches"),
        (
            ("SubModules", "Detection", "threshold"),
            3,
            "SubModules.Detection.threshold is not known .known here are mod",
        ),
        (("SubModules", "Recognition"), None, "SubModules.Recognition Input should be"),
        (("pipeline_name",), "OCR", "pipeline_name Input should be 'face_recognition'"),
        (("det_threshold",), 1.5, "det_threshold Input should be less than or equal to 1"),
        (("rec_topk",), 0, "rec_topk Input should be greater than or equal to 1"),
        (("Serving", "canvas"), [640], "Serving.canvas"),
        (("Serving", "pyramid_levels"), 0, "Serving.pyramid_levels Input should be greater"),
        (
            ("Serving", "backend"),
            "tensorflow",
            "Serving.backend Input should be 'openvino', 'onnx",
        ),
        (
            ("Serving",),
            {"backend": "onnxruntime", "precision": "bf16"},
            "bf16 is not served by backend onnxruntime",
        ),
        (("Serving",), {"embedding_precision": "f16"}, "f16 is not served by backend openvino on target cpu; it knows"),
        (("Serving",), {"target": "gpu", "backend": "openvino"}, "openvino does not serve target gpu; tensorrt, onnx"),
        (("Serving",), {"precision": "int8"}, "precision int8 needs pictures like those that will be served"),
        (("Serving",), {"search_batch": 32}, "search_batch is 32; it must be at least embedding_batch, 64"),
    ],
)
def test_each_wrong_key_is_named(
    tmp_path: Path, pipeline_content: dict[str, Any], place: tuple[str, ...], value: Any, message: str
) -> None:
    target = pipeline_content
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = value
    with pytest.raises(ConfigError, match=message):
        _read(tmp_path, pipeline_content)


@pytest.mark.parametrize("content", [None, "text", ["a", "list"]])
def test_a_file_of_something_else(tmp_path: Path, content: Any) -> None:
    with pytest.raises(ConfigError, match=r"pipeline.yaml: Input should be"):
        _read(tmp_path, content)


def test_a_file_that_is_not_yaml(tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text("a: [")
    with pytest.raises(ConfigError, match=r"pipeline.yaml is not YAML"):
        read_pipeline(tmp_path / "pipeline.yaml")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_pipeline(tmp_path / "pipeline.yaml")


def test_folders_of_pictures_are_relative_to_the_file(tmp_path: Path, pipeline_content: dict[str, Any]) -> None:
    pipeline_content["Serving"] = {"precision": "int8", "calibration": "mine", "pictures": "/elsewhere"}
    serving = _read(tmp_path, pipeline_content).serving
    assert (serving.calibration, serving.pictures) == (tmp_path / "mine", Path("/elsewhere"))


def test_each_network_may_have_its_own_precision(tmp_path: Path, pipeline_content: dict[str, Any]) -> None:
    pipeline_content["Serving"] = {"precision": "f32", "detection_precision": "bf16"}
    serving = _read(tmp_path, pipeline_content).serving
    assert (serving.detector_precision, serving.embedder_precision) == ("bf16", "f32")


def test_settings_can_be_overridden_but_must_go_together(tmp_path: Path, pipeline_content: dict[str, Any]) -> None:
    pipeline_content["Serving"] = {"precision": "bf16", "threads": 2}
    pipeline = _read(tmp_path, pipeline_content)
    assert pipeline.with_serving(backend="openvino", target=None).serving.threads == 2
    with pytest.raises(ConfigError, match="precision bf16 is not served by backend onnxruntime on target cpu"):
        pipeline.with_serving(backend="onnxruntime")


def test_every_key_can_be_written_on_the_command_line() -> None:
    file = Serving(threads=3, engine=Engine(embedding_batches=(4,)))
    written = [
        "canvas=[128, 160]",
        "detection_precision=f32",
        "engine.workspace_mb=5",
        "engine.timing_cache=here/cache",
    ]
    engine = Engine(embedding_batches=(4,), workspace_mb=5, timing_cache=Path("here/cache"))
    changed = file.changed(written, precision="f32")
    assert changed == Serving(threads=3, canvas=(128, 160), precision="f32", detection_precision="f32", engine=engine)
    assert changed.changed(["detection_precision=null", "precision=bf16"], precision="f32") == Serving(
        threads=3, canvas=(128, 160), precision="bf16", engine=engine
    )
    assert Serving().changed(["target=gpu"]) == Serving(target="gpu")


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("speed=3", "^speed is not known .known here are target, backend, precision"),
        ("engine.batch=3", "^engine.batch is not known .known here are detection_batches"),
        ("threads=many", "^threads Input should be a valid integer"),
        ("threads.x=1", "^threads Input should be a valid integer"),
        ("canvas=[1]", "^canvas"),
        ("threads", "^-o 'threads' is not KEY=VALUE, such as threads=2 or engine.workspace_mb=512"),
        ("=3", "is not KEY=VALUE"),
        ("engine.=3", "is not KEY=VALUE"),
        ("threads=[", r"^-o threads=\[: the value cannot be read"),
        ("threads=2020-13-45", "^-o threads=2020-13-45: the value cannot be read: month must be"),
    ],
)
def test_a_key_that_is_written_wrongly_is_named(written: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Serving().changed([written])
    with pytest.raises(ConfigError, match="engine is a value, which holds no further keys"):
        Serving().changed(["engine=3", "engine.workspace_mb=3"])


@pytest.mark.parametrize(("file", "asked"), [("cpu", "gpu"), ("gpu", "cpu")])
@pytest.mark.parametrize("written_out", [False, True])
def test_another_target_takes_its_own_defaults(
    tmp_path: Path, pipeline_content: dict[str, Any], file: Target, asked: Target, written_out: bool
) -> None:
    defaults = Serving(target=file).model_dump(mode="json") if written_out else {"target": file}
    pipeline_content["Serving"] = {**defaults, "queue_size": 7, "engine": {"workspace_mb": 5}}
    serving = _read(tmp_path, pipeline_content).with_serving(target=asked).serving
    assert serving == Serving(target=asked, queue_size=7, engine=Engine(workspace_mb=5))


def test_another_target_keeps_what_is_no_default(tmp_path: Path, pipeline_content: dict[str, Any]) -> None:
    pipeline_content["Serving"] = {"backend": "onnxruntime", "detection_instances": 3, "embedding_batch": 16}
    serving = _read(tmp_path, pipeline_content).with_serving(target="gpu", detection_batch=2).serving
    assert (serving.backend, serving.detection_instances, serving.embedding_batch) == ("onnxruntime", 3, 16)
    assert (serving.detection_batch, serving.embedding_instances) == (2, 1)
    back = serving.changed(target="cpu", backend="openvino")
    assert (back.backend, back.detection_instances, back.embedding_instances) == ("openvino", 3, 2)


def test_the_printed_file_serves_the_other_target_with_its_defaults() -> None:
    content = yaml.safe_load((files("toonface_export") / "default_pipeline.yaml").read_text())
    assert Pipeline.model_validate(content).with_serving(target="gpu").serving == Serving(target="gpu")


def test_the_printed_file_holds_every_key_at_its_default() -> None:
    text = (files("toonface_export") / "default_pipeline.yaml").read_text()
    content = yaml.safe_load(text)
    pipeline = Pipeline.model_validate(content)
    assert pipeline.serving == Serving()
    assert set(content["Serving"]) == set(Serving.model_fields)
    assert set(content["Serving"]["engine"]) == set(Engine.model_fields)
    assert pipeline.options == RecognitionOptions()
    assert set(content) == {field.alias or name for name, field in Pipeline.model_fields.items()}
    for line in text.splitlines():
        assert len(line) <= 120
