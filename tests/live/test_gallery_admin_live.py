"""Administration of the galleries of a serving server, by the command line and by both clients."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result
from live_server import Server
from PIL import Image, ImageFilter
from scenes import BACKGROUND, DEMO, encode, scene

from toonface_client import AsyncToonfaceClient, EnrolReport, LabelledPicture, ToonfaceClient, cli
from toonface_contract.admin import FaceUpdate, IndexSettings, NewFace
from toonface_contract.errors import DeadlineExceeded, NotFound

Run = Callable[..., Result]


@pytest.fixture
def run(server: Server) -> Run:
    def invoke(*arguments: object, code: int = 0) -> Result:
        result = CliRunner(env={"TOONFACE_ADDRESS": server.grpc}).invoke(cli.main, ["gallery", *map(str, arguments)])
        assert result.exit_code == code, result.output
        return result

    return invoke


@pytest.fixture
def gallery(client: ToonfaceClient, request: pytest.FixtureRequest) -> Iterator[str]:
    """A gallery's name of this test's own, dropped afterwards."""
    name = f"test-{abs(hash(request.node.nodeid)):x}"
    yield name
    for each in client.galleries():
        if each.name.startswith(name):
            client.drop_gallery(each.name)


def document(result: Result) -> Any:
    return json.loads(result.stdout)


def labels(client: ToonfaceClient, name: str) -> list[str]:
    return [face.label for face in client.faces(name)]


@pytest.mark.parametrize("file", ["faces.npz", "faces.parquet"])
def test_an_exported_gallery_is_imported_again(
    run: Run, client: ToonfaceClient, characters: str, gallery: str, tmp_path: Path, file: str
) -> None:
    exported = document(run("export", characters, tmp_path / file, "--json"))
    assert exported["faces"] == len(labels(client, characters)) == 72
    run("export", characters, tmp_path / file, code=1)  # it is there already
    assert document(run("import", gallery, tmp_path / file, "--dry-run", "--json"))["imported"] == 72
    assert gallery not in [each.name for each in client.galleries()]
    run("import", gallery, tmp_path / file)
    before, after = list(client.faces(characters)), list(client.faces(gallery))
    assert [(face.label, face.source, face.quality) for face in after] == [
        (face.label, face.source, face.quality) for face in before
    ]
    assert all(face.quality is not None for face in after)
    assert "gallery_exists" in run("import", gallery, tmp_path / file, code=1).stderr
    run("import", gallery, tmp_path / file, "--replace")
    run("import", gallery, tmp_path / file, "--add")
    assert len(labels(client, gallery)) == 144
    assert [each.name for each in client.galleries() if ".staging-" in each.name] == []
    (verified,) = document(run("verify", gallery, "--json"))["galleries"]
    assert (verified["faces"], verified["searched"], verified["problems"]) == (144, 144, [])
    assert verified["saved_index"] in ("none", "current") or verified["saved_index"].startswith("behind")


def test_an_export_for_paddlex_is_imported_again(
    run: Run, client: ToonfaceClient, characters: str, gallery: str, tmp_path: Path
) -> None:
    run("export", characters, f"{tmp_path}/paddlex.index/")
    assert "overwrite it with --force" in run("export", characters, f"{tmp_path}/paddlex.index/", code=1).stderr
    run("export", characters, f"{tmp_path}/paddlex.index/", "--force")
    run("import", gallery, tmp_path / "paddlex.index")
    (before,), (after,) = (client.face_pages(name, embeddings=True) for name in (characters, gallery))
    assert [face.label for face in after.faces] == [face.label for face in before.faces]
    assert after.faces[17].source == "paddlex.index#17"
    assert before.embeddings is not None and after.embeddings is not None
    np.testing.assert_allclose(after.embeddings, before.embeddings, atol=1e-6)


def during(monkeypatch: pytest.MonkeyPatch, method: str, do: Callable[[], object], *, after: bool = False) -> None:
    """Let something happen whenever a client's method is called, before it is carried out, or after."""
    original = getattr(ToonfaceClient, method)

    def interrupted(self: ToonfaceClient, *arguments: Any, **options: Any) -> Any:
        if not after:
            do()
        answer = original(self, *arguments, **options)
        if after:
            do()
        return answer

    monkeypatch.setattr(ToonfaceClient, method, interrupted)


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize(("method", "after", "code"), [("add_faces", False, "exists"), ("stats", True, "changed")])
def test_an_import_leaves_alone_what_somebody_fills_meanwhile(
    run: Run,
    client: ToonfaceClient,
    gallery: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    empty: bool,
    method: str,
    after: bool,
    code: str,
) -> None:
    np.savez(tmp_path / "own.npz", embeddings=np.eye(3, 128), labels=["a", "b", "c"])
    if empty:
        client.build_gallery(gallery, [], [])
    elif method == "stats":
        during(monkeypatch, "add_faces", lambda: client.build_gallery(gallery, [], [], replace=True))
    theirs = [NewFace(label="theirs")]
    during(
        monkeypatch, method, lambda: client.build_gallery(gallery, theirs, np.eye(1, 128), replace=True), after=after
    )
    assert f"error: gallery_{code}: " in run("import", gallery, tmp_path / "own.npz", code=1).stderr
    assert labels(client, gallery) == ["theirs"]
    assert [each.name for each in client.galleries() if each.name.startswith(gallery)] == [gallery]


