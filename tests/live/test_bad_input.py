"""Bad input: a clear error that names the limit, the server unharmed, the next request served."""

from __future__ import annotations

import asyncio
import io
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from scenes import encode, scene
from tritonclient.grpc import service_pb2, service_pb2_grpc

from toonface_client import AsyncToonfaceClient, RetryPolicy, ToonfaceClient
from toonface_contract.admin import NewFace
from toonface_contract.errors import (
    DeadlineExceeded,
    InvalidImage,
    InvalidRequest,
    NotFound,
    Overloaded,
    ToonfaceError,
)

PORTRAIT = scene(1, cell=300)
FACE = encode(PORTRAIT.image)
(NAME,) = PORTRAIT.names


@pytest.fixture(autouse=True)
def the_next_request_is_served(client: ToonfaceClient, characters: str) -> Iterator[None]:
    yield
    assert client.recognize(FACE, gallery=characters).faces[0].label == NAME


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size, and holds next to nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


def text_bomb() -> bytes:
    """A small PNG whose compressed text unfolds to 100 MB."""
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "x" * 100_000_000, zip=True)
    return encode(Image.new("RGB", (64, 64)), "PNG", pnginfo=info)


def pixel_bomb() -> bytes:
    """A PNG of a few hundred KB that decodes to 300 MB."""
    buffer = io.BytesIO()
    Image.new("L", (20_000, 15_000)).save(buffer, "PNG", compress_level=9)
    return buffer.getvalue()


def hundred_megabytes() -> bytes:
    return b"\xff\xd8\xff" + bytes(100_000_000)


JPEG = encode(PORTRAIT.image, "JPEG")


