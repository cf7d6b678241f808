"""The two models in `models/`: the characters that they were first trained on.

They have learned further characters since (see their cards), chosen apart from the demo's cast like these. Other casts
are not apart from those: one of the styles has no more characters that would be.
"""

from __future__ import annotations

from functools import cache

from toonface_training.cartoon.identity import Identity, draw_identity
from toonface_training.dataset.settings import CartoonSettings

_DATASET = CartoonSettings(seed=0, identities=2200, validation_identities=110, unseen_validation_identities=30)
STYLES = _DATASET.seen_styles

# Seeds of the characters that an earlier pair of models had seen. The cast of the demo was chosen apart from these, and
# the characters of the data set apart from that cast: without them, both would be others.
_EARLIER_SEEDS = (range(100), range(50_000, 50_100), range(200_000, 200_030), range(300_000, 300_030))


def seen_characters(style_name: str) -> list[Identity]:
    """Every character of the style that the models were first trained on."""
    return _seen().get(style_name, [])


def earlier_characters(style_name: str) -> list[Identity]:
    """The characters of the style that the demo's cast was chosen apart from."""
    return [draw_identity(style_name, seed) for seeds in _EARLIER_SEEDS for seed in seeds]


@cache
def _seen() -> dict[str, list[Identity]]:
    # Not at the top: a roster keeps away from the demo's cast, which is chosen with the help of this module.
    from toonface_training.dataset.roster import choose_roster

    seen: dict[str, list[Identity]] = {}
    for style, seed in choose_roster(_DATASET).train:
        seen.setdefault(style, []).append(draw_identity(style, seed))
    return seen
