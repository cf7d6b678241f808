"""Identities in another manner: each in one of its own, some of them all."""

import cv2
import numpy as np
import pytest

from toonface_training.batches.restyled import Restyled

BOX = np.array([20, 20, 140, 140], np.float32)


def face(skin: tuple[int, int, int] = (237, 185, 138), hair: tuple[int, int, int] = (29, 93, 255)) -> np.ndarray:
    picture = np.full((160, 160, 3), 90, np.uint8)
    cv2.circle(picture, (80, 80), 60, skin, -1)
    cv2.ellipse(picture, (80, 50), (55, 28), 0, 180, 360, hair, -1)
    cv2.circle(picture, (80, 80), 60, (20, 20, 20), 3)
    return picture


def manners(share: float, count: int = 200, seed: int = 0) -> list[np.ndarray]:
    restyle = Restyled(share, seed)
    return [restyle(face(), BOX, label) for label in range(count)]


def test_the_share_of_identities_is_redrawn_and_no_other() -> None:
    for share, least, most in ((0.0, 0, 0), (0.25, 35, 65), (1.0, 200, 200)):
        redrawn = sum(not np.array_equal(picture, face()) for picture in manners(share))
        assert least <= redrawn <= most, share


def test_an_identity_keeps_its_manner_and_others_have_others() -> None:
    first, again, otherwise = manners(1, 40), manners(1, 40), manners(1, 40, seed=1)
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))
    assert len({picture.tobytes() for picture in first}) == len(first)
    assert not any(np.array_equal(one, other) for one, other in zip(first, otherwise, strict=True))


def test_lines_stay_and_areas_become_lighter_or_change_colour() -> None:
    inked = recoloured = 0
    for picture in manners(1):
        assert picture.shape == (160, 160, 3) and picture.dtype == np.uint8
        skin, line = (picture[spot].astype(int) for spot in ((110, 80), (80, 20)))
        assert line.mean() < skin.mean() - 30
        hair = picture[35, 80].astype(int)
        if hair.min() > face()[35, 80].min() + 40:
            inked += 1
        elif np.abs(hair - face()[35, 80]).max() > 20:
            recoloured += 1
    assert inked > 50 and recoloured > 30


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (200, 3)])
def test_pictures_of_any_shape(shape: tuple[int, int]) -> None:
    picture = np.full((*shape, 3), 77, np.uint8)
    box = np.array([0, 0, shape[1], shape[0]], np.float32)
    for label in range(12):
        assert Restyled(1, 0)(picture, box, label).shape == picture.shape


def test_grey_stays_grey_when_hues_are_turned() -> None:
    grey = np.full((40, 40, 3), 128, np.uint8)
    for label in range(60):
        spread = np.ptp(Restyled(1, 0)(grey, np.array([0, 0, 40, 40], np.float32), label), axis=2)
        # Paper may be tinted: so far, and by no more than paper is.
        assert spread.max() <= 256 - 190
