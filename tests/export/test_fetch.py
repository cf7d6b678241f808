"""Fetching by name: the first time, the second, and when something has changed."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from store import Store, cut_after, running_store, status

from toonface_contract.errors import FetchError
from toonface_export.fetch import Place, default_folder, fetch_item, make_place
from toonface_export.fetch_catalogue import ITEMS, PADDLEX_ADDRESS, find_item
from toonface_export.fetch_download import Patience
from toonface_export.fetch_lock import LOCK_FILE, Lock, read_lock
from toonface_export.fetch_steps import as_steps

GALLERY = find_item("cartoonface_demo_gallery")
WEIGHTS = find_item("MobileFaceNet_pretrained")


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


FIRST = _tar(
    {"cartoonface_demo_gallery/gallery.txt": b"images/a.jpg A\n", "cartoonface_demo_gallery/images/a.jpg": b"a"}
)
SECOND = _tar({"cartoonface_demo_gallery/gallery.txt": b"images/b.jpg B\n"})


@pytest.fixture
def store() -> Iterator[Store]:
    with running_store() as store:
        store.files = {GALLERY.path: FIRST, WEIGHTS.path: b"weights"}
        yield store


@pytest.fixture
def place(store: Store, tmp_path: Path) -> Place:
    folder = tmp_path / "fetched"
    return Place(folder, folder / LOCK_FILE, store.address, Patience(attempts=2, pause=0.001, timeout=5))


def _visible(folder: Path) -> set[str]:
    """Everything in a folder but the files by which processes wait for each other."""
    waiting = {".fetching", f".{LOCK_FILE}.writing"}
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")} - waiting


def test_an_archive_becomes_a_folder_and_is_written_down(store: Store, place: Place) -> None:
    fetched = fetch_item(GALLERY, place)
    assert fetched.new
    assert fetched.path == place.folder / "cartoonface_demo_gallery"
    assert (fetched.path / "gallery.txt").read_text() == "images/a.jpg A\n"
    assert (fetched.path / "images" / "a.jpg").read_bytes() == b"a"
    locked = json.loads(place.lock_file.read_text())["items"]["data/cartoonface_demo_gallery.tar"]
    assert locked["sha256"] == hashlib.sha256(FIRST).hexdigest()
    assert locked["size"] == len(FIRST)
    names = {"gallery.txt", "images", "images/a.jpg"}
    assert _visible(place.folder) == {LOCK_FILE, GALLERY.name, *(f"{GALLERY.name}/{name}" for name in names)}


def test_an_archive_without_a_folder_of_its_own_gets_one(store: Store, place: Place) -> None:
    store.files[GALLERY.path] = _tar({"gallery.txt": b"", "images/a.jpg": b"a"})
    assert (fetch_item(GALLERY, place).path / "images" / "a.jpg").read_bytes() == b"a"
    assert (place.folder / GALLERY.name / "gallery.txt").is_file()


def test_a_single_file_stays_one(store: Store, place: Place) -> None:
    fetched = fetch_item(WEIGHTS, place)
    assert fetched.path.name == "MobileFaceNet_pretrained.pdparams"
    assert fetched.path.read_bytes() == b"weights"
    assert _visible(place.folder) == {LOCK_FILE, fetched.path.name}


@pytest.mark.parametrize("item", [GALLERY, WEIGHTS])
def test_what_is_here_is_not_fetched_again(store: Store, place: Place, item) -> None:  # type: ignore[no-untyped-def]
    first = fetch_item(item, place)
    second = fetch_item(item, place)
    assert not second.new
    assert (second.path, second.locked) == (first.path, first.locked)
    assert len(store.ranges) == 1


def test_what_was_removed_comes_back_the_same(store: Store, place: Place) -> None:
    first = fetch_item(WEIGHTS, place)
    first.path.unlink()
    assert fetch_item(WEIGHTS, place).locked == first.locked


def test_another_content_than_the_first_is_refused(store: Store, place: Place) -> None:
    fetch_item(WEIGHTS, place).path.unlink()
    store.files[WEIGHTS.path] = b"others"
    before = place.lock_file.read_bytes()
    with pytest.raises(
        FetchError, match=r"is not what it was: its SHA-256 is [0-9a-f]{64}, and .* give --renew"
    ) as error:
        fetch_item(WEIGHTS, place)
    assert error.value.code == "fetch_changed"
    assert _visible(place.folder) == {LOCK_FILE}
    assert place.lock_file.read_bytes() == before


def test_a_lock_holds_for_another_folder_and_another_mirror(store: Store, place: Place, tmp_path: Path) -> None:
    fetch_item(WEIGHTS, place)
    with running_store() as mirror:
        mirror.files[WEIGHTS.path] = b"forged"
        elsewhere = Place(tmp_path / "elsewhere", place.lock_file, mirror.address, place.patience)
        with pytest.raises(FetchError, match="is not what it was"):
            fetch_item(WEIGHTS, elsewhere)


def test_two_folders_that_share_a_lock_file_lose_nothing(store: Store, place: Place, tmp_path: Path) -> None:
    other = replace(place, folder=tmp_path / "other")

    def meanwhile(size: int, total: int | None) -> None:
        fetch_item(WEIGHTS, other)

    fetch_item(GALLERY, place, meanwhile)
    assert read_lock(place.lock_file).items.keys() == {GALLERY.path, WEIGHTS.path}


def test_of_two_folders_that_share_a_lock_file_the_first_content_holds(
    store: Store, place: Place, tmp_path: Path
) -> None:
    other = replace(place, folder=tmp_path / "other")

    def meanwhile(size: int, total: int | None) -> None:
        store.files[WEIGHTS.path] = b"others"
        fetch_item(WEIGHTS, other)

    with pytest.raises(FetchError, match="is not what it was"):
        fetch_item(WEIGHTS, place, meanwhile)
    assert (other.folder / WEIGHTS.name).read_bytes() == b"others"


def test_renewing_replaces_folder_and_record(store: Store, place: Place) -> None:
    old = fetch_item(GALLERY, place)
    store.files[GALLERY.path] = SECOND
    new = fetch_item(GALLERY, place, renew=True)
    assert new.new and new.locked != old.locked
    assert _visible(new.path) == {"gallery.txt"}
    assert not fetch_item(GALLERY, place).new


def test_a_renewal_that_fails_leaves_everything_as_it_was(store: Store, place: Place) -> None:
    fetch_item(GALLERY, place)
    before = place.lock_file.read_bytes()
    for spoilt in (SECOND[:600], b"no archive", _tar({"../out": b"evil"})):
        store.files[GALLERY.path] = spoilt
        with pytest.raises(FetchError):
            fetch_item(GALLERY, place, renew=True)
        assert (place.folder / GALLERY.name / "gallery.txt").read_text() == "images/a.jpg A\n"
        assert place.lock_file.read_bytes() == before
        assert not [path for path in place.folder.iterdir() if path.name.endswith(".part")]


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "images" / "a.jpg").write_bytes(b"b"),
        lambda folder: (folder / "images" / "a.jpg").unlink(),
        lambda folder: (folder / "more.txt").write_bytes(b""),
        lambda folder: (folder / "gallery.txt").rename(folder / "list.txt"),
    ],
)
def test_a_folder_that_was_changed_is_not_taken_for_the_original(store: Store, place: Place, change) -> None:  # type: ignore[no-untyped-def]
    change(fetch_item(GALLERY, place).path)
    with pytest.raises(FetchError, match="cartoonface_demo_gallery was changed since it was fetched; remove it"):
        fetch_item(GALLERY, place)


def test_something_else_in_its_place_is_not_touched(store: Store, place: Place) -> None:
    (place.folder / GALLERY.name).mkdir(parents=True)
    (place.folder / GALLERY.name / "mine").write_text("mine")
    with pytest.raises(FetchError, match=r"is here, but .*toonface-fetch.lock does not say what it should be"):
        fetch_item(GALLERY, place)
    assert (place.folder / GALLERY.name / "mine").read_text() == "mine"


def test_an_interrupted_download_is_taken_up_by_the_next_call(store: Store, place: Place) -> None:
    store.faults = [cut_after(4000), status(503), status(503)]
    with pytest.raises(FetchError):
        fetch_item(GALLERY, place)
    assert not (place.folder / GALLERY.name).exists()
    assert not place.lock_file.exists()
    fetch_item(GALLERY, place)
    assert store.ranges[-1] == "bytes=4000-"


def test_two_at_once_fetch_once(store: Store, place: Place) -> None:
    results = []
    threads = [threading.Thread(target=lambda: results.append(fetch_item(GALLERY, place))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result.new for result in results) == [False, False, False, True]
    assert len(store.ranges) == 1


def test_a_folder_that_cannot_be_made(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    place = Place(tmp_path / "file" / "folder", tmp_path / "lock", store.address)
    with pytest.raises(FetchError, match="cannot be kept in .*file/folder"):
        fetch_item(GALLERY, place)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"format": 2}', '{"items": {"a": {}}}', '{"format": 1, "items": {}, "more": 1}']
)
def test_a_spoilt_lock_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "lock").write_text(content)
    with pytest.raises(FetchError, match=r"lock is no lock file of `toonface fetch`"):
        read_lock(tmp_path / "lock")


def test_a_lock_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=f"lock file {tmp_path} cannot be read: Is a directory"):
        read_lock(tmp_path)


def test_no_lock_file_is_an_empty_one(tmp_path: Path) -> None:
    assert read_lock(tmp_path / "none") == Lock()


def test_everything_of_the_tutorial_has_a_name_and_an_address() -> None:
    assert len({item.name for item in ITEMS}) == len({item.path for item in ITEMS}) == len(ITEMS) == 16
    base = "https://paddle-model-ecology.bj.bcebos.com/paddlex"
    assert PADDLEX_ADDRESS == base
    paths = {item.path for item in ITEMS}
    for model in ("PP-YOLOE_plus-S_face", "PicoDet_LCNet_x2_5_face", "BlazeFace", "BlazeFace-FPN-SSH"):
        assert f"official_inference_model/paddle3.0rc0/{model}_infer.tar" in paths
        assert f"official_pretrained_model/{model}_pretrained.pdparams" in paths
    assert {path for path in paths if path.startswith("data/")} == {
        f"data/{name}.tar"
        for name in (
            "face_demo_gallery",
            "cartoonface_demo_gallery",
            "cartoonface_coco_examples",
            "cartoonface_rec_examples",
        )
    }


def test_names_may_be_short() -> None:
    assert find_item("BlazeFace") == find_item("BlazeFace_infer")
    assert find_item("BlazeFace_pretrained") == find_item("BlazeFace_pretrained.pdparams")
    with pytest.raises(FetchError, match=r"called 'MobileFacenet'; near it are MobileFaceNet,") as error:
        find_item("MobileFacenet")
    assert error.value.code == "not_found"


def test_a_download_is_told_every_few_per_cent() -> None:
    steps: list[str] = []
    received = as_steps("MobileFaceNet", steps.append)
    for size in range(0, 4_000_001, 1000):
        received(size, 4_000_000)
    assert len(steps) == 20
    assert (steps[0], steps[-1]) == (
        "MobileFaceNet: fetched 0.2 of 4.0 MB (5 %)",
        "MobileFaceNet: fetched 4.0 of 4.0 MB (100 %)",
    )
    received(0, 4_000_000)  # anew
    received(4_000_000, 4_000_000)
    assert steps[20:] == ["MobileFaceNet: fetched 0.0 of 4.0 MB (0 %)", steps[19]]


def test_a_download_of_unknown_size_is_told_too() -> None:
    steps: list[str] = []
    received = as_steps("MobileFaceNet", steps.append)
    for size in range(0, 40 * 2**20, 2**16):
        received(size, None)
    assert steps == ["MobileFaceNet: fetched 16.8 MB", "MobileFaceNet: fetched 33.6 MB"]


def test_where_things_are_kept_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TOONFACE_MIRROR", raising=False)
    monkeypatch.setenv("TOONFACE_CACHE", str(tmp_path / "own"))
    assert make_place() == Place(tmp_path / "own", tmp_path / "own" / LOCK_FILE)
    monkeypatch.delenv("TOONFACE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_folder() == tmp_path / "xdg" / "toonface"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_folder() == Path.home() / ".cache" / "toonface"


def test_a_mirror_must_be_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    assert make_place(mirror="http://127.0.0.1:1/paddlex/").address == "http://127.0.0.1:1/paddlex"
    monkeypatch.setenv("TOONFACE_MIRROR", "ftp://127.0.0.1")
    with pytest.raises(FetchError, match="mirror 'ftp://127.0.0.1' is no address"):
        make_place()