@pytest.mark.parametrize(
    ("data", "code", "names"),
    [
        pytest.param(b"", "image_empty", "no bytes", id="empty"),
        pytest.param(b"this is no picture", "image_format_unsupported", "JPEG, PNG", id="text"),
        pytest.param(b"%PDF-1.7" + bytes(1000), "image_format_unsupported", "JPEG, PNG", id="PDF"),
        pytest.param(JPEG[: len(JPEG) // 2], "image_truncated", "whole file", id="truncated JPEG"),
        pytest.param(FACE[: len(FACE) // 2], "image_truncated", "whole file", id="truncated PNG"),
        pytest.param(encode(Image.new("RGB", (1, 1))), "image_too_small", "1x1", id="1x1"),
        pytest.param(png_header(50_000, 50_000), "image_too_large", "64,000,000", id="50,000 x 50,000 header"),
        pytest.param(pixel_bomb, "image_too_large", "64,000,000", id="pixel bomb"),
        pytest.param(text_bomb, "i", "", id="text bomb"),
        pytest.param(hundred_megabytes, "image_too_large", "67,108,864", id="100 MB"),
    ],
)
def test_a_picture_that_is_none(
    client: ToonfaceClient, data: bytes | Callable[[], bytes], code: str, names: str
) -> None:
    with pytest.raises(InvalidImage) as refused:
        client.recognize(data() if callable(data) else data)
    assert refused.value.code.startswith(code)
    assert names in refused.value.message


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        ("det_threshold", 1.5, "from 0 to 1"),
        ("det_threshold", -0.1, "from 0 to 1"),
        ("rec_threshold", 2.0, "from 0 to 1"),
        ("rec_threshold", "high", "a number"),
        ("topk", 0, "from 1 to 100"),
        ("topk", 10_000, "from 1 to 100"),
        ("topk", 2.5, "a whole number"),
        ("topk", True, "a whole number"),
        ("max_faces", 0, "from 1 to"),
        ("gallery", "../etc", "letters, digits"),
        ("crop", "half", "'whole'"),
    ],
)
def test_an_option_out_of_range_is_named(server_address: str, option: str, value: Any, allowed: str) -> None:
    """By the server, whatever the client lets pass."""
    error = raw_error(server_address, FACE, {option: value})
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert f"invalid_option: option {option} is {value!r}" in error.details()
    assert allowed in error.details()


def test_an_unknown_option_is_named(server_address: str) -> None:
    error = raw_error(server_address, FACE, {"det_treshold": 0.5})
    assert "unknown_option: option 'det_treshold' is not known; known are gallery, det_threshold" in error.details()


def test_an_unknown_gallery_is_named(client: ToonfaceClient) -> None:
    with pytest.raises(NotFound, match="nobody"):
        client.recognize(FACE, gallery="nobody")


def test_an_empty_gallery_answers_unknown(client: ToonfaceClient) -> None:
    result = client.recognize(FACE)
    assert [(face.label, face.matches) for face in result.faces] == [("Unknown", ())]


@pytest.mark.parametrize(
    ("name", "datatype", "shape", "says"),
    [
        ("picture", "BYTES", [1], "unexpected inference input 'picture'"),
        ("image", "UINT8", [len(FACE)], "BYTES"),
        ("image", "BYTES", [2], "shape"),
        ("image", "BYTES", [1, 1], "shape"),
    ],
)
def test_a_wrong_tensor_is_named(server_address: str, name: str, datatype: str, shape: list[int], says: str) -> None:
    packed = struct.pack("<I", len(FACE)) + FACE
    raw = FACE if datatype == "UINT8" else packed * int(np.prod(shape))
    error = raw_error(server_address, raw, {}, name=name, datatype=datatype, shape=shape)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert says in error.details()


def test_a_malformed_string_tensor(server_address: str) -> None:
    error = raw_error(server_address, b"\xff\xff\xff\xff1", {}, datatype="BYTES", shape=[1])
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_stage_that_is_called_directly_checks_too(client: ToonfaceClient, server_address: str) -> None:
    error = raw_error(server_address, FACE, {"nonsense": 1}, model="preprocess")
    assert "unknown_option" in error.details()


def test_a_client_that_goes_away_half_way(server_address: str) -> None:
    """Cancelled calls and closed channels, while the server works on them."""
    large = encode(scene(40).image, "JPEG")
    for _ in range(10):
        channel = grpc.insecure_channel(server_address)
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        pending = stub.ModelInfer.future(request("face_recognition", large, {}))
        with pytest.raises(grpc.FutureTimeoutError):
            pending.result(timeout=0.005)
        pending.cancel()
        channel.close()


def test_a_deadline_that_is_too_short(server_address: str) -> None:
    with (
        ToonfaceClient(server_address, retry=RetryPolicy(attempts=1)) as hurried,
        pytest.raises((DeadlineExceeded, Overloaded)),
    ):
        hurried.recognize(encode(scene(40).image), timeout=0.005)


def test_two_hundred_clients_at_once_are_answered_or_told_of_the_overload(server_address: str, characters: str) -> None:
    async def one() -> str:
        async with AsyncToonfaceClient(server_address, timeout=60, retry=RetryPolicy(attempts=1)) as opened:
            try:
                result = await opened.recognize(FACE, gallery=characters)
            except ToonfaceError as error:
                return error.code
            return result.faces[0].label

    async def crowd() -> list[str]:
        return await asyncio.gather(*(one() for _ in range(200)))

    outcomes = Counter(asyncio.run(crowd()))
    assert set(outcomes) == {NAME, "overloaded"}, outcomes


def test_wrong_admin_commands(client: ToonfaceClient, server_address: str) -> None:
    for command, says in [
        (b"not json", "invalid_command"),
        (b'{"op":"destroy"}', "destroy"),
        (b'{"op":"drop"}', "gallery"),
        (b'{"op":"drop","gallery":"nobody"}', "gallery_not_found"),
        (b'{"op":"list_faces","gallery":"default","limit":1000000}', "limit"),
    ]:
        packed = struct.pack("<I", len(command)) + command
        error = raw_error(server_address, packed, {}, model="gallery_admin", name="command", datatype="BYTES")
        assert says in error.details(), error.details()
    with pytest.raises(InvalidRequest, match="finite|NaN|number"):
        client.build_gallery("broken", [NewFace(label="x")], np.full((1, 128), np.nan, np.float32))
    with pytest.raises(InvalidRequest, match="128"):
        client.build_gallery("broken", [NewFace(label="x")], np.ones((1, 7), np.float32))


def request(
    model: str,
    raw: bytes,
    options: dict[str, Any],
    *,
    name: str = "image",
    datatype: str | None = None,
    shape: list[int] | None = None,
) -> service_pb2.ModelInferRequest:
    """A request as any Triton client could send it. Without a datatype, `raw` is the one element of a BYTES tensor."""
    message = service_pb2.ModelInferRequest(model_name=model)
    tensor = message.inputs.add(name=name, datatype=datatype or "BYTES")
    tensor.shape.extend(shape or [1])
    message.raw_input_contents.append(raw if datatype else struct.pack("<I", len(raw)) + raw)
    for option, value in options.items():
        kind = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}[type(value)]
        setattr(message.parameters[option], kind, value)
    return message


def raw_error(address: str, raw: bytes, options: dict[str, Any], *, model: str = "face_recognition", **how: Any) -> Any:
    with grpc.insecure_channel(address, [("grpc.max_send_message_length", -1)]) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        with pytest.raises(grpc.RpcError) as refused:
            stub.ModelInfer(request(model, raw, options, **how), timeout=30)
    return refused.value
