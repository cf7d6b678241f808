import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest

from toonface_contract.errors import ConfigError
from toonface_export.samples import as_faces, evenly_spaced, load_samples


def _folder(folder: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((20, 30, 3), number, np.uint8))
    return folder


def test_pictures_come_in_the_order_of_their_paths(tmp_path: Path) -> None:
    folder = _folder(tmp_path, "b.png", "a/c.PNG", "d.bmp")
    (folder / "notes.txt").write_text("no picture")
    samples = load_samples(folder, 10)
    assert [sample.name for sample in samples] == ["a/c.PNG", "b.png", "d.bmp"]
    assert samples[0].pixels.shape == (20, 30, 3)
    names, faces = as_faces(samples)
    assert names == ("a/c.PNG", "b.png", "d.bmp")
    assert faces.shape == (3, 112, 112, 3)


def test_of_many_evenly_spaced_ones_are_taken(tmp_path: Path) -> None:
    folder = _folder(tmp_path, *(f"{number}.png" for number in range(9)))
    assert [sample.name for sample in load_samples(folder, 3)] == ["0.png", "3.png", "6.png"]


def test_pictures_are_not_kept_decoded(tmp_path: Path) -> None:
    for number in range(20):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((1000, 1000, 3), np.uint8))
    tracemalloc.start()
    try:
        samples = load_samples(tmp_path, 20)
        as_faces(samples)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(samples) == 20
    assert most < 10 * samples[0].pixels.nbytes


@pytest.mark.parametrize(
    ("count", "most", "rows"), [(0, 3, []), (2, 3, [0, 1]), (3, 3, [0, 1, 2]), (4, 3, [0, 1, 2]), (9, 3, [0, 3, 6])]
)
def test_rows_are_evenly_spaced(count: int, most: int, rows: list[int]) -> None:
    assert evenly_spaced(count, most) == rows


def test_a_folder_without_pictures(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no pictures"):
        load_samples(tmp_path, 3)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing is not a folder"):
        load_samples(tmp_path / "nothing", 3)


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "half.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ConfigError, match=r"picture .*half.png cannot be used"):
        load_samples(tmp_path, 3)
