"""What `toonface serve` refuses before tritonserver is started, and how it says so."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from small_repository import write_manifest

from toonface_contract.errors import ConfigError, ServerError
from toonface_contract.names import ADMIN_TOKEN_ENV, MAX_IMAGE_PIXELS
from toonface_server.binary import find_installation
from toonface_server.cli import serve
from toonface_server.options import ServeOptions
from toonface_server.preflight import check_backends, check_gallery, claim_ports
from toonface_server.repository import open_repository
from toonface_server.shared_memory import check_shared_memory, shared_memory_need

EVERYWHERE = "0.0.0.0"  # noqa: S104  (given, and refused before anything listens)


def _serve(repository: Path, *options: str, environment: dict[str, str] | None = None) -> Result:
    ports = ("--grpc-port", "0", "--http-port", "0", "--metrics-port", "0")
    return CliRunner().invoke(serve, ["--repository", str(repository), *ports, *options], env=environment)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.mark.parametrize("option", ["--grpc-port", "--http-port", "--metrics-port"])
def test_a_port_in_use_is_named_with_its_option_and_its_owner(repository: Path, taken: int, option: str) -> None:
    refused = _serve(repository, option, str(taken))
    assert refused.exit_code == 1
    assert f"port {taken} on 127.0.0.1 is in use by" in refused.stderr
    assert f"choose another with {option}" in refused.stderr


def test_the_same_port_twice_is_refused(taken: int) -> None:
    free = claim_ports(ServeOptions(repository=Path(), grpc_port=0, http_port=0, metrics_port=0)).grpc
    with pytest.raises(ServerError, match=f"port {free}"):
        claim_ports(ServeOptions(repository=Path(), grpc_port=free, http_port=free, metrics_port=0))


def test_free_ports_differ() -> None:
    ports = claim_ports(ServeOptions(repository=Path(), grpc_port=0, http_port=0, metrics_port=0))
    assert len({ports.grpc, ports.http, ports.metrics}) == 3


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read: No such file"),
        ("[galleries.staff]\nread_token = 's3cret'\n", "galleries.staff.read_token: Extra"),
        ("[galleries.staff]\n", "there is no admin token"),
    ],
)
def test_a_wrong_access_file_is_refused_without_its_tokens(
    repository: Path, tmp_path: Path, content: str | None, reason: str
) -> None:
    access = tmp_path / "access.toml"
    if content is not None:
        access.write_text(content)
    refused = _serve(repository, "--access-file", str(access), environment={ADMIN_TOKEN_ENV: ""})
    assert refused.exit_code == 1
    assert "--access-file: " in refused.stderr
    assert reason in refused.stderr
    assert "s3cret" not in refused.stderr


@pytest.mark.parametrize("host", ["example.org", "::1", "300.0.0.1", ""])
def test_a_host_that_is_no_ipv4_address_is_refused(repository: Path, host: str) -> None:
    refused = _serve(repository, "--host", host)
    assert refused.exit_code == 1
    assert f"--host is {host!r}; it must be an IPv4 address" in refused.stderr


def test_a_host_that_others_reach_needs_a_token(repository: Path, tmp_path: Path) -> None:
    refused = _serve(repository, "--host", EVERYWHERE)
    assert refused.exit_code == 1
    assert "there is no admin token" in refused.stderr
    empty = tmp_path / "token"
    empty.write_text("\n")
    assert "is empty" in _serve(repository, "--host", EVERYWHERE, "--admin-token-file", str(empty)).stderr


@pytest.mark.parametrize("by_file", [True, False])
def test_a_token_lets_the_host_pass(repository: Path, tmp_path: Path, by_file: bool) -> None:
    """With a damaged repository, so that nothing is started."""
    (repository / "toonface.json").unlink()
    token = tmp_path / "token"
    token.write_text("secret\n")
    options = ("--host", EVERYWHERE, *(("--admin-token-file", str(token)) if by_file else ()))
    refused = _serve(repository, *options, environment={} if by_file else {ADMIN_TOKEN_ENV: "secret"})
    assert "has no toonface.json" in refused.stderr


def test_a_folder_that_is_no_repository_is_refused(tmp_path: Path) -> None:
    refused = _serve(tmp_path)
    assert refused.exit_code == 1
    assert "it is not a repository that `toonface export` wrote" in refused.stderr


def test_a_missing_repository_is_refused(tmp_path: Path) -> None:
    assert "toonface export PIPELINE.yaml" in _serve(tmp_path / "nowhere").stderr


def test_a_missing_file_is_named(repository: Path) -> None:
    model = repository / "face_detection" / "1" / "model.onnx"
    model.unlink()
    refused = _serve(repository)
    assert refused.exit_code == 1
    assert f"{model} is missing" in refused.stderr


def test_a_damaged_model_is_named_with_both_digests(repository: Path) -> None:
    model = repository / "face_embedding" / "1" / "model.onnx"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    expected = json.loads((repository / "toonface.json").read_text())["files"]["face_embedding/1/model.onnx"]
    refused = _serve(repository)
    assert refused.exit_code == 1
    assert f"{model} is damaged or was changed" in refused.stderr
    assert expected in refused.stderr


def test_a_damaged_manifest_is_refused(repository: Path) -> None:
    (repository / "toonface.json").write_text('{"files": ')
    assert "toonface.json cannot be read" in _serve(repository).stderr


def test_a_configuration_that_triton_cannot_read_is_refused(repository: Path) -> None:
    (repository / "preprocess" / "config.pbtxt").write_text("max_batch_sise: 0\n")
    write_manifest(repository)
    with pytest.raises(ServerError, match=r"preprocess/config.pbtxt .*max_batch_sise"):
        open_repository(repository)


def test_a_repository_without_a_stage_of_its_ensemble_is_refused(repository: Path) -> None:
    shutil.rmtree(repository / "gallery_search")
    write_manifest(repository)
    with pytest.raises(ServerError, match="no model gallery_search, which face_recognition needs"):
        open_repository(repository)


def test_an_ensemble_that_lost_its_empty_folder_is_refused(repository: Path) -> None:
    (repository / "face_recognition" / "1").rmdir()
    with pytest.raises(ServerError, match="mkdir .*face_recognition/1"):
        open_repository(repository)


def test_the_pipeline_of_an_ensemble_is_in_order(repository: Path) -> None:
    models = open_repository(repository)
    assert models.pipeline("face_recognition") == ("preprocess", "face_detection", "face_embedding", "gallery_search")
    assert models.pipeline("gallery_admin") == ("gallery_admin",)


def test_a_backend_that_the_server_lacks_is_refused(repository: Path) -> None:
    models = open_repository(repository)
    embedded = find_installation({}, container=Path("/nowhere"))
    check_backends(models, embedded)
    models.configs["face_detection"].backend = "tensorrt"
    with pytest.raises(ServerError, match="face_detection was exported for the backend tensorrt, which .* lacks"):
        check_backends(models, embedded)


def test_shared_memory_for_the_largest_pictures(repository: Path) -> None:
    """Each of two instances needs its encoded picture and its pixels, and a region to start with."""
    config = repository / "preprocess" / "config.pbtxt"
    text = config.read_text().replace("count: 1", "count: 2")
    config.write_text(text.replace("TYPE_FP32 dims: [-1, 4]", "TYPE_UINT8 dims: [-1, -1, 3]"))
    write_manifest(repository)
    models = open_repository(repository)
    picture = 3 * MAX_IMAGE_PIXELS
    single, every = shared_memory_need(models, {"python"})
    assert picture < single < every
    assert 2 * picture < every < 3 * picture
    assert shared_memory_need(models, {"python", "openvino"}) > (single, every)


def test_too_little_shared_memory_says_what_to_give(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(ServerError, match=r"Docker gives 64 MiB.*docker run --shm-size=\d+m"):
        check_shared_memory((free + 2**30, free + 2**31), tmp_path)
    assert "every instance" in check_shared_memory((1, free + 2**30), tmp_path)
    assert check_shared_memory((1, 1), tmp_path) == ""


def test_no_shared_memory_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="cannot be used"):
        check_shared_memory((1, 1), tmp_path / "nowhere")


def test_the_gallery_must_not_lie_inside_the_repository(repository: Path) -> None:
    with pytest.raises(ConfigError, match="lies inside the repository"):
        check_gallery(f"sqlite:///{repository}/gallery.sqlite3", repository)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_gallery_in_memory_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="in memory"):
        check_gallery(url, Path("repository"))


def test_a_gallery_url_that_is_none_is_not_repeated() -> None:
    with pytest.raises(ConfigError, match="not a SQLAlchemy URL") as refused:
        check_gallery("postgresql:hunter2", Path("repository"))
    assert "hunter2" not in refused.value.message


def test_a_gallery_in_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="there is no folder"):
        check_gallery(f"sqlite:///{tmp_path}/nowhere/gallery.sqlite3", Path("repository"))


def test_a_gallery_file_that_is_no_database_is_refused(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "gallery.sqlite3").write_text("not a database, though long enough to look like one" * 100)
    refused = _serve(repository)
    assert refused.exit_code == 1
    assert "gallery.sqlite3 cannot be written: file is not a database" in refused.stderr


def test_a_gallery_in_the_default_place_is_made_by_the_stages_alone(repository: Path, tmp_path: Path) -> None:
    check_gallery(ServeOptions(repository=repository).gallery_url, repository)
    assert not (tmp_path / "gallery.sqlite3").exists()


def test_usage_errors_end_with_2(repository: Path) -> None:
    assert CliRunner().invoke(serve, []).exit_code == 2
    assert _serve(repository, "--grpc-port", "70000").exit_code == 2
    assert _serve(repository, "--drain-seconds", "-1").exit_code == 2


def test_failures_come_as_json_as_well(tmp_path: Path) -> None:
    refused = _serve(tmp_path, "--json")
    assert refused.exit_code == 1
    event = json.loads(refused.stdout)
    assert event["event"] == "failed"
    assert event["code"] == "server_failed"
    assert "toonface.json" in event["message"]


def test_the_help_has_an_example() -> None:
    shown = CliRunner().invoke(serve, ["--help"])
    assert shown.exit_code == 0
    assert "toonface serve --repository build/repository" in shown.stdout