def test_an_import_takes_over_how_the_gallery_was_searched_and_comes_as_a_whole(
    run: Run, client: ToonfaceClient, gallery: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "own.npz", embeddings=np.eye(3, 128), labels=["a", "b", "c"])
    np.savez(tmp_path / "bad.npz", embeddings=np.eye(3, 128), labels=["a", "b", "Unknown"])
    monkeypatch.setattr("toonface_gallery.interchange.portable.PORTION", 2)
    client.build_gallery(gallery, [], [], index=IndexSettings(type="HNSW32", metric="L2"))
    run("import", gallery, tmp_path / "bad.npz", code=1)
    assert labels(client, gallery) == []
    for options in ((), ("--replace",)):
        run("import", gallery, tmp_path / "own.npz", *options)
        (info,) = [each for each in client.galleries() if each.name.startswith(gallery)]
        assert (info.faces, info.index_type, info.metric) == (3, "HNSW32", "L2")


def test_a_build_of_an_empty_gallery_takes_its_options(
    run: Run, client: ToonfaceClient, gallery: str, tmp_path: Path
) -> None:
    (tmp_path / "gallery.txt").write_text(f"{DEMO}/gallery/01-1.jpg Ada\n")
    built = ("build", gallery, tmp_path / "gallery.txt")

    def searched() -> tuple[int, str | None, str]:
        (info,) = [each for each in client.galleries() if each.name == gallery]
        return info.faces, info.index_type, info.metric

    client.build_gallery(gallery, [], [])
    run(*built, "--index", "HNSW32", "--metric", "L2", "--dry-run")
    assert searched() == (0, None, "IP")
    run(*built, "--index", "HNSW32", "--metric", "L2")
    assert searched() == (1, "HNSW32", "L2")
    client.build_gallery(gallery, [], [], replace=True)
    run(*built)
    assert searched() == (1, "HNSW32", "L2")
    run(*built, "--metric", "IP", "--replace")
    assert searched() == (1, None, "IP")


def test_another_embedder_s_file_is_refused_and_leaves_nothing(
    run: Run, client: ToonfaceClient, gallery: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "own.npz", embeddings=np.eye(3, 128), labels=["a", "b", "c"], embedder="sha256:other")
    assert "embedder_mismatch" in run("import", gallery, tmp_path / "own.npz", code=1).stderr
    np.savez(tmp_path / "own.npz", embeddings=np.eye(3, 64), labels=["a", "b", "c"])
    assert "have 64 numbers" in run("import", gallery, tmp_path / "own.npz", code=1).stderr
    np.savez(tmp_path / "own.npz", embeddings=np.full((1, 128), np.nan), labels=["a"])
    assert "NaN" in run("import", gallery, tmp_path / "own.npz", code=1).stderr
    np.savez(tmp_path / "own.npz", embeddings=np.eye(2, 128), labels=["a", "Unknown"])
    assert "face 1 (from 0): label is 'Unknown'" in run("import", gallery, tmp_path / "own.npz", code=1).stderr
    assert [each.name for each in client.galleries() if each.name.startswith(gallery)] == []


