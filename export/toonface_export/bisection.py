"""The smallest set of things without which something fails, by bisection."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def smallest_set(candidates: Sequence[str], passes: Callable[[frozenset[str]], bool], most_tests: int) -> list[str]:
    """Find few candidates that together make a test pass.

    QuickXplain (Junker, AAAI 2004): k of n are found with some 2k log2(n/k) + 2k tests. Before it, the shortest tail of
    the candidates that passes is searched for, since what is sensitive in a network tends to stand near its end.

    Args:
        candidates: in a fixed order.
        passes: the test, of a set of candidates. A set that contains one that passes should pass as well; where that
            is not so, the outcome still passes, but may not be the smallest.
        most_tests: after so many the set found so far is taken: it passes, and is larger than it need be.

    Returns:
        A set that passes, in the order of the candidates; all of them if no smaller one was found. Whether all of them
        pass is for the caller to know.
    """
    known: dict[frozenset[str], bool] = {}

    def test(names: frozenset[str]) -> bool:
        if names not in known:
            if len(known) >= most_tests:
                raise _Spent
            known[names] = passes(names)
        return known[names]

    def explain(background: list[str], added: bool, rest: list[str]) -> list[str]:
        if added and test(frozenset(background)):
            return []
        if len(rest) <= 1:
            return rest
        first, second = rest[: len(rest) // 2], rest[len(rest) // 2 :]
        of_second = explain(background + first, True, second)
        of_first = explain(background + of_second, bool(of_second), first)
        return of_first + of_second

    tail = list(candidates)
    try:
        if not tail or test(frozenset()):
            return []
        short, long = 0, len(tail)  # a tail of `short` fails, one of `long` passes
        while long - short > 1:
            middle = (short + long) // 2
            if test(frozenset(tail[-middle:])):
                long = middle
            else:
                short = middle
        tail = tail[-long:]
        # With its first member the tail passes, and without it, it does not: one is known already.
        test(frozenset([tail[0], *explain([tail[0]], True, tail[1:])]))
    except _Spent:
        pass
    passing = (names for names, passed in known.items() if passed)
    smallest = min(passing, key=len, default=frozenset(candidates))
    return [name for name in candidates if name in smallest]


class _Spent(Exception):
    """All tests have been used up."""
