"""Which characters are in which part of a data set: no character is in two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from toonface_training.cartoon.identity import Identity, draw_identity, find_identities
from toonface_training.cartoon.styles import EXTRA_STYLES
from toonface_training.dataset.settings import CartoonSettings
from toonface_training.demo.cast import choose_cast

# Above the demo's seeds; each data set has a million of its own, in parts of so many.
_FIRST_SEED = 10_000_000
_SEEDS_EACH = 1_000_000
_SEEDS_A_PART = 100_000

Name = tuple[str, int]
"""A character: its style and its seed. Small enough to be sent to another process; `character` draws it."""


@cache
def character(name: Name) -> Identity:
    """The character of a name."""
    return draw_identity(*name)


def label(name: Name) -> str:
    """What a character is called in lists: its style and its seed."""
    return f"{name[0]}-{name[1]}"


@dataclass(frozen=True)
class Roster:
    """The characters of a data set, in turn from every style.

    Attributes:
        train: to train on.
        extra: of further styles, and more of some styles, to train the embedder on.
        validation: for training to watch.
        test: in the gallery of seen styles.
        test_strangers: of seen styles, in no gallery.
        unseen: in the gallery of unseen styles.
        unseen_strangers: of unseen styles, in no gallery.
        unseen_validation: of unseen styles, for training to watch.
    """

    train: tuple[Name, ...]
    extra: tuple[Name, ...]
    validation: tuple[Name, ...]
    test: tuple[Name, ...]
    test_strangers: tuple[Name, ...]
    unseen: tuple[Name, ...]
    unseen_strangers: tuple[Name, ...]
    unseen_validation: tuple[Name, ...]


def choose_roster(settings: CartoonSettings) -> Roster:
    """The characters that the settings' seed gives.

    Each differs from every other of its style, and from the characters of the project's demo, in at least two traits,
    as `Identity.differences` counts them.
    Those to test with are chosen first, so that they are the same whatever the number of those to train on.

    Raises:
        ValueError: the styles have not so many characters.
    """
    avoid: dict[str, list[Identity]] = {}
    cast = choose_cast(0)
    for identity in (*cast.named.values(), cast.stranger):
        avoid.setdefault(identity.style.name, []).append(identity)
    first = _FIRST_SEED + settings.seed * _SEEDS_EACH

    def choose(part: int, count: int, styles: Sequence[str]) -> tuple[Name, ...]:
        chosen: dict[str, list[Name]] = {style: [] for style in styles}
        left, open_styles = count, list(styles)
        seeds = dict.fromkeys(styles, first + part * _SEEDS_A_PART)
        # Where a style has not its share, the others make up for it.
        while left and open_styles:
            shares = {
                style: left // len(open_styles) + (number < left % len(open_styles))
                for number, style in enumerate(open_styles)
            }
            for style, share in shares.items():
                others = avoid.setdefault(style, [])
                found = find_identities(style, share, first_seed=seeds[style], avoid=others)
                others.extend(found)
                chosen[style] += [(style, identity.seed) for identity in found]
                left -= len(found)
                if len(found) < share:
                    open_styles.remove(style)
                elif found:
                    seeds[style] = found[-1].seed + 1
        if left:
            raise ValueError(
                f"the styles {', '.join(styles)} give {count - left} characters that can be told apart "
                f"from those already chosen, not {count}; ask for fewer"
            )
        # In turn from every style, so that any first part of the list has all of them.
        turns = range(max(map(len, chosen.values())))
        return tuple(names[turn] for turn in turns for names in chosen.values() if turn < len(names))

    seen, unseen = settings.seen_styles, settings.unseen_styles
    return Roster(
        test=choose(0, settings.test_identities, seen),
        test_strangers=choose(1, settings.strangers, seen),
        validation=choose(2, settings.validation_identities, seen),
        unseen=choose(0, settings.unseen_identities, unseen),
        unseen_strangers=choose(1, settings.strangers, unseen),
        unseen_validation=choose(2, settings.unseen_validation_identities, unseen),
        train=choose(3, settings.identities, seen),
        extra=(
            *choose(3, settings.extra_identities, tuple(EXTRA_STYLES)),
            *(name for style, count in settings.more_identities.items() for name in choose(4, count, (style,))),
        ),
    )
