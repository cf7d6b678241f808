from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from gallery_helpers import DIMENSION, EMBEDDER, basis, new_faces, unit_vectors
from sqlalchemy import update

from toonface_contract.admin import FaceUpdate, IndexSettings, NewFace
from toonface_contract.errors import AlreadyExists, Conflict, InvalidRequest, NotFound
from toonface_gallery import rows, schema
from toonface_gallery.snapshot import EnrolledFaces, GalleryKey
from toonface_gallery.store import GalleryStore


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Every test here is for both databases."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path}/gallery.sqlite3"


def enrolled(store: GalleryStore, gallery: str) -> dict[int, tuple[str, bytes]]:
    """Every face of a gallery: its id, label and the bytes of its embedding."""
    with store.snapshot() as snapshot:
        (key,) = [key for key in snapshot.galleries() if key.name == gallery]
        return {
            face: (label, vector.tobytes())
            for part in snapshot.faces(key)
            for face, label, vector in zip(part.ids.tolist(), part.labels, part.embeddings, strict=True)
        }


def labels(store: GalleryStore, gallery: str) -> list[str]:
    return [face.label for face in store.page(gallery).faces]


def test_faces_come_back_as_they_were_enrolled_after_reopening(url: str) -> None:
    vectors = unit_vectors(3, seed=1)
    before = datetime.now(UTC)
    store = GalleryStore(url)
    change = store.build("people", new_faces("Ada", "Grace", "Ada"), vectors, EMBEDDER)
    store.close()

    reopened = GalleryStore(url)
    found = enrolled(reopened, "people")
    assert found == {
        face: (label, vector.tobytes())
        for face, label, vector in zip(change.ids, ("Ada", "Grace", "Ada"), vectors, strict=True)
    }
    (info,) = reopened.galleries()
    assert (info.name, info.faces, info.labels, info.dimension, info.embedder) == ("people", 3, 2, DIMENSION, EMBEDDER)
    assert before <= info.created <= datetime.now(UTC)
    first = reopened.page("people").faces[0]
    assert (first.source, first.created.tzinfo) == ("Ada.png", UTC)
    reopened.close()


def test_thousands_of_faces_keep_their_order(store: GalleryStore) -> None:
    names = [NewFace(label=f"person {number}") for number in range(9000)]
    change = store.build("people", names, unit_vectors(9000, seed=2, dimension=4), EMBEDDER)
    assert change.ids == sorted(set(change.ids))
    assert [label for label, _ in enrolled(store, "people").values()] == [face.label for face in names]


def test_build_refuses_an_existing_gallery_unless_it_may_replace_it(store: GalleryStore) -> None:
    old = store.build("people", new_faces("Ada"), basis(0), EMBEDDER)
    with pytest.raises(AlreadyExists, match="'people'") as refused:
        store.build("people", new_faces("Grace"), basis(1), EMBEDDER)
    assert refused.value.code == "gallery_exists"
    assert labels(store, "people") == ["Ada"]

    new = store.build("people", new_faces("Grace"), basis(1)[:, :4], "another embedder", replace=True)
    assert labels(store, "people") == ["Grace"]
    assert new.ids[0] > old.ids[0]
    assert new.sequence > old.sequence
    assert [(info.embedder, info.dimension) for info in store.galleries()] == [("another embedder", 4)]


def test_a_gallery_may_be_empty(store: GalleryStore) -> None:
    change = store.build("people", [], np.empty((0, DIMENSION), np.float32), EMBEDDER)
    assert change.ids == []
    assert enrolled(store, "people") == {}
    assert [(info.faces, info.labels) for info in store.galleries()] == [(0, 0)]


def test_nothing_to_add_or_remove_changes_nothing(store: GalleryStore) -> None:
    built = store.build("people", new_faces("Ada"), basis(0), EMBEDDER)
    assert store.add("people", [], basis(), EMBEDDER).sequence == built.sequence
    assert store.remove("people").sequence == built.sequence
    assert labels(store, "people") == ["Ada"]


