"""The two models in `models/`: which characters they were trained and validated on."""

from __future__ import annotations

from toonface_training.cartoon.identity import Identity, draw_identity

STYLES = (
    "lorelei",
    "notionists",
    "open-peeps",
    "adventurer",
    "toon-head",
    "avataaars",
    "big-smile",
    "dylan",
    "miniavs",
    "big-ears",
    "pixel-art",
)

# The embedder: 60 characters of each style among the first of these seeds, 40 among the second for validation.
# The detector: all of the third, and all of the fourth for validation.
SEEDS = (range(100), range(50_000, 50_100), range(200_000, 200_030), range(300_000, 300_030))


def seen_characters(style_name: str) -> list[Identity]:
    """Every character of the style that the models may have seen."""
    return [draw_identity(style_name, seed) for seeds in SEEDS for seed in seeds]
