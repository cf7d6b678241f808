"""An engine's steps, and that its state is all there is to it."""

import pickle
from pathlib import Path

import numpy as np
import paddle
import pytest

from toonface_contract.errors import ConfigError
from toonface_training.batches import DetectionBatch, FeatureBatch
from toonface_training.fit.arcface import ArcFace
from toonface_training.fit.engine import Engine, EngineState, Moment, Recipe, make_engine
from toonface_training.fit.imprint import imprinted
from toonface_training.fit.initial import initial_state
from toonface_training.networks import build
from toonface_training.networks.inference import write_inference
from toonface_training.networks.parameters import HEAD_WEIGHT, set_parameters, without_head, write_parameters

IDENTITIES = 4
RECIPES = [
    Recipe("BlazeFace", 1, optimizer="rmsprop", weight_decay=5e-4),
    Recipe("BlazeFace", 1, optimizer="momentum", weight_decay=5e-4, ema_decay=0.99),
    Recipe("MobileFaceNet", IDENTITIES, optimizer="adamw", weight_decay=0.05, clip_norm=5.0, ema_decay=0.99),
]


def a_batch(recipe: Recipe, seed: int) -> DetectionBatch | FeatureBatch:
    rng = np.random.default_rng(seed)
    if recipe.model == "BlazeFace":
        images = rng.integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
        boxes = [np.array([[8, 8, 40, 40]], np.float32), np.zeros((0, 4), np.float32)]
        return DetectionBatch(images, boxes, [np.zeros(len(each), np.int64) for each in boxes])
    images = rng.integers(0, 256, (3, 112, 112, 3), dtype=np.uint8)
    return FeatureBatch(images, rng.integers(0, IDENTITIES, 3))


def steps(engine: Engine, recipe: Recipe, first: int, last: int) -> list[float]:
    moments = [Moment(step, 0, 1e-3 / (1 + step), 0.3) for step in range(first, last)]
    return [engine.learn(a_batch(recipe, moment.step), moment)["loss"] for moment in moments]


def assert_same(one: EngineState, other: EngineState) -> None:
    for left, right in (
        (one.parameters, other.parameters),
        (one.average or {}, other.average or {}),
        (one.optimizer, other.optimizer),
    ):
        assert left.keys() == right.keys()
        assert all(np.array_equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: f"{recipe.model}-{recipe.optimizer}")
def test_an_engine_goes_on_from_a_state_as_if_nothing_had_been(recipe: Recipe) -> None:
    start, _ = initial_state(recipe.model, recipe.num_classes, 1, None)
    engine = make_engine("paddle", recipe)
    engine.load(start)
    steps(engine, recipe, 0, 2)
    between = pickle.dumps(engine.state())
    expected = steps(engine, recipe, 2, 4)

    other = make_engine("paddle", recipe)
    other.load(pickle.loads(between))  # noqa: S301  (our own)
    assert steps(other, recipe, 2, 4) == expected
    assert_same(engine.state(), other.state())
    name = next(iter(start.parameters))
    assert not np.array_equal(engine.state().parameters[name], start.parameters[name])


def test_the_average_trails_behind_the_parameters() -> None:
    recipe = RECIPES[1]
    start, _ = initial_state(recipe.model, 1, 1, None)
    engine = make_engine("paddle", recipe)
    engine.load(start)
    steps(engine, recipe, 0, 1)
    state = engine.state()
    assert state.average is not None and state.best is state.average
    name = "blaze_head.boxes0.weight"
    # After the first step the decay is a tenth.
    expected = 0.1 * start.parameters[name] + 0.9 * state.parameters[name]
    np.testing.assert_allclose(state.average[name], expected, rtol=1e-5, atol=1e-8)


def test_arcface_without_a_margin_is_a_softmax_of_cosines() -> None:
    paddle.seed(0)
    network = ArcFace(build("MobileFaceNet"), 128, IDENTITIES, scale=8.0)
    network.eval()
    images, labels = paddle.rand([3, 3, 112, 112]), paddle.to_tensor([0, 3, 1])
    features = network.backbone(images).numpy()
    directions = network.head.weight.numpy()
    cosines = (features / np.linalg.norm(features, axis=1, keepdims=True)) @ (
        directions / np.linalg.norm(directions, axis=0)
    )

    def expected(margin: float) -> float:
        logits = cosines.copy()
        rows = np.arange(3), labels.numpy()
        logits[rows] = np.cos(np.arccos(logits[rows]) + margin)
        exponents = np.exp(8 * logits)
        return float(-np.log(exponents[rows] / exponents.sum(axis=1)).mean())

    for margin in (0.0, 0.5):
        loss, accuracy = network(images, labels, margin)
        assert float(loss) == pytest.approx(expected(margin), rel=1e-4)
        assert float(accuracy) == pytest.approx((cosines.argmax(axis=1) == labels.numpy()).mean())
    assert expected(0.5) > expected(0.0)


