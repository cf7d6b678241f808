import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageOps

from toonface_training import demo_models
from toonface_training.demo.__main__ import main
from toonface_training.demo.cast import NAMES, choose_cast

DEMO = Path(__file__).resolve().parents[2] / "demo"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo, drawn anew."""
    folder = tmp_path_factory.mktemp("demo")
    result = CliRunner().invoke(main, ["--output", str(folder)])
    assert result.exit_code == 0, result.output
    return folder


def test_the_committed_demo_is_what_its_seed_gives(drawn: Path) -> None:
    for made in sorted(path for path in drawn.rglob("*") if path.is_file()):
        kept = DEMO / made.relative_to(drawn)
        if made.suffix == ".jpg":
            with Image.open(made) as new, Image.open(kept) as old:
                assert new.size == old.size
                difference = np.asarray(new, dtype=int) - np.asarray(old, dtype=int)
                assert np.abs(difference).mean() < 1, made.name
        else:
            assert made.read_text(encoding="utf-8") == kept.read_text(encoding="utf-8")


def test_the_gallery_list_names_every_portrait_once(drawn: Path) -> None:
    lines = (drawn / "gallery" / "gallery.txt").read_text(encoding="utf-8").splitlines()
    paths, labels = zip(*(line.split(" ") for line in lines), strict=True)
    assert sorted(paths) == sorted(path.name for path in (drawn / "gallery").glob("*.jpg"))
    assert Counter(labels) == dict.fromkeys(NAMES, 3)


def test_the_truth_fits_the_upright_pictures(drawn: Path) -> None:
    pictures = json.loads((drawn / "expected.json").read_text(encoding="utf-8"))["pictures"]
    for picture in pictures:
        with Image.open(drawn / picture["file"]) as stored:
            upright = ImageOps.exif_transpose(stored)
        assert upright.size == (picture["width"], picture["height"])
    faces = [[face["label"] for face in picture["faces"]] for picture in pictures]
    assert sorted(map(len, faces)) == [0, 2, 3, 4, 5, 12]
    labels = Counter(label for names in faces for label in names)
    assert labels.pop("Unknown") == 1
    assert set(labels) <= set(NAMES)


def test_one_picture_lies_on_its_side_and_says_so(drawn: Path) -> None:
    with Image.open(drawn / "pictures" / "telephone.jpg") as stored:
        assert stored.size == (1200, 900)
        assert stored.getexif()[0x0112] == 6


@pytest.mark.parametrize("seed", [0, 1])
def test_the_cast_has_no_character_that_the_demo_models_were_first_trained_on(seed: int) -> None:
    cast = choose_cast(seed)
    for identity in (*cast.named.values(), cast.stranger):
        seen = demo_models.seen_characters(identity.style.name)
        assert min(identity.differences(other) for other in seen) >= 2


def test_the_credits_name_every_style_with_artist_and_licence(drawn: Path) -> None:
    page = (drawn / "CREDITS.md").read_text(encoding="utf-8")
    for style in demo_models.STYLES:
        assert f"| {style} | [" in page
    assert "Lisa Wischofsky" in page
    assert "CC BY 4.0" in page
