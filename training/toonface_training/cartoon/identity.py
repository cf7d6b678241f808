"""Characters: what stays the same in every picture of one, and what differs.

The lots are drawn in a fixed order from a generator that the style and the seed determine. Do not change that order:
the demo models' training characters are known by their seeds, and others are chosen apart from them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from toonface_training.cartoon.styles import ALL_STYLES, CartoonStyle, definition

# Percent; the styles' own probabilities of beards and glasses are so low that few characters would have any.
_LEAST_PROBABILITY = 15
# Seeds tried for each character wanted, and seeds in a row that give none, before a style counts as exhausted.
_TRIES = 60
_FRUITLESS = 2000


@dataclass(frozen=True)
class Identity:
    """One character.

    Attributes:
        style: the style it is drawn in.
        seed: its number within the style.
        options: DiceBear options that every picture of it has.
        traits: what tells it from others: each fixed component's variant ("" for none) and each fixed colour.
    """

    style: CartoonStyle
    seed: int
    options: Mapping[str, Any]
    traits: Mapping[str, str]

    @property
    def head(self) -> str:
        """Variant of the component that decides the shape of the face; "" where the style has one shape only."""
        return self.traits.get(self.style.head, "") if self.style.head else ""

    def differences(self, other: Identity) -> int:
        """In how many traits the two characters of one style differ.

        Not all of them can be seen: the colour of the hat of `avataaars`, of the earrings and the hair of `micah`, and
        of the facial hair of `croodles` is a trait of those, too, who have none. So is the hair of
        `cutouts`, the tint of `marbles` and the hat of `voxel-art`.
        """
        return sum(value != other.traits.get(trait) for trait, value in self.traits.items())


def draw_identity(style_name: str, seed: int) -> Identity:
    """The character that `seed`, any whole number, gives in the style.

    Raises:
        KeyError: the style is not one of `ALL_STYLES`.
    """
    style = ALL_STYLES[style_name]
    # RandomState, whose streams numpy promises never to change.
    digest = hashlib.sha1(f"{style_name}/{seed}".encode(), usedforsecurity=False).hexdigest()
    lots = np.random.RandomState(int(digest[:8], 16))
    options: dict[str, Any] = {}
    traits: dict[str, str] = {}
    for component, parts in definition(style_name)["components"].items():
        if "extends" in parts or "variants" not in parts:
            continue
        if component in style.hidden:
            options[f"{component}Probability"] = 0
            continue
        if component in style.habit:
            variants, chance = style.habit[component]
            if lots.rand() < chance:
                options[f"{component}Variant"] = traits[component] = _pick(lots, variants)
            continue
        if component in style.expression or component in style.clothes:
            continue
        probability = parts.get("probability", 100)
        if probability not in (0, 100):
            probability = max(probability, _LEAST_PROBABILITY)
        if lots.rand() * 100 < probability:
            options[f"{component}Variant"] = traits[component] = _pick(lots, style.variants(component))
            options[f"{component}Probability"] = 100
        else:
            options[f"{component}Probability"] = 0
            traits[component] = ""
    skin = _pick(lots, style.skin_tones)
    options[f"{style.skin}Color"] = [skin]
    traits["skin"] = skin
    for colour, palette in style.colours.items():
        value = _pick(lots, [each for each in palette if each != skin])
        options[f"{colour}Color"] = [value]
        if options.get(f"{colour}Probability") != 0:  # the colour of glasses that are not worn tells nobody apart
            traits[f"{colour}Color"] = value
    return Identity(style, seed, options, traits)


def vary(identity: Identity, lots: np.random.Generator) -> dict[str, Any]:
    """DiceBear options of one picture of the character: an expression and clothes drawn by lot from `lots`."""
    style, parts = identity.style, definition(identity.style.name)
    options: dict[str, Any] = {**identity.options, "idRandomization": False}
    for component in (*style.expression, *style.clothes):
        if f"{component}Variant" not in options:
            options[f"{component}Variant"] = str(lots.choice(style.variants(component)))
    options.update({f"{component}Probability": 100 for component in style.expression})
    for colour in style.free_colours:
        options[f"{colour}Color"] = [str(lots.choice(parts["colors"][colour]["values"]))]
    if "background" in parts["colors"]:
        options["backgroundColor"] = ["#ffffff00"]
    options["seed"] = str(
        lots.integers(1 << 30)
    )  # decides what is left to decide, such as whether clothes have a graphic
    return options


def find_identities(
    style_name: str, count: int, *, first_seed: int, apart: int = 2, avoid: Iterable[Identity] = ()
) -> list[Identity]:
    """The first `count` characters from `first_seed` up that can be told apart; fewer where the style has not so many.

    Args:
        style_name: one of `ALL_STYLES`.
        count: how many characters.
        first_seed: the first seed to try.
        apart: in how many traits each must differ from every other, and from each of `avoid`.
        avoid: characters of the same style to keep away from.
    """
    chosen: list[Identity] = []
    taken = _Taken(avoid, apart)
    fruitless = 0
    for seed in range(first_seed, first_seed + _TRIES * count):
        if len(chosen) == count or fruitless == _FRUITLESS:
            break
        candidate = draw_identity(style_name, seed)
        fruitless += 1
        if not taken.is_near(candidate):
            chosen.append(candidate)
            taken.add(candidate)
            fruitless = 0
    return chosen


def choose_identities(
    style_name: str, count: int, *, first_seed: int, apart: int = 2, avoid: Iterable[Identity] = ()
) -> list[Identity]:
    """What `find_identities` finds, all `count` of them.

    Raises:
        ValueError: the style has not so many.
    """
    chosen = find_identities(style_name, count, first_seed=first_seed, apart=apart, avoid=avoid)
    if len(chosen) < count:
        raise ValueError(
            f"style {style_name} gives {len(chosen)} characters that differ in {apart} traits, not {count}; "
            "ask for fewer, or for characters less far apart"
        )
    return chosen


class _Taken:
    """Characters that others must differ from, found without comparing each with each."""

    def __init__(self, identities: Iterable[Identity], apart: int) -> None:
        self._identities = list(identities)
        self._spare = apart - 1
        # For each choice of traits that was ever asked about, what the characters have there.
        self._seen: dict[tuple[str, ...], set[tuple[str | None, ...]]] = {}

    def add(self, identity: Identity) -> None:
        self._identities.append(identity)
        for traits, values in self._seen.items():
            values.add(_values(identity, traits))

    def is_near(self, identity: Identity) -> bool:
        """Whether it is like another in all its traits but `apart - 1` or fewer."""
        names = tuple(identity.traits)
        return any(self._has_like(identity, traits) for traits in combinations(names, max(len(names) - self._spare, 0)))

    def _has_like(self, identity: Identity, traits: tuple[str, ...]) -> bool:
        if traits not in self._seen:
            self._seen[traits] = {_values(other, traits) for other in self._identities}
        return _values(identity, traits) in self._seen[traits]


def _values(identity: Identity, traits: tuple[str, ...]) -> tuple[str | None, ...]:
    return tuple(identity.traits.get(trait) for trait in traits)


def _pick(lots: np.random.RandomState, values: Sequence[str]) -> str:
    return values[lots.randint(len(values))]