def test_paddlex_s_saved_index_is_imported(
    run: Run, client: ToonfaceClient, characters: str, gallery: str, tmp_path: Path
) -> None:
    (page,) = client.face_pages(characters, embeddings=True)
    assert page.embeddings is not None
    index = faiss.IndexIDMap2(faiss.index_factory(page.embeddings.shape[1], "Flat", faiss.METRIC_INNER_PRODUCT))
    index.add_with_ids(page.embeddings, np.arange(len(page.faces)))
    (tmp_path / "saved").mkdir()
    faiss.write_index(index, str(tmp_path / "saved" / "vector.index"))
    content = {"id_map": {row: face.label for row, face in enumerate(page.faces)}, "index_type": "Flat"}
    (tmp_path / "saved" / "id_map.yaml").write_text(yaml.safe_dump(content))
    (tmp_path / "face_recognition.yaml").write_text("index: saved\n")
    done = run("import", gallery, tmp_path / "face_recognition.yaml")
    assert "does not say which embedder" in done.stderr
    assert labels(client, gallery) == [face.label for face in page.faces]
    picture = scene(1, cell=300)
    assert client.recognize(encode(picture.image), gallery=gallery).faces[0].label == picture.names[0]


def test_pictures_must_be_good_enough_and_one_person_s_alone(
    run: Run, client: ToonfaceClient, gallery: str, tmp_path: Path
) -> None:
    good, other = (Image.open(DEMO / "gallery" / f"{name}.jpg") for name in ("01-1", "02-1"))
    good.save(tmp_path / "good.png")
    good.save(tmp_path / "same.png")
    good.filter(ImageFilter.GaussianBlur(6)).save(tmp_path / "blurred.png")
    other.resize((24, 24)).save(tmp_path / "small.png")
    other.save(tmp_path / "other.png")
    lines = ["good.png Ada", "same.png Eve", "blurred.png Bob", "small.png Noor", "other.png Noor", "gone.png Zoe"]
    (tmp_path / "gallery.txt").write_text("\n".join(lines))
    dry = run("build", gallery, tmp_path / "gallery.txt", "--dry-run", "--report", code=1)
    assert "dry run, nothing was changed: enrolled 2 of 6" in dry.stdout
    assert "near_duplicate" in dry.stdout
    assert gallery not in [each.name for each in client.galleries()]

    built = document(run("build", gallery, tmp_path / "gallery.txt", "--json", code=1))
    codes = [picture["error"] and picture["error"]["code"] for picture in built["pictures"]]
    assert codes == [None, "near_duplicate", "face_blurred", "face_too_small", None, "invalid_image"]
    assert built["pictures"][0]["measures"]["quality"] == 1
    assert labels(client, gallery) == ["Ada", "Noor"]
    wait_until(lambda: len(client.search(gallery, np.eye(1, 128))[0]) == 2)
    again = document(run("add", gallery, tmp_path / "same.png", "--label", "Eve", "--json", code=1))
    assert "'Ada' (enrolled, id " in again["pictures"][0]["error"]["message"]
    run("add", gallery, tmp_path / "same.png", "--label", "Eve", "--max-similarity", "off")
    run("add", gallery, tmp_path / "small.png", "--label", "Noor", "--no-gate")
    assert labels(client, gallery) == ["Ada", "Noor", "Eve", "Noor"]