def test_a_pretrained_backbone_is_taken_and_the_head_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "MobileFaceNet_pretrained.pdparams"
    other, _ = initial_state("MobileFaceNet", 9, 5, None)
    write_parameters(other.parameters, path)
    state, misfits = initial_state("MobileFaceNet", IDENTITIES, 1, path)
    assert misfits == []
    assert state.parameters[HEAD_WEIGHT].shape == (128, IDENTITIES)
    name = "backbone.conv1.conv.weight"
    assert np.array_equal(state.parameters[name], other.parameters[name])


@pytest.mark.parametrize(
    "name",
    ["MobileFaceNet", "BlazeFace-FPN-SSH", "BlazeFace", pytest.param("ResNet50_face", marks=pytest.mark.slow)],
)
def test_an_exported_network_can_be_trained_on(name: str, tmp_path: Path) -> None:
    other, _ = initial_state(name, 1, 5, None)
    network = build(name)
    set_parameters(network, without_head(other.parameters), name)
    write_inference(network, name, tmp_path)
    state, misfits = initial_state(name, 1, 1, tmp_path / "inference.pdiparams")
    assert misfits == []
    assert all(
        np.array_equal(state.parameters[key], array) for key, array in other.parameters.items() if key != HEAD_WEIGHT
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["PP-YOLOE_plus-S_face", "PicoDet_LCNet_x2_5_face"])
def test_an_exported_network_that_lacks_layers_is_refused(name: str, tmp_path: Path) -> None:
    write_inference(build(name), name, tmp_path)
    with pytest.raises(ConfigError, match=r"layers were joined or left out for inference; start from the \.pdparams"):
        initial_state(name, 1, 1, tmp_path / "inference.pdiparams")


def test_an_exported_network_of_another_kind_is_refused(tmp_path: Path) -> None:
    write_inference(build("MobileFaceNet"), "MobileFaceNet", tmp_path)
    with pytest.raises(ConfigError, match=r"pdiparams has 0 tensors batch_norm.*it is of another model"):
        initial_state("ResNet50_face", 2, 1, tmp_path / "inference.pdiparams")
    (tmp_path / "inference.pdiparams").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"pdiparams is not of an inference program that Paddle can read"):
        initial_state("MobileFaceNet", 2, 1, tmp_path / "inference.pdiparams")


def test_mixed_precision_on_a_cpu_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Train\.amp is O1.*only on a GPU"):
        make_engine("paddle", Recipe("BlazeFace", 1, amp="O1"))


def test_a_compiled_network_is_refused_by_paddle() -> None:
    with pytest.raises(ConfigError, match=r"Train\.compile is true"):
        make_engine("paddle", Recipe("MobileFaceNet", IDENTITIES, compiled=True))


class OneBatch:
    """Batches with the same one of the first three identities."""

    def __len__(self) -> int:
        return 1

    def batch(self, epoch: int, number: int) -> FeatureBatch:
        images = np.random.default_rng(7).integers(0, 256, (6, 112, 112, 3), dtype=np.uint8)
        images[1::2] //= 2
        return FeatureBatch(images, np.array([0, 1, 2, 0, 1, 2]))


def test_an_imprinted_head_holds_the_mean_embedding_of_each_identity() -> None:
    recipe = RECIPES[2]
    start, _ = initial_state(recipe.model, IDENTITIES, 1, None)
    engine = make_engine("paddle", recipe)
    engine.load(start)
    begun = imprinted(start, engine, OneBatch(), 0)

    embeddings = engine.embed(OneBatch().batch(0, 0).images)
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    head, before = begun.parameters[HEAD_WEIGHT], start.parameters[HEAD_WEIGHT]
    for identity in range(3):
        mean = units[[identity, identity + 3]].mean(axis=0)
        cosine = mean @ head[:, identity] / np.linalg.norm(mean) / np.linalg.norm(head[:, identity])
        assert cosine == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(head[:, 3], before[:, 3])
    np.testing.assert_allclose(np.linalg.norm(head[:, :3], axis=0), 4, rtol=1e-5)
    assert all(
        np.array_equal(value, start.parameters[name]) for name, value in begun.parameters.items() if name != HEAD_WEIGHT
    )
    # What it embedded has changed nothing in the engine, and it still learns.
    assert_same(engine.state(), start if recipe.ema_decay is None else EngineState(start.parameters, start.parameters))
    engine.load(begun)
    assert engine.learn(OneBatch().batch(0, 0), Moment(0, 0, 1e-3, 0.3))["loss"] > 0
