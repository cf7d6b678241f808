"""The networks on Paddle: built, trained for a step, written as an inference folder, and read again."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from numpy.typing import NDArray

from toonface_contract.errors import ConfigError
from toonface_export.paddle_model import read_paddle_model
from toonface_export.paddle_process import paddle_outputs
from toonface_training.networks import DETECTORS, EMBEDDERS, MODELS, build
from toonface_training.networks.inference import write_inference
from toonface_training.networks.mends import mend_detection
from toonface_training.networks.parameters import read_parameters, set_parameters, without_head, write_parameters
from toonface_training.networks.targets import BLAZE_FACES, training_inputs
from toonface_training.networks.zoo import detection

SIZE = 128
SMALL = ("BlazeFace-FPN-SSH", "MobileFaceNet")
ALL = [name if name in SMALL else pytest.param(name, marks=pytest.mark.slow) for name in MODELS]
# Millions of trainable numbers, as PaddleX's models have.
WEIGHTS = {
    "PP-YOLOE_plus-S_face": 7.63,
    "PicoDet_LCNet_x2_5_face": 7.09,
    "BlazeFace": 0.12,
    "BlazeFace-FPN-SSH": 0.16,
    "MobileFaceNet": 1.02,
    "ResNet50_face": 24.61,
}


def pictures(count: int, size: int = SIZE) -> NDArray[np.float32]:
    return np.random.default_rng(3).random((count, 3, size, size), dtype=np.float32)


def evaluation_inputs(images: NDArray[np.float32]) -> dict[str, Any]:
    sides = np.full((len(images), 2), images.shape[2], np.float32)
    inputs = {"image": images, "im_shape": sides, "scale_factor": np.full_like(sides, 0.5)}
    return {name: paddle.to_tensor(array) for name, array in inputs.items()}


@pytest.mark.parametrize("name", MODELS)
def test_a_network_has_the_weights_of_paddlex(name: str) -> None:
    paddle.seed(0)
    network = build(name)
    assert round(sum(parameter.size for parameter in network.parameters()) / 1e6, 2) == WEIGHTS[name]


def test_building_twice_gives_the_same_network() -> None:
    # PaddleDetection's CSPPAN appends to a default argument, which the second network would inherit.
    networks = [build("PicoDet_LCNet_x2_5_face") for _ in range(2)]
    shapes = [{key: tuple(value.shape) for key, value in each.state_dict().items()} for each in networks]
    assert shapes[0] == shapes[1]
    network = networks[1]
    network.eval()
    assert network(evaluation_inputs(pictures(1)))["bbox"].shape[1] == 6


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_learns_from_pictures_with_faces_and_without(name: str) -> None:
    paddle.seed(0)
    network = build(name)
    optimizer = paddle.optimizer.Adam(1e-3, parameters=network.parameters())
    boxes = [np.array([[10, 10, 60, 60], [50, 70, 90, 100]], np.float32), np.zeros((0, 4), np.float32)]
    classes = [np.zeros(len(each), np.int64) for each in boxes]
    losses = []
    for _ in range(6):
        loss = network(training_inputs(name, pictures(2), boxes, classes))["loss"]
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
        losses.append(float(loss))
    assert losses[-1] < losses[0]
    nothing = network(training_inputs(name, pictures(2), [boxes[1]] * 2, [classes[1]] * 2))["loss"]
    assert np.isfinite(float(nothing))


@pytest.mark.parametrize("name", EMBEDDERS)
def test_an_embedder_answers_with_its_dimension(name: str) -> None:
    network = build(name)
    network.eval()
    assert network(paddle.to_tensor(pictures(2, 112))).shape == [2, EMBEDDERS[name].dimension]


@pytest.mark.parametrize("name", ALL)
def test_the_inference_folder_computes_what_the_network_does(name: str, tmp_path: Path) -> None:
    paddle.seed(1)
    network = build(name)
    if name == "PP-YOLOE_plus-S_face":
        # Its untrained scores are all the same, and just the threshold of its NMS. These are too far apart for a
        # rounding to change their order.
        for layer in network.yolo_head.pred_cls:
            layer.weight.set_value(paddle.randn(layer.weight.shape) * 0.2)
    before = {key: value.numpy().copy() for key, value in network.state_dict().items()}
    write_inference(network, name, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"inference.json", "inference.pdiparams", "inference.yml"}
    assert network.training
    assert all((value.numpy() == before[key]).all() for key, value in network.state_dict().items())

    model = read_paddle_model(tmp_path, known=tuple(MODELS))
    assert model.name == name
    network.eval()
    if name in EMBEDDERS:
        images = pictures(2, 112)
        expected = [network(paddle.to_tensor(images)).numpy()]
        feeds = {"x": images}
    else:
        images = pictures(1, DETECTORS[name].size or SIZE)
        inputs = evaluation_inputs(images)
        answer = network(inputs)
        expected = [answer["bbox"].numpy(), answer["bbox_num"].numpy()]
        wanted = ("image", "im_shape", "scale_factor") if DETECTORS[name].size is None else ("image", "scale_factor")
        feeds = {key: inputs[key].numpy() for key in wanted}
    for own, exported in zip(expected, paddle_outputs(model, [feeds])[0], strict=True):
        np.testing.assert_allclose(exported, own, rtol=1e-3, atol=2e-3)


def test_the_anchors_are_those_of_paddles_operator() -> None:
    mend_detection()
    generator = build("BlazeFace").blaze_head.anchor_generator
    image = paddle.zeros([1, 3, 96, 160])
    features = [paddle.zeros([1, 1, 12, 20]), paddle.zeros([1, 1, 6, 10])]
    for own, feature, sizes, step in zip(
        generator(features, image), features, generator.min_sizes, generator.steps, strict=True
    ):
        boxes, _ = paddle.vision.ops.prior_box(feature, image, sizes, steps=[step, step], offset=0.5)
        np.testing.assert_allclose(own.numpy(), boxes.numpy().reshape(-1, 4), atol=1e-6)


def test_hard_mining_keeps_faces_and_the_hardest_of_the_rest() -> None:
    mend_detection()
    loss = detection("losses.ssd_loss").SSDLoss()
    labels = paddle.to_tensor([[0, 1, 1, 1, 1, 1, 1, 1], [1] * 8])
    losses = paddle.to_tensor(
        [[9.0, 0.1, 0.8, 0.3, 0.7, 0.2, 0.6, 0.5], [0.1, 0.9, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]], dtype="float32"
    )
    counted = loss._mine_hard_example(losses, labels, 1, mine_neg_ratio=0.25).numpy()
    # Three times as many others as faces; a quarter of the anchors where there is no face.
    assert counted[0].nonzero()[0].tolist() == [0, 2, 4, 6]
    assert counted[1].nonzero()[0].tolist() == [1, 7]


def test_blazeface_learns_from_the_largest_faces_of_a_crowd() -> None:
    crowd = np.array([[0, 0, 1 + row % 100, 1 + row % 100] for row in range(BLAZE_FACES + 50)], np.float32)
    inputs = training_inputs("BlazeFace", pictures(1), [crowd], [np.zeros(len(crowd), np.int64)])
    sides = inputs["gt_bbox"].numpy()[0, :, 2] * SIZE
    assert len(sides) == BLAZE_FACES
    assert sides.min() > crowd[:, 2].min()
    assert sides.max() == crowd[:, 2].max()


def test_parameters_survive_a_file(tmp_path: Path) -> None:
    paddle.seed(0)
    network, other = build("BlazeFace"), build("BlazeFace")
    write_parameters(network.state_dict(), tmp_path / "model.pdparams")
    assert set_parameters(other, read_parameters(tmp_path / "model.pdparams"), "model.pdparams") == []
    assert all((value.numpy() == other.state_dict()[key].numpy()).all() for key, value in network.state_dict().items())
    assert [path.name for path in tmp_path.iterdir()] == ["model.pdparams"]


def test_a_file_of_another_network_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "model.pdparams"
    write_parameters(build("BlazeFace").state_dict(), path)
    with pytest.raises(ConfigError, match=r"model\.pdparams does not fit: conv1\..* is missing;.* more"):
        set_parameters(build("MobileFaceNet"), read_parameters(path), path)
    with pytest.raises(ConfigError, match="does not fit"):
        set_parameters(build("MobileFaceNet"), read_parameters(path), path, fit=True)


def test_another_number_of_classes_is_named_and_the_rest_taken(tmp_path: Path) -> None:
    pretrained = {name: value.numpy() for name, value in build("BlazeFace", num_classes=2).state_dict().items()}
    problems = set_parameters(build("BlazeFace"), pretrained, "pretrained", fit=True)
    assert "blaze_head.scores0.weight has shape [6, 96, 3, 3], this network's has [4, 96, 3, 3]" in problems
    assert len(problems) == 4


def test_an_embedder_is_found_in_a_file_with_its_training_head() -> None:
    own = {name: value.numpy() for name, value in build("MobileFaceNet").state_dict().items()}
    with_head = {f"backbone.{name}": array for name, array in own.items()} | {"head.weight": np.zeros((128, 7))}
    assert without_head(with_head).keys() == own.keys()
    assert without_head(own).keys() == own.keys()
    detector = {name: value.numpy() for name, value in build("BlazeFace").state_dict().items()}
    assert without_head(detector).keys() == detector.keys()


@pytest.mark.parametrize("content", [b"", b"not a pickle", None])
def test_a_file_that_holds_no_parameters_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "model.pdparams"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"model\.pdparams"):
        read_parameters(path)


def test_unknown_models_and_class_counts_are_refused() -> None:
    with pytest.raises(ConfigError, match="'YuNet' is not known; there are PP-YOLOE_plus-S_face"):
        build("YuNet")
    with pytest.raises(ConfigError, match="num_classes is 0"):
        build("BlazeFace", num_classes=0)


def test_a_missing_library_is_named_with_what_installs_it() -> None:
    code = (
        "import sys, importlib.util\n"
        "from toonface_training.networks import zoo\n"
        "zoo.find_spec = lambda name: None\n"
        "zoo.detection('layers')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install --no-deps paddledet==2.6.0 paddleclas==2.6.0" in done.stderr
