"""The networks in PyTorch: the same answers as Paddle's, the same losses, and a state that is all there is to them."""

import io
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")

import paddle  # noqa: E402
from rich.console import Console  # noqa: E402
from small_sets import write_feature_set  # noqa: E402

from toonface_contract.errors import ConfigError, ExportError  # noqa: E402
from toonface_training.batches import DetectionBatch, FeatureBatch  # noqa: E402
from toonface_training.batches.order import ALONE  # noqa: E402
from toonface_training.fit import arcface as paddle_arcface  # noqa: E402
from toonface_training.fit.engine import Engine, Moment, Recipe, make_engine  # noqa: E402
from toonface_training.fit.initial import initial_state  # noqa: E402
from toonface_training.fit.reading import read_settings  # noqa: E402
from toonface_training.fit.run import train  # noqa: E402
from toonface_training.fit.task import make_task  # noqa: E402
from toonface_training.networks import build  # noqa: E402
from toonface_training.networks.parameters import Parameters, without_head  # noqa: E402
from toonface_training.twin import carry  # noqa: E402
from toonface_training.twin.anchors import LARGEST_FACE, SMALLEST_FACE, anchors, assign, decode, encode  # noqa: E402
from toonface_training.twin.arcface import ArcFace  # noqa: E402
from toonface_training.twin.detector_loss import complete_overlap, detector_losses  # noqa: E402
from toonface_training.twin.mobilefacenet import MobileFaceNet  # noqa: E402

RECIPE_FOLDER = Path(__file__).resolve().parents[2] / "models" / "recipes"
EMBEDDER, DETECTOR = "MobileFaceNet", "BlazeFace-FPN-SSH"
TWINS = [EMBEDDER, "ResNet50_face", DETECTOR]
RECIPES = [
    Recipe(EMBEDDER, 4, weight_decay=0.05, clip_norm=5.0, ema_decay=0.99, scale=32.0),
    Recipe(DETECTOR, 1, weight_decay=0.01, clip_norm=10.0, ema_decay=0.99),
    Recipe(DETECTOR, 1, optimizer="momentum", weight_decay=5e-4),
]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks as small as these are slower with more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def learned(name: str) -> Parameters:
    """Parameters as training leaves them: no bias or running mean is zero, no scale one."""
    state, _ = initial_state(name, 1 if name == DETECTOR else 3, 1, None)
    rng = np.random.default_rng(2)
    own = state.parameters if name == DETECTOR else without_head(state.parameters)

    def changed(value: NDArray[np.float32]) -> NDArray[np.float32]:
        # Not all weights of a deep network in one direction: its answers would be beyond single precision.
        shifts = 0.02 * rng.uniform(0, 1, value.shape) if value.ndim == 1 else 0.0
        return np.asarray(value * rng.uniform(0.8, 1.2, value.shape) + shifts, np.float32)

    return {key: changed(value) for key, value in own.items()}


def a_batch(recipe: Recipe, seed: int) -> DetectionBatch | FeatureBatch:
    rng = np.random.default_rng(seed)
    if recipe.model == DETECTOR:
        images = rng.integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
        boxes = [np.array([[8, 8, 40, 40], [44, 30, 62, 50]], np.float32), np.zeros((0, 4), np.float32)]
        return DetectionBatch(images, boxes, [np.zeros(len(each), np.int64) for each in boxes])
    return FeatureBatch(rng.integers(0, 256, (4, 64, 64, 3), dtype=np.uint8), rng.integers(0, 4, 4))


def steps(engine: Engine, recipe: Recipe, first: int, last: int) -> list[float]:
    moments = [Moment(step, 0, 1e-3 / (1 + step), 0.3) for step in range(first, last)]
    return [engine.learn(a_batch(recipe, moment.step), moment)["loss"] for moment in moments]


@pytest.mark.parametrize("name", TWINS)
def test_the_twin_answers_as_paddle_does(name: str) -> None:
    assert carry.prove_equal(name, learned(name)) < 1e-5


def test_both_engines_embed_alike() -> None:
    recipe, state = RECIPES[0], initial_state(EMBEDDER, 4, 1, None)[0]
    assert recipe.model == EMBEDDER
    images = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), dtype=np.uint8)
    answers = []
    for name in ("paddle", "torch"):
        engine = make_engine(name, recipe)
        engine.load(state)
        answers.append(engine.embed(images))
    assert answers[0].shape == (3, 128)
    np.testing.assert_allclose(answers[0], answers[1], rtol=1e-3)


def test_a_twin_that_answers_otherwise_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(MobileFaceNet):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) * 1.001

    monkeypatch.setattr(carry, "NETWORKS", {EMBEDDER: Other})
    with pytest.raises(ExportError, match=r"MobileFaceNet: Paddle's answers differ from the twin's by 1\.0e-03"):
        carry.prove_equal(EMBEDDER, learned(EMBEDDER))


