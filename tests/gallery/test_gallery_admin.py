from __future__ import annotations

import json
import logging
from typing import Any

import numpy as np
import pytest
from gallery_helpers import DIMENSION, EMBEDDER, basis, new_faces

from toonface_contract import admin
from toonface_contract.errors import ConfigError, InvalidRequest, NotFound, PermissionDenied, ToonfaceError
from toonface_gallery.admin import GalleryAdmin
from toonface_gallery.store import GalleryStore

TOKEN = "s3cret-täken"  # noqa: S105  (made up here)


@pytest.fixture
def open_admin(store: GalleryStore) -> GalleryAdmin:
    """No token is asked for."""
    return GalleryAdmin(store, EMBEDDER, DIMENSION, None)


def build(gallery: str, *labels: str, replace: bool = False) -> str:
    return admin.Build(gallery=gallery, faces=new_faces(*labels), replace=replace).model_dump_json()


def listed(manager: GalleryAdmin, gallery: str) -> list[str]:
    answer = manager.handle(admin.ListFaces(gallery=gallery).model_dump_json(), None, None)
    return [face.label for face in admin.Faces.model_validate_json(answer).faces]


def stored(store: GalleryStore, gallery: str) -> np.ndarray:
    with store.snapshot() as snapshot:
        (key,) = [key for key in snapshot.galleries() if key.name == gallery]
        return np.concatenate([part.embeddings for part in snapshot.faces(key)])


def test_every_command_answers_as_the_contract_says(open_admin: GalleryAdmin) -> None:
    def run(command: Any, embeddings: np.ndarray | None = None) -> str:
        return open_admin.handle(command.model_dump_json(), embeddings, None)

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
        ('{"op":"destroy"}', ["'destroy'", "'build', 'add', 'remove', 'drop', 'list_galleries', 'list_faces'"]),
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
    old = GalleryAdmin(store, "sha256:fedcba9876543210", 4, None)
    old.handle(build("g", "Ada"), basis(0)[:, :4], None)
    new = GalleryAdmin(store, EMBEDDER, DIMENSION, None)
    with pytest.raises(InvalidRequest, match="fedcba987654 .*0123456789ab ") as refused:
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


WRITES = [
    build("g"),
    admin.Add(gallery="g", faces=new_faces("Ada")).model_dump_json(),
    admin.Remove(gallery="g", ids=[1]).model_dump_json(),
    admin.Drop(gallery="g").model_dump_json(),
]


class TestToken:
    @pytest.fixture
    def guarded(self, store: GalleryStore) -> GalleryAdmin:
        store.build("g", new_faces("Noor"), basis(0), EMBEDDER)
        return GalleryAdmin(store, EMBEDDER, DIMENSION, TOKEN)

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

    @pytest.mark.parametrize("empty", ["", "  "])
    def test_an_empty_one_cannot_be_configured(self, store: GalleryStore, empty: str) -> None:
        with pytest.raises(ConfigError, match="empty"):
            GalleryAdmin(store, EMBEDDER, DIMENSION, empty)
