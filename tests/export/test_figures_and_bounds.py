"""How far two sets of answers are apart, on answers worked out by hand; and the table of bounds."""

import numpy as np
import pytest
from numpy.typing import NDArray

from toonface_contract.errors import ConfigError
from toonface_ensemble.nms import NmsParameters
from toonface_export.bounds import BOUNDS, MEANINGS, missed, misses, replaced, tightened
from toonface_export.figures import Answers, Figure, Figures, worst_of
from toonface_export.judges import DetectorJudge, EmbedderJudge

NMS = NmsParameters(iou_threshold=0.5, max_candidates=-1, max_faces=-1, normalized=True)
JUDGE = DetectorJudge(NMS, score_threshold=0.1, det_threshold=0.6)
NAMES = ("a.jpg", "b.jpg")


def _answers(*, moved: float = 0.0, score: float = 0.9, boxes: int = 2) -> Answers:
    """Two pictures with two faces each; of the second picture's first face place and score can be changed."""
    base = np.array([[10, 10, 50, 50], [100, 100, 200, 200]], np.float32)
    both = np.stack([base, base])
    both[1, 0, [0, 2]] += moved
    scores = np.array([[0.9, 0.7], [score, 0.7]], np.float32)
    return {"boxes": both[:, :boxes], "scores": scores[:, :boxes]}


def _values(found: Answers) -> dict[str, float]:
    return {name: figure.value for name, figure in JUDGE.figures(NAMES, _answers(), found).items()}


def test_equal_answers_differ_by_nothing() -> None:
    values = _values(_answers())
    assert {values[name] for name in MEANINGS if name in values} == {0.0}
    assert (values["detections"], values["faces"]) == (4, 4)


def test_a_moved_box_is_told_with_its_picture() -> None:
    figures = JUDGE.figures(NAMES, _answers(), _answers(moved=4))
    assert figures["box_difference_px"] == Figure(4.0, "b.jpg")
    assert figures["lost_overlap"].value == pytest.approx(1 - 36 / 44)
    assert figures["raw_box_difference_px"] == Figure(2.0, "b.jpg")
    assert figures["unmatched_share"].value == 0


def test_a_box_that_is_elsewhere_is_unmatched_on_both_sides() -> None:
    values = _values(_answers(moved=60))
    assert values["unmatched_share"] == 1 / 4
    assert values["changed_decisions"] == 2 / 4  # one face lost, another found
    assert values["box_difference_px"] == 0


@pytest.mark.parametrize(("score", "changed"), [(0.61, 0.0), (0.59, 0.25), (0.05, 0.25)])
def test_a_face_that_falls_below_the_threshold_is_a_changed_decision(score: float, changed: float) -> None:
    values = _values(_answers(score=score))
    assert values["changed_decisions"] == changed
    assert values["raw_score_difference"] == pytest.approx(0.9 - score)


def test_a_score_at_the_threshold_decides_by_chance() -> None:
    expected, found = _answers(score=0.602), _answers(score=0.598)
    assert JUDGE.figures(NAMES, expected, found)["changed_decisions"].value == 0


def test_scores_that_are_no_numbers_are_over_every_bound() -> None:
    figures = JUDGE.figures(NAMES, _answers(), _answers(score=float("nan")))
    assert "raw_score_difference" in missed(figures, BOUNDS["int8"])


def test_fewer_candidates_are_compared_as_faces_and_by_their_scores() -> None:
    values = _values(_answers(boxes=1))
    assert "raw_box_difference_px" not in values
    assert values["raw_score_difference"] == 0
    assert values["changed_decisions"] == 2 / 4


def test_the_best_scores_are_compared_in_whatever_order_they_come() -> None:
    found = _answers(score=0.8)
    best = {name: values[:, ::-1] for name, values in found.items()}
    more = {"boxes": np.zeros((2, 3, 4), np.float32), "scores": np.zeros((2, 3), np.float32)}
    expected = {name: np.concatenate([more[name], values], axis=1) for name, values in _answers().items()}
    figures = JUDGE.figures(NAMES, expected, best)
    assert figures["raw_score_difference"] == Figure(pytest.approx(0.1), "b.jpg")


def test_a_judge_of_pictures_without_faces_compares_what_is_raw() -> None:
    empty = {"boxes": np.zeros((2, 3, 4), np.float32), "scores": np.zeros((2, 3), np.float32)}
    figures = JUDGE.figures(NAMES, empty, {**empty, "boxes": empty["boxes"] + 1})
    assert figures["detections"].value == 0
    assert figures["raw_box_difference_px"].value == 1


def _unit(*angles: float) -> dict[str, NDArray[np.float32]]:
    return {"embedding": np.array([[np.cos(angle), np.sin(angle)] for angle in angles], np.float32)}


