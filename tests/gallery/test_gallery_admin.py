from __future__ import annotations

import json
import logging
import sqlite3
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from gallery_helpers import DIMENSION, EMBEDDER, basis, new_faces, wait_for

from toonface_contract import admin
from toonface_contract.errors import Conflict, InvalidRequest, NotFound, PermissionDenied, ToonfaceError
from toonface_gallery.access import Access, AccessRules
from toonface_gallery.admin import GalleryAdmin
from toonface_gallery.labels import FaceLabels
from toonface_gallery.live import LiveGalleries
from toonface_gallery.loaded import LoadedGallery
from toonface_gallery.plan import IndexPlan
from toonface_gallery.saved import SavedIndices
from toonface_gallery.store import GalleryStore

TOKEN = "s3cret-täken"  # noqa: S105  (made up here)


@pytest.fixture
def open_admin(store: GalleryStore) -> GalleryAdmin:
    """No token is asked for."""
    return GalleryAdmin(store, EMBEDDER, DIMENSION, Access(None))


def build(gallery: str, *labels: str, replace: bool = False) -> str:
    return admin.Build(gallery=gallery, faces=new_faces(*labels), replace=replace).model_dump_json()


def listed(manager: GalleryAdmin, gallery: str) -> list[str]:
    answer = manager.handle(admin.ListFaces(gallery=gallery).model_dump_json(), None, None)
    return [face.label for face in admin.Faces.model_validate_json(answer.result).faces]


def stored(store: GalleryStore, gallery: str) -> np.ndarray:
    with store.snapshot() as snapshot:
        (key,) = [key for key in snapshot.galleries() if key.name == gallery]
        return np.concatenate([part.embeddings for part in snapshot.faces(key)])


def test_every_command_answers_as_the_contract_says(open_admin: GalleryAdmin) -> None:
    def run(command: Any, embeddings: np.ndarray | None = None) -> str:
        return open_admin.handle(command.model_dump_json(), embeddings, None).result

    built = admin.Change.model_validate_json(
        run(admin.Build(gallery="g", faces=new_faces("Ada", "Grace")), basis(0, 1))
    )
    added = admin.Change.model_validate_json(run(admin.Add(gallery="g", faces=new_faces("Ada")), basis(2)))
    assert added.sequence > built.sequence
    (info,) = admin.Galleries.model_validate_json(run(admin.ListGalleries())).galleries
    assert (info.name, info.faces, info.labels, info.embedder, info.dimension) == ("g", 3, 2, EMBEDDER, DIMENSION)
    page = admin.Faces.model_validate_json(run(admin.ListFaces(gallery="g", label="Ada", limit=1)))
    assert [(face.id, face.label, face.source) for face in page.faces] == [(built.ids[0], "Ada", "Ada.png")]
    assert page.next_after_id == built.ids[0]
    removed = admin.Change.model_validate_json(run(admin.Remove(gallery="g", labels=["Ada"])))
    assert removed.ids == [built.ids[0], *added.ids]
    assert admin.Change.model_validate_json(run(admin.Drop(gallery="g"))).ids == []
    with pytest.raises(NotFound):
        listed(open_admin, "g")


