"""Who is in the demo: characters that the demo models have never seen, and their names."""

from __future__ import annotations

from dataclasses import dataclass

from toonface_training import demo_models
from toonface_training.cartoon.identity import Identity, choose_identities

# Each demo seed has a thousand of its own.
_FIRST_SEED = 900_000
_SEEDS_EACH = 1000

NAMES = (
    "Zoë",
    "Миша",
    "小林",
    "Amara",
    "José",
    "Ελένη",
    "Łukasz",
    "이지은",
    "Chloé",
    "Björn",
    "فاطمة",
    "Priya",
    "Søren",
    "अनीता",
    "Kofi",
    "美咲",
    "Tomás",
    "ליאור",
    "Aïcha",
    "Þóra",
    "สมชาย",
    "Ünal",
    "Hương",
    "Malia",
)


@dataclass(frozen=True)
class Cast:
    """The characters of one demo.

    Attributes:
        named: characters of the gallery by their labels, in the order of `NAMES`.
        stranger: one that is in a picture, but not in the gallery.
    """

    named: dict[str, Identity]
    stranger: Identity

    @property
    def styles(self) -> list[str]:
        """The styles that they are drawn in, sorted."""
        return sorted({identity.style.name for identity in (*self.named.values(), self.stranger)})


def choose_cast(seed: int) -> Cast:
    """The cast that `seed`, from 0 up, gives; every style of the demo models takes its turn.

    Each character differs from every other of its style, and from every one that the demo models were first trained on,
    in at least two traits; those of cast 0 from every one that they have seen.
    """
    styles = demo_models.STYLES

    def avoid(style: str) -> list[Identity]:
        # The data set was chosen apart from the cast of seed 0; other casts are chosen apart from the data set.
        seen = demo_models.seen_characters(style) if seed else []
        return [*demo_models.earlier_characters(style), *seen]

    turns = [styles[number % len(styles)] for number in range(len(NAMES) + 1)]
    characters = {
        style: iter(
            choose_identities(
                style,
                turns.count(style),
                first_seed=_FIRST_SEED + _SEEDS_EACH * seed,
                avoid=avoid(style),
            )
        )
        for style in styles
    }
    drawn = [next(characters[style]) for style in turns]
    return Cast(named=dict(zip(NAMES, drawn, strict=False)), stranger=drawn[-1])