@pytest.mark.parametrize(("embedder", "width"), [("sha256:fedcba9876543210", DIMENSION), (EMBEDDER, 4)])
def test_add_refuses_vectors_of_another_embedder(store: GalleryStore, embedder: str, width: int) -> None:
    store.build("people", new_faces("Ada"), basis(0), EMBEDDER)
    with pytest.raises(InvalidRequest, match="0123456789ab .*re-embed") as refused:
        store.add("people", new_faces("Grace"), basis(1)[:, :width], embedder)
    assert refused.value.code == "embedder_mismatch"
    assert labels(store, "people") == ["Ada"]


def test_faces_and_embeddings_of_different_number_are_enrolled_not_even_in_part(store: GalleryStore) -> None:
    store.ensure("people", EMBEDDER, DIMENSION)
    with pytest.raises(ValueError, match="shorter"):
        store.add("people", new_faces("Ada", "Grace"), basis(0), EMBEDDER)
    assert labels(store, "people") == []


def test_remove_takes_ids_and_labels_together(store: GalleryStore) -> None:
    ids = store.build("people", new_faces("Ada", "Grace", "Ada", "Noor"), basis(0, 1, 2, 3), EMBEDDER).ids
    change = store.remove("people", ids=[ids[3], ids[0]], labels=["Ada"])
    assert change.ids == [ids[0], ids[2], ids[3]]
    assert labels(store, "people") == ["Grace"]


def test_remove_names_what_is_missing_and_removes_nothing(store: GalleryStore) -> None:
    ids = store.build("people", new_faces("Ada", "Grace"), basis(0, 1), EMBEDDER).ids
    other = store.build("others", new_faces("Noor"), basis(2), EMBEDDER).ids[0]
    with pytest.raises(NotFound, match=f"id {other}, id 2000, label 'Noor'; nothing was removed") as refused:
        store.remove("people", ids=[*ids, other, 2000], labels=["Ada", "Noor"])
    assert refused.value.code == "not_found"
    with pytest.raises(NotFound, match="and 1990 more"):
        store.remove("people", ids=range(1000, 3000))
    assert labels(store, "people") == ["Ada", "Grace"]


def test_thousands_of_ids_are_removed_at_once(store: GalleryStore) -> None:
    ids = store.build("people", [NewFace(label="x")] * 5000, unit_vectors(5000, seed=3), EMBEDDER).ids
    assert store.remove("people", ids=ids[1:]).ids == ids[1:]
    assert list(enrolled(store, "people")) == ids[:1]


def test_ids_and_sequence_are_never_used_again(store: GalleryStore) -> None:
    first = store.build("people", new_faces("Ada"), basis(0), EMBEDDER)
    store.remove("people", ids=first.ids)
    second = store.add("people", new_faces("Grace"), basis(1), EMBEDDER)
    store.drop("people")
    third = store.build("people", new_faces("Noor"), basis(2), EMBEDDER)
    assert first.ids < second.ids < third.ids
    assert first.sequence < second.sequence < third.sequence


def test_drop_takes_one_gallery_only(store: GalleryStore) -> None:
    store.build("people", new_faces("Ada"), basis(0), EMBEDDER)
    store.build("others", new_faces("Noor"), basis(1), EMBEDDER)
    store.drop("people")
    assert [info.name for info in store.galleries()] == ["others"]
    assert labels(store, "others") == ["Noor"]


def test_every_call_names_a_gallery_that_is_not_there(store: GalleryStore) -> None:
    store.ensure("people", EMBEDDER, DIMENSION)
    for call in (
        lambda: store.add("poeple", new_faces("Ada"), basis(0), EMBEDDER),
        lambda: store.remove("poeple", labels=["Ada"]),
        lambda: store.drop("poeple"),
        lambda: store.page("poeple"),
    ):
        with pytest.raises(NotFound, match="'poeple'.*'people'") as refused:
            call()
        assert refused.value.code == "gallery_not_found"


