"""Right answers through the live server, for all the kinds of picture that people send."""

from __future__ import annotations

import asyncio
from collections import Counter
from queue import SimpleQueue

import numpy as np
import pytest
from PIL import Image
from scenes import DEMO, boxes, encode, labels, scene
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from toonface_client import AsyncToonfaceClient, RecognitionResult, ToonfaceClient

GROUP = scene(3, cell=240)
PORTRAIT = scene(1, cell=300)


@pytest.fixture
def expected(client: ToonfaceClient, characters: str) -> RecognitionResult:
    """What the server answers to `GROUP` as a plain PNG."""
    return client.recognize(encode(GROUP.image), gallery=characters)


def test_group_is_named(expected: RecognitionResult) -> None:
    assert GROUP.named(expected) == list(GROUP.names)
    assert (expected.width, expected.height, expected.faces_found) == (720, 240, 3)


def test_no_face_is_an_answer(client: ToonfaceClient, characters: str) -> None:
    result = client.recognize(encode(Image.new("RGB", (640, 360), (90, 140, 200))), gallery=characters)
    assert result.faces == ()
    assert result.faces_found == 0
    features = client.features(encode(Image.new("RGB", (640, 360))))
    assert features.embeddings.shape[0] == 0


def test_one_face(client: ToonfaceClient, characters: str) -> None:
    result = client.recognize(encode(PORTRAIT.image), gallery=characters, topk=3)
    assert labels(result) == list(PORTRAIT.names)
    matches = result.faces[0].matches
    assert len(matches) == 3
    assert [match.score for match in matches] == sorted((match.score for match in matches), reverse=True)


def test_forty_faces_in_one_picture(client: ToonfaceClient, characters: str) -> None:
    crowd = scene(40)
    result = client.recognize(encode(crowd.image), gallery=characters, det_threshold=0.3)
    assert len(result.faces) == result.faces_found
    named = crowd.named(result)
    # The demo models are small: some faces stay Unknown. Hardly any is missed, and few get another's name.
    assert sum(name is not None for name in named) >= 38, named
    assert sum(name == true for name, true in zip(named, crowd.names, strict=True)) >= 26, named
    assert sum(name not in (None, "Unknown", true) for name, true in zip(named, crowd.names, strict=True)) <= 4, named


def test_more_faces_than_the_largest_batch_are_cut_and_the_cut_is_reported(
    client: ToonfaceClient, characters: str
) -> None:
    crowd = encode(scene(80).image)
    result = client.recognize(crowd, gallery=characters, max_faces=1000, det_threshold=0.3)
    assert len(result.faces) == 64
    assert result.faces_found >= 72
    assert result.cut == result.faces_found - 64
    few = client.recognize(crowd, gallery=characters, max_faces=5, det_threshold=0.3)
    assert [face.label for face in few.faces] == [face.label for face in result.faces[:5]]
    assert few.faces_found == result.faces_found


def test_a_face_cut_by_the_border_is_found_within_the_picture(client: ToonfaceClient, characters: str) -> None:
    face = PORTRAIT.faces[0].box
    cut = int(face.x1 + (face.x2 - face.x1) * 0.2)
    result = client.recognize(encode(PORTRAIT.image.crop((cut, 0, 300, 300))), gallery=characters)
    assert len(result.faces) == 1
    box = result.faces[0].box
    assert 0 <= box.x1 < 20
    assert box.x2 <= 300 - cut


def test_sixteen_pixels(client: ToonfaceClient, characters: str) -> None:
    result = client.recognize(encode(PORTRAIT.image.resize((16, 16))), gallery=characters)
    assert (result.width, result.height) == (16, 16)