def test_embeddings_are_compared_by_angle_and_by_neighbour() -> None:
    judge, names = EmbedderJudge(rec_threshold=0.5), ("a", "b", "c")
    same = judge.figures(names, _unit(0, 0.2, 1.0), _unit(0, 0.2, 1.0))
    assert same["cosine_distance"].value == pytest.approx(0, abs=1e-7)
    turned = judge.figures(names, _unit(0, 0.2, 1.0), _unit(0, 0.2, 1.1))
    assert turned["cosine_distance"].value == pytest.approx(1 - np.cos(0.1), abs=1e-6)
    assert turned["cosine_distance"].picture == "c"
    assert turned["changed_decisions"].value == 0
    # b's nearest was a and is c now; c's was b and stays.
    crossed = judge.figures(names, _unit(0, 0.2, 1.0), _unit(0, 0.7, 1.0))
    assert crossed["changed_decisions"] == Figure(pytest.approx(1 / 3), "b")


def test_a_neighbour_that_is_no_longer_near_enough_is_a_changed_decision() -> None:
    judge = EmbedderJudge(rec_threshold=0.9)
    figures = judge.figures(("a", "b"), _unit(0, 0.3), _unit(0, 0.6))
    assert figures["changed_decisions"].value == 1


def test_neighbours_that_are_equally_near_decide_by_chance() -> None:
    figures = EmbedderJudge(0.0).figures(("a", "b", "c"), _unit(-0.5, 0, 0.501), _unit(-0.5, 0, 0.499))
    assert figures["changed_decisions"].value == 0


def test_the_neighbour_of_a_face_without_a_name_does_not_matter() -> None:
    expected, found = _unit(0, 1.0, 2.1), _unit(0, 1.1, 2.1)
    assert EmbedderJudge(0.6).figures(("a", "b", "c"), expected, found)["changed_decisions"].value == 0
    assert EmbedderJudge(0.1).figures(("a", "b", "c"), expected, found)["changed_decisions"].value > 0


def test_one_face_has_no_neighbour() -> None:
    assert EmbedderJudge(0.5).figures(("a",), _unit(0), _unit(0))["changed_decisions"].value == 0


def test_a_miss_names_figure_value_limit_picture_and_meaning() -> None:
    figures: Figures = {"score_difference": Figure(0.25, "b.jpg"), "faces": Figure(1e9, "a.jpg")}
    assert misses(figures, BOUNDS["f32"]) == [
        "score_difference is 0.25, allowed is 0.001, worst in b.jpg (largest difference of a detection's score)"
    ]
    assert misses({"score_difference": Figure(0.0009, "b.jpg")}, BOUNDS["f32"]) == []


def test_every_precision_bounds_every_figure_and_none_is_stricter_than_f32() -> None:
    for limits in BOUNDS.values():
        assert set(limits) == set(MEANINGS)
        assert all(limits[name] >= BOUNDS["f32"][name] for name in MEANINGS)


def test_bounds_are_tightened_for_all_precisions_or_for_one() -> None:
    table = tightened(BOUNDS, ["score_difference=0.05", "int8.cosine_distance=0.001"])
    assert [table[precision]["score_difference"] for precision in ("f32", "f16", "bf16", "int8")] == [
        1e-3,
        0.01,
        0.05,
        0.05,
    ]
    assert table["int8"]["cosine_distance"] == 0.001
    assert table["bf16"]["cosine_distance"] == BOUNDS["bf16"]["cosine_distance"]


def test_changes_take_the_place_of_the_limits_of_their_precision() -> None:
    limits = {**BOUNDS["f16"], "score_difference": 1e-4, "cosine_distance": 1e-6}
    changes = ["f16.score_difference=0.005", "bf16.cosine_distance=0", "cosine_distance=0.001"]
    assert tightened(BOUNDS, changes)  # the last one says nothing to f16, whose limit of the table is smaller
    assert replaced(limits, "f16", changes) == {**limits, "score_difference": 0.005}


def test_of_several_comparisons_the_worst_counts() -> None:
    nan = float("nan")
    one: Figures = {"score_difference": Figure(0.2, "a.jpg"), "faces": Figure(nan, "a.jpg")}
    other: Figures = {"score_difference": Figure(0.3, "b.jpg"), "faces": Figure(2, "b.jpg")}
    assert worst_of([one, other]) == {"score_difference": other["score_difference"], "faces": one["faces"]}


@pytest.mark.parametrize("change", ["score", "scores=1", "f8.score_difference=1", "score_difference=-1", "a=nan"])
def test_bounds_that_are_not_understood(change: str) -> None:
    with pytest.raises(ConfigError, match="is not understood; write FIGURE=LIMIT"):
        tightened(BOUNDS, [change])


@pytest.mark.parametrize(("change", "limit"), [("f32.score_difference=0.5", "0.001"), ("score_difference=0.5", "0.15")])
def test_bounds_cannot_be_loosened(change: str, limit: str) -> None:
    with pytest.raises(ConfigError, match=rf"'{change}' is looser than the table's {limit}; bounds can only be tight"):
        tightened(BOUNDS, [change])