def test_with_faces_cut_out_a_picture_must_show_one_and_surely(
    run: Run, client: ToonfaceClient, gallery: str, tmp_path: Path
) -> None:
    one, two = (scene(count, cell=300).image for count in (1, 2))
    one.save(tmp_path / "one.png")
    two.save(tmp_path / "two.png")
    Image.new("RGB", one.size, BACKGROUND).save(tmp_path / "none.png")
    (tmp_path / "gallery.txt").write_text("one.png Ada\ntwo.png Eve\nnone.png Noor\n")
    (score,) = client.features(tmp_path / "one.png").detection_scores

    def codes(bound: float) -> list[str | None]:
        options = ("--crop", "faces", "--min-detection-score", bound, "--dry-run", "--json")
        pictures = document(run("build", gallery, tmp_path / "gallery.txt", *options, code=1))["pictures"]
        return [picture["error"] and picture["error"]["code"] for picture in pictures]

    assert codes(score - 0.01) == [None, "several_faces", "no_face"]
    assert codes((score + 1) / 2) == ["face_uncertain", "several_faces", "no_face"]


def test_many_pictures_of_somebody_hide_nobody_else(
    run: Run, client: ToonfaceClient, server: Server, gallery: str
) -> None:
    picture = DEMO / "gallery" / "01-1.jpg"
    (embedding,) = client.features(picture, crop="whole").embeddings
    aside = np.roll(embedding, 1) - embedding * (embedding @ np.roll(embedding, 1))
    near = embedding + 0.2 * aside / np.linalg.norm(aside)  # at a similarity of 0.98
    faces = [*[NewFace(label="Ada")] * 6, NewFace(label="Eve")]
    ids = client.build_gallery(gallery, faces, [*[embedding] * 6, near]).ids
    wait_until(lambda: len(client.search(gallery, [embedding], topk=10)[0]) == 7)
    nearest = client.search(gallery, [embedding], topk=10, group="label")[0]
    assert [match.label for match in nearest] == ["Ada", "Eve"]

    async def enrol() -> EnrolReport:
        async with AsyncToonfaceClient(server.grpc) as remote:
            return await remote.enrol(gallery, [LabelledPicture(picture, "Ada")])

    for report in (client.enrol(gallery, [LabelledPicture(picture, "Ada")]), asyncio.run(enrol())):
        error = report.pictures[0].error
        assert error is not None and f"'Eve' (enrolled, id {ids[6]})" in error.message

    new = ("--picture", picture)
    assert f"'Eve' (enrolled, id {ids[6]})" in run("update", gallery, "--id", ids[0], *new, code=1).stderr
    assert "near_duplicate" in run("update", gallery, "--id", ids[6], *new, "--dry-run", code=1).stderr
    run("update", gallery, "--id", ids[6], *new, "--set-label", "Ada")  # of Eve there is this face alone
    assert labels(client, gallery) == ["Ada"] * 7
    wait_until(lambda: {match.label for match in client.search(gallery, [embedding], topk=10)[0]} == {"Ada"})
    zoe = ("update", gallery, "--id", ids[0], *new, "--set-label", "Zoe")
    assert "is that of 'Ada'" in run(*zoe, code=1).stderr  # of whom the face itself is not the only one
    run(*zoe, "--max-similarity", "off")
    assert labels(client, gallery) == ["Zoe", *["Ada"] * 6]


def wait_until(true: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 10
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.05)