def test_parameters_of_another_network_are_refused() -> None:
    parameters = learned(EMBEDDER)
    first = next(iter(parameters))
    with pytest.raises(ConfigError, match="no twin of PicoDet"):
        carry.prove_equal("PicoDet_LCNet_x2_5_face", parameters)
    with pytest.raises(ConfigError, match=r"not those of this network: .*of shape None"):
        carry.prove_equal(EMBEDDER, {key: value for key, value in parameters.items() if key != first})
    with pytest.raises(ConfigError, match="surplus"):
        carry.prove_equal(EMBEDDER, {**parameters, "surplus": np.zeros(1)})


@pytest.mark.parametrize("name", TWINS)
def test_parameters_come_back_as_they_were(name: str) -> None:
    network = carry.NETWORKS[name]()
    before = learned(name)
    network.load_state_dict(carry.from_paddle(network, before), strict=False)
    after = carry.to_paddle(network)
    assert after.keys() == before.keys()
    assert all(np.array_equal(after[key], before[key]) for key in before)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: f"{recipe.model}-{recipe.optimizer}")
def test_an_engine_goes_on_from_a_state_as_if_nothing_had_been(recipe: Recipe) -> None:
    start, _ = initial_state(recipe.model, recipe.num_classes, 1, None)
    engine = make_engine("torch", recipe)
    engine.load(start)
    steps(engine, recipe, 0, 2)
    between = pickle.dumps(engine.state())
    expected = steps(engine, recipe, 2, 4)

    other = make_engine("torch", recipe)
    other.load(pickle.loads(between))  # noqa: S301  (our own)
    assert steps(other, recipe, 2, 4) == expected
    one, two = engine.state(), other.state()
    for left, right in ((one.parameters, two.parameters), (one.average or {}, two.average or {})):
        assert left.keys() == right.keys() and all(np.array_equal(left[key], right[key]) for key in left)


@pytest.mark.parametrize("recipe", RECIPES[:2], ids=lambda recipe: recipe.model)
def test_an_engine_learns(recipe: Recipe) -> None:
    engine = make_engine("torch", recipe)
    engine.load(initial_state(recipe.model, recipe.num_classes, 1, None)[0])
    batch = a_batch(recipe, 0)
    losses = [engine.learn(batch, Moment(step, 0, 2e-3))["loss"] for step in range(25)]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.slow
