"""What a generated data set shall hold."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from toonface_training.cartoon.styles import STYLES

UNSEEN_STYLES = ("micah", "personas", "croodles")

Count = Annotated[int, Field(ge=0, le=1_000_000)]


class CartoonSettings(BaseModel):
    """Sizes and seed of a cartoon data set; see `toonface dataset cartoon --help`.

    Attributes:
        seed: decides everything.
        identities: characters to train on, over all styles but the unseen ones.
        pictures: of each of them.
        drawings: of each of them, each shown in several pictures.
        validation_identities: other characters, for the pairs and scenes that training watches.
            unseen_validation_identities: characters of the unseen styles, likewise.
        pairs: of pictures for validation, half of them of one character; and as many of unseen styles.
        test_identities: other characters again, for the gallery and the test scenes.
        unseen_identities: characters of the unseen styles, for a gallery and test scenes of their own.
        strangers: characters of each of these two who are in probes and scenes, but in no gallery.
        probes: pictures of each test character to recognise; and as many turned ones.
        scenes: to train the detector on.
        validation_scenes: for training to watch.
        test_scenes: of test characters; and as many of unseen styles.
        unseen_styles: styles that nothing is trained on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: Count = 0
    identities: Annotated[int, Field(ge=2)] = 2000
    pictures: Annotated[int, Field(ge=1)] = 36
    drawings: Annotated[int, Field(ge=1)] = 12
    validation_identities: Annotated[int, Field(ge=2)] = 220
    unseen_validation_identities: Annotated[int, Field(ge=2)] = 60
    pairs: Annotated[int, Field(ge=2)] = 8000
    test_identities: Annotated[int, Field(ge=2)] = 440
    unseen_identities: Annotated[int, Field(ge=2)] = 180
    strangers: Count = 66
    probes: Annotated[int, Field(ge=1)] = 3
    scenes: Annotated[int, Field(ge=1)] = 20_000
    validation_scenes: Annotated[int, Field(ge=1)] = 1000
    test_scenes: Annotated[int, Field(ge=1)] = 1000
    unseen_styles: tuple[str, ...] = UNSEEN_STYLES

    @model_validator(mode="after")
    def _styles_exist(self) -> Self:
        unknown = sorted(set(self.unseen_styles) - set(STYLES))
        if unknown:
            raise ValueError(f"unknown style {', '.join(unknown)}; there are {', '.join(STYLES)}")
        if not self.unseen_styles or not self.seen_styles:
            raise ValueError("some styles must be unseen and some seen")
        return self

    @property
    def seen_styles(self) -> tuple[str, ...]:
        """The styles that are trained on, in the order of `STYLES`."""
        return tuple(style for style in STYLES if style not in self.unseen_styles)