def test_faces_are_corrected_and_removed_by_lists(
    run: Run, client: ToonfaceClient, gallery: str, tmp_path: Path
) -> None:
    ids = client.build_gallery(gallery, [NewFace(label=label) for label in "abcab"], np.eye(5, 128)).ids
    (tmp_path / "corrections.txt").write_text(f"{ids[0]} x y\n{ids[1]}\tz\n")
    run("update", gallery, "--list", tmp_path / "corrections.txt", "--dry-run")
    assert labels(client, gallery) == ["a", "b", "c", "a", "b"]
    run("update", gallery, "--list", tmp_path / "corrections.txt")
    before = client.stats(gallery).sequence
    with pytest.MonkeyPatch.context() as patched:  # somebody enrols another at the last moment
        others = [NewFace(label="a")]
        during(patched, "update_label", lambda: client.add_faces(gallery, others, np.eye(1, 128)))
        changed = document(run("update", gallery, "--label", "a", "--set-label", "A", "--json"))
    assert (len(changed["ids"]), changed["sequence"]) == (2, before + 3)  # the other's, and that of each face
    assert labels(client, gallery) == ["x y", "z", "c", "A", "b", "A"]
    run("remove", gallery, "--id", changed["ids"][1])
    assert "no face with label 'a'" in run("update", gallery, "--label", "a", "--set-label", "A", code=1).stderr
    picture = DEMO / "gallery" / "01-1.jpg"
    run("update", gallery, "--id", ids[4], "--picture", picture)
    (changed,) = client.face_pages(gallery, ids=[ids[4]], embeddings=True)
    assert changed.embeddings is not None
    embedding = client.features(picture, crop="whole").embeddings
    np.testing.assert_allclose(changed.embeddings, embedding, atol=1e-5)
    assert (changed.faces[0].source, changed.faces[0].quality) == (str(picture), 1)

    (tmp_path / "remove_ids.txt").write_text(f"{ids[0]}\n{ids[1]}\n")
    (tmp_path / "labels.txt").write_text("A\n")
    lists = ["--ids-file", tmp_path / "remove_ids.txt", "--labels-file", tmp_path / "labels.txt"]
    assert "dry run, nothing was changed: removed 3 faces" in run("remove", gallery, *lists, "--dry-run").stdout
    assert document(run("remove", gallery, *lists, "--json"))["ids"] == [ids[0], ids[1], ids[3]]
    assert labels(client, gallery) == ["c", "b"]
    assert "not_found" in run("remove", gallery, *lists, code=1).stderr


def test_lists_come_in_pages_and_faces_with_their_neighbours(run: Run, client: ToonfaceClient, characters: str) -> None:
    first = document(run("list", characters, "--limit", 70, "--json"))
    assert (len(first["faces"]), first["next_after"]) == (70, first["faces"][-1]["id"])
    second = document(run("list", characters, "--limit", 70, "--after", first["next_after"], "--json"))
    assert (len(second["faces"]), second["next_after"]) == (2, None)
    label = first["faces"][0]["label"]
    shown = document(run("show", characters, "--label", label, "--json"))["faces"]
    assert [face["label"] for face in shown] == [label] * 3
    assert all(face["nearest_own"]["label"] == label != face["nearest_other"]["label"] for face in shown)
    missing = run("show", characters, "--id", first["faces"][0]["id"], "--id", 10**9, "--json", code=1)
    assert document(missing)["missing"] == [10**9]
    figures = document(run("stats", characters, "--json"))
    assert (figures["gallery"]["faces"], figures["gallery"]["labels"], figures["single"]) == (72, 24, 0)
    assert (figures["chosen_index"], figures["index_reason"][:9]) == ("Flat", "72 faces:")
    assert "Flat (72 faces: up to 25,000" in " ".join(run("stats", characters).stdout.split())
    assert characters in run("list").stdout


def test_calibration_proposes_a_threshold_and_says_what_it_rests_on(run: Run, characters: str, tmp_path: Path) -> None:
    found = document(run("calibrate", characters, "--far", 0.2, "--plot", tmp_path / "plot.png", "--json"))
    assert (found["faces"], found["labels"], found["enough"]) == (72, 24, True)
    assert found["searches"]["trials"] == 72
    assert found["different_pairs"]["trials"] + found["same_pairs"] == 72 * 71 / 2
    assert 0 < found["rec_threshold"] < 1
    assert found["searches"]["rate"] <= 0.2
    assert found["found"] > 0.5
    with Image.open(tmp_path / "plot.png") as plot:
        assert min(plot.size) > 500
    few = run("calibrate", characters, "--far", 0.001)
    assert "too few faces for that rate: 72 searches can tell 0.14" in few.stdout