@pytest.mark.parametrize(
    ("command", "reasons"),
    [
        ("", ["JSON"]),
        ("[" * 100_000, ["JSON"]),
        ("[]", ["object"]),
        (
            '{"op":"destroy"}',
            [
                "'destroy'",
                "'build', 'add', 'update', 'update_label', 'remove', 'configure', 'rename', 'drop'",
                "'list_galleries', 'list_faces', 'stats', 'verify'",
            ],
        ),
        ('{"gallery":"g"}', ["'op'"]),
        ('{"op":"drop"}', ["drop.gallery", "required"]),
        ('{"op":"drop","gallery":"../g"}', ["drop.gallery", "pattern", "'../g'"]),
        ('{"op":"drop","gallery":"g\\n"}', ["drop.gallery", "pattern"]),
        ('{"op":"drop","gallery":"g","force":true}', ["drop.force", "not permitted"]),
        ('{"op":"add","gallery":"g","faces":[]}', ["add.faces", "at least 1"]),
        ('{"op":"add","gallery":"g","faces":[{"label":"  "}]}', ["add.faces.0.label", "at least 1"]),
        ('{"op":"add","gallery":"g","faces":[{"label":"a\\u0000b"}]}', ["add.faces.0.label"]),
        ('{"op":"add","gallery":"g","faces":[{"label":"\\ud800"}]}', ["JSON"]),
        ('{"op":"remove","gallery":"g"}', ["ids, labels or both"]),
        ('{"op":"remove","gallery":"g","ids":[true]}', ["remove.ids.0", "integer", "True"]),
        ('{"op":"remove","gallery":"g","ids":["1"]}', ["remove.ids.0", "integer", "'1'"]),
        ('{"op":"remove","gallery":"g","ids":[9223372036854775808]}', ["remove.ids.0", "9223372036854775807"]),
        ('{"op":"list_faces","gallery":"g","limit":0}', ["list_faces.limit", "greater than or equal to 1", "0"]),
        ('{"op":"list_faces","gallery":"g","after_id":-1}', ["list_faces.after_id", "-1"]),
        ('{"op":"list_faces","gallery":"g","ids":[]}', ["list_faces.ids", "at least 1"]),
        ('{"op":"add","gallery":"g","faces":[{"label":"a","quality":1.5}]}', ["add.faces.0.quality", "1.5"]),
        ('{"op":"add","gallery":"g","faces":[{"label":"Unknown"}]}', ["add.faces.0.label", "without a match"]),
        ('{"op":"update","gallery":"g","faces":[]}', ["update.faces", "at least 1"]),
        ('{"op":"update","gallery":"g","faces":[{"id":1},{"id":1}]}', ["update.faces", "1 is there twice"]),
        ('{"op":"update","gallery":"g","faces":[{"id":0}]}', ["update.faces.0.id", "0"]),
        ('{"op":"update","gallery":"g","faces":[{"id":1,"label":"Unknown"}]}', ["update.faces.0.label"]),
        ('{"op":"update_label","gallery":"g","label":"a"}', ["update_label", "set a label or a source"]),
        ('{"op":"update_label","gallery":"g","label":"a","set_label":"Unknown"}', ["update_label.set_label"]),
        ('{"op":"rename","gallery":"g","to":"g"}', ["rename", "must differ"]),
        ('{"op":"rename","gallery":"g","to":"../h"}', ["rename.to", "'../h'"]),
        ('{"op":"rename","gallery":"g","to":"h","unchanged_since":1}', ["rename", "goes with replace"]),
        (
            '{"op":"rename","gallery":"g","to":"h","replace":true,"unchanged_since":0}',
            ["rename.unchanged_since", "greater than or equal to 1", "0"],
        ),
        ('{"op":"configure","gallery":"g"}', ["configure.index", "required"]),
        ('{"op":"configure","gallery":"g","index":{"type":"a b"}}', ["configure.index.type", "'a b'"]),
        ('{"op":"configure","gallery":"g","index":{"metric":"hamming"}}', ["configure.index.metric", "'hamming'"]),
        ('{"op":"drop","gallery":"g","dry_run":"yes"}', ["drop.dry_run", "'yes'"]),
        ('{"op":"stats"}', ["stats.gallery", "required"]),
        ('{"op":"verify","gallery":""}', ["verify.gallery", "pattern"]),
        ('{"op":"verify","gallery":"g","limit":10001}', ["verify.limit", "10001"]),
        ('{"op":"remove","gallery":"g","ids":["a","b","c","d","e"]}', ["'a'", "'c'", "and 2 more"]),
        (json.dumps({"op": "drop", "gallery": "x" * 100_000}), ["'xxx", "..."]),
    ],
)
def test_a_wrong_command_is_refused_by_field_value_and_what_is_allowed(
    open_admin: GalleryAdmin, command: str, reasons: list[str]
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        open_admin.handle(command, None, None)
    assert refused.value.code == "invalid_command"
    assert [reason for reason in reasons if reason not in refused.value.message] == []
    assert len(refused.value.message) < 1000


@pytest.mark.parametrize(
    ("embeddings", "reason"),
    [
        (None, r"\[0, 8\].*\[2, 8\]"),
        (basis(0), r"\[1, 8\].*\[2, 8\]"),
        (basis(0, 1)[:, :4], r"\[2, 4\].*\[2, 8\]"),
        (basis(0, 1).astype(np.float64), "float64.*float32"),
        (basis(0, 1).ravel(), r"\[16\]"),
        (np.where(basis(0, 1) == 1, np.float32(np.nan), np.float32(0)), "embedding 0.*finite"),
        (np.concatenate([basis(0), np.full((1, DIMENSION), np.inf, np.float32)]), "embedding 1.*finite"),
        (np.concatenate([basis(0), basis(1) * 0]), r"embedding 1 .*is zero"),
    ],
)
def test_wrong_embeddings_are_refused_and_no_face_is_enrolled(
    open_admin: GalleryAdmin, embeddings: np.ndarray | None, reason: str
) -> None:
    open_admin.handle(build("g"), None, None)
    add = admin.Add(gallery="g", faces=new_faces("Ada", "Grace")).model_dump_json()
    for command in (add, build("g", "Ada", "Grace", replace=True)):
        with pytest.raises(InvalidRequest, match=reason) as refused:
            open_admin.handle(command, embeddings, None)
        assert refused.value.code == "invalid_embedding"
    assert listed(open_admin, "g") == []


def test_commands_without_faces_take_no_embeddings(open_admin: GalleryAdmin) -> None:
    with pytest.raises(InvalidRequest, match="'list_galleries' takes no embeddings"):
        open_admin.handle(admin.ListGalleries().model_dump_json(), basis(0), None)


@pytest.mark.parametrize("scale", [1e-9, 0.99, 1.0, 3e38])
def test_embeddings_are_enrolled_at_unit_length(open_admin: GalleryAdmin, store: GalleryStore, scale: float) -> None:
    directions = np.array([[0.6, 0.8] + [0] * (DIMENSION - 2), [1] + [0] * (DIMENSION - 1)], np.float32)
    open_admin.handle(build("g", "Ada", "Grace"), (directions * scale).astype(np.float32), None)
    np.testing.assert_allclose(stored(store, "g"), directions, atol=1e-6)


def test_another_embedder_s_gallery_is_refused_and_can_be_built_anew(store: GalleryStore) -> None:
    old = GalleryAdmin(store, "sha256:fedcba9876543210", 4, Access(None))
    old.handle(build("g", "Ada"), basis(0)[:, :4], None)
    new = GalleryAdmin(store, EMBEDDER, DIMENSION, Access(None))
    with pytest.raises(InvalidRequest, match="fedcba987654 .*0123456789ab .*re-embed g") as refused:
        new.handle(admin.Add(gallery="g", faces=new_faces("Grace")).model_dump_json(), basis(0), None)
    assert refused.value.code == "embedder_mismatch"
    new.handle(build("g", "Grace", replace=True), basis(0), None)
    assert listed(new, "g") == ["Grace"]


def test_the_default_gallery_can_be_emptied_but_not_dropped(open_admin: GalleryAdmin) -> None:
    open_admin.handle(build("default", "Ada"), basis(0), None)
    with pytest.raises(InvalidRequest, match="'default'.*replace"):
        open_admin.handle(admin.Drop(gallery="default").model_dump_json(), None, None)
    assert listed(open_admin, "default") == ["Ada"]
    open_admin.handle(build("default", replace=True), None, None)
    assert listed(open_admin, "default") == []


def test_faces_are_corrected(open_admin: GalleryAdmin, store: GalleryStore) -> None:
    built = store.build("g", new_faces("Ada", "Grace"), basis(0, 1), EMBEDDER)
    one = admin.FaceUpdate(id=built.ids[1], label="Noor", quality=0.5)
    answer = open_admin.handle(admin.Update(gallery="g", faces=[one]).model_dump_json(), basis(3) * 2, None)
    assert admin.Change.model_validate_json(answer.result).ids == built.ids[1:]
    (_, face), rows = (page := store.page_with_embeddings("g"))[0].faces, page[1]
    assert (face.label, face.source, face.quality) == ("Noor", "Grace.png", 0.5)
    np.testing.assert_array_equal(rows, basis(0, 3))
    lost = admin.Update(gallery="g", faces=[admin.FaceUpdate(id=999, label="Noor")]).model_dump_json()
    with pytest.raises(NotFound, match="999"):
        open_admin.handle(lost, None, None)
    whole = admin.UpdateLabel(gallery="g", label="Noor", set_label="Mary", set_source="album").model_dump_json()
    answer = open_admin.handle(whole, None, None)
    assert admin.Change.model_validate_json(answer.result).ids == built.ids[1:]
    assert [(face.label, face.source) for face in store.page("g").faces] == [("Ada", "Ada.png"), ("Mary", "album")]


def test_pages_may_carry_embeddings_and_choose_by_id(open_admin: GalleryAdmin, store: GalleryStore) -> None:
    ids = store.build("g", new_faces("a", "b", "c", "d"), basis(0, 1, 2, 3), EMBEDDER).ids
    command = admin.ListFaces(gallery="g", ids=[ids[3], ids[1], 999], embeddings=True)
    answer = open_admin.handle(command.model_dump_json(), None, None)
    page = admin.Faces.model_validate_json(answer.result)
    assert ([face.id for face in page.faces], page.next_after_id) == ([ids[1], ids[3]], None)
    assert page.sequence == store.sequence()
    np.testing.assert_array_equal(answer.face_embeddings, basis(1, 3))
    plain = open_admin.handle(admin.ListFaces(gallery="g").model_dump_json(), None, None)
    assert plain.face_embeddings.size == 0


def test_embeddings_of_an_embedder_that_is_not_the_server_s_are_refused_by_its_name(open_admin: GalleryAdmin) -> None:
    open_admin.handle(build("g"), None, None)
    face = new_faces("Ada")
    for command in (
        admin.Build(gallery="h", faces=face, embedder="sha256:other"),
        admin.Add(gallery="g", faces=face, embedder="sha256:other"),
        admin.Update(gallery="g", faces=[admin.FaceUpdate(id=1)], embedder="sha256:other"),
    ):
        with pytest.raises(InvalidRequest, match="sha256:other") as refused:
            open_admin.handle(command.model_dump_json(), basis(0), None)
        assert refused.value.code == "embedder_mismatch"
    open_admin.handle(admin.Add(gallery="g", faces=face, embedder=EMBEDDER).model_dump_json(), basis(0), None)
    assert listed(open_admin, "g") == ["Ada"]


def test_a_dry_run_says_what_would_happen_and_does_nothing(open_admin: GalleryAdmin, store: GalleryStore) -> None:
    ids = store.build("g", new_faces("Ada", "Grace", "Ada"), basis(0, 1, 2), EMBEDDER).ids
    before = (store.sequence(), store.page("g"), store.galleries())

    def rehearse(command: Any, embeddings: np.ndarray | None = None) -> admin.Change:
        dry = command.model_copy(update={"dry_run": True})
        return admin.Change.model_validate_json(open_admin.handle(dry.model_dump_json(), embeddings, None).result)

    assert rehearse(admin.Build(gallery="g", faces=new_faces("x"), replace=True), basis(5)).ids == []
    assert rehearse(admin.Build(gallery="h")).ids == []
    assert rehearse(admin.Add(gallery="g", faces=new_faces("x")), basis(5)).ids == []
    assert rehearse(admin.Update(gallery="g", faces=[admin.FaceUpdate(id=ids[1], label="x")])).ids == [ids[1]]
    assert rehearse(admin.Remove(gallery="g", labels=["Ada"])).ids == [ids[0], ids[2]]
    assert rehearse(admin.Configure(gallery="g", index=admin.IndexSettings(type="IVF"))).ids == []
    assert rehearse(admin.Rename(gallery="g", to="h")).ids == []
    assert rehearse(admin.Drop(gallery="g")).sequence == before[0]
    with pytest.raises(NotFound):
        rehearse(admin.Remove(gallery="g", ids=[999]))
    with pytest.raises(NotFound):
        rehearse(admin.Drop(gallery="h"))
    assert (store.sequence(), store.page("g"), store.galleries()) == before


def test_a_gallery_takes_another_s_place(open_admin: GalleryAdmin, store: GalleryStore) -> None:
    store.build("default", new_faces("Ada"), basis(0), EMBEDDER)
    store.build("new", new_faces("Noor"), basis(1), EMBEDDER)
    take = admin.Rename(gallery="new", to="default", replace=True)
    open_admin.handle(take.model_dump_json(), None, None)
    assert listed(open_admin, "default") == ["Noor"]
    assert [each.name for each in store.galleries()] == ["default"]
    seen = store.build("new", new_faces("Eve"), basis(2), EMBEDDER).sequence
    take = take.model_copy(update={"unchanged_since": seen})
    store.add("default", new_faces("Joey"), basis(3), EMBEDDER)
    with pytest.raises(Conflict):
        open_admin.handle(take.model_dump_json(), None, None)
    assert listed(open_admin, "default") == ["Noor", "Joey"]
    with pytest.raises(InvalidRequest, match="always exists"):
        open_admin.handle(admin.Rename(gallery="default", to="x").model_dump_json(), None, None)


@pytest.mark.parametrize("index", ["Nonsense", "PQ7", "IVF999999999999,Flat"])
def test_an_index_that_cannot_be_made_is_refused_before_anything_changes(open_admin: GalleryAdmin, index: str) -> None:
    settings = admin.IndexSettings(type=index)
    open_admin.handle(build("g"), None, None)
    for command in (
        admin.Configure(gallery="g", index=settings),
        admin.Build(gallery="h", index=settings),
        admin.Add(gallery="g", faces=new_faces("Ada"), index=settings),
    ):
        with pytest.raises(InvalidRequest, match=index.split(",")[0]) as refused:
            open_admin.handle(command.model_dump_json(), None, None)
        assert refused.value.code == "invalid_command"
    answer = open_admin.handle(admin.ListGalleries().model_dump_json(), None, None)
    (info,) = admin.Galleries.model_validate_json(answer.result).galleries
    assert (info.name, info.index_type) == ("g", None)
    open_admin.handle(
        admin.Configure(gallery="g", index=admin.IndexSettings(type="IVF,SQ8")).model_dump_json(), None, None
    )


def test_figures_of_a_gallery(open_admin: GalleryAdmin, store: GalleryStore) -> None:
    faces = [*new_faces("Ada", "Ada", "Grace"), admin.NewFace(label="Noor", quality=0.5)]
    store.build("g", faces, basis(0, 1, 2, 3), EMBEDDER)
    store.build("other", new_faces("Ada"), basis(0), EMBEDDER)
    answer = open_admin.handle(admin.Stats(gallery="g").model_dump_json(), None, None)
    found = admin.GalleryStats.model_validate_json(answer.result)
    assert (found.gallery.name, found.gallery.faces, found.gallery.labels) == ("g", 4, 3)
    assert (found.single, found.rated, found.quality) == (2, 1, 0.5)
    assert [(each.label, each.faces) for each in found.most] == [("Ada", 2), ("Grace", 1), ("Noor", 1)]
    assert found.first is not None and found.first == found.last
    assert found.sequence == store.sequence()
    store.build("empty", [], basis(), EMBEDDER)
    empty = open_admin.handle(admin.Stats(gallery="empty").model_dump_json(), None, None)
    assert admin.GalleryStats.model_validate_json(empty.result).first is None


def test_figures_tell_the_index_that_searches_get_and_why(
    open_admin: GalleryAdmin, store: GalleryStore, live: LiveGalleries
) -> None:
    def told(gallery: str) -> tuple[str, str]:
        answer = open_admin.handle(admin.Stats(gallery=gallery).model_dump_json(), None, None)
        found = admin.GalleryStats.model_validate_json(answer.result)
        return found.chosen_index, found.index_reason

    def serving() -> tuple[str, str]:
        return next(((each.index, each.reason) for each in live.status() if each.name == "g"), ("", ""))

    store.build("g", new_faces("Ada"), basis(0), EMBEDDER)
    assert told("g")[0] == "Flat" and told("g")[1].startswith("1 faces: up to 25,000")
    wait_for(lambda: serving() == told("g"))
    store.configure("g", admin.IndexSettings(type="HNSW32"))
    assert told("g") == ("HNSW32;efSearch=128", "HNSW32, as was asked for")
    wait_for(lambda: serving() == told("g"))
    store.configure("g", admin.IndexSettings(type="Nonsense"))  # as if an earlier FAISS had known it
    wait_for(lambda: serving()[0] == told("g")[0] == "Flat")
    assert "'Nonsense'" in told("g")[1]
    store.build("theirs", new_faces("Ada"), basis(0), "sha256:other")
    assert told("theirs") == ("", "")


def test_verification_names_what_is_wrong(open_admin: GalleryAdmin, store: GalleryStore, url: str) -> None:
    ids = store.build("g", new_faces("Ada", "Grace", "Noor"), basis(0, 1, 2), EMBEDDER).ids

    def verified(gallery: str) -> admin.Verification:
        answer = open_admin.handle(admin.Verify(gallery=gallery).model_dump_json(), None, None)
        return admin.Verification.model_validate_json(answer.result)

    assert (verified("g").faces, verified("g").problems) == (3, [])
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        connection.execute("UPDATE faces SET embedding = zeroblob(32) WHERE id = ?", [ids[1]])
    (problem,) = verified("g").problems
    assert f"face {ids[1]}" in problem
    page = open_admin.handle(admin.Verify(gallery="g", after_id=ids[0], limit=2).model_dump_json(), None, None)
    found = admin.Verification.model_validate_json(page.result)
    assert (found.faces, found.problems, found.next_after_id) == (2, [problem], ids[2])
    rest = open_admin.handle(admin.Verify(gallery="g", after_id=ids[2], limit=2).model_dump_json(), None, None)
    assert admin.Verification.model_validate_json(rest.result).next_after_id is None
    with pytest.raises(NotFound, match="poeple"):
        verified("poeple")


def test_verification_says_what_the_saved_index_is_worth(store: GalleryStore, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    manager = GalleryAdmin(store, EMBEDDER, DIMENSION, Access(None), saved_in=folder)
    store.build("g", new_faces("Ada"), basis(0), EMBEDDER)

    def verified() -> admin.Verification:
        answer = manager.handle(admin.Verify(gallery="g").model_dump_json(), None, None)
        return admin.Verification.model_validate_json(answer.result)

    def saved() -> None:
        with store.snapshot() as snapshot:
            (key,) = snapshot.galleries()
            position = snapshot.position()
        plan = IndexPlan("Flat", "", "", 0, 0, "for a test")
        index, _ = plan.make(DIMENSION, "IP", folder)
        SavedIndices(folder).save(LoadedGallery(key, plan, index, FaceLabels(), position).freeze())

    assert verified().saved_index == "none"
    saved()
    assert (verified().saved_index, verified().problems) == ("current", [])
    store.add("g", new_faces("Noor"), basis(1), EMBEDDER)
    assert verified().saved_index == "behind by 1 changes"
    (file,) = folder.iterdir()
    content = bytearray(file.read_bytes())
    content[40] ^= 1
    file.write_bytes(content)
    assert verified().saved_index == "damaged"
    assert "its saved index is damaged" in verified().problems[0]
    saved()
    store.configure("g", admin.IndexSettings(metric="L2"))
    assert verified().saved_index == "unusable: it is of another gallery, embedder or index type"
    assert verified().problems == []


WRITES = [
    build("g"),
    admin.Add(gallery="g", faces=new_faces("Ada")).model_dump_json(),
    admin.Remove(gallery="g", ids=[1]).model_dump_json(),
    admin.Update(gallery="g", faces=[admin.FaceUpdate(id=1, label="Ada")]).model_dump_json(),
    admin.UpdateLabel(gallery="g", label="Noor", set_label="Ada").model_dump_json(),
    admin.Configure(gallery="g", index=admin.IndexSettings()).model_dump_json(),
    admin.Rename(gallery="g", to="h").model_dump_json(),
    admin.Drop(gallery="g").model_dump_json(),
    admin.Drop(gallery="g", dry_run=True).model_dump_json(),
    admin.ListFaces(gallery="g", embeddings=True).model_dump_json(),
]


class TestToken:
    @pytest.fixture
    def guarded(self, store: GalleryStore) -> GalleryAdmin:
        store.build("g", new_faces("Noor"), basis(0), EMBEDDER)
        return GalleryAdmin(store, EMBEDDER, DIMENSION, Access(TOKEN))

    @pytest.mark.parametrize("command", WRITES)
    @pytest.mark.parametrize(
        "token",
        [
            None,
            "",
            TOKEN,
            "Bearer",
            "Bearer ",
            f"Basic {TOKEN}",
            f"Bearer {TOKEN}x",
            f"Bearer {TOKEN[:-1]}",
            "Bearer \ud800",
        ],
    )
    def test_writes_are_refused_without_the_right_one(
        self, guarded: GalleryAdmin, command: str, token: str | None, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.DEBUG), pytest.raises(PermissionDenied) as refused:
            guarded.handle(command, None, token)
        assert "s3cret" not in str(refused.value) + caplog.text
        assert listed(guarded, "g") == ["Noor"]

    @pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
    def test_the_right_one_lets_them_through(self, guarded: GalleryAdmin, scheme: str) -> None:
        guarded.handle(build("g", "Ada", replace=True), basis(0), f"{scheme} {TOKEN}")
        assert listed(guarded, "g") == ["Ada"]

    def test_a_wrong_command_is_refused_without_repeating_secrets_put_in_the_wrong_place(
        self, guarded: GalleryAdmin
    ) -> None:
        for command in (
            {"op": "drop", "gallery": "g", "token": TOKEN},
            {"op": "nothing", "token": TOKEN},
            {"token": TOKEN},
            TOKEN,
            [TOKEN],
        ):
            for text in (json.dumps(command, ensure_ascii=False), json.dumps(command, ensure_ascii=False)[:-1]):
                with pytest.raises(ToonfaceError) as refused:
                    guarded.handle(text, None, None)
                assert "s3cret" not in str(refused.value)


def test_a_protected_gallery_is_read_with_its_token_only(store: GalleryStore) -> None:
    rules = AccessRules.model_validate({"galleries": {"staff": {"read_tokens": ["staff-token"]}}})
    guarded = GalleryAdmin(store, EMBEDDER, DIMENSION, Access(TOKEN, rules))
    for name in ("staff", "public"):
        store.build(name, new_faces("Noor"), basis(0), EMBEDDER)

    def visible(token: str | None) -> list[str]:
        answer = guarded.handle(admin.ListGalleries().model_dump_json(), None, token)
        return [each.name for each in admin.Galleries.model_validate_json(answer.result).galleries]

    assert visible(None) == ["public"]
    assert visible("Bearer staff-token") == visible(f"Bearer {TOKEN}") == ["public", "staff"]
    for command in (admin.ListFaces(gallery="staff"), admin.Stats(gallery="staff"), admin.Verify(gallery="staff")):
        text = command.model_dump_json()
        for wrong in (None, "Bearer other"):
            with pytest.raises(PermissionDenied, match="'staff'"):
                guarded.handle(text, None, wrong)
        guarded.handle(text, None, "Bearer staff-token")
        guarded.handle(text.replace("staff", "public"), None, None)
    with pytest.raises(PermissionDenied):
        guarded.handle(build("staff", replace=True), None, "Bearer staff-token")


def test_the_page_on_the_wire_names_every_field() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "wire-contract.md").read_text(encoding="utf-8")
    answers = [admin.Change, admin.Galleries, admin.GalleryInfo, admin.Faces, admin.FaceInfo]
    answers += [admin.GalleryStats, admin.LabelCount, admin.Verification]
    commands = get_args(get_args(admin.Command)[0])
    fields = {name for model in (*commands, admin.NewFace, *answers) for name in model.model_fields}
    assert sorted(name for name in fields if f'"{name}":' not in page) == []
