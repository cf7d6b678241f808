from itertools import combinations

import cv2
import numpy as np
import pytest

from toonface_training import demo_models
from toonface_training.cartoon.drawing import draw
from toonface_training.cartoon.face_box import face_box
from toonface_training.cartoon.identity import choose_identities, draw_identity, vary
from toonface_training.cartoon.measuring import changed
from toonface_training.cartoon.styles import ALL_STYLES, EXTRA_STYLES, CartoonStyle


def test_seeds_name_the_characters_that_the_demo_models_were_trained_on() -> None:
    """Changing the lots would make the list of training characters wrong without a word."""
    assert draw_identity("lorelei", 0).traits == {
        "beard": "",
        "earrings": "",
        "freckles": "",
        "glasses": "",
        "hair": "variant31",
        "hairAccessories": "",
        "head": "variant03",
        "nose": "variant06",
        "skin": "#d08b5b",
        "hairColor": "#724133",
    }
    assert draw_identity("personas", 50_000).traits == {
        "eyes": "sunglasses",
        "facialHair": "",
        "hair": "shortComboverChops",
        "nose": "wrinkles",
        "skin": "#d08b5b",
        "hairColor": "#4a312c",
    }


@pytest.mark.parametrize("style", ALL_STYLES)
def test_pictures_of_one_character_differ_in_expression_and_clothes_only(style: str) -> None:
    identity = draw_identity(style, 900_000)
    lots = np.random.default_rng(1)
    pictures = [vary(identity, lots) for _ in range(20)]
    for options in pictures:
        assert identity.options.items() <= options.items()
    free = {f"{part}Variant" for part in (*ALL_STYLES[style].expression, *ALL_STYLES[style].clothes)}
    free |= {f"{colour}Color" for colour in ALL_STYLES[style].free_colours} | {"seed"}
    differing = {name for name in pictures[0] if len({str(options[name]) for options in pictures}) > 1}
    assert {"seed"} < differing <= free


def test_excluded_variants_are_never_drawn() -> None:
    drawn = {vary(draw_identity("avataaars", 3), np.random.default_rng(n))["mouthVariant"] for n in range(200)}
    assert len(drawn) == 11
    assert "vomit" not in drawn


@pytest.mark.parametrize("name", ["personas", "croodles", "bottts", "clay", "critters", "voxel-bot"])
def test_glasses_that_a_style_counts_among_the_eyes_stay_with_the_character(name: str) -> None:
    style = ALL_STYLES[name]
    lots = np.random.default_rng(0)
    worn = set()
    for seed in range(40):
        identity = draw_identity(name, seed)
        drawn = {vary(identity, lots)["eyesVariant"] for _ in range(20)}
        if "eyes" in identity.traits:
            assert drawn == {identity.traits["eyes"]}
            worn |= drawn
        else:
            assert len(drawn) > 1 and drawn.isdisjoint(style.habit["eyes"][0])
    assert worn and worn <= set(style.habit["eyes"][0])


@pytest.mark.parametrize("style", demo_models.STYLES)
def test_chosen_characters_differ_from_each_other_and_from_those_to_avoid(style: str) -> None:
    seen = demo_models.earlier_characters(style)
    chosen = choose_identities(style, 5, first_seed=900_000, avoid=seen)
    for number, identity in enumerate(chosen):
        assert min(identity.differences(other) for other in (*chosen[:number], *seen)) >= 2


@pytest.mark.parametrize("style", EXTRA_STYLES.values(), ids=lambda style: style.name)
def test_characters_of_the_extra_styles_can_be_told_apart_by_their_faces(style: CartoonStyle) -> None:
    same: dict[str, object] = {"seed": "0"}
    same |= {f"{part}Variant": style.variants(part)[0] for part in style.expression}
    same |= {f"{part}Probability": 0 for part in style.clothes}
    same |= {f"{colour}Color": ["#888888"] for colour in style.free_colours}
    crops = []
    for identity in choose_identities(style.name, 20, first_seed=900_000):
        options = vary(identity, np.random.default_rng(0)) | same | identity.options
        face, side = face_box(style.name, identity.head), 96
        rows, columns = (slice(round(a * side), round(b * side)) for a, b in ((face.y1, face.y2), (face.x1, face.x2)))
        crop = draw(style.name, options, side)[rows, columns]
        assert (crop[..., 3] > 0).mean() > 0.45  # the box is where something is drawn
        assert np.ptp(crop[..., :3][crop[..., 3] == 255], axis=0).max() > 60  # and it has features
        crops.append(cv2.resize(crop, (64, 64), interpolation=cv2.INTER_AREA))
    assert min(changed(one, other).mean() for one, other in combinations(crops, 2)) > 0.01


def test_a_style_that_runs_out_of_characters_says_so() -> None:
    with pytest.raises(ValueError, match="dylan gives 2 characters that differ in 4 traits, not 50"):
        choose_identities("dylan", 50, first_seed=0, apart=4)