def test_a_gallery_is_embedded_anew_from_its_pictures(
    run: Run, client: ToonfaceClient, server: Server, gallery: str, tmp_path: Path
) -> None:
    names = ["01-1.jpg", "02-1.jpg", "03-1.jpg"]
    for name in names:
        (tmp_path / name).write_bytes((DEMO / "gallery" / name).read_bytes())
    faces = [NewFace(label=name[:2], source=name, quality=0.5) for name in names]
    old = client.build_gallery(gallery, faces, np.eye(3, 128), index=IndexSettings(metric="L2"))
    with sqlite3.connect(server.log.with_name("gallery.sqlite3")) as store:  # as an earlier server's model left it
        store.execute("UPDATE galleries SET embedder = 'sha256:earlier' WHERE name = ?", [gallery])
    refused = run("add", gallery, tmp_path / "01-1.jpg", "--label", "01", code=1).stderr
    assert "embedder_mismatch" in refused and "toonface gallery re-embed" in refused
    assert "(not the server's)" in run("list").stdout
    found = run("re-embed", gallery, "--root", tmp_path, "--dry-run")
    assert "found 3 of 3 pictures" in found.stdout
    assert [face.id for face in client.faces(gallery)] == old.ids

    (tmp_path / "02-1.jpg").unlink()
    (tmp_path / "03-1.jpg").write_bytes(b"no picture")
    for missing in ("02", "03"):
        lost = run("re-embed", gallery, "--root", tmp_path, code=1)
        assert "was left as it is" in lost.stdout
        assert f"'{missing}'" in lost.stderr
        assert [face.id for face in client.faces(gallery)] == old.ids
        (tmp_path / "02-1.jpg").write_bytes((DEMO / "gallery" / "02-1.jpg").read_bytes())
    report = document(run("re-embed", gallery, "--root", tmp_path, "--drop-lost", "--json"))
    assert (report["faces"], report["embedded"], report["replaced"]) == (3, 2, True)
    assert [each["label"] for each in report["lost"]] == ["03"]
    (page,) = client.face_pages(gallery, embeddings=True)
    assert [(face.label, face.source, face.quality) for face in page.faces] == [
        ("01", "01-1.jpg", 0.5),
        ("02", "02-1.jpg", 0.5),
    ]
    assert page.embeddings is not None
    expected = client.features(DEMO / "gallery" / "01-1.jpg", crop="whole").embeddings
    np.testing.assert_allclose(page.embeddings[:1], expected, atol=1e-5)
    (info,) = [each for each in client.galleries() if each.name == gallery]
    assert (info.metric, info.embedder) == ("L2", client.gallery_list().embedder)


def test_changes_whose_callers_have_given_up_are_not_made(server: Server, client: ToonfaceClient, gallery: str) -> None:
    """All but the one that is being made, and two that Triton hands over ahead: nothing else bounds this queue."""
    client.build_gallery(gallery, [], np.empty((0, 128)))

    def give_up(number: int) -> None:
        with ToonfaceClient(server.grpc) as caller, pytest.raises(DeadlineExceeded):
            caller.add_faces(gallery, [NewFace(label=str(number))], np.ones((1, 128)), timeout=3)

    store = sqlite3.connect(server.log.with_name("gallery.sqlite3"), isolation_level=None)
    with closing(store), ThreadPoolExecutor(16) as callers:
        store.execute("BEGIN IMMEDIATE")  # the first has to wait, and the others behind it
        list(callers.map(give_up, range(16)))
        time.sleep(0.5)  # until Triton has heard of it
        store.execute("ROLLBACK")
    assert 0 < len(labels(client, gallery)) <= 3


