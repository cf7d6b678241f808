"""Both clients against a tritonserver: what they ask and what they make of the answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from stand_in_server import Connect, picture

from toonface_client import Box, LabelledPicture, ToonfaceClient
from toonface_client.quality import QualityGate
from toonface_client.staging import Staging
from toonface_contract import errors
from toonface_contract.admin import NewFace


def test_recognize_reads_the_whole_answer(client: Any) -> None:
    result = client.recognize(picture(2, padding=1))
    assert (result.width, result.height, result.faces_found, result.cut) == (64, 32, 2, 0)
    assert [face.label for face in result.faces] == ["Ada", "Grace"]
    assert result.faces[0].box == Box(0, 0, 10, 10)
    assert [match.label for match in result.faces[1].matches] == ["Grace", "Noor", "Ada"]


def test_no_face_is_an_answer(client: Any) -> None:
    result = client.recognize(picture(0))
    assert result.faces == ()
    assert client.features(picture(0)).embeddings.shape == (0, 4)


def test_options_reach_the_stages(client: Any) -> None:
    result = client.recognize(picture(5), max_faces=3, topk=1, rec_threshold=0.75)
    assert result.cut == 2
    assert [face.label for face in result.faces] == ["Ada", "Unknown", "Unknown"]
    assert all(len(face.matches) == 1 for face in result.faces)
    assert client.recognize(picture(1), gallery="empty").faces[0].score is None


def test_pictures_may_be_bytes_paths_and_arrays(client: Any, picture_file: Path) -> None:
    with Image.open(picture_file) as image:
        pixels = np.asarray(image)
    answers = [client.recognize(image).as_dict() for image in (picture(), picture_file, str(picture_file), pixels)]
    assert answers == answers[:1] * 4


def test_features_are_rows_of_faces(client: Any) -> None:
    features = client.features(picture(3))
    assert features.boxes.shape == (3, 4)
    assert features.detection_scores.shape == (3,)
    assert features.embeddings.dtype == np.float32
    assert features.embeddings.shape == (3, 4)
    whole = client.features(picture(0), crop="whole")
    assert whole.boxes.tolist() == [[0, 0, 64, 32]]


@pytest.mark.parametrize(
    ("options", "code"),
    [({"topk": 0}, "invalid_option"), ({"det_treshold": 0.5}, "unknown_option"), ({"crop": "half"}, "invalid_option")],
)
def test_options_are_checked_before_anything_is_sent(connect: Connect, options: dict[str, Any], code: str) -> None:
    nowhere = connect(address="127.0.0.1:9")
    with pytest.raises(errors.InvalidRequest) as refused:
        nowhere.recognize(picture(), **options)
    assert refused.value.code == code
    with pytest.raises(errors.InvalidRequest):
        nowhere.recognize_many([picture()], **options)


def test_errors_of_the_stages_keep_their_codes(client: Any) -> None:
    with pytest.raises(errors.InvalidImage) as refused:
        client.recognize(b"no picture")
    assert refused.value.code == "image_format_unsupported"
    with pytest.raises(errors.NotFound, match="'missing'"):
        client.recognize(picture(), gallery="missing")


def test_a_bad_picture_among_many_stands_in_its_place(client: Any) -> None:
    images = [picture(1), b"no picture", picture(3), "/no/such/file.jpg", picture(2)]
    one, bad, three, lost, two = client.recognize_many(images, concurrency=3)
    assert [len(result.faces) for result in (one, three, two)] == [1, 3, 2]
    assert bad.code == "image_format_unsupported"
    assert isinstance(lost, errors.InvalidImage)
    assert list(client.recognize_many([])) == []


def test_many_needs_at_least_one_at_once(client: Any) -> None:
    with pytest.raises(errors.InvalidRequest, match="concurrency is 0"):
        client.recognize_many([picture()], concurrency=0)


def test_a_gallery_from_its_building_to_its_dropping(client: Any, gallery: str) -> None:
    faces = [NewFace(label=f"person {number}", source=f"{number}.jpg") for number in range(5)]
    built = client.build_gallery(gallery, faces, np.eye(5, 4))
    assert len(built.ids) == 5
    added = client.add_faces(gallery, [NewFace(label="Ada")], [[1, 0, 0, 0]])
    assert added.sequence > built.sequence
    (info,) = [each for each in client.galleries() if each.name == gallery]
    assert (info.faces, info.labels, info.dimension) == (6, 6, 4)
    assert [face.label for face in client.faces(gallery)][-2:] == ["person 4", "Ada"]
    assert [face.id for face in client.faces(gallery, label="Ada")] == added.ids
    assert client.remove_faces(gallery, ids=built.ids[:1], labels=["Ada"]).ids == [built.ids[0], *added.ids]
    assert len(list(client.faces(gallery))) == 4
    client.drop_gallery(gallery)
    with pytest.raises(errors.NotFound) as refused:
        client.drop_gallery(gallery)
    assert refused.value.code == "gallery_not_found"


def test_a_gallery_takes_another_s_place(client: Any, gallery: str) -> None:
    for name, label in ((gallery, "Ada"), (f"{gallery}-2", "Grace")):
        client.build_gallery(name, [NewFace(label=label)], np.ones((1, 4)))
    with pytest.raises(errors.AlreadyExists):
        client.rename_gallery(f"{gallery}-2", gallery)
    with pytest.raises(errors.InvalidRequest, match="unchanged_since"):  # the stand-in is too old for it
        client.rename_gallery(f"{gallery}-2", gallery, replace=True, unchanged_since=1)
    client.rename_gallery(f"{gallery}-2", gallery, replace=True)
    assert [face.label for face in client.faces(gallery)] == ["Grace"]


@pytest.mark.parametrize("sequence", [0, 7])
def test_an_older_server_replaces_a_gallery_without_looking_again(server: str, gallery: str, sequence: int) -> None:
    with ToonfaceClient(server, token="secret") as client:  # noqa: S106  (the stand-in's)
        client.build_gallery(gallery, [], [])
        with pytest.raises(errors.AlreadyExists), Staging(client, gallery) as staging:
            staging.switch(replace=False)
        with Staging(client, gallery) as staging:
            staging.add([NewFace(label="Ada")], np.ones((1, 4)))
            staging.switch(replace=True, unchanged_since=sequence)
        assert [face.label for face in client.faces(gallery)] == ["Ada"]
        assert [each.name for each in client.galleries() if each.name.startswith(gallery)] == [gallery]


def test_a_gallery_is_fetched_page_by_page(client: Any, gallery: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toonface_contract.admin.MAX_PAGE", 3)
    client.build_gallery(gallery, [NewFace(label=str(number)) for number in range(8)], np.ones((8, 4)))
    assert [face.label for face in client.faces(gallery)] == list("01234567")


def test_an_empty_gallery_can_be_built(client: Any, gallery: str) -> None:
    assert client.build_gallery(gallery, [], []).ids == []
    assert list(client.faces(gallery)) == []


def test_enrol_reports_each_picture(client: Any, gallery: str) -> None:
    pictures = [
        LabelledPicture(picture(), "Ada", "ada.png"),
        LabelledPicture(b"no picture", "Bob", "bob.png"),
        LabelledPicture(picture(), "Cleo", "cleo.png"),
    ]
    report = client.enrol(gallery, iter(pictures), build=True, gate=None)
    assert (report.enrolled, report.failed) == (2, 1)
    assert [each.source for each in report.pictures] == ["ada.png", "bob.png", "cleo.png"]
    assert report.pictures[1].error.code == "image_format_unsupported"
    assert [face.id for face in client.faces(gallery)] == [report.pictures[0].face_id, report.pictures[2].face_id]
    assert client.enrol(gallery, pictures[:1], gate=None).enrolled == 1
    assert report.as_dict()["pictures"][1]["error"]["code"] == "image_format_unsupported"


def test_enrolling_by_faces_needs_exactly_one(client: Any, gallery: str) -> None:
    pictures = [LabelledPicture(picture(count), f"{count} faces") for count in (0, 1, 2)]
    report = client.enrol(gallery, pictures, crop="faces", build=True, gate=None)
    assert [each.error and each.error.message[:7] for each in report.pictures] == ["0 faces", None, "2 faces"]
    assert [each.error and each.error.code for each in report.pictures] == ["no_face", None, "several_faces"]


@pytest.mark.parametrize(("bound", "code"), [(0.89, None), (0.91, "face_uncertain")])
def test_enrolling_by_faces_needs_a_detector_that_is_sure(
    client: Any, gallery: str, bound: float, code: str | None
) -> None:
    """The stand-in is sure of its first face by 0.9."""
    gate = QualityGate(min_side=None, min_sharpness=None, min_detection_score=bound)
    for crop, expected in (("faces", code), ("whole", None)):
        report = client.enrol(
            gallery, [LabelledPicture(picture(1), "Ada")], crop=crop, build=True, replace=True, gate=gate, dry_run=True
        )
        assert [each.error and each.error.code for each in report.pictures] == [expected]


def test_nothing_is_written_when_every_picture_failed(client: Any, gallery: str) -> None:
    report = client.enrol(gallery, [LabelledPicture(b"no picture", "Ada")], build=True, gate=None)
    assert report.change is None
    assert gallery not in [each.name for each in client.galleries()]


def test_enrol_refuses_its_gallery_before_it_takes_a_picture(client: Any, gallery: str) -> None:
    def pictures() -> Any:
        pytest.fail("a picture was taken")
        yield

    with pytest.raises(errors.NotFound, match=gallery):
        client.enrol(gallery, pictures())
    client.build_gallery(gallery, [NewFace(label="Ada")], np.ones((1, 4)))
    with pytest.raises(errors.AlreadyExists, match=f"{gallery}.*faces: 1"):
        client.enrol(gallery, pictures(), build=True)


def test_an_empty_gallery_counts_as_none_when_one_is_built(client: Any, gallery: str) -> None:
    """A new server has an empty default gallery."""
    client.build_gallery(gallery, [], [])
    assert client.enrol(gallery, [LabelledPicture(picture(), "Ada")], build=True, gate=None).enrolled == 1


def test_writes_need_the_token_and_reads_do_not(connect: Connect, gallery: str) -> None:
    for stranger in (connect(), connect(token="guess")):  # noqa: S106  (a wrong one)
        with pytest.raises(errors.PermissionDenied):
            stranger.build_gallery(gallery, [], [])
        assert isinstance(stranger.galleries(), list)


def test_status_of_a_healthy_server(client: Any, server: str) -> None:
    status = client.status()
    assert status.healthy
    assert status.address == server
    assert status.version.startswith("2.")
    assert [model.name for model in status.models] == ["face_features", "face_recognition", "gallery_admin"]
    assert status.round_trip_ms > 0 and status.recognition_ms > 0
    assert client.ping() > 0


def test_repr_shows_the_address_and_no_secret(client: Any, server: str) -> None:
    assert server in repr(client)
    assert "secret" not in repr(client)
