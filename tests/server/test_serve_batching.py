from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from toonface_server.batching import Arrays, run_alone, run_together


def _batch(rows: int, width: int = 3, start: int = 0) -> Arrays:
    return {"x": np.arange(start, start + rows * width, dtype=np.float32).reshape(rows, width)}


class _Counting:
    """Doubles, and remembers the size of each run. Refuses rows that hold a negative number."""

    def __init__(self) -> None:
        self.runs: list[int] = []

    def __call__(self, inputs: Arrays) -> Arrays:
        self.runs.append(len(inputs["x"]))
        if (inputs["x"] < 0).any():
            raise ValueError("negative")
        return {"doubled": inputs["x"] * 2, "first": inputs["x"][:, 0]}


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6))
def test_each_request_gets_its_own_rows_from_one_run(rows: list[int]) -> None:
    run = _Counting()
    batches = [_batch(count, start=100 * number) for number, count in enumerate(rows)]
    answers = run_together(batches, run)
    assert run.runs == [sum(rows)]
    for batch, answer in zip(batches, answers, strict=True):
        assert not isinstance(answer, Exception)
        np.testing.assert_array_equal(answer["doubled"], batch["x"] * 2)
        np.testing.assert_array_equal(answer["first"], batch["x"][:, 0])


def test_only_rows_of_one_shape_share_a_run() -> None:
    run = _Counting()
    answers = run_together([_batch(1), _batch(2, width=5), _batch(3)], run)
    assert sorted(run.runs) == [2, 4]
    assert [answer["doubled"].shape for answer in answers if not isinstance(answer, Exception)] == [
        (1, 3),
        (2, 5),
        (3, 3),
    ]


def test_a_bad_request_fails_alone() -> None:
    run = _Counting()
    answers = run_together([_batch(1), _batch(2, start=-4), _batch(1)], run)
    assert run.runs == [4, 1, 2, 1]
    assert isinstance(answers[1], ValueError)
    assert not isinstance(answers[0], Exception) and not isinstance(answers[2], Exception)


def test_a_single_bad_request_is_not_run_twice() -> None:
    run = _Counting()
    [answer] = run_together([_batch(1, start=-1)], run)
    assert isinstance(answer, ValueError)
    assert run.runs == [1]


def test_one_request_is_handed_over_as_it_is() -> None:
    batch = _batch(2)
    seen = []
    run_together([batch], lambda inputs: seen.append(inputs["x"]) or {})
    assert seen[0] is batch["x"]


def test_run_alone_returns_what_was_raised() -> None:
    error = run_alone(_batch(1, start=-1), _Counting())
    assert isinstance(error, ValueError)