@pytest.mark.parametrize("method", ["features", "rename_gallery"])
def test_a_gallery_that_is_changed_meanwhile_is_not_replaced(
    run: Run, client: ToonfaceClient, gallery: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    (tmp_path / "01-1.jpg").write_bytes((DEMO / "gallery" / "01-1.jpg").read_bytes())
    (face,) = client.build_gallery(gallery, [NewFace(label="01", source="01-1.jpg")], np.eye(1, 128)).ids
    other = np.eye(1, 128, 3, dtype=np.float32)
    with monkeypatch.context() as patched:
        # Its embedding alone, which no list of faces shows.
        during(patched, method, lambda: client.update_faces(gallery, [FaceUpdate(id=face)], other))
        refused = run("re-embed", gallery, "--root", tmp_path, code=1).stderr
    assert "error: gallery_changed: " in refused
    (page,) = client.face_pages(gallery, embeddings=True)
    assert page.embeddings is not None
    np.testing.assert_array_equal(page.embeddings, other)
    assert [each.name for each in client.galleries() if each.name.startswith(gallery)] == [gallery]
    run("re-embed", gallery, "--root", tmp_path)


def test_an_index_that_keeps_little_of_the_vectors_is_not_taken_for_broken(
    run: Run, client: ToonfaceClient, gallery: str
) -> None:
    vectors = np.random.default_rng(0).standard_normal((1200, 128))
    faces = [NewFace(label=str(number)) for number in range(1200)]
    client.build_gallery(gallery, faces, vectors, index=IndexSettings(type="SQ4"))
    wait_until(lambda: len(client.search(gallery, vectors[:1], topk=1)[0]) == 1)
    own = [found[0].score for found in client.search(gallery, vectors / np.linalg.norm(vectors, axis=1)[:, None])]
    assert min(own) < 0.98
    (verified,) = document(run("verify", gallery, "--json"))["galleries"]
    assert (verified["searched"], verified["problems"]) == (1000, [])


@pytest.mark.parametrize("index", [None, "HNSW32"])
def test_many_faces_of_the_very_same_picture_are_not_taken_for_lost(
    run: Run, client: ToonfaceClient, gallery: str, index: str | None
) -> None:
    vectors = np.tile(np.random.default_rng(0).standard_normal((1, 128)), (30, 1))
    client.build_gallery(gallery, [NewFace(label="Ada")] * 30, vectors, index=IndexSettings(type=index))
    (verified,) = document(run("verify", gallery, "--json"))["galleries"]
    assert (verified["searched"], verified["problems"]) == (30, [])


def test_verification_ends_with_1_when_a_face_is_not_found(
    run: Run, client: ToonfaceClient, gallery: str, server: Server
) -> None:
    ids = client.build_gallery(gallery, [NewFace(label=label) for label in "abc"], np.eye(3, 128)).ids
    assert "none" in run("verify", gallery).stdout
    assert document(run("verify", gallery, "--searches", 0, "--json"))["galleries"][0]["searched"] == 0
    with sqlite3.connect(server.log.with_name("gallery.sqlite3")) as behind_its_back:
        behind_its_back.execute("UPDATE faces SET label = 'x' WHERE id = ?", [ids[1]])
        behind_its_back.execute("UPDATE faces SET embedding = zeroblob(512) WHERE id = ?", [ids[2]])
    problems = run("verify", gallery, code=1).stderr
    assert f"a search for face {ids[1]} ('x') does not find it" in problems
    assert f"face {ids[2]}: its embedding has the norm 0" in problems
    assert f"face {ids[0]}" not in problems


def test_the_asyncio_client_has_the_same_verbs(client: ToonfaceClient, server: Server, gallery: str) -> None:
    async def administrate() -> None:
        async with AsyncToonfaceClient(server.grpc) as remote:
            faces = [NewFace(label=label) for label in "ab"]
            ids = (await remote.build_gallery(gallery, faces, np.eye(2, 128))).ids
            await remote.update_faces(gallery, [FaceUpdate(id=ids[0], label="d")])
            assert (await remote.update_label(gallery, "d", set_label="c")).ids == ids[:1]
            await remote.configure_gallery(gallery, IndexSettings(type="Flat"))
            assert (await remote.stats(gallery)).gallery.index_type == "Flat"
            assert (await remote.verify(gallery)).problems == []
            pages = [page async for page in remote.face_pages(gallery, embeddings=True)]
            assert pages[0].embeddings is not None
            np.testing.assert_array_equal(pages[0].embeddings, np.eye(2, 128, dtype=np.float32))
            while len(found := await remote.search(gallery, np.eye(100, 128), topk=1)) != 100 or not found[0]:
                await asyncio.sleep(0.05)
            assert [found[row][0].id for row in (0, 1)] == ids
            await remote.rename_gallery(gallery, f"{gallery}-2")
            assert [face.label async for face in remote.faces(f"{gallery}-2", ids=ids[:1])] == ["c"]
            assert (await remote.drop_gallery(f"{gallery}-2", dry_run=True)).ids == []

    asyncio.run(administrate())
    assert labels(client, f"{gallery}-2") == ["c", "b"]


def metrics(server: Server, gallery: str) -> dict[str, float]:
    """The metrics of a gallery by name, without what all of theirs have in common; a histogram by its count."""
    with urllib.request.urlopen(f"http://{server.metrics}/metrics") as page:  # noqa: S310  (the server's own)
        text = page.read().decode()
    found = re.findall(rf'^toonface_gallery_(\w+){{gallery="{gallery}"[^}}]*}} (\S+)$', text, re.MULTILINE)
    return {name: float(value) for name, value in found if not name.endswith("_bucket")}


def test_metrics_follow_a_gallery_from_its_building_to_its_dropping(
    client: ToonfaceClient, server: Server, gallery: str
) -> None:
    name, face = "01", (DEMO / "gallery" / "01-1.jpg").read_bytes()
    embedding = client.features(face, crop="whole").embeddings
    stranger = np.roll(embedding, 1)
    built = client.build_gallery(
        gallery, [NewFace(label=name), NewFace(label="x")], np.stack([embedding[0], stranger[0]])
    )
    wait_until(lambda: metrics(server, gallery).get("faces") == 2)
    for threshold in (0.5, 1.0, 1.0):
        client.recognize(face, crop="whole", gallery=gallery, rec_threshold=threshold)
    client.search(gallery, np.concatenate([embedding, embedding]))
    wait_until(lambda: metrics(server, gallery)["searches_total"] == 5)
    found = metrics(server, gallery)
    assert (found["labels"], found["generation"], found["lag_changes"]) == (2, built.sequence, 0)
    assert found["index_info"] == 1
    assert found["unknown_total"] <= 2
    assert found["search_seconds_count"] == 4
    assert 0 < found["search_seconds_sum"] < 10
    client.drop_gallery(gallery)
    wait_until(lambda: metrics(server, gallery)["faces"] == 0)


@pytest.mark.parametrize(
    "arguments",
    [
        ("add", "LIST"),
        ("remove", "--id", "1"),
        ("update", "--id", "1", "--set-label", "x"),
        ("update", "--label", "x", "--set-label", "y"),
        ("list",),
        ("show", "--id", "1"),
        ("stats",),
        ("export", "FILE"),
        ("import", "NPZ", "--add"),
        ("configure",),
        ("rename", "other"),
        ("drop",),
        ("re-embed",),
        ("calibrate",),
        ("verify",),
    ],
)
def test_a_gallery_that_is_not_there_is_named(run: Run, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "list.txt").write_text("a.jpg Ada\n")
    np.savez(tmp_path / "faces.npz", embeddings=np.eye(1, 128), labels=["a"])
    stand = {"LIST": tmp_path / "list.txt", "FILE": tmp_path / "new.npz", "NPZ": tmp_path / "faces.npz"}
    verb, *rest = arguments
    refused = run(verb, "nowhere", *(stand.get(each, each) for each in rest), code=1)
    assert "error: gallery_not_found: there is no gallery 'nowhere'" in refused.stderr
    assert not (tmp_path / "new.npz").exists()


def test_the_default_gallery_stays(run: Run, client: ToonfaceClient) -> None:
    for verb in (("drop", "default"), ("rename", "default", "other")):
        assert "always exists" in run(*verb, code=1).stderr
    with pytest.raises(NotFound):
        client.stats("other")
