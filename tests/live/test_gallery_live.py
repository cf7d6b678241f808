"""The gallery of a serving server: enrol, search, remove, list."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from live_server import Server, start_server
from PIL import Image, ImageOps
from scenes import BACKGROUND, cast, encode, scene

from toonface_client import LabelledPicture, ToonfaceClient
from toonface_contract.errors import AlreadyExists, NotFound, PermissionDenied
from toonface_contract.options import Crop
from toonface_training.cartoon.scenes import portrait


def person(number: int, *, margin: int) -> LabelledPicture:
    """One of the demo's characters, its face alone, with so many pixels around it."""
    name, identity = list(cast().named.items())[number]
    pixels = portrait(identity, 160, BACKGROUND, np.random.default_rng(number))
    framed = ImageOps.expand(Image.fromarray(pixels), margin, BACKGROUND)
    return LabelledPicture(encode(framed), name, f"{name}.png")


@pytest.fixture
def people() -> list[LabelledPicture]:
    """Four pictures in which a face is found."""
    return [person(number, margin=40) for number in range(4)]


def wait_for_label(client: ToonfaceClient, picture: LabelledPicture, gallery: str, *, there: bool = True) -> None:
    """Wait until the picture's face has its label, or has lost it."""
    give_up = time.monotonic() + 10
    while (client.recognize(picture.image, gallery=gallery).faces[0].label == picture.label) != there:
        assert time.monotonic() < give_up


@pytest.mark.parametrize("crop", ["whole", "faces"])
def test_enrol_find_remove(client: ToonfaceClient, people: list[LabelledPicture], crop: Crop) -> None:
    gallery = f"people-{crop}"
    enrolled = people if crop == "faces" else [person(number, margin=0) for number in range(4)]
    report = client.enrol(gallery, enrolled, crop=crop, build=True)
    assert (report.enrolled, report.failed) == (4, 0)
    wait_for_label(client, people[0], gallery)

    (first, *rest) = client.faces(gallery)
    assert [face.label for face in [first, *rest]] == [picture.label for picture in people]
    assert first.source == people[0].source
    client.remove_faces(gallery, ids=[first.id])
    wait_for_label(client, people[0], gallery, there=False)
    with pytest.raises(NotFound, match=str(first.id)):
        client.remove_faces(gallery, ids=[first.id])

    client.enrol(gallery, enrolled[:1], crop=crop)
    wait_for_label(client, people[0], gallery)
    assert [each.faces for each in client.galleries() if each.name == gallery] == [4]
    client.drop_gallery(gallery)
    assert gallery not in [each.name for each in client.galleries()]
    with pytest.raises(NotFound, match=gallery):
        for _ in range(100):  # the search follows within a second
            client.recognize(people[0].image, gallery=gallery)
            time.sleep(0.1)


def test_a_bad_picture_fails_alone(client: ToonfaceClient, people: list[LabelledPicture]) -> None:
    crowd = LabelledPicture(encode(scene(2, cell=250).image), "two people")
    broken = LabelledPicture(b"no picture", "broken")
    report = client.enrol("mixed", [people[0], broken, crowd, people[1]], crop="faces", build=True)
    assert [picture.error is None for picture in report.pictures] == [True, False, False, True]
    assert report.pictures[1].error.code == "image_format_unsupported"
    assert "2 faces" in report.pictures[2].error.message
    assert len(list(client.faces("mixed"))) == 2


def test_a_gallery_is_not_built_over_another_by_accident(client: ToonfaceClient, people: list[LabelledPicture]) -> None:
    client.enrol("once", people[:2], crop="faces", build=True)
    with pytest.raises(AlreadyExists, match="once"):
        client.enrol("once", people[2:], crop="faces", build=True)
    client.enrol("once", people[2:], crop="faces", build=True, replace=True)
    assert [face.label for face in client.faces("once")] == [picture.label for picture in people[2:]]


def test_galleries_outlive_the_server(repository: Path, tmp_path: Path, people: list[LabelledPicture]) -> None:
    with start_server(repository, tmp_path) as first, ToonfaceClient(first.grpc) as client:
        client.enrol("kept", people, crop="faces", build=True)
        assert first.stop() == 0
    with start_server(repository, tmp_path) as second, ToonfaceClient(second.grpc) as client:
        assert client.recognize(people[2].image, gallery="kept").faces[0].label == people[2].label


def test_galleries_are_read_and_changed_with_their_tokens(
    repository: Path, tmp_path: Path, people: list[LabelledPicture]
) -> None:
    admin_token, access, private = "s3cret-admin", tmp_path / "access.toml", {"gallery": "private"}
    (tmp_path / "token").write_text(f"{admin_token}\n")
    # The default gallery, which the server itself looks at to see whether it works, is open to nobody else.
    access.write_text('[galleries.private]\nread_tokens = ["s3cret-reader"]\n[galleries.default]\n')
    options = ("--admin-token-file", str(tmp_path / "token"), "--access-file", str(access))
    with start_server(repository, tmp_path, *options) as guarded, ExitStack() as clients:

        def client(token: str | None) -> ToonfaceClient:
            return clients.enter_context(ToonfaceClient(guarded.grpc, token=token))

        admin, reader, guessing, stranger = map(client, (admin_token, "s3cret-reader", "s3cret-admim", None))
        for each in (reader, guessing, stranger):
            with pytest.raises(PermissionDenied):
                each.build_gallery("public", [], [])
        admin.enrol("private", people, crop="faces", build=True)
        admin.enrol("public", people, crop="faces", build=True)

        picture, label = people[1].image, people[1].label
        for each in (admin, reader):
            assert each.recognize(picture, **private).faces[0].label == label
            assert len(list(each.faces("private"))) == 4
            assert "private" in [gallery.name for gallery in each.galleries()]
        for each in (guessing, stranger):
            assert each.recognize(picture, gallery="public").faces[0].label == label
            assert [gallery.name for gallery in each.galleries()] == ["public"]
            for refused in (
                lambda each=each: each.recognize(picture, **private),
                lambda each=each: each.recognize(picture),
                lambda each=each: list(each.faces("private")),
                lambda each=each: each.search("private", np.eye(1, 128)),
                lambda each=each: each.stats("private"),
                lambda each=each: list(each.face_pages("public", embeddings=True)),
            ):
                with pytest.raises(PermissionDenied):
                    refused()
            assert each.status().healthy
        with pytest.raises(PermissionDenied):
            list(reader.face_pages("private", embeddings=True))
        assert "s3cret" not in guarded.log.read_text()


def test_the_server_fixture_is_the_session_s(server: Server, client: ToonfaceClient) -> None:
    assert client.status().healthy
    assert client.status().address == server.grpc
