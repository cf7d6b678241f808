import errno
import json
import struct
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from toonface_contract.errors import ConfigError, ExportError
from toonface_export.families import DETECTORS, EMBEDDERS
from toonface_export.paddle_model import LEGACY_PROGRAM, PARAMETERS, PROGRAM, SETTINGS, read_paddle_model
from toonface_export.paddle_process import convert_to_onnx


def test_a_whole_folder_is_read(embedder_folder: Path) -> None:
    model = read_paddle_model(embedder_folder, known=EMBEDDERS, expected="MobileFaceNet")
    assert model.name == "MobileFaceNet"
    assert set(model.sha256) == {PROGRAM, PARAMETERS, SETTINGS}
    assert model.settings["PostProcess"] == {"NormalizeFeatures": None}


def test_the_digest_names_weights_and_program_but_not_the_settings(embedder_folder: Path) -> None:
    def digest() -> str:
        return read_paddle_model(embedder_folder, known=EMBEDDERS).digest

    first = digest()
    with (embedder_folder / SETTINGS).open("a") as file:
        file.write("# a remark\n")
    assert digest() == first
    changed = {PARAMETERS: (embedder_folder / PARAMETERS).read_bytes()[:-4] + struct.pack("<f", 0.5)}
    changed[PROGRAM] = (embedder_folder / PROGRAM).read_bytes() + b" "
    for name, content in changed.items():
        (embedder_folder / name).write_bytes(content)
        assert digest() != first
        first = digest()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"nowhere is not a folder; model_dir must name"):
        read_paddle_model(tmp_path / "nowhere", known=DETECTORS)


@pytest.mark.parametrize("name", [PROGRAM, PARAMETERS, SETTINGS])
def test_a_missing_file_is_named(detector_folder: Path, name: str) -> None:
    (detector_folder / name).unlink()
    with pytest.raises(ExportError, match=f"{name} is missing; an inference folder holds"):
        read_paddle_model(detector_folder, known=DETECTORS)


@pytest.mark.parametrize("name", [PROGRAM, PARAMETERS, SETTINGS])
def test_an_empty_file_is_named(detector_folder: Path, name: str) -> None:
    (detector_folder / name).write_bytes(b"")
    with pytest.raises(ExportError, match=f"{name} is empty"):
        read_paddle_model(detector_folder, known=DETECTORS)


@pytest.mark.parametrize("name", [PROGRAM, LEGACY_PROGRAM, PARAMETERS, SETTINGS])
def test_a_file_that_may_not_be_read_is_named(
    detector_folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    own = Path.open

    def refuse(path: Path, *arguments: Any, **more: Any) -> Any:
        if path.name == name:  # root, who may be testing, would be let in
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return own(path, *arguments, **more)

    if name == LEGACY_PROGRAM:
        (detector_folder / PROGRAM).rename(detector_folder / LEGACY_PROGRAM)
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(
        ExportError, match=f"{detector_folder / name} cannot be read: Permission denied; make the folder and its files"
    ):
        read_paddle_model(detector_folder, known=DETECTORS)


@pytest.mark.parametrize("package", ["paddle", "paddle2onnx"])
def test_without_paddle_the_extra_that_brings_it_is_named(
    embedder_folder: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    model = read_paddle_model(embedder_folder, known=EMBEDDERS)
    monkeypatch.setitem(sys.modules, package, None)
    message = rf"{embedder_folder} cannot be read without {package}, .*: pip install 'toonface\[export\]'"
    with pytest.raises(ConfigError, match=message):
        convert_to_onnx(model)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a program of Paddle"),
        ('{"program": {}}', "is not a program of Paddle"),
        ('{"base_code": {"magic": "pir", "version": 3}}', "is not a program of Paddle"),
    ],
)
def test_what_is_no_program_is_refused(detector_folder: Path, content: str, message: str) -> None:
    (detector_folder / PROGRAM).write_text(content)
    with pytest.raises(ExportError, match=message):
        read_paddle_model(detector_folder, known=DETECTORS)


@pytest.mark.parametrize("version", [0, 5, None])
def test_a_program_of_an_unknown_paddle_says_which_are_known(detector_folder: Path, version: int | None) -> None:
    program = json.loads((detector_folder / PROGRAM).read_text())
    program["base_code"]["version"] = version
    (detector_folder / PROGRAM).write_text(json.dumps(program))
    with pytest.raises(
        ExportError, match=rf"of format {version}, .* known are the formats 1 to 4 of inference.json, of Paddle 3.0"
    ):
        read_paddle_model(detector_folder, known=DETECTORS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("a: [", "is not YAML"),
        ("- a list", "holds list, not the mapping"),
        ("mode: paddle", "has no Global.model_name; known here are"),
        ("Global: {model_name: 3}", "has no Global.model_name"),
        ("Global: {model_name: YOLOX-S}", "Global.model_name is 'YOLOX-S'; known here are PP-YOLOE_plus-S_face"),
    ],
)
def test_wrong_settings_are_refused(detector_folder: Path, settings: str, message: str) -> None:
    (detector_folder / SETTINGS).write_text(settings)
    with pytest.raises(ExportError, match=message):
        read_paddle_model(detector_folder, known=DETECTORS)


def test_an_embedder_is_no_detector(embedder_folder: Path) -> None:
    with pytest.raises(ExportError, match=r"'MobileFaceNet'; known here are PP-YOLOE_plus-S_face, .*BlazeFace-FPN-SSH"):
        read_paddle_model(embedder_folder, known=DETECTORS)


def test_another_model_than_the_pipeline_file_names(detector_folder: Path) -> None:
    settings = yaml.safe_load((detector_folder / SETTINGS).read_text())
    settings["Global"]["model_name"] = "BlazeFace"
    (detector_folder / SETTINGS).write_text(yaml.safe_dump(settings))
    with pytest.raises(ExportError, match=r"is 'BlazeFace', but the pipeline file asks for 'BlazeFace-FPN-SSH'"):
        read_paddle_model(detector_folder, known=DETECTORS, expected="BlazeFace-FPN-SSH")