def _rotated_with_exif(picture: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # the viewer is to turn it a quarter clockwise
    return encode(picture.transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif)


def _sixteen_bit(picture: Image.Image) -> bytes:
    grey = np.asarray(picture.convert("L"), np.uint16)
    return encode(Image.fromarray(grey * 257), "PNG")


def _with_alpha(picture: Image.Image) -> bytes:
    opaque = picture.convert("RGBA")
    return encode(opaque, "PNG")


@pytest.mark.parametrize(
    ("data", "tolerance"),
    [
        pytest.param(_rotated_with_exif(GROUP.image), 0.01, id="portrait EXIF"),
        pytest.param(_with_alpha(GROUP.image), 0.01, id="PNG with alpha"),
        pytest.param(encode(GROUP.image, "WEBP", lossless=True), 0.01, id="lossless WebP"),
        pytest.param(encode(GROUP.image, "BMP"), 0.01, id="BMP"),
        pytest.param(encode(GROUP.image, "TIFF"), 0.01, id="TIFF"),
        pytest.param(encode(GROUP.image, "JPEG", quality=95), 4, id="JPEG"),
        pytest.param(encode(GROUP.image.convert("CMYK"), "JPEG", quality=95), 4, id="CMYK JPEG"),
        pytest.param(encode(GROUP.image, "WEBP", quality=90), 4, id="lossy WebP"),
    ],
)
def test_the_same_picture_in_another_format(
    data: bytes, tolerance: float, client: ToonfaceClient, characters: str, expected: RecognitionResult
) -> None:
    result = client.recognize(data, gallery=characters)
    assert labels(result) == labels(expected)
    np.testing.assert_allclose(boxes(result), boxes(expected), atol=tolerance)


def test_greyscale_in_8_and_16_bits_agree(client: ToonfaceClient, characters: str) -> None:
    eight = client.recognize(encode(GROUP.image.convert("L")), gallery=characters)
    sixteen = client.recognize(_sixteen_bit(GROUP.image), gallery=characters)
    assert eight.faces
    assert sixteen.as_dict() == eight.as_dict()


def test_transparent_pixels_are_white_whatever_colour_they_hide(client: ToonfaceClient, characters: str) -> None:
    hidden = PORTRAIT.image.convert("RGBA")
    hidden.putalpha(0)
    assert client.recognize(encode(hidden), gallery=characters).faces == ()


def test_first_frame_of_an_animation_counts(
    client: ToonfaceClient, characters: str, expected: RecognitionResult
) -> None:
    blank = Image.new("RGB", GROUP.image.size, "white")
    animation = encode(GROUP.image, "WEBP", save_all=True, append_images=[blank], lossless=True)
    assert labels(client.recognize(animation, gallery=characters)) == labels(expected)
    pages = encode(GROUP.image, "TIFF", save_all=True, append_images=[blank])
    assert labels(client.recognize(pages, gallery=characters)) == labels(expected)


def test_pictures_of_mixed_sizes_in_flight_at_once_get_their_own_answers(
    client: ToonfaceClient, characters: str, server_address: str
) -> None:
    pictures = [path.read_bytes() for path in sorted((DEMO / "pictures").iterdir())]
    pictures += [encode(scene(count, cell=60 + 40 * count).image) for count in range(1, 8)]
    alone = [client.recognize(picture, gallery=characters) for picture in pictures]

    async def together() -> list[RecognitionResult]:
        async with AsyncToonfaceClient(server_address) as opened:
            calls = [opened.recognize(picture, gallery=characters) for picture in pictures * 3]
            return await asyncio.gather(*calls)

    for answer, reference in zip(asyncio.run(together()), alone * 3, strict=True):
        assert Counter(face.label for face in answer.faces) == Counter(face.label for face in reference.faces)
        np.testing.assert_allclose(boxes(answer), boxes(reference), atol=0.5)


def test_requests_share_batches(client: ToonfaceClient, characters: str, server_address: str) -> None:
    """Detection runs fewer times than there are requests, when requests come at once."""
    before = batching_counts(server_address)["face_detection"]

    async def together() -> None:
        async with AsyncToonfaceClient(server_address) as opened:
            await asyncio.gather(*(opened.recognize(encode(GROUP.image), gallery=characters) for _ in range(24)))

    asyncio.run(together())
    requests, executions = np.subtract(batching_counts(server_address)["face_detection"], before)
    assert requests >= 24  # the server's canary may come in between
    assert executions < requests


def test_faces_of_different_requests_share_batches(server_address: str) -> None:
    """Sent straight to the embedder, since the detector is seldom so much faster that faces have to wait."""
    before = batching_counts(server_address)["face_embedding"]
    faces = np.random.default_rng(0).integers(0, 256, (24, 1, 112, 112, 3), np.uint8)
    answers: SimpleQueue[InferenceServerException | None] = SimpleQueue()
    with InferenceServerClient(server_address) as triton:
        for face in faces:
            tensor = InferInput("faces", face.shape, "UINT8")
            tensor.set_data_from_numpy(face)
            triton.async_infer("face_embedding", [tensor], lambda result, error: answers.put(error))
        assert [answers.get(timeout=30) for _ in faces] == [None] * len(faces)
    requests, executions = np.subtract(batching_counts(server_address)["face_embedding"], before)
    assert requests >= len(faces)
    assert executions < requests


def test_the_detector_computes_only_where_faces_are_looked_for(server_address: str) -> None:
    """With `crop=whole` nobody looks at its answer; requests of both kinds may share a batch."""
    answers: SimpleQueue[tuple[str, np.ndarray]] = SimpleQueue()
    with InferenceServerClient(server_address) as triton:
        _, height, width, _ = triton.get_model_metadata("face_detection").inputs[0].shape
        noise = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), np.uint8)
        tensor = InferInput("detector_input", noise.shape, "UINT8")
        tensor.set_data_from_numpy(noise)
        for crop in ("faces", "whole") * 4:
            triton.async_infer(
                "face_detection",
                [tensor],
                lambda result, error, crop=crop: answers.put((crop, result.as_numpy("scores"))),
                parameters={"crop": crop},
            )
        for _ in range(8):
            crop, scores = answers.get(timeout=30)
            assert scores.shape[0] == 1
            assert scores.any() == (crop == "faces")


def batching_counts(address: str) -> dict[str, tuple[int, int]]:
    """Requests answered and executions of each model, from Triton's statistics."""
    with InferenceServerClient(address) as triton:
        statistics = triton.get_inference_statistics().model_stats
    return {each.name: (each.inference_stats.success.count, each.execution_count) for each in statistics}
