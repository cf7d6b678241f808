"""What a generated data set shall hold."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from toonface_training.cartoon.styles import ALL_STYLES, STYLES

UNSEEN_STYLES = ("micah", "personas", "croodles")

_MOST = 1_000_000
_Count = Annotated[int, Field(ge=0, le=_MOST)]
_One = Annotated[int, Field(ge=1, le=_MOST)]
_Two = Annotated[int, Field(ge=2, le=_MOST)]
# File names count the pictures of a character with three digits.
_OfEach = Annotated[int, Field(ge=1, le=1000)]


class CartoonSettings(BaseModel):
    """Sizes and seed of a cartoon data set; see `toonface dataset cartoon --help`.

    Attributes:
        seed: decides everything.
        identities: characters to train on, over all styles but the unseen ones.
        extra_identities: characters of `EXTRA_STYLES`, over all of them, to train the embedder on as well.
        pictures: of each of them.
        drawings: of each of them, each shown in several pictures.
        validation_identities: other characters, for the pairs and scenes that training watches.
        unseen_validation_identities: characters of the unseen styles, likewise.
        pairs: of pictures for validation, half of them of one character; and as many of unseen styles. No pair is
            there twice, so there are fewer where the characters give fewer.
        test_identities: other characters again, for the gallery and the test scenes.
        unseen_identities: characters of the unseen styles, for a gallery and test scenes of their own.
        strangers: characters of each of these two who are in probes and scenes, but in no gallery.
        probes: pictures of each test character to recognise; and as many turned ones.
        scenes: to train the detector on.
        validation_scenes: for training to watch.
        test_scenes: of test characters; and as many of unseen styles.
        unseen_styles: styles that nothing is trained on.
        more_identities: by style, not an unseen one: characters on top of these, to train the embedder on as well.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: _Count = 0
    identities: _Two = 2000
    extra_identities: _Count = 0
    pictures: _OfEach = 36
    drawings: _OfEach = 12
    validation_identities: _Two = 220
    unseen_validation_identities: _Two = 60
    pairs: _Two = 8000
    test_identities: _Two = 440
    unseen_identities: _Two = 180
    strangers: _Count = 66
    probes: _OfEach = 3
    scenes: _One = 20_000
    validation_scenes: _One = 1000
    test_scenes: _One = 1000
    unseen_styles: tuple[str, ...] = UNSEEN_STYLES
    # After those that it is checked against.
    more_identities: dict[str, _Count] = Field(default_factory=dict)

    @field_validator("unseen_styles")
    @classmethod
    def _styles_exist(cls, styles: tuple[str, ...]) -> tuple[str, ...]:
        unknown = sorted(set(styles) - set(STYLES))
        if unknown:
            raise ValueError(f"unknown style {', '.join(unknown)}; there are {', '.join(STYLES)}")
        twice = sorted(style for style, times in Counter(styles).items() if times > 1)
        if twice:
            raise ValueError(f"style {', '.join(twice)} is named twice")
        if not styles or len(styles) == len(STYLES):
            raise ValueError("some styles must be unseen and some seen")
        return styles

    @field_validator("more_identities")
    @classmethod
    def _more_can_be_drawn_and_are_seen(cls, more: dict[str, int], others: ValidationInfo) -> dict[str, int]:
        unknown = sorted(set(more) - set(ALL_STYLES))
        if unknown:
            raise ValueError(f"unknown style {', '.join(unknown)}; there are {', '.join(ALL_STYLES)}")
        unseen = sorted(set(more) & set(others.data.get("unseen_styles", ())))
        if unseen:
            raise ValueError(f"{', '.join(unseen)} must be unseen, so there can be none to train on")
        return more

    @property
    def seen_styles(self) -> tuple[str, ...]:
        """The styles that are trained on, in the order of `STYLES`."""
        return tuple(style for style in STYLES if style not in self.unseen_styles)