def test_a_compiled_engine_learns_as_a_plain_one() -> None:
    losses = []
    for compiled in (False, True):
        # AdamW makes much of what a rounding changes in gradients that are next to nothing.
        recipe = replace(RECIPES[0], compiled=compiled, optimizer="momentum")
        engine = make_engine("torch", recipe)
        engine.load(initial_state(recipe.model, recipe.num_classes, 1, None)[0])
        losses.append([engine.learn(a_batch(recipe, 0), Moment(step, 0, 1e-3))["loss"] for step in range(3)])
    assert np.allclose(*losses, rtol=1e-3)


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (Recipe("BlazeFace", 1), "torch, which knows MobileFaceNet, ResNet50_face, BlazeFace-FPN-SSH"),
        (Recipe(EMBEDDER, 2, device="gpu:0"), "trains on a cpu"),
    ],
)
def test_what_the_engine_cannot_do_is_refused(recipe: Recipe, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make_engine("torch", recipe)


def test_arcface_has_the_loss_of_its_twin() -> None:
    rng = np.random.default_rng(3)
    weight, labels = rng.normal(0, 1, (128, 5)).astype(np.float32), np.array([0, 4, 2])
    pictures = rng.uniform(-1, 1, (3, 3, 112, 112)).astype(np.float32)
    other = paddle_arcface.ArcFace(build(EMBEDDER), 128, 5, scale=16.0)
    other.head.weight.set_value(weight)
    other.eval()
    loss, _ = other(paddle.to_tensor(pictures), paddle.to_tensor(labels), 0.4)
    features = torch.from_numpy(other.backbone(paddle.to_tensor(pictures)).numpy())
    own = ArcFace(MobileFaceNet(), 128, 5, scale=16.0)
    own.load_state_dict({"head.weight": torch.from_numpy(weight)}, strict=False)
    losses = own.losses(features, torch.from_numpy(labels), 0.4)
    assert losses["loss"].item() == pytest.approx(float(loss), rel=1e-4)


def test_anchors_are_those_of_paddles_head() -> None:
    network = build(DETECTOR)
    network.eval()
    image = paddle.zeros([1, 3, 96, 64])
    _, shares = network.blaze_head(network.neck(network.backbone({"image": image})), image)
    corners = paddle.concat(shares, axis=0).numpy() * np.array([64, 96, 64, 96])
    own = decode(torch.zeros(len(corners), 4), anchors(96, 64)).numpy()
    assert np.abs(own - corners).max() < 1e-3


def test_offsets_and_boxes_are_inverse() -> None:
    some = anchors(64, 64)[:5]
    boxes = torch.tensor([[3.0, 4.0, 30.0, 40.0]]).repeat(5, 1)
    assert torch.allclose(decode(encode(boxes, some), some), boxes, atol=1e-4)


def test_every_face_that_the_network_can_find_has_anchors_that_learn_it() -> None:
    grid = anchors(320, 320)
    rng = np.random.default_rng(4)
    for side in np.geomspace(SMALLEST_FACE + 0.1, LARGEST_FACE - 0.1, 40):
        x, y = rng.uniform(0, 320 - side, 2)
        face, empty = assign(torch.tensor([[x, y, x + 0.9 * side, y + side]], dtype=torch.float32), grid)
        assert 1 <= int((face == 0).sum()) <= 10
        assert not (empty & (face == 0)).any()
    for side in (SMALLEST_FACE - 1, LARGEST_FACE + 1):
        face, empty = assign(torch.tensor([[60.0, 60.0, 60 + side, 60 + side]]), grid)
        assert (face < 0).all() and not empty.all()
    face, empty = assign(torch.zeros(0, 4), grid)
    assert (face < 0).all() and empty.all()


def test_right_boxes_with_right_scores_cost_next_to_nothing() -> None:
    grid = anchors(64, 64)
    faces = torch.tensor([[8.0, 8, 40, 40], [44, 44, 60, 62]])
    face, _ = assign(faces, grid)
    offsets, logits = torch.zeros(1, len(grid), 4), torch.zeros(1, len(grid), 2)
    offsets[0, face >= 0] = encode(faces[face[face >= 0]], grid[face >= 0])
    logits[0, :, 0] = torch.where(face >= 0, 12.0, -12.0)
    right = detector_losses(offsets, logits, [faces], 64, 64)
    assert right["loss"] < 1e-3
    assert detector_losses(offsets + 1, logits, [faces], 64, 64)["box"] > 0.1
    assert detector_losses(offsets, -logits, [faces], 64, 64)["score"] > 1
    assert torch.isfinite(detector_losses(offsets, logits, [torch.zeros(0, 4)], 64, 64)["loss"])


def test_the_overlap_of_boxes_and_how_far_they_are_apart() -> None:
    box = torch.tensor([[0.0, 0, 10, 10]])
    for other, overlap in (([0.0, 0, 10, 10], 1.0), ([5.0, 0, 15, 10], 1 / 3), ([20.0, 0, 30, 10], 0.0)):
        quality, distance = complete_overlap(torch.tensor([other]), box)
        assert quality.item() == pytest.approx(overlap, abs=1e-6)
        assert distance.item() >= 1 - overlap - 1e-6
    near, far = (complete_overlap(torch.tensor([[x, 0.0, x + 10, 10]]), box)[1] for x in (20.0, 60.0))
    assert near < far


def test_a_run_on_torch_grows_its_pictures_and_ends_with_the_proof(tmp_path: Path) -> None:
    dataset = write_feature_set(tmp_path / "set")
    overrides = (
        f"Global.dataset_dir={dataset}",
        f"Global.output={tmp_path / 'out'}",
        "Global.device=cpu",
        "Train.engine=torch",
        "Train.epochs_iters=2",
        "Train.batch_size=12",
        "Train.warmup_steps=0",
        "Train.first_image_size=48",
        "Train.augmentation=drawings",
        "Train.imprint=true",
        "Train.workers=0",
    )
    settings = read_settings("MobileFaceNet", overrides)
    batches = make_task(settings, "cpu", ALONE).batches
    assert [batches.batch(epoch, 0).images.shape[1] for epoch in range(2)] == [48, 112]
    # Within an epoch as well, so that a run of one epoch has both.
    once = read_settings("MobileFaceNet", (*overrides, "Train.epochs_iters=1", "Train.batch_size=4"))
    short = make_task(once, "cpu", ALONE).batches
    sides = [short.batch(0, number).images.shape[1] for number in range(len(short))]
    assert sides == sorted(sides)
    assert set(sides) == {48, 112}
    told = io.StringIO()
    outputs = train(settings, console=Console(file=told, width=200))
    assert "looking at every picture once" in told.getvalue()
    assert "Paddle's network answers as the one that was trained" in told.getvalue()
    assert (outputs.folder / "best_model" / "inference" / "inference.json").is_file()


def test_paddle_takes_faces_of_one_size_only(tmp_path: Path) -> None:
    dataset = write_feature_set(tmp_path / "set")
    settings = read_settings("ResNet50_face", (f"Global.dataset_dir={dataset}", "Train.first_image_size=64"))
    with pytest.raises(ConfigError, match=r"Train\.first_image_size is 64; ResNet50_face takes faces of 112 pixels"):
        make_task(settings, "cpu", ALONE)


@pytest.mark.parametrize("name", ["MobileFaceNet", "BlazeFace-FPN-SSH"])
def test_the_demo_models_recipes_are_read(name: str) -> None:
    settings = read_settings(str(RECIPE_FOLDER / f"{name}.yaml"), ())
    assert settings.globals.model == name
    assert settings.train.engine == "torch" and settings.train.augmentation == "drawings"
