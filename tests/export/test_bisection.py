from hypothesis import given
from hypothesis import strategies as st

from toonface_export.bisection import smallest_set

NAMES = [f"node{number}" for number in range(64)]


@given(st.sets(st.sampled_from(NAMES), max_size=6))
def test_exactly_what_is_needed_is_found(needed: set[str]) -> None:
    tested: list[frozenset[str]] = []

    def passes(names: frozenset[str]) -> bool:
        tested.append(names)
        return needed <= names

    assert set(smallest_set(NAMES, passes, most_tests=1000)) == needed
    assert len(tested) <= 7 + 2 * len(needed) * 7 + 2  # logarithmic in the candidates for each that is needed
    assert len(set(tested)) == len(tested)


@given(st.sets(st.sampled_from(NAMES), min_size=1, max_size=6), st.integers(1, 20))
def test_when_the_tests_are_used_up_the_answer_still_passes(needed: set[str], most_tests: int) -> None:
    calls = 0

    def passes(names: frozenset[str]) -> bool:
        nonlocal calls
        calls += 1
        return needed <= names

    assert needed <= set(smallest_set(NAMES, passes, most_tests))
    assert calls <= most_tests


def test_the_answer_stands_in_the_candidates_order() -> None:
    assert smallest_set(NAMES, lambda names: {"node40", "node3"} <= names, 1000) == ["node3", "node40"]


def test_what_cannot_pass_gives_everything() -> None:
    assert smallest_set(NAMES, lambda names: False, 1000) == NAMES


def test_no_candidates() -> None:
    assert smallest_set([], lambda names: False, 10) == []