def test_pages_run_through_all_faces_once(store: GalleryStore) -> None:
    ids = store.build("people", new_faces(*"abacabad"), unit_vectors(8, seed=4), EMBEDDER).ids
    pages = [store.page("people", limit=3)]
    while (after := pages[-1].next_after_id) is not None:
        pages.append(store.page("people", after_id=after, limit=3))
    assert [[face.id for face in page.faces] for page in pages] == [ids[:3], ids[3:6], ids[6:]]
    assert [face.id for face in store.page("people", label="a").faces] == ids[::2]
    full = store.page("people", limit=8)
    assert (len(full.faces), full.next_after_id) == (8, None)


def test_a_snapshot_sees_one_state_whatever_is_written_meanwhile(store: GalleryStore) -> None:
    built = store.build("people", new_faces("Ada"), basis(0), EMBEDDER)
    with store.snapshot() as snapshot:
        assert snapshot.sequence() == built.sequence
        writer = threading.Thread(target=store.drop, args=("people",))
        writer.start()
        writer.join()
        (key,) = snapshot.galleries()
        (part,) = snapshot.faces(key)
        assert (part.labels, snapshot.sequence()) == (["Ada"], built.sequence)
    with store.snapshot() as snapshot:
        assert snapshot.galleries() == []


def test_changes_since_a_sequence_tell_what_came_and_went(store: GalleryStore) -> None:
    def only(parts: list[EnrolledFaces]) -> list[str]:
        return [label for part in parts for label in part.labels]

    start = store.build("people", new_faces("Ada", "Grace"), basis(0, 1), EMBEDDER)
    quiet = store.build("quiet", new_faces("Ada"), basis(0), EMBEDDER)
    brief = store.add("people", new_faces("brief", "Noor"), basis(2, 3), EMBEDDER)
    end = store.remove("people", ids=[start.ids[0], brief.ids[0]])
    with store.snapshot() as snapshot:
        keys = {key.name: key for key in snapshot.galleries()}
        assert keys["quiet"] == GalleryKey(keys["quiet"].id, "quiet", DIMENSION, EMBEDDER)
        assert snapshot.changed(quiet.sequence) == {keys["people"].id}
        assert sorted(snapshot.removed(keys["people"], quiet.sequence)) == [start.ids[0], brief.ids[0]]
        added = list(snapshot.added(keys["people"], quiet.sequence))
        assert only(added) == ["Noor"]
        assert added[0].embeddings.tobytes() == basis(3).tobytes()
        assert snapshot.changed(end.sequence) == set()


def test_embeddings_are_stored_as_little_endian_float32(store: GalleryStore) -> None:
    vectors = unit_vectors(2, seed=5)
    store.build("people", new_faces("Ada", "Grace"), vectors.astype(">f4"), EMBEDDER)
    with store.snapshot() as snapshot:
        rows = snapshot._connection.exec_driver_sql("SELECT embedding FROM faces ORDER BY id").fetchall()
    assert [bytes(row[0]) for row in rows] == [vector.astype("<f4").tobytes() for vector in vectors]


def test_an_update_changes_what_it_gives_and_nothing_else(store: GalleryStore) -> None:
    faces = [NewFace(label=label, source=f"{label}.png", quality=0.5) for label in ("Ada", "Grace", "Noor")]
    ids = store.build("people", faces, basis(0, 1, 2), EMBEDDER).ids
    before = store.get("people", ids)
    change = store.update("people", [FaceUpdate(id=ids[2], label="Mary"), FaceUpdate(id=ids[0], quality=0.9)])
    assert change.ids == [ids[0], ids[2]]
    after = store.get("people", ids)
    assert [(face.label, face.source, face.quality) for face in after] == [
        ("Ada", "Ada.png", 0.9),
        ("Grace", "Grace.png", 0.5),
        ("Mary", "Noor.png", 0.5),
    ]
    assert [face.created for face in after] == [face.created for face in before]

    store.update("people", [FaceUpdate(id=ids[1], source="new.png")], basis(5), EMBEDDER)
    assert enrolled(store, "people")[ids[1]] == ("Grace", basis(5).tobytes())
    assert store.get("people", [ids[1]])[0].source == "new.png"


