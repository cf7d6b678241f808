"""Telling the user how far long work has come."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

Item = TypeVar("Item")


class Track(Protocol):
    """Hands items on as they are, and counts them as it does."""

    def __call__(self, items: Iterable[Item], total: int, what: str) -> Iterable[Item]:
        """The items, of which there are `total`; `what` says in a few words what is done with them."""


def silent(items: Iterable[Item], total: int, what: str) -> Iterable[Item]:
    """Tells nobody."""
    return items
