"""Pictures, connections, calls, failures and retries, without a server."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from stand_in_server import picture
from tritonclient.utils import InferenceServerException

from toonface_client import LabelledPicture, RetryPolicy, Tls, calls, gallery_calls
from toonface_client.concurrency import in_order
from toonface_client.connection import Connection
from toonface_client.enrolment import Candidate, Enrolment
from toonface_client.failures import Failure, Retry, failure_from
from toonface_client.images import encoded
from toonface_client.quality import Measures
from toonface_client.retry import Attempts
from toonface_contract import errors
from toonface_contract.admin import IndexSettings, NewFace
from toonface_contract.names import MAX_IMAGE_BYTES


def test_an_array_arrives_as_the_pixels_it_is() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 5, 3), np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encoded(pixels)))), pixels)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encoded(pixels[:, ::-1])))), pixels[:, ::-1])


def test_an_array_that_is_too_large_as_bmp_arrives_as_png() -> None:
    side = 4730  # in BMP 67,109,240 bytes and the header; 67,108,864 are allowed
    pixels = np.zeros((side, side - 1, 3), np.uint8)
    pixels[:, ::7] = 90
    data = encoded(pixels)
    assert (data[:4], len(data) < MAX_IMAGE_BYTES) == (b"\x89PNG", True)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels)
    assert encoded(pixels[:-1])[:2] == b"BM"


def test_bytes_and_files_are_sent_as_they_are(picture_file: Path) -> None:
    assert encoded(picture_file) == encoded(str(picture_file)) == encoded(memoryview(picture())) == picture()


@pytest.mark.parametrize(
    ("image", "code", "says"),
    [
        (b"", "image_empty", "no bytes"),
        (bytes(MAX_IMAGE_BYTES + 1), "image_too_large", "67,108,865 bytes; at most 67,108,864"),
        ("/no/such/picture.jpg", "invalid_image", "'/no/such/picture.jpg': No such file"),
        ("/", "invalid_image", "Is a directory"),
        (np.zeros((4, 4, 3), np.float32), "invalid_image", r"float32 \[4, 4, 3\]"),
        (np.zeros((4, 4), np.uint8), "invalid_image", "in the order RGB"),
        (np.zeros((0, 4, 3), np.uint8), "invalid_image", r"uint8 \[0, 4, 3\]"),
    ],
    ids=["empty", "large", "missing", "folder", "float", "grey", "no rows"],
)
def test_what_is_no_picture_is_refused_here(image: Any, code: str, says: str) -> None:
    with pytest.raises(errors.InvalidImage, match=says) as refused:
        encoded(image)
    assert refused.value.code == code


@pytest.mark.parametrize("address", ["http://127.0.0.1:8000", "127.0.0.1", "", "host:port", "a b:1", "[::1]"])
def test_an_address_without_a_port_or_with_a_scheme_is_refused(address: str) -> None:
    with pytest.raises(errors.ConfigError, match="host:port"):
        Connection(address)


@pytest.mark.parametrize(
    "address", ["127.0.0.1:8001", "triton.svc.local:1", "[::1]:8001", "unix:/run/t.sock", "dns:///a:1"]
)
def test_addresses_that_grpc_takes(address: str) -> None:
    assert Connection(address).client_arguments()["url"] == address


def test_the_token_goes_to_models_only_and_is_never_shown() -> None:
    connection = Connection(headers={"X-Gateway": "open sesame"}, token="s3cret")  # noqa: S106  (made up)
    assert connection.headers_for(model=True) == {"x-gateway": "open sesame", "authorization": "Bearer s3cret"}
    assert connection.headers_for(model=False) == {"x-gateway": "open sesame"}
    assert "s3cret" not in repr(connection)
    assert "sesame" not in repr(connection)


@pytest.mark.parametrize(
    "arguments",
    [
        {"token": "with\nline"},
        {"token": ""},
        {"token": " padded "},
        {"headers": {"bad name": "x"}},
        {"headers": {"x-name": "line\r\nend"}},
        {"headers": {"Authorization": "Basic x"}, "token": "t"},
    ],
)
def test_headers_that_cannot_be_sent_are_refused_without_showing_them(arguments: dict[str, Any]) -> None:
    with pytest.raises(errors.ConfigError) as refused:
        Connection(**arguments)
    assert "line" not in refused.value.message.splitlines()[0] or "HTTP forbids" in refused.value.message


def test_tls_files_are_checked(tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigError, match="come together"):
        Tls(private_key="key.pem")
    with pytest.raises(errors.ConfigError, match="root_certificates is '.*missing.pem'"):
        Tls(root_certificates=tmp_path / "missing.pem")


FAILURES = [
    ("UNAVAILABLE", "in ensemble 'e', [request id: 1] Exceeds maximum queue size", errors.Overloaded, Retry.ALWAYS),
    ("UNAVAILABLE", "in ensemble 'e', Request timeout expired", errors.Overloaded, Retry.ALWAYS),
    (
        "UNAVAILABLE",
        "failed to connect to all addresses; last error: UNKNOWN: refused",
        errors.Unavailable,
        Retry.ALWAYS,
    ),
    ("UNAVAILABLE", "errors resolving nowhere:1: [...]", errors.Unavailable, Retry.ALWAYS),
    ("UNAVAILABLE", "This protocol is restricted, expecting header 'h'", errors.PermissionDenied, Retry.NEVER),
    ("UNAVAILABLE", "Socket closed", errors.Unavailable, Retry.READS),
    ("INTERNAL", "Stub process 'crop_align_0_0' is not healthy.", errors.Unavailable, Retry.READS),
    ("NOT_FOUND", "Request for unknown model: 'm' has no available versions", errors.Unavailable, Retry.ALWAYS),
    ("NOT_FOUND", "Request for unknown model: 'm' is not found", errors.NotFound, Retry.NEVER),
    ("NOT_FOUND", "Unable to find shared memory region: 'r'", errors.Unavailable, Retry.ALWAYS),
    ("DEADLINE_EXCEEDED", "Deadline Exceeded", errors.DeadlineExceeded, Retry.NEVER),
    ("INVALID_ARGUMENT", "unexpected inference input 'x'", errors.InvalidRequest, Retry.NEVER),
    ("UNAUTHENTICATED", "who are you", errors.PermissionDenied, Retry.NEVER),
    ("CANCELLED", "Locally cancelled", errors.Unavailable, Retry.NEVER),
    ("SOMETHING_NEW", "what now", errors.ToonfaceError, Retry.NEVER),
    ("UNAVAILABLE", "in ensemble 'e', overloaded: too much", errors.Overloaded, Retry.ALWAYS),
    ("UNAVAILABLE", "in ensemble 'e', store_unavailable: locked", errors.Unavailable, Retry.READS),
    ("NOT_FOUND", "gallery_not_found: no gallery 'g'", errors.NotFound, Retry.NEVER),
    ("INVALID_ARGUMENT", "gallery_changed: gallery 'g' was changed", errors.Conflict, Retry.NEVER),
    ("INVALID_ARGUMENT", "permission_denied: no token", errors.PermissionDenied, Retry.NEVER),
    ("INVALID_ARGUMENT", "in ensemble 'e', image_truncated: ends", errors.InvalidImage, Retry.NEVER),
]


@pytest.mark.parametrize(("status", "message", "kind", "retry"), FAILURES)
def test_what_servers_say_becomes_one_of_our_errors(
    status: str, message: str, kind: type[errors.ToonfaceError], retry: Retry
) -> None:
    failure = failure_from(InferenceServerException(message, f"StatusCode.{status}"), "host:8001", 30)
    assert type(failure.error) is kind
    assert failure.retry is retry


def test_a_write_whose_answer_was_lost_is_said_to_be_uncertain() -> None:
    lost = InferenceServerException("Socket closed", "StatusCode.UNAVAILABLE")
    late = InferenceServerException("Deadline Exceeded", "StatusCode.DEADLINE_EXCEEDED")
    full = InferenceServerException("Exceeds maximum queue size", "StatusCode.UNAVAILABLE")
    uncertain = [
        "may have been made" in failure_from(each, "host:8001", 30, writes=writes).error.message
        for each in (lost, late, full)
        for writes in (True, False)
    ]
    assert uncertain == [True, False, True, False, False, False]


def test_a_stage_s_traceback_is_left_out_of_the_message() -> None:
    message = "Failed to process the request(s) for model 'm_0_0', message: ValueError: oops\n\nAt:\n  model.py(3): f\n"
    failure = failure_from(InferenceServerException(message, "StatusCode.INTERNAL"), "host:8001", 30)
    assert failure.error.message.endswith("ValueError: oops")


def attempts(policy: RetryPolicy, *, timeout: float = 10, writes: bool = False, now: list[float]) -> Attempts:
    return Attempts(policy, timeout, writes=writes, clock=lambda: now[0], jitter=lambda: 1.0)


def test_pauses_double_up_to_a_bound_and_then_there_is_no_more() -> None:
    tries = attempts(RetryPolicy(attempts=5, first_pause=0.1, longest_pause=0.3), now=[0])
    failure = Failure(errors.Unavailable("x"), Retry.READS)
    assert [tries.pause_after(failure) for _ in range(5)] == [0.1, 0.2, 0.3, 0.3, None]


def test_a_pause_never_outlasts_the_deadline() -> None:
    now = [0.0]
    tries = attempts(RetryPolicy(first_pause=1, longest_pause=1), timeout=1.5, now=now)
    failure = Failure(errors.Unavailable("x"), Retry.READS)
    assert tries.pause_after(failure) == 1
    now[0] = 1.0
    assert tries.remaining() == 0.5
    assert tries.pause_after(failure) is None


@pytest.mark.parametrize(
    ("retry", "writes", "again"),
    [
        (Retry.NEVER, False, False),
        (Retry.READS, False, True),
        (Retry.READS, True, False),
        (Retry.ALWAYS, True, True),
    ],
)
def test_only_what_is_safe_is_tried_again(retry: Retry, writes: bool, again: bool) -> None:
    tries = attempts(RetryPolicy(), writes=writes, now=[0])
    assert (tries.pause_after(Failure(errors.Unavailable("x"), retry)) is not None) is again


def test_jitter_takes_a_share_of_the_pause() -> None:
    policy = RetryPolicy(first_pause=0.4)
    assert policy.pause(1, 0.0) == 0
    assert policy.pause(2, 0.25) == pytest.approx(0.2)
    with pytest.raises(errors.ConfigError, match="at least 1"):
        RetryPolicy(attempts=0)


def test_calls_send_only_the_options_that_were_given() -> None:
    assert calls.recognition(b"x", {"topk": 3}).arguments()["parameters"] == {"topk": 3}
    assert calls.features(b"x", {}).arguments()["parameters"] == {}


@pytest.mark.parametrize(
    ("embeddings", "says"),
    [(np.ones((2, 4)), r"\[2, 4\]; for 1 faces it must be \[1, dimension\]"), (np.ones(4), r"shape \[4\]")],
)
def test_embeddings_that_do_not_fit_their_faces_are_refused(embeddings: Any, says: str) -> None:
    with pytest.raises(errors.InvalidRequest, match=says) as refused:
        gallery_calls.add("people", [NewFace(label="Ada")], embeddings)
    assert refused.value.code == "invalid_embedding"


def test_commands_are_checked_before_they_are_sent() -> None:
    with pytest.raises(errors.InvalidRequest, match=r"gallery is '\.\./etc'"):
        gallery_calls.drop("../etc")
    with pytest.raises(errors.InvalidRequest, match="nothing to remove"):
        gallery_calls.remove("people", [], [])
    with pytest.raises(errors.InvalidRequest, match="update_label: it must set a label or a source"):
        gallery_calls.update_label("people", "Jo")


def test_commands_leave_out_what_is_as_usual() -> None:
    """An older server does not know every field."""
    call = gallery_calls.remove("people", [7], [])
    (command,) = call.inputs
    assert command.name() == "command"
    assert b'{"op": "remove", "gallery": "people", "ids": [7]}' in command._get_content()
    (command,) = gallery_calls.rename("new", "people", replace=True).inputs
    assert b'{"op": "rename", "gallery": "new", "to": "people", "replace": true}' in command._get_content()
    (command,) = gallery_calls.rename("new", "people", replace=True, unchanged_since=7).inputs
    assert b'"replace": true, "unchanged_since": 7}' in command._get_content()
    searches = [gallery_calls.search("people", np.eye(2, dtype=np.float32), 5, group) for group in ("face", "label")]
    assert [search.parameters.get("group") for search in searches] == [None, "label"]


def test_what_a_newer_server_adds_to_its_answers_is_passed_over() -> None:
    face = {"id": 1, "label": "Ada", "source": "", "created": "2026-01-01T00:00:00Z", "mood": "fine"}
    answer = {"faces": [face], "next_after_id": None, "sequence": 3, "weather": "sunny"}
    page = gallery_calls.list_faces("people").parse({"result": np.array([json.dumps(answer)], object)})
    assert (page.faces[0].label, page.faces[0].quality, page.sequence) == ("Ada", None, 3)


@pytest.mark.parametrize("rows", [None, np.zeros((2, 4), np.float32), np.zeros(4, np.float32)])
def test_faces_and_their_embeddings_must_fit_together(rows: Any) -> None:
    face = {"id": 1, "label": "Ada", "source": "", "created": "2026-01-01T00:00:00Z"}
    answer = json.dumps({"faces": [face], "next_after_id": None})
    tensors = {"result": np.array([answer], object)} | ({} if rows is None else {"face_embeddings": rows})
    with pytest.raises(errors.ToonfaceError, match="1 faces, and not as many embeddings"):
        gallery_calls.list_faces("people", embeddings=True).parse(tensors)


def test_a_label_that_the_gallery_would_refuse_fails_its_picture_alone() -> None:
    enrolment = Enrolment(None)
    enrolment.add(LabelledPicture(b"", "x" * 300), errors.ToonfaceError("not reached"))
    (report,) = enrolment.report(None).pictures
    assert "label" in str(report.error)
    assert enrolment.write("people", build=True, replace=False) is None


def test_an_enrolment_hands_on_how_the_gallery_is_searched_whether_it_builds_or_adds() -> None:
    enrolment = Enrolment(None)
    enrolment.add(LabelledPicture(b"", "Ada"), Candidate(np.eye(4, dtype=np.float32)[0], Measures(120, 500)))
    settings = IndexSettings(type="HNSW32", metric="L2")
    for build in (True, False):
        call = enrolment.write("people", build=build, replace=False, index=settings)
        assert call is not None
        assert b'"index": {"type": "HNSW32", "metric": "L2"}' in call.inputs[0]._get_content()
    call = enrolment.write("people", build=False, replace=False)  # to a server that does not know the field
    assert call is not None and b"index" not in call.inputs[0]._get_content()


def test_results_keep_the_order_of_the_items_and_the_items_are_taken_as_needed() -> None:
    taken = []

    def items() -> Any:
        for number in range(100):
            taken.append(number)
            yield number

    results = in_order(lambda number: number * 2, items(), 2)
    assert [next(results) for _ in range(3)] == [0, 2, 4]
    assert len(taken) < 10
    assert list(results) == [number * 2 for number in range(3, 100)]