def test_an_update_of_a_face_that_is_not_there_changes_none(store: GalleryStore) -> None:
    ids = store.build("people", new_faces("Ada"), basis(0), EMBEDDER).ids
    elsewhere = store.build("others", new_faces("Noor"), basis(1), EMBEDDER).ids
    updates = [FaceUpdate(id=face, label="Mary") for face in (*ids, *elsewhere)]
    with pytest.raises(NotFound, match=f"id {elsewhere[0]}; nothing was updated"):
        store.update("people", updates)
    with pytest.raises(InvalidRequest) as refused:
        store.update("people", updates[:1], basis(3), "another embedder")
    assert refused.value.code == "embedder_mismatch"
    assert (labels(store, "people"), labels(store, "others")) == (["Ada"], ["Noor"])
    with pytest.raises(NotFound, match=f"id {elsewhere[0]}"):
        store.get("people", [*ids, *elsewhere])


def test_all_faces_with_a_label_are_updated_in_one_transaction(store: GalleryStore) -> None:
    ids = store.build("people", new_faces("Jo", "Grace", "Jo"), basis(0, 1, 2), EMBEDDER).ids
    store.build("others", new_faces("Jo"), basis(3), EMBEDDER)
    before = enrolled(store, "people")
    change = store.update_label("people", "Jo", set_label="Joey")
    assert change.ids == [ids[0], ids[2]]
    assert (labels(store, "people"), labels(store, "others")) == (["Joey", "Grace", "Joey"], ["Jo"])
    assert [vector for _, vector in enrolled(store, "people").values()] == [vector for _, vector in before.values()]
    assert store.update_label("people", "Joey", set_source="album", dry_run=True).ids == change.ids
    assert [face.source for face in store.page("people").faces] == ["Jo.png", "Grace.png", "Jo.png"]
    store.update_label("people", "Joey", set_source="album")
    assert [face.source for face in store.page("people").faces] == ["album", "Grace.png", "album"]
    sequence = store.sequence()
    with pytest.raises(NotFound, match="no face with label 'Jo'; nothing was updated") as refused:
        store.update_label("people", "Jo", set_label="Joey")
    assert (refused.value.code, store.sequence()) == ("not_found", sequence)


def test_followers_learn_of_updates(store: GalleryStore) -> None:
    start = store.build("people", new_faces("Ada", "Grace", "Noor"), basis(0, 1, 2), EMBEDDER)
    first, second, third = start.ids
    store.update("people", [FaceUpdate(id=first, label="Mary"), FaceUpdate(id=third, label="Zoe")])
    store.update("people", [FaceUpdate(id=second, label="Ann")], basis(4), EMBEDDER)
    store.remove("people", ids=[third])
    with store.snapshot() as snapshot:
        (key,) = snapshot.galleries()
        assert snapshot.relabelled(key, start.sequence) == [(first, "Mary")]
        assert sorted(snapshot.removed(key, start.sequence)) == [second, third]
        (added,) = snapshot.added(key, start.sequence)
        assert (added.ids.tolist(), added.labels) == ([second], ["Ann"])
        assert added.embeddings.tobytes() == basis(4).tobytes()


