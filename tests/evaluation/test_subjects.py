"""The same figures from Paddle, from the exported graphs and from what training leaves; and what is refused."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from evaluation_sets import DEMO, MODELS

from toonface_client import Tls
from toonface_contract.errors import ConfigError, ExportError, Unavailable
from toonface_export.pipeline import read_pipeline
from toonface_training.evaluation.datasets import read_picture
from toonface_training.evaluation.metrics.detection import box_overlaps
from toonface_training.evaluation.subjects import MOST_FACES, Pixels, Remembered
from toonface_training.evaluation.subjects.opening import Subject, SubjectSettings, open_subject


@pytest.fixture(scope="module")
def pictures() -> list[Pixels]:
    """Larger than the canvas, smaller, and one without a face."""
    return [read_picture(DEMO / "pictures" / f"{name}.jpg") for name in ("friends", "two", "nobody")]


@pytest.fixture(scope="module")
def faces() -> list[Pixels]:
    return [read_picture(DEMO / "gallery" / f"{number:02d}-1.jpg") for number in range(1, 9)]


@pytest.fixture(scope="module")
def paddle(pipeline_file: Path) -> Subject:
    return open_subject(str(pipeline_file), SubjectSettings())


@pytest.fixture(scope="module", params=["onnxruntime", "openvino"])
def exported(repository: Path, request: pytest.FixtureRequest) -> Iterator[Subject]:
    yield open_subject(str(repository), SubjectSettings(backend=request.param))


def test_thresholds_come_from_the_pipeline_file(paddle: Subject, exported: Subject, pipeline_file: Path) -> None:
    options = read_pipeline(pipeline_file).options
    for subject in (paddle, exported):
        assert (subject.det_threshold, subject.rec_threshold) == (options.det_threshold, options.rec_threshold)


def test_exported_detections_are_paddles(paddle: Subject, exported: Subject, pictures: list[Pixels]) -> None:
    expected, found = (list(subject.must_detect().detect(pictures, 0.3)) for subject in (paddle, exported))
    for one, two, picture in zip(expected, found, pictures, strict=True):
        overlaps = box_overlaps(one.boxes, two.boxes)
        # Where the processor has bf16, it moves boxes and scores a little, and those near the threshold come and go.
        for scores, others, best in ((one.scores, two.scores, overlaps), (two.scores, one.scores, overlaps.T)):
            sure = scores > 0.4
            assert np.all(best[sure].max(axis=1, initial=0) > 0.9)
            assert np.abs(others[best[sure].argmax(axis=1)] - scores[sure]).max(initial=0) < 0.05
        assert two.boxes.min(initial=0) >= 0
        assert np.all(two.boxes.max(axis=0, initial=0)[2:] <= picture.shape[1::-1])
    assert [bool((each.scores > 0.4).any()) for each in found[:2]] == [True, True]


def test_in_single_precision_they_are_the_same(paddle: Subject, repository: Path, pictures: list[Pixels]) -> None:
    # Down to the floor, where boxes of several scales suppress one another.
    exported = open_subject(str(repository), SubjectSettings(backend="onnxruntime"))
    expected, found = (list(subject.must_detect().detect(pictures, 0.05)) for subject in (paddle, exported))
    for one, two in zip(expected, found, strict=True):
        assert len(one.scores) > 3
        assert two.boxes == pytest.approx(one.boxes, abs=0.01)
        assert two.scores == pytest.approx(one.scores, abs=1e-4)


def test_exported_embeddings_are_paddles(paddle: Subject, exported: Subject, faces: list[Pixels]) -> None:
    expected = np.stack(list(paddle.must_embed().embed(faces)))
    found = np.stack(list(exported.must_embed().embed(faces)))
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-3)
    assert np.sum(expected * found, axis=1).min() > 0.999


def test_a_picture_full_of_faces_is_cut_alike(paddle: Subject, exported: Subject, faces: list[Pixels]) -> None:
    crowd = np.concatenate([np.concatenate([face[:100, :100] for face in faces] * 2, axis=1)] * 9)
    for subject in (paddle, exported):
        (found,) = subject.must_detect().detect([crowd], 0.01)
        assert len(found.scores) == MOST_FACES
        assert np.all(np.diff(found.scores) <= 0)


def test_recognition_embeds_what_detection_finds(exported: Subject, pictures: list[Pixels]) -> None:
    blank = np.full((200, 300, 3), 255, np.uint8)
    *some, nobody = exported.must_recognise().find([*pictures, blank], 0.5)
    for seen, found in zip(some, exported.must_detect().detect(pictures, 0.5), strict=True):
        assert np.array_equal(seen.found.boxes, found.boxes)
        assert seen.embeddings.shape == (len(found.scores), 128)
    assert len(nobody.embeddings) == len(nobody.found.scores) == 0


def test_remembered_faces_are_embedded_alike(exported: Subject, pictures: list[Pixels]) -> None:
    found = list(exported.must_detect().detect(pictures))
    remembered = Remembered(found, exported.must_embed()).find(pictures, 0.8)
    for one, two in zip(remembered, exported.must_recognise().find(pictures, 0.8), strict=True):
        assert one.found.boxes == pytest.approx(two.found.boxes)
        assert one.embeddings == pytest.approx(two.embeddings, abs=1e-5)


def test_the_folder_that_training_leaves_is_looked_into(tmp_path: Path, faces: list[Pixels], paddle: Subject) -> None:
    shutil.copytree(MODELS / "MobileFaceNet", tmp_path / "best_model" / "inference")
    subject = open_subject(str(tmp_path), SubjectSettings())
    assert subject.detector is None
    (one,), (two,) = subject.must_embed().embed(faces[:1]), paddle.must_embed().embed(faces[:1])
    assert np.array_equal(one, two)


def test_parameters_are_run_as_their_inference_folder(tmp_path: Path, faces: list[Pixels]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import paddle

        from toonface_training.networks import build
        from toonface_training.networks.parameters import write_parameters

        paddle.seed(3)
        network = build("MobileFaceNet")
        network.eval()
        write_parameters(network.state_dict(), tmp_path / "best_model.pdparams")
        subject = open_subject(str(tmp_path / "best_model.pdparams"), SubjectSettings(model="MobileFaceNet"))
    pixels = np.stack([face[:112, :112] for face in faces])
    features = network(paddle.to_tensor((pixels.transpose(0, 3, 1, 2).astype(np.float32) / 255 - 0.5) / 0.5)).numpy()
    expected = features / np.linalg.norm(features, axis=1, keepdims=True)
    assert np.stack(list(subject.must_embed().embed(pixels))) == pytest.approx(expected, abs=1e-5)
    with pytest.raises(ConfigError, match="name the model"):
        open_subject(str(tmp_path / "best_model.pdparams"), SubjectSettings())


def test_an_embedders_onnx_file_stands_alone(repository: Path, faces: list[Pixels]) -> None:
    file = repository / "face_embedding" / "1" / "model.onnx"
    (embedding,) = open_subject(str(file), SubjectSettings()).must_embed().embed(faces[:1])
    assert embedding.shape == (128,)
    with pytest.raises(ConfigError, match="of a detector name the repository"):
        open_subject(str(repository / "face_detection" / "1" / "model.onnx"), SubjectSettings())


@pytest.mark.parametrize("floor", ["random-network", "colour-histogram"])
def test_floors_embed(floor: str, faces: list[Pixels]) -> None:
    embedder = open_subject(floor, SubjectSettings()).must_embed()
    embeddings = np.stack(list(embedder.embed([*faces, faces[0]])))
    assert np.linalg.norm(embeddings, axis=1) == pytest.approx(1, abs=1e-5)
    assert embeddings[0] == pytest.approx(embeddings[-1], abs=1e-5)
    assert embeddings[0] @ embeddings[1] < 0.9999


@pytest.mark.parametrize(
    ("subject", "settings", "message"),
    [
        ("colour-histogram", SubjectSettings(backend="openvino"), "--backend changes nothing for the floor"),
        (str(MODELS / "MobileFaceNet"), SubjectSettings(canvas=(9, 9)), "--canvas changes nothing for MobileFaceNet"),
        (
            str(MODELS / "MobileFaceNet"),
            SubjectSettings(model="MobileFaceNet"),
            "--model changes nothing for MobileFaceNet",
        ),
        (
            str(MODELS / "face_recognition.yaml"),
            SubjectSettings(backend="openvino"),
            "--backend changes nothing for a pipeline file with BlazeFace-FPN-SSH",
        ),
        ("127.0.0.1:9", SubjectSettings(pyramid_levels=2), "--pyramid-levels changes nothing for a live server"),
        ("random-network", SubjectSettings(tls=Tls()), "--tls changes nothing for the floor"),
        (
            str(MODELS / "MobileFaceNet"),
            SubjectSettings(token_file=Path("t")),
            "--token-file changes nothing for Mobile",
        ),
    ],
)
def test_a_setting_that_would_be_ignored_is_refused(subject: str, settings: SubjectSettings, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_subject(subject, settings)


def test_a_repository_refuses_what_it_was_exported_with(repository: Path) -> None:
    with pytest.raises(ConfigError, match="--canvas changes nothing for a model repository"):
        open_subject(str(repository), SubjectSettings(canvas=(640, 640)))


def test_settings_go_before_those_of_the_pipeline_file(pipeline_file: Path) -> None:
    serving = read_pipeline(pipeline_file).serving
    settings = SubjectSettings(canvas=(128, 256))
    assert settings.over(serving) == serving.model_copy(update={"canvas": (128, 256)})
    with pytest.raises(ExportError, match="100"):
        open_subject(str(pipeline_file), SubjectSettings(canvas=(100, 100)))


def test_a_repositorys_name_says_in_what_it_computes(repository: Path, tmp_path: Path) -> None:
    single = open_subject(str(repository), SubjectSettings(backend="onnxruntime"))
    assert single.name == "BlazeFace-FPN-SSH (f32) and MobileFaceNet (f32), onnxruntime"
    shutil.copytree(repository, tmp_path / "repository")
    manifest = json.loads((repository / "toonface.json").read_text())
    manifest["recogniser"]["precision"] = "bf16"
    (tmp_path / "repository" / "toonface.json").write_text(json.dumps(manifest))
    half = open_subject(str(tmp_path / "repository"), SubjectSettings(backend="openvino"))
    assert half.name.endswith("and MobileFaceNet (bf16), openvino")


def test_an_engine_is_evaluated_where_it_is_served(repository: Path, tmp_path: Path) -> None:
    manifest = json.loads((repository / "toonface.json").read_text())
    manifest["serving"]["backend"] = "tensorrt"
    (tmp_path / "toonface.json").write_text(json.dumps(manifest))
    with pytest.raises(ConfigError, match="is for tensorrt, which computes where it is served"):
        open_subject(str(tmp_path), SubjectSettings())


def test_what_is_no_model_is_refused(tmp_path: Path, repository: Path) -> None:
    with pytest.raises(ConfigError, match="is nothing that can be evaluated"):
        open_subject("no/such/model", SubjectSettings())
    with pytest.raises(ExportError, match="is missing"):
        open_subject(str(tmp_path), SubjectSettings())
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ConfigError, match="cannot be loaded by onnxruntime"):
        open_subject(str(tmp_path / "model.onnx"), SubjectSettings())
    (tmp_path / "toonface.json").write_text("{}")
    with pytest.raises(ConfigError, match="is not what `toonface export` writes"):
        open_subject(str(tmp_path), SubjectSettings())
    with pytest.raises(Unavailable):
        open_subject("127.0.0.1:9", SubjectSettings())


def test_one_model_cannot_do_the_others_work() -> None:
    embedder = open_subject("colour-histogram", SubjectSettings())
    with pytest.raises(ConfigError, match="finds no faces; name a detector"):
        embedder.must_detect()
    with pytest.raises(ConfigError, match="needs a detector and an embedder"):
        embedder.must_recognise()
    detector = open_subject(str(MODELS / "BlazeFace-FPN-SSH"), SubjectSettings())
    with pytest.raises(ConfigError, match="embeds no faces; name an embedder"):
        detector.must_embed()