def test_index_settings_are_kept_and_survive_a_rebuild(store: GalleryStore) -> None:
    asked = IndexSettings(type="IVF64,SQ8;nprobe=8", metric="L2")
    start = store.build("people", new_faces("Ada"), basis(0), EMBEDDER, index=asked)
    store.build("people", new_faces("Grace"), basis(1), EMBEDDER, replace=True)
    (info,) = store.galleries()
    assert (info.index_type, info.metric) == (asked.type, asked.metric)
    change = store.configure("people", IndexSettings())
    with store.snapshot() as snapshot:
        (key,) = snapshot.galleries()
        assert key.index == IndexSettings()
        assert snapshot.remade(change.sequence - 1) == {key.id}
        assert snapshot.remade(change.sequence) == set()
        assert snapshot.changed(start.sequence) >= {key.id}


def test_faces_may_come_with_how_they_are_to_be_searched(store: GalleryStore) -> None:
    start = store.build("people", [], basis(), EMBEDDER)
    asked = IndexSettings(type="HNSW32", metric="L2")
    for index in (asked, None):  # without, it stays
        store.add("people", new_faces("Ada"), basis(0), EMBEDDER, index=index)
        (info,) = store.galleries()
        assert (info.index_type, info.metric) == ("HNSW32", "L2")
    with store.snapshot() as snapshot:
        (key,) = snapshot.galleries()
        assert snapshot.remade(start.sequence) == {key.id}
        assert sum(len(part.ids) for part in snapshot.added(key, start.sequence)) == 2
    sequence = store.sequence()
    assert store.add("people", new_faces("Grace"), basis(1), EMBEDDER, index=asked).sequence == sequence + 1


def test_a_gallery_takes_another_s_place_with_its_ids(store: GalleryStore) -> None:
    store.build("people", new_faces("Ada"), basis(0), EMBEDDER)
    ids = store.build("new", new_faces("Grace"), basis(1), EMBEDDER).ids
    with pytest.raises(AlreadyExists) as refused:
        store.rename("new", "people")
    assert refused.value.code == "gallery_exists"
    store.rename("new", "people", replace=True)
    assert [info.name for info in store.galleries()] == ["people"]
    assert [face.id for face in store.page("people").faces] == ids
    store.rename("people", "people", replace=True)
    assert labels(store, "people") == ["Grace"]


def change_label(store: GalleryStore, ids: list[int]) -> None:
    store.update("people", [FaceUpdate(id=ids[0], label="Mary")])


def change_embedding(store: GalleryStore, ids: list[int]) -> None:
    store.update("people", [FaceUpdate(id=ids[0])], basis(3), EMBEDDER)


def change_another(store: GalleryStore, ids: list[int]) -> None:
    store.add("new", new_faces("Noor"), basis(2), EMBEDDER)
    store.build("others", new_faces("Eve"), basis(4), EMBEDDER)


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        (change_another, None),
        (change_label, "was changed since"),
        (change_embedding, "was changed since"),
        (lambda store, ids: store.add("people", new_faces("Eve"), basis(4), EMBEDDER), "was changed since"),
        (lambda store, ids: store.remove("people", ids=ids), "was changed since"),
        (lambda store, ids: store.configure("people", IndexSettings(metric="L2")), "was changed since"),
        (lambda store, ids: store.build("people", [], basis(), EMBEDDER, replace=True), "was changed since"),
        (lambda store, ids: store.drop("people"), "is gone"),
    ],
)
def test_a_gallery_that_was_changed_since_keeps_its_place(
    store: GalleryStore, change: Callable[[GalleryStore, list[int]], object], refused: str | None
) -> None:
    ids = store.build("people", new_faces("Ada"), basis(0), EMBEDDER).ids
    store.build("new", new_faces("Grace"), basis(1), EMBEDDER)
    seen = store.page("people").sequence
    change(store, ids)
    before = store.galleries()
    if refused is None:
        store.rename("new", "people", replace=True, unchanged_since=seen)
        assert labels(store, "people") == ["Grace", "Noor"]
    else:
        with pytest.raises(Conflict, match=refused) as error:
            store.rename("new", "people", replace=True, unchanged_since=seen)
        assert error.value.code == "gallery_changed"
        assert store.galleries() == before


def test_a_gallery_keeps_its_place_when_the_store_does_not_remember_so_far_back(
    store: GalleryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows.trim, "__defaults__", (10,))
    seen = store.build("people", new_faces("Ada"), basis(0), EMBEDDER).sequence
    store.build("new", [], basis(), EMBEDDER)
    for _ in range(40):
        store.add("new", new_faces("Grace"), basis(1), EMBEDDER)
    for since in (seen, 10**6):
        with pytest.raises(Conflict, match=f"since change {since:,} cannot be told"):
            store.rename("new", "people", replace=True, unchanged_since=since)
    assert labels(store, "people") == ["Ada"]
    store.rename("new", "people", replace=True, unchanged_since=store.sequence())
    assert labels(store, "people") == ["Grace"] * 40


def test_an_export_has_all_that_is_known_of_a_face(store: GalleryStore) -> None:
    faces = [NewFace(label=f"person {number}", quality=number / 20_000) for number in range(9000)]
    vectors = unit_vectors(9000, seed=2)
    ids = store.build("people", faces, vectors, EMBEDDER).ids
    with store.snapshot() as snapshot:
        (key,) = snapshot.galleries()
        parts = list(snapshot.stored(key))
        assert snapshot.count(key) == 9000
    infos = [info for part in parts for info in part.faces]
    assert len(parts) > 1
    assert [(info.id, info.label, info.quality) for info in infos] == [
        (face, new.label, new.quality) for face, new in zip(ids, faces, strict=True)
    ]
    assert np.concatenate([part.embeddings for part in parts]).tobytes() == vectors.tobytes()


def test_a_sample_has_some_faces_once_each(store: GalleryStore) -> None:
    store.build("people", [NewFace(label="x")] * 3000, unit_vectors(3000, seed=3), EMBEDDER)
    store.build("others", new_faces("Noor"), basis(0), EMBEDDER)
    with store.snapshot() as snapshot:
        key = snapshot.galleries()[-1]
        assert len(np.unique(snapshot.sample(key, 1500), axis=0)) == 1500
        assert snapshot.sample(key, 5000).shape == (3000, DIMENSION)


def test_old_changes_are_trimmed_and_whoever_missed_them_can_tell(
    store: GalleryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows.trim, "__defaults__", (10,))
    store.build("people", [], basis(), EMBEDDER)
    positions = []
    for _ in range(60):
        store.add("people", new_faces("Ada"), basis(0), EMBEDDER)
        with store.snapshot() as snapshot:
            positions.append(snapshot.position())
    with store.snapshot() as snapshot:
        kept = [position for position in positions if snapshot.follows(position)]
    assert kept == positions[-len(kept) :]
    assert 10 <= len(kept) <= 20


def test_a_position_of_another_history_does_not_follow(store: GalleryStore) -> None:
    store.build("people", new_faces("Ada"), basis(0), EMBEDDER)
    with store.snapshot() as snapshot:
        position = snapshot.position()
        assert snapshot.follows(position)
        assert not snapshot.follows(replace(position, stamp=position.stamp ^ 1))
        assert not snapshot.follows(replace(position, sequence=position.sequence + 1))


def test_verify_finds_what_does_not_belong(store: GalleryStore) -> None:
    ids = store.build("people", new_faces("Ada", "Grace", "Noor"), basis(0, 1, 2), EMBEDDER).ids
    assert store.verify() == []
    with store._database.writing() as connection:
        for face, data in zip(ids, (b"short", np.full(DIMENSION, np.nan, "<f4").tobytes()), strict=False):
            connection.execute(update(schema.faces).where(schema.faces.c.id == face).values(embedding=data))
    assert store.verify() == [
        f"gallery 'people', face {ids[0]}: its embedding has 5 bytes; {4 * DIMENSION} are right",
        f"gallery 'people', face {ids[1]}: its embedding has the norm nan; 1 is right",
    ]
